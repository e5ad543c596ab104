/* SPDX-License-Identifier: MIT */
/*
 * The pages of a packet that the output has already.  They are read once more, because they were
 * hashed a while ago and the image hash is to be about what is there now; what comes from another
 * file is then written from the very bytes that were hashed.
 */
#include "recv/session.h"

#include <inttypes.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/clock.h"
#include "base/hash.h"

/* Page i of the packet to t->kept at its place; bits of @ret_copy: it has to be written. */
static bool read_kept(struct recv_thread *t, const struct wire_packet *p, const uint64_t *kept,
		      uint64_t *ret_copy, struct mfd_error *err)
{
	uint64_t copy[BATCH_WORDS];
	uint32_t i, n, j, m;

	memset(ret_copy, 0, BITMAP_WORDS(p->count) * sizeof(*ret_copy));
	for (i = 0; bitmap_next_run(kept, (uint32_t)p->count, &i, &n); i += n) {
		if (!sink_basis_read(t->session->sink->basis, p->first + i, n,
				     t->kept + (size_t)i * PAGE_BYTES, copy, err))
			return false;
		for (j = 0; bitmap_next_run(copy, n, &j, &m); j += m)
			bitmap_set_run(ret_copy, i + j, m);
	}
	return true;
}

static uint64_t sum_kept(const struct recv_thread *t, const struct wire_packet *p,
			 const uint64_t *kept)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < p->count; i++)
		if (bitmap_test(kept, i))
			sum += hash_page(t->kept + (size_t)i * PAGE_BYTES, PAGE_BYTES, p->region,
					 p->first + i);
	return sum;
}

bool recv_keep(struct recv_thread *t, const struct wire_packet *p, const uint64_t *kept,
	       uint64_t sum, struct mfd_error *err)
{
	const uint64_t since = clock_ns();
	uint64_t copy[BATCH_WORDS], got;
	uint32_t i, n;

	if (!read_kept(t, p, kept, copy, err))
		return false;
	got = sum_kept(t, p, kept);
	if (got != sum)
		return error_set(err, MFD_DATA,
				 "pages from %" PRIu64 ": the basis changed while it "
				 "was used: hash %016" PRIx64 ", should be %016" PRIx64,
				 p->first, got, sum);
	for (i = 0; bitmap_next_run(copy, (uint32_t)p->count, &i, &n); i += n) {
		const uint64_t offset = (p->first + i) * PAGE_BYTES;
		const uint64_t size = recv_clip(t->session, offset, (uint64_t)n * PAGE_BYTES);

		if (!t->session->sink->ops->write(t->session->sink, offset,
						  t->kept + (size_t)i * PAGE_BYTES, size, err))
			return false;
	}
	counter_add(&t->counters.pages_kept, bitmap_count(kept, (uint32_t)p->count));
	counter_add(&t->counters.wait_sink, clock_ns() - since);
	return true;
}
