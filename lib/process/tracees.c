/* SPDX-License-Identifier: MIT */
/*
 * The threads of a target as their tracer holds them.
 *
 * A thread's way: PTRACE_SEIZE (it runs on), PTRACE_INTERRUPT, PTRACE_EVENT_STOP (held),
 * PTRACE_DETACH.  A seized thread that is in a job-control stop reports just such a stop, and falls
 * back into its own when let go.  While a thread is held, signals for it queue as they would if it
 * had not been scheduled.  One that is being delivered in the moment of the seizure stops the
 * thread before its PTRACE_EVENT_STOP: it is passed on, so that the thread is held with the
 * handler's frame laid out.
 */
#include "process/tracees.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "process/registers.h"

#define TRACEES_LISTING 4096

/* PTRACE_O_TRACESYSGOOD tells a system call's stop from a SIGTRAP by this bit. */
#define TRACEES_CALL_STOP (SIGTRAP | 0x80)

/*
 * An entry at the end; mmap(2), for there is no malloc() in a process forked from a threaded one.
 */
static struct tracee *tracees_add(struct tracees *t, pid_t tid)
{
	const size_t room = t->room ? 2 * t->room : 256;
	void *more;

	if (t->count == t->room) {
		if (t->tracee)
			more = mremap(t->tracee, t->room * sizeof(*t->tracee),
				      room * sizeof(*t->tracee), MREMAP_MAYMOVE);
		else
			more = mmap(NULL, room * sizeof(*t->tracee), PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (more == MAP_FAILED)
			return NULL;
		t->tracee = more;
		t->room = room;
	}
	t->tracee[t->count] = (struct tracee) { .tid = tid };
	return &t->tracee[t->count++];
}

/* The order of the others is kept: tracees_seize() counts on it. */
static void tracees_remove(struct tracees *t, size_t index)
{
	t->count--;
	memmove(&t->tracee[index], &t->tracee[index + 1], (t->count - index) * sizeof(*t->tracee));
}

/* The state of a thread (a name in @tasks) as /proc has it: R, S, Z, ...; X if there is none any
 * more. */
static char tracees_state(int tasks, pid_t tid)
{
	char path[32], text[128], digits[16];
	size_t n = 0, at = 0;
	ssize_t size;
	char *name_end;
	int fd;

	do
		digits[n++] = (char)('0' + tid % 10);
	while (tid /= 10);
	while (n)
		path[at++] = digits[--n];
	memcpy(path + at, "/stat", sizeof("/stat"));
	fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
	size = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	io_close(fd);
	text[size > 0 ? size : 0] = '\0';
	/* "TID (NAME) STATE ...": the name may hold anything, also a bracket. */
	name_end = strrchr(text, ')');
	return name_end && name_end[1] ? name_end[2] : 'X';
}

static enum guardian_problem tracees_problem(struct tracees *t, enum guardian_problem problem,
					     pid_t tid, int os_errno)
{
	t->tid = tid;
	t->os_errno = os_errno;
	return problem;
}

/* Seize one thread and have it stop.  One that has ended meanwhile is no problem. */
static enum guardian_problem tracees_take(struct tracees *t, int tasks, pid_t tid, size_t *changes)
{
	char state;

	(*changes)++;
	if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)(uintptr_t)PTRACE_O_TRACESYSGOOD) != 0) {
		if (errno == ESRCH)
			return GUARDIAN_NO_PROBLEM;
		t->os_errno = errno;
		state = tracees_state(tasks, tid);
		if (state == 'Z') {
			t->zombies++;
			(*changes)--;
		}
		if (state == 'Z' || state == 'X')
			return GUARDIAN_NO_PROBLEM;
		return tracees_problem(t, GUARDIAN_DENIED, tid, t->os_errno);
	}
	if (!tracees_add(t, tid))
		return tracees_problem(t, GUARDIAN_SYSTEM, tid, errno);
	/* ESRCH: it has died since, and tracees_settle() will see that. */
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	return GUARDIAN_NO_PROBLEM;
}

/* Is @tid held?  @cursor: where to expect it, as both lists are in the same order. */
static bool tracees_holds(const struct tracees *t, pid_t tid, size_t *cursor)
{
	size_t i;

	for (i = 0; i < t->count; i++, (*cursor)++) {
		if (*cursor >= t->count)
			*cursor = 0;
		if (t->tracee[*cursor].tid == tid)
			return (*cursor)++, true;
	}
	return false;
}

