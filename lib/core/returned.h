/* SPDX-License-Identifier: MIT */
/*
 * Batches that came back: what a lost connection had in its slots and in its log.  Sender threads
 * put, the producer takes and offers them to whichever channel has room, before it walks on and
 * before a round counts as ended.
 *
 * A mutex, because losses are rare; who only wants to know whether there is anything looks at a
 * counter.
 */
#ifndef MFD_CORE_RETURNED_H
#define MFD_CORE_RETURNED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "core/batch.h"
#include "core/stats.h"

struct returned {
	pthread_mutex_t lock;    /* Guards: */
	struct batch *batch;     /* [room]; those from first to end - 1 are there */
	size_t first, end, room;

	counter waiting;         /* how many are there; changed under the lock */
};

void returned_init(struct returned *r);
void returned_destroy(struct returned *r);

/* Sender thread; then wake the producer.  MFD_OS when there is no memory. */
bool returned_put(struct returned *r, const struct batch *batch,
		  struct mfd_error *err) MFD_MUST_CHECK;

/* Producer.  The one that waits longest; false if there is none. */
bool returned_take(struct returned *r, struct batch *ret);

/* Any thread: is there one?  Without the lock: what was put a moment ago may not show yet. */
bool returned_any(const struct returned *r);

#endif
