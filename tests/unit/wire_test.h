/* SPDX-License-Identifier: MIT */
/*
 * What the tests of lib/wire share: fields changed at the offsets of man/mfd-wire.7 and
 * sealed again, and decoding from buffers that end where the bytes end, so that the
 * address sanitizer sees a read beyond.
 */
#ifndef MFD_TESTS_WIRE_TEST_H
#define MFD_TESTS_WIRE_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "wire/wire.h"

/* One field set to one value: what the decoder says to it, or NULL if it is fine. */
struct wire_case {
	size_t offset;
	unsigned bytes;
	uint64_t value;
	const char *refusal;
};

#define WIRE_CASES(list) (list), sizeof(list) / sizeof((list)[0])

/* Big-endian, without the cursor that is under test as well. */
static inline void test_poke(uint8_t *raw, size_t offset, unsigned bytes, uint64_t value)
{
	while (bytes-- > 0) {
		raw[offset + bytes] = (uint8_t)value;
		value >>= 8;
	}
}

/* The checksum over the first @hashed bytes, behind them. */
static inline void test_seal(uint8_t *raw, size_t hashed)
{
	test_poke(raw, hashed, 8, hash_bytes(raw, hashed));
}

/* A copy on the heap that ends where it ends; free() it. */
static inline uint8_t *test_exact(const uint8_t *raw, size_t size)
{
	uint8_t *copy = malloc(size);

	assert_true(copy || !size);
	if (size)
		memcpy(copy, raw, size);
	return copy;
}

static inline void test_error_is(const struct mfd_error *err, enum mfd_status status,
				 const char *text)
{
	if (!strstr(err->text, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err->text);
	assert_int_equal(err->status, status);
}

/* ---- Frames. ---- */

/* Decode a whole frame and nothing but it. */
static inline bool test_get_frame(const uint8_t *raw, size_t size, struct wire_message *ret,
				  struct mfd_error *err)
{
	uint8_t *copy = test_exact(raw, size);
	size_t used = SIZE_MAX;
	bool ok = wire_get_message(copy, size, ret, &used, err);

	assert_int_equal(used, ok ? size : 0);
	free(copy);
	return ok;
}

static inline void test_frame_is_refused(const uint8_t *raw, size_t size, enum mfd_status status,
					 const char *text)
{
	struct wire_message m;
	struct mfd_error err = { 0 };

	assert_false(test_get_frame(raw, size, &m, &err));
	test_error_is(&err, status, text);
}

static inline void test_frame_is_taken(const uint8_t *raw, size_t size, struct wire_message *ret)
{
	struct mfd_error err = { 0 };

	if (!test_get_frame(raw, size, ret, &err))
		fail_msg("refused: %s", err.text);
	assert_int_equal(err.status, MFD_OK);
}

/* @m with each case's field of its body changed in turn. */
static inline void test_body_cases(const struct wire_message *m, const struct wire_case *list,
				   size_t cases)
{
	uint8_t raw[WIRE_MAX_FRAME];
	struct wire_message got;
	size_t size;

	for (size_t i = 0; i < cases; i++) {
		size = wire_put_message(m, raw);
		test_poke(raw, WIRE_FRAME_HEAD_BYTES + list[i].offset, list[i].bytes,
			  list[i].value);
		test_seal(raw, size - WIRE_FRAME_TAIL_BYTES);
		if (list[i].refusal)
			test_frame_is_refused(raw, size, MFD_PROTOCOL, list[i].refusal);
		else
			test_frame_is_taken(raw, size, &got);
	}
}

/*
 * Encoded and decoded @m is the same to the last bit, and its body has @body bytes.  Its
 * unused bytes must be 0.
 */
static inline void test_round_trip(const struct wire_message *m, size_t body)
{
	uint8_t raw[WIRE_MAX_FRAME];
	size_t size = wire_put_message(m, raw);
	struct wire_message *got = calloc(1, sizeof(*got));

	assert_non_null(got);
	assert_int_equal(size, WIRE_FRAME_HEAD_BYTES + body + WIRE_FRAME_TAIL_BYTES);
	test_frame_is_taken(raw, size, got);
	assert_memory_equal(got, m, sizeof(*m));
	free(got);
}

/* The frame with a body one byte shorter, at every length down to none, and one byte longer. */
static inline void test_body_has_its_size(const struct wire_message *m)
{
	uint8_t raw[WIRE_MAX_FRAME + 1] = { 0 };
	size_t body = wire_put_message(m, raw) - WIRE_FRAME_HEAD_BYTES - WIRE_FRAME_TAIL_BYTES;

	for (size_t cut = 0; cut < body; cut++) {
		wire_put_message(m, raw);
		test_poke(raw, 4, 4, cut);
		test_seal(raw, WIRE_FRAME_HEAD_BYTES + cut);
		test_frame_is_refused(raw, WIRE_FRAME_HEAD_BYTES + cut + WIRE_FRAME_TAIL_BYTES,
				      MFD_PROTOCOL, "body is too short");
	}
	wire_put_message(m, raw);
	test_poke(raw, 4, 4, body + 1);
	raw[WIRE_FRAME_HEAD_BYTES + body] = 0;
	test_seal(raw, WIRE_FRAME_HEAD_BYTES + body + 1);
	test_frame_is_refused(raw, WIRE_FRAME_HEAD_BYTES + body + 1 + WIRE_FRAME_TAIL_BYTES,
			      MFD_PROTOCOL, "body is 1 bytes too long");
}

#endif
