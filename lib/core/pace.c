/* SPDX-License-Identifier: MIT */
/*
 * The virtual clock.  It counts in sixteenths of a nanosecond, because 80 bytes at 100 Gbit/s
 * are 6.4 ns and rounding those would cost 6 %; 64 bits of them last 36 years.
 */
#include "core/pace.h"

#define PACE_TICKS_PER_NS UINT64_C(16)
#define PACE_TICKS_PER_S 16e9

/*
 * The clock stops here, 18 years on, rather than wrap: at a byte per second many channels'
 * packets can push it far.
 */
#define PACE_END (UINT64_MAX / 2)

/*
 * A piece is 0.4 % of a second, and with the burst of 1 % a second stays within 2 %.  Below a
 * segment of TCP pieces would cost more in headers than they are worth; and at a slower pace for
 * each channel than a piece in 62 ms the peer might think, at the shortest timeout of 100 ms, that
 * nothing comes any more: it counts by pieces of that size too.
 */
#define PACE_PIECES_PER_S 256u
#define PACE_PIECE_MIN 1024u
#define PACE_CHANNEL_MIN (16u << 10)

void pace_init(struct pace *p, uint64_t bytes_per_second)
{
	p->ticks_per_byte = bytes_per_second ? PACE_TICKS_PER_S / (double)bytes_per_second : 0;
	atomic_init(&p->next, 0);
}

size_t pace_piece(uint64_t bytes_per_second, unsigned channels)
{
	const uint64_t piece = bytes_per_second / PACE_PIECES_PER_S;

	if (!bytes_per_second || bytes_per_second / channels < PACE_CHANNEL_MIN)
		return SIZE_MAX;
	return piece > PACE_PIECE_MIN ? piece : PACE_PIECE_MIN;
}

/* @ticks + the time that @bytes occupy the line. */
static uint64_t pace_after(const struct pace *p, uint64_t ticks, uint64_t bytes)
{
	/* A double holds 53 bits: exact to 1e-15, and too large only means PACE_END. */
	double cost = (double)bytes * p->ticks_per_byte + 0.5;

	if (ticks >= PACE_END || cost >= (double)(PACE_END - ticks))
		return PACE_END;
	return ticks + (uint64_t)cost;
}

/* The earliest place that may still be taken at @now_ns. */
static uint64_t pace_earliest(uint64_t now_ns)
{
	uint64_t from = now_ns > PACE_BURST_NS ? now_ns - PACE_BURST_NS : 0;

	return from < PACE_END / PACE_TICKS_PER_NS ? from * PACE_TICKS_PER_NS : PACE_END;
}

uint64_t pace_take(struct pace *p, uint64_t bytes, uint64_t now_ns)
{
	const uint64_t earliest = pace_earliest(now_ns);
	uint64_t next, place, after;

	if (!p->ticks_per_byte)
		return 0;
	/*
	 * Relaxed is enough: the clock carries no data.  That no two senders get the same place
	 * is the compare-and-exchange's own doing, in any order.
	 */
	next = atomic_load_explicit(&p->next, memory_order_relaxed);
	do {
		place = next > earliest ? next : earliest;
		after = pace_after(p, place, bytes);
	} while (!atomic_compare_exchange_weak_explicit(&p->next, &next, after,
							memory_order_relaxed,
							memory_order_relaxed));
	/* Up: never too early. */
	return (place + PACE_TICKS_PER_NS - 1) / PACE_TICKS_PER_NS;
}
