/* SPDX-License-Identifier: MIT */
/*
 * All that a program says about its transfer: human words on standard error, JSON lines where they
 * are wanted.  Two threads speak, the one that runs the transfer and the watch; a lock keeps their
 * lines apart.
 *
 * What the watch says can be left out, and is when the other side does not take it at once: the
 * watch must stay able to hear signals.
 */
#ifndef MFD_CMD_REPORT_H
#define MFD_CMD_REPORT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "console.h"
#include "event.h"
#include "json.h"
#include "mfd.h"
#include "progress.h"

enum report_mode { REPORT_AUTO, REPORT_BAR, REPORT_LINE, REPORT_NONE };
enum report_verbosity { REPORT_QUIET, REPORT_NORMAL, REPORT_VERBOSE };

struct report_options {
	enum report_mode mode;
	enum report_verbosity verbosity;
	bool json;
	const char *json_file;   /* NULL: standard output */
};

struct report {
	/* Set before the watch starts, never changed. */
	const struct report_options *options;
	const char *command;     /* what to type to go on; NULL: not known */
	struct event_subject subject;
	enum report_mode mode;   /* never REPORT_AUTO */

	pthread_mutex_t lock;    /* Guards: */
	struct console console;
	struct json json;
	struct progress progress;
	uint64_t next_line_ms, next_json_ms;
	bool ended;              /* the last word has been spoken */
};

/*
 * @options and the texts stay the caller's and outlive the report.  MFD_CANT_CREATE if the JSON
 * file can't be; the report still speaks.
 */
bool report_open(struct report *r, const char *program, const struct event_subject *subject,
		 const struct report_options *options, struct mfd_error *err) MFD_MUST_CHECK;
void report_close(struct report *r);

/* Watch.  How often it should come with a snapshot; -1: never. */
int report_period_ms(const struct report *r);
void report_tick(struct report *r, const struct mfd_stats *stats, uint64_t now_ms);

/* Watch.  Somebody asked for a line at once. */
void report_now(struct report *r, const struct mfd_stats *stats);

/* The transfer begins; a receiver then listens on @port. */
void report_start(struct report *r, uint64_t port);

/* A session has begun; @who is the peer, or "". */
void report_session(struct report *r, const struct mfd_stats *stats, const char *who);

/* A line for the user; or one for who asked for details. */
void report_warning(struct report *r, const char *text);
void report_detail(struct report *r, const char *text);

/* The last word: the summary, or what went wrong if @err is not NULL.  Returns the exit status. */
int report_end(struct report *r, const struct mfd_stats *stats, const struct mfd_error *err);

#endif
