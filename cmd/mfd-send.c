/* SPDX-License-Identifier: MIT */
/*
 * mfd-send: move an image to an mfd-recv.
 */
#include <argp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "common.h"
#include "mfd.h"
#include "parse.h"
#include "transfer.h"

struct choice {
	struct mfd_send_options send;
	/* were given */
	bool freeze, downtime, rounds, until, max_freeze;
	struct common_options common;
};

/* Keys of options without a short form. */
enum {
	PACKET_SIZE = 0x100, CONNECT_TIMEOUT, BWLIMIT, RETRY, FREEZE, LIVE, DOWNTIME, ROUNDS,
	MAX_FREEZE, FILTER, ALL, UNTIL, FREEZE_PID, FREEZE_CMD, THAW_CMD,
};

/* With --live; of files that change the last two. */
#define DEFAULT_DOWNTIME_MS 300
#define DEFAULT_ROUNDS 30
#define DEFAULT_MAX_FREEZE_MS 5000

static const struct argp_option options[] = {
	{ .name = "channels", .key = 'C', .arg = "N",
	  .doc = "Data connections, 1..128 (default: usable CPUs, at most 8)" },
	{ .name = "compress", .key = 'z', .arg = "METHOD",
	  .doc = "auto (default), none, zlib or zstd" },
	{ .name = "level", .key = 'l', .arg = "N",
	  .doc = "zlib: 1..9; zstd: -7..-1 and 1..19 (default 1); auto: the heaviest "
		 "allowed, 1..19 (default 9)" },
	{ .name = "packet-size", .key = PACKET_SIZE, .arg = "SIZE",
	  .doc = "Most pages in one packet, 64K..4M (default 1M)" },
	{ .name = "connect-timeout", .key = CONNECT_TIMEOUT, .arg = "DUR",
	  .doc = "Try to connect for DUR, again when refused (default 10s; 0: for ever)" },
	{ .name = "retry", .key = RETRY, .arg = "N|forever",
	  .doc = "Come back N times when the connection is lost" },
	{ .name = "bwlimit", .key = BWLIMIT, .arg = "RATE",
	  .doc = "Send at most RATE, all channels together" },
	{ .name = "freeze", .key = FREEZE, .arg = "WHEN",
	  .doc = "all: a process stands still while it is copied (default)" },
	{ .name = "live", .key = LIVE,
	  .doc = "Copy a process while it runs; freeze it for what is left in the end" },
	{ .name = "downtime", .key = DOWNTIME, .arg = "DUR",
	  .doc = "--live: freeze when the rest can be copied within DUR (default 300ms)" },
	{ .name = "rounds", .key = ROUNDS, .arg = "N",
	  .doc = "--live: or in round N; a file that changes: walk it at most N times, "
		 "2..100 (default 30)" },
	{ .name = "until", .key = UNTIL, .arg = "PAGES",
	  .doc = "A file that changes: walk it until at most PAGES changed meanwhile "
		 "(default with --rounds: 0)" },
	{ .name = "freeze-pid", .key = FREEZE_PID, .arg = "PID",
	  .doc = "Freeze process PID, which writes to the file, for the last round" },
	{ .name = "freeze-cmd", .key = FREEZE_CMD, .arg = "CMD",
	  .doc = "Or run CMD before it, a shell command that pauses who writes" },
	{ .name = "thaw-cmd", .key = THAW_CMD, .arg = "CMD",
	  .doc = "And run CMD to let it go on, also when mfd-send dies" },
	{ .name = "max-freeze", .key = MAX_FREEZE, .arg = "DUR",
	  .doc = "Let what is frozen go on after DUR whatever happens (default 5s with "
		 "--live, --freeze-pid and --freeze-cmd, else 0: never so)" },
	{ .name = "filter", .key = FILTER, .arg = "MASK",
	  .doc = "Which mappings of a process, hexadecimal as in its coredump_filter, "
		 "0..1ff (default: its own)" },
	{ .name = "all", .key = ALL, .doc = "All mappings of a process: --filter=1ff" },
	{ 0 },
};

