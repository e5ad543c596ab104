/* SPDX-License-Identifier: MIT */
/*
 * The mode `block` of the process to be frozen: its first thread is inside one system call until
 * the test says go, and another thread then does what makes that call return.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "freeze_target.h"

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
	char bytes[512], path[64];
	int fd = inotify_init1(0);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", queue_id);
	inotify_add_watch(fd, path, IN_ATTRIB);
	return read(fd, bytes, sizeof(bytes)) > 0;
}

static void wake_inotify(void)
{
	fchmod(queue_id, 0644);
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
	if (!strcmp(name, "inotify"))
		queue_id = memfd_create("watched", 0);
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

int mode_block(const char *name)
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
