/* SPDX-License-Identifier: MIT */
/*
 * Coming back: what is worth it, how long to wait, and what is told while there is no session.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>


#include "again.h"

static int setup(void **state)
{
	static struct again a;
	struct mfd_error err;

	*state = &a;
	return again_init(&a, &err) ? 0 : -1;
}

static int teardown(void **state)
{
	again_destroy(*state);
	return 0;
}

static void what_may_be_better_next_time_is_worth_it(void **state)
{
	static const enum mfd_status worth[] = { MFD_TRY_AGAIN, MFD_DATA, MFD_UNAVAILABLE };
	static const enum mfd_status not[] = { MFD_USAGE, MFD_NO_INPUT, MFD_IO, MFD_CANT_CREATE,
					       MFD_PROTOCOL, MFD_NO_PERMISSION, MFD_BUG };
	struct mfd_error err;

	(void)state;
	for (unsigned i = 0; i < sizeof(worth) / sizeof(*worth); i++) {
		error_set(&err, worth[i], "-");
		assert_true(again_is_worth(&err));
	}
	for (unsigned i = 0; i < sizeof(not) / sizeof(*not); i++) {
		error_set(&err, not[i], "-");
		assert_false(again_is_worth(&err));
	}
}

static void pauses_double_up_to_the_longest_and_begin_anew_with_progress(void **state)
{
	struct again *a = *state;

	assert_int_equal(again_next_pause(a, false), AGAIN_FIRST_MS);
	assert_int_equal(again_next_pause(a, false), 2 * AGAIN_FIRST_MS);
	for (unsigned i = 0; i < 20; i++)
		again_next_pause(a, false);
	assert_int_equal(again_next_pause(a, false), AGAIN_LONGEST_MS);
	assert_int_equal(again_next_pause(a, true), AGAIN_FIRST_MS);
}

static void a_pause_ends_with_a_cancel(void **state)
{
	struct again *a = *state;

	assert_true(again_pause(a, 1));
	event_raise(&a->cancelled);
	assert_false(again_pause(a, 60000));
}

static void what_came_in_all_sessions_is_told(void **state)
{
	struct mfd_stats one = { .bytes_wire = 5, .bytes_hashes = 2, .method = "", .backend = "",
				 .tracker = "" };
	struct again *a = *state;

	again_keep_locked(a, &one);
	again_keep_locked(a, &one);
	assert_int_equal(a->last.bytes_wire, 10);
	assert_int_equal(a->last.bytes_hashes, 4);
	again_add_locked(a, &one);
	assert_int_equal(one.bytes_wire, 15);
}

/* Before the first session: nothing is known, and all of it can be printed. */
static void there_is_something_to_tell_before_the_first_session(void **state)
{
	const struct again *a = *state;

	assert_int_equal(a->last.bytes_image, MFD_UNKNOWN);
	assert_int_equal(a->last.downtime_ns, MFD_UNKNOWN);
	assert_string_equal(a->last.tracker, "");
	assert_string_equal(a->last.method, "");
	assert_string_equal(a->last.backend, "");
}

int main(void)
{
#define WITH_ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_ONE(what_may_be_better_next_time_is_worth_it),
		WITH_ONE(pauses_double_up_to_the_longest_and_begin_anew_with_progress),
		WITH_ONE(a_pause_ends_with_a_cancel),
		WITH_ONE(what_came_in_all_sessions_is_told),
		WITH_ONE(there_is_something_to_tell_before_the_first_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
