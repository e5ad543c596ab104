/* SPDX-License-Identifier: MIT */
/*
 * Signals, job control and blocking calls go on across a freeze as if nothing had been.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "freeze_fixture.h"

/* How many freezes while signals rain down. */
#define ROUNDS 300

static void freeze_and_thaw(struct freezer *f)
{
	struct mfd_error err;

	FREEZE_MUST(freezer_freeze(f, &err), &err);
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
}

/* ---- Signals. ---- */

static void a_timer_storm_loses_no_tick(void **state)
{
	struct freeze_subject s = freeze_subject_new("timer", "");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	unsigned round;

	(void)state;
	for (round = 0; round < ROUNDS; round++) {
		freeze_and_thaw(f);
		usleep(500);
	}
	freezer_free(f);
	s.scene->stop = true;
	FREEZE_UNTIL(s.scene->done);
	assert_in_range(s.scene->signals, s.scene->result, s.scene->elapsed_ns);
	assert_int_equal(freeze_subject_join(&s), 0);
}

/* One more signal, with its number. */
static void queue_one(const struct freeze_subject *s, int *number)
{
	const union sigval value = { .sival_int = *number };

	if (sigqueue(s->pid, SIGRTMIN, value) == 0)
		(*number)++;
}

static void queued_signals_arrive_once_and_in_order(void **state)
{
	struct freeze_subject s = freeze_subject_new("queue", "");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	struct mfd_error err;
	int sent = 0;
	unsigned round;

	(void)state;
	for (round = 0; round < ROUNDS; round++) {
		/* Before, so that some are on their way when it stops; and while it is frozen. */
		queue_one(&s, &sent);
		queue_one(&s, &sent);
		FREEZE_MUST(freezer_freeze(f, &err), &err);
		queue_one(&s, &sent);
		FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	}
	freezer_free(f);
	FREEZE_UNTIL(s.scene->signals >= (uint64_t)sent);
	assert_int_equal(s.scene->signals, sent);
	assert_int_equal(s.scene->misordered, 0);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void a_sigterm_during_the_freeze_is_handled_once_after_it(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "3");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	const struct frozen_thread *threads;
	struct mfd_error err;
	size_t count;

	(void)state;
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	threads = freezer_threads(f, &count);
	/* The other threads block it. */
	assert_int_equal(threads[0].blocked & UINT64_C(1) << (SIGTERM - 1), 0);
	assert_true(threads[1].blocked & UINT64_C(1) << (SIGTERM - 1));
	kill(s.pid, SIGTERM);
	usleep(5000);
	assert_int_equal(s.scene->signals, 0);
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	FREEZE_UNTIL(s.scene->signals > 0);
	FREEZE_ASSERT_RUNS(&s, 0);
	assert_int_equal(s.scene->signals, 1);
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void a_sigterm_without_a_handler_ends_it_after_the_freeze(void **state)
{
	struct freeze_subject s = freeze_subject_new("spin", "");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	struct mfd_error err;
	int status;

	(void)state;
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	kill(s.pid, SIGTERM);
	assert_true(freezer_holds(f));
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	munmap(s.scene, sizeof(*s.scene));
	freezer_free(f);
}

/* ---- Job control. ---- */

/* What wait(2) has to say of the child now: 'S' stopped, 'C' continued, '-' nothing. */
static char news_of(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, WNOHANG | WUNTRACED | WCONTINUED) != pid)
		return '-';
	return WIFSTOPPED(status) ? 'S' : WIFCONTINUED(status) ? 'C' : '?';
}

static void assert_stands_still(const struct freeze_subject *s)
{
	const uint64_t before = s->scene->counter[1];

	usleep(10000);
	assert_int_equal(s->scene->counter[1], before);
}

