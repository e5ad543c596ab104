/* SPDX-License-Identifier: MIT */
/*
 * A userfaultfd made in the target's name: it works, and the target never learns of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/user.h>

#include "freeze_fixture.h"
#include "process/inject.h"
#include "scratch.h"

/* Freeze, make one, thaw. */
static bool userfaultfd_of(struct freezer *f, int *ret_fd, struct mfd_error *err)
{
	struct mfd_error ignored;
	bool ok;

	FREEZE_MUST(freezer_freeze(f, err), err);
	ok = freezer_userfaultfd(f, 0, ret_fd, err);
	if (ok)
		assert_true(freezer_holds(f));
	FREEZE_MUST(freezer_thaw(f, NULL, &ignored), &ignored);
	return ok;
}

/* Kernels before 6.4 can't tell about syscall user dispatch, so there none is made: says so, and
 * skips. */
static bool can_inject(struct freezer *f)
{
	struct mfd_error err;
	int fd;

	if (userfaultfd_of(f, &fd, &err)) {
		close(fd);
		return true;
	}
	if (err.status != MFD_NO_PERMISSION)
		fail_msg("%d %s", (int)err.status, err.text);
	print_message("%s\n", err.text);
	return false;
}

static bool subject_can_be_injected(struct freeze_subject *s, struct freezer **ret)
{
	*ret = freeze_freezer_new(s->pid, 0);
	if (can_inject(*ret))
		return true;
	freezer_free(*ret);
	freeze_subject_join(s);
	return false;
}

#define START(mode, argument)                                         \
	struct freeze_subject s = freeze_subject_new(mode, argument); \
	struct freezer *f;                                            \
                                                                      \
	(void)state;                                                  \
	if (!subject_can_be_injected(&s, &f))                         \
	SCRATCH_SKIP("no system call may be made in another process here\n")

static void a_userfaultfd_is_of_the_targets_address_space(void **state)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register in = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct mfd_error err;
	void *ours;
	int fd;
	START("count", "3");

	FREEZE_MUST(userfaultfd_of(f, &fd, &err), &err);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(ioctl(fd, UFFDIO_API, &api), 0);
	/* Memory of ours at an address that is free there: if it were ours, this would work. */
	ours = mmap((void *)0x100000000000, 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	in.range.start = (uintptr_t)ours;
	in.range.len = 4096;
	assert_int_equal(ioctl(fd, UFFDIO_REGISTER, &in), -1);
	munmap(ours, 4096);
	close(fd);
	freezer_free(f);
	s.scene->stop = true;
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void the_target_keeps_no_descriptor_and_loses_none(void **state)
{
	struct mfd_error err;
	unsigned before, round;
	char path[64];
	int fd;
	START("count", "3");

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)s.pid);
	before = scratch_entries(path);
	for (round = 0; round < 50; round++) {
		FREEZE_MUST(userfaultfd_of(f, &fd, &err), &err);
		close(fd);
		assert_int_equal(scratch_entries(path), before);
		FREEZE_ASSERT_RUNS(&s, round % 4);
	}
	freezer_free(f);
	assert_int_equal(s.scene->misordered, 0);
	assert_int_equal(freeze_subject_join(&s), 0);
}