static const char doc[] =
	"Send a memory image to mfd-recv over several TCP connections.\v"
	"IMAGE is a regular file, a block device, - for standard input, pid:PID for a\n"
	"running process, which arrives as an ELF core file, or pid:PID:/PATH for\n"
	"shared memory that it has mapped.\n"
	"DUR is a number with ms, s, m or h; a bare one is seconds.\n"
	"SIZE is bytes, or with K or KiB = 1024, KB = 1000, and so on with M, G, T.\n"
	"RATE is a SIZE per second, or with kbit, Mbit, Gbit.\n"
	"\n"
	"Exit status 0: the receiver has the whole image in place, verified.";

static void take_argument(struct choice *c, char *arg, const struct argp_state *state)
{
	if (state->arg_num == 0)
		c->send.image = arg;
	else if (state->arg_num == 1)
		c->send.address = arg;
	else
		common_fail(state, arg, "one transfer is allowed: IMAGE HOST:PORT");
}

static void take_filter(struct choice *c, const struct argp_state *state, const char *text)
{
	unsigned long mask;

	if (!parse_hexadecimal(text, MFD_FILTER_ALL, &mask))
		common_fail(state, "--filter", "0 to 1ff are allowed, in hexadecimal");
	if (c->send.filter_given)
		common_fail(state, "--filter", "one of --filter and --all is allowed, once");
	c->send.filter_given = true;
	c->send.filter = (unsigned)mask;
}

/* What --live stands with, and not; --rounds is for it and for files. */
static void finish_live(struct choice *c, const struct argp_state *state)
{
	struct mfd_send_options *o = &c->send;

	if (c->downtime && !o->live)
		common_fail(state, "--downtime", "it is for --live");
	if (c->until && o->live)
		common_fail(state, "--until", "it is for files; --live has --downtime");
	if (c->freeze && o->live)
		common_fail(state, "--freeze", "one of --freeze=all and --live is allowed");
	o->changing = !o->live && (c->rounds || c->until);
	if (c->freeze && o->changing)
		common_fail(state, "--freeze", "it is for pid:PID");
	if (!o->changing && (o->freeze_pid || o->freeze_command || o->thaw_command))
		common_fail(state, "--freeze-pid, --freeze-cmd, --thaw-cmd",
			    "they are for --rounds or --until of a file");
	if ((o->live || o->freeze_pid || o->freeze_command) && !c->max_freeze)
		o->max_freeze_ms = DEFAULT_MAX_FREEZE_MS;
}

