/* SPDX-License-Identifier: MIT */
/*
 * The bandwidth limit: exact in simulated time whatever the packets' sizes, without overflow at
 * either end of the scale, and shared by threads without two of them getting the same place.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/event.h"
#include "core/pace.h"

#define SECOND CLOCK_NS_PER_S
#define START (1000 * SECOND)
#define MIB (UINT64_C(1) << 20)

static void without_a_limit_nobody_waits(void **state)
{
	struct pace p;

	(void)state;
	pace_init(&p, 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(pace_take(&p, 4 * MIB, START), 0);
}

static void packets_go_in_pieces_of_a_small_part_of_a_second(void **state)
{
	(void)state;
	assert_int_equal(pace_piece(0, 1), SIZE_MAX);
	for (uint64_t rate = 128 << 10; rate < UINT64_C(10000000000); rate *= 3) {
		const size_t piece = pace_piece(rate, 8);

		assert_true(piece <= rate / 100);
		assert_true(piece >= 1024);
	}
	assert_int_equal(pace_piece(32000000, 128), 125000);
}

static void what_is_too_slow_for_pieces_goes_whole(void **state)
{
	(void)state;
	assert_int_equal(pace_piece(1, 1), SIZE_MAX);
	assert_int_equal(pace_piece((16 << 10) - 1, 1), SIZE_MAX);
	assert_int_equal(pace_piece(16 << 10, 1), 1024);
	assert_int_equal(pace_piece((16 << 10) * 8 - 1, 8), SIZE_MAX);
	assert_int_equal(pace_piece((16 << 10) * 8, 8), 1024);
}

static void the_first_goes_at_once_and_the_next_waits_for_it(void **state)
{
	struct pace p;

	(void)state;
	pace_init(&p, 1000);
	assert_true(pace_take(&p, 500, START) <= START);
	assert_int_equal(pace_take(&p, 1, START), START - PACE_BURST_NS + SECOND / 2);
	assert_int_equal(pace_take(&p, 1, START),
			 START - PACE_BURST_NS + SECOND / 2 + SECOND / 1000);
}

static void idle_time_buys_no_more_than_the_burst(void **state)
{
	uint64_t now = START, bytes = 0;
	struct pace p;

	(void)state;
	pace_init(&p, 1000000);
	pace_take(&p, 1000, now);
	now += 3600 * SECOND;
	while (pace_take(&p, 100, now) <= now)
		bytes += 100;
	assert_in_range(bytes, 10000 - 100, 10000 + 200);
}

static void who_is_a_little_late_catches_up(void **state)
{
	uint64_t now = START, sent = 0, until;
	struct pace p;

	(void)state;
	pace_init(&p, 10000000);
	for (; now < START + SECOND; sent += 1000) {
		until = pace_take(&p, 1000, now);
		if (until > now)
			now = until + SECOND / 200; /* 5 ms late, every time */
	}
	assert_in_range(sent, 9800000, 10200000);
}

static void a_byte_per_second_does_not_overflow(void **state)
{
	uint64_t until = 0, last = 0;
	struct pace p;

	(void)state;
	pace_init(&p, 1);
	for (unsigned i = 0; i < 128; i++) {
		until = pace_take(&p, 4 * MIB, START);
		assert_true(until > last);
		last = until;
	}
	assert_int_equal(until, START - PACE_BURST_NS + 127 * 4 * MIB * SECOND);
}

static void the_end_of_the_clock_is_a_long_wait_and_no_wrap(void **state)
{
	const uint64_t years = UINT64_C(10) * 365 * 86400 * SECOND;
	struct pace p;

	(void)state;
	pace_init(&p, 1);
	pace_take(&p, UINT64_MAX, START);
	assert_true(pace_take(&p, 1, START) > START + years);
	assert_true(pace_take(&p, UINT64_MAX, START) > START + years);
	assert_true(pace_take(&p, UINT64_MAX, UINT64_MAX) > years);
	pace_init(&p, UINT64_MAX);
	assert_true(pace_take(&p, UINT64_MAX, 0) == 0);
	assert_in_range(pace_take(&p, 1, 0), SECOND - 1, SECOND + 1);
}

