/* SPDX-License-Identifier: MIT */
/*
 * Walking an image by its extents of data: what a source has to know is where the next one is.
 *
 * A hole of at least one batch becomes one zero run; a smaller one travels as pages without data
 * inside a batch, so that an image full of small holes still makes full batches.
 */
#ifndef MFD_SOURCE_EXTENTS_H
#define MFD_SOURCE_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/batch.h"

/*
 * The first extent of data that ends behind page @at: [*ret_first, *ret_end), *ret_first not
 * before @at.  Both come in as the end of the image, which says that there is none; what lies
 * behind it is cut off.
 */
typedef bool extents_find_fn(void *source, uint64_t at, uint64_t *ret_first, uint64_t *ret_end,
			     struct mfd_error *err);

/* For one thread, the producer. */
struct extents {
	extents_find_fn *find;
	void *source;
	uint64_t pages;          /* of the image */
	uint64_t at;             /* the next page to hand out */
	uint64_t data_first;     /* the first extent of data that ends behind `at`, in pages; */
	uint64_t data_end;       /* both are `pages` when there is none */
};

/* From the first page on. */
void extents_init(struct extents *e, extents_find_fn *find, void *source, uint64_t pages);

/* The next batch, or *ret_end; as the slot `next` of a source. */
bool extents_next(struct extents *e, uint32_t max_pages, struct batch *ret_batch, bool *ret_end,
		  struct mfd_error *err) MFD_MUST_CHECK;

#endif
