/* SPDX-License-Identifier: MIT */
/*
 * The frame around control messages: when it is whole, its limits, its types, and that no
 * damaged one gets in.
 */
#include "wire_test.h"

#include "aborts.h"

static const struct wire_message fenced = {
	.type = WIRE_FENCED,
	.fence = { .channel = 5, .generation = 6, .written = 7 },
};

static const struct wire_message problem = {
	.type = WIRE_ERROR,
	.problem = { .status = MFD_IO, .text = "out.bin: No space left on device" },
};

/* One message of each type, as small as may be. */
static unsigned each_type(struct wire_message ret[static 11])
{
	memset(ret, 0, 11 * sizeof(*ret));
	for (unsigned i = 0; i < 11; i++)
		ret[i].type = (enum wire_type)(i + 1);
	ret[0].hello = (struct wire_hello){ .version_min = 1,
					    .version_max = 1,
					    .page_bytes = PAGE_BYTES,
					    .packet_pages = 1,
					    .channels = 1,
					    .methods = 1,
					    .timeout_ms = 1,
					    .regions = 1 };
	ret[1].welcome = (struct wire_welcome){
		.version = 1, .packet_pages = 1, .methods = 1, .timeout_ms = 1
	};
	ret[2].problem.status = MFD_PROTOCOL;
	ret[3].ack = (struct wire_ack){ .count = 1, .channel = { { .generation = 1 } } };
	ret[6].end.rounds = 1;
	ret[8].problem.status = MFD_PROTOCOL;
	ret[9].fence.generation = 1;
	ret[10].fence.generation = 1;
	return 11;
}

static void end_has_the_bytes_of_its_table(void **state)
{
	static const uint8_t golden[] = {
		0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x34, /* type, flags, bytes in the body */
		0x00, 0x00, 0x00, 0x02,                         /* rounds */
		0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, /* image size */
		0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, /* packets */
		0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, /* pages */
		0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, /* zero pages */
		0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, /* sum */
		0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, /* image hash */
		0xcc, 0x4b, 0x2e, 0x23, 0x45, 0x7d, 0x6c, 0xb7, /* checksum */
	};
	const struct wire_message end = {
		.type = WIRE_END,
		.end = {
			.rounds = 2,
			.size = 0x0001020304050607,
			.totals = { .packets = 0x1011121314151617,
				    .pages = 0x2021222324252627,
				    .zero_pages = 0x18191a1b1c1d1e1f,
				    .sum = 0x4041424344454647 },
			.image_hash = 0x5051525354555657,
		},
	};
	uint8_t raw[WIRE_MAX_FRAME];

	(void)state;
	assert_int_equal(wire_put_message(&end, raw), sizeof(golden));
	assert_memory_equal(raw, golden, sizeof(golden));
}

static void every_type_comes_back(void **state)
{
	static const size_t body[] = { 66, 34, 4, 18, 4, 36, 52, 16, 4, 8, 16 };
	struct wire_message m[11];

	(void)state;
	for (unsigned i = 0; i < each_type(m); i++)
		test_round_trip(&m[i], body[i]);
}

static void bodies_that_are_short_or_long_are_refused(void **state)
{
	struct wire_message m[11];

	(void)state;
	for (unsigned i = 0; i < each_type(m); i++)
		test_body_has_its_size(&m[i]);
}

static void part_of_a_frame_is_not_yet_one(void **state)
{
	struct wire_message m[11], got;
	struct mfd_error err = { 0 };
	uint8_t raw[WIRE_MAX_FRAME];
	size_t size, used;
	uint8_t *part;

	(void)state;
	for (unsigned i = 0; i < each_type(m); i++) {
		size = wire_put_message(&m[i], raw);
		for (size_t cut = 0; cut < size; cut++) {
			part = test_exact(raw, cut);
			used = SIZE_MAX;
			assert_true(wire_get_message(part, cut, &got, &used, &err));
			assert_int_equal(used, 0);
			free(part);
		}
		test_frame_is_taken(raw, size, &got);
	}
}

