/* SPDX-License-Identifier: MIT */
/*
 * Scanning a batch for zero pages, with every variant; what each variant itself finds is in
 * zero_variants.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/zero.h"

#define PAGE 4096
#define PAGES 200
#define WORDS BITMAP_WORDS(PAGES)

static const char *const names[] = { "avx512", "avx2", "sse2", "neon", "portable" };

#define NAMES (sizeof(names) / sizeof(names[0]))

/* Pages of which every third holds one byte, in a place that moves. */
static uint8_t *make_pages(void)
{
	uint8_t *pages = calloc(PAGES, PAGE);

	assert_non_null(pages);
	for (size_t i = 0; i < PAGES; i += 3)
		pages[i * PAGE + (i * 37) % PAGE] = 1;
	return pages;
}

static void scan_clears_exactly_the_zero_pages(void **state)
{
	uint8_t *pages = make_pages();
	uint64_t data[WORDS];

	(void)state;
	for (size_t n = 0; n < NAMES; n++) {
		const struct zero_variant *v = zero_find(names[n]);

		if (!v || !v->supported())
			continue;
		bitmap_fill(data, PAGES);
		assert_int_equal(zero_scan(v, pages, PAGE, data, PAGES), (PAGES + 2) / 3);
		for (uint32_t i = 0; i < PAGES; i++)
			assert_int_equal(bitmap_test(data, i), i % 3 == 0);
	}
	free(pages);
}

static void pages_whose_bit_is_clear_are_not_looked_at(void **state)
{
	uint8_t *pages = make_pages();
	uint64_t data[WORDS] = { 0 };

	(void)state;
	bitmap_set_run(data, 60, 10);
	/* 60, 63, 66, 69 */
	assert_int_equal(zero_scan(zero_best(), pages, PAGE, data, PAGES), 4);
	for (uint32_t i = 0; i < PAGES; i++)
		assert_int_equal(bitmap_test(data, i), i >= 60 && i < 70 && i % 3 == 0);
	memset(data, 0, sizeof(data));
	assert_int_equal(zero_scan(zero_best(), NULL, PAGE, data, PAGES), 0);
	free(pages);
}

static void pages_beyond_the_count_are_not_looked_at(void **state)
{
	uint8_t *pages = make_pages();
	uint64_t data[WORDS];

	(void)state;
	for (uint32_t count = 0; count <= PAGES; count++) {
		bitmap_fill(data, PAGES);
		assert_int_equal(zero_scan(zero_best(), pages, PAGE, data, count),
				 (count + 2) / 3);
		for (uint32_t i = count; i < PAGES; i++)
			assert_true(bitmap_test(data, i));
	}
	free(pages);
}

static void other_page_sizes_work_too(void **state)
{
	static const uint32_t sizes[] = { 256, 512, 4096, 16384 };
	uint8_t *pages = calloc(8, 16384);
	uint64_t data[1];

	(void)state;
	assert_non_null(pages);
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		pages[5 * sizes[s]] = 1;
		bitmap_fill(data, 8);
		assert_int_equal(zero_scan(zero_best(), pages, sizes[s], data, 8), 1);
		assert_true(data[0] == 1 << 5);
		pages[5 * sizes[s]] = 0;
	}
	free(pages);
}

static void variants_are_found_by_name(void **state)
{
	(void)state;
	assert_non_null(zero_find("portable"));
	assert_true(zero_find("portable")->supported());
	assert_true(zero_find(zero_best()->name) == zero_best());
	assert_true(zero_best()->supported());
#ifdef __x86_64__
	assert_non_null(zero_find("sse2"));
	assert_non_null(zero_find("avx2"));
	assert_true(zero_find("sse2")->supported());
	assert_string_not_equal(zero_best()->name, "portable");
#endif
}

static void an_unknown_name_finds_nothing(void **state)
{
	(void)state;
	assert_null(zero_find(""));
	assert_null(zero_find("avx"));
	assert_null(zero_find("mmx"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scan_clears_exactly_the_zero_pages),
		cmocka_unit_test(pages_whose_bit_is_clear_are_not_looked_at),
		cmocka_unit_test(pages_beyond_the_count_are_not_looked_at),
		cmocka_unit_test(other_page_sizes_work_too),
		cmocka_unit_test(variants_are_found_by_name),
		cmocka_unit_test(an_unknown_name_finds_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
