/* SPDX-License-Identifier: MIT */
/*
 * Makes the seeds of the fuzz target session: record DIR writes DIR/session/seed-<name>.  To be run
 * by hand when the wire changes.
 *
 * Most are recordings: a real sending session talks to a real receiver over loopback, and what it
 * sends is noted in the order in which it does, which is an order that works.  The rest no sender
 * here says yet, or only a broken one, and is put together by hand.
 */
#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#include "base/bitmap.h"
#include "mfd.h"
#include "send/session.h"

#define PACKET_PAGES 16u
#define CONTROL_CONNECTION 0u

/* Of session.c. */
#define REPAIR 3u
#define REPAIR_CHECKSUMS 1u
#define MUST_COMMIT 0x80u

/* ---- A script. ---- */

struct script {
	pthread_mutex_t lock;
	size_t used;
	uint8_t bytes[1 << 20];
};

static void begin(struct script *s, uint8_t flags, uint8_t fail_at)
{
	s->used = 0;
	s->bytes[s->used++] = flags;
	s->bytes[s->used++] = fail_at;
}

/* @size bytes on @connection; none: it closes. */
static void add(struct script *s, uint8_t connection, const void *bytes, size_t size)
{
	FUZZ_CHECK(size <= UINT16_MAX && s->used + 3 + size <= sizeof(s->bytes));
	s->bytes[s->used++] = connection;
	s->bytes[s->used++] = (uint8_t)(size >> 8);
	s->bytes[s->used++] = (uint8_t)size;
	if (size)
		memcpy(s->bytes + s->used, bytes, size);
	s->used += size;
}

static void save(const struct script *s, const char *dir, const char *name)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/session", dir);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/session/seed-%s", dir, name);
	file = fopen(path, "wb");
	if (!file || fwrite(s->bytes, 1, s->used, file) != s->used || fclose(file) != 0) {
		perror(path);
		exit(1);
	}
}

/* ---- Recordings. ---- */

struct recorder {
	struct channel base;
	struct channel *inner;
	struct script *script;
	uint8_t connection;
};

static void note(struct recorder *r, const uint8_t *bytes, size_t size)
{
	pthread_mutex_lock(&r->script->lock);
	for (size_t n; size; bytes += n, size -= n) {
		n = size < UINT16_MAX ? size : UINT16_MAX;
		add(r->script, r->connection, bytes, n);
	}
	pthread_mutex_unlock(&r->script->lock);
}

static bool recorder_send(struct channel *c, struct iovec *iov, unsigned iovs,
			  struct mfd_error *err)
{
	struct recorder *r = (struct recorder *)c;
	size_t size = 0, used = 0;
	uint8_t *all;

	for (unsigned i = 0; i < iovs; i++)
		size += iov[i].iov_len;
	all = fuzz_alloc(size);
	for (unsigned i = 0; i < iovs; used += iov[i++].iov_len)
		memcpy(all + used, iov[i].iov_base, iov[i].iov_len);
	note(r, all, size);
	free(all);
	return r->inner->ops->send(r->inner, iov, iovs, err);
}

static bool recorder_recv(struct channel *c, struct iovec *iov, unsigned iovs, size_t *ret_got,
			  struct mfd_error *err)
{
	struct recorder *r = (struct recorder *)c;

	return r->inner->ops->recv(r->inner, iov, iovs, ret_got, err);
}

static bool recorder_send_some(struct channel *c, const void *bytes, size_t size, size_t *ret_moved,
			       struct mfd_error *err)
{
	struct recorder *r = (struct recorder *)c;
	bool ok = r->inner->ops->send_some(r->inner, bytes, size, ret_moved, err);

	if (ok && *ret_moved)
		note(r, bytes, *ret_moved);
	return ok;
}

static bool recorder_recv_some(struct channel *c, void *buffer, size_t size, size_t *ret_moved,
			       bool *ret_end, struct mfd_error *err)
{
	struct recorder *r = (struct recorder *)c;

	return r->inner->ops->recv_some(r->inner, buffer, size, ret_moved, ret_end, err);
}

static void recorder_shutdown(struct channel *c)
{
	struct recorder *r = (struct recorder *)c;

	r->inner->ops->shutdown(r->inner);
}

static int recorder_fd(const struct channel *c)
{
	const struct recorder *r = (const struct recorder *)c;

	return r->inner->ops->fd(r->inner);
}

