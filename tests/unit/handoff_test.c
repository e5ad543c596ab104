/* SPDX-License-Identifier: MIT */
/*
 * The hand-off and the producer's sleeper in one thread, where every order can be chosen: what
 * they promise, and what aborts. Threads come in tests/stress/handoff_stress.c, all
 * interleavings in tests/model/handoff.pml.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "aborts.h"
#include "core/handoff.h"
#include "core/sleeper.h"

#define CHANNELS 3

struct fixture {
	struct sleeper sleeper;
	struct handoff *handoff[CHANNELS];
	struct handoff_set set;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct mfd_error err;
	unsigned i;

	assert_non_null(f);
	assert_true(sleeper_init(&f->sleeper, &err));
	for (i = 0; i < CHANNELS; i++) {
		f->handoff[i] = aligned_alloc(CACHE_LINE, sizeof(struct handoff));
		assert_non_null(f->handoff[i]);
		assert_true(handoff_init(f->handoff[i], &err));
	}
	f->set = (struct handoff_set){ .handoff = f->handoff, .count = CHANNELS };
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	for (i = 0; i < CHANNELS; i++) {
		handoff_destroy(f->handoff[i]);
		free(f->handoff[i]);
	}
	sleeper_destroy(&f->sleeper);
	free(f);
	return 0;
}

static void publish(struct handoff *h, uint64_t id)
{
	handoff_slot(h)->id = id;
	handoff_publish(h);
}

static void take_batch(struct fixture *f, unsigned channel, uint64_t id)
{
	struct batch *batch = NULL;

	assert_int_equal(handoff_take(f->handoff[channel], &batch), HANDOFF_BATCH);
	assert_int_equal(batch->id, id);
	handoff_give_back(f->handoff[channel], &f->sleeper);
}

/* A SYNC is taken, and it leaves the batch pointer alone. */
static void take_sync(struct fixture *f, unsigned channel)
{
	struct batch untouched;
	struct batch *batch = &untouched;

	assert_int_equal(handoff_take(f->handoff[channel], &batch), HANDOFF_SYNC);
	assert_ptr_equal(batch, &untouched);
	assert_false(handoff_sync_idle(f->handoff[channel]));
	handoff_sync_sent(f->handoff[channel], &f->sleeper);
	assert_true(handoff_sync_idle(f->handoff[channel]));
}

static void batches_come_in_ring_order(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	for (id = 1; id <= 3; id++)
		publish(f->handoff[0], id);
	for (id = 1; id <= 3; id++)
		take_batch(f, 0, id);
}

static void all_four_slots_can_be_filled_and_no_fifth(void **state)
{
	struct fixture *f = *state;
	struct handoff_set one = { .handoff = f->handoff, .count = 1 };
	uint64_t id;

	for (id = 1; id <= HANDOFF_SLOTS; id++) {
		assert_int_equal(handoff_find(&one), 0);
		publish(f->handoff[0], id);
	}
	assert_int_equal(handoff_find(&one), -1);

	take_batch(f, 0, 1);
	assert_int_equal(handoff_find(&one), 0);
	publish(f->handoff[0], 5);
	assert_int_equal(handoff_find(&one), -1);
	for (id = 2; id <= 5; id++)
		take_batch(f, 0, id);
}

static void a_slot_taken_and_not_given_back_stays_the_senders(void **state)
{
	struct fixture *f = *state;
	struct handoff_set one = { .handoff = f->handoff, .count = 1 };
	struct batch *batch;
	uint64_t id;

	for (id = 1; id <= HANDOFF_SLOTS; id++)
		publish(f->handoff[0], id);
	assert_int_equal(handoff_take(f->handoff[0], &batch), HANDOFF_BATCH);
	assert_int_equal(handoff_find(&one), -1);
	handoff_give_back(f->handoff[0], &f->sleeper);
	assert_int_equal(handoff_find(&one), 0);
	assert_ptr_equal(handoff_slot(f->handoff[0]), batch);
}

static void a_hundred_thousand_batches_wrap_the_bits_at_every_depth(void **state)
{
	struct fixture *f = *state;
	struct handoff_set one = { .handoff = f->handoff, .count = 1 };
	uint64_t published = 0;
	uint64_t taken = 0;
	unsigned burst;
	unsigned i;

	while (taken < 100000) {
		burst = 1 + (unsigned)(taken % 7) % HANDOFF_SLOTS;
		for (i = 0; i < burst; i++) {
			assert_int_equal(handoff_find(&one), 0);
			publish(f->handoff[0], ++published);
		}
		for (i = 0; i < burst; i++)
			take_batch(f, 0, ++taken);
	}
	assert_int_equal(published, taken);
}

