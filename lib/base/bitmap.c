/* SPDX-License-Identifier: MIT */
/*
 * Bitmaps a word at a time.
 */
#include "base/bitmap.h"

/* The bits of word @word that belong to the first @bits bits. */
static uint64_t bitmap_mask(uint32_t word, uint32_t bits)
{
	uint32_t rest = bits - word * 64;

	return rest >= 64 ? UINT64_MAX : (UINT64_C(1) << rest) - 1;
}

void bitmap_fill(uint64_t *map, uint32_t bits)
{
	for (uint32_t word = 0; word < BITMAP_WORDS(bits); word++)
		map[word] = bitmap_mask(word, bits);
}

void bitmap_set_run(uint64_t *map, uint32_t first, uint32_t count)
{
	while (count) {
		uint32_t shift = first % 64;
		uint32_t here = count < 64 - shift ? count : 64 - shift;

		map[first / 64] |= bitmap_mask(0, here) << shift;
		first += here;
		count -= here;
	}
}

uint32_t bitmap_count(const uint64_t *map, uint32_t bits)
{
	uint32_t count = 0;

	for (uint32_t word = 0; word < BITMAP_WORDS(bits); word++)
		count += (uint32_t)__builtin_popcountll(map[word] & bitmap_mask(word, bits));
	return count;
}

bool bitmap_within(const uint64_t *part, const uint64_t *whole, uint32_t bits)
{
	uint64_t outside = 0;

	for (uint32_t word = 0; word < BITMAP_WORDS(bits); word++) {
		outside |= part[word] & ~whole[word];
		outside |= whole[word] & ~bitmap_mask(word, bits);
	}
	return outside == 0;
}

/*
 * The first bit at or after @from that is set, or clear where @flip is all ones; @bits if
 * there is none.
 */
static uint32_t bitmap_next(const uint64_t *map, uint32_t bits, uint32_t from, uint64_t flip)
{
	uint64_t found;

	while (from < bits) {
		found = (map[from / 64] ^ flip) >> (from % 64);
		if (found) {
			from += (uint32_t)__builtin_ctzll(found);
			return from < bits ? from : bits;
		}
		from += 64 - from % 64;
	}
	return bits;
}

bool bitmap_next_run(const uint64_t *map, uint32_t bits, uint32_t *first, uint32_t *ret_count)
{
	uint32_t start = bitmap_next(map, bits, *first, 0);

	if (start >= bits)
		return false;
	*first = start;
	*ret_count = bitmap_next(map, bits, start, UINT64_MAX) - start;
	return true;
}
