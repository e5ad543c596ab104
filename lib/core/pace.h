/* SPDX-License-Identifier: MIT */
/*
 * The bandwidth limit, shared by all channels without a lock: a virtual clock (the generic cell
 * rate algorithm of ATM networks, ITU-T I.371).  The clock shows when the line would be free if
 * it had exactly the rate allowed; each packet takes its place on it and pushes it on by the
 * time it occupies.  Who gets a place in the future waits until then.  No time is read here:
 * the caller brings it.
 */
#ifndef MFD_CORE_PACE_H
#define MFD_CORE_PACE_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Unused time is kept this long, so that a sender that woke up late catches up, and no longer,
 * so that idleness buys no burst.
 */
#define PACE_BURST_NS UINT64_C(10000000)

struct pace {
	/* Set before the threads start, never changed. */
	alignas(64) double ticks_per_byte; /* 0: no limit */

	/* Shared: when the line is free again, in ticks of the caller's clock.  Only grows. */
	alignas(64) _Atomic uint64_t next;
};

/*
 * In pieces of so many bytes should a packet be sent, each with a place of its own, so that a
 * second of @bytes_per_second has few enough bytes too many or too few, and the channels' packets
 * are woven into each other.  SIZE_MAX, which is whole, for no limit; and for a limit so low that
 * a piece would take a channel longer than a receiver may be kept waiting for one.
 */
size_t pace_piece(uint64_t bytes_per_second, unsigned channels);

/* Before the threads start.  0: no limit; else from a byte per second to beyond 100 Gbit/s. */
void pace_init(struct pace *p, uint64_t bytes_per_second);

/*
 * Any thread.  Take the place of @bytes on the line at @now_ns, a monotonic clock: the time
 * until which the caller has to wait before it sends them; 0 or a time past means at once.  The
 * place is taken also if the caller then never sends.
 */
uint64_t pace_take(struct pace *p, uint64_t bytes, uint64_t now_ns);

#endif
