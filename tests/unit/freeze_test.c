/* SPDX-License-Identifier: MIT */
/*
 * Freezing a process: all of its threads, for as long as wanted and no longer; and who is refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "freeze_fixture.h"
#include "scratch.h"

/* ---- Frozen is frozen. ---- */

static void counters_of(const struct freeze_subject *s, uint64_t ret[static FREEZE_SCENE_COUNTERS])
{
	size_t i;

	for (i = 0; i < FREEZE_SCENE_COUNTERS; i++)
		ret[i] = s->scene->counter[i];
}

static void a_frozen_process_does_not_move_and_a_thawed_one_does(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "7");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	uint64_t before[FREEZE_SCENE_COUNTERS], after[FREEZE_SCENE_COUNTERS], frozen_ns, began;
	const struct frozen_thread *threads;
	struct mfd_error err;
	size_t count, i;

	(void)state;
	FREEZE_ASSERT_RUNS(&s, 7);
	began = clock_ns();
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	counters_of(&s, before);
	usleep(30000);
	counters_of(&s, after);
	assert_memory_equal(before, after, sizeof(before));
	assert_true(freezer_holds(f));
	threads = freezer_threads(f, &count);
	assert_int_equal(count, 8);
	assert_int_equal(threads[0].tid, s.pid);
	FREEZE_MUST(freezer_thaw(f, &frozen_ns, &err), &err);
	assert_in_range(frozen_ns, 30000000, clock_ns() - began);
	assert_false(freezer_holds(f));
	assert_false(freezer_expired(f));
	for (i = 0; i <= 7; i++)
		FREEZE_ASSERT_RUNS(&s, i);
	assert_false(freeze_is_traced(s.pid));
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void freeing_a_freezer_thaws(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "2");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	struct mfd_error err;

	(void)state;
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	freezer_free(f);
	FREEZE_ASSERT_RUNS(&s, 2);
	assert_int_equal(freeze_find_guardian(getpid()), 0);
	assert_int_equal(freeze_subject_join(&s), 0);
	freezer_free(NULL);
}

static bool is_held(const struct freezer *f, pid_t tid)
{
	const struct frozen_thread *threads;
	size_t count, i;

	threads = freezer_threads(f, &count);
	for (i = 0; i < count && threads[i].tid != tid; i++)
		;
	return i < count;
}

/* Every thread that /proc lists is held, or is one that has exited and is being cleared away. */
static void assert_all_held(pid_t pid, const struct freezer *f)
{
	const struct dirent *entry;
	char path[64], state;
	DIR *tasks;
	pid_t tid;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	assert_non_null(tasks);
	while ((entry = readdir(tasks))) {
		tid = (pid_t)atoi(entry->d_name);
		if (tid > 0 && is_held(f, tid))
			assert_int_equal(freeze_state(tid), 't');
		else if (tid > 0 && !strchr("ZX", state = freeze_state(tid)))
			fail_msg("thread %d is not held, its state is %c (now %c)", (int)tid, state,
				 freeze_state(tid));
	}
	closedir(tasks);
}