static void a_sync_comes_behind_the_batches(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	for (id = 1; id <= HANDOFF_SLOTS; id++)
		publish(f->handoff[0], id);
	handoff_request_sync(f->handoff[0]);
	for (id = 1; id <= HANDOFF_SLOTS; id++)
		take_batch(f, 0, id);
	take_sync(f, 0);
}

static void a_sync_without_batches_comes_alone(void **state)
{
	struct fixture *f = *state;

	assert_true(handoff_sync_idle(f->handoff[0]));
	handoff_request_sync(f->handoff[0]);
	take_sync(f, 0);
	publish(f->handoff[0], 1);
	take_batch(f, 0, 1);
	handoff_request_sync(f->handoff[0]);
	take_sync(f, 0);
}

static void one_token_is_one_job(void **state)
{
	struct fixture *f = *state;
	int tokens;

	publish(f->handoff[0], 1);
	publish(f->handoff[0], 2);
	handoff_request_sync(f->handoff[0]);
	take_batch(f, 0, 1);
	assert_int_equal(sem_getvalue(&f->handoff[0]->tokens, &tokens), 0);
	assert_int_equal(tokens, 2);
	take_batch(f, 0, 2);
	take_sync(f, 0);
	assert_int_equal(sem_getvalue(&f->handoff[0]->tokens, &tokens), 0);
	assert_int_equal(tokens, 0);
}

static void exit_beats_batches_and_syncs(void **state)
{
	struct fixture *f = *state;
	struct batch *batch;

	publish(f->handoff[0], 1);
	handoff_request_sync(f->handoff[0]);
	handoff_request_exit(f->handoff[0]);
	assert_int_equal(handoff_take(f->handoff[0], &batch), HANDOFF_EXIT);

	/* Another channel goes on. */
	publish(f->handoff[1], 2);
	take_batch(f, 1, 2);
}

static void take_interrupt(struct fixture *f, unsigned channel)
{
	struct batch *batch;

	assert_int_equal(handoff_take(f->handoff[channel], &batch), HANDOFF_INTERRUPT);
}

static void an_interrupt_beats_batches_and_syncs_and_loses_none(void **state)
{
	struct fixture *f = *state;

	publish(f->handoff[0], 1);
	handoff_request_sync(f->handoff[0]);
	handoff_interrupt(f->handoff[0]);
	take_interrupt(f, 0);
	take_batch(f, 0, 1);
	take_sync(f, 0);
}

static void exit_beats_an_interrupt(void **state)
{
	struct fixture *f = *state;
	struct batch *batch;

	handoff_interrupt(f->handoff[0]);
	handoff_request_exit(f->handoff[0]);
	assert_int_equal(handoff_take(f->handoff[0], &batch), HANDOFF_EXIT);
}

/* One token for all of them: the next one belongs to a batch. */
static void interrupts_that_nobody_took_yet_are_one(void **state)
{
	struct fixture *f = *state;
	int tokens;

	for (unsigned i = 0; i < 3; i++) {
		handoff_interrupt(f->handoff[0]);
		handoff_interrupt(f->handoff[0]);
		publish(f->handoff[0], i);
		take_interrupt(f, 0);
		take_batch(f, 0, i);
	}
	assert_int_equal(sem_getvalue(&f->handoff[0]->tokens, &tokens), 0);
	assert_int_equal(tokens, 0);
}

static void exit_may_be_requested_twice(void **state)
{
	struct fixture *f = *state;
	struct batch *batch;

	handoff_request_exit(f->handoff[0]);
	handoff_request_exit(f->handoff[0]);
	assert_int_equal(handoff_take(f->handoff[0], &batch), HANDOFF_EXIT);
	assert_int_equal(handoff_take(f->handoff[0], &batch), HANDOFF_EXIT);
}

static void take_without_work(void *arg)
{
	struct handoff *h = arg;
	struct batch *batch;

	sem_post(&h->tokens);
	handoff_take(h, &batch);
}

static void a_token_without_work_aborts(void **state)
{
	struct fixture *f = *state;

	assert_true(aborts_with(take_without_work, f->handoff[0],
				"mfd: hand-off: a token without work\n"));
	publish(f->handoff[0], 1);
	take_batch(f, 0, 1);
}