/* What leaves in @ns when @bytes packets are offered without end. */
static uint64_t sent_in(uint64_t rate, uint64_t bytes, uint64_t ns)
{
	uint64_t sent = 0, until;
	struct pace p;

	pace_init(&p, rate);
	do {
		until = pace_take(&p, bytes, START);
		sent += bytes;
	} while (until < START + ns);
	return sent;
}

static void the_smallest_packets_at_the_highest_rate_are_exact(void **state)
{
	const uint64_t rate = UINT64_C(12500000000), ns = SECOND / 10;

	(void)state;
	/* The burst stands at the front. */
	assert_in_range(sent_in(rate, 80, ns - PACE_BURST_NS), rate / 10 / 100 * 98,
			rate / 10 / 100 * 102);
}

/* ---- Many senders in simulated time. ---- */

#define SENDERS 8

struct sender {
	uint64_t ready_ns; /* when it takes its next place */
};

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> 33;
}

/* 80 bytes to 4 MiB, every magnitude as often. */
static uint64_t random_size(uint64_t *seed)
{
	uint64_t top = UINT64_C(128) << (next_random(seed) % 16);
	uint64_t size = top / 2 + next_random(seed) % (top / 2 + 1);

	return size < 80 ? 80 : size;
}

/*
 * Senders that work up to 0.1 ms on a packet and wake up to 2 ms late: bytes sent from START on
 * for @ns.
 */
static uint64_t simulate(uint64_t rate, uint64_t ns, uint64_t seed)
{
	struct sender sender[SENDERS];
	uint64_t sent = 0;
	struct pace p;

	pace_init(&p, rate);
	for (unsigned i = 0; i < SENDERS; i++)
		sender[i].ready_ns = START + i;
	for (;;) {
		struct sender *s = &sender[0];
		uint64_t size = random_size(&seed), until;

		for (unsigned i = 1; i < SENDERS; i++) {
			if (sender[i].ready_ns < s->ready_ns)
				s = &sender[i];
		}
		if (s->ready_ns >= START + ns)
			return sent;
		until = pace_take(&p, size, s->ready_ns);
		if (until > s->ready_ns)
			s->ready_ns = until + next_random(&seed) % (SECOND / 500);
		if (s->ready_ns < START + ns)
			sent += size;
		s->ready_ns += next_random(&seed) % (SECOND / 10000);
	}
}

static void mixed_packets_of_many_senders_keep_the_rate(void **state)
{
	static const uint64_t rates[] = { 1000000000, 2000000000, 500000000 };

	(void)state;
	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		for (uint64_t seed = 1; seed <= 20; seed++)
			assert_in_range(simulate(rates[i], SECOND, seed), rates[i] / 100 * 98,
					rates[i] / 100 * 102);
	}
}

static void slow_lines_keep_the_rate_in_the_long_run(void **state)
{
	(void)state;
	/* A packet may take 4 s here, so a second says nothing. */
	assert_in_range(simulate(1000000, 3000 * SECOND, 1), UINT64_C(980000) * 3000,
			UINT64_C(1020000) * 3000);
	assert_in_range(simulate(10000000, 300 * SECOND, 2), UINT64_C(9800000) * 300,
			UINT64_C(10200000) * 300);
}

/* ---- Threads. ---- */

#define THREADS 4
#define PLACES 20000

struct taker {
	struct pace *pace;
	const struct event *stop;
	pthread_t thread;
	uint64_t until_ns;
	uint64_t sent;
	uint64_t place[PLACES];
};

static void *take_places(void *arg)
{
	struct taker *t = arg;

	for (unsigned i = 0; i < PLACES; i++)
		t->place[i] = pace_take(t->pace, 1000, START);
	return NULL;
}

