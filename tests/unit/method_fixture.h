/* SPDX-License-Identifier: MIT */
/*
 * For the tests of methods: seeded pages of different kinds, a packet made of them, and a
 * receiver whose output has guards.
 */
#ifndef MFD_TESTS_UNIT_METHOD_FIXTURE_H
#define MFD_TESTS_UNIT_METHOD_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "compress/method.h"

#define PAGE 4096u
#define MAX_PAGES 1024u
#define GUARD 256
#define GUARD_BYTE 0xa5

enum kind { RANDOM, TEXT, ALTERNATING, KINDS };

/*
 * The pages of a batch, and what must come out at the far end: its data pages one behind
 * another.
 */
struct batch_pages {
	struct method_pages pages;
	uint64_t data[BITMAP_WORDS(MAX_PAGES)];
	uint8_t *expected;
	size_t bytes;
};

/*
 * A payload gathered as the socket would; its allocation ends with it, so that a sanitizer
 * sees a read beyond.
 */
struct packet {
	uint8_t *bytes;
	size_t size;
	enum method_id id;
};

static inline uint64_t next_random(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline void fill_page(uint8_t *page, enum kind kind, uint64_t seed)
{
	static const char words[16][9] = {
		"kernel  ", "page    ", "memory  ", "\0\0\0\0\0\0\0", "/usr/lib", "channel ",
		"round   ", "zero    ", "= 0x1f; ", "return  ", "struct  ", "uint64_t",
		"        ", "\n\t\t\t\t\t\t\t", "batch   ", "sender  ",
	};
	uint64_t value;

	for (size_t at = 0; at < PAGE; at += 8) {
		value = next_random(&seed);
		if (kind == RANDOM)
			memcpy(page + at, &value, 8);
		else
			memcpy(page + at, words[value % 16], 8);
	}
}

/* @count pages of @kind.  Alternating: every other page is zero and not in the bitmap. */
static inline void batch_pages_make(struct batch_pages *b, enum kind kind, uint32_t count,
				    uint64_t seed)
{
	memset(b, 0, sizeof(*b));
	b->pages.bytes = calloc(count, PAGE);
	b->expected = calloc(count, PAGE);
	assert_non_null(b->pages.bytes);
	assert_non_null(b->expected);
	b->pages.page_bytes = PAGE;
	b->pages.count = count;
	b->pages.data = b->data;
	for (uint32_t i = 0; i < count; i += kind == ALTERNATING ? 2 : 1) {
		bitmap_set(b->data, i);
		b->pages.data_pages++;
		fill_page(b->pages.bytes + (size_t)i * PAGE, kind, seed + i);
		memcpy(b->expected + b->bytes, b->pages.bytes + (size_t)i * PAGE, PAGE);
		b->bytes += PAGE;
	}
}

static inline void batch_pages_free(struct batch_pages *b)
{
	free(b->pages.bytes);
	free(b->expected);
}

static inline struct method *sender_new(const struct method_ops *ops, int level,
					size_t max_bytes)
{
	struct method *m = NULL;
	struct mfd_error err;

	assert_true(ops->new_sender(level, max_bytes, &m, &err));
	assert_int_equal(m->ops->id, ops->id);
	assert_string_equal(m->ops->name, ops->encoder(ops, level));
	return m;
}

static inline struct method *receiver_new(const struct method_ops *ops)
{
	struct method *m = NULL;
	struct mfd_error err;

	assert_true(ops->new_receiver(&m, &err));
	assert_int_equal(m->ops->id, ops->id);
	assert_string_equal(m->ops->name, ops->decoder(ops));
	return m;
}

/* Prepare, check what every payload must keep, gather. */
static inline struct packet packet_make(struct method *sender, struct batch_pages *b)
{
	struct iovec iov[METHOD_IOVS(MAX_PAGES)];
	struct method_payload payload = { .iov = iov };
	struct packet packet;
	struct mfd_error err;
	size_t at = 0;

	assert_true(sender->ops->send_prepare(sender, &b->pages, &payload, &err));
	assert_in_range(payload.iovs, 1, METHOD_IOVS(b->pages.count));
	if (payload.id == METHOD_NONE) {
		assert_int_equal(payload.bytes, b->bytes);
	} else {
		assert_int_equal(payload.id, sender->ops->id);
		assert_in_range(payload.bytes, 1, b->bytes - 1);
	}
	packet = (struct packet){ malloc(payload.bytes), payload.bytes, payload.id };
	assert_non_null(packet.bytes);
	for (unsigned i = 0; i < payload.iovs; at += iov[i++].iov_len) {
		assert_true(iov[i].iov_len <= packet.size - at);
		memcpy(packet.bytes + at, iov[i].iov_base, iov[i].iov_len);
	}
	assert_int_equal(at, packet.size);
	return packet;
}

/*
 * Decode into exactly @bytes bytes between guards, which must survive; the caller frees
 * *ret_bytes.
 */
static inline bool decode(struct method *receiver, const uint8_t *payload, size_t size,
			  size_t bytes, uint8_t **ret_bytes, struct mfd_error *err)
{
	uint8_t *memory = malloc(bytes + 2 * GUARD);
	bool done;

	assert_non_null(memory);
	memset(memory, GUARD_BYTE, bytes + 2 * GUARD);
	done = receiver->ops->recv_pages(receiver, payload, size, memory + GUARD, bytes, err);
	for (size_t i = 0; i < GUARD; i++) {
		assert_int_equal(memory[i], GUARD_BYTE);
		assert_int_equal(memory[GUARD + bytes + i], GUARD_BYTE);
	}
	memmove(memory, memory + GUARD, bytes);
	*ret_bytes = memory;
	return done;
}

static inline void assert_decodes(struct method *receiver, const struct packet *packet,
				  const struct batch_pages *b)
{
	struct mfd_error err;
	uint8_t *bytes;

	if (!decode(receiver, packet->bytes, packet->size, b->bytes, &bytes, &err))
		fail_msg("refused: %s", err.text);
	assert_memory_equal(bytes, b->expected, b->bytes);
	free(bytes);
}

/* Refused as damaged, and the text contains @says. */
static inline void assert_refused(struct method *receiver, const uint8_t *payload, size_t size,
				  size_t bytes, const char *says)
{
	struct mfd_error err;
	uint8_t *decoded;

	if (decode(receiver, payload, size, bytes, &decoded, &err))
		fail_msg("accepted, but should be refused: %s", says);
	free(decoded);
	assert_int_equal(err.status, MFD_DATA);
	if (!strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
}

#endif
