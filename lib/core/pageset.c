/* SPDX-License-Identifier: MIT */
/*
 * Page sets: words of bits in a sparse array.
 */
#include "core/pageset.h"

bool pageset_init(struct pageset *p, struct mfd_error *err)
{
	p->count = 0;
	return sparse_init(&p->words, sizeof(uint64_t), err);
}

void pageset_destroy(struct pageset *p)
{
	sparse_destroy(&p->words);
}

/* The bits of word @word that belong to [@first, @end). */
static uint64_t pageset_mask(uint64_t word, uint64_t first, uint64_t end)
{
	uint64_t mask = ~UINT64_C(0);

	if (first > word * 64)
		mask &= ~UINT64_C(0) << (first - word * 64);
	if (end < (word + 1) * 64)
		mask &= ~UINT64_C(0) >> ((word + 1) * 64 - end);
	return mask;
}

bool pageset_add(struct pageset *p, uint64_t first, uint64_t count, struct mfd_error *err)
{
	const uint64_t end = first + count;

	if (count == 0)
		return true;
	if (!sparse_reserve(&p->words, first / 64, (end - 1) / 64 - first / 64 + 1, err))
		return false;
	for (uint64_t w = first / 64; w <= (end - 1) / 64; w++) {
		uint64_t *word = sparse_at(&p->words, w);
		const uint64_t mask = pageset_mask(w, first, end);

		p->count += (uint64_t)__builtin_popcountll(mask & ~*word);
		*word |= mask;
	}
	return true;
}

void pageset_remove(struct pageset *p, uint64_t first, uint64_t count)
{
	const uint64_t end = first + count;
	uint64_t w = first / 64, n;

	for (; count && sparse_next(&p->words, (end - 1) / 64 + 1, &w, &n); w += n) {
		uint64_t *word = sparse_at(&p->words, w);

		for (uint64_t i = 0; i < n; i++) {
			const uint64_t mask = pageset_mask(w + i, first, end);

			p->count -= (uint64_t)__builtin_popcountll(mask & word[i]);
			word[i] &= ~mask;
		}
	}
}

bool pageset_has(const struct pageset *p, uint64_t page)
{
	const uint64_t *word = sparse_at(&p->words, page / 64);

	return word && *word >> (page % 64) & 1;
}

/* The first page at or behind @first that is in the set, before @end; @end for none. */
static uint64_t pageset_find(const struct pageset *p, uint64_t first, uint64_t end)
{
	uint64_t w = first / 64, n;

	for (; first < end && sparse_next(&p->words, (end - 1) / 64 + 1, &w, &n); w += n) {
		const uint64_t *word = sparse_at(&p->words, w);

		for (uint64_t i = 0; i < n; i++) {
			const uint64_t bits = word[i] & pageset_mask(w + i, first, end);

			if (bits)
				return (w + i) * 64 + (uint64_t)__builtin_ctzll(bits);
		}
	}
	return end;
}

bool pageset_next(const struct pageset *p, uint64_t end, uint64_t *first, uint64_t *ret_count)
{
	uint64_t at = pageset_find(p, *first, end), i;

	if (at >= end)
		return false;
	for (i = at; i < end;) {
		const uint64_t *word = sparse_at(&p->words, i / 64);
		const uint64_t gap = word ? ~*word >> (i % 64) : ~UINT64_C(0);

		if (gap) {
			i += (uint64_t)__builtin_ctzll(gap);
			break;
		}
		i = (i / 64 + 1) * 64;
	}
	*first = at;
	*ret_count = (i < end ? i : end) - at;
	return true;
}
