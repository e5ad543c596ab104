/* SPDX-License-Identifier: MIT */
/*
 * The sums that go with batches.
 */
#include "core/batch.h"

void totals_add(struct totals *t, const struct totals *more)
{
	t->packets += more->packets;
	t->pages += more->pages;
	t->zero_pages += more->zero_pages;
	t->sum += more->sum;
}

bool totals_equal(const struct totals *a, const struct totals *b)
{
	return a->packets == b->packets && a->pages == b->pages && a->zero_pages == b->zero_pages &&
	       a->sum == b->sum;
}

uint64_t batch_pages_of(uint64_t bytes)
{
	/* Not (bytes + PAGE_BYTES - 1) / PAGE_BYTES: that wraps round for the last few values. */
	return bytes / PAGE_BYTES + (bytes % PAGE_BYTES != 0);
}