static void request_sync_again(void *arg)
{
	handoff_request_sync(arg);
}

static void a_second_pending_sync_aborts(void **state)
{
	struct fixture *f = *state;

	handoff_request_sync(f->handoff[0]);
	assert_true(aborts_with(request_sync_again, f->handoff[0],
				"mfd: hand-off: a SYNC was requested while one is pending\n"));
	take_sync(f, 0);
	handoff_request_sync(f->handoff[0]);
	take_sync(f, 0);
}

static void publish_once_more(void *arg)
{
	handoff_publish(arg);
}

static void publishing_the_senders_slot_aborts(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	for (id = 1; id <= HANDOFF_SLOTS; id++)
		publish(f->handoff[0], id);
	assert_true(aborts_with(publish_once_more, f->handoff[0],
				"mfd: hand-off: published a slot that the sender thread owns\n"));
}

static void publishing_behind_a_pending_sync_aborts(void **state)
{
	struct fixture *f = *state;

	handoff_request_sync(f->handoff[0]);
	assert_true(aborts_with(publish_once_more, f->handoff[0],
				"mfd: hand-off: published a batch behind a pending SYNC\n"));
	take_sync(f, 0);
	publish(f->handoff[0], 1);
	take_batch(f, 0, 1);
}

static void find_goes_round_the_channels(void **state)
{
	struct fixture *f = *state;
	int n;

	for (n = 0; n < 7; n++)
		assert_int_equal(handoff_find(&f->set), n % CHANNELS);
}

static void find_skips_full_channels(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	for (id = 1; id <= HANDOFF_SLOTS; id++)
		publish(f->handoff[1], id);
	assert_int_equal(handoff_find(&f->set), 0);
	assert_int_equal(handoff_find(&f->set), 2);
	assert_int_equal(handoff_find(&f->set), 0);
	take_batch(f, 1, 1);
	assert_int_equal(handoff_find(&f->set), 1);
}

static void find_skips_channels_with_a_pending_sync(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	handoff_request_sync(f->handoff[0]);
	assert_int_equal(handoff_find(&f->set), 1);
	assert_int_equal(handoff_find(&f->set), 2);
	assert_int_equal(handoff_find(&f->set), 1);

	handoff_request_sync(f->handoff[1]);
	handoff_request_sync(f->handoff[2]);
	assert_int_equal(handoff_find(&f->set), -1);
	for (i = 0; i < CHANNELS; i++)
		take_sync(f, i);
	assert_int_equal(handoff_find(&f->set), 2);
	assert_int_equal(handoff_find(&f->set), 0);
}

/* What was published before it was closed is taken as ever, and a SYNC behind it too. */
static void find_skips_channels_that_are_closed(void **state)
{
	struct fixture *f = *state;
	int posted;

	publish(f->handoff[1], 7);
	handoff_close(f->handoff[1]);
	assert_int_equal(handoff_find(&f->set), 0);
	assert_int_equal(handoff_find(&f->set), 2);
	assert_int_equal(handoff_find(&f->set), 0);
	take_batch(f, 1, 7);
	handoff_request_sync(f->handoff[1]);
	take_sync(f, 1);
	handoff_close(f->handoff[0]);
	handoff_close(f->handoff[2]);
	assert_int_equal(handoff_find(&f->set), -1);

	sleeper_announce(&f->sleeper);
	handoff_open(f->handoff[1], &f->sleeper);
	assert_int_equal(sem_getvalue(&f->sleeper.wake, &posted), 0);
	assert_int_equal(posted, 1);
	sleeper_retract(&f->sleeper);
	assert_int_equal(handoff_find(&f->set), 1);
}

static void the_shared_words_have_their_own_cache_lines(void **state)
{
	(void)state;
	assert_int_equal(offsetof(struct handoff, fill) % CACHE_LINE, 0);
	assert_int_equal(offsetof(struct handoff, done) % CACHE_LINE, 0);
	assert_int_equal(offsetof(struct handoff, pending_sync) % CACHE_LINE, 0);
	assert_true(offsetof(struct handoff, done) - offsetof(struct handoff, fill) >= CACHE_LINE);
	assert_true(offsetof(struct handoff, pending_sync) - offsetof(struct handoff, done) >=
		    CACHE_LINE);
}

static int posts(struct sleeper *s)
{
	int value;

	assert_int_equal(sem_getvalue(&s->wake, &value), 0);
	return value;
}

