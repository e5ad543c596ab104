/* SPDX-License-Identifier: MIT */
/*
 * Whoever dies, at whatever moment, the target runs on: who froze it, and the guardian.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/ptrace.h>

#include "freeze_fixture.h"
#include "process/tracees.h"

#define ROUNDS 40

/* What the process that freezes does until it is killed. */
enum deed { HOLD, FREEZE_AND_THAW, MAKE_USERFAULTFDS };

/* The guardian may be killed: then, and only then, one deed may fail, and the next one works. */
static _Noreturn void freeze_for_ever(pid_t pid, enum deed deed, int begun)
{
	struct freezer *f = NULL;
	struct mfd_error err;
	int fd;

	if (!freezer_new(pid, 0, &f, &err))
		_exit(1);
	for (;;) {
		if (!freezer_freeze(f, &err) && err.status != MFD_OS)
			_exit(2);
		if (write(begun, "x", 1) != 1)
			_exit(3);
		while (deed == HOLD)
			pause();
		if (deed == MAKE_USERFAULTFDS && freezer_holds(f) &&
		    freezer_userfaultfd(f, 0, &fd, &err))
			close(fd);
		if (!freezer_thaw(f, NULL, &err) && err.status != MFD_OS)
			_exit(4);
	}
}

/* Start it, and wait until it has frozen for the first time. */
static pid_t freezing_new(pid_t pid, enum deed deed, int *ret_begun)
{
	int ends[2];
	pid_t other;
	char byte;

	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	other = freeze_fork();
	if (other == 0) {
		fcntl(ends[1], F_SETFL, 0);
		close(ends[0]);
		freeze_for_ever(pid, deed, ends[1]);
	}
	close(ends[1]);
	FREEZE_UNTIL(read(ends[0], &byte, 1) == 1);
	*ret_begun = ends[0];
	return other;
}

/* It must not wait for us to read. */
static void drain(int begun)
{
	char bytes[4096];

	while (read(begun, bytes, sizeof(bytes)) > 0)
		;
}

static void assert_unharmed(const struct freeze_subject *s)
{
	size_t i;

	for (i = 0; i <= 3; i++)
		FREEZE_ASSERT_RUNS(s, i);
	FREEZE_UNTIL(!freeze_is_traced(s->pid));
	assert_int_equal(s->scene->misordered, 0);
}

static void kill_the_freezing_process(enum deed deed, unsigned rounds)
{
	struct freeze_subject s = freeze_subject_new("count", "3");
	pid_t other, guardian;
	unsigned round;
	int begun;

	for (round = 0; round < rounds; round++) {
		other = freezing_new(s.pid, deed, &begun);
		guardian = freeze_find_guardian(other);
		assert_true(guardian > 0);
		usleep(round * 211 % 4000);
		drain(begun);
		kill(other, SIGKILL);
		waitpid(other, NULL, 0);
		close(begun);
		assert_unharmed(&s);
		FREEZE_UNTIL(kill(guardian, 0) != 0 || freeze_state(guardian) == 'Z');
	}
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void the_death_of_who_froze_it_thaws(void **state)
{
	(void)state;
	kill_the_freezing_process(HOLD, 10);
}

static void the_death_of_who_freezes_it_at_any_moment_thaws(void **state)
{
	(void)state;
	kill_the_freezing_process(FREEZE_AND_THAW, ROUNDS);
}

/* The guardian finishes the call that it makes in the target before it looks for its parent. */
static void the_death_of_who_makes_userfaultfds_at_any_moment_thaws(void **state)
{
	(void)state;
	kill_the_freezing_process(MAKE_USERFAULTFDS, ROUNDS);
}

/* And who froze goes on as well, with another guardian. */
static void the_death_of_the_guardian_at_any_moment_thaws(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "3");
	int begun, status;
	pid_t other = freezing_new(s.pid, FREEZE_AND_THAW, &begun), guardian = 0;
	unsigned round;
	char byte;

	(void)state;
	for (round = 0; round < ROUNDS; round++) {
		drain(begun);
		FREEZE_UNTIL((guardian = freeze_find_guardian(other)) != 0);
		usleep(round * 211 % 4000);
		kill(guardian, SIGKILL);
		FREEZE_ASSERT_RUNS(&s, 1 + round % 3);
		drain(begun);
		FREEZE_UNTIL(read(begun, &byte, 1) == 1);
		assert_int_equal(waitpid(other, &status, WNOHANG), 0);
	}
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	close(begun);
	assert_unharmed(&s);
	assert_int_equal(freeze_subject_join(&s), 0);
}

