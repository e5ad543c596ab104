/* SPDX-License-Identifier: MIT */
/*
 * A sender thread, one per data channel.
 *
 * Life: the main thread sets everything up, connects the channel and starts it.  It takes one
 * token at a time from its inbox.  For a batch it reserves a place in its log of what is in
 * flight, gets the bytes (reads them from the source, or finds them in the batch), finds the zero
 * pages, hashes the others, lets the method code them, takes a sequence number, enters the batch
 * in the log and writes one packet; then the slot goes back.  For a sync it writes one SYNC
 * packet.  For exit it returns.
 *
 * Every page is copied once, into `pages` (or by the source into the pool): zero test, hash,
 * codec and socket all use that copy, because the source may change under us.
 *
 * Error: a failing source or codec is a real cause, which it reports, and it returns.  Its inbox
 * and log stay as they are; nothing is freed before it has been joined.
 *
 * Loss: a failing socket is only a lost connection, which this thread outlives
 * (failover.c).  Until there is the next one it goes on taking tokens: a batch goes to the
 * session's `returned` list, a sync is answered unsent, behind the batches as ever.
 *
 * It waits in four places, and the door has a kick for each: a token (handoff_request_exit), room
 * in the log (inflight_close), the bandwidth limit (the stop event) and the socket (shutdown).  It
 * never waits for the producer or for another channel.
 */
#include "send/failover.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "wire/wire.h"

static_assert(INFLIGHT_DEPTH <= METHOD_UNACKNOWLEDGED_MAX, "the log is what methods expect");

/* Header and bitmaps come first, then the payload's runs. */
#define THREAD_IOVS (1 + METHOD_IOVS(BATCH_MAX_PAGES))

bool send_thread_init(struct send_thread *t, struct send_session *s, uint32_t id,
		      struct mfd_error *err)
{
	const size_t bytes = (size_t)s->params.packet_pages * PAGE_BYTES;

