/* SPDX-License-Identifier: MIT */
/*
 * Bitmaps, against one bool per bit, with sizes around the words.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/bitmap.h"

#define BITS 200
#define WORDS BITMAP_WORDS(BITS)

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return *seed >> 33;
}

/* The map holds exactly these bits, and none beyond. */
static void assert_map_equals(const uint64_t *map, const bool *model)
{
	for (uint32_t i = 0; i < WORDS * 64; i++)
		assert_int_equal(bitmap_test(map, i), i < BITS && model[i]);
}

static void set_and_clear_touch_one_bit(void **state)
{
	uint64_t map[WORDS] = { 0 };
	bool model[BITS] = { false };
	uint64_t seed = 1;

	(void)state;
	for (int step = 0; step < 2000; step++) {
		uint32_t i = (uint32_t)(next_random(&seed) % BITS);

		model[i] = next_random(&seed) & 1;
		if (model[i])
			bitmap_set(map, i);
		else
			bitmap_clear(map, i);
		if (step % 50 == 0)
			assert_map_equals(map, model);
	}
	assert_map_equals(map, model);
}

static void fill_sets_exactly_the_first_bits_of_its_words(void **state)
{
	uint64_t map[WORDS + 1];

	(void)state;
	for (uint32_t bits = 0; bits <= BITS; bits++) {
		memset(map, 0xaa, sizeof(map));
		bitmap_fill(map, bits);
		for (uint32_t i = 0; i < BITMAP_WORDS(bits) * 64; i++)
			assert_int_equal(bitmap_test(map, i), i < bits);
		for (uint32_t word = BITMAP_WORDS(bits); word < WORDS + 1; word++)
			assert_true(map[word] == UINT64_C(0xaaaaaaaaaaaaaaaa));
		assert_int_equal(bitmap_count(map, bits), bits);
	}
}

static void set_run_sets_exactly_the_run(void **state)
{
	uint64_t map[WORDS];
	bool model[BITS];

	(void)state;
	for (uint32_t first = 0; first < BITS; first += 3) {
		for (uint32_t count = 0; first + count <= BITS; count += count < 5 ? 1 : 7) {
			memset(map, 0, sizeof(map));
			for (uint32_t i = 0; i < BITS; i++)
				model[i] = i >= first && i < first + count;
			bitmap_set_run(map, first, count);
			assert_map_equals(map, model);
		}
	}
}

static void set_run_keeps_the_bits_around_it(void **state)
{
	uint64_t map[2] = { 1, UINT64_C(1) << 63 };

	(void)state;
	bitmap_set_run(map, 60, 8);
	assert_true(map[0] == (UINT64_C(0xf) << 60 | 1));
	assert_true(map[1] == (UINT64_C(1) << 63 | 0xf));
}

static void count_ignores_bits_beyond(void **state)
{
	uint64_t map[WORDS];

	(void)state;
	memset(map, 0xff, sizeof(map));
	for (uint32_t bits = 0; bits <= BITS; bits++)
		assert_int_equal(bitmap_count(map, bits), bits);
	memset(map, 0, sizeof(map));
	bitmap_set(map, 0);
	bitmap_set(map, 64);
	bitmap_set(map, 199);
	assert_int_equal(bitmap_count(map, 200), 3);
	assert_int_equal(bitmap_count(map, 199), 2);
	assert_int_equal(bitmap_count(map, 64), 1);
}

static void a_part_is_within_its_whole(void **state)
{
	uint64_t whole[WORDS] = { 0 };
	uint64_t part[WORDS] = { 0 };

	(void)state;
	bitmap_set_run(whole, 10, 100);
	assert_true(bitmap_within(part, whole, BITS));
	bitmap_set_run(part, 50, 30);
	assert_true(bitmap_within(part, whole, BITS));
	assert_true(bitmap_within(whole, whole, BITS));
	assert_true(bitmap_within(part, whole, 110));
}

