/* SPDX-License-Identifier: MIT */
/*
 * The two fences of the core, and what stands in for them under ThreadSanitizer, which does not
 * understand fences: it would report races that are none. In that build the scan loads with
 * acquire instead of fencing once at its end, and the store-buffering fence becomes a
 * read-modify-write of one word by both sides: of two such operations one comes second and has
 * seen the first. This is the only place where the builds differ; the rules and their tags are
 * the same.
 */
#ifndef MFD_CORE_FENCE_H
#define MFD_CORE_FENCE_H

#include <stdatomic.h>
#include <stdint.h>

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define FENCE_BY_ACCESS 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(FENCE_BY_ACCESS)

/* The order of a scan's loads, and the fence that ends the scan.  pair: HANDOFF_DONE */
#define FENCE_SCAN memory_order_acquire

static inline void fence_scan_end(void)
{
}

/* Store, and let nothing behind it look at memory before others can see it.  pair: SLEEPER_WAKE */
static inline void fence_store(_Atomic uint32_t *word, uint32_t value)
{
	atomic_exchange_explicit(word, value, memory_order_seq_cst);
}

/* Let others see all stores so far, only then look.  pair: SLEEPER_WAKE */
static inline uint32_t fence_load(_Atomic uint32_t *word)
{
	return atomic_fetch_add_explicit(word, 0, memory_order_seq_cst);
}

#else

/* No order of its own: fence_scan_end() gives it to all of the scan's loads.  pair: HANDOFF_DONE */
#define FENCE_SCAN memory_order_relaxed

static inline void fence_scan_end(void)
{
	/* Acquires for all of the scan's loads at once.  pair: HANDOFF_DONE */
	atomic_thread_fence(memory_order_acquire);
}

static inline void fence_store(_Atomic uint32_t *word, uint32_t value)
{
	atomic_store_explicit(word, value, memory_order_relaxed);
	/* Drains the store buffer before anything is looked at.  pair: SLEEPER_WAKE */
	atomic_thread_fence(memory_order_seq_cst);
}

static inline uint32_t fence_load(_Atomic uint32_t *word)
{
	/*
	 * The same on the other side: without both of them each may miss the other's store.
	 * pair: SLEEPER_WAKE
	 */
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(word, memory_order_relaxed);
}

#endif
#endif
