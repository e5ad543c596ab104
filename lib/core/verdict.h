/* SPDX-License-Identifier: MIT */
/*
 * How a session ends.  Many threads may fail at once, most of them as a consequence: the verdict
 * keeps the best reason.  A real cause (ours, or the peer's ERROR) beats a cancel, which beats
 * "connection lost"; of equals the first wins.
 *
 * Reporting does not open the door: it raises `attention`, and the one thread that minds it (the
 * control thread; before there is one, the session's main thread) decides when to, because a lost
 * connection is believed only after the peer had time to say why: verdict_ends().
 */
#ifndef MFD_CORE_VERDICT_H
#define MFD_CORE_VERDICT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/event.h"

/* How long a lost connection waits for the peer's own reason. */
#define VERDICT_GRACE_MS 1000

enum verdict_rank { VERDICT_NONE, VERDICT_LOST, VERDICT_CANCEL, VERDICT_CAUSE };

struct verdict {
	struct event attention;  /* raised by verdict_report() */

	/* Guards rank and error. */
	pthread_mutex_t lock;
	enum verdict_rank rank;
	struct mfd_error error;

	/* The control thread only. */
	uint64_t believed_ns;    /* when a loss will be; CLOCK_NEVER: there is none, or no grace */
};

bool verdict_init(struct verdict *v, struct mfd_error *err) MFD_MUST_CHECK;
void verdict_destroy(struct verdict *v);

/* Any thread. */
void verdict_report(struct verdict *v, enum verdict_rank rank, const struct mfd_error *error);

/* The rank so far; with VERDICT_NONE *ret_error is untouched.  Any thread. */
enum verdict_rank verdict_get(struct verdict *v, struct mfd_error *ret_error);

/*
 * Does the session end now, and why?  At once for a cause or a cancel; for a lost connection when
 * the peer can't be heard any more, or at @v->believed_ns, VERDICT_GRACE_MS after the first look
 * that found it.  @hears: the control connection is up.  Control thread.
 */
bool verdict_ends(struct verdict *v, bool hears, struct mfd_error *ret_reason);

#endif