static void recorder_free(struct channel *c)
{
	struct recorder *r = (struct recorder *)c;

	r->inner->ops->free(r->inner);
	free(r);
}

static const struct channel_ops recorder_ops = {
	.kind = "recorder", .send = recorder_send, .recv = recorder_recv,
	.send_some = recorder_send_some,
	.recv_some = recorder_recv_some, .shutdown = recorder_shutdown, .fd = recorder_fd,
	.free = recorder_free,
};

static struct channel *wrap(void *script, uint32_t id, struct channel *inner)
{
	struct recorder *r = fuzz_alloc(sizeof(*r));

	*r = (struct recorder){ { &recorder_ops }, inner, script,
				(uint8_t)(id == UINT32_MAX ? CONTROL_CONNECTION : 1 + id) };
	return &r->base;
}

struct receiver {
	struct mfd_recv *recv;
	int port[2];                 /* a pipe */
	pthread_t thread;
	bool ok;
};

static void hear(void *receiver, const struct mfd_notice *n)
{
	struct receiver *r = receiver;
	uint16_t port = (uint16_t)n->number;

	if (n->kind == MFD_NOTICE_LISTENING)
		FUZZ_CHECK(write(r->port[1], &port, sizeof(port)) == sizeof(port));
}

static void *receive(void *receiver)
{
	struct receiver *r = receiver;
	struct mfd_error err;

	r->ok = mfd_recv_run(r->recv, &err);
	return NULL;
}

static void ignore(void *opaque, const struct mfd_notice *notice)
{
	(void)opaque;
	(void)notice;
}

/* Send what @source has, with @method on @channels. */
static void transfer(struct script *script, struct source *source, const char *method,
		     unsigned channels)
{
	struct receiver r = { .ok = false };
	const struct mfd_recv_options o = { .output = "null:", .listen = "127.0.0.1:0",
					    .timeout_ms = 10000, .max_channels = 8,
					    .notice = hear, .opaque = &r };
	char address[32];
	struct send_params params = {
		.address = address, .channels = channels, .packet_pages = PACKET_PAGES,
		.method = method_by_name(method),
		.connect_timeout_ms = 10000, .timeout_ms = 10000, .notice = ignore, .wrap = wrap,
		.wrap_opaque = script,
	};
	struct send_session *session;
	struct mfd_error err;
	uint16_t port;

	FUZZ_CHECK(pipe(r.port) == 0 && mfd_recv_new(&o, &r.recv, &err));
	FUZZ_CHECK(pthread_create(&r.thread, NULL, receive, &r) == 0);
	FUZZ_CHECK(read(r.port[0], &port, sizeof(port)) == sizeof(port));
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	params.level = params.method->level_default;
	FUZZ_CHECK(send_session_new(&params, source, &session, &err) &&
		   send_session_run(session, &err));
	send_session_free(session);
	pthread_join(r.thread, NULL);
	FUZZ_CHECK(r.ok);
	mfd_recv_free(r.recv);
	close(r.port[0]);
	close(r.port[1]);
}

/* An image of @pages and a half: text, zeros, a page in four of each packet. */
static void make_image(const char *path, uint32_t pages)
{
	FILE *file = fopen(path, "wb");
	char page[PAGE_BYTES];

	FUZZ_CHECK(file);
	for (uint32_t i = 0; i < pages; i++) {
		memset(page, 0, sizeof(page));
		for (size_t at = 0; i % 4 == 1 && at < sizeof(page); at++)
			page[at] = "page after page, "[(at + i) % 17];
		FUZZ_CHECK(fwrite(page, 1, sizeof(page), file) == sizeof(page));
	}
	FUZZ_CHECK(fwrite("the last page is short", 1, 22, file) == 22 && fclose(file) == 0);
}

static void record(const char *dir, const char *name, struct script *script, const char *method,
		   unsigned channels, uint32_t pages, bool stream)
{
	char path[] = "/tmp/mfd-record-XXXXXX";
	struct source *source;
	struct mfd_error err;
	int fd = mkstemp(path);

	FUZZ_CHECK(fd >= 0);
	make_image(path, pages);
	begin(script, MUST_COMMIT | REPAIR, 0);
	FUZZ_CHECK(stream ? source_stream_new(fd, &source, &err)
			  : source_file_new(path, MFD_CACHE_KEEP, &source, &err));
	transfer(script, source, method, channels);
	source->ops->free(source);
	close(fd);
	unlink(path);
	save(script, dir, name);
}

