/* SPDX-License-Identifier: MIT */
/*
 * Makes the seeds of the fuzz targets with the encoders themselves: make_corpus DIR
 * writes DIR/<target>/seed-<name>.  To be run by hand when the wire changes; what it
 * writes is kept in tests/fuzz/corpus, beside what fuzzing has found.
 */
#include <sys/stat.h>

#include "fuzz.h"

#include "base/bitmap.h"
#include "compress/method.h"
#include "wire/wire.h"

static void save(const char *dir, const char *target, const char *name, const void *bytes,
		 size_t size)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, target);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/%s/seed-%s", dir, target, name);
	file = fopen(path, "wb");
	if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
		perror(path);
		exit(1);
	}
}

/* ---- preamble ---- */

static void make_preambles(const char *dir)
{
	struct wire_preamble p = { .version = 1, .role = WIRE_ROLE_CONTROL };
	uint8_t raw[WIRE_PREAMBLE_BYTES];

	wire_put_preamble(&p, raw);
	save(dir, "preamble", "control", raw, sizeof(raw));
	raw[20] = 1;
	save(dir, "preamble", "damaged", raw, sizeof(raw));
	p = (struct wire_preamble){
		.version = 1, .role = WIRE_ROLE_DATA, .channel = 127, .generation = UINT32_MAX
	};
	memcpy(p.token, "0123456789abcdef", WIRE_TOKEN_BYTES);
	wire_put_preamble(&p, raw);
	save(dir, "preamble", "data", raw, sizeof(raw));
	p.role = WIRE_ROLE_URGENT_RESERVED;
	wire_put_preamble(&p, raw);
	save(dir, "preamble", "urgent", raw, sizeof(raw));
	save(dir, "preamble", "short", raw, sizeof(raw) - 1);
	save(dir, "preamble", "http",
	     "GET / HTTP/1.1\r\nHost: localhost:7700\r\nUser-Agent: curl/7.88.1\r\n\r\n", 64);
}

/* ---- packet ---- */

/* @count pages, those with data set in @data, as they would go with @method. */
static void make_pages(const char *dir, const char *name, uint32_t count, const uint64_t *data,
		       uint8_t method)
{
	struct wire_packet p = {
		.kind = WIRE_PAGES, .count = count, .sequence = 1, .batch = 2, .first = 3
	};
	uint8_t raw[WIRE_PACKET_BYTES + WIRE_MAX_BITMAPS_BYTES];
	uint64_t carried[BATCH_WORDS] = { 0 };
	size_t bitmaps;

	bitmap_fill(carried, count);
	p.data_pages = bitmap_count(data, count);
	p.method = p.data_pages ? method : 0;
	p.payload = p.data_pages * PAGE_BYTES - (p.method ? 1 : 0);
	p.sum = p.data_pages ? 4 : 0;
	bitmaps = wire_put_bitmaps(carried, data, count, raw + WIRE_PACKET_BYTES);
	p.bitmap_hash = hash_bytes(raw + WIRE_PACKET_BYTES, bitmaps);
	wire_put_packet(&p, raw);
	save(dir, "packet", name, raw, WIRE_PACKET_BYTES + bitmaps);
}

static void make_packets(const char *dir)
{
	struct wire_packet p = { .kind = WIRE_SYNC, .round = 1, .sequence = 2 };
	uint64_t data[BATCH_WORDS] = { 0 };
	uint8_t raw[WIRE_PACKET_BYTES];

	wire_put_packet(&p, raw);
	save(dir, "packet", "sync", raw, sizeof(raw));
	p = (struct wire_packet){ .kind = WIRE_ZERO,
				  .flags = WIRE_FLAG_AGAIN,
				  .count = WIRE_MAX_PAGE_INDEX };
	wire_put_packet(&p, raw);
	save(dir, "packet", "zero", raw, sizeof(raw));
	p = (struct wire_packet){ .kind = WIRE_PAGES,
				  .flags = WIRE_FLAG_RAW,
				  .count = 1,
				  .data_pages = 1,
				  .payload = PAGE_BYTES };
	wire_put_packet(&p, raw);
	save(dir, "packet", "raw", raw, sizeof(raw));
	make_pages(dir, "empty", 64, data, 0);
	data[0] = 5;
	make_pages(dir, "few", 3, data, 0);
	make_pages(dir, "few-zstd", 65, data, 2);
	data[1] = 2;
	make_pages(dir, "outside", 65, data, 1);
	bitmap_fill(data, BATCH_MAX_PAGES);
	make_pages(dir, "most", BATCH_MAX_PAGES, data, 0);
	make_pages(dir, "most-zlib", BATCH_MAX_PAGES, data, 1);
}

/* ---- message ---- */

