/* SPDX-License-Identifier: MIT */
/*
 * The log of packets in flight: what is acknowledged leaves in order, what is not is handed
 * over, and nobody waits for ever.
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
#include "core/inflight.h"

/* What the callbacks saw. */
struct seen {
	uint64_t count;
	uint64_t first_id;
	uint64_t last_id;
	uint64_t pages;
	bool in_order;
};

static int set_up(void **state)
{
	struct inflight *f = aligned_alloc(_Alignof(struct inflight), sizeof(*f));
	struct mfd_error err;

	assert_non_null(f);
	assert_true(inflight_init(f, &err));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	inflight_destroy(*state);
	free(*state);
	return 0;
}

/* Ids are given in the order of the entries, so "oldest first" is "rising by one". */
static void see_id(struct seen *seen, uint64_t id)
{
	if (seen->count == 0) {
		seen->first_id = id;
		seen->in_order = true;
	} else if (id != seen->last_id + 1) {
		seen->in_order = false;
	}
	seen->last_id = id;
	seen->count++;
}

static void on_retired(void *opaque, struct inflight_entry *entry)
{
	struct seen *seen = opaque;

	see_id(seen, entry->batch.id);
	seen->pages += entry->totals.pages;
}

static void on_returned(void *opaque, const struct inflight_entry *entry)
{
	see_id(opaque, entry->batch.id);
}

static uint64_t send_batch(struct inflight *f, uint64_t id)
{
	struct inflight_entry *entry;
	uint64_t sequence;

	assert_true(inflight_reserve(f));
	entry = inflight_next(f);
	entry->batch.id = id;
	entry->totals = (struct totals){ .packets = 1, .pages = 10 };
	entry->sequence = sequence = inflight_take_sequence(f);
	inflight_publish(f);
	return sequence;
}

static int room(struct inflight *f)
{
	int value;

	assert_int_equal(sem_getvalue(&f->room, &value), 0);
	return value;
}

static void an_acknowledgement_retires_what_is_below_it_oldest_first(void **state)
{
	struct inflight *f = *state;
	struct seen seen = { 0 };
	uint64_t id;

	for (id = 1; id <= 5; id++)
		assert_int_equal(send_batch(f, id), id - 1);

	assert_true(inflight_acknowledge(f, 0, on_retired, &seen));
	assert_int_equal(seen.count, 0);
	assert_true(inflight_acknowledge(f, 3, on_retired, &seen));
	assert_int_equal(seen.count, 3);
	assert_int_equal(seen.first_id, 1);
	assert_int_equal(seen.last_id, 3);
	assert_int_equal(seen.pages, 30);
	assert_true(inflight_acknowledge(f, 5, on_retired, &seen));
	assert_int_equal(seen.count, 5);
	assert_true(seen.in_order);
	assert_int_equal(room(f), INFLIGHT_DEPTH);
}

static void an_acknowledgement_of_what_was_never_started_is_refused(void **state)
{
	struct inflight *f = *state;
	struct seen seen = { 0 };

	assert_true(inflight_acknowledge(f, 0, on_retired, &seen));
	assert_false(inflight_acknowledge(f, 1, on_retired, &seen));
	send_batch(f, 1);
	assert_false(inflight_acknowledge(f, 2, on_retired, &seen));
	assert_false(inflight_acknowledge(f, UINT64_MAX, on_retired, &seen));
	assert_int_equal(seen.count, 0);
	assert_true(inflight_acknowledge(f, 1, on_retired, &seen));
	assert_int_equal(seen.count, 1);
}

static void an_older_acknowledgement_is_ignored(void **state)
{
	struct inflight *f = *state;
	struct seen seen = { 0 };
	uint64_t id;

	for (id = 1; id <= 4; id++)
		send_batch(f, id);
	assert_true(inflight_acknowledge(f, 3, on_retired, &seen));
	assert_true(inflight_acknowledge(f, 2, on_retired, &seen));
	assert_true(inflight_acknowledge(f, 3, on_retired, &seen));
	assert_true(inflight_acknowledge(f, 0, on_retired, &seen));
	assert_int_equal(seen.count, 3);
	assert_true(inflight_acknowledge(f, 4, on_retired, &seen));
	assert_int_equal(seen.count, 4);
}

