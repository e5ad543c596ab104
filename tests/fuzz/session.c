/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a whole receiving session, all of its threads, against a script of what its peers
 * send (stage.h).  The first byte says what is put right in the script, so that what lies behind
 * checksums, hashes and totals is reached; the second after how many calls the sink fails, 0 for
 * never.  Then come records: connection, 16 bits of length, so many bytes; none: the connection
 * closes.
 *
 * A seed can ask to be committed, so that it does not go stale when the wire changes.  Whatever the
 * script, the session ends, with a verdict that its statistics agree with; it writes nothing beyond
 * the size it allows, and nothing after the output is in place; and each of its own messages can be
 * read.
 */
#include "fuzz.h"

#include "base/bitmap.h"
#include "stage.h"

#define REPAIR_CHECKSUMS 1u
#define REPAIR_TOTALS 2u
#define MUST_COMMIT 0x80u            /* in the corpus: a seed that does not any more is none */

/* Of an image: a few hundred pages do everything that more of them do. */
#define MAX_BYTES (UINT64_C(1) << 20)
#define MAX_CHANNELS 4u
#define MAX_ROUNDS 8u              /* whose batches are counted here */
#define TIMEOUT_MS 10000u

/* ---- A sink. ---- */

struct memory_sink {
	struct sink base;
	pthread_mutex_t lock;        /* guards the rest: */
	unsigned calls, fail_at;
	bool committed;
	uint8_t *bytes;              /* MAX_BYTES */
};

static bool sink_call(struct sink *sink, uint64_t offset, const void *bytes, uint64_t size,
		      struct mfd_error *err)
{
	struct memory_sink *s = (struct memory_sink *)sink;
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = ++s->calls != s->fail_at;
	FUZZ_CHECK(!s->committed);
	FUZZ_CHECK(offset <= MAX_BYTES && size <= MAX_BYTES - offset);
	if (ok && bytes)
		memcpy(s->bytes + offset, bytes, size);
	else if (ok)
		memset(s->bytes + offset, 0, size);
	pthread_mutex_unlock(&s->lock);
	return ok || error_set(err, MFD_IO, "No space left on device");
}

static bool sink_begin(struct sink *s, uint64_t size, uint64_t allocated, struct mfd_error *err)
{
	(void)allocated;
	return sink_call(s, 0, NULL, size == MFD_UNKNOWN ? 0 : size, err);
}

static bool sink_write(struct sink *s, uint64_t offset, const void *bytes, size_t size,
		       struct mfd_error *err)
{
	return sink_call(s, offset, bytes, size, err);
}

static bool sink_zero(struct sink *s, uint64_t offset, uint64_t size, bool fresh,
		      const struct event *stop, struct mfd_error *err)
{
	(void)fresh;
	(void)stop;
	return sink_call(s, offset, NULL, size, err);
}

static bool sink_commit(struct sink *s, uint64_t size, const struct event *stop,
			struct mfd_error *err)
{
	(void)stop;
	FUZZ_CHECK(size <= MAX_BYTES);
	if (!sink_call(s, 0, NULL, 0, err))
		return false;
	((struct memory_sink *)s)->committed = true;
	return true;
}

static const struct sink_ops sink_ops = {
	.kind = "memory", .begin = sink_begin, .write = sink_write, .zero = sink_zero,
	.commit = sink_commit,
};

/* ---- The script. ---- */

/*
 * First sizes, then the bytes: each connection's stand one behind another, because packets cross
 * records.
 */
static void read_script(struct stage *s, const uint8_t *bytes, size_t size)
{
	size_t at;

	for (unsigned pass = 0; pass < 2; pass++) {
		size_t used[STAGE_CONNECTIONS] = { 0 };

		s->records = 0;
		for (at = 0; size - at >= 3 && s->records < STAGE_RECORDS;) {
			const unsigned c = bytes[at] % STAGE_CONNECTIONS;
			size_t n = (size_t)bytes[at + 1] << 8 | bytes[at + 2];

			at += 3;
			n = n < size - at ? n : size - at;
			if (pass)
				memcpy(s->connection[c].bytes + used[c], bytes + at, n);
			used[c] += n;
			s->record[s->records++] = (struct stage_record){ (uint8_t)c, (uint16_t)n };
			at += n;
		}
		for (unsigned c = 0; c < STAGE_CONNECTIONS && !pass; c++) {
			s->connection[c].size = used[c];
			s->connection[c].bytes = fuzz_alloc(used[c] + 1);
		}
	}
}

