/* SPDX-License-Identifier: MIT */
/*
 * Coming back after a session that failed (--retry, --resume): what is worth another try, how long
 * to wait before it, and a cancel that also gets in between two sessions.
 */
#ifndef MFD_AGAIN_H
#define MFD_AGAIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/event.h"
#include "core/options.h"

#define AGAIN_FIRST_MS 250u
#define AGAIN_LONGEST_MS 10000u

struct again {
	struct event cancelled;      /* raised with the flag */

	pthread_mutex_t lock;        /* Guards what the owner swaps between sessions, and: */
	bool cancel;
	struct mfd_stats last;       /* of the sessions before, while there is none */
	uint64_t bytes_wire, bytes_hashes; /* of all sessions before this one */

	/* The thread that runs the sessions only. */
	uint64_t pause_ms;
};

bool again_init(struct again *a, struct mfd_error *err) MFD_MUST_CHECK;
void again_destroy(struct again *a);

/* Any thread. */
bool again_cancelled(struct again *a);

/*
 * Another session may do better: the peer or the network was lost, bytes were damaged, or nobody
 * answers.  What the disk, the source or the user said stays so.
 */
bool again_is_worth(const struct mfd_error *err);

/*
 * How long to wait now: AGAIN_FIRST_MS, doubled each time up to AGAIN_LONGEST_MS; anew after
 * @progress.
 */
uint64_t again_next_pause(struct again *a, bool progress);

/* Wait; false when cancelled. */
bool again_pause(struct again *a, uint64_t ms) MFD_MUST_CHECK;

/* A session has ended with @stats, and is about to be freed.  The caller holds the lock. */
void again_keep_locked(struct again *a, const struct mfd_stats *stats);

/* @stats are those of a session; make them those of all.  The caller holds the lock. */
void again_add_locked(const struct again *a, struct mfd_stats *stats);

#endif
