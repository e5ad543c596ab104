/* SPDX-License-Identifier: MIT */
/*
 * Small bitmaps in 64-bit words, for one thread at a time; bit i is bit i % 64 of word i / 64.
 */
#ifndef MFD_BASE_BITMAP_H
#define MFD_BASE_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

#define BITMAP_WORDS(bits) (((bits) + 63) / 64)

static inline bool bitmap_test(const uint64_t *map, uint32_t i)
{
	return map[i / 64] >> (i % 64) & 1;
}

static inline void bitmap_set(uint64_t *map, uint32_t i)
{
	map[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline void bitmap_clear(uint64_t *map, uint32_t i)
{
	map[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

/* Set the first @bits bits and clear the rest of their last word. */
void bitmap_fill(uint64_t *map, uint32_t bits);

/* Set bits [first, first + count). */
void bitmap_set_run(uint64_t *map, uint32_t first, uint32_t count);

/* How many of the first @bits bits are set. */
uint32_t bitmap_count(const uint64_t *map, uint32_t bits);

/* Every bit set in @part is set in @whole, and none at or beyond @bits is set in either. */
bool bitmap_within(const uint64_t *part, const uint64_t *whole, uint32_t bits);

/*
 * The next run of set bits at or after *first: true with *first and *ret_count, false when there is
 * none before @bits. Walk all runs with: for (i = 0; bitmap_next_run(map, bits, &i, &n); i += n)
 */
bool bitmap_next_run(const uint64_t *map, uint32_t bits, uint32_t *first, uint32_t *ret_count);

#endif
