/* SPDX-License-Identifier: MIT */
/*
 * The walk of one precopy round.  What the receiver has had once travels again only when it is
 * dirty; what is new in the image travels whole, its holes as zeros: the receiver may be writing
 * over an older image.
 */
#include <string.h>

#include "source/precopy.h"

void precopy_walk_begin(struct precopy *p, uint64_t from)
{
	p->from = p->at = from;
	p->pages = batch_pages_of(p->ops->bytes(p->image));
}

/* The round has something to say about this page; its content is zero unless precopy_is_data(). */
static bool precopy_is_carried(const struct precopy *p, uint64_t page)
{
	return page >= p->covered || pageset_has(&p->changes.dirty, page);
}

static bool precopy_is_data(const struct precopy *p, uint64_t page)
{
	return pageset_has(&p->changes.dirty, page) && pageset_has(&p->changes.held, page);
}

/* Go to the next page that is carried; false when there is none. */
static bool precopy_seek(struct precopy *p)
{
	uint64_t n;

	if (p->at < p->covered && !pageset_next(&p->changes.dirty, p->covered, &p->at, &n))
		p->at = p->covered;
	return p->at < p->pages;
}

/* How many pages from `at` on are carried and zero. */
static uint64_t precopy_zero_run(const struct precopy *p)
{
	uint64_t i = p->at, n, dirty;

	while (i < p->covered && precopy_is_carried(p, i) && !precopy_is_data(p, i))
		i++;
	while (i >= p->covered && i < p->pages) {
		dirty = i;
		if (!pageset_next(&p->changes.dirty, p->pages, &dirty, &n)) {
			i = p->pages;
			break;
		}
		if (precopy_is_data(p, dirty)) {
			i = dirty;
			break;
		}
		i = dirty + 1;
	}
	return i - p->at;
}

static void precopy_fill(const struct precopy *p, uint64_t limit, struct batch *b)
{
	uint64_t i;

	memset(b->carried, 0, sizeof(b->carried));
	memset(b->data, 0, sizeof(b->data));
	for (i = b->first; i < limit; i++) {
		if (!precopy_is_carried(p, i))
			continue;
		bitmap_set(b->carried, (uint32_t)(i - b->first));
		b->count = i - b->first + 1;
		if (precopy_is_data(p, i))
			bitmap_set(b->data, (uint32_t)(i - b->first));
	}
}

bool precopy_walk(struct precopy *p, uint32_t max_pages, struct batch *ret_batch)
{
	uint64_t zeros, limit;

	if (!precopy_seek(p))
		return false;
	zeros = precopy_zero_run(p);
	ret_batch->region = 0;
	ret_batch->first = p->at;
	ret_batch->zero_run = zeros >= max_pages;
	if (ret_batch->zero_run) {
		ret_batch->count = zeros;
	} else {
		limit = p->pages - p->at < max_pages ? p->pages : p->at + max_pages;
		precopy_fill(p, limit, ret_batch);
	}
	p->at += ret_batch->count;
	return true;
}
