/* SPDX-License-Identifier: MIT */
/*
 * The sparse array.
 */
#include "core/sparse.h"

#include <stdlib.h>
#include <string.h>

#include "core/invariant.h"

/* Records that one table leads to. */
#define TABLE_RECORDS (SPARSE_TABLE * SPARSE_CHUNK)

bool sparse_init(struct sparse *s, size_t record_bytes, struct mfd_error *err)
{
	s->record_bytes = record_bytes;
	s->top = calloc(SPARSE_TABLE, sizeof(*s->top));
	return s->top || error_set(err, MFD_OS, "out of memory");
}

void sparse_destroy(struct sparse *s)
{
	for (uint64_t i = 0; s->top && i < SPARSE_TABLE; i++) {
		for (uint64_t j = 0; s->top[i] && j < SPARSE_TABLE; j++)
			free(s->top[i][j]);
		free(s->top[i]);
	}
	free(s->top);
	*s = (struct sparse){ 0 };
}

/* The pointer to the chunk that has @index; NULL when memory is out. */
static void **sparse_slot(struct sparse *s, uint64_t index)
{
	void ***table = &s->top[index / TABLE_RECORDS];

	if (!*table)
		*table = calloc(SPARSE_TABLE, sizeof(**table));
	return *table ? &(*table)[index / SPARSE_CHUNK % SPARSE_TABLE] : NULL;
}

bool sparse_reserve(struct sparse *s, uint64_t first, uint64_t count, struct mfd_error *err)
{
	if (first > SPARSE_LIMIT || count > SPARSE_LIMIT - first)
		invariant_broken("mfd: bug: records outside of a sparse array\n");
	for (uint64_t i = first / SPARSE_CHUNK * SPARSE_CHUNK; i < first + count;
	     i += SPARSE_CHUNK) {
		void **slot = sparse_slot(s, i);

		if (slot && !*slot)
			*slot = calloc(SPARSE_CHUNK, s->record_bytes);
		if (!slot || !*slot)
			return error_set(err, MFD_OS, "out of memory");
	}
	return true;
}

bool sparse_next(const struct sparse *s, uint64_t end, uint64_t *first, uint64_t *ret_count)
{
	uint64_t i = *first;

	if (end > SPARSE_LIMIT)
		end = SPARSE_LIMIT;
	while (i < end) {
		if (!s->top[i / TABLE_RECORDS]) {
			i = (i / TABLE_RECORDS + 1) * TABLE_RECORDS;
		} else if (!sparse_at(s, i)) {
			i = (i / SPARSE_CHUNK + 1) * SPARSE_CHUNK;
		} else {
			*first = i;
			*ret_count = SPARSE_CHUNK - i % SPARSE_CHUNK;
			if (*ret_count > end - i)
				*ret_count = end - i;
			return true;
		}
	}
	return false;
}

void sparse_clear(struct sparse *s, uint64_t first, uint64_t count)
{
	const uint64_t end = first + count;
	uint64_t n;

	for (; sparse_next(s, end, &first, &n); first += n)
		memset(sparse_at(s, first), 0, n * s->record_bytes);
}
