/* SPDX-License-Identifier: MIT */
/*
 * The sums that go with batches, at their edges.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/batch.h"

static void a_short_last_page_counts_as_a_page(void **state)
{
	(void)state;
	assert_int_equal(batch_pages_of(0), 0);
	assert_int_equal(batch_pages_of(1), 1);
	assert_int_equal(batch_pages_of(4095), 1);
	assert_int_equal(batch_pages_of(4096), 1);
	assert_int_equal(batch_pages_of(4097), 2);
}

static void page_counts_do_not_wrap(void **state)
{
	const uint64_t two_to_32 = UINT64_C(1) << 32;

	(void)state;
	assert_int_equal(batch_pages_of(two_to_32 - 1), two_to_32 / 4096);
	assert_int_equal(batch_pages_of(two_to_32 + 1), two_to_32 / 4096 + 1);
	assert_int_equal(batch_pages_of(UINT64_MAX), UINT64_C(1) << 52);
	assert_int_equal(batch_pages_of(UINT64_MAX - 4095), (UINT64_C(1) << 52) - 1);
}

static void totals_add_field_by_field(void **state)
{
	struct totals t = { .packets = 1, .pages = 20, .zero_pages = 300, .sum = 4000 };
	const struct totals more = { .packets = 5, .pages = 60, .zero_pages = 700, .sum = 8000 };
	const struct totals both = { .packets = 6, .pages = 80, .zero_pages = 1000, .sum = 12000 };

	(void)state;
	totals_add(&t, &more);
	assert_true(totals_equal(&t, &both));
}

static void the_sum_of_hashes_wraps(void **state)
{
	struct totals t = { .sum = UINT64_MAX };
	const struct totals more = { .sum = 3 };

	(void)state;
	totals_add(&t, &more);
	assert_int_equal(t.sum, 2);
}

static void totals_differ_when_any_field_does(void **state)
{
	const struct totals t = { .packets = 1, .pages = 2, .zero_pages = 3, .sum = 4 };
	struct totals other;

	(void)state;
	other = t;
	assert_true(totals_equal(&t, &other));
	other.packets++;
	assert_false(totals_equal(&t, &other));
	other = t;
	other.pages++;
	assert_false(totals_equal(&t, &other));
	other = t;
	other.zero_pages++;
	assert_false(totals_equal(&t, &other));
	other = t;
	other.sum++;
	assert_false(totals_equal(&t, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_short_last_page_counts_as_a_page),
		cmocka_unit_test(page_counts_do_not_wrap),
		cmocka_unit_test(totals_add_field_by_field),
		cmocka_unit_test(the_sum_of_hashes_wraps),
		cmocka_unit_test(totals_differ_when_any_field_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
