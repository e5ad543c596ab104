/* SPDX-License-Identifier: MIT */
/*
 * From extents of data to batches.
 */
#include "source/extents.h"

#include <string.h>

void extents_init(struct extents *e, extents_find_fn *find, void *source, uint64_t pages)
{
	*e = (struct extents){ .find = find, .source = source, .pages = pages };
}

/* A look-up only when the last extent is used up. */
static bool extents_look(struct extents *e, struct mfd_error *err)
{
	uint64_t first = e->pages, end = e->pages;

	if (e->at < e->data_end)
		return true;
	if (!e->find(e->source, e->at, &first, &end, err))
		return false;
	e->data_first = first < e->pages ? first : e->pages;
	e->data_end = end < e->pages ? end : e->pages;
	return true;
}

/*
 * Where a batch from `at` ends at the latest: @max_pages on, or earlier at a multiple of
 * @max_pages if the extent needs no more batches for that and begins before it.  Page caches
 * and huge pages like aligned transfers.
 */
static uint64_t extents_limit(const struct extents *e, uint32_t max_pages)
{
	uint64_t boundary = (e->at / max_pages + 1) * max_pages;
	uint64_t plain = (e->data_end - e->at + max_pages - 1) / max_pages;
	uint64_t aligned = (e->data_end + max_pages - 1) / max_pages - e->at / max_pages;
	uint64_t limit =
		aligned <= plain && e->data_first < boundary ? boundary : e->at + max_pages;

	return limit < e->pages ? limit : e->pages;
}

/*
 * A batch with data: from `at`, which is at most a small hole away from it, through small
 * holes, up to a large hole or the limit.
 */
static bool extents_take(struct extents *e, uint32_t max_pages, struct batch *b,
			 struct mfd_error *err)
{
	uint64_t limit = extents_limit(e, max_pages);
	uint64_t end;

	memset(b->carried, 0, sizeof(b->carried));
	memset(b->data, 0, sizeof(b->data));
	b->first = e->at;
	b->zero_run = false;
	while (e->at < limit) {
		if (!extents_look(e, err))
			return false;
		if (e->data_first > e->at && e->data_first - e->at >= max_pages)
			break;
		if (e->data_first >= limit) {
			e->at = limit;
			break;
		}
		if (e->at < e->data_first)
			e->at = e->data_first;
		end = e->data_end < limit ? e->data_end : limit;
		bitmap_set_run(b->data, (uint32_t)(e->at - b->first), (uint32_t)(end - e->at));
		e->at = end;
	}
	b->count = e->at - b->first;
	bitmap_fill(b->carried, (uint32_t)b->count);
	return true;
}

bool extents_next(struct extents *e, uint32_t max_pages, struct batch *ret_batch, bool *ret_end,
		  struct mfd_error *err)
{
	*ret_end = e->at == e->pages;
	if (*ret_end)
		return true;
	if (!extents_look(e, err))
		return false;
	ret_batch->region = 0;
	if (e->data_first == e->pages || e->data_first >= e->at + max_pages) {
		ret_batch->zero_run = true;
		ret_batch->first = e->at;
		ret_batch->count = e->data_first - e->at;
		e->at = e->data_first;
		return true;
	}
	return extents_take(e, max_pages, ret_batch, err);
}
