/* SPDX-License-Identifier: MIT */
/*
 * The verdict: which of several reasons is kept, and when it ends the session.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/verdict.h"

static int set_up(void **state)
{
	struct verdict *v = calloc(1, sizeof(*v));
	struct mfd_error err;

	assert_non_null(v);
	assert_true(verdict_init(v, &err));
	*state = v;
	return 0;
}

static int tear_down(void **state)
{
	verdict_destroy(*state);
	free(*state);
	return 0;
}

static void report(struct verdict *v, enum verdict_rank rank, const char *text)
{
	struct mfd_error error = { .status = MFD_IO };

	snprintf(error.text, sizeof(error.text), "%s", text);
	verdict_report(v, rank, &error);
}

static void expect(struct verdict *v, enum verdict_rank rank, const char *text)
{
	struct mfd_error error = { 0 };

	assert_int_equal(verdict_get(v, &error), rank);
	assert_string_equal(error.text, text);
}

static void without_a_report_the_error_is_untouched(void **state)
{
	struct mfd_error error = { .status = MFD_BUG, .text = "untouched" };

	assert_int_equal(verdict_get(*state, &error), VERDICT_NONE);
	assert_int_equal(error.status, MFD_BUG);
	assert_string_equal(error.text, "untouched");
}

static void a_cancel_beats_a_lost_connection(void **state)
{
	report(*state, VERDICT_LOST, "lost");
	expect(*state, VERDICT_LOST, "lost");
	report(*state, VERDICT_CANCEL, "cancel");
	expect(*state, VERDICT_CANCEL, "cancel");
	report(*state, VERDICT_LOST, "lost again");
	expect(*state, VERDICT_CANCEL, "cancel");
}

static void a_cause_beats_a_cancel(void **state)
{
	report(*state, VERDICT_CANCEL, "cancel");
	report(*state, VERDICT_CAUSE, "No space left on device");
	expect(*state, VERDICT_CAUSE, "No space left on device");
	report(*state, VERDICT_CANCEL, "cancel again");
	expect(*state, VERDICT_CAUSE, "No space left on device");
}

static void a_cause_beats_a_lost_connection(void **state)
{
	report(*state, VERDICT_LOST, "lost");
	report(*state, VERDICT_CAUSE, "cause");
	report(*state, VERDICT_LOST, "lost again");
	expect(*state, VERDICT_CAUSE, "cause");
}

static void of_equals_the_first_is_kept(void **state)
{
	report(*state, VERDICT_LOST, "first lost");
	report(*state, VERDICT_LOST, "second lost");
	expect(*state, VERDICT_LOST, "first lost");
	report(*state, VERDICT_CAUSE, "first cause");
	report(*state, VERDICT_CAUSE, "second cause");
	expect(*state, VERDICT_CAUSE, "first cause");
}

static void every_report_raises_attention(void **state)
{
	struct verdict *v = *state;

	assert_false(event_clear(&v->attention));
	report(v, VERDICT_CAUSE, "cause");
	assert_true(event_clear(&v->attention));
	assert_false(event_clear(&v->attention));
	report(v, VERDICT_LOST, "lost");
	assert_true(event_clear(&v->attention));
}

static void *report_many(void *arg)
{
	unsigned n;

	for (n = 0; n < 1000; n++) {
		report(arg, VERDICT_LOST, "lost");
		report(arg, VERDICT_CAUSE, "cause");
		report(arg, VERDICT_CANCEL, "cancel");
	}
	return NULL;
}

static void reports_of_many_threads_are_never_mixed(void **state)
{
	pthread_t thread[3];
	struct mfd_error error;
	enum verdict_rank rank;
	unsigned n;
	unsigned i;

	for (i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, report_many, *state), 0);
	for (n = 0; n < 1000; n++) {
		rank = verdict_get(*state, &error);
		if (rank == VERDICT_CAUSE)
			assert_string_equal(error.text, "cause");
		else if (rank == VERDICT_LOST)
			assert_string_equal(error.text, "lost");
	}
	for (i = 0; i < 3; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	expect(*state, VERDICT_CAUSE, "cause");
}

static void nothing_reported_ends_nothing(void **state)
{
	struct mfd_error why;

	assert_false(verdict_ends(*state, true, &why));
	assert_false(verdict_ends(*state, false, &why));
}

static void a_cause_or_a_cancel_ends_at_once(void **state)
{
	struct mfd_error why;

	report(*state, VERDICT_CANCEL, "cancelled");
	assert_true(verdict_ends(*state, true, &why));
	assert_string_equal(why.text, "cancelled");
	report(*state, VERDICT_CAUSE, "cause");
	assert_true(verdict_ends(*state, true, &why));
	assert_string_equal(why.text, "cause");
}

static void a_loss_ends_at_once_when_the_peer_can_not_be_heard(void **state)
{
	struct mfd_error why;

	report(*state, VERDICT_LOST, "lost");
	assert_true(verdict_ends(*state, false, &why));
	assert_string_equal(why.text, "lost");
}

static void a_loss_waits_for_the_peers_reason(void **state)
{
	struct verdict *v = *state;
	const uint64_t before = clock_ns();
	struct mfd_error why;

	report(v, VERDICT_LOST, "lost");
	assert_false(verdict_ends(v, true, &why));
	assert_true(v->believed_ns >= before + VERDICT_GRACE_MS * CLOCK_NS_PER_MS);
	report(v, VERDICT_CAUSE, "disk full");
	assert_true(verdict_ends(v, true, &why));
	assert_string_equal(why.text, "disk full");
}

/* As if the time had passed: the first look sets it, later ones leave it. */
static void a_loss_is_believed_in_the_end(void **state)
{
	struct verdict *v = *state;
	struct mfd_error why;

	report(v, VERDICT_LOST, "lost");
	assert_false(verdict_ends(v, true, &why));
	v->believed_ns = clock_ns();
	assert_true(verdict_ends(v, true, &why));
	assert_string_equal(why.text, "lost");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_a_report_the_error_is_untouched),
		TEST(a_cancel_beats_a_lost_connection),
		TEST(a_cause_beats_a_cancel),
		TEST(a_cause_beats_a_lost_connection),
		TEST(of_equals_the_first_is_kept),
		TEST(every_report_raises_attention),
		TEST(reports_of_many_threads_are_never_mixed),
		TEST(nothing_reported_ends_nothing),
		TEST(a_cause_or_a_cancel_ends_at_once),
		TEST(a_loss_ends_at_once_when_the_peer_can_not_be_heard),
		TEST(a_loss_waits_for_the_peers_reason),
		TEST(a_loss_is_believed_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