static void a_stopped_process_stays_stopped(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "3");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	const struct frozen_thread *threads;
	struct mfd_error err;
	size_t count, i;

	(void)state;
	kill(s.pid, SIGSTOP);
	FREEZE_UNTIL(news_of(s.pid) == 'S');
	for (i = 0; i < 20; i++) {
		FREEZE_MUST(freezer_freeze(f, &err), &err);
		threads = freezer_threads(f, &count);
		assert_int_equal(count, 4);
		assert_int_equal(threads[0].siginfo.si_signo, SIGSTOP);
		FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
		FREEZE_UNTIL(freeze_state(s.pid) == 'T');
		assert_int_equal(news_of(s.pid), '-');
	}
	assert_stands_still(&s);
	freezer_free(f);
	assert_int_equal(freeze_state(s.pid), 'T');
	kill(s.pid, SIGCONT);
	FREEZE_UNTIL(news_of(s.pid) == 'C');
	FREEZE_ASSERT_RUNS(&s, 3);
	FREEZE_UNTIL(s.scene->continues == 1);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void a_stop_during_the_freeze_takes_effect_once_after_it(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "3");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	struct mfd_error err;
	unsigned round;

	(void)state;
	for (round = 1; round <= 20; round++) {
		FREEZE_MUST(freezer_freeze(f, &err), &err);
		kill(s.pid, SIGSTOP);
		assert_int_equal(news_of(s.pid), '-');
		FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
		FREEZE_UNTIL(news_of(s.pid) == 'S');
		assert_int_equal(freeze_state(s.pid), 'T');
		assert_stands_still(&s);
		kill(s.pid, SIGCONT);
		FREEZE_UNTIL(news_of(s.pid) == 'C');
		FREEZE_ASSERT_RUNS(&s, 2);
		assert_int_equal(news_of(s.pid), '-');
		FREEZE_UNTIL(s.scene->continues == round);
	}
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void a_continue_during_the_freeze_takes_effect_after_it(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "3");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	struct mfd_error err;

	(void)state;
	kill(s.pid, SIGSTOP);
	FREEZE_UNTIL(news_of(s.pid) == 'S');
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	kill(s.pid, SIGCONT);
	assert_stands_still(&s);
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	FREEZE_ASSERT_RUNS(&s, 1);
	FREEZE_UNTIL(s.scene->continues == 1);
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

/*
 * Stop and continue at any moment of freeze and thaw: in the end it runs, and each SIGCONT has been
 * handled at most once.
 */
static void stops_and_continues_race_with_freezes(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "3");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	unsigned frozen = 0;
	pid_t other = freeze_fork();

	(void)state;
	if (other == 0) {
		uint64_t round;

		for (round = 0; round < 200 || !s.scene->go; round++) {
			kill(s.pid, SIGSTOP);
			usleep(round * 37 % 700);
			kill(s.pid, SIGCONT);
			usleep(round * 53 % 700);
		}
		s.scene->result = (int64_t)round;
		_exit(0);
	}
	while (waitpid(other, NULL, WNOHANG) == 0) {
		freeze_and_thaw(f);
		s.scene->go = ++frozen >= 50;
	}
	FREEZE_ASSERT_RUNS(&s, 0);
	FREEZE_ASSERT_RUNS(&s, 3);
	assert_in_range(s.scene->continues, 1, s.scene->result);
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

/* ---- Blocking calls. ---- */

/* The thread is asleep in its call again, or the call has returned. */
static void settle(const struct freeze_subject *s)
{
	FREEZE_UNTIL(s->scene->done || freeze_state(s->pid) == 'S');
}

static bool comes_back(const struct freeze_subject *s)
{
	const uint64_t until_ns = clock_ns() + FREEZE_PATIENCE_NS;

	while (!s->scene->done && clock_ns() < until_ns)
		usleep(200);
	return s->scene->done;
}

static void a_blocked_call_goes_on(const char *call, int64_t result)
{
	struct freeze_subject s = freeze_subject_new("block", call);
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	unsigned round;
	int status;

	settle(&s);
	for (round = 0; round < 5; round++) {
		freeze_and_thaw(f);
		settle(&s);
		if (s.scene->done)
			fail_msg("%s returned %d, errno %d", call, (int)s.scene->result,
				 (int)s.scene->error);
	}
	freezer_free(f);
	s.scene->go = true;
	if (!comes_back(&s))
		fail_msg("%s does not return: state %c, misordered %u", call, freeze_state(s.pid),
			 (unsigned)s.scene->misordered);
	if (s.scene->result != result)
		fail_msg("%s returned %d, errno %d", call, (int)s.scene->result,
			 (int)s.scene->error);
	status = freeze_subject_join(&s);
	if (status != 0)
		fail_msg("%s: wait status %x", call, (unsigned)status);
}

