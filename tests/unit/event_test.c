/* SPDX-License-Identifier: MIT */
/*
 * Events, waiting with a stop and a deadline, and the clock behind them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/event.h"

/* Long enough that a test which waits for it is broken, short enough that it ends. */
#define FAR_MS 20000

static struct event new_event(void)
{
	struct mfd_error err;
	struct event e;

	assert_true(event_init(&e, &err));
	return e;
}

static void a_new_event_is_not_raised(void **state)
{
	struct event e = new_event();

	(void)state;
	assert_false(event_clear(&e));
	assert_int_equal(event_wait_fd(&e, -1, 0, clock_ns()), EVENT_TIMEOUT);
	assert_true(fcntl(e.fd, F_GETFD) & FD_CLOEXEC);
	event_destroy(&e);
	assert_int_equal(e.fd, -1);
}

static void many_raises_are_one_clear(void **state)
{
	struct event e = new_event();

	(void)state;
	for (int i = 0; i < 1000; i++)
		event_raise(&e);
	assert_true(event_clear(&e));
	assert_false(event_clear(&e));
	event_raise(&e);
	assert_true(event_clear(&e));
	event_destroy(&e);
}

static void raising_a_full_counter_neither_blocks_nor_is_lost(void **state)
{
	struct event e = new_event();
	const uint64_t most = UINT64_MAX - 1;

	(void)state;
	assert_int_equal(write(e.fd, &most, sizeof(most)), sizeof(most));
	event_raise(&e);
	assert_true(event_clear(&e));
	assert_false(event_clear(&e));
	event_destroy(&e);
}

static void raise_keeps_errno(void **state)
{
	struct event e = new_event();
	const uint64_t most = UINT64_MAX - 1;

	(void)state;
	assert_int_equal(write(e.fd, &most, sizeof(most)), sizeof(most));
	errno = EDOM;
	event_raise(&e); /* EAGAIN inside */
	assert_int_equal(errno, EDOM);
	event_destroy(&e);
}

static void a_stop_wins_and_stays_raised(void **state)
{
	struct event stop = new_event();
	struct event other = new_event();

	(void)state;
	event_raise(&stop);
	event_raise(&other);
	assert_int_equal(event_wait_fd(&stop, other.fd, POLLIN, CLOCK_NEVER), EVENT_STOPPED);
	assert_int_equal(event_wait_fd(&stop, -1, 0, CLOCK_NEVER), EVENT_STOPPED);
	assert_true(event_clear(&stop));
	assert_int_equal(event_wait_fd(&stop, other.fd, POLLIN, CLOCK_NEVER), EVENT_READY);
	event_destroy(&other);
	event_destroy(&stop);
}

static void a_descriptor_that_is_ready_wins_over_a_past_deadline(void **state)
{
	struct event stop = new_event();
	struct event other = new_event();

	(void)state;
	event_raise(&other);
	assert_int_equal(event_wait_fd(&stop, other.fd, POLLIN, 1), EVENT_READY);
	event_clear(&other);
	assert_int_equal(event_wait_fd(&stop, other.fd, POLLIN, 1), EVENT_TIMEOUT);
	event_destroy(&other);
	event_destroy(&stop);
}

static void a_hangup_counts_as_ready(void **state)
{
	struct event stop = new_event();
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	close(fds[1]);
	assert_int_equal(event_wait_fd(&stop, fds[0], POLLIN, clock_deadline_ms(FAR_MS)),
			 EVENT_READY);
	close(fds[0]);
	event_destroy(&stop);
}

static void the_deadline_is_kept(void **state)
{
	struct event stop = new_event();
	uint64_t start = clock_ns();
	uint64_t took;

	(void)state;
	assert_int_equal(event_wait_fd(&stop, -1, 0, clock_deadline_ms(20)), EVENT_TIMEOUT);
	took = clock_ns() - start;
	assert_true(took >= 20 * CLOCK_NS_PER_MS);
	assert_true(took < FAR_MS * CLOCK_NS_PER_MS);
	event_destroy(&stop);
}

static void *raise_in_thread(void *arg)
{
	event_raise(arg);
	return NULL;
}

static void another_thread_wakes_the_waiter(void **state)
{
	struct event stop = new_event();
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, raise_in_thread, &stop), 0);
	assert_int_equal(event_wait_fd(&stop, -1, 0, clock_deadline_ms(FAR_MS)), EVENT_STOPPED);
	pthread_join(thread, NULL);
	event_destroy(&stop);
}

static void on_alarm(int signal_number)
{
	(void)signal_number;
}

static void a_signal_does_not_end_the_wait(void **state)
{
	struct event stop = new_event();
	struct sigaction old, action = { .sa_handler = on_alarm };
	const struct timespec soon = { .tv_nsec = 5000000 };
	const struct itimerspec when = { .it_value = soon, .it_interval = soon };
	uint64_t deadline;
	timer_t timer;

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &when, NULL), 0);
	deadline = clock_deadline_ms(50);
	assert_int_equal(event_wait_fd(&stop, -1, 0, deadline), EVENT_TIMEOUT);
	assert_true(clock_ns() >= deadline);
	timer_delete(timer);
	sigaction(SIGALRM, &old, NULL);
	event_destroy(&stop);
}

static void no_descriptor_left_is_an_error_not_an_abort(void **state)
{
	struct rlimit old, none;
	struct mfd_error err;
	struct event e;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_false(event_init(&e, &err));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(err.status, MFD_OS);
	assert_int_equal(err.os_errno, EMFILE);
	assert_true(event_init(&e, &err));
	event_destroy(&e);
}

static void deadlines_round_up_and_never_wrap(void **state)
{
	uint64_t now = clock_ns();

	(void)state;
	assert_true(clock_deadline_ms(0) == CLOCK_NEVER);
	assert_true(clock_deadline_ms(UINT64_MAX) == CLOCK_NEVER);
	assert_true(clock_deadline_ms(1000) >= now + CLOCK_NS_PER_S);
	assert_int_equal(clock_poll_ms(CLOCK_NEVER), -1);
	assert_int_equal(clock_poll_ms(0), 0);
	assert_int_equal(clock_poll_ms(now), 0);
	assert_int_equal(clock_poll_ms(CLOCK_NEVER - 1), INT_MAX);
	assert_in_range(clock_poll_ms(clock_deadline_ms(FAR_MS)), 1, FAR_MS);
	assert_true(clock_poll_ms(clock_ns() + CLOCK_NS_PER_S) > 0);
}

static void cpu_time_grows_with_work(void **state)
{
	uint64_t before = clock_cpu_ns();
	uint64_t give_up = clock_deadline_ms(FAR_MS);

	(void)state;
	while (clock_cpu_ns() < before + CLOCK_NS_PER_MS)
		assert_true(clock_ns() < give_up);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_event_is_not_raised),
		cmocka_unit_test(many_raises_are_one_clear),
		cmocka_unit_test(raising_a_full_counter_neither_blocks_nor_is_lost),
		cmocka_unit_test(raise_keeps_errno),
		cmocka_unit_test(a_stop_wins_and_stays_raised),
		cmocka_unit_test(a_descriptor_that_is_ready_wins_over_a_past_deadline),
		cmocka_unit_test(a_hangup_counts_as_ready),
		cmocka_unit_test(the_deadline_is_kept),
		cmocka_unit_test(another_thread_wakes_the_waiter),
		cmocka_unit_test(a_signal_does_not_end_the_wait),
		cmocka_unit_test(no_descriptor_left_is_an_error_not_an_abort),
		cmocka_unit_test(deadlines_round_up_and_never_wrap),
		cmocka_unit_test(cpu_time_grows_with_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