static void make_message(const char *dir, const char *name, const struct wire_message *m)
{
	uint8_t raw[WIRE_MAX_FRAME];

	save(dir, "message", name, raw, wire_put_message(m, raw));
}

static struct wire_message hello(uint16_t regions)
{
	struct wire_message m = { .type = WIRE_HELLO };

	m.hello = (struct wire_hello){ .version_min = 1,
				       .version_max = 1,
				       .page_bytes = PAGE_BYTES,
				       .packet_pages = 128,
				       .channels = 8,
				       .methods = 7,
				       .method = 2,
				       .level = 1,
				       .timeout_ms = 30000,
				       .size = UINT64_MAX,
				       .allocated = 1 << 20,
				       .regions = regions };
	for (uint32_t i = 0; i < regions; i++) {
		m.hello.region[i].id = i;
		m.hello.region[i].name_bytes = 3;
		memcpy(m.hello.region[i].name, "ram", 3);
	}
	return m;
}

static void make_hellos(const char *dir)
{
	static const uint8_t extensions[] = { 0, 2, 0, 1, 0, 1, 'x', 0, 2, 0, 0 };
	struct wire_message m = hello(1);
	uint8_t raw[WIRE_MAX_FRAME];
	size_t size = wire_put_message(&m, raw) - WIRE_FRAME_TAIL_BYTES - 2;

	make_message(dir, "hello", &m);
	memcpy(raw + size, extensions, sizeof(extensions));
	size += sizeof(extensions);
	raw[7] = (uint8_t)(size - WIRE_FRAME_HEAD_BYTES);
	fuzz_seal(raw, size);
	save(dir, "message", "hello-extensions", raw, size + WIRE_FRAME_TAIL_BYTES);
	m = hello(WIRE_MAX_REGIONS);
	make_message(dir, "hello-regions", &m);
	m.hello.region[1].id = 0;
	make_message(dir, "hello-region-twice", &m);
	m = hello(1);
	m.hello.version_min = m.hello.version_max = 2;
	make_message(dir, "hello-later", &m);
	m = (struct wire_message){ .type = WIRE_WELCOME };
	m.welcome = (struct wire_welcome){
		.version = 1, .packet_pages = 128, .methods = 7, .timeout_ms = 30000
	};
	make_message(dir, "welcome", &m);
}

static void make_reports(const char *dir)
{
	struct wire_message m = { .type = WIRE_ACK };

	m.ack = (struct wire_ack){ .count = 2,
				   .channel = { { 0, 1, 2 }, { 127, UINT32_MAX, UINT64_MAX } } };
	make_message(dir, "ack", &m);
	m = (struct wire_message){ .type = WIRE_HEARTBEAT };
	make_message(dir, "heartbeat-sender", &m);
	m.heartbeat = (struct wire_heartbeat){ .phase = 1,
					       .count = 2,
					       .channel = { { 0, 1, 64, 0 }, { 1, 1, 999, 1 } } };
	make_message(dir, "heartbeat", &m);
	m = (struct wire_message){ .type = WIRE_SYNC_DONE,
				   .sync_done = { .round = 1, .totals = { 1, 2, 1, 3 } } };
	make_message(dir, "sync-done", &m);
	m = (struct wire_message){
		.type = WIRE_END,
		.end = { .rounds = 1, .size = 8192, .totals = { 1, 2, 1, 3 }, .image_hash = 3 }
	};
	make_message(dir, "end", &m);
	m = (struct wire_message){ .type = WIRE_COMMITTED,
				   .committed = { .size = 8192, .image_hash = 3 } };
	make_message(dir, "committed", &m);
	m = (struct wire_message){ .type = WIRE_CHANNEL_DOWN,
				   .fence = { .channel = 1, .generation = 1 } };
	make_message(dir, "channel-down", &m);
	m = (struct wire_message){ .type = WIRE_FENCED,
				   .fence = { .channel = 1, .generation = 1, .written = 2 } };
	make_message(dir, "fenced", &m);
}

static void make_problems(const char *dir)
{
	struct wire_message m = { .type = WIRE_REFUSE,
				  .problem = { .status = MFD_TRY_AGAIN, .text = "busy" } };

	make_message(dir, "refuse", &m);
	m = (struct wire_message){ .type = WIRE_ERROR, .problem = { .status = MFD_IO } };
	strcpy(m.problem.text,
	       "\033[2J \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \xc2\x9b "
	       "\xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82");
	make_message(dir, "error-text", &m);
	memset(m.problem.text, '\n', WIRE_MAX_TEXT);
	make_message(dir, "error-long", &m);
}

/* ---- method ---- */

