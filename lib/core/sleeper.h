/* SPDX-License-Identifier: MIT */
/*
 * The producer's one place to sleep.  Whatever it waits for (a slot, a sync, an acknowledgement, an
 * error) is changed by some other thread, which then calls sleeper_wake().  A wake can't be lost:
 * the producer announces itself, fences, looks once more and only then sleeps; the waker changes
 * its word, fences and looks for an announcement.  One of the two sees the other (store buffering:
 * release and acquire alone would let both miss, also on x86).
 *
 *	for (;;) {                              // the only way to use it
 *		if (ready()) break;
 *		sleeper_announce(&sleeper);
 *		if (ready()) { sleeper_retract(&sleeper); break; }
 *		sleeper_sleep(&sleeper);
 *	}
 */
#ifndef MFD_CORE_SLEEPER_H
#define MFD_CORE_SLEEPER_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct sleeper {
	/* 1: set by the sleeping thread; back to 0 by whoever wakes it, or by itself */
	_Atomic uint32_t announced;
	sem_t wake;                 /* one post for each 1 -> 0 by a waker */
};

bool sleeper_init(struct sleeper *s, struct mfd_error *err) MFD_MUST_CHECK;
void sleeper_destroy(struct sleeper *s);

/* The sleeping thread. */
void sleeper_announce(struct sleeper *s);
void sleeper_retract(struct sleeper *s);
void sleeper_sleep(struct sleeper *s);

/* Any other thread, after it has changed what the sleeper may wait for. */
void sleeper_wake(struct sleeper *s);

#endif
