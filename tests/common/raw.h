/* SPDX-License-Identifier: MIT */
/*
 * A peer that speaks the protocol by hand, word by word, so that it can also say what a real one
 * never would.  Sockets block, for at most RAW_PATIENCE_S; whatever does not succeed fails the
 * test, so this is for cmocka's thread only.
 */
#ifndef MFD_TESTS_COMMON_RAW_H
#define MFD_TESTS_COMMON_RAW_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bitmap.h"
#include "base/clock.h"
#include "base/hash.h"
#include "common/testing.h"
#include "wire/wire.h"

#define RAW_PATIENCE_S 20

/* ---- Sockets. ---- */

static inline int raw_tune(int fd)
{
	const struct timeval patience = { .tv_sec = RAW_PATIENCE_S };
	const int on = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static inline int raw_connect(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = raw_tune(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* A listening socket on a port of its own. */
static inline int raw_listen(uint16_t *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof(at);
	int fd = raw_tune(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 256), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	*ret_port = ntohs(at.sin_port);
	return fd;
}

static inline int raw_accept(int listening)
{
	return raw_tune(accept(listening, NULL, NULL));
}

/* False when the peer has gone. */
static inline bool raw_try_send(int fd, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	while (size) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

static inline void raw_send(int fd, const void *bytes, size_t size)
{
	if (!raw_try_send(fd, bytes, size))
		fail_msg("the peer has gone: %s", strerror(errno));
}

/* False at the end of the stream or when it was reset; silence fails the test. */
static inline bool raw_recv(int fd, void *bytes, size_t size)
{
	uint8_t *at = bytes;

	while (size) {
		ssize_t n = recv(fd, at, size, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			fail_msg("the peer says nothing");
		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

/* Wait until the peer has closed, whatever it says before. */
static inline void raw_expect_closed(int fd)
{
	uint8_t byte;

	while (raw_recv(fd, &byte, 1))
		;
}

static inline void raw_expect_dropped(int fd)
{
	raw_expect_closed(fd);
	close(fd);
}

/* ---- Messages. ---- */

static inline bool raw_try_preamble(int fd, uint8_t role, uint32_t channel, uint32_t generation,
				    const uint8_t *token)
{
	struct wire_preamble p = { .version = 1, .role = role, .channel = channel,
				   .generation = generation };
	uint8_t raw[WIRE_PREAMBLE_BYTES];

	if (token)
		memcpy(p.token, token, sizeof(p.token));
	wire_put_preamble(&p, raw);
	return raw_try_send(fd, raw, sizeof(raw));
}

static inline void raw_preamble(int fd, uint8_t role, uint32_t channel, uint32_t generation,
				const uint8_t *token)
{
	if (!raw_try_preamble(fd, role, channel, generation, token))
		fail_msg("the peer has gone: %s", strerror(errno));
}

/* False when the peer has gone. */
static inline bool raw_try_say(int fd, const struct wire_message *m)
{
	uint8_t frame[WIRE_MAX_FRAME];

	return raw_try_send(fd, frame, wire_put_message(m, frame));
}

static inline void raw_say(int fd, const struct wire_message *m)
{
	if (!raw_try_say(fd, m))
		fail_msg("the peer has gone: %s", strerror(errno));
}

/* The next message; false when the peer has closed. */
static inline bool raw_hear(int fd, struct wire_message *ret)
{
	uint8_t frame[WIRE_MAX_FRAME];
	struct mfd_error err;
	size_t used, body;

	if (!raw_recv(fd, frame, WIRE_FRAME_HEAD_BYTES))
		return false;
	body = (size_t)frame[6] << 8 | frame[7];
	assert_true(body <= WIRE_MAX_BODY);
	if (!raw_recv(fd, frame + WIRE_FRAME_HEAD_BYTES, body + WIRE_FRAME_TAIL_BYTES))
		return false;
	if (!wire_get_message(frame, WIRE_FRAME_HEAD_BYTES + body + WIRE_FRAME_TAIL_BYTES, ret,
			      &used, &err))
		fail_msg("not a message: %s", err.text);
	assert_true(used);
	return true;
}

/* The next message of @type; those that come all the time are skipped, another fails the test. */
static inline void raw_expect(int fd, enum wire_type type, struct wire_message *ret)
{
	do {
		if (!raw_hear(fd, ret))
			fail_msg("closed before %s", wire_type_name(type));
	} while (ret->type != type && (ret->type == WIRE_HEARTBEAT || ret->type == WIRE_ACK));
	if (ret->type != type)
		fail_msg("%s instead of %s: %s", wire_type_name(ret->type), wire_type_name(type),
			 ret->type == WIRE_ERROR || ret->type == WIRE_REFUSE ? ret->problem.text
									     : "");
}

/* ---- As a sender. ---- */

/* A session as a sender by hand sees it. */
struct raw_sender {
	uint16_t port;
	int control;
	int data[WIRE_MAX_CHANNELS];
	uint64_t sequence[WIRE_MAX_CHANNELS];
	struct wire_hello hello;
	uint8_t token[WIRE_TOKEN_BYTES];
	uint64_t batches;
	struct totals totals;        /* of all that was sent by raw_pages() and raw_zero() */
};

static inline struct wire_hello raw_hello(uint32_t channels, uint64_t size)
{
	struct wire_hello h = {
		.version_min = 1, .version_max = 1, .page_bytes = PAGE_BYTES, .packet_pages = 16,
		.channels = channels,
		.methods = 1, .timeout_ms = RAW_PATIENCE_S * 1000, .size = size,
		.allocated = UINT64_MAX, .regions = 1,
	};

	h.flags = WIRE_HELLO_ROUNDS;
	h.region[0].size = size;
	h.region[0].name_bytes = 3;
	memcpy(h.region[0].name, "raw", 3);
	return h;
}

/* False when the peer has gone. */
static inline bool raw_try_hello(int fd, const struct wire_hello *hello)
{
	struct wire_message m = { .type = WIRE_HELLO };

	m.hello = *hello;
	return raw_try_preamble(fd, WIRE_ROLE_CONTROL, 0, 0, NULL) && raw_try_say(fd, &m);
}

static inline int raw_open_control(uint16_t port, const struct wire_hello *hello)
{
	int fd = raw_connect(port);

	if (!raw_try_hello(fd, hello))
		fail_msg("the peer has gone: %s", strerror(errno));
	return fd;
}

static inline int raw_open_data(const struct raw_sender *s, uint32_t channel, uint32_t generation)
{
	int fd = raw_connect(s->port);

	raw_preamble(fd, WIRE_ROLE_DATA, channel, generation, s->token);
	return fd;
}

/* The next generation of a channel; closing the older one is the caller's. */
static inline void raw_reopen_data(struct raw_sender *s, uint32_t channel, uint32_t generation)
{
	s->data[channel] = raw_open_data(s, channel, generation);
	s->sequence[channel] = 0;
}

/* Control and WELCOME, no data connection yet. */
static inline void raw_begin_hello(struct raw_sender *s, uint16_t port,
				   const struct wire_hello *hello)
{
	struct wire_message m;

	memset(s, 0, sizeof(*s));
	memset(s->data, -1, sizeof(s->data));
	s->port = port;
	s->hello = *hello;
	s->control = raw_open_control(port, &s->hello);
	raw_expect(s->control, WIRE_WELCOME, &m);
	memcpy(s->token, m.welcome.token, sizeof(s->token));
}

static inline void raw_begin(struct raw_sender *s, uint16_t port, uint32_t channels, uint64_t size)
{
	const struct wire_hello hello = raw_hello(channels, size);

	raw_begin_hello(s, port, &hello);
}

/* The data connections too. */
static inline void raw_open_hello(struct raw_sender *s, uint16_t port,
				  const struct wire_hello *hello)
{
	raw_begin_hello(s, port, hello);
	for (uint32_t i = 0; i < hello->channels; i++)
		s->data[i] = raw_open_data(s, i, 1);
}

static inline void raw_open(struct raw_sender *s, uint16_t port, uint32_t channels, uint64_t size)
{
	const struct wire_hello hello = raw_hello(channels, size);

	raw_open_hello(s, port, &hello);
}

static inline void raw_close_data(struct raw_sender *s, uint32_t channel)
{
	if (s->data[channel] >= 0)
		close(s->data[channel]);
	s->data[channel] = -1;
}

static inline void raw_close(struct raw_sender *s)
{
	close(s->control);
	for (uint32_t i = 0; i < s->hello.channels; i++) {
		if (s->data[i] >= 0)
			close(s->data[i]);
	}
}

/*
 * A PAGES packet without method and with all pages carried and data, ready to be damaged: header,
 * bitmaps, payload.
 */
struct raw_packet {
	struct wire_packet header;
	uint8_t bitmaps[WIRE_MAX_BITMAPS_BYTES];
	size_t bitmap_bytes;
	uint8_t payload[32 * PAGE_BYTES];
};

static inline void raw_make(struct raw_sender *s, uint32_t channel, uint32_t round,
			    const struct testing_image *image, uint64_t first, uint32_t count,
			    struct raw_packet *ret)
{
	uint64_t all[BATCH_WORDS] = { 0 };

	assert_true(count <= sizeof(ret->payload) / PAGE_BYTES);
	bitmap_fill(all, count);
	ret->header = (struct wire_packet){
		.kind = WIRE_PAGES, .round = round, .sequence = s->sequence[channel]++,
		.batch = s->batches++, .first = first,
		.count = count, .data_pages = count, .payload = count * PAGE_BYTES,
	};
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *page = ret->payload + (size_t)i * PAGE_BYTES;

		testing_page(image->seed, first + i, testing_generation(image, first + i, round),
			     image->kind, page);
		if ((first + i + 1) * PAGE_BYTES > image->size && first * PAGE_BYTES < image->size)
			memset(page + image->size % PAGE_BYTES, 0,
			       PAGE_BYTES - image->size % PAGE_BYTES);
		ret->header.sum += hash_page(page, PAGE_BYTES, 0, first + i);
	}
	ret->bitmap_bytes = wire_put_bitmaps(all, all, count, ret->bitmaps);
	ret->header.bitmap_hash = hash_bytes(ret->bitmaps, ret->bitmap_bytes);
}

static inline void raw_put(int fd, const struct raw_packet *p)
{
	uint8_t raw[WIRE_PACKET_BYTES];

	wire_put_packet(&p->header, raw);
	raw_send(fd, raw, sizeof(raw));
	if (p->header.kind != WIRE_PAGES)
		return;
	raw_send(fd, p->bitmaps, p->bitmap_bytes);
	raw_send(fd, p->payload, p->header.payload);
}

static inline void raw_pages(struct raw_sender *s, uint32_t channel, uint32_t round,
			     const struct testing_image *image, uint64_t first, uint32_t count)
{
	struct raw_packet p;
	struct totals one;

	raw_make(s, channel, round, image, first, count, &p);
	raw_put(s->data[channel], &p);
	one = (struct totals){ .packets = 1, .pages = count, .sum = p.header.sum };
	totals_add(&s->totals, &one);
}

static inline void raw_zero(struct raw_sender *s, uint32_t channel, uint32_t round, uint64_t first,
			    uint64_t count)
{
	const struct totals one = { .packets = 1, .pages = count, .zero_pages = count };
	struct raw_packet p = { .header = { .kind = WIRE_ZERO, .round = round,
					    .sequence = s->sequence[channel]++,
					    .batch = s->batches++, .first = first,
					    .count = count } };

	raw_put(s->data[channel], &p);
	totals_add(&s->totals, &one);
}

/* SYNC that says there are @batches. */
static inline void raw_sync_of(struct raw_sender *s, uint32_t channel, uint32_t round,
			       uint64_t batches)
{
	struct raw_packet p = { .header = { .kind = WIRE_SYNC,
					    .round = round,
					    .sequence = s->sequence[channel]++,
					    .batch = batches } };

	raw_put(s->data[channel], &p);
}

static inline void raw_sync(struct raw_sender *s, uint32_t channel, uint32_t round)
{
	raw_sync_of(s, channel, round, s->totals.packets);
}

static inline struct wire_end raw_end_of(const struct raw_sender *s, uint32_t rounds, uint64_t hash)
{
	return (struct wire_end){
		.rounds = rounds, .size = s->hello.size, .totals = s->totals, .image_hash = hash
	};
}

static inline void raw_say_end(struct raw_sender *s, const struct wire_end *end)
{
	struct wire_message m = { .type = WIRE_END };

	m.end = *end;
	raw_say(s->control, &m);
}

/* From SYNC on: everything that makes a good end of a session of one round. */
static inline void raw_finish(struct raw_sender *s)
{
	struct wire_message m;
	struct wire_end end;

	for (uint32_t i = 0; i < s->hello.channels; i++) {
		if (s->data[i] >= 0)
			raw_sync(s, i, 0);
	}
	raw_expect(s->control, WIRE_SYNC_DONE, &m);
	end = raw_end_of(s, 1, s->totals.sum);
	raw_say_end(s, &end);
	raw_expect(s->control, WIRE_COMMITTED, &m);
}

/* ---- As a receiver. ---- */

struct raw_receiver {
	int listening, control;
	int data[WIRE_MAX_CHANNELS];
	struct wire_hello hello;
};

/* Accept control and answer HELLO with WELCOME. */
static inline void raw_welcome(struct raw_receiver *r)
{
	struct wire_message m, answer = { .type = WIRE_WELCOME };
	uint8_t raw[WIRE_PREAMBLE_BYTES];

	memset(r->data, -1, sizeof(r->data));
	r->control = raw_accept(r->listening);
	assert_true(raw_recv(r->control, raw, sizeof(raw)));
	raw_expect(r->control, WIRE_HELLO, &m);
	r->hello = m.hello;
	answer.welcome = (struct wire_welcome){ .version = 1,
						.packet_pages = m.hello.packet_pages,
						.methods = m.hello.methods,
						.timeout_ms = RAW_PATIENCE_S * 1000 };
	memset(answer.welcome.token, 0x5a, WIRE_TOKEN_BYTES);
	raw_say(r->control, &answer);
}

/* Accept @count data connections, in the order in which the sender opens them. */
static inline void raw_accept_data(struct raw_receiver *r, uint32_t count)
{
	uint8_t raw[WIRE_PREAMBLE_BYTES];
	struct wire_preamble p;
	struct mfd_error err;

	for (uint32_t i = 0; i < count; i++) {
		int fd = raw_accept(r->listening);

		assert_true(raw_recv(fd, raw, sizeof(raw)));
		assert_true(wire_get_preamble(raw, &p, &err));
		assert_true(p.channel < WIRE_MAX_CHANNELS);
		r->data[p.channel] = fd;
	}
}

/* The next packet on @channel, its payload thrown away; false at the end of the stream. */
static inline bool raw_take_packet(struct raw_receiver *r, uint32_t channel,
				   struct wire_packet *ret)
{
	uint8_t raw[WIRE_PACKET_BYTES], byte;
	struct mfd_error err;
	uint64_t rest;

	if (!raw_recv(r->data[channel], raw, sizeof(raw)))
		return false;
	if (!wire_get_packet(raw, ret, &err))
		fail_msg("not a packet: %s", err.text);
	rest = ret->kind == WIRE_PAGES ? WIRE_BITMAPS_BYTES(ret->count) + ret->payload : 0;
	while (rest--)
		assert_true(raw_recv(r->data[channel], &byte, 1));
	return true;
}

static inline void raw_close_receiver(struct raw_receiver *r)
{
	if (r->listening >= 0)
		close(r->listening);
	close(r->control);
	for (uint32_t i = 0; i < WIRE_MAX_CHANNELS; i++) {
		if (r->data[i] >= 0)
			close(r->data[i]);
	}
}

#endif
