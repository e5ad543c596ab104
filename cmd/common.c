/* SPDX-License-Identifier: MIT */
/*
 * The options that both programs have.
 */
#include "common.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"

/* Keys of options without a short form; the programs' own begin at 0x100. */
enum {
	COMMON_TIMEOUT = 0x200, COMMON_CACHE, COMMON_CONGESTION, COMMON_PROGRESS, COMMON_JSON,
	COMMON_USAGE
};

static const struct argp_option common_options[] = {
	{ .name = "timeout", .key = COMMON_TIMEOUT, .arg = "DUR",
	  .doc = "Give up when the peer is silent for DUR (default 30s)" },
	{ .name = "cache", .key = COMMON_CACHE, .arg = "MODE",
	  .doc = "The page cache of image or output: keep (default), drop or direct" },
	{ .name = "congestion", .key = COMMON_CONGESTION, .arg = "ALG",
	  .doc = "TCP congestion control of data connections, such as bbr (default: the "
		 "system's)" },
	{ .key = '4', .doc = "IPv4 only" },
	{ .key = '6', .doc = "IPv6 only" },
	{ .name = "quiet", .key = 'q', .doc = "Print errors only" },
	{ .name = "verbose", .key = 'v',
	  .doc = "Print more: per-channel figures, connections that were turned away" },
	{ .name = "progress", .key = COMMON_PROGRESS, .arg = "MODE",
	  .doc = "auto (default: a bar on a terminal, else lines), bar, line or none" },
	{ .name = "json", .key = COMMON_JSON, .arg = "FILE", .flags = OPTION_ARG_OPTIONAL,
	  .doc = "Write JSON lines to FILE (default: standard output)" },
	{ .name = "help", .key = 'h', .doc = "Print this help", .group = -1 },
	{ .name = "usage", .key = COMMON_USAGE, .flags = OPTION_HIDDEN, .group = -1 },
	{ .name = "version", .key = 'V', .doc = "Print the version", .group = -1 },
	{ 0 },
};

struct common_options common_defaults(void)
{
	return (struct common_options){
		.report = { .verbosity = REPORT_NORMAL }, .timeout_ms = 30000,
	};
}

_Noreturn void common_fail(const struct argp_state *state, const char *option, const char *allowed)
{
	argp_failure(state, MFD_USAGE, 0, "%s: %s", option, allowed);
	exit(MFD_USAGE);
}

uint64_t common_duration(const struct argp_state *state, const char *option, const char *text,
			 uint64_t min_ms, uint64_t max_ms, const char *allowed)
{
	uint64_t ms;

	if (!parse_duration(text, &ms) || ms < min_ms || ms > max_ms)
		common_fail(state, option, allowed);
	return ms;
}

uint64_t common_size(const struct argp_state *state, const char *option, const char *text,
		     uint64_t min, uint64_t max, const char *allowed)
{
	uint64_t bytes;

	if (!parse_size(text, &bytes) || bytes < min || bytes > max)
		common_fail(state, option, allowed);
	return bytes;
}

long common_integer(const struct argp_state *state, const char *option, const char *text, long min,
		    long max, const char *allowed)
{
	long value;

	if (!parse_integer(text, min, max, &value))
		common_fail(state, option, allowed);
	return value;
}

static enum report_mode common_progress(const struct argp_state *state, const char *text)
{
	static const char *const names[] = {
		[REPORT_AUTO] = "auto", [REPORT_BAR] = "bar",
		[REPORT_LINE] = "line", [REPORT_NONE] = "none",
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(text, names[i]))
			return (enum report_mode)i;
	common_fail(state, "--progress", "auto, bar, line and none are allowed");
}

static enum mfd_cache common_cache(const struct argp_state *state, const char *text)
{
	static const char *const names[] = {
		[MFD_CACHE_KEEP] = "keep", [MFD_CACHE_DROP] = "drop", [MFD_CACHE_DIRECT] = "direct",
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(text, names[i]))
			return (enum mfd_cache)i;
	common_fail(state, "--cache", "keep, drop and direct are allowed");
}

/* Help that could not be written is an error like any other. */
static _Noreturn void common_exit_printed(const char *program)
{
	if (!fflush(stdout) && !ferror(stdout))
		exit(0);
	fprintf(stderr, "%s: standard output: %s\n", program, strerror(errno));
	exit(MFD_IO);
}

static error_t common_parse_option(int key, char *arg, struct argp_state *state)
{
	struct common_options *o = state->input;

	switch (key) {
	case COMMON_TIMEOUT:
		o->timeout_ms = common_duration(state, "--timeout", arg, 100,
						COMMON_MAX_DURATION_MS,
						"100ms to 24h are allowed (units: ms, s, m, h)");
		return 0;
	case COMMON_CACHE:
		o->cache = common_cache(state, arg);
		return 0;
	case COMMON_CONGESTION:
		o->congestion = arg;
		return 0;
	case '4':
		o->family = MFD_IPV4;
		return 0;
	case '6':
		o->family = MFD_IPV6;
		return 0;
	case 'q':
		o->report.verbosity = REPORT_QUIET;
		return 0;
	case 'v':
		o->report.verbosity = REPORT_VERBOSE;
		return 0;
	case COMMON_PROGRESS:
		o->report.mode = common_progress(state, arg);
		return 0;
	case COMMON_JSON:
		o->report.json = true;
		o->report.json_file = arg;
		return 0;
	case 'h':
		argp_state_help(state, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK);
		common_exit_printed(state->name);
	case COMMON_USAGE:
		argp_state_help(state, stdout, ARGP_HELP_USAGE);
		common_exit_printed(state->name);
	case 'V':
		printf("%s %s\n", state->name, mfd_version());
		common_exit_printed(state->name);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp common_argp = { .options = common_options, .parser = common_parse_option };

void common_parse(const struct argp *argp, char *program, int argc, char **argv, void *input)
{
	/*
	 * getopt(3) and argp begin their lines with it, and errors begin with the program's name,
	 * not its path.
	 */
	if (argc > 0)
		argv[0] = program;
	argp_err_exit_status = MFD_USAGE;
	/* argp's own help has -? for a short form, so it is ours. */
	if (argp_parse(argp, argc, argv, ARGP_NO_HELP, NULL, input))
		exit(MFD_USAGE);
}