static void blocked_calls_see_no_eintr(void **state)
{
	(void)state;
	a_blocked_call_goes_on("read", 1);
	a_blocked_call_goes_on("write", 4096);
	a_blocked_call_goes_on("futex", 0);
	a_blocked_call_goes_on("futex-timeout", 0);
	a_blocked_call_goes_on("poll", 1);
	a_blocked_call_goes_on("ppoll", 1);
	a_blocked_call_goes_on("select", 1);
	a_blocked_call_goes_on("msgrcv", 1);
	a_blocked_call_goes_on("inotify", 1);
	a_blocked_call_goes_on("wait4", 1);
}

/* signal(7): these fail with EINTR after a stop, if nobody does anything about it. */
static void calls_that_a_stop_ends_are_begun_again(void **state)
{
	(void)state;
#ifdef __x86_64__
	a_blocked_call_goes_on("epoll_wait", 1);
	a_blocked_call_goes_on("epoll_pwait", 1);
	a_blocked_call_goes_on("semop", 0);
	a_blocked_call_goes_on("semtimedop", 0);
	a_blocked_call_goes_on("sigwaitinfo", SIGUSR2);
	a_blocked_call_goes_on("recv-timeout", 1);
	a_blocked_call_goes_on("accept-timeout", 0);
#else
	skip();
#endif
}

static void a_handler_still_ends_a_call_with_eintr(void **state)
{
	struct freeze_subject s = freeze_subject_new("block", "pause");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	unsigned round;

	(void)state;
	for (round = 0; round < 5; round++) {
		settle(&s);
		freeze_and_thaw(f);
	}
	assert_false(s.scene->done);
	freezer_free(f);
	s.scene->go = true;
	FREEZE_UNTIL(s.scene->done);
	assert_int_equal(s.scene->error, EINTR);
	assert_int_equal(s.scene->signals, 1);
	assert_int_equal(freeze_subject_join(&s), 0);
}

/* A signal that comes while a call is being begun again does end it. */
static void a_handler_ends_a_call_that_was_to_begin_again(void **state)
{
	struct freeze_subject s = freeze_subject_new("block", "epoll_pwait");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	struct mfd_error err;

	(void)state;
	settle(&s);
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	kill(s.pid, SIGUSR2); /* only that call lets it through */
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	freezer_free(f);
	FREEZE_UNTIL(s.scene->done);
	assert_int_equal(s.scene->error, EINTR);
	assert_int_equal(s.scene->signals, 1);
	freeze_subject_join(&s);
}

static void a_sleep_takes_as_long_as_it_should(void **state)
{
	struct freeze_subject s = freeze_subject_new("block", "nanosleep");
	struct freezer *f = freeze_freezer_new(s.pid, 0);

	(void)state;
	while (!s.scene->done) {
		freeze_and_thaw(f);
		usleep(2000); /* a busy machine has to come round to it */
	}
	freezer_free(f);
	assert_int_equal(s.scene->result, 0);
	assert_in_range(s.scene->elapsed_ns, 400000000, 5000000000);
	assert_int_equal(freeze_subject_join(&s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_storm_loses_no_tick),
		cmocka_unit_test(queued_signals_arrive_once_and_in_order),
		cmocka_unit_test(a_sigterm_during_the_freeze_is_handled_once_after_it),
		cmocka_unit_test(a_sigterm_without_a_handler_ends_it_after_the_freeze),
		cmocka_unit_test(a_stopped_process_stays_stopped),
		cmocka_unit_test(a_stop_during_the_freeze_takes_effect_once_after_it),
		cmocka_unit_test(a_continue_during_the_freeze_takes_effect_after_it),
		cmocka_unit_test(stops_and_continues_race_with_freezes),
		cmocka_unit_test(blocked_calls_see_no_eintr),
		cmocka_unit_test(calls_that_a_stop_ends_are_begun_again),
		cmocka_unit_test(a_handler_still_ends_a_call_with_eintr),
		cmocka_unit_test(a_handler_ends_a_call_that_was_to_begin_again),
		cmocka_unit_test(a_sleep_takes_as_long_as_it_should),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