/* How a file that changes is copied. */
static error_t parse_changing_option(int key, char *arg, struct argp_state *state)
{
	struct choice *c = state->input;

	switch (key) {
	case UNTIL:
		c->send.until_pages = (uint64_t)common_integer(state, "--until", arg, 0, LONG_MAX,
							       "0 and more pages are allowed");
		c->until = true;
		return 0;
	case FREEZE_PID:
		if (c->send.freeze_pid)
			common_fail(state, "--freeze-pid", "one process is allowed");
		c->send.freeze_pid = (int)common_integer(state, "--freeze-pid", arg, 1, INT_MAX,
							 "a process ID is required");
		return 0;
	case FREEZE_CMD:
		c->send.freeze_command = arg;
		return 0;
	case THAW_CMD:
		c->send.thaw_command = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* How a process is copied. */
static error_t parse_process_option(int key, char *arg, struct argp_state *state)
{
	struct choice *c = state->input;

	switch (key) {
	case FREEZE:
		if (strcmp(arg, "all"))
			common_fail(state, "--freeze", "all is allowed");
		c->freeze = true;
		return 0;
	case LIVE:
		c->send.live = true;
		return 0;
	case DOWNTIME:
		c->send.downtime_ms = common_duration(
			state, "--downtime", arg, 1, COMMON_MAX_DURATION_MS,
			"1ms to 24h are allowed (units: ms, s, m, h)");
		c->downtime = true;
		return 0;
	case ROUNDS:
		c->send.rounds = (unsigned)common_integer(state, "--rounds", arg, 2, MFD_MAX_ROUNDS,
							  "2 to 100 are allowed");
		c->rounds = true;
		return 0;
	case MAX_FREEZE:
		c->send.max_freeze_ms = common_duration(
			state, "--max-freeze", arg, 0, COMMON_MAX_DURATION_MS,
			"0 (as long as it takes) to 24h are allowed (units: ms, s, m, h)");
		c->max_freeze = true;
		return 0;
	case FILTER:
		take_filter(c, state, arg);
		return 0;
	case ALL:
		take_filter(c, state, "1ff");
		return 0;
	default:
		return parse_changing_option(key, arg, state);
	}
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct choice *c = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &c->common;
		return 0;
	case 'C':
		c->send.channels = (unsigned)common_integer(
			state, "--channels", arg, 1, MFD_MAX_CHANNELS, "1 to 128 are allowed");
		return 0;
	case 'z':
		c->send.method = arg;
		return 0;
	case 'l':
		c->send.level = (int)common_integer(state, "--level", arg, -1000, 1000,
						    "zlib levels are 1..9, zstd levels are -7..-1 "
						    "and 1..19, auto levels are 1..19");
		return 0;
	case PACKET_SIZE:
		c->send.packet_bytes = (uint32_t)common_size(state, "--packet-size", arg, 64 << 10,
							     4 << 20, "64K to 4M are allowed");
		return 0;
	case CONNECT_TIMEOUT:
		c->send.connect_timeout_ms = common_duration(
			state, "--connect-timeout", arg, 0, COMMON_MAX_DURATION_MS,
			"0 (for ever) to 24h are allowed (units: ms, s, m, h)");
		return 0;
	case RETRY:
		c->send.retries = MFD_RETRY_FOREVER;
		if (strcmp(arg, "forever"))
			c->send.retries =
				(unsigned)common_integer(state, "--retry", arg, 0, 1000000,
							 "0 to 1000000 and forever are allowed");
		return 0;
	case BWLIMIT:
		if (!parse_rate(arg, &c->send.bytes_per_second) || !c->send.bytes_per_second)
			common_fail(state, "--bwlimit",
				    "1 byte per second and more are allowed, such as 50M or 1Gbit");
		return 0;
	case ARGP_KEY_ARG:
		take_argument(c, arg, state);
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < 2)
			common_fail(state, "arguments", "IMAGE and HOST:PORT are required");
		finish_live(c, state);
		return 0;
	default:
		return parse_process_option(key, arg, state);
	}
}

static const struct argp_child children[] = { { .argp = &common_argp }, { 0 } };
static const struct argp parser = {
	.options = options, .parser = parse_option, .args_doc = "IMAGE HOST:PORT",
	.doc = doc, .children = children,
};

static void cancel(void *send)
{
	mfd_send_cancel(send);
}

static void stats(void *send, struct mfd_stats *ret)
{
	mfd_send_stats(send, ret);
}

static bool run(struct transfer *t, const struct mfd_send_options *o, struct mfd_error *err)
{
	struct mfd_send *send;
	bool ok;

	if (!mfd_send_new(o, &send, err))
		return false;
	watch_attach(&t->watch, &(struct watch_subject){ cancel, stats, send });
	report_start(&t->report, 0);
	ok = mfd_send_run(send, err);
	watch_detach(&t->watch);
	mfd_send_free(send);
	return ok;
}

int main(int argc, char **argv)
{
	char name[] = "mfd-send";
	struct choice c = {
		.send = {
			.method = "auto", .level = MFD_LEVEL_DEFAULT,
			.connect_timeout_ms = 10000, .notice = transfer_notice,
			.downtime_ms = DEFAULT_DOWNTIME_MS, .rounds = DEFAULT_ROUNDS,
			.trackers = MFD_TRACKERS_ALL,
		},
		.common = common_defaults(),
	};
	struct transfer t = { 0 };
	char *command = command_line(name, argc, argv);
	struct mfd_error err;
	int status;
	bool ok;

	common_parse(&parser, name, argc, argv, &c);
	c.send.timeout_ms = c.common.timeout_ms;
	c.send.family = c.common.family;
	c.send.cache = c.common.cache;
	c.send.congestion = c.common.congestion;
	c.send.opaque = &t;
	t.command = command;
	ok = transfer_begin(&t, name,
			    &(struct event_subject){ false, c.send.image, c.send.address },
			    &c.common.report, &err) &&
	     run(&t, &c.send, &err);
	status = transfer_end(&t, ok ? NULL : &err);
	free(command);
	return status;
}