/* ---- By hand. ---- */

static void add_preamble(struct script *s, uint8_t connection, uint8_t role, uint32_t channel,
			 uint32_t generation)
{
	const struct wire_preamble p = { .version = 1, .role = role, .channel = channel,
					 .generation = generation };
	uint8_t raw[WIRE_PREAMBLE_BYTES];

	wire_put_preamble(&p, raw);
	add(s, connection, raw, sizeof(raw));
}

static void add_message(struct script *s, const struct wire_message *m)
{
	uint8_t raw[WIRE_MAX_FRAME];

	add(s, CONTROL_CONNECTION, raw, wire_put_message(m, raw));
}

static void add_hello(struct script *s, uint32_t channels, uint64_t size, uint32_t flags)
{
	struct wire_message m = { .type = WIRE_HELLO };

	m.hello = (struct wire_hello){ .version_min = 1,
				       .version_max = 1,
				       .page_bytes = PAGE_BYTES,
				       .packet_pages = PACKET_PAGES,
				       .channels = channels,
				       .methods = 7,
				       .method = 0,
				       .flags = flags,
				       .timeout_ms = 30000,
				       .size = size,
				       .allocated = size,
				       .regions = 1 };
	m.hello.region[0].size = size;
	add_preamble(s, CONTROL_CONNECTION, WIRE_ROLE_CONTROL, 0, 0);
	add_message(s, &m);
}

static void add_zero(struct script *s, uint8_t connection, uint32_t round, uint64_t sequence,
		     uint64_t first, uint64_t count)
{
	const struct wire_packet p = { .kind = WIRE_ZERO, .round = round, .sequence = sequence,
				       .batch = first + 1000 * round,
				       .first = first, .count = count,
				       .flags = round ? WIRE_FLAG_AGAIN : 0 };
	uint8_t raw[WIRE_PACKET_BYTES];

	wire_put_packet(&p, raw);
	add(s, connection, raw, sizeof(raw));
}

/* One page full of @fill. */
static void add_page(struct script *s, uint8_t connection, uint32_t round, uint64_t sequence,
		     uint64_t first, uint8_t fill)
{
	struct wire_packet p = { .kind = WIRE_PAGES, .round = round, .sequence = sequence,
				 .batch = first + 1000 * round + 1,
				 .first = first, .count = 1, .data_pages = 1,
				 .payload = PAGE_BYTES };
	uint8_t raw[WIRE_PACKET_BYTES + WIRE_MAX_BITMAPS_BYTES + PAGE_BYTES];
	const uint64_t one = 1;
	size_t bitmaps = wire_put_bitmaps(&one, &one, 1, raw + WIRE_PACKET_BYTES);

	memset(raw + WIRE_PACKET_BYTES + bitmaps, fill, PAGE_BYTES);
	p.bitmap_hash = hash_bytes(raw + WIRE_PACKET_BYTES, bitmaps);
	p.sum = hash_page(raw + WIRE_PACKET_BYTES + bitmaps, PAGE_BYTES, 0, first);
	wire_put_packet(&p, raw);
	add(s, connection, raw, WIRE_PACKET_BYTES + bitmaps + PAGE_BYTES);
}

/* Its count of batches is put right by who plays it. */
static void add_sync(struct script *s, uint8_t connection, uint32_t round, uint64_t sequence)
{
	const struct wire_packet p = { .kind = WIRE_SYNC, .round = round, .sequence = sequence };
	uint8_t raw[WIRE_PACKET_BYTES];

	wire_put_packet(&p, raw);
	add(s, connection, raw, sizeof(raw));
}

/* The totals are put right by who plays it. */
static void add_end(struct script *s, uint32_t rounds, uint64_t size)
{
	const struct wire_message m = { .type = WIRE_END,
					.end = { .rounds = rounds, .size = size } };

	add_message(s, &m);
}

static void make_rounds(const char *dir, struct script *s)
{
	begin(s, MUST_COMMIT | REPAIR, 0);
	add_hello(s, 2, 8 * PAGE_BYTES, WIRE_HELLO_ROUNDS);
	for (uint8_t i = 0; i < 2; i++)
		add_preamble(s, 1 + i, WIRE_ROLE_DATA, i, 1);
	add_zero(s, 1, 0, 0, 0, 7);
	add_page(s, 2, 0, 0, 7, 'a');
	add_sync(s, 1, 0, 1);
	add_sync(s, 2, 0, 1);
	add_page(s, 1, 1, 2, 3, 'b');
	add_zero(s, 2, 1, 2, 7, 1);
	add_sync(s, 2, 1, 3);
	add_message(s, &(struct wire_message){ .type = WIRE_HEARTBEAT });
	add_sync(s, 1, 1, 3);
	add_end(s, 2, 8 * PAGE_BYTES);
	save(s, dir, "rounds");
}

