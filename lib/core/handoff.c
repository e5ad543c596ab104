/* SPDX-License-Identifier: MIT */
/*
 * The hand-off, one request at a time. A batch: the producer finds a channel (handoff_find),
 * writes the slot, flips its bit in `fill`, posts a token; the sender thread takes the token,
 * reads the slot, flips the bit in `done`, wakes the producer if it sleeps. A SYNC: the
 * producer sets pending_sync and posts a token; the sender thread takes it when no batch is
 * left, and clears it.
 *
 * The k-th token always belongs to the k-th request, because nothing is published while a SYNC
 * is pending. What never happens: a lock, a wait of the producer in here, a slot used out of
 * ring order, a SYNC that overtakes a batch or travels with one.
 */
#include "core/handoff.h"

#include <errno.h>
#include <string.h>

#include "core/fence.h"
#include "core/invariant.h"
#include "core/token.h"

/* The bit of the n-th slot in the ring, and the slot behind it. */
static uint32_t handoff_bit(uint32_t index)
{
	return UINT32_C(1) << index;
}

static uint32_t handoff_after(uint32_t index)
{
	return (index + 1) % HANDOFF_SLOTS;
}

bool handoff_init(struct handoff *h, struct mfd_error *err)
{
	memset(h->slot, 0, sizeof(h->slot));
	h->next_fill = 0;
	h->next_done = 0;
	atomic_init(&h->fill, 0);
	atomic_init(&h->done, 0);
	atomic_init(&h->pending_sync, false);
	atomic_init(&h->exit, false);
	atomic_init(&h->interrupt, false);
	atomic_init(&h->closed, false);
	if (sem_init(&h->tokens, 0, 0) != 0)
		return error_set_os(err, MFD_OS, errno, "semaphore");
	return true;
}

void handoff_destroy(struct handoff *h)
{
	sem_destroy(&h->tokens);
}

/*
 * The next slot is the producer's, no SYNC is pending, and somebody will send it. Loads for the
 * scan: the caller ends it with fence_scan_end().
 */
static bool handoff_has_room(const struct handoff *h)
{
	uint32_t fill;
	uint32_t done;

	/*
	 * Acquire only under ThreadSanitizer; else the scan's one fence does it. pair: HANDOFF_SYNC
	 */
	if (atomic_load_explicit(&h->pending_sync, FENCE_SCAN))
		return false;
	/* Relaxed: a batch that is offered all the same comes back. */
	if (atomic_load_explicit(&h->closed, memory_order_relaxed))
		return false;

	fill = atomic_load_explicit(&h->fill, memory_order_relaxed); /* our own word */
	/* The same for the slot's bit.  pair: HANDOFF_DONE */
	done = atomic_load_explicit(&h->done, FENCE_SCAN);
	return ((fill ^ done) & handoff_bit(h->next_fill)) == 0;
}

int handoff_find(struct handoff_set *set)
{
	unsigned channel = set->cursor;
	int found = -1;
	unsigned i;

	for (i = 0; i < set->count; i++) {
		if (handoff_has_room(set->handoff[channel])) {
			found = (int)channel;
			break;
		}
		channel = (channel + 1) % set->count;
	}

	/*
	 * Permits to write the slot: what the sender thread read from it, it has finished
	 * reading, and what it wrote there is visible. Once, behind the loop, instead of at
	 * each load in it. pair: HANDOFF_DONE, pair: HANDOFF_SYNC
	 */
	fence_scan_end();
	if (found >= 0)
		set->cursor = ((unsigned)found + 1) % set->count;
	return found;
}

struct batch *handoff_slot(struct handoff *h)
{
	return &h->slot[h->next_fill];
}

void handoff_publish(struct handoff *h)
{
	uint32_t bit = handoff_bit(h->next_fill);
	uint32_t fill = atomic_load_explicit(&h->fill, memory_order_relaxed);

	if ((fill ^ atomic_load_explicit(&h->done, memory_order_relaxed)) & bit)
		invariant_broken("mfd: hand-off: published a slot that the sender thread owns\n");
	if (atomic_load_explicit(&h->pending_sync, memory_order_relaxed))
		invariant_broken("mfd: hand-off: published a batch behind a pending SYNC\n");

	h->next_fill = handoff_after(h->next_fill);
	/*
	 * Permits the sender thread to read the slot: all of the batch is written before the
	 * bit shows. pair: HANDOFF_FILL
	 */
	atomic_store_explicit(&h->fill, fill ^ bit, memory_order_release);
	token_post(&h->tokens);
}