static void frames_behind_one_another_are_taken_one_by_one(void **state)
{
	uint8_t raw[2 * WIRE_MAX_FRAME];
	struct wire_message got;
	struct mfd_error err = { 0 };
	size_t first = wire_put_message(&fenced, raw);
	size_t second = wire_put_message(&problem, raw + first);
	size_t used;

	(void)state;
	assert_true(wire_get_message(raw, first + second, &got, &used, &err));
	assert_int_equal(used, first);
	assert_int_equal(got.type, WIRE_FENCED);
	assert_true(wire_get_message(raw + first, second, &got, &used, &err));
	assert_int_equal(used, second);
	assert_int_equal(got.type, WIRE_ERROR);
}

/*
 * A flip in the length may make the frame longer: then the rest of it is waited for,
 * which is no message either.
 */
static void every_flipped_bit_of_a_frame_is_refused(void **state)
{
	uint8_t raw[WIRE_MAX_FRAME];
	struct wire_message m[11], got;
	struct mfd_error err;
	size_t size, used;
	uint8_t *copy;
	bool in_length;

	(void)state;
	for (unsigned i = 0; i < each_type(m); i++) {
		size = wire_put_message(&m[i], raw);
		for (unsigned bit = 0; bit < 8 * size; bit++) {
			copy = test_exact(raw, size);
			copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
			in_length = bit >= 32 && bit < 64;
			if (wire_get_message(copy, size, &got, &used, &err))
				assert_true(in_length && used == 0);
			else
				assert_true(err.status == MFD_DATA ||
					    (in_length && err.status == MFD_PROTOCOL));
			free(copy);
		}
	}
}

static void body_length_is_bounded_as_soon_as_it_is_there(void **state)
{
	static const uint32_t too_long[] = { WIRE_MAX_BODY + 1, 0x7fffffff, 0x80000000,
					     0xfffffff0, 0xffffffff };
	static const uint32_t fine[] = { 0, 1, WIRE_MAX_BODY - 1, WIRE_MAX_BODY };
	uint8_t raw[WIRE_FRAME_HEAD_BYTES] = { 0, WIRE_HELLO };
	struct wire_message got;
	struct mfd_error err = { 0 };
	size_t used;

	(void)state;
	for (size_t i = 0; i < sizeof(too_long) / sizeof(too_long[0]); i++) {
		test_poke(raw, 4, 4, too_long[i]);
		test_frame_is_refused(raw, sizeof(raw), MFD_PROTOCOL, "bytes, over 8192");
	}
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		test_poke(raw, 4, 4, fine[i]);
		assert_true(wire_get_message(raw, sizeof(raw), &got, &used, &err));
		assert_int_equal(used, 0);
	}
}

/* A HELLO of a later version, because no message of ours is so long. */
static void longest_body_is_taken(void **state)
{
	uint8_t raw[WIRE_MAX_FRAME] = { 0, WIRE_HELLO };
	struct wire_message got;

	(void)state;
	for (size_t body = WIRE_MAX_BODY - 1; body <= WIRE_MAX_BODY; body++) {
		test_poke(raw, 4, 4, body);
		test_poke(raw, 8, 4, 0x00020003);
		test_seal(raw, WIRE_FRAME_HEAD_BYTES + body);
		test_frame_is_taken(raw, WIRE_FRAME_HEAD_BYTES + body + WIRE_FRAME_TAIL_BYTES,
				    &got);
	}
}

static void unknown_and_reserved_types_are_refused(void **state)
{
	static const struct {
		uint16_t type;
		const char *refusal;
	} list[] = {
		{ 0, "message type 0 is unknown" },
		{ 12, "message type 12 is reserved" },
		{ 13, "message type 13 is unknown" },
		{ 77, "message type 77 is unknown" },
		{ 0xffff, "message type 65535 is unknown" },
	};
	uint8_t raw[WIRE_MAX_FRAME];
	struct wire_message got;
	size_t size = wire_put_message(&fenced, raw);

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		test_poke(raw, 0, 2, list[i].type);
		test_seal(raw, size - WIRE_FRAME_TAIL_BYTES);
		test_frame_is_refused(raw, size, MFD_PROTOCOL, list[i].refusal);
	}
	test_poke(raw, 0, 2, WIRE_FENCED);
	test_seal(raw, size - WIRE_FRAME_TAIL_BYTES);
	test_frame_is_taken(raw, size, &got);
}

