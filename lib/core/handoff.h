/* SPDX-License-Identifier: MIT */
/*
 * The hand-off: how the walking thread (the producer) gives batches to a channel's sender thread
 * without a lock.
 *
 * One struct handoff per channel, single producer, single consumer.  A ring of slots, and two
 * words in which each side only flips bits: `fill` is flipped by the producer, `done` by the
 * sender thread.  Who owns slot i:
 *
 *	bit i of fill ^ done | owner         | may do
 *	---------------------+---------------+------------------------------------------
 *	0                    | the producer  | write the slot, then handoff_publish()
 *	1                    | sender thread | read it, then handoff_give_back()
 *
 * Slots are used in ring order on both sides.  With one slot this is exactly QEMU multifd's
 * pending_job; the two bitmaps that each side only flips are Paolo Bonzini's and Xiao Guangrong's
 * idea (qemu-devel, October 2018); the relaxed scan with one acquire fence, pending_sync as a
 * request of its own and the crash on a wake without work are Peter Xu's (February 2024).
 *
 * Tokens: one counting semaphore per channel.  The producer publishes, then posts one token; the
 * sender thread takes one token before it looks and does one thing for it: exit, else the
 * interrupt, else the next job in ring order, else the sync.  That order, and one look per token,
 * is what keeps a SYNC behind the pages published before it.
 *
 * A sender thread outlives its connection.  While it has none its hand-off is closed: the scan
 * passes it by, and what the producer had published before it saw that, the thread takes as ever
 * and hands back to the session.  A SYNC it then answers without writing one.
 */
#ifndef MFD_CORE_HANDOFF_H
#define MFD_CORE_HANDOFF_H

#include <semaphore.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/batch.h"
#include "core/sleeper.h"

#define HANDOFF_SLOTS 4u
#define CACHE_LINE 64

struct handoff {
	struct batch slot[HANDOFF_SLOTS]; /* by owner, see the table above */

	/* The producer flips bits; the sender thread reads. */
	alignas(CACHE_LINE) _Atomic uint32_t fill;
	/* The producer only. */
	uint32_t next_fill;

	/* The sender thread flips bits; the producer reads. */
	alignas(CACHE_LINE) _Atomic uint32_t done;
	/* The sender thread only. */
	uint32_t next_done;

	/* Set by the producer, cleared by the sender thread.  Carries no data. */
	alignas(CACHE_LINE) _Atomic bool pending_sync;
	/* Set by whoever opens the door, never cleared. */
	_Atomic bool exit;
	/* Set by any thread, cleared by the sender thread.  Carries no data. */
	_Atomic bool interrupt;
	/*
	 * Set and cleared by the sender thread: it has no connection.  A hint to the scan, carries
	 * no data.
	 */
	_Atomic bool closed;
	sem_t tokens;
};

enum handoff_job { HANDOFF_EXIT, HANDOFF_INTERRUPT, HANDOFF_BATCH, HANDOFF_SYNC };

bool handoff_init(struct handoff *h, struct mfd_error *err) MFD_MUST_CHECK;
void handoff_destroy(struct handoff *h);

/* All channels' hand-offs as the producer sees them. */
struct handoff_set {
	struct handoff **handoff; /* [count], not owned */
	unsigned count;
	unsigned cursor;          /* where the next scan begins: round-robin */
};

/*
 * Producer.  The next channel that is open, has a free slot and no sync pending, round-robin: its
 * number, or -1 if none has. The slot is the producer's to write: handoff_slot(), then
 * handoff_publish().
 */
int handoff_find(struct handoff_set *set);
struct batch *handoff_slot(struct handoff *h);
void handoff_publish(struct handoff *h);

/* Producer.  Ask for one SYNC behind everything published so far.  None may be pending. */
void handoff_request_sync(struct handoff *h);

/* Producer.  The SYNC asked for last has been taken care of. */
bool handoff_sync_idle(const struct handoff *h);

/*
 * Any thread, once or more often.  The sender thread leaves at its next token; jobs not yet taken
 * stay in their slots.
 */
void handoff_request_exit(struct handoff *h);

/*
 * Any thread: the sender thread is to look at something else than its slots, before the next of
 * them.  Several may become one.
 */
void handoff_interrupt(struct handoff *h);

/*
 * Sender thread.  Take one token and say what it is for; *ret_batch is the slot for HANDOFF_BATCH.
 * A token that finds no work is a broken invariant and aborts: a deadlock later would be harder to
 * find.
 */
enum handoff_job handoff_take(struct handoff *h, struct batch **ret_batch);

/*
 * Sender thread.  The slot taken last is finished with; wakes a sleeping producer when at least
 * half of the ring is free.
 */
void handoff_give_back(struct handoff *h, struct sleeper *producer);

/*
 * Sender thread.  The SYNC packet has been written, or there is no connection to write it to; wakes
 * the producer if it sleeps.
 */
void handoff_sync_sent(struct handoff *h, struct sleeper *producer);

/*
 * Sender thread.  Offer no batches to this channel from about now on; offer them again, which wakes
 * the producer if it sleeps.
 */
void handoff_close(struct handoff *h);
void handoff_open(struct handoff *h, struct sleeper *producer);

#endif
