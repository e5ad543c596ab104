/* SPDX-License-Identifier: MIT */
/*
 * A very long array of which little is touched: one record for each page of an image whose size
 * is not known, or of which most is a hole.  Records come into being, zeroed, in chunks; what
 * nobody reserved costs nothing.
 *
 * Nothing moves when it grows, and nothing here locks.  One thread, the owner, reserves, clears
 * and sums up.  A record belongs to whoever the owner passes its index to, in a way that orders
 * memory (the hand-off does).
 */
#ifndef MFD_CORE_SPARSE_H
#define MFD_CORE_SPARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Three levels: 2^19 pointers to 2^19 pointers to chunks of 2^12 records, together the 2^50
 * pages that the wire allows.
 */
#define SPARSE_CHUNK_BITS 12
#define SPARSE_TABLE_BITS 19
#define SPARSE_CHUNK (UINT64_C(1) << SPARSE_CHUNK_BITS)
#define SPARSE_TABLE (UINT64_C(1) << SPARSE_TABLE_BITS)
#define SPARSE_LIMIT (UINT64_C(1) << (SPARSE_CHUNK_BITS + 2 * SPARSE_TABLE_BITS))

struct sparse {
	size_t record_bytes;     /* 0: not in use */
	void ***top;             /* [SPARSE_TABLE] tables of [SPARSE_TABLE] chunks, or NULL */
};

/*
 * Tables are only looked at where something is, so that the kernel backs little of them.
 * Errors: MFD_OS.
 */
bool sparse_init(struct sparse *s, size_t record_bytes, struct mfd_error *err) MFD_MUST_CHECK;

/* Also of a zeroed struct. */
void sparse_destroy(struct sparse *s);

/* The record at @index; NULL if it was never reserved. */
static inline void *sparse_at(const struct sparse *s, uint64_t index)
{
	void **table = s->top[index >> (SPARSE_CHUNK_BITS + SPARSE_TABLE_BITS)];
	char *chunk = table ? table[index >> SPARSE_CHUNK_BITS & (SPARSE_TABLE - 1)] : NULL;

	return chunk ? chunk + (index & (SPARSE_CHUNK - 1)) * s->record_bytes : NULL;
}

/*
 * Owner.  From now on there are records for [@first, @first + @count), which lies below
 * SPARSE_LIMIT.  Errors: MFD_OS.
 */
bool sparse_reserve(struct sparse *s, uint64_t first, uint64_t count,
		    struct mfd_error *err) MFD_MUST_CHECK;

/* Owner.  What there is of [@first, @first + @count) is zeroed. */
void sparse_clear(struct sparse *s, uint64_t first, uint64_t count);

/*
 * Owner.  The first run of records that lie in one chunk at or behind *@first and before @end:
 * true with *@first and *@ret_count, false when there is none.  It skips what was never
 * reserved in large steps.
 */
bool sparse_next(const struct sparse *s, uint64_t end, uint64_t *first, uint64_t *ret_count);

#endif