static void a_sync_takes_a_sequence_number_and_no_entry(void **state)
{
	struct inflight *f = *state;
	struct seen seen = { 0 };

	assert_int_equal(send_batch(f, 1), 0);
	assert_int_equal(inflight_take_sequence(f), 1);
	assert_int_equal(send_batch(f, 2), 2);
	assert_int_equal(room(f), INFLIGHT_DEPTH - 2);
	assert_true(inflight_acknowledge(f, 2, on_retired, &seen));
	assert_int_equal(seen.count, 1);
	assert_true(inflight_acknowledge(f, 3, on_retired, &seen));
	assert_int_equal(seen.count, 2);
}

static void entries_are_used_again_and_again(void **state)
{
	struct inflight *f = *state;
	struct seen seen = { 0 };
	uint64_t written = 0;
	uint64_t id = 0;
	unsigned lap;

	for (lap = 0; lap < 20 * INFLIGHT_DEPTH / 100; lap++) {
		while (id < written + 100)
			send_batch(f, ++id);
		written += 100;
		assert_true(inflight_acknowledge(f, written, on_retired, &seen));
		assert_int_equal(seen.count, written);
	}
	assert_true(seen.in_order);
}

struct waiter {
	struct inflight *f;
	_Atomic bool released;
	bool reserved;
	bool too_early;
};

static void *wait_for_room(void *arg)
{
	struct waiter *w = arg;

	w->reserved = inflight_reserve(w->f);
	w->too_early = !atomic_load(&w->released);
	return NULL;
}

static void start_waiter_on_a_full_log(struct waiter *w, struct inflight *f, pthread_t *ret_thread)
{
	uint64_t id;

	for (id = 1; id <= INFLIGHT_DEPTH; id++)
		send_batch(f, id);
	assert_int_equal(room(f), 0);
	*w = (struct waiter){ .f = f };
	assert_int_equal(pthread_create(ret_thread, NULL, wait_for_room, w), 0);
}

static void a_full_log_waits_for_an_acknowledgement(void **state)
{
	struct inflight *f = *state;
	struct seen seen = { 0 };
	struct waiter w;
	pthread_t thread;

	start_waiter_on_a_full_log(&w, f, &thread);
	atomic_store(&w.released, true);
	assert_true(inflight_acknowledge(f, 1, on_retired, &seen));
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(w.reserved);
	assert_false(w.too_early);
	assert_int_equal(room(f), 0);
}

static void a_full_log_lets_out_when_it_is_closed(void **state)
{
	struct inflight *f = *state;
	struct waiter w;
	pthread_t thread;

	start_waiter_on_a_full_log(&w, f, &thread);
	atomic_store(&w.released, true);
	inflight_close(f);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(w.reserved);
	assert_false(w.too_early);
}

static void a_closed_log_gives_no_room_however_often_asked(void **state)
{
	struct inflight *f = *state;

	assert_true(inflight_reserve(f));
	inflight_close(f);
	inflight_close(f);
	assert_false(inflight_reserve(f));
	assert_false(inflight_reserve(f));
	assert_false(inflight_reserve(f));
}

static void a_drain_hands_over_the_unacknowledged_oldest_first(void **state)
{
	struct inflight *f = *state;
	struct seen retired = { 0 };
	struct seen returned = { 0 };
	uint64_t id;

	for (id = 1; id <= 10; id++)
		send_batch(f, id);
	assert_true(inflight_acknowledge(f, 4, on_retired, &retired));
	inflight_close(f);
	inflight_drain(f, on_returned, &returned);
	assert_int_equal(returned.count, 6);
	assert_int_equal(returned.first_id, 5);
	assert_int_equal(returned.last_id, 10);
	assert_true(returned.in_order);

	/* Nothing is handed over twice, or acknowledged afterwards. */
	inflight_drain(f, on_returned, &returned);
	assert_int_equal(returned.count, 6);
	assert_true(inflight_acknowledge(f, 10, on_retired, &retired));
	assert_int_equal(retired.count, 4);
}

/*
 * Keeps the last entry retired, as the control thread does to see who is the last to need its
 * bytes.
 */
static void on_retired_keep(void *opaque, struct inflight_entry *entry)
{
	*(struct inflight_entry **)opaque = entry;
}

