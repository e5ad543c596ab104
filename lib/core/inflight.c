/* SPDX-License-Identifier: MIT */
/*
 * What one channel has in flight: a ring between the sender thread (head) and the control
 * thread (tail). Both only count upwards; entry n lives at n % INFLIGHT_DEPTH. The life of an
 * entry: reserved (a token of `room`), written, published (head), sent over the network,
 * acknowledged, retired (tail, then the token goes back).
 *
 * `started` needs no order of its own. It is stored before the packet's first byte is sent, and
 * read when the peer's answer to that packet has come in: the way over the network and back
 * lies between the two.
 */
#include "core/inflight.h"

#include <errno.h>
#include <stdlib.h>

#include "core/invariant.h"
#include "core/token.h"

bool inflight_init(struct inflight *f, struct mfd_error *err)
{
	f->entry = calloc(INFLIGHT_DEPTH, sizeof(*f->entry));
	if (!f->entry)
		return error_set_os(err, MFD_OS, ENOMEM, "log of packets in flight");

	atomic_init(&f->closed, false);
	atomic_init(&f->head, 0);
	atomic_init(&f->started, 0);
	atomic_init(&f->tail, 0);
	if (sem_init(&f->room, 0, INFLIGHT_DEPTH) != 0) {
		error_set_os(err, MFD_OS, errno, "semaphore");
		free(f->entry);
		f->entry = NULL;
		return false;
	}
	return true;
}

void inflight_destroy(struct inflight *f)
{
	sem_destroy(&f->room);
	free(f->entry);
	f->entry = NULL;
}

bool inflight_reserve(struct inflight *f)
{
	/*
	 * Relaxed, both times: `closed` carries no data, and a waiter's token came after it was
	 * set.
	 */
	if (atomic_load_explicit(&f->closed, memory_order_relaxed))
		return false;
	token_wait(&f->room);
	return !atomic_load_explicit(&f->closed, memory_order_relaxed);
}

struct inflight_entry *inflight_next(struct inflight *f)
{
	uint64_t head = atomic_load_explicit(&f->head, memory_order_relaxed); /* our own word */

	/*
	 * Permits to write the entry: the control thread has finished with its last use.
	 * pair: INFLIGHT_TAIL
	 */
	if (head - atomic_load_explicit(&f->tail, memory_order_acquire) >= INFLIGHT_DEPTH)
		invariant_broken("mfd: in flight: an entry was used that is not reserved\n");
	return &f->entry[head % INFLIGHT_DEPTH];
}

void inflight_publish(struct inflight *f)
{
	uint64_t head = atomic_load_explicit(&f->head, memory_order_relaxed);

	atomic_store_explicit(&f->entry[head % INFLIGHT_DEPTH].holders, 2, memory_order_relaxed);
	/* Permits the control thread to read the entry: it is written.  pair: INFLIGHT_HEAD */
	atomic_store_explicit(&f->head, head + 1, memory_order_release);
}

uint64_t inflight_published(const struct inflight *f)
{
	return atomic_load_explicit(&f->head, memory_order_relaxed); /* our own word */
}

uint64_t inflight_acknowledged(const struct inflight *f)
{
	/* Relaxed: a number to learn from, which permits nothing. */
	return atomic_load_explicit(&f->tail, memory_order_relaxed);
}

bool inflight_release(struct inflight_entry *entry)
{
	/*
	 * Release permits the other side to count on our having finished reading.
	 * pair: INFLIGHT_BYTES
	 * Acquire permits the last one to give the bytes to somebody who writes them.
	 * pair: INFLIGHT_BYTES
	 */
	return atomic_fetch_sub_explicit(&entry->holders, 1, memory_order_acq_rel) == 1;
}

uint64_t inflight_take_sequence(struct inflight *f)
{
	uint64_t sequence = atomic_load_explicit(&f->started, memory_order_relaxed);

	atomic_store_explicit(&f->started, sequence + 1, memory_order_relaxed);
	return sequence;
}

bool inflight_acknowledge(struct inflight *f, uint64_t written,
			  void (*retired)(void *opaque, struct inflight_entry *entry), void *opaque)
{
	/* Permits to read the entries below it.  pair: INFLIGHT_HEAD */
	uint64_t head = atomic_load_explicit(&f->head, memory_order_acquire);
	uint64_t tail = atomic_load_explicit(&f->tail, memory_order_relaxed); /* our own word */
	struct inflight_entry *entry;

	if (written > atomic_load_explicit(&f->started, memory_order_relaxed))
		return false;

	/* An old, lower @written finds nothing below it: what it covered has left. */
	for (; tail != head; tail++) {
		entry = &f->entry[tail % INFLIGHT_DEPTH];
		if (entry->sequence >= written)
			break;
		retired(opaque, entry);
		/*
		 * Permits the sender thread to write the entry again: we have finished with it.
		 * pair: INFLIGHT_TAIL
		 */
		atomic_store_explicit(&f->tail, tail + 1, memory_order_release);
		token_post(&f->room);
	}
	return true;
}

void inflight_close(struct inflight *f)
{
	atomic_store_explicit(&f->closed, true, memory_order_relaxed);
	token_post(&f->room);
}

void inflight_drain(struct inflight *f,
		    void (*returned)(void *opaque, const struct inflight_entry *entry),
		    void *opaque)
{
	/*
	 * Permits to read what either side left, whichever thread drains. pair: INFLIGHT_HEAD,
	 * pair: INFLIGHT_TAIL
	 */
	uint64_t head = atomic_load_explicit(&f->head, memory_order_acquire);
	uint64_t tail = atomic_load_explicit(&f->tail, memory_order_acquire);

	for (; tail != head; tail++) {
		returned(opaque, &f->entry[tail % INFLIGHT_DEPTH]);
		/* The entry is free again, as after an acknowledgement.  pair: INFLIGHT_TAIL */
		atomic_store_explicit(&f->tail, tail + 1, memory_order_release);
		token_post(&f->room);
	}
}

void inflight_reopen(struct inflight *f)
{
	if (atomic_load_explicit(&f->head, memory_order_relaxed) !=
	    atomic_load_explicit(&f->tail, memory_order_relaxed))
		invariant_broken("mfd: in flight: used again before it was drained\n");

	/* One more token for each time it was closed: count anew. */
	while (sem_trywait(&f->room) == 0 || errno == EINTR)
		;
	for (unsigned i = 0; i < INFLIGHT_DEPTH; i++)
		token_post(&f->room);
	atomic_store_explicit(&f->started, 0, memory_order_relaxed);
	atomic_store_explicit(&f->closed, false, memory_order_relaxed);
}