static void a_wake_for_nobody_leaves_no_post(void **state)
{
	struct fixture *f = *state;

	sleeper_wake(&f->sleeper);
	assert_int_equal(posts(&f->sleeper), 0);
}

static void two_wakes_for_one_announcement_are_one_post(void **state)
{
	struct fixture *f = *state;

	sleeper_announce(&f->sleeper);
	sleeper_wake(&f->sleeper);
	sleeper_wake(&f->sleeper);
	assert_int_equal(posts(&f->sleeper), 1);
	sleeper_sleep(&f->sleeper);
	assert_int_equal(posts(&f->sleeper), 0);
}

static void a_retracted_announcement_leaves_no_post(void **state)
{
	struct fixture *f = *state;

	sleeper_announce(&f->sleeper);
	sleeper_retract(&f->sleeper);
	sleeper_wake(&f->sleeper);
	assert_int_equal(posts(&f->sleeper), 0);

	/* A waker came between: its post is taken along. */
	sleeper_announce(&f->sleeper);
	sleeper_wake(&f->sleeper);
	sleeper_retract(&f->sleeper);
	assert_int_equal(posts(&f->sleeper), 0);

	sleeper_announce(&f->sleeper);
	sleeper_wake(&f->sleeper);
	sleeper_sleep(&f->sleeper);
}

/* As a sender thread does with half of its ring. */
static void *give_back_half(void *arg)
{
	struct fixture *f = arg;
	struct batch *batch;

	for (unsigned i = 0; i < HANDOFF_SLOTS / 2; i++) {
		if (handoff_take(f->handoff[0], &batch) == HANDOFF_BATCH)
			handoff_give_back(f->handoff[0], &f->sleeper);
	}
	return NULL;
}

static void half_a_ring_given_back_wakes_the_producer(void **state)
{
	struct fixture *f = *state;
	struct handoff_set one = { .handoff = f->handoff, .count = 1 };
	pthread_t thread;
	uint64_t id;

	for (id = 1; id <= HANDOFF_SLOTS; id++)
		publish(f->handoff[0], id);
	sleeper_announce(&f->sleeper);
	assert_int_equal(handoff_find(&one), -1);
	assert_int_equal(pthread_create(&thread, NULL, give_back_half, f), 0);
	sleeper_sleep(&f->sleeper);
	assert_int_equal(handoff_find(&one), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void a_slot_of_a_ring_still_full_wakes_nobody(void **state)
{
	struct fixture *f = *state;
	struct batch *batch;
	uint64_t id;

	for (id = 1; id <= HANDOFF_SLOTS; id++)
		publish(f->handoff[0], id);
	sleeper_announce(&f->sleeper);
	assert_int_equal(handoff_take(f->handoff[0], &batch), HANDOFF_BATCH);
	handoff_give_back(f->handoff[0], &f->sleeper);
	assert_int_equal(posts(&f->sleeper), 0);
	sleeper_retract(&f->sleeper);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(batches_come_in_ring_order),
		TEST(all_four_slots_can_be_filled_and_no_fifth),
		TEST(a_slot_taken_and_not_given_back_stays_the_senders),
		TEST(a_hundred_thousand_batches_wrap_the_bits_at_every_depth),
		TEST(a_sync_comes_behind_the_batches),
		TEST(a_sync_without_batches_comes_alone),
		TEST(one_token_is_one_job),
		TEST(exit_beats_batches_and_syncs),
		TEST(an_interrupt_beats_batches_and_syncs_and_loses_none),
		TEST(exit_beats_an_interrupt),
		TEST(interrupts_that_nobody_took_yet_are_one),
		TEST(exit_may_be_requested_twice),
		TEST(a_token_without_work_aborts),
		TEST(a_second_pending_sync_aborts),
		TEST(publishing_the_senders_slot_aborts),
		TEST(publishing_behind_a_pending_sync_aborts),
		TEST(find_goes_round_the_channels),
		TEST(find_skips_full_channels),
		TEST(find_skips_channels_with_a_pending_sync),
		TEST(find_skips_channels_that_are_closed),
		TEST(the_shared_words_have_their_own_cache_lines),
		TEST(a_wake_for_nobody_leaves_no_post),
		TEST(two_wakes_for_one_announcement_are_one_post),
		TEST(a_retracted_announcement_leaves_no_post),
		TEST(half_a_ring_given_back_wakes_the_producer),
		TEST(a_slot_of_a_ring_still_full_wakes_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