static void a_bit_outside_the_whole_is_not_within(void **state)
{
	uint64_t whole[WORDS] = { 0 };
	uint64_t part[WORDS] = { 0 };

	(void)state;
	bitmap_set_run(whole, 10, 100);
	for (uint32_t i = 0; i < BITS; i++) {
		bitmap_set(part, i);
		assert_int_equal(bitmap_within(part, whole, BITS), i >= 10 && i < 110);
		bitmap_clear(part, i);
	}
}

static void a_bit_beyond_the_end_is_not_within(void **state)
{
	uint64_t whole[2] = { 0 };
	uint64_t part[2] = { 0 };

	(void)state;
	for (uint32_t i = 70; i < 128; i++) {
		bitmap_set(whole, i);
		assert_false(bitmap_within(part, whole, 70));
		bitmap_set(part, i);
		assert_false(bitmap_within(part, whole, 70));
		bitmap_clear(whole, i);
		assert_false(bitmap_within(part, whole, 70));
		bitmap_clear(part, i);
	}
	bitmap_set(whole, 69);
	bitmap_set(part, 69);
	assert_true(bitmap_within(part, whole, 70));
}

/* The runs found, set again, are the map; they are in order and do not touch. */
static void assert_runs_equal_map(const uint64_t *map, uint32_t bits)
{
	uint64_t again[WORDS] = { 0 };
	uint32_t first = 0;
	uint32_t end = 0;
	uint32_t count = 0;

	for (; bitmap_next_run(map, bits, &first, &count); first += count) {
		assert_true(count > 0);
		assert_true(first > end || end == 0);
		end = first + count;
		assert_true(end <= bits);
		bitmap_set_run(again, first, count);
	}
	for (uint32_t i = 0; i < bits; i++)
		assert_int_equal(bitmap_test(again, i), bitmap_test(map, i));
}

static void runs_cover_exactly_the_set_bits(void **state)
{
	uint64_t map[WORDS];
	uint64_t seed = 7;

	(void)state;
	for (uint32_t bits = 0; bits <= BITS; bits++) {
		memset(map, 0xff, sizeof(map));
		assert_runs_equal_map(map, bits);
		memset(map, 0x55, sizeof(map));
		assert_runs_equal_map(map, bits);
		for (int shape = 1; shape < 5; shape++) {
			memset(map, 0, sizeof(map));
			for (uint32_t i = 0; i < BITS; i++)
				if (next_random(&seed) % 5 >= (uint64_t)shape)
					bitmap_set(map, i);
			assert_runs_equal_map(map, bits);
		}
	}
}

static void no_run_in_an_empty_map_or_at_its_end(void **state)
{
	uint64_t map[WORDS] = { 0 };
	uint32_t first = 0;
	uint32_t count = 99;

	(void)state;
	assert_false(bitmap_next_run(map, BITS, &first, &count));
	bitmap_set(map, BITS - 1);
	assert_false(bitmap_next_run(map, BITS - 1, &first, &count));
	first = BITS;
	assert_false(bitmap_next_run(map, BITS, &first, &count));
	first = 0;
	assert_true(bitmap_next_run(map, BITS, &first, &count));
	assert_int_equal(first, BITS - 1);
	assert_int_equal(count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_and_clear_touch_one_bit),
		cmocka_unit_test(fill_sets_exactly_the_first_bits_of_its_words),
		cmocka_unit_test(set_run_sets_exactly_the_run),
		cmocka_unit_test(set_run_keeps_the_bits_around_it),
		cmocka_unit_test(count_ignores_bits_beyond),
		cmocka_unit_test(a_part_is_within_its_whole),
		cmocka_unit_test(a_bit_outside_the_whole_is_not_within),
		cmocka_unit_test(a_bit_beyond_the_end_is_not_within),
		cmocka_unit_test(runs_cover_exactly_the_set_bits),
		cmocka_unit_test(no_run_in_an_empty_map_or_at_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