/* @count pages of text through the method, behind the two bytes that the target reads first. */
static void make_payload(const char *dir, unsigned which, uint32_t count, const char *name)
{
	const struct method_ops *ops = method_at(which);
	const size_t bytes = (size_t)count * PAGE_BYTES;
	uint64_t data[BATCH_WORDS] = { 0 };
	struct iovec iov[METHOD_IOVS(BATCH_MAX_PAGES)];
	struct method_pages pages = { .bytes = fuzz_alloc(bytes),
				      .page_bytes = PAGE_BYTES,
				      .count = count,
				      .data = data,
				      .data_pages = count,
				      .packed = true };
	struct method_payload payload = { .iov = iov };
	uint8_t *seed = fuzz_alloc(2 + bytes);
	struct mfd_error err;
	struct method *m;
	size_t used = 2;

	bitmap_fill(data, count);
	for (size_t i = 0; i < bytes; i++)
		pages.bytes[i] = (uint8_t)("page after page, "[i % 17] ^ (i / PAGE_BYTES));
	FUZZ_CHECK(ops->new_sender(ops->level_default, bytes, &m, &err));
	FUZZ_CHECK(ops->send_prepare(m, &pages, &payload, &err));
	seed[0] = (uint8_t)which;
	seed[1] = (uint8_t)(count - 1);
	for (unsigned i = 0; i < payload.iovs; used += iov[i++].iov_len)
		memcpy(seed + used, iov[i].iov_base, iov[i].iov_len);
	save(dir, "method", name, seed, used);
	ops->free(m);
	free(pages.bytes);
	free(seed);
}

static void make_payloads(const char *dir)
{
	char name[64];

	for (unsigned i = 0; method_at(i); i++) {
		make_payload(dir, i, 1, method_at(i)->name);
		if (method_at(i)->id == METHOD_NONE)
			continue; /* more pages would only be longer */
		snprintf(name, sizeof(name), "%s-pages", method_at(i)->name);
		make_payload(dir, i, 8, name);
	}
}

/* ---- hashes ---- */

/* The target's first byte, then a frame of @count pages, each @every-th with a hash. */
static void make_list(const char *dir, const char *name, struct wire_hashes h, uint32_t every)
{
	static uint8_t raw[1 + WIRE_HASHES_BYTES + WIRE_MAX_HASHES_BODY];
	uint64_t has[BITMAP_WORDS(WIRE_MAX_HASHES)] = { 0 };
	uint8_t *body = raw + 1 + WIRE_HASHES_BYTES;

	if (h.kind == WIRE_HASHES_LIST) {
		for (uint32_t i = 0; i < h.count; i += every)
			bitmap_set(has, i);
		h.hashes = bitmap_count(has, (uint32_t)h.count);
		memset(body, 0x5a, WIRE_MAX_HASHES_BODY);
		wire_put_hashes_map(has, (uint32_t)h.count, body);
		h.body_hash = hash_bytes(body, wire_hashes_body_bytes(&h));
	}
	wire_put_hashes(&h, raw + 1);
	save(dir, "hashes", name, raw, 1 + WIRE_HASHES_BYTES + wire_hashes_body_bytes(&h));
}

static void make_kept(const char *dir)
{
	uint8_t raw[3 + WIRE_MAX_KEPT_BYTES] = { 1, 0, 69 };
	const uint64_t kept[2] = { UINT64_C(0xf0f0f0f0f0f0f0f0), 0x30 };

	save(dir, "hashes", "kept", raw, 3 + wire_put_kept(kept, 77, 70, raw + 3));
}

static void make_hashes(const char *dir)
{
	make_list(dir, "list",
		  (struct wire_hashes){ .kind = WIRE_HASHES_LIST, .first = 1024, .count = 100 }, 3);
	make_list(dir, "none-in-list",
		  (struct wire_hashes){ .kind = WIRE_HASHES_LIST, .count = 64 }, 65);
	make_list(dir, "zero",
		  (struct wire_hashes){ .kind = WIRE_HASHES_ZERO, .count = UINT64_C(1) << 30 }, 1);
	make_list(dir, "unknown",
		  (struct wire_hashes){ .kind = WIRE_HASHES_NONE, .first = 7, .count = 9 }, 1);
	make_list(dir, "beat", (struct wire_hashes){ .kind = WIRE_HASHES_BEAT }, 1);
	make_list(dir, "end", (struct wire_hashes){ .kind = WIRE_HASHES_END }, 1);
	make_kept(dir);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s DIR\n", argv[0]);
		return 64;
	}
	make_preambles(argv[1]);
	make_packets(argv[1]);
	make_hashes(argv[1]);
	make_hellos(argv[1]);
	make_reports(argv[1]);
	make_problems(argv[1]);
	make_payloads(argv[1]);
	return 0;
}