static void the_bytes_belong_to_the_last_of_the_two_that_need_them(void **state)
{
	struct inflight *f = *state;
	struct inflight_entry *sent;
	struct inflight_entry *retired = NULL;

	/* Sent, then acknowledged. */
	sent = inflight_next(f);
	send_batch(f, 1);
	assert_false(inflight_release(sent));
	assert_true(inflight_acknowledge(f, 1, on_retired_keep, &retired));
	assert_ptr_equal(retired, sent);
	assert_true(inflight_release(retired));

	/* The acknowledgement overtakes the return from send(). */
	sent = inflight_next(f);
	send_batch(f, 2);
	assert_true(inflight_acknowledge(f, 2, on_retired_keep, &retired));
	assert_false(inflight_release(retired));
	assert_true(inflight_release(sent));
}

static void reopen(void *f)
{
	inflight_reopen(f);
}

/* As often as one likes, and whatever was closed and how often. */
static void a_drained_log_is_opened_again_as_new(void **state)
{
	struct inflight *f = *state;
	struct seen seen;

	for (unsigned round = 0; round < 3; round++) {
		seen = (struct seen){ 0 };
		for (uint64_t id = 1; id <= INFLIGHT_DEPTH - 5; id++)
			send_batch(f, id);
		assert_true(inflight_acknowledge(f, 100, on_retired, &seen));
		for (unsigned i = 0; i <= round; i++)
			inflight_close(f);
		assert_false(inflight_reserve(f));
		assert_true(aborts_with(reopen, f,
					"mfd: in flight: used again before it was drained\n"));
		inflight_drain(f, on_returned, &seen);
		inflight_reopen(f);
		assert_int_equal(inflight_take_sequence(f), 0);
		assert_false(inflight_acknowledge(f, 2, on_retired, &seen));
		inflight_reopen(f);
		/* Exactly as many places as a new one has. */
		for (uint64_t id = 1; id <= INFLIGHT_DEPTH; id++)
			send_batch(f, id);
		assert_int_equal(sem_trywait(&f->room), -1);
		assert_true(inflight_acknowledge(f, INFLIGHT_DEPTH, on_retired, &seen));
		inflight_reopen(f);
	}
}

static void an_empty_log_drains_nothing(void **state)
{
	struct inflight *f = *state;
	struct seen seen = { 0 };

	inflight_drain(f, on_returned, &seen);
	assert_int_equal(seen.count, 0);
}

static void use_one_more(void *arg)
{
	inflight_next(arg);
}

static void using_an_entry_that_is_not_reserved_aborts(void **state)
{
	struct inflight *f = *state;
	struct seen seen = { 0 };
	uint64_t id;

	for (id = 1; id <= INFLIGHT_DEPTH; id++)
		send_batch(f, id);
	assert_true(aborts_with(use_one_more, f,
				"mfd: in flight: an entry was used that is not reserved\n"));
	assert_true(inflight_acknowledge(f, 1, on_retired, &seen));
	send_batch(f, id);
}

/*
 * A sender thread with a real hand-off in front of the log, and an acknowledging thread behind
 * it.
 */
struct line {
	struct handoff *handoff;
	struct inflight *inflight;
	struct sleeper sleeper;
	uint64_t packets;        /* sender thread's, read after the join */
	uint64_t syncs;
	bool gap;
};

static void *send_line(void *arg)
{
	struct line *line = arg;
	struct inflight_entry *entry;
	struct batch *batch;
	enum handoff_job job;
	uint64_t sequence;

	while ((job = handoff_take(line->handoff, &batch)) != HANDOFF_EXIT) {
		if (job == HANDOFF_SYNC) {
			sequence = inflight_take_sequence(line->inflight);
			line->syncs++;
			handoff_sync_sent(line->handoff, &line->sleeper);
		} else {
			if (!inflight_reserve(line->inflight))
				break;
			entry = inflight_next(line->inflight);
			entry->batch = *batch;
			entry->sequence = sequence = inflight_take_sequence(line->inflight);
			inflight_publish(line->inflight);
			handoff_give_back(line->handoff, &line->sleeper);
		}
		if (sequence != line->packets++)
			line->gap = true;
	}
	return NULL;
}