	t->session = s;
	t->id = id;
	t->generation = 1;
	t->proven = true;
	t->zero = zero_best();
	t->iov = calloc(THREAD_IOVS, sizeof(*t->iov));
	t->inbox = aligned_alloc(CACHE_LINE,
				 (sizeof(*t->inbox) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
	if (!t->iov || !t->inbox)
		goto no_memory;
	memset(t->inbox, 0, sizeof(*t->inbox));
	if (!s->use_pool && !(t->pages = aligned_alloc(PAGE_BYTES, bytes)))
		goto no_memory;
	if (!handoff_init(t->inbox, err) || !inflight_init(&t->log, err) ||
	    !s->params.method->new_sender(s->params.level, bytes, &t->method, err))
		return false;
	if (id)
		t->method->ops->join(t->method, s->thread[0].method);
	return true;

no_memory:
	return error_set(err, MFD_OS, "channel %u: out of memory", (unsigned)id);
}

void send_thread_destroy(struct send_thread *t)
{
	if (t->channel)
		t->channel->ops->free(t->channel);
	if (t->method)
		t->method->ops->free(t->method);
	inflight_destroy(&t->log);
	if (t->inbox)
		handoff_destroy(t->inbox);
	free(t->inbox);
	free(t->pages);
	free(t->iov);
}

/* Nanoseconds since *since, which becomes now. */
static uint64_t lap(uint64_t *since)
{
	uint64_t now = clock_ns(), passed = now - *since;

	*since = now;
	return passed;
}

/* Zero test and hashes: what is really data, and the totals this packet adds. */
static void examine(struct send_thread *t, struct batch *batch, uint8_t *pages, struct totals *ret)
{
	const struct sparse *page_hash = t->session->many_rounds ? &t->session->page_hash : NULL;
	const uint32_t count = (uint32_t)batch->count;
	uint32_t data, packed = 0;

	data = batch->packed ? bitmap_count(batch->data, count) :
		zero_scan(t->zero, pages, PAGE_BYTES, batch->data, count);
	*ret = (struct totals){ .packets = 1,
				.pages = bitmap_count(batch->carried, count),
				.sum = batch->kept_sum };
	/*
	 * Pages are kept already only in a batch that was sent before: they are what they were
	 * then.
	 */
	ret->zero_pages = ret->pages - data - bitmap_count(batch->kept, count);
	for (uint32_t i = 0; i < count; i++) {
		uint64_t hash = 0;

		if (bitmap_test(batch->data, i)) {
			const uint8_t *page = pages +
					      (size_t)(batch->packed ? packed++ : i) * PAGE_BYTES;

			hash = hash_page(page, PAGE_BYTES, batch->region, batch->first + i);
			ret->sum += hash;
		}
		if (page_hash && bitmap_test(batch->carried, i) && !bitmap_test(batch->kept, i))
			*(uint64_t *)sparse_at(page_hash, batch->first + i) = hash;
	}
}

/* A run of zero pages, however long.  The producer has seen to their hashes. */
static void examine_zero_run(const struct batch *batch, struct totals *ret)
{
	*ret = (struct totals){ .packets = 1, .pages = batch->count, .zero_pages = batch->count };
}

/*
 * All pages from the first to the last are carried and zero: then the short packet says the same.
 */
static bool all_zero(const struct batch *batch, const struct totals *totals)
{
	return batch->zero_run ||
	       (totals->zero_pages == totals->pages && totals->pages == batch->count);
}

/* Header and bitmaps into t->raw; returns their bytes. */
static size_t put_header(struct send_thread *t, const struct inflight_entry *e,
			 const struct method_payload *payload)
{
	const struct batch *b = &e->batch;
	struct wire_packet p = {
		.kind = all_zero(b, &e->totals) ? WIRE_ZERO : WIRE_PAGES,
		.flags = b->again ? WIRE_FLAG_AGAIN : 0,
		.round = b->round,
		.region = b->region,
		.sequence = e->sequence,
		.batch = b->id,
		.first = b->first,
		.count = b->count,
		.data_pages = b->zero_run ? 0 : bitmap_count(b->data, (uint32_t)b->count),
		.payload = payload->bytes,
		.method = (uint8_t)payload->id,
		.sum = e->totals.sum - b->kept_sum,
	};
	size_t bitmaps = 0;

	if (payload->bytes && payload->id == METHOD_NONE && t->method->ops->id != METHOD_NONE)
		p.flags |= WIRE_FLAG_RAW;
	if (p.kind == WIRE_PAGES) {
		bitmaps = wire_put_bitmaps(b->carried, b->data, (uint32_t)b->count,
					   t->raw + WIRE_PACKET_BYTES);
		p.bitmap_hash = hash_bytes(t->raw + WIRE_PACKET_BYTES, bitmaps);
		if (bitmap_count(b->kept, (uint32_t)b->count)) {
			p.flags |= WIRE_FLAG_KEPT;
			bitmaps += wire_put_kept(b->kept, b->kept_sum, (uint32_t)b->count,
						 t->raw + WIRE_PACKET_BYTES + bitmaps);
		}
	}
	wire_put_packet(&p, t->raw);
	return WIRE_PACKET_BYTES + bitmaps;
}

/*
 * Write t->iov, its first entry being @header bytes of t->raw, within the bandwidth limit.  False
 * without a report if the door opened; a lost connection is none of the caller's business.
 */
static bool put_on_wire(struct send_thread *t, size_t header, unsigned iovs, size_t payload)
{
	uint64_t since = clock_ns(), waited;

	t->iov[0] = (struct iovec){ t->raw, header };
	counter_add(&t->counters.packets, 1);
	if (!send_paced(t, iovs, header + payload, since))
		return false;
	counter_add(&t->packets_sent, 1);
	waited = lap(&since);
	counter_add(&t->counters.wait_socket, waited);
	t->method->ops->sent(t->method, &(struct method_sent){
		.wire_bytes = header + payload, .socket_ns = waited,
		.packets = inflight_published(&t->log),
		.acknowledged = inflight_acknowledged(&t->log) });
	return true;
}

/*
 * Get the bytes, look at them, code them: everything but the header.  The entry in the log becomes
 * what is really sent.
 */
static bool prepare(struct send_thread *t, struct inflight_entry *e, struct method_payload *payload,
		    struct mfd_error *err)
{
	struct source *source = t->session->source;
	struct batch *batch = &e->batch;
	struct method_pages pages = {
		.bytes = batch->bytes ? batch->bytes : t->pages,
		.page_bytes = PAGE_BYTES,
		.count = (uint32_t)batch->count,
		.data = batch->data,
		.packed = batch->packed,
	};
	uint64_t since = clock_ns();

	*payload = (struct method_payload){ .iov = t->iov + 1 };
	if (batch->zero_run) {
		examine_zero_run(batch, &e->totals);
		return true;
	}
	if (!batch->bytes && !source->ops->read(source, batch, t->pages, err))
		return false;
	counter_add(&t->counters.wait_source, lap(&since));
	examine(t, batch, pages.bytes, &e->totals);
	if (batch->match && !batch->again)
		match_pages(t->session->match, batch, pages.bytes, &e->totals);
	batch->match = NULL; /* its place goes with the slot */
	pages.data_pages = bitmap_count(batch->data, (uint32_t)batch->count);
	if (pages.data_pages && !t->method->ops->send_prepare(t->method, &pages, payload, err))
		return false;
	batch->packed = batch->bytes && pages.packed;
	counter_add(&t->counters.wait_codec, lap(&since));
	return true;
}

/* False: leave.  Whatever there was to report has been reported. */
static bool send_batch(struct send_thread *t, const struct batch *batch)
{
	struct method_payload payload;
	struct inflight_entry *e;
	struct mfd_error err;
	uint64_t since = clock_ns();
	size_t header;
	bool on;

	if (!inflight_reserve(&t->log))
		/* The door, or this connection was given up: the next token says which. */
		return send_failover_return(t, batch);
	counter_add(&t->counters.wait_handoff, lap(&since));
	e = inflight_next(&t->log);
	e->batch = *batch;
	if (!prepare(t, e, &payload, &err)) {
		verdict_report(&t->session->verdict, VERDICT_CAUSE, &err);
		return false;
	}
	e->sequence = inflight_take_sequence(&t->log);
	header = put_header(t, e, &payload);
	counter_add(&t->counters.pages_zero, e->totals.zero_pages);
	if (!e->batch.zero_run) {
		const uint32_t kept = bitmap_count(e->batch.kept, (uint32_t)e->batch.count);

		counter_add(&t->counters.pages_kept, kept);
		counter_add(&t->counters.pages_data, e->totals.pages - e->totals.zero_pages - kept);
	}
	inflight_publish(&t->log);
	on = put_on_wire(t, header, 1 + payload.iovs, payload.bytes);
	/* Sent or not, it is in the log, and comes back from there. */
	if (inflight_release(e)) {
		pool_put(&t->session->pool, batch->bytes);
		sleeper_wake(&t->session->producer);
	}
	return on;
}

static bool send_sync(struct send_thread *t)
{
	const struct send_sync *sync = &t->session->sync;
	struct wire_packet p = { .kind = WIRE_SYNC, .round = sync->round, .batch = sync->batches,
				 .sequence = inflight_take_sequence(&t->log) };

	wire_put_packet(&p, t->raw);
	return put_on_wire(t, WIRE_PACKET_BYTES, 1, 0);
}

/* One token's worth; false: leave. */
static bool serve(struct send_thread *t)
{
	struct sleeper *producer = &t->session->producer;
	uint64_t since = clock_ns(), flush;
	struct batch *batch;

	switch (handoff_take(t->inbox, &batch)) {
	case HANDOFF_EXIT:
		/* The flush does not count. */
		flush = counter_get(&t->session->flush_ns);
		counter_add(&t->counters.wait_handoff, flush > since ? flush - since : 0);
		return false;
	case HANDOFF_INTERRUPT:
		return send_failover_step(t);
	case HANDOFF_BATCH:
		counter_add(&t->counters.wait_handoff, lap(&since));
		if (t->down ? !send_failover_return(t, batch) : !send_batch(t, batch))
			return false;
		handoff_give_back(t->inbox, producer);
		return true;
	case HANDOFF_SYNC:
		counter_add(&t->counters.wait_handoff, lap(&since));
		if (!t->down && !send_sync(t))
			return false;
		handoff_sync_sent(t->inbox, producer);
		return true;
	}
	return false;
}

void *send_thread_main(void *thread)
{
	struct send_thread *t = thread;

	while (serve(t))
		;
	send_failover_leave(t);
	return NULL;
}
