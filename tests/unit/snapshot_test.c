/* SPDX-License-Identifier: MIT */
/*
 * The bounded copy of the last round.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/batch.h"
#include "source/snapshot.h"
#include "unit/aborts.h"

static void add(struct snapshot *s, uint64_t first, uint64_t count)
{
	struct mfd_error err;
	uint8_t *to;

	assert_true(snapshot_add(s, first, count, &to, &err));
	for (uint64_t i = 0; i < count; i++)
		memset(to + i * PAGE_BYTES, (int)((first + i) % 251), PAGE_BYTES);
}

static void pages_come_back_from_where_they_were_put(void **state)
{
	uint8_t page[4 * PAGE_BYTES];
	struct snapshot s;
	struct mfd_error err;

	(void)state;
	assert_true(snapshot_init(&s, 4096 * PAGE_BYTES, &err));
	snapshot_expect(&s, UINT64_MAX);
	for (uint64_t i = 0; i < 600; i++)
		add(&s, i * 10, 1 + i % 4);
	for (uint64_t i = 0; i < 600; i++) {
		snapshot_read(&s, i * 10, 1 + i % 4, page);
		for (uint64_t k = 0; k <= i % 4; k++) {
			assert_int_equal(page[k * PAGE_BYTES], (i * 10 + k) % 251);
			assert_int_equal(page[(k + 1) * PAGE_BYTES - 1], (i * 10 + k) % 251);
		}
	}
	snapshot_destroy(&s);
	snapshot_destroy(&s);
}

static void a_read_may_span_runs_that_touch(void **state)
{
	uint8_t page[4 * PAGE_BYTES];
	struct snapshot s;
	struct mfd_error err;

	(void)state;
	assert_true(snapshot_init(&s, 16 * PAGE_BYTES, &err));
	add(&s, 100, 2);
	add(&s, 102, 5);
	snapshot_read(&s, 101, 4, page);
	for (unsigned k = 0; k < 4; k++)
		assert_int_equal(page[k * PAGE_BYTES], 101 + k);
	snapshot_destroy(&s);
}

static void the_limit_is_kept(void **state)
{
	struct snapshot s;
	struct mfd_error err;
	uint8_t *to;

	(void)state;
	assert_true(snapshot_default_limit() >= UINT64_C(64) << 20);
	assert_int_equal(snapshot_default_limit() % PAGE_BYTES, 0);
	assert_true(snapshot_init(&s, 3 * PAGE_BYTES, &err));
	add(&s, 0, 2);
	assert_false(snapshot_add(&s, 5, 2, &to, &err));
	assert_int_equal(err.status, MFD_TRY_AGAIN);
	add(&s, 5, 1);
	snapshot_destroy(&s);
}

static void read_what_is_not_there(void *snapshot)
{
	uint8_t page[PAGE_BYTES];

	snapshot_read(snapshot, 7, 1, page);
}

static void a_page_that_was_not_copied_is_a_bug(void **state)
{
	struct snapshot s;
	struct mfd_error err;

	(void)state;
	assert_true(snapshot_init(&s, 3 * PAGE_BYTES, &err));
	add(&s, 5, 2);
	assert_true(aborts_with(read_what_is_not_there, &s,
				"mfd: bug: a page that was not copied is read\n"));
	snapshot_destroy(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_come_back_from_where_they_were_put),
		cmocka_unit_test(a_read_may_span_runs_that_touch),
		cmocka_unit_test(the_limit_is_kept),
		cmocka_unit_test(a_page_that_was_not_copied_is_a_bug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
