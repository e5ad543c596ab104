/* SPDX-License-Identifier: MIT */
/*
 * One packet, from behind its header to the sink.  Nothing is written before all of the packet is
 * here, decoded and verified.
 */
#include "recv/session.h"

#include <inttypes.h>

#include "base/bitmap.h"
#include "base/clock.h"
#include "base/hash.h"

/* What a PAGES packet says about its pages. */
struct maps {
	uint64_t carried[BATCH_WORDS], data[BATCH_WORDS], kept[BATCH_WORDS];
	uint64_t kept_sum;
};

/*
 * Bitmaps and payload in one receive: into `pages` where they are as they were, into `coded`
 * otherwise.
 */
static bool recv_rest(struct recv_thread *t, const struct wire_packet *p, struct maps *ret,
		      bool *ret_lost, struct mfd_error *err)
{
	uint8_t bitmaps[WIRE_MAX_BITMAPS_BYTES + WIRE_MAX_KEPT_BYTES];
	const bool kept = p->flags & WIRE_FLAG_KEPT;
	struct iovec iov[2] = {
		{ bitmaps, WIRE_BITMAPS_BYTES(p->count) + (kept ? WIRE_KEPT_BYTES(p->count) : 0) },
		{ p->method == METHOD_NONE ? t->pages : t->coded, p->payload },
	};
	const size_t want = iov[0].iov_len + iov[1].iov_len;
	size_t got;

	if (!recv_bytes(t, iov, p->payload ? 2 : 1, &got, err)) {
		*ret_lost = true;
		return false;
	}
	counter_add(&t->counters.bytes, got);
	if (got < want) {
		*ret_lost = true;
		return error_set(err, MFD_TRY_AGAIN,
				 "packet: connection closed after %zu of %zu bytes", got, want);
	}
	return wire_get_bitmaps(p, bitmaps, ret->carried, ret->data, err) &&
	       (!kept || wire_get_kept(p, bitmaps + WIRE_BITMAPS_BYTES(p->count), ret->carried,
				       ret->data, ret->kept, &ret->kept_sum, err));
}

/* The sum over the data pages, which stand one behind another. */
static uint64_t sum_pages(const struct recv_thread *t, const struct wire_packet *p,
			  const uint64_t *data)
{
	const uint8_t *page = t->pages;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < p->count; i++) {
		if (!bitmap_test(data, i))
			continue;
		sum += hash_page(page, PAGE_BYTES, p->region, p->first + i);
		page += PAGE_BYTES;
	}
	return sum;
}

static bool decode(struct recv_thread *t, const struct wire_packet *p, const uint64_t *data,
		   struct mfd_error *err)
{
	const size_t bytes = (size_t)p->data_pages * PAGE_BYTES;
	struct method *m = t->method[p->method];
	uint64_t sum;

	if (p->method != METHOD_NONE &&
	    !m->ops->recv_pages(m, t->coded, p->payload, t->pages, bytes, err))
		return error_wrap(err, "pages from %" PRIu64, p->first);
	sum = sum_pages(t, p, data);
	if (sum != p->sum)
		return error_set(err, MFD_DATA,
				 "pages from %" PRIu64 " were damaged on the way: hash %016" PRIx64
				 ", should be %016" PRIx64,
				 p->first, sum, p->sum);
	return true;
}

uint64_t recv_clip(const struct recv_session *s, uint64_t offset, uint64_t bytes)
{
	if (s->hello.size != MFD_UNKNOWN && bytes > s->hello.size - offset)
		return s->hello.size - offset;
	return bytes;
}

static bool zero(struct recv_thread *t, const struct wire_packet *p, uint64_t first, uint64_t count,
		 struct mfd_error *err)
{
	struct recv_session *s = t->session;
	const uint64_t offset = first * PAGE_BYTES;
	const bool fresh = p->round == 0 && !(p->flags & WIRE_FLAG_AGAIN);

	return s->sink->ops->zero(s->sink, offset, recv_clip(s, offset, count * PAGE_BYTES), fresh,
				  &s->stop, err);
}

static bool store(struct recv_thread *t, const struct wire_packet *p, const struct maps *maps,
		  struct mfd_error *err)
{
	struct recv_session *s = t->session;
	uint64_t zeros[BATCH_WORDS];
	const uint8_t *bytes = t->pages;
	uint32_t i, n;

	for (i = 0; bitmap_next_run(maps->data, (uint32_t)p->count, &i, &n); i += n) {
		const uint64_t offset = (p->first + i) * PAGE_BYTES,
			       size = (uint64_t)n * PAGE_BYTES;

		if (!s->sink->ops->write(s->sink, offset, bytes, recv_clip(s, offset, size), err))
			return false;
		bytes += size;
	}
	for (i = 0; i < BITMAP_WORDS(p->count); i++)
		zeros[i] = maps->carried[i] &
			   ~(maps->data[i] | (p->flags & WIRE_FLAG_KEPT ? maps->kept[i] : 0));
	for (i = 0; bitmap_next_run(zeros, (uint32_t)p->count, &i, &n); i += n) {
		if (!zero(t, p, p->first + i, n, err))
			return false;
	}
	return true;
}

static void count(struct recv_thread *t, const struct wire_packet *p, uint64_t pages, uint64_t kept,
		  uint64_t kept_sum)
{
	const struct totals one = {
		.packets = 1,
		.pages = pages,
		.zero_pages = pages - p->data_pages - kept,
		.sum = p->sum + kept_sum,
	};

	totals_add(&t->totals, &one);
	counter_add(&t->counters.pages_data, p->data_pages);
	counter_add(&t->counters.pages_zero, one.zero_pages);
}

bool recv_packet(struct recv_thread *t, const struct wire_packet *p, bool *ret_lost,
		 struct mfd_error *err)
{
	uint64_t since, pages = p->count, kept = 0;
	struct maps maps;

	if (p->kind == WIRE_PAGES) {
		if (!recv_rest(t, p, &maps, ret_lost, err))
			return false;
		since = clock_ns();
		if (p->data_pages && !decode(t, p, maps.data, err))
			return false;
		counter_add(&t->counters.wait_codec, clock_ns() - since);
		pages = bitmap_count(maps.carried, (uint32_t)p->count);
	}
	if (p->flags & WIRE_FLAG_KEPT) {
		if (!recv_keep(t, p, maps.kept, maps.kept_sum, err))
			return false;
		kept = bitmap_count(maps.kept, (uint32_t)p->count);
	}
	since = clock_ns();
	if (p->kind == WIRE_ZERO ? !zero(t, p, p->first, p->count, err) : !store(t, p, &maps, err))
		return false;
	counter_add(&t->counters.wait_sink, clock_ns() - since);
	count(t, p, pages, kept, kept ? maps.kept_sum : 0);
	return true;
}