static void produce_line(struct line *line, unsigned bursts, uint64_t *ret_batches,
			 uint64_t *ret_syncs)
{
	struct handoff_set set = { .handoff = &line->handoff, .count = 1 };
	uint64_t batches = 0;
	uint64_t syncs = 0;
	unsigned burst;
	unsigned i;

	for (burst = 0; burst < bursts; burst++) {
		for (i = 0; i < burst % 6; i++) {
			while (handoff_find(&set) < 0) {
				sleeper_announce(&line->sleeper);
				if (handoff_find(&set) >= 0) {
					sleeper_retract(&line->sleeper);
					break;
				}
				sleeper_sleep(&line->sleeper);
			}
			handoff_slot(line->handoff)->id = ++batches;
			handoff_publish(line->handoff);
		}
		/* Right behind the batches, the older of which are still on their way. */
		if (handoff_sync_idle(line->handoff)) {
			handoff_request_sync(line->handoff);
			syncs++;
		}
	}
	*ret_batches = batches;
	*ret_syncs = syncs;
}

struct acknowledger {
	struct inflight *inflight;
	struct seen seen;
	_Atomic bool stop;
	bool refused;
};

static void *acknowledge_line(void *arg)
{
	struct acknowledger *a = arg;
	uint64_t written;
	bool last;

	do {
		last = atomic_load(&a->stop);
		written = atomic_load(&a->inflight->started);
		if (!inflight_acknowledge(a->inflight, written, on_retired, &a->seen))
			a->refused = true;
		sched_yield();
	} while (!last);
	return NULL;
}

static void sequences_have_no_gap_under_bursts_of_batches_and_syncs(void **state)
{
	struct inflight *f = *state;
	struct line line = { .inflight = f };
	struct acknowledger a = { .inflight = f };
	struct mfd_error err;
	pthread_t sender;
	pthread_t control;
	uint64_t batches;
	uint64_t syncs;
	struct handoff_set set = { .handoff = &line.handoff, .count = 1 };

	line.handoff = aligned_alloc(CACHE_LINE, sizeof(*line.handoff));
	assert_non_null(line.handoff);
	assert_true(handoff_init(line.handoff, &err));
	assert_true(sleeper_init(&line.sleeper, &err));
	assert_int_equal(pthread_create(&sender, NULL, send_line, &line), 0);
	assert_int_equal(pthread_create(&control, NULL, acknowledge_line, &a), 0);

	produce_line(&line, 5000, &batches, &syncs);

	/* One last SYNC is behind everything; then the door. */
	while (!handoff_sync_idle(line.handoff)) {
		sleeper_announce(&line.sleeper);
		if (handoff_sync_idle(line.handoff)) {
			sleeper_retract(&line.sleeper);
			break;
		}
		sleeper_sleep(&line.sleeper);
	}
	assert_int_equal(handoff_find(&set), 0);
	handoff_request_sync(line.handoff);
	while (!handoff_sync_idle(line.handoff))
		sched_yield();
	handoff_request_exit(line.handoff);
	assert_int_equal(pthread_join(sender, NULL), 0);
	atomic_store(&a.stop, true);
	assert_int_equal(pthread_join(control, NULL), 0);

	assert_false(line.gap);
	assert_false(a.refused);
	assert_int_equal(line.syncs, syncs + 1);
	assert_int_equal(line.packets, batches + syncs + 1);
	assert_int_equal(a.seen.count, batches);
	assert_true(a.seen.in_order);

	sleeper_destroy(&line.sleeper);
	handoff_destroy(line.handoff);
	free(line.handoff);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_acknowledgement_retires_what_is_below_it_oldest_first),
		TEST(an_acknowledgement_of_what_was_never_started_is_refused),
		TEST(an_older_acknowledgement_is_ignored),
		TEST(a_sync_takes_a_sequence_number_and_no_entry),
		TEST(entries_are_used_again_and_again),
		TEST(a_full_log_waits_for_an_acknowledgement),
		TEST(a_full_log_lets_out_when_it_is_closed),
		TEST(a_closed_log_gives_no_room_however_often_asked),
		TEST(a_drain_hands_over_the_unacknowledged_oldest_first),
		TEST(the_bytes_belong_to_the_last_of_the_two_that_need_them),
		TEST(a_drained_log_is_opened_again_as_new),
		TEST(an_empty_log_drains_nothing),
		TEST(using_an_entry_that_is_not_reserved_aborts),
		TEST(sequences_have_no_gap_under_bursts_of_batches_and_syncs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