/* Signals that were on their way are not lost with it. */
static void the_death_of_the_guardian_loses_no_signal(void **state)
{
	struct freeze_subject s = freeze_subject_new("queue", "");
	pid_t other, guardian;
	int begun, sent = 0;
	unsigned round, burst;

	(void)state;
	other = freezing_new(s.pid, FREEZE_AND_THAW, &begun);
	for (round = 0; round < ROUNDS; round++) {
		FREEZE_UNTIL((guardian = freeze_find_guardian(other)) != 0);
		for (burst = 0; burst < 100; burst++) {
			const union sigval value = { .sival_int = sent };

			if (burst == round * 7 % 100)
				kill(guardian, SIGKILL);
			sent += sigqueue(s.pid, SIGRTMIN, value) == 0;
		}
		drain(begun);
	}
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	close(begun);
	FREEZE_UNTIL(s.scene->signals >= (uint64_t)sent);
	assert_int_equal(s.scene->misordered, 0);
	assert_int_equal(freeze_subject_join(&s), 0);
}

/*
 * The moment that random ones hardly ever hit: between the look at a signal's stop and passing it
 * on.
 */
static void a_signal_that_was_being_delivered_survives_the_tracer(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "1");
	pid_t tracer;
	int status;

	(void)state;
	tracer = freeze_fork();
	if (tracer == 0) {
		if (ptrace(PTRACE_SEIZE, s.pid, NULL, NULL) != 0)
			_exit(1);
		kill(s.pid, SIGTERM);
		while (tracee_look(s.pid, &status) != TRACEE_SIGNAL)
			usleep(200);
		_exit(status == SIGTERM ? 0 : 2);
	}
	assert_int_equal(waitpid(tracer, &status, 0), tracer);
	assert_int_equal(status, 0);
	FREEZE_UNTIL(s.scene->signals == 1);
	FREEZE_ASSERT_RUNS(&s, 0);
	assert_int_equal(freeze_subject_join(&s), 0);
}

/* Terminals and service managers send these to everybody. */
static void the_guardian_outlives_signals_that_can_be_blocked(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "1");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	struct mfd_error err;
	pid_t guardian;

	(void)state;
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	guardian = freeze_find_guardian(getpid());
	assert_true(guardian > 0);
	kill(guardian, SIGINT);
	kill(guardian, SIGTERM);
	kill(guardian, SIGHUP);
	usleep(10000);
	assert_true(freezer_holds(f));
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void a_guardian_that_was_lost_is_reported_and_replaced(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "1");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	struct mfd_error err;

	(void)state;
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	kill(freeze_find_guardian(getpid()), SIGKILL);
	FREEZE_UNTIL(!freezer_holds(f));
	assert_false(freezer_expired(f));
	assert_false(freezer_thaw(f, NULL, &err));
	assert_int_equal(err.status, MFD_OS);
	assert_non_null(strstr(err.text, "runs on"));
	FREEZE_ASSERT_RUNS(&s, 1);
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	assert_true(freezer_holds(f));
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_death_of_who_froze_it_thaws),
		cmocka_unit_test(the_death_of_who_freezes_it_at_any_moment_thaws),
		cmocka_unit_test(the_death_of_who_makes_userfaultfds_at_any_moment_thaws),
		cmocka_unit_test(the_death_of_the_guardian_at_any_moment_thaws),
		cmocka_unit_test(the_death_of_the_guardian_loses_no_signal),
		cmocka_unit_test(a_signal_that_was_being_delivered_survives_the_tracer),
		cmocka_unit_test(the_guardian_outlives_signals_that_can_be_blocked),
		cmocka_unit_test(a_guardian_that_was_lost_is_reported_and_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
