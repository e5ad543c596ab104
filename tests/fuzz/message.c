/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: control messages.  What is taken, sent on and taken again is the same; and
 * what a peer wants printed obeys nobody.
 */
#include "fuzz.h"

#include "wire/wire.h"

static void check_text(const char *text)
{
	FUZZ_CHECK(strlen(text) <= WIRE_MAX_TEXT);
	for (; *text; text++)
		FUZZ_CHECK((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void check(const struct wire_message *m)
{
	uint8_t first[WIRE_MAX_FRAME], second[WIRE_MAX_FRAME];
	struct wire_message again;
	struct mfd_error err;
	size_t size, used;

	FUZZ_CHECK(wire_type_name(m->type));
	if (m->type == WIRE_HELLO && m->hello.version_min > WIRE_VERSION)
		return; /* only its versions were read */
	if (m->type == WIRE_REFUSE || m->type == WIRE_ERROR)
		check_text(m->problem.text);
	size = wire_put_message(m, first);
	FUZZ_CHECK(wire_get_message(first, size, &again, &used, &err) && used == size);
	FUZZ_CHECK(wire_put_message(&again, second) == size);
	FUZZ_CHECK(memcmp(first, second, size) == 0);
}

static void decode(const uint8_t *raw, size_t size)
{
	struct wire_message m;
	struct mfd_error err;
	size_t used;

	if (!wire_get_message(raw, size, &m, &used, &err) || !used)
		return;
	FUZZ_CHECK(used <= size && used <= WIRE_MAX_FRAME);
	check(&m);
}

/* As a frame of its own: the length and the checksum put right. */
static void repair(uint8_t *raw, size_t size)
{
	const size_t body = size - WIRE_FRAME_HEAD_BYTES - WIRE_FRAME_TAIL_BYTES;

	for (unsigned i = 0; i < 4; i++)
		raw[4 + i] = (uint8_t)(body >> (24 - 8 * i));
	fuzz_seal(raw, size - WIRE_FRAME_TAIL_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint8_t *raw = fuzz_copy(bytes, size);

	decode(raw, size);
	if (size >= WIRE_FRAME_HEAD_BYTES + WIRE_FRAME_TAIL_BYTES) {
		repair(raw, size);
		decode(raw, size);
	}
	free(raw);
	return 0;
}
