/* SPDX-License-Identifier: MIT */
/*
 * Counters.  Each has one writing thread (relaxed load, add, relaxed store: no locked instruction);
 * anyone may read a snapshot, which is then a little old and never torn.  Nothing is synchronised
 * through them, but for counter_publish().
 */
#ifndef MFD_CORE_STATS_H
#define MFD_CORE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter;

static inline void counter_add(counter *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline void counter_set(counter *c, uint64_t n)
{
	atomic_store_explicit(c, n, memory_order_relaxed);
}

static inline uint64_t counter_get(const counter *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

/*
 * The one exception: the time a session began, which says that what it is made of (channels,
 * method, size) is set and stays. Publishing permits readers that see a value other than 0 to read
 * all of that.  pair: STATS_BEGAN
 */
static inline void counter_publish(counter *c, uint64_t n)
{
	atomic_store_explicit(c, n, memory_order_release);
}

/* What was written before counter_publish() may be read now.  pair: STATS_BEGAN */
static inline uint64_t counter_observe(const counter *c)
{
	return atomic_load_explicit(c, memory_order_acquire);
}

/* One channel, written by its sender or receiver thread. */
struct channel_counters {
	_Alignas(64) counter packets;
	counter bytes;           /* on the wire, headers included */
	counter pages_data;
	counter pages_zero;
	counter pages_kept;      /* the receiver had them already */

	/* Nanoseconds spent in each; a transfer is bound by the largest. */
	counter wait_source;     /* reading pages */
	counter wait_sink;       /* writing pages */
	counter wait_codec;      /* zero test, hash, compression */
	counter wait_socket;
	counter wait_handoff;    /* no work; or no room for unacknowledged batches */
};

#endif