static void flags_of_a_frame_are_zero(void **state)
{
	static const uint16_t list[] = { 1, 0x100, 0x8000, 0xffff };
	uint8_t raw[WIRE_MAX_FRAME];
	size_t size = wire_put_message(&fenced, raw);

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		test_poke(raw, 2, 2, list[i]);
		test_seal(raw, size - WIRE_FRAME_TAIL_BYTES);
		test_frame_is_refused(raw, size, MFD_PROTOCOL, "FENCED: flags: 0x");
	}
}

static void refusal_names_the_message(void **state)
{
	static const struct wire_case list[] = {
		{ 4, 4, 0, "FENCED: generation: 0 is not one of" },
	};

	(void)state;
	test_body_cases(&fenced, WIRE_CASES(list));
}

static void names_are_known_for_all_types_but_reserved_ones(void **state)
{
	(void)state;
	for (unsigned type = WIRE_HELLO; type <= WIRE_FENCED; type++)
		assert_non_null(wire_type_name(type));
	assert_string_equal(wire_type_name(WIRE_HELLO), "HELLO");
	assert_string_equal(wire_type_name(WIRE_CHANNEL_DOWN), "CHANNEL_DOWN");
	assert_null(wire_type_name(0));
	assert_null(wire_type_name(WIRE_PAGE_REQUEST_RESERVED));
	assert_null(wire_type_name(77));
	assert_null(wire_type_name(UINT32_MAX));
}

static void put(void *m)
{
	uint8_t raw[WIRE_MAX_FRAME];

	wire_put_message(m, raw);
}

static void impossible_lengths_abort_the_encoder(void **state)
{
	struct wire_message m[11];

	(void)state;
	each_type(m);
	put(&m[0]);
	m[0].hello.regions = WIRE_MAX_REGIONS + 1;
	assert_true(aborts_with(put, &m[0], "mfd: wire: too many regions\n"));
	m[0].hello.regions = 1;
	m[0].hello.region[0].name_bytes = WIRE_MAX_NAME + 1;
	assert_true(aborts_with(put, &m[0], "mfd: wire: the name of a region is too long\n"));
	m[3].ack.count = 0;
	assert_true(aborts_with(put, &m[3], "mfd: wire: an ACK for no channel or for too many\n"));
	m[3].ack.count = WIRE_MAX_CHANNELS + 1;
	assert_true(aborts_with(put, &m[3], "mfd: wire: an ACK for no channel or for too many\n"));
	m[4].heartbeat.count = WIRE_MAX_CHANNELS + 1;
	assert_true(aborts_with(put, &m[4], "mfd: wire: a HEARTBEAT for too many channels\n"));
	m[10].type = WIRE_PAGE_REQUEST_RESERVED;
	assert_true(aborts_with(put, &m[10],
				"mfd: wire: a message of no known type is to be sent\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(end_has_the_bytes_of_its_table),
		cmocka_unit_test(every_type_comes_back),
		cmocka_unit_test(bodies_that_are_short_or_long_are_refused),
		cmocka_unit_test(part_of_a_frame_is_not_yet_one),
		cmocka_unit_test(frames_behind_one_another_are_taken_one_by_one),
		cmocka_unit_test(every_flipped_bit_of_a_frame_is_refused),
		cmocka_unit_test(body_length_is_bounded_as_soon_as_it_is_there),
		cmocka_unit_test(longest_body_is_taken),
		cmocka_unit_test(unknown_and_reserved_types_are_refused),
		cmocka_unit_test(flags_of_a_frame_are_zero),
		cmocka_unit_test(refusal_names_the_message),
		cmocka_unit_test(names_are_known_for_all_types_but_reserved_ones),
		cmocka_unit_test(impossible_lengths_abort_the_encoder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