/* It has only the one thread, and that is never in a system call. */
static void a_thread_outside_of_system_calls_will_do(void **state)
{
	struct user_regs_struct before, after;
	struct mfd_error err;
	unsigned round;
	size_t count;
	int fd;
	START("spin", "");

	for (round = 0; round < 50; round++) {
		FREEZE_MUST(freezer_freeze(f, &err), &err);
		memcpy(&before, freezer_threads(f, &count)->regs, sizeof(before));
		FREEZE_MUST(freezer_userfaultfd(f, 0, &fd, &err), &err);
		close(fd);
		FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
		FREEZE_ASSERT_RUNS(&s, 0);
		FREEZE_MUST(freezer_freeze(f, &err), &err);
		memcpy(&after, freezer_threads(f, &count)->regs, sizeof(after));
		FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
#ifdef __x86_64__
		assert_true(before.rbx == FREEZE_SCENE_MAGIC && after.rbx == FREEZE_SCENE_MAGIC);
		assert_true(before.rsp == after.rsp && before.rbp == after.rbp);
#endif
	}
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void registers_and_mask_are_put_back(void **state)
{
	const struct frozen_thread *t;
	uint8_t fpregs[8192], regs[512];
	struct mfd_error err;
	uint64_t blocked;
	size_t count;
	int fd;
	START("block", "ppoll");

	FREEZE_MUST(freezer_freeze(f, &err), &err);
	t = freezer_threads(f, &count);
	blocked = t->blocked;
	memcpy(regs, t->regs, t->regs_bytes);
	memcpy(fpregs, t->fpregs, t->fpregs_bytes);
	FREEZE_MUST(freezer_userfaultfd(f, 0, &fd, &err), &err);
	close(fd);
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	FREEZE_UNTIL(freeze_state(s.pid) == 'S');
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	t = freezer_threads(f, &count);
	assert_true(blocked == t->blocked);
	assert_memory_equal(regs, t->regs, t->regs_bytes);
	assert_memory_equal(fpregs, t->fpregs, t->fpregs_bytes);
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	freezer_free(f);
	assert_false(s.scene->done);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void a_blocked_call_goes_on(const char *call, struct freeze_subject *s, struct freezer *f)
{
	struct mfd_error err;
	unsigned round;
	int fd;

	for (round = 0; round < 5; round++) {
		FREEZE_UNTIL(s->scene->done || freeze_state(s->pid) == 'S');
		FREEZE_MUST(userfaultfd_of(f, &fd, &err), &err);
		close(fd);
	}
	/* A wake-up must find it in there. */
	FREEZE_UNTIL(s->scene->done || freeze_state(s->pid) == 'S');
	if (s->scene->done)
		fail_msg("%s returned %d, errno %d", call, (int)s->scene->result,
			 (int)s->scene->error);
	freezer_free(f);
	s->scene->go = true;
	FREEZE_UNTIL(s->scene->done);
	if (freeze_subject_join(s) != 0)
		fail_msg("%s did not return what it should", call);
}

static void the_call_that_a_thread_is_blocked_in_goes_on(void **state)
{
	static const char *const calls[] = {
		"read",       "futex",       "futex-timeout", "poll",        "ppoll",
		"select",     "wait4",
#ifdef __x86_64__
		"epoll_wait", "epoll_pwait", "semop",         "sigwaitinfo", "recv-timeout",
#endif
	};
	size_t i;

	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		START("block", calls[i]);

		a_blocked_call_goes_on(calls[i], &s, f);
	}
}

static void a_sleep_takes_as_long_as_it_should(void **state)
{
	struct mfd_error err;
	int fd;
	START("block", "nanosleep");

	while (!s.scene->done) {
		FREEZE_MUST(userfaultfd_of(f, &fd, &err), &err);
		close(fd);
		usleep(2000); /* a busy machine has to come round to it */
	}
	freezer_free(f);
	assert_int_equal(s.scene->result, 0);
#ifdef __x86_64__
	assert_in_range(s.scene->elapsed_ns, 400000000, 5000000000);
#endif
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void no_signal_is_lost(void **state)
{
	struct mfd_error err;
	unsigned round;
	int sent = 0, fd;
	START("queue", "");

	for (round = 0; round < 300; round++) {
		const union sigval value = { .sival_int = sent };

		sent += sigqueue(s.pid, SIGRTMIN, value) == 0;
		FREEZE_MUST(userfaultfd_of(f, &fd, &err), &err);
		close(fd);
	}
	freezer_free(f);
	FREEZE_UNTIL(s.scene->signals >= (uint64_t)sent);
	assert_int_equal(s.scene->misordered, 0);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void a_timer_storm_loses_no_tick(void **state)
{
	struct mfd_error err;
	unsigned round;
	int fd;
	START("timer", "");

	for (round = 0; round < 300; round++) {
		FREEZE_MUST(userfaultfd_of(f, &fd, &err), &err);
		close(fd);
	}
	freezer_free(f);
	s.scene->stop = true;
	FREEZE_UNTIL(s.scene->done);
	assert_in_range(s.scene->signals, (uint64_t)s.scene->result, (uint64_t)s.scene->result + 1);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void a_stopped_process_stays_stopped(void **state)
{
	struct mfd_error err;
	int fd, status;
	START("count", "3");

	kill(s.pid, SIGSTOP);
	assert_int_equal(waitpid(s.pid, &status, WUNTRACED), s.pid);
	FREEZE_MUST(userfaultfd_of(f, &fd, &err), &err);
	close(fd);
	FREEZE_UNTIL(freeze_state(s.pid) == 'T');
	/* And one that is stopped while it is frozen stops afterwards. */
	kill(s.pid, SIGCONT);
	FREEZE_ASSERT_RUNS(&s, 2);
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	kill(s.pid, SIGSTOP);
	FREEZE_MUST(freezer_userfaultfd(f, 0, &fd, &err), &err);
	close(fd);
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	FREEZE_UNTIL(freeze_state(s.pid) == 'T');
	kill(s.pid, SIGCONT);
	FREEZE_ASSERT_RUNS(&s, 1);
	FREEZE_ASSERT_RUNS(&s, 3);
	freezer_free(f);
	assert_int_equal(s.scene->misordered, 0);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void an_error_of_the_call_is_reported_and_harmless(void **state)
{
	struct mfd_error err;
	int fd = -1;
	START("count", "1");

	FREEZE_MUST(freezer_freeze(f, &err), &err);
	assert_false(freezer_userfaultfd(f, 0x40000000, &fd, &err));
	assert_int_equal(err.os_errno, EINVAL);
	assert_int_equal(fd, -1);
	assert_true(freezer_holds(f));
	FREEZE_MUST(freezer_userfaultfd(f, 0, &fd, &err), &err);
	close(fd);
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	FREEZE_ASSERT_RUNS(&s, 1);
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void nothing_is_made_in_a_process_that_is_not_frozen_any_more(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "1");
	struct freezer *f = freeze_freezer_new(s.pid, 300);
	struct mfd_error err;
	int fd;

	(void)state;
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	FREEZE_UNTIL(freezer_expired(f));
	assert_false(freezer_userfaultfd(f, 0, &fd, &err));
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	assert_true(freezer_expired(f));
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void assert_never_made(const char *mode, const char *words)
{
	struct freeze_subject s = freeze_subject_new(mode, "");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	struct mfd_error err;
	int fd;

	if (s.scene->result != 0) {
		freezer_free(f);
		freeze_subject_join(&s);
		SCRATCH_SKIP("this kernel has no %s\n", mode);
	}
	assert_false(userfaultfd_of(f, &fd, &err));
	assert_int_equal(err.status, MFD_NO_PERMISSION);
	assert_non_null(strstr(err.text, words));
	FREEZE_ASSERT_RUNS(&s, 0);
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void nothing_is_made_behind_a_seccomp_filter(void **state)
{
	(void)state;
	assert_never_made("seccomp", "seccomp filter");
}

static void nothing_is_made_under_syscall_user_dispatch(void **state)
{
	(void)state;
	assert_never_made("dispatch", "syscall user dispatch");
}

/* ---- The choice of the thread, on memory of our own. ---- */

#ifdef __x86_64__
static void a_thread_inside_a_restartable_sequence_is_passed_over(void **state)
{
	_Alignas(32) struct {
		uint32_t version, flags;
		uint64_t start, length, abort;
	} sequence = { 0, 0, 0x1000, 0x40, 0x2000 };
	struct {
		uint32_t cpu_start, cpu;
		uint64_t sequence;
	} rseq = { 0, 0, (uintptr_t)&sequence };
	struct user_regs_struct inside = { .rip = 0x103f, .orig_rax = (unsigned long long)-1 };
	struct user_regs_struct behind = { .rip = 0x1040, .orig_rax = (unsigned long long)-1 };
	struct user_regs_struct calling = { .rip = 0x1000, .orig_rax = 0 };
	struct inject_candidate c[] = {
		{ .tid = 1, .rseq = (uintptr_t)&rseq, .regs = &inside },
		{ .tid = 2, .rseq = (uintptr_t)&rseq, .regs = &behind },
		{ .tid = 3, .rseq = (uintptr_t)&rseq, .regs = &calling },
	};
	struct guardian_request request = { 0 };
	struct mfd_error err;

	(void)state;
	assert_false(inject_plan(getpid(), c, 1, &request, &err));
	assert_int_equal(err.status, MFD_UNAVAILABLE);
	FREEZE_MUST(inject_plan(getpid(), c, 2, &request, &err), &err);
	assert_int_equal(request.tid, 2);
	/* Best is one that the kernel has saved at a call. */
	FREEZE_MUST(inject_plan(getpid(), c, 3, &request, &err), &err);
	assert_int_equal(request.tid, 3);
	/* What can't be read may be anything. */
	c[0].rseq = 8;
	assert_false(inject_plan(getpid(), c, 1, &request, &err));
	c[0].rseq = 0;
	FREEZE_MUST(inject_plan(getpid(), c, 1, &request, &err), &err);
	assert_memory_equal((const void *)(uintptr_t)request.instruction, "\x0f\x05", 2);
}

static void any_thread_that_must_not_be_used_refuses_for_all(void **state)
{
	struct user_regs_struct calling = { .orig_rax = 0 };
	struct inject_candidate c[] = { { .tid = 1, .regs = &calling },
					{ .tid = 2, .regs = &calling } };
	struct guardian_request request = { 0 };
	struct mfd_error err;

	(void)state;
	FREEZE_MUST(inject_plan(getpid(), c, 2, &request, &err), &err);
	c[1].dispatch = GUARDIAN_DISPATCH_UNKNOWN;
	assert_false(inject_plan(getpid(), c, 2, &request, &err));
	assert_int_equal(err.status, MFD_NO_PERMISSION);
	c[1].dispatch = GUARDIAN_DISPATCH_OFF;
	c[1].seccomp = true;
	assert_false(inject_plan(getpid(), c, 2, &request, &err));
	assert_int_equal(err.status, MFD_NO_PERMISSION);
	assert_non_null(strstr(err.text, "thread 2"));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_userfaultfd_is_of_the_targets_address_space),
		cmocka_unit_test(the_target_keeps_no_descriptor_and_loses_none),
		cmocka_unit_test(a_thread_outside_of_system_calls_will_do),
		cmocka_unit_test(registers_and_mask_are_put_back),
		cmocka_unit_test(the_call_that_a_thread_is_blocked_in_goes_on),
		cmocka_unit_test(a_sleep_takes_as_long_as_it_should),
		cmocka_unit_test(no_signal_is_lost),
		cmocka_unit_test(a_timer_storm_loses_no_tick),
		cmocka_unit_test(a_stopped_process_stays_stopped),
		cmocka_unit_test(an_error_of_the_call_is_reported_and_harmless),
		cmocka_unit_test(nothing_is_made_in_a_process_that_is_not_frozen_any_more),
		cmocka_unit_test(nothing_is_made_behind_a_seccomp_filter),
		cmocka_unit_test(nothing_is_made_under_syscall_user_dispatch),
#ifdef __x86_64__
		cmocka_unit_test(a_thread_inside_a_restartable_sequence_is_passed_over),
		cmocka_unit_test(any_thread_that_must_not_be_used_refuses_for_all),
#endif
	};

	return scratch_result(cmocka_run_group_tests(tests, NULL, NULL));
}