void handoff_request_sync(struct handoff *h)
{
	if (atomic_load_explicit(&h->pending_sync, memory_order_relaxed))
		invariant_broken("mfd: hand-off: a SYNC was requested while one is pending\n");

	/* Relaxed: it carries no data, and the token that follows makes it visible. */
	atomic_store_explicit(&h->pending_sync, true, memory_order_relaxed);
	token_post(&h->tokens);
}

bool handoff_sync_idle(const struct handoff *h)
{
	/*
	 * Permits to count on all that the sender thread did before the SYNC: its slots are
	 * back. pair: HANDOFF_SYNC
	 */
	return !atomic_load_explicit(&h->pending_sync, memory_order_acquire);
}

void handoff_request_exit(struct handoff *h)
{
	/*
	 * Permits the sender thread to see why: the verdict stands before the door opens.
	 * pair: HANDOFF_EXIT
	 */
	atomic_store_explicit(&h->exit, true, memory_order_release);
	token_post(&h->tokens);
}

void handoff_interrupt(struct handoff *h)
{
	/*
	 * One token for each false -> true, so that each token finds work. The order comes with
	 * the semaphore, or, for who finds it true, with the lock around what is to be looked at.
	 */
	if (!atomic_exchange_explicit(&h->interrupt, true, memory_order_relaxed))
		token_post(&h->tokens);
}

enum handoff_job handoff_take(struct handoff *h, struct batch **ret_batch)
{
	uint32_t fill;
	uint32_t done;

	token_wait(&h->tokens);

	/*
	 * Permits to leave with what whoever opened the door has written before. pair: HANDOFF_EXIT
	 */
	if (atomic_load_explicit(&h->exit, memory_order_acquire))
		return HANDOFF_EXIT;

	/* Cleared before the thread looks: who sets it later is heard again. */
	if (atomic_load_explicit(&h->interrupt, memory_order_relaxed)) {
		atomic_exchange_explicit(&h->interrupt, false, memory_order_relaxed);
		return HANDOFF_INTERRUPT;
	}

	/*
	 * Permits to read the slot whose bit differs: the producer has finished writing it.
	 * pair: HANDOFF_FILL
	 */
	fill = atomic_load_explicit(&h->fill, memory_order_acquire);
	done = atomic_load_explicit(&h->done, memory_order_relaxed); /* our own word */
	if ((fill ^ done) & handoff_bit(h->next_done)) {
		*ret_batch = &h->slot[h->next_done];
		return HANDOFF_BATCH;
	}

	/* Behind the batches.  Relaxed: it carries no data, and our token came after it was set. */
	if (atomic_load_explicit(&h->pending_sync, memory_order_relaxed))
		return HANDOFF_SYNC;

	invariant_broken("mfd: hand-off: a token without work\n");
}

void handoff_give_back(struct handoff *h, struct sleeper *producer)
{
	uint32_t bit = handoff_bit(h->next_done);
	uint32_t done = atomic_load_explicit(&h->done, memory_order_relaxed);
	uint32_t left;

	h->next_done = handoff_after(h->next_done);
	/* Permits the producer to write the slot: we have finished with it.  pair: HANDOFF_DONE */
	atomic_store_explicit(&h->done, done ^ bit, memory_order_release);

	/*
	 * Not for every slot: a producer that is woken for one fills it and sleeps again.  While
	 * more than half of the ring is ours another wake is bound to come with one of those.
	 * Relaxed: an old `fill` shows fewer, which costs a wake and loses none.
	 */
	left = done ^ bit ^ atomic_load_explicit(&h->fill, memory_order_relaxed);
	if ((unsigned)__builtin_popcount(left) <= HANDOFF_SLOTS / 2)
		sleeper_wake(producer);
}

void handoff_sync_sent(struct handoff *h, struct sleeper *producer)
{
	/*
	 * Permits the producer to offer batches again, and tells it that those before the SYNC
	 * are through. pair: HANDOFF_SYNC
	 */
	atomic_store_explicit(&h->pending_sync, false, memory_order_release);
	sleeper_wake(producer);
}

void handoff_close(struct handoff *h)
{
	atomic_store_explicit(&h->closed, true, memory_order_relaxed);
}

void handoff_open(struct handoff *h, struct sleeper *producer)
{
	atomic_store_explicit(&h->closed, false, memory_order_relaxed);
	sleeper_wake(producer);
}
