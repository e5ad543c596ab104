/* SPDX-License-Identifier: MIT */
/*
 * The options that both programs have, as a child for their argp parsers, and what they need to
 * check options of their own.
 */
#ifndef MFD_CMD_COMMON_H
#define MFD_CMD_COMMON_H

#include <argp.h>
#include <stdint.h>

#include "mfd.h"
#include "report.h"

#define COMMON_MAX_DURATION_MS UINT64_C(86400000)

struct common_options {
	struct report_options report;
	uint64_t timeout_ms;
	enum mfd_family family;
	enum mfd_cache cache;
	const char *congestion;  /* NULL: the system's */
};

/* Its input is a struct common_options, filled with common_defaults(). */
extern const struct argp common_argp;
struct common_options common_defaults(void);

/*
 * Parse the command line, as @program whatever argv[0] says; does not return if it is wrong, or
 * asks for help.
 */
void common_parse(const struct argp *argp, char *program, int argc, char **argv, void *input);

/* One line that says what @option allows; exit status 64. */
_Noreturn void common_fail(const struct argp_state *state, const char *option, const char *allowed);

/* The values of options, or common_fail(). */
uint64_t common_duration(const struct argp_state *state, const char *option, const char *text,
			 uint64_t min_ms, uint64_t max_ms, const char *allowed);
uint64_t common_size(const struct argp_state *state, const char *option, const char *text,
		     uint64_t min, uint64_t max, const char *allowed);
long common_integer(const struct argp_state *state, const char *option, const char *text, long min,
		    long max, const char *allowed);

#endif
