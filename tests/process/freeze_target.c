/* SPDX-License-Identifier: MIT */
/*
 * A process to be frozen: freeze_target MODE [ARGUMENT].  What it does and sees stands in the scene
 * that it shares with the test.  Built without sanitizers, whose runtimes have threads and signal
 * handling of their own.
 *
 *	count N		N threads besides the first count and sleep in turn
 *	spin		the only thread counts and makes no system call
 *	spawn		threads that start threads, as fast as they can
 *	block CALL	the first thread is inside CALL until the test says go
 *	queue		signals with numbers are counted, and whether one is missing or comes twice
 *	timer		a timer of 200 us is held against the clock
 *	seccomp		like spin, behind a seccomp filter that allows everything
 *	dispatch	like spin, with syscall user dispatch on
 *	vfork		the first thread waits for a vfork(2) child that does not go
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "freeze_target.h"

struct freeze_scene *scene;

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void nap(long ns)
{
	struct timespec left = { 0, ns };

	/* Not "until it succeeds": a sleep that ended early must not go unseen. */
	if (nanosleep(&left, NULL) != 0)
		scene->misordered++;
}

/* ---- count, spin, spawn ---- */

static void *count_along(void *counter)
{
	while (!scene->stop) {
		(*(_Atomic uint64_t *)counter)++;
		nap(200000);
	}
	return NULL;
}

void count_signal(int signal)
{
	if (signal == SIGCONT)
		scene->continues++;
	else
		scene->signals++;
}

static int mode_count(unsigned threads)
{
	struct sigaction action = { .sa_handler = count_signal, .sa_flags = SA_RESTART };
	pthread_t thread[FREEZE_SCENE_COUNTERS];
	sigset_t handled, before;
	unsigned i;

	/* The first thread handles the signals, and does nothing that they could interrupt. */
	sigemptyset(&handled);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGCONT);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGCONT, &action, NULL);
	pthread_sigmask(SIG_BLOCK, &handled, &before);
	for (i = 1; i <= threads; i++)
		if (pthread_create(&thread[i], NULL, count_along, &scene->counter[i]) != 0)
			return 1;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	scene->ready = true;
	while (!scene->stop) {
		scene->counter[0]++;
		sched_yield();
		usleep(100);
	}
	for (i = 1; i <= threads; i++)
		pthread_join(thread[i], NULL);
	scene->descriptor_limit = dup(0);
	return scene->misordered != 0;
}

static int mode_spin(void)
{
	register uint64_t value = FREEZE_SCENE_MAGIC;

	scene->ready = true;
	while (!atomic_load_explicit(&scene->stop, memory_order_relaxed)) {
		atomic_fetch_add_explicit(&scene->counter[0], 1, memory_order_relaxed);
#ifdef __x86_64__
		/* In rbx whenever it is stopped in here, which is nearly all the time. */
		__asm__ volatile("mov %0, %%rbx\n\tmov $2000, %%ecx\n1:\tdec %%ecx\n\tjnz 1b"
				 :
				 : "r"(value)
				 : "rbx", "ecx", "cc");
#endif
	}
	return value != FREEZE_SCENE_MAGIC;
}

static void *spawn_chain(void *counter)
{
	pthread_attr_t attributes;
	pthread_t next;

	(*(_Atomic uint64_t *)counter)++;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	while (!scene->stop && pthread_create(&next, &attributes, spawn_chain, counter) != 0)
		sched_yield();
	pthread_attr_destroy(&attributes);
	return NULL;
}

static int mode_spawn(void)
{
	unsigned i;

	for (i = 1; i <= 3; i++)
		spawn_chain(&scene->counter[i]);
	scene->ready = true;
	while (!scene->stop) {
		scene->counter[0]++;
		nap(200000);
	}
	return 0;
}

/* ---- queue, timer, vfork ---- */

static void queue_take(int signal, siginfo_t *info, void *context)
{
	const uint64_t expected = scene->signals++;

	(void)signal;
	(void)context;
	if ((uint64_t)info->si_value.sival_int != expected)
		scene->misordered++;
}

static int mode_queue(void)
{
	struct sigaction action = { .sa_sigaction = queue_take,
				    .sa_flags = SA_SIGINFO | SA_RESTART };

	sigaction(SIGRTMIN, &action, NULL);
	scene->ready = true;
	while (!scene->stop) {
		scene->counter[0]++;
		if (scene->counter[0] % 4 == 0)
			usleep(50);
	}
	return scene->misordered != 0;
}

static timer_t storm;

static void timer_tick(int signal)
{
	(void)signal;
	/* This one, and those that came while it was pending. */
	scene->signals += 1 + (uint64_t)timer_getoverrun(storm);
}

static int mode_timer(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
	const struct itimerspec every = { { 0, 200000 }, { 0, 200000 } },
				never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = timer_tick, .sa_flags = SA_RESTART };
	struct itimerspec ignored;
	uint64_t began, ended;
	sigset_t set;

	sigaction(SIGRTMIN, &action, NULL);
	if (timer_create(CLOCK_MONOTONIC, &event, &storm) != 0)
		return 2;
	scene->elapsed_ns = (int64_t)now_ns();
	timer_settime(storm, 0, &every, NULL);
	began = now_ns();
	scene->ready = true;
	while (!scene->stop)
		scene->counter[0]++;
	/* What has come until here is pending or handled: then it is handled. */
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	ended = now_ns();
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	timer_settime(storm, 0, &never, &ignored);
	/* At least, and at most: nobody knows when exactly it began. */
	scene->result = (int64_t)((ended - began) / 200000);
	scene->elapsed_ns = ((int64_t)now_ns() - scene->elapsed_ns) / 200000;
	scene->done = true;
	return 0;
}

static int mode_vfork(void)
{
	pid_t child;

	scene->ready = true;
	child = vfork();
	if (child == 0) {
		while (!scene->go)
			usleep(1000);
		_exit(0);
	}
	scene->done = true;
	while (!scene->stop) {
		scene->counter[0]++;
		usleep(100);
	}
	return 0;
}

static int mode_seccomp(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog filter = { .len = 1, .filter = &allow };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
		scene->result = -1;
	return mode_spin();
}

static int mode_dispatch(void)
{
	static char allow_all; /* SYSCALL_DISPATCH_FILTER_ALLOW */

	/* PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON */
	if (prctl(59, 1, 0, 0, &allow_all) != 0)
		scene->result = -1;
	return mode_spin();
}

/* Whoever started the test may ignore or block some, and that is inherited. */
static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 1; i <= SIGRTMAX; i++)
		signal(i, SIG_DFL);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "", *argument = argc > 2 ? argv[2] : "";

	/* However the test ends. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	reset_signals();
	scene = mmap(NULL, sizeof(*scene), PROT_READ | PROT_WRITE, MAP_SHARED, FREEZE_SCENE_FD, 0);
	if (scene == MAP_FAILED)
		return 2;
	close(FREEZE_SCENE_FD);
	if (!strcmp(mode, "count"))
		return mode_count((unsigned)atoi(argument));
	if (!strcmp(mode, "spin"))
		return mode_spin();
	if (!strcmp(mode, "spawn"))
		return mode_spawn();
	if (!strcmp(mode, "block"))
		return mode_block(argument);
	if (!strcmp(mode, "queue"))
		return mode_queue();
	if (!strcmp(mode, "timer"))
		return mode_timer();
	if (!strcmp(mode, "seccomp"))
		return mode_seccomp();
	if (!strcmp(mode, "dispatch"))
		return mode_dispatch();
	if (!strcmp(mode, "vfork"))
		return mode_vfork();
	return 2;
}
