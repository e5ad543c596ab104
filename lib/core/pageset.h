/* SPDX-License-Identifier: MIT */
/*
 * A set of pages, by their index: in runs, of an image of any size, with memory only where
 * pages are.  For one thread.
 */
#ifndef MFD_CORE_PAGESET_H
#define MFD_CORE_PAGESET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/sparse.h"

struct pageset {
	struct sparse words;     /* uint64_t: bit i % 64 of word i / 64 is page i */
	uint64_t count;          /* pages in the set */
};

/* Empty.  Errors: MFD_OS. */
bool pageset_init(struct pageset *p, struct mfd_error *err) MFD_MUST_CHECK;

/* Also of a zeroed struct. */
void pageset_destroy(struct pageset *p);

/* [@first, @first + @count) are in it, or not in it.  Errors: MFD_OS. */
bool pageset_add(struct pageset *p, uint64_t first, uint64_t count,
		 struct mfd_error *err) MFD_MUST_CHECK;
void pageset_remove(struct pageset *p, uint64_t first, uint64_t count);

bool pageset_has(const struct pageset *p, uint64_t page);

/*
 * The next run of pages at or behind *@first and before @end that are in the set: true with
 * *@first and *@ret_count, false when there is none.  Walk with: for (i = 0; pageset_next(p,
 * end, &i, &n); i += n)
 */
bool pageset_next(const struct pageset *p, uint64_t end, uint64_t *first, uint64_t *ret_count);

#endif
