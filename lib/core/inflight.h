/* SPDX-License-Identifier: MIT */
/*
 * What one channel has in flight: the batches its sender thread has written, or is writing, and the
 * receiver has not yet acknowledged.  A ring of fixed depth; the sender thread adds at its head,
 * the control thread retires at its tail as acknowledgements come in.  When it is full the sender
 * thread waits: an unacknowledged batch must never be forgotten, and its pool bytes not be used
 * again, because a lost channel sends it once more.
 */
#ifndef MFD_CORE_INFLIGHT_H
#define MFD_CORE_INFLIGHT_H

#include <semaphore.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/batch.h"

/*
 * 256 packets of 256 KiB are 64 MiB per channel: eight of them fill 10 Gbit/s at 400 ms.  Larger
 * packets fill more.
 */
#define INFLIGHT_DEPTH 256u

struct inflight_entry {
	struct batch batch;
	uint64_t sequence;
	struct totals totals;    /* of this one packet */

	/*
	 * Who still needs batch.bytes: the sender thread until send() has returned, the log until
	 * the acknowledgement.  Either may be last: the receiver's answer can overtake the return
	 * from the call that sent the question.
	 */
	_Atomic uint32_t holders;
};

struct inflight {
	struct inflight_entry *entry; /* [INFLIGHT_DEPTH] */
	sem_t room;              /* one token for each free entry; one more from the door */
	_Atomic bool closed;

	/* Sender thread writes, control thread reads. */
	alignas(64) _Atomic uint64_t head;
	_Atomic uint64_t started; /* packets whose sequence number is taken, SYNCs too */

	/*
	 * Control thread writes, sender thread reads; from the fence to inflight_reopen() the other
	 * way round.
	 */
	alignas(64) _Atomic uint64_t tail;
};

bool inflight_init(struct inflight *f, struct mfd_error *err) MFD_MUST_CHECK;
void inflight_destroy(struct inflight *f);

/* Sender thread.  Wait for room; false if the door has been opened. */
bool inflight_reserve(struct inflight *f) MFD_MUST_CHECK;

/*
 * Sender thread.  The entry reserved last, to be filled in, then published before the first byte is
 * written.
 */
struct inflight_entry *inflight_next(struct inflight *f);
void inflight_publish(struct inflight *f);

/*
 * Sender thread when the packet is sent, control thread when it is acknowledged: this side needs
 * the batch's bytes no more.  True for the last of the two, which then owns them.
 */
bool inflight_release(struct inflight_entry *entry) MFD_MUST_CHECK;

/*
 * Sender thread.  How many batches were published so far, and how many of them have been
 * acknowledged; the second may be a little old.
 */
uint64_t inflight_published(const struct inflight *f);
uint64_t inflight_acknowledged(const struct inflight *f);

/*
 * Sender thread.  Take the next sequence number: gap-free from 0, for every packet of whatever
 * kind.
 */
uint64_t inflight_take_sequence(struct inflight *f);

/*
 * Control thread.  The receiver has written all packets below @written.  False if that is more than
 * were ever started.  Calls
 * @retired for each entry that leaves, oldest first; the entry is gone when it returns.
 */
bool inflight_acknowledge(struct inflight *f, uint64_t written,
			  void (*retired)(void *opaque, struct inflight_entry *entry),
			  void *opaque) MFD_MUST_CHECK;

/*
 * Any thread: let a waiting sender thread out; inflight_reserve() fails from now on, or until
 * inflight_reopen().
 */
void inflight_close(struct inflight *f);

/*
 * Sender thread, when the channel is fenced and the control thread has retired what was written:
 * hand over the rest, oldest first.  The bytes of its batches are the callback's from then on.
 */
void inflight_drain(struct inflight *f,
		    void (*returned)(void *opaque, const struct inflight_entry *entry),
		    void *opaque);

/*
 * Sender thread, when the log is drained and nobody else touches it: as new, for the next
 * connection.
 */
void inflight_reopen(struct inflight *f);

#endif