enum guardian_problem tracees_seize(struct tracees *t, int tasks, size_t *ret_changes)
{
	_Alignas(struct dirent64) char listing[TRACEES_LISTING];
	enum guardian_problem problem = GUARDIAN_NO_PROBLEM;
	const struct dirent64 *entry;
	size_t cursor = 0;
	long size, at;
	pid_t tid;

	*ret_changes = 0;
	t->zombies = 0;
	if (lseek(tasks, 0, SEEK_SET) != 0)
		return tracees_problem(t, GUARDIAN_SYSTEM, 0, errno);
	while (!problem && (size = syscall(SYS_getdents64, tasks, listing, sizeof(listing))) > 0) {
		for (at = 0; !problem && at < size; at += entry->d_reclen) {
			entry = (const struct dirent64 *)(const void *)(listing + at);
			tid = atoi(entry->d_name); /* "." and "..": 0 */
			if (tid > 0 && !tracees_holds(t, tid, &cursor))
				problem = tracees_take(t, tasks, tid, ret_changes);
		}
	}
	/* ENOENT: the process is gone, with all its threads. */
	return problem;
}

bool tracees_are_all(const struct tracees *t, int tasks)
{
	struct stat st;

	/* The links of that folder are "." and "..", and one for each thread. */
	return fstat(tasks, &st) == 0 && st.st_nlink == 2 + t->count + t->zombies;
}

enum tracee_news tracee_look(pid_t tid, int *ret_status)
{
	siginfo_t info = { 0 };

	if (waitid(P_PID, (id_t)tid, &info, WSTOPPED | WEXITED | WNOWAIT | WNOHANG | __WALL) != 0)
		return TRACEE_GONE;
	if (info.si_pid == 0)
		return TRACEE_RUNS;
	if (info.si_code != CLD_TRAPPED) {
		/*
		 * A traced thread's remains are its tracer's to take; the parent gets the process
		 * only then.
		 */
		waitid(P_PID, (id_t)tid, &info, WEXITED | WNOHANG | __WALL);
		return TRACEE_GONE;
	}
	*ret_status = info.si_status & 0xff;
	if (info.si_status >> 8 == PTRACE_EVENT_STOP)
		return TRACEE_STOPPED;
	return *ret_status == TRACEES_CALL_STOP ? TRACEE_CALL : TRACEE_SIGNAL;
}

/*
 * Held now.  A job-control stop would have ended its call as ours did, so only ours is made good.
 */
static void tracees_hold(struct tracee *one, int status)
{
	struct user_regs_struct regs;

	one->stopped = true;
	one->stop_signal = status == SIGTRAP ? 0 : status;
	if (!one->stop_signal && registers_get(one->tid, &regs) && registers_begin_again(&regs))
		registers_put(one->tid, &regs);
}

size_t tracees_settle(struct tracees *t)
{
	size_t i = 0, running = 0;
	struct tracee *one;
	int status = 0;

	while (i < t->count) {
		one = &t->tracee[i];
		switch (one->stopped ? TRACEE_STOPPED : tracee_look(one->tid, &status)) {
		case TRACEE_GONE:
			tracees_remove(t, i);
			continue;
		case TRACEE_STOPPED:
			if (!one->stopped)
				tracees_hold(one, status);
			break;
		case TRACEE_SIGNAL:
			/* The stop has used up the interrupt: ask anew, then pass the signal on. */
			ptrace(PTRACE_INTERRUPT, one->tid, NULL, NULL);
			ptrace(PTRACE_CONT, one->tid, NULL, (void *)(uintptr_t)status);
			running++;
			break;
		case TRACEE_CALL: /* never: nobody asked for those here */
		case TRACEE_RUNS:
			running++;
			break;
		}
		i++;
	}
	return running;
}

void tracees_forget_zombies(struct tracees *t, int tasks)
{
	size_t i = 0;

	while (i < t->count) {
		if (t->tracee[i].stopped || tracees_state(tasks, t->tracee[i].tid) != 'Z') {
			i++;
			continue;
		}
		tracees_remove(t, i);
		t->untidy = true;
	}
}

bool tracees_reap(struct tracees *t)
{
	const size_t before = t->count;
	size_t i = 0;
	int status;

	while (i < t->count) {
		if (tracee_look(t->tracee[i].tid, &status) == TRACEE_GONE)
			tracees_remove(t, i);
		else
			i++;
	}
	return t->count < before;
}

void tracees_release(struct tracees *t)
{
	size_t i;

	for (i = 0; i < t->count; i++) {
		/* ESRCH: it has been killed, or it has not stopped. */
		if (ptrace(PTRACE_DETACH, t->tracee[i].tid, NULL, NULL) != 0)
			t->untidy = true;
	}
	t->count = 0;
}