static int compare_places(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

static void run_takers(struct taker *taker, void *(*main_function)(void *))
{
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&taker[i].thread, NULL, main_function, &taker[i]),
				 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(taker[i].thread, NULL);
}

static void no_two_threads_get_the_same_place(void **state)
{
	struct taker *taker = calloc(THREADS, sizeof(*taker));
	uint64_t *all = calloc(THREADS * PLACES, sizeof(*all));
	struct pace p;

	(void)state;
	assert_non_null(taker);
	assert_non_null(all);
	pace_init(&p, 1000000);
	for (unsigned i = 0; i < THREADS; i++)
		taker[i].pace = &p;
	run_takers(taker, take_places);
	for (unsigned i = 0; i < THREADS * PLACES; i++)
		all[i] = taker[i / PLACES].place[i % PLACES];
	qsort(all, THREADS * PLACES, sizeof(*all), compare_places);
	for (uint64_t i = 0; i < THREADS * PLACES; i++)
		assert_int_equal(all[i], START - PACE_BURST_NS + i * (SECOND / 1000));
	free(all);
	free(taker);
}

static void *send_in_real_time(void *arg)
{
	struct taker *t = arg;
	uint64_t seed = (uint64_t)(uintptr_t)t;

	for (;;) {
		uint64_t size = 80 + next_random(&seed) % 60000, now = clock_ns(), until;

		if (now >= t->until_ns)
			return NULL;
		until = pace_take(t->pace, size, now);
		if (until >= t->until_ns)
			return NULL;
		if (until > now && event_wait_fd(t->stop, -1, 0, until) != EVENT_TIMEOUT)
			return NULL;
		t->sent += size;
	}
}

static void threads_in_real_time_keep_the_rate(void **state)
{
	struct taker *taker = calloc(THREADS, sizeof(*taker));
	const uint64_t rate = 50000000;
	struct mfd_error err;
	struct event stop;
	uint64_t sent = 0, began, ns;
	struct pace p;

	(void)state;
	assert_non_null(taker);
	assert_true(event_init(&stop, &err));
	pace_init(&p, rate);
	began = clock_ns();
	for (unsigned i = 0; i < THREADS; i++) {
		taker[i].pace = &p;
		taker[i].stop = &stop;
		taker[i].until_ns = began + SECOND;
	}
	run_takers(taker, send_in_real_time);
	ns = clock_ns() - began;
	for (unsigned i = 0; i < THREADS; i++)
		sent += taker[i].sent;
	/*
	 * Above the rate by the burst and a packet each at most; below it as far as a busy
	 * machine lets threads oversleep.
	 */
	assert_true(sent <= rate / 1000 * (ns / 1000000 + 1) + rate / 100 + THREADS * 60080);
	assert_true(sent >= rate / 2);
	event_destroy(&stop);
	free(taker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_limit_nobody_waits),
		cmocka_unit_test(packets_go_in_pieces_of_a_small_part_of_a_second),
		cmocka_unit_test(what_is_too_slow_for_pieces_goes_whole),
		cmocka_unit_test(the_first_goes_at_once_and_the_next_waits_for_it),
		cmocka_unit_test(idle_time_buys_no_more_than_the_burst),
		cmocka_unit_test(who_is_a_little_late_catches_up),
		cmocka_unit_test(a_byte_per_second_does_not_overflow),
		cmocka_unit_test(the_end_of_the_clock_is_a_long_wait_and_no_wrap),
		cmocka_unit_test(the_smallest_packets_at_the_highest_rate_are_exact),
		cmocka_unit_test(mixed_packets_of_many_senders_keep_the_rate),
		cmocka_unit_test(slow_lines_keep_the_rate_in_the_long_run),
		cmocka_unit_test(no_two_threads_get_the_same_place),
		cmocka_unit_test(threads_in_real_time_keep_the_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
