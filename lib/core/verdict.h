/* SPDX-License-Identifier: MIT */
/*
 * How a session ends.  Many threads may fail at once, most of them as a consequence: the verdict
 * keeps the best reason.  A real cause (ours, or the peer's ERROR) beats a cancel, which beats
 * "connection lost"; of equals the first wins.
 *
 * Reporting does not open the door: it raises `attention`, and the one thread that minds it (the
 * control thread; before there is one, the session's main thread) decides when to, because a lost
 * connection is believed only after the peer had time to say why.
 */
#ifndef MFD_CORE_VERDICT_H
#define MFD_CORE_VERDICT_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/event.h"

enum verdict_rank { VERDICT_NONE, VERDICT_LOST, VERDICT_CANCEL, VERDICT_CAUSE };

struct verdict {
	struct event attention;  /* raised by verdict_report() */

	/* Guards rank and error. */
	pthread_mutex_t lock;
	enum verdict_rank rank;
	struct mfd_error error;
};

bool verdict_init(struct verdict *v, struct mfd_error *err) MFD_MUST_CHECK;
void verdict_destroy(struct verdict *v);

/* Any thread. */
void verdict_report(struct verdict *v, enum verdict_rank rank, const struct mfd_error *error);

/* The rank so far; with VERDICT_NONE *ret_error is untouched.  Any thread. */
enum verdict_rank verdict_get(struct verdict *v, struct mfd_error *ret_error);

#endif
