/* SPDX-License-Identifier: MIT */
/*
 * The sparse array and the page sets made of it, against plain arrays.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/testing.h"
#include "core/pageset.h"
#include "core/sparse.h"
#include "unit/aborts.h"

static void what_was_never_reserved_is_not_there(void **state)
{
	struct sparse s;
	struct mfd_error err;
	uint64_t first = 0, n;

	(void)state;
	assert_true(sparse_init(&s, sizeof(uint64_t), &err));
	assert_null(sparse_at(&s, 0));
	assert_null(sparse_at(&s, SPARSE_LIMIT - 1));
	assert_false(sparse_next(&s, SPARSE_LIMIT, &first, &n));
	sparse_clear(&s, 0, SPARSE_LIMIT);
	assert_null(sparse_at(&s, 12345));
	sparse_destroy(&s);
	sparse_destroy(&s);
}

static void records_stay_where_they_are_when_it_grows(void **state)
{
	static const uint64_t index[] = { 0,
					  5,
					  SPARSE_CHUNK - 1,
					  SPARSE_CHUNK,
					  SPARSE_CHUNK * SPARSE_TABLE - 1,
					  SPARSE_CHUNK * SPARSE_TABLE,
					  SPARSE_LIMIT - 1 };
	uint64_t *at[TESTING_COUNT(index)];
	struct sparse s;
	struct mfd_error err;

	(void)state;
	assert_true(sparse_init(&s, sizeof(uint64_t), &err));
	for (unsigned i = 0; i < TESTING_COUNT(index); i++) {
		assert_true(sparse_reserve(&s, index[i], 1, &err));
		at[i] = sparse_at(&s, index[i]);
		assert_non_null(at[i]);
		assert_int_equal(*at[i], 0);
		*at[i] = index[i] + 1;
	}
	for (unsigned i = 0; i < TESTING_COUNT(index); i++) {
		assert_ptr_equal(sparse_at(&s, index[i]), at[i]);
		assert_int_equal(*at[i], index[i] + 1);
	}
	sparse_destroy(&s);
}

static void the_walk_meets_every_record_once(void **state)
{
	struct sparse s;
	struct mfd_error err;
	uint64_t first, n, seen = 0;

	(void)state;
	assert_true(sparse_init(&s, 16, &err));
	assert_true(sparse_reserve(&s, 10 * SPARSE_CHUNK - 1, 2, &err));
	assert_true(sparse_reserve(&s, SPARSE_LIMIT - 1, 1, &err));
	for (first = 0; sparse_next(&s, SPARSE_LIMIT, &first, &n); first += n)
		seen += n;
	assert_int_equal(seen, 3 * SPARSE_CHUNK);
	first = 9 * SPARSE_CHUNK + 7;
	assert_true(sparse_next(&s, 9 * SPARSE_CHUNK + 10, &first, &n));
	assert_int_equal(first, 9 * SPARSE_CHUNK + 7);
	assert_int_equal(n, 3);
	sparse_destroy(&s);
}

static void clearing_takes_that_range_and_no_more(void **state)
{
	const uint64_t limit = 3 * SPARSE_CHUNK;
	struct sparse s;
	struct mfd_error err;

	(void)state;
	assert_true(sparse_init(&s, sizeof(uint64_t), &err));
	assert_true(sparse_reserve(&s, 0, limit, &err));
	for (uint64_t i = 0; i < limit; i++)
		*(uint64_t *)sparse_at(&s, i) = 7;
	sparse_clear(&s, 100, 2 * SPARSE_CHUNK);
	for (uint64_t i = 0; i < limit; i++)
		assert_int_equal(*(uint64_t *)sparse_at(&s, i),
				 i < 100 || i >= 100 + 2 * SPARSE_CHUNK ? 7 : 0);
	sparse_destroy(&s);
}

static void reserve_outside(void *arg)
{
	struct sparse s;
	struct mfd_error err;

	(void)arg;
	if (sparse_init(&s, 1, &err) && sparse_reserve(&s, SPARSE_LIMIT - 1, 2, &err))
		sparse_destroy(&s);
}

static void records_beyond_the_limit_are_a_bug(void **state)
{
	(void)state;
	assert_true(aborts_with(reserve_outside, NULL,
				"mfd: bug: records outside of a sparse array\n"));
}

/* ---- Page sets. ---- */

#define PAGES 700u

static void compare(const struct pageset *p, const bool *plain, uint64_t base)
{
	uint64_t i = base, n, count = 0;
	bool run[PAGES] = { false };

	for (; pageset_next(p, base + PAGES, &i, &n); i += n) {
		assert_true(n > 0 && i >= base && i + n <= base + PAGES);
		for (uint64_t k = 0; k < n; k++)
			run[i - base + k] = true;
		/* Runs are whole: a clear page lies before and behind. */
		assert_false(i > base && plain[i - base - 1]);
		assert_false(i + n < base + PAGES && plain[i - base + n]);
	}
	for (unsigned k = 0; k < PAGES; k++) {
		assert_int_equal(run[k], plain[k]);
		assert_int_equal(pageset_has(p, base + k), plain[k]);
		count += plain[k];
	}
	assert_int_equal(p->count, count);
}

static void sets_hold_what_was_put_in(uint64_t base)
{
	bool plain[PAGES] = { false };
	struct pageset p;
	struct mfd_error err;
	uint64_t seed = base + 1;

	assert_true(pageset_init(&p, &err));
	for (unsigned i = 0; i < 400; i++) {
		const uint64_t first = testing_random(&seed) % PAGES;
		const uint64_t n =
			testing_random(&seed) % (PAGES - first + 1) % (i % 3 ? 9 : PAGES);
		const bool add = testing_random(&seed) % 2;

		if (add)
			assert_true(pageset_add(&p, base + first, n, &err));
		else
			pageset_remove(&p, base + first, n);
		for (uint64_t k = first; k < first + n; k++)
			plain[k] = add;
		compare(&p, plain, base);
	}
	pageset_destroy(&p);
}

static void sets_hold_what_was_put_in_wherever_it_is(void **state)
{
	(void)state;
	sets_hold_what_was_put_in(0);
	sets_hold_what_was_put_in(SPARSE_CHUNK * 64 - 300);
	sets_hold_what_was_put_in(SPARSE_CHUNK * SPARSE_TABLE * 64 - 333);
}

static void an_empty_set_has_no_runs(void **state)
{
	struct pageset p;
	struct mfd_error err;
	uint64_t first = 0, n;

	(void)state;
	assert_true(pageset_init(&p, &err));
	assert_false(pageset_next(&p, UINT64_C(1) << 50, &first, &n));
	pageset_remove(&p, 0, UINT64_C(1) << 50);
	assert_true(pageset_add(&p, 64, 0, &err));
	assert_false(pageset_has(&p, 64));
	pageset_destroy(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_never_reserved_is_not_there),
		cmocka_unit_test(records_stay_where_they_are_when_it_grows),
		cmocka_unit_test(the_walk_meets_every_record_once),
		cmocka_unit_test(clearing_takes_that_range_and_no_more),
		cmocka_unit_test(records_beyond_the_limit_are_a_bug),
		cmocka_unit_test(sets_hold_what_was_put_in_wherever_it_is),
		cmocka_unit_test(an_empty_set_has_no_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