static uint64_t get_u64(const uint8_t *at)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++)
		value = value << 8 | at[i];
	return value;
}

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)(get_u64(at) >> 32);
}

/* What a packet's payload decodes to, hashed; as it was if it does not decode. */
static uint64_t sum_of(const struct wire_packet *p, const uint8_t *bitmaps, const uint8_t *payload)
{
	const struct method_ops *ops = method_by_id(p->method);
	const size_t bytes = (size_t)p->data_pages * PAGE_BYTES;
	uint64_t carried[BATCH_WORDS], data[BATCH_WORDS], sum = 0;
	uint8_t *pages = fuzz_alloc(bytes), *page = pages;
	struct method *m = NULL;
	struct mfd_error err;
	bool ok = wire_get_bitmaps(p, bitmaps, carried, data, &err) && ops;

	if (ok && p->method == METHOD_NONE)
		memcpy(pages, payload, bytes);
	else if (ok)
		ok = ops->new_receiver(&m, &err) &&
		     ops->recv_pages(m, payload, p->payload, pages, bytes, &err);
	for (uint32_t i = 0; ok && i < p->count; i++) {
		if (!bitmap_test(data, i))
			continue;
		sum += hash_page(page, PAGE_BYTES, p->region, p->first + i);
		page += PAGE_BYTES;
	}
	if (m)
		m->ops->free(m);
	free(pages);
	return ok ? sum : p->sum;
}

/* What the data connections carry, all together. */
struct tally {
	struct totals totals;
	uint64_t batches[MAX_ROUNDS]; /* of each round */
};

static void tally_add(struct tally *t, const struct wire_packet *p, uint64_t pages, uint64_t zeros)
{
	totals_add(&t->totals, &(struct totals){ 1, pages, zeros, p->sum });
	if (p->round < MAX_ROUNDS)
		t->batches[p->round]++;
}

/* The packet at @raw; how long it is, 0 if it is not all there. */
static size_t repair_packet(uint8_t *raw, size_t size, struct tally *tally)
{
	uint64_t carried[BATCH_WORDS], data[BATCH_WORDS];
	const uint64_t count = size < WIRE_PACKET_BYTES ? 0 : get_u64(raw + 40);
	struct wire_packet p;
	struct mfd_error err;
	size_t used = WIRE_PACKET_BYTES;

	if (size < WIRE_PACKET_BYTES)
		return 0;
	if (raw[4] == WIRE_PAGES && count <= BATCH_MAX_PAGES &&
	    size - used >= WIRE_BITMAPS_BYTES(count)) {
		fuzz_put_u64(raw + 64, hash_bytes(raw + used, WIRE_BITMAPS_BYTES(count)));
		used += WIRE_BITMAPS_BYTES(count);
	}
	fuzz_seal(raw, WIRE_PACKET_BYTES - 8);
	if (!wire_get_packet(raw, &p, &err))
		return used;
	if (p.kind == WIRE_SYNC)
		return used;
	if (p.kind == WIRE_ZERO) {
		tally_add(tally, &p, p.count, p.count);
		return used;
	}
	if (used == WIRE_PACKET_BYTES || size - used < p.payload)
		return 0;
	p.sum = sum_of(&p, raw + WIRE_PACKET_BYTES, raw + used);
	fuzz_put_u64(raw + 56, p.sum);
	fuzz_seal(raw, WIRE_PACKET_BYTES - 8);
	if (wire_get_bitmaps(&p, raw + WIRE_PACKET_BYTES, carried, data, &err)) {
		const uint32_t pages = bitmap_count(carried, (uint32_t)p.count);

		tally_add(tally, &p, pages, pages - p.data_pages);
	}
	return used + p.payload;
}

/* A SYNC at @raw counts the batches so far. */
static void repair_sync(uint8_t *raw, size_t size, const struct tally *tally)
{
	uint64_t batches = 0;

	if (size < WIRE_PACKET_BYTES || raw[4] != WIRE_SYNC)
		return;
	for (uint32_t round = 0; round < MAX_ROUNDS && round <= get_u32(raw + 8); round++)
		batches += tally->batches[round];
	fuzz_put_u64(raw + 24, batches);
	fuzz_seal(raw, WIRE_PACKET_BYTES - 8);
}

/*
 * The frame at @raw; how long it is, 0 if it is not all there.  END gets @totals unless that is
 * NULL.
 */
