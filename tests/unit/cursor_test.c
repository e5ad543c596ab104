/* SPDX-License-Identifier: MIT */
/*
 * The sticky cursor: byte order, the end, and what stays true once it is bad.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/cursor.h"

static void numbers_are_big_endian(void **state)
{
	static const uint8_t expected[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
					    0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f };
	uint8_t raw[sizeof(expected)];
	struct cursor c = cursor_writer(raw, sizeof(raw));

	(void)state;
	cursor_put_u8(&c, 0x01);
	cursor_put_u16(&c, 0x0203);
	cursor_put_u32(&c, 0x04050607);
	cursor_put_u64(&c, UINT64_C(0x08090a0b0c0d0e0f));
	assert_true(cursor_finished(&c));
	assert_memory_equal(raw, expected, sizeof(raw));

	c = cursor_reader(raw, sizeof(raw));
	assert_int_equal(cursor_get_u8(&c), 0x01);
	assert_int_equal(cursor_get_u16(&c), 0x0203);
	assert_int_equal(cursor_get_u32(&c), 0x04050607);
	assert_true(cursor_get_u64(&c) == UINT64_C(0x08090a0b0c0d0e0f));
	assert_true(cursor_finished(&c));
}

static void extremes_survive_the_round_trip(void **state)
{
	uint8_t raw[15];
	struct cursor c = cursor_writer(raw, sizeof(raw));

	(void)state;
	cursor_put_u8(&c, UINT8_MAX);
	cursor_put_u16(&c, UINT16_MAX);
	cursor_put_u32(&c, UINT32_MAX);
	cursor_put_u64(&c, UINT64_MAX);
	c = cursor_reader(raw, sizeof(raw));
	assert_int_equal(cursor_get_u8(&c), UINT8_MAX);
	assert_int_equal(cursor_get_u16(&c), UINT16_MAX);
	assert_true(cursor_get_u32(&c) == UINT32_MAX);
	assert_true(cursor_get_u64(&c) == UINT64_MAX);
	assert_true(cursor_finished(&c));
}

static void bytes_and_zeros_are_copied(void **state)
{
	uint8_t raw[8];
	uint8_t back[3];
	struct cursor c = cursor_writer(raw, sizeof(raw));

	(void)state;
	memset(raw, 0xff, sizeof(raw));
	cursor_put_bytes(&c, "abc", 3);
	cursor_put_zeros(&c, 4);
	assert_int_equal(cursor_left(&c), 1);
	assert_memory_equal(raw, "abc\0\0\0\0\xff", 8);

	c = cursor_reader(raw, sizeof(raw));
	cursor_get_bytes(&c, back, 3);
	assert_memory_equal(back, "abc", 3);
	cursor_skip(&c, 4);
	assert_int_equal(cursor_get_u8(&c), 0xff);
	assert_true(cursor_finished(&c));
}

static void reading_past_the_end_is_bad_and_stays_bad(void **state)
{
	static const uint8_t raw[] = { 1, 2, 3, 4 };
	struct cursor c = cursor_reader(raw, sizeof(raw));
	uint8_t back[2] = { 9, 9 };

	(void)state;
	assert_int_equal(cursor_get_u8(&c), 1);
	assert_int_equal(cursor_get_u32(&c), 0);
	assert_true(c.bad);
	/* Three bytes would still be there for a cursor that is not sticky. */
	assert_int_equal(cursor_get_u8(&c), 0);
	assert_int_equal(cursor_get_u16(&c), 0);
	assert_true(cursor_get_u64(&c) == 0);
	cursor_get_bytes(&c, back, 2);
	assert_int_equal(back[0] | back[1], 0);
	assert_int_equal(cursor_left(&c), 0);
	assert_false(cursor_finished(&c));
}

static void writing_past_the_end_goes_nowhere(void **state)
{
	uint8_t raw[12];
	struct cursor c = cursor_writer(raw, 7);

	(void)state;
	memset(raw, 0xee, sizeof(raw));
	cursor_put_u32(&c, 0);
	cursor_put_u32(&c, 0);
	cursor_put_u8(&c, 0);
	cursor_put_u16(&c, 0);
	cursor_put_u64(&c, 0);
	cursor_put_zeros(&c, 1);
	cursor_put_bytes(&c, "x", 1);
	assert_true(c.bad);
	assert_false(cursor_finished(&c));
	for (size_t i = 4; i < sizeof(raw); i++)
		assert_int_equal(raw[i], 0xee);
}

static void every_getter_and_putter_respects_the_end(void **state)
{
	uint8_t raw[8] = { 0 };
	struct cursor c;

	(void)state;
	for (size_t size = 0; size <= sizeof(raw); size++) {
		c = cursor_reader(raw, size);
		cursor_get_u64(&c);
		assert_int_equal(c.bad, size < 8);
		c = cursor_reader(raw, size);
		cursor_get_u32(&c);
		assert_int_equal(c.bad, size < 4);
		c = cursor_reader(raw, size);
		cursor_skip(&c, 5);
		assert_int_equal(c.bad, size < 5);
		c = cursor_writer(raw, size);
		cursor_put_u16(&c, 1);
		assert_int_equal(c.bad, size < 2);
		c = cursor_writer(raw, size);
		cursor_put_zeros(&c, 3);
		assert_int_equal(c.bad, size < 3);
	}
}

static void huge_sizes_are_refused_without_wrapping(void **state)
{
	uint8_t raw[8] = { 0 };
	struct cursor c = cursor_reader(raw, sizeof(raw));

	(void)state;
	cursor_skip(&c, 1);
	cursor_skip(&c, SIZE_MAX);
	assert_true(c.bad);
	c = cursor_writer(raw, sizeof(raw));
	cursor_put_zeros(&c, SIZE_MAX);
	assert_true(c.bad);
}

static void nothing_at_all_is_a_message_too(void **state)
{
	struct cursor c = cursor_reader(NULL, 0);

	(void)state;
	cursor_get_bytes(&c, NULL, 0);
	cursor_skip(&c, 0);
	assert_true(cursor_finished(&c));
	c = cursor_writer(NULL, 0);
	cursor_put_bytes(&c, NULL, 0);
	cursor_put_zeros(&c, 0);
	assert_true(cursor_finished(&c));
	cursor_put_u8(&c, 1);
	assert_true(c.bad);
}

static void bytes_left_over_are_not_finished(void **state)
{
	static const uint8_t raw[3] = { 0 };
	struct cursor c = cursor_reader(raw, sizeof(raw));

	(void)state;
	cursor_get_u16(&c);
	assert_int_equal(cursor_left(&c), 1);
	assert_false(cursor_finished(&c));
	assert_false(c.bad);
	cursor_get_u8(&c);
	assert_true(cursor_finished(&c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_big_endian),
		cmocka_unit_test(extremes_survive_the_round_trip),
		cmocka_unit_test(bytes_and_zeros_are_copied),
		cmocka_unit_test(reading_past_the_end_is_bad_and_stays_bad),
		cmocka_unit_test(writing_past_the_end_goes_nowhere),
		cmocka_unit_test(every_getter_and_putter_respects_the_end),
		cmocka_unit_test(huge_sizes_are_refused_without_wrapping),
		cmocka_unit_test(nothing_at_all_is_a_message_too),
		cmocka_unit_test(bytes_left_over_are_not_finished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
