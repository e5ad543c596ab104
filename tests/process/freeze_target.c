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
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <netinet/in.h>

#include "freeze_scene.h"

static struct freeze_scene *scene;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void nap(long ns)
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

static void count_signal(int signal)
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

/* ---- block ---- */

struct blocking {
	const char *name;
	long (*call)(void);
	void (*wake)(void);
	long result;
};

static int ends[2], queue_id, futex_word;

static void wake_write(void)
{
	if (write(ends[1], "x", 1) != 1)
		abort();
}

static long call_read(void)
{
	char byte;

	return read(ends[0], &byte, 1);
}

static long call_write(void)
{
	char bytes[4096] = { 0 };

	/* Filled up to the last byte before, without blocking. */
	return write(ends[1], bytes, sizeof(bytes));
}

static void wake_drain(void)
{
	char bytes[65536];

	if (read(ends[0], bytes, sizeof(bytes)) <= 0)
		abort();
}

static long call_nanosleep(void)
{
	struct timespec t = { 0, 400000000 };

	return nanosleep(&t, NULL);
}

static void wake_nothing(void)
{
}

static long call_futex(void)
{
	return syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static long call_futex_timeout(void)
{
	struct timespec t = { 60, 0 };

	return syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, &t, NULL, 0);
}

static void wake_futex(void)
{
	syscall(SYS_futex, &futex_word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int epoll_of(int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0);

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	return epoll;
}

static long call_epoll(void)
{
	struct epoll_event event;

	return epoll_wait(epoll_of(ends[0]), &event, 1, -1);
}

static long call_epoll_pwait(void)
{
	struct epoll_event event;
	sigset_t mask;

	sigemptyset(&mask);
	return epoll_pwait(epoll_of(ends[0]), &event, 1, 60000, &mask);
}

static long call_poll(void)
{
	struct pollfd p = { .fd = ends[0], .events = POLLIN };

	return poll(&p, 1, 60000);
}

static long call_ppoll(void)
{
	struct pollfd p = { .fd = ends[0], .events = POLLIN };
	sigset_t mask;

	sigemptyset(&mask);
	return ppoll(&p, 1, NULL, &mask);
}

static long call_select(void)
{
	struct timeval t = { 60, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(ends[0], &set);
	return select(ends[0] + 1, &set, NULL, NULL, &t);
}

static long call_semop(void)
{
	struct sembuf down = { 0, -1, 0 };

	return semop(queue_id, &down, 1);
}

static long call_semtimedop(void)
{
	struct sembuf down = { 0, -1, 0 };
	struct timespec t = { 60, 0 };

	return semtimedop(queue_id, &down, 1, &t);
}

static void wake_semop(void)
{
	struct sembuf up = { 0, 1, 0 };

	semop(queue_id, &up, 1);
}

static long call_msgrcv(void)
{
	struct {
		long type;
		char text[8];
	} message;

	return msgrcv(queue_id, &message, sizeof(message.text), 0, 0);
}

static void wake_msgsnd(void)
{
	struct {
		long type;
		char text[8];
	} message = { 1, "x" };

	msgsnd(queue_id, &message, 1, 0);
}

static long call_sigwaitinfo(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return sigwaitinfo(&set, NULL);
}

static void wake_usr2(void)
{
	kill(getpid(), SIGUSR2);
}

static long call_recv_timeout(void)
{
	struct timeval t = { 60, 0 };
	char byte;

	setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	return recv(ends[0], &byte, 1, 0);
}

static long call_accept_timeout(void)
{
	struct timeval t = { 60, 0 };
	int fd;

	setsockopt(queue_id, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	fd = accept(queue_id, NULL, NULL);
	return fd < 0 ? -1 : 0;
}

static void wake_connect(void)
{
	struct sockaddr_in at;
	socklen_t size = sizeof(at);

	getsockname(queue_id, (struct sockaddr *)&at, &size);
	if (connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&at, size) != 0)
		abort();
}

static long call_inotify(void)
{
	char bytes[512];
	int fd = inotify_init1(0);

	inotify_add_watch(fd, "/proc/self/fd", IN_ALL_EVENTS);
	inotify_add_watch(fd, "/tmp", IN_ATTRIB);
	return read(fd, bytes, sizeof(bytes)) > 0;
}

static void wake_inotify(void)
{
	char name[] = "/tmp/mfd-test-XXXXXX";
	int fd = mkstemp(name);

	fchmod(fd, 0644);
	unlink(name);
	close(fd);
}

static long call_wait(void)
{
	int status;

	return wait4(-1, &status, 0, NULL) > 0;
}

static void wake_child(void)
{
	kill(queue_id, SIGKILL);
}

static long call_pause(void)
{
	return pause();
}

static const struct blocking blocking[] = {
	{ "read", call_read, wake_write, 1 },
	{ "write", call_write, wake_drain, 4096 },
	{ "nanosleep", call_nanosleep, wake_nothing, 0 },
	{ "futex", call_futex, wake_futex, 0 },
	{ "futex-timeout", call_futex_timeout, wake_futex, 0 },
	{ "epoll_wait", call_epoll, wake_write, 1 },
	{ "epoll_pwait", call_epoll_pwait, wake_write, 1 },
	{ "poll", call_poll, wake_write, 1 },
	{ "ppoll", call_ppoll, wake_write, 1 },
	{ "select", call_select, wake_write, 1 },
	{ "semop", call_semop, wake_semop, 0 },
	{ "semtimedop", call_semtimedop, wake_semop, 0 },
	{ "msgrcv", call_msgrcv, wake_msgsnd, 1 },
	{ "sigwaitinfo", call_sigwaitinfo, wake_usr2, SIGUSR2 },
	{ "recv-timeout", call_recv_timeout, wake_write, 1 },
	{ "accept-timeout", call_accept_timeout, wake_connect, 0 },
	{ "inotify", call_inotify, wake_inotify, 1 },
	{ "wait4", call_wait, wake_child, 1 },
	/* Ended by a handler, as it has to be: -1 and EINTR. */
	{ "pause", call_pause, wake_usr2, -1 },
};

static void block_prepare(const char *name)
{
	struct sigaction action = { .sa_handler = count_signal };
	char bytes[4096] = { 0 };
	sigset_t set;

	if (!strcmp(name, "recv-timeout"))
		socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
	else if (pipe2(ends, strcmp(name, "write") ? 0 : O_NONBLOCK) != 0)
		abort();
	if (!strcmp(name, "write")) {
		while (write(ends[1], bytes, sizeof(bytes)) > 0)
			;
		fcntl(ends[1], F_SETFL, 0);
	}
	if (!strncmp(name, "sem", 3))
		queue_id = semget(IPC_PRIVATE, 1, 0600);
	if (!strcmp(name, "msgrcv"))
		queue_id = msgget(IPC_PRIVATE, 0600);
	if (!strcmp(name, "accept-timeout")) {
		queue_id = socket(AF_INET, SOCK_STREAM, 0);
		listen(queue_id, 1);
	}
	if (!strcmp(name, "wait4") && !(queue_id = fork())) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	/* Any thread may get it, so only one may. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGUSR2, &action, NULL);
}

static void block_clean(const char *name)
{
	if (!strncmp(name, "sem", 3))
		semctl(queue_id, 0, IPC_RMID);
	if (!strcmp(name, "msgrcv"))
		msgctl(queue_id, IPC_RMID, NULL);
}

static void *block_wake(void *which)
{
	while (!scene->go)
		nap(500000);
	((const struct blocking *)which)->wake();
	return NULL;
}

static int mode_block(const char *name)
{
	const struct blocking *b = blocking;
	pthread_t waker;
	uint64_t began;
	sigset_t set;
	long result;

	while (strcmp(b->name, name))
		if (++b == blocking + sizeof(blocking) / sizeof(blocking[0]))
			return 2;
	block_prepare(name);
	if (pthread_create(&waker, NULL, block_wake, (void *)(uintptr_t)b) != 0)
		return 2;
	if (!strcmp(name, "pause")) {
		sigemptyset(&set);
		pthread_sigmask(SIG_SETMASK, &set, NULL);
	}
	began = now_ns();
	scene->ready = true;
	errno = 0;
	result = b->call();
	scene->error = result < 0 ? errno : 0;
	scene->result = result;
	scene->elapsed_ns = (int64_t)(now_ns() - began);
	scene->done = true;
	scene->go = true;
	pthread_join(waker, NULL);
	block_clean(name);
	while (!scene->stop)
		usleep(200);
	return result == b->result && scene->misordered == 0 ? 0 : 1;
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
	began = now_ns();
	timer_settime(storm, 0, &every, NULL);
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
	scene->result = (int64_t)((ended - began) / 200000);
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