static size_t repair_frame(uint8_t *raw, size_t size, const struct totals *totals)
{
	uint8_t *body = raw + WIRE_FRAME_HEAD_BYTES;
	size_t n;

	if (size < WIRE_FRAME_HEAD_BYTES + WIRE_FRAME_TAIL_BYTES)
		return 0;
	n = get_u32(raw + 4);
	if (n > WIRE_MAX_BODY || n > size - WIRE_FRAME_HEAD_BYTES - WIRE_FRAME_TAIL_BYTES)
		return 0;
	if (totals && raw[0] == 0 && raw[1] == WIRE_END && n == 52) {
		fuzz_put_u64(body + 12, totals->packets);
		fuzz_put_u64(body + 20, totals->pages);
		fuzz_put_u64(body + 28, totals->zero_pages);
		fuzz_put_u64(body + 36, totals->sum);
		if (get_u32(body) == 1)
			fuzz_put_u64(body + 44, totals->sum);
	}
	fuzz_seal(raw, WIRE_FRAME_HEAD_BYTES + n);
	return WIRE_FRAME_HEAD_BYTES + n + WIRE_FRAME_TAIL_BYTES;
}

enum { PACKETS, SYNCS, FRAMES };

/* One connection. */
static void repair_stream(const struct stage_connection *c, unsigned what, struct tally *tally,
			  bool and_totals)
{
	size_t at = WIRE_PREAMBLE_BYTES, n = 1;
	struct tally again = { .totals = { 0 } };

	if (c->size < at || (c->bytes[10] == WIRE_ROLE_CONTROL) != (what == FRAMES))
		return;
	for (; n; at += n) {
		if (what == FRAMES) {
			n = repair_frame(c->bytes + at, c->size - at,
					 and_totals ? &tally->totals : NULL);
			continue;
		}
		n = repair_packet(c->bytes + at, c->size - at, what == PACKETS ? tally : &again);
		if (what == SYNCS && and_totals)
			repair_sync(c->bytes + at, c->size - at, tally);
	}
}

/* In this order: SYNC counts the batches of all connections, END has their totals. */
static void repair_script(struct stage *s, bool and_totals)
{
	struct tally tally = { .totals = { 0 } };

	for (unsigned what = PACKETS; what <= FRAMES; what++) {
		for (unsigned i = 0; i < STAGE_CONNECTIONS; i++)
			repair_stream(&s->connection[i], what, &tally, and_totals);
	}
}

/* ---- The session. ---- */

static void ignore(void *opaque, const struct mfd_notice *notice)
{
	FUZZ_CHECK(notice->text);
	(void)opaque;
}

static bool run(struct stage *stage, struct memory_sink *sink)
{
	const struct recv_params params = {
		.rules = { .allow = stage_as_rules(stage) },
		.timeout_ms = TIMEOUT_MS, .max_channels = MAX_CHANNELS, .max_size = MAX_BYTES,
		.notice = ignore, .wrap = channel_wrap_nothing,
	};
	struct mfd_error err = { .status = MFD_OK };
	struct mfd_stats stats;
	bool ok;

	FUZZ_CHECK(recv_session_new(&params, &sink->base, &stage->session, &err));
	ok = recv_session_run(stage->session, &err);
	recv_session_stats(stage->session, &stats);
	FUZZ_CHECK(ok == sink->committed && ok == stats.committed);
	FUZZ_CHECK(ok || (err.status >= MFD_USAGE && err.status <= MFD_CONFIG && err.text[0]));
	FUZZ_CHECK(!ok || stats.bytes_image <= MAX_BYTES);
	FUZZ_CHECK(stats.bytes_done <= stats.bytes_image || stats.rounds > 1 || !ok);
	recv_session_free(stage->session);
	return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct memory_sink sink = { .base.ops = &sink_ops };
	struct stage *stage;
	bool committed;

	if (size < 2)
		return 0;
	stage = fuzz_alloc(sizeof(*stage));
	stage->repair = bytes[0] & REPAIR_CHECKSUMS;
	sink.fail_at = bytes[1];
	sink.bytes = fuzz_alloc(MAX_BYTES);
	pthread_mutex_init(&sink.lock, NULL);
	stage_init(stage);
	read_script(stage, bytes + 2, size - 2);
	if (stage->repair)
		repair_script(stage, bytes[0] & REPAIR_TOTALS);
	committed = run(stage, &sink);
#ifdef FUZZ_REPLAY
	FUZZ_CHECK(committed || !(bytes[0] & MUST_COMMIT));
#else
	(void)committed;
#endif
	stage_destroy(stage);
	pthread_mutex_destroy(&sink.lock);
	free(sink.bytes);
	free(stage);
	return 0;
}