static void threads_that_appear_while_it_is_being_stopped_are_caught(void **state)
{
	struct freeze_subject s = freeze_subject_new("spawn", "");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	uint64_t chains[3];
	struct mfd_error err;
	unsigned round, i;

	(void)state;
	for (round = 0; round < 200; round++) {
		FREEZE_MUST(freezer_freeze(f, &err), &err);
		assert_all_held(s.pid, f);
		for (i = 0; i < 3; i++)
			chains[i] = s.scene->counter[1 + i];
		usleep(500);
		for (i = 0; i < 3; i++)
			assert_int_equal(s.scene->counter[1 + i], chains[i]);
		FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
		FREEZE_ASSERT_RUNS(&s, 1 + round % 3);
	}
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void registers_are_those_of_the_thread(void **state)
{
	struct freeze_subject s = freeze_subject_new("spin", "");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	const struct frozen_thread *t;
	struct user_regs_struct regs;
	struct mfd_error err;
	size_t count;

	(void)state;
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	t = freezer_threads(f, &count);
	assert_int_equal(count, 1);
	assert_string_equal(t->comm, "freeze_target");
	assert_int_equal(t->regs_bytes, sizeof(regs));
	assert_true(t->fpregs_bytes > 0);
	assert_int_equal(t->siginfo.si_signo, 0);
	memcpy(&regs, t->regs, sizeof(regs));
#ifdef __x86_64__
	assert_true(regs.rbx == FREEZE_SCENE_MAGIC);
	assert_int_equal(t->extras, 1);
	assert_int_equal(t->extra[0].type, NT_X86_XSTATE);
	/* The legacy area of the one is the other. */
	assert_memory_equal(t->extra[0].data, t->fpregs, 24);
#endif
	/* Also when it runs again. */
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	assert_memory_equal(freezer_threads(f, &count)->regs, &regs, sizeof(regs));
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void many_threads_are_held_and_let_go(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "63");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	struct mfd_error err;
	size_t count, i;

	(void)state;
	for (i = 0; i < 20; i++) {
		FREEZE_MUST(freezer_freeze(f, &err), &err);
		freezer_threads(f, &count);
		assert_int_equal(count, 64);
		FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	}
	for (i = 0; i < 64; i++)
		FREEZE_ASSERT_RUNS(&s, i);
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

/* ---- The bound. ---- */

static void the_bound_ends_a_freeze_and_the_next_one_works(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "3");
	struct freezer *f = freeze_freezer_new(s.pid, 300);
	struct mfd_error err;
	uint64_t frozen_ns;

	(void)state;
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	FREEZE_ASSERT_RUNS(&s, 3);
	assert_true(freezer_expired(f));
	assert_false(freezer_holds(f));
	FREEZE_MUST(freezer_thaw(f, &frozen_ns, &err), &err);
	assert_true(freezer_expired(f));
	assert_in_range(frozen_ns, 300000000, FREEZE_PATIENCE_NS);

	FREEZE_MUST(freezer_freeze(f, &err), &err);
	FREEZE_MUST(freezer_thaw(f, &frozen_ns, &err), &err);
	assert_true(freezer_expired(f) == (frozen_ns >= 300000000));
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void a_thread_in_uninterruptible_sleep_is_named_and_everything_released(void **state)
{
	struct freeze_subject s = freeze_subject_new("vfork", "");
	struct freezer *f = freeze_freezer_new(s.pid, 300);
	struct mfd_error err;

	(void)state;
	FREEZE_UNTIL(freeze_state(s.pid) == 'D');
	assert_false(freezer_freeze(f, &err));
	assert_int_equal(err.status, MFD_TRY_AGAIN);
	assert_non_null(strstr(err.text, "uninterruptible"));
	FREEZE_UNTIL(!freeze_is_traced(s.pid));
	s.scene->go = true;
	FREEZE_ASSERT_RUNS(&s, 0);
	/* And once it is out of there, it can be frozen: by another guardian. */
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

/* ---- It ends, or becomes another. ---- */

static void a_process_killed_while_frozen_is_reported(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "3");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	struct mfd_error err;

	(void)state;
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	kill(s.pid, SIGKILL);
	/* Its parent gets it at once, not only after the thaw. */
	assert_true(WIFSIGNALED(freeze_subject_join(&s)));
	FREEZE_UNTIL(!freezer_holds(f));
	assert_false(freezer_expired(f));
	assert_false(freezer_thaw(f, NULL, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	assert_false(freezer_freeze(f, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	assert_non_null(strstr(err.text, "has exited"));
	freezer_free(f);
}

static void another_program_in_its_place_is_not_frozen(void **state)
{
	struct freeze_subject s = { 0 };
	struct freezer *f;
	struct mfd_error err;
	int go[2], fd;
	char byte;

	(void)state;
	s.scene = freeze_scene_new(&fd);
	assert_int_equal(pipe(go), 0);
	s.pid = freeze_fork();
	if (s.pid == 0) {
		close(go[1]);
		if (read(go[0], &byte, 1) == 0)
			freeze_exec(fd, "count", "1");
		_exit(1);
	}
	close(fd);
	f = freeze_freezer_new(s.pid, 0);
	FREEZE_MUST(freezer_same(f, &err), &err);
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	close(go[0]);
	close(go[1]);
	FREEZE_UNTIL(s.scene->ready);
	assert_false(freezer_same(f, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	assert_non_null(strstr(err.text, "executed another program"));
	assert_false(freezer_freeze(f, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	FREEZE_ASSERT_RUNS(&s, 1);
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

/* ---- PID namespaces. ---- */

static void a_process_in_a_child_pid_namespace_has_its_own_numbers(void **state)
{
	const struct frozen_thread *threads;
	struct freeze_subject s;
	struct mfd_error err;
	struct freezer *f;
	int ends[2], fd, status;
	size_t count, i;
	pid_t outer;

	(void)state;
	s.scene = freeze_scene_new(&fd);
	assert_int_equal(pipe(ends), 0);
	outer = freeze_fork();
	if (outer == 0) {
		if (unshare(CLONE_NEWPID) != 0)
			_exit(77);
		s.pid = fork();
		if (s.pid == 0)
			freeze_exec(fd, "count", "3");
		if (write(ends[1], &s.pid, sizeof(s.pid)) != sizeof(s.pid) ||
		    waitpid(s.pid, &status, 0) < 0)
			_exit(1);
		_exit(WEXITSTATUS(status));
	}
	close(fd);
	close(ends[1]);
	if (read(ends[0], &s.pid, sizeof(s.pid)) != sizeof(s.pid)) {
		waitpid(outer, &status, 0);
		SCRATCH_SKIP("no new PID namespace may be made here\n");
	}
	FREEZE_UNTIL(s.scene->ready);
	f = freeze_freezer_new(s.pid, 0);
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	threads = freezer_threads(f, &count);
	assert_int_equal(count, 4);
	assert_int_equal(threads[0].own_tid, 1);
	assert_int_equal(threads[0].tid, s.pid);
	/* A number may have been skipped, if a clone(2) was begun again. */
	for (i = 1; i < count; i++)
		assert_in_range(threads[i].own_tid, threads[i - 1].own_tid + 1, 100);
	freezer_free(f);
	FREEZE_ASSERT_RUNS(&s, 3);
	s.scene->stop = true;
	assert_int_equal(waitpid(outer, &status, 0), outer);
	assert_int_equal(status, 0);
	munmap(s.scene, sizeof(*s.scene));
	close(ends[0]);
}

/* ---- Refusals. ---- */

static void assert_refused(pid_t pid, enum mfd_status status, const char *words)
{
	struct freezer *f = NULL;
	struct mfd_error err = { 0 };

	if (freezer_new(pid, 0, &f, &err))
		fail_msg("process %d is not refused", (int)pid);
	assert_null(f);
	if (err.status != status || !strstr(err.text, words))
		fail_msg("%d \"%s\", not %d \"%s\"", (int)err.status, err.text, (int)status, words);
}

static void no_such_process_is_refused(void **state)
{
	(void)state;
	assert_refused(0x3fffffff, MFD_NO_INPUT, "there is no process");
	assert_refused(0, MFD_NO_INPUT, "there is no process");
	assert_refused(-1, MFD_NO_INPUT, "there is no process");
}

static void a_zombie_is_refused(void **state)
{
	pid_t pid = freeze_fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	FREEZE_UNTIL(freeze_state(pid) == 'Z');
	assert_refused(pid, MFD_NO_INPUT, "zombie");
	waitpid(pid, NULL, 0);
}

static void ourselves_and_threads_and_kernel_threads_are_refused(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "1");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	struct mfd_error err;
	char value[256];
	size_t count;

	(void)state;
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	assert_refused(freezer_threads(f, &count)[1].tid, MFD_NO_INPUT, "is a thread of process");
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
	assert_refused(getpid(), MFD_USAGE, "this one");
	/* Not in a container. */
	if (!strcmp(freeze_status(2, "Name", value), "kthreadd"))
		assert_refused(2, MFD_NO_INPUT, "kernel thread");
}

static void one_that_is_traced_already_is_refused_and_the_tracer_named(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "1");
	char words[512], value[256];
	pid_t tracer = freeze_fork();

	(void)state;
	if (tracer == 0) {
		if (ptrace(PTRACE_SEIZE, s.pid, NULL, NULL) != 0)
			_exit(1);
		for (;;)
			pause();
	}
	FREEZE_UNTIL(freeze_is_traced(s.pid));
	snprintf(words, sizeof(words), "already traced, by process %d (%s)", (int)tracer,
		 freeze_status(tracer, "Name", value));
	assert_refused(s.pid, MFD_NO_PERMISSION, words);
	kill(tracer, SIGKILL);
	waitpid(tracer, NULL, 0);
	freezer_free(freeze_freezer_new(s.pid, 0));
	assert_int_equal(freeze_subject_join(&s), 0);
}

/* Traced only after it had been looked at: the freeze itself finds out, and releases. */
static void one_thread_traced_by_another_fails_the_freeze_and_not_the_next(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "2");
	struct freezer *f = freeze_freezer_new(s.pid, 0);
	const struct frozen_thread *threads;
	struct mfd_error err;
	pid_t tracer, last;
	size_t count;

	(void)state;
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	threads = freezer_threads(f, &count);
	last = threads[count - 1].tid;
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	tracer = freeze_fork();
	if (tracer == 0) {
		if (ptrace(PTRACE_SEIZE, last, NULL, NULL) != 0)
			_exit(1);
		for (;;)
			pause();
	}
	FREEZE_UNTIL(freeze_is_traced(last));
	assert_false(freezer_freeze(f, &err));
	assert_int_equal(err.status, MFD_NO_PERMISSION);
	assert_non_null(strstr(err.text, "already traced"));
	FREEZE_ASSERT_RUNS(&s, 0);
	FREEZE_ASSERT_RUNS(&s, 2);
	kill(tracer, SIGKILL);
	waitpid(tracer, NULL, 0);
	FREEZE_MUST(freezer_freeze(f, &err), &err);
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void somebody_elses_process_is_refused_with_what_it_takes(void **state)
{
	struct freeze_subject s;
	struct freezer *f = NULL;
	struct mfd_error err;
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		SCRATCH_SKIP("only root can become somebody else\n");
	s = freeze_subject_new("count", "1");
	pid = freeze_fork();
	if (pid == 0) {
		if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
			_exit(1);
		if (freezer_new(s.pid, 0, &f, &err))
			_exit(2);
		_exit(err.status == MFD_NO_PERMISSION && strstr(err.text, "CAP_SYS_PTRACE") ? 0
											    : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(freeze_subject_join(&s), 0);
}

#ifdef __x86_64__
/* A 32-bit program in 96 bytes: pause() for ever. */
static size_t make_32bit(uint8_t image[static 128])
{
	static const uint8_t code[] = { 0xb8, 29, 0, 0, 0, 0xcd, 0x80, 0xeb, 0xf7 };
	const Elf32_Ehdr header = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_version = EV_CURRENT,
		.e_entry = 0x8048000 + 84,
		.e_phoff = 52,
		.e_ehsize = 52,
		.e_phentsize = 32,
		.e_phnum = 1,
	};
	const Elf32_Phdr segment = {
		.p_type = PT_LOAD,
		.p_vaddr = 0x8048000,
		.p_paddr = 0x8048000,
		.p_filesz = 84 + sizeof(code),
		.p_memsz = 84 + sizeof(code),
		.p_flags = PF_R | PF_X,
		.p_align = 4096,
	};

	memcpy(image, &header, 52);
	memcpy(image + 52, &segment, 32);
	memcpy(image + 84, code, sizeof(code));
	return 84 + sizeof(code);
}

static void a_32_bit_process_is_refused(void **state)
{
	struct scratch scratch;
	uint8_t image[128];
	size_t size = make_32bit(image);
	char path[64];
	pid_t pid;
	int status;

	(void)state;
	assert_int_equal(scratch_new(&scratch), 0);
	assert_true(scratch_put(scratch_at(&scratch, "small"), image, size, 0700));
	pid = freeze_fork();
	if (pid == 0) {
		execl(scratch_at(&scratch, "small"), "small", NULL);
		_exit(77);
	}
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	FREEZE_UNTIL((status = waitpid(pid, NULL, WNOHANG)) != 0 ||
		     scratch_holds(path, image, size));
	if (status == 0)
		assert_refused(pid, MFD_CONFIG, "32-bit");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	scratch_free(&scratch);
	if (status != 0)
		SCRATCH_SKIP("this kernel runs no 32-bit programs\n");
}
#endif

/* ---- The guardian's manners. ---- */

static void the_guardian_holds_no_descriptors_of_its_parents(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "1");
	struct freezer *f;
	char path[64], byte;
	pid_t guardian;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	f = freeze_freezer_new(s.pid, 0);
	close(ends[1]);
	/* The end comes although the guardian lives. */
	assert_int_equal(read(ends[0], &byte, 1), 0);
	FREEZE_UNTIL((guardian = freeze_find_guardian(getpid())) != 0);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)guardian);
	if (geteuid() == 0) /* else nobody may look */
		FREEZE_UNTIL(scratch_entries(path) == 8);
	close(ends[0]);
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

static void *churn(void *stop)
{
	void *some[64] = { NULL };
	unsigned i = 0;

	while (!*(atomic_bool *)stop) {
		free(some[i % 64]);
		some[i % 64] = malloc(16 + i % 5000);
		i++;
	}
	for (i = 0; i < 64; i++)
		free(some[i]);
	return NULL;
}

/* Another thread holds malloc()'s lock in the moment of the fork, sooner or later. */
static void a_program_with_threads_can_freeze(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "1");
	atomic_bool stop = false;
	pthread_t thread[2];
	struct mfd_error err;
	struct freezer *f;
	unsigned round;

	(void)state;
	assert_int_equal(pthread_create(&thread[0], NULL, churn, &stop), 0);
	assert_int_equal(pthread_create(&thread[1], NULL, churn, &stop), 0);
	for (round = 0; round < 50; round++) {
		f = freeze_freezer_new(s.pid, 0);
		FREEZE_MUST(freezer_freeze(f, &err), &err);
		FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
		freezer_free(f);
	}
	stop = true;
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	assert_int_equal(freeze_subject_join(&s), 0);
}

/* The one that forks the guardian: the kernel takes a thread for a parent, if asked wrongly. */
static void *freeze_in_a_thread(void *subject)
{
	struct freezer *f = NULL;
	struct mfd_error err;

	if (!freezer_new(((const struct freeze_subject *)subject)->pid, 0, &f, &err))
		return NULL;
	if (freezer_freeze(f, &err))
		return f;
	freezer_free(f);
	return NULL;
}

static void the_end_of_the_thread_that_froze_is_not_the_end_of_the_freeze(void **state)
{
	struct freeze_subject s = freeze_subject_new("count", "1");
	struct mfd_error err;
	pthread_t thread;
	uint64_t before;
	void *f;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, freeze_in_a_thread, &s), 0);
	pthread_join(thread, &f);
	assert_non_null(f);
	before = s.scene->counter[1];
	usleep(10000);
	assert_int_equal(s.scene->counter[1], before);
	assert_true(freezer_holds(f));
	FREEZE_MUST(freezer_thaw(f, NULL, &err), &err);
	freezer_free(f);
	assert_int_equal(freeze_subject_join(&s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frozen_process_does_not_move_and_a_thawed_one_does),
		cmocka_unit_test(freeing_a_freezer_thaws),
		cmocka_unit_test(threads_that_appear_while_it_is_being_stopped_are_caught),
		cmocka_unit_test(registers_are_those_of_the_thread),
		cmocka_unit_test(many_threads_are_held_and_let_go),
		cmocka_unit_test(the_bound_ends_a_freeze_and_the_next_one_works),
		cmocka_unit_test(
			a_thread_in_uninterruptible_sleep_is_named_and_everything_released),
		cmocka_unit_test(a_process_killed_while_frozen_is_reported),
		cmocka_unit_test(another_program_in_its_place_is_not_frozen),
		cmocka_unit_test(a_process_in_a_child_pid_namespace_has_its_own_numbers),
		cmocka_unit_test(no_such_process_is_refused),
		cmocka_unit_test(a_zombie_is_refused),
		cmocka_unit_test(ourselves_and_threads_and_kernel_threads_are_refused),
		cmocka_unit_test(one_that_is_traced_already_is_refused_and_the_tracer_named),
		cmocka_unit_test(one_thread_traced_by_another_fails_the_freeze_and_not_the_next),
		cmocka_unit_test(somebody_elses_process_is_refused_with_what_it_takes),
#ifdef __x86_64__
		cmocka_unit_test(a_32_bit_process_is_refused),
#endif
		cmocka_unit_test(the_guardian_holds_no_descriptors_of_its_parents),
		cmocka_unit_test(a_program_with_threads_can_freeze),
		cmocka_unit_test(the_end_of_the_thread_that_froze_is_not_the_end_of_the_freeze),
	};

	return scratch_result(cmocka_run_group_tests(tests, NULL, NULL));
}