/*
 * Channel 0 is given up, and a second generation takes its place; channel 1 is replaced without a
 * word.
 */
static void make_fences(const char *dir, struct script *s)
{
	struct wire_message down = { .type = WIRE_CHANNEL_DOWN,
				     .fence = { .channel = 0, .generation = 1 } };

	begin(s, MUST_COMMIT | REPAIR, 0);
	add_hello(s, 2, 4 * PAGE_BYTES, 0);
	for (uint8_t i = 0; i < 2; i++)
		add_preamble(s, 1 + i, WIRE_ROLE_DATA, i, 1);
	add_zero(s, 1, 0, 0, 0, 2);
	add_message(s, &down);
	add_preamble(s, 3, WIRE_ROLE_DATA, 0, 2);
	add_page(s, 2, 0, 0, 2, 'c');
	add_preamble(s, 4, WIRE_ROLE_DATA, 1, 2);
	add_page(s, 4, 0, 0, 3, 'd');
	add_sync(s, 3, 0, 0);
	add_sync(s, 4, 0, 1);
	add_end(s, 1, 4 * PAGE_BYTES);
	save(s, dir, "fences");
}

static void make_failures(const char *dir, struct script *s)
{
	struct wire_message error = { .type = WIRE_ERROR,
				      .problem = { .status = MFD_IO,
						   .text = "image: Input/output error" } };

	begin(s, REPAIR, 0);
	add_hello(s, 1, MFD_UNKNOWN, 0);
	add_preamble(s, 1, WIRE_ROLE_DATA, 0, 1);
	add_page(s, 1, 0, 0, 0, 'e');
	add_message(s, &error);
	save(s, dir, "error");

	begin(s, REPAIR, 0);
	add_hello(s, 1, MFD_UNKNOWN, 0);
	add_preamble(s, 1, WIRE_ROLE_DATA, 0, 1);
	add_page(s, 1, 0, 0, 0, 'f');
	add(s, 1, NULL, 0);
	save(s, dir, "lost");

	begin(s, REPAIR, 2);
	add_hello(s, 1, 2 * PAGE_BYTES, 0);
	add_preamble(s, 1, WIRE_ROLE_DATA, 0, 1);
	add_page(s, 1, 0, 0, 0, 'g');
	save(s, dir, "full");

	begin(s, REPAIR_CHECKSUMS, 0);
	add_hello(s, 1, 2 * PAGE_BYTES, 0);
	add_preamble(s, 2, WIRE_ROLE_CONTROL, 0, 0);
	add_preamble(s, 3, WIRE_ROLE_DATA, 7, 1);
	add_preamble(s, 1, WIRE_ROLE_DATA, 0, 1);
	add_page(s, 1, 0, 0, 1, 'h');
	add_sync(s, 1, 0, 1);
	add_end(s, 1, 2 * PAGE_BYTES);
	save(s, dir, "short");

	begin(s, 0, 0);
	add(s, 0, "GET / HTTP/1.1\r\nHost: localhost:7700\r\nUser-Agent: curl/7.88.1\r\n\r\n", 66);
	add_hello(s, 200, 2 * PAGE_BYTES, 0);
	save(s, dir, "stranger");
}

int main(int argc, char **argv)
{
	struct script *script = fuzz_alloc(sizeof(*script));

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIR\n", argv[0]);
		return 64;
	}
	pthread_mutex_init(&script->lock, NULL);
	record(argv[1], "none", script, "none", 1, 6, false);
	record(argv[1], "zlib", script, "zlib", 2, 40, false);
	record(argv[1], "zstd", script, "zstd", 3, 40, false);
	record(argv[1], "auto", script, "auto", 1, 9, false);
	record(argv[1], "stream", script, "zstd", 2, 24, true);
	record(argv[1], "empty", script, "none", 1, 0, true);
	make_rounds(argv[1], script);
	make_fences(argv[1], script);
	make_failures(argv[1], script);
	free(script);
	return 0;
}
