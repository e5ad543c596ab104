/* SPDX-License-Identifier: MIT */
/*
 * The threads of a target as their tracer holds them: seized, stopped, let go.  All of it runs in
 * the guardian: system calls and plain memory, nothing else.
 */
#ifndef MFD_PROCESS_TRACEES_H
#define MFD_PROCESS_TRACEES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "process/guardian.h"

struct tracee {
	pid_t tid;
	bool stopped;    /* in a PTRACE_EVENT_STOP, until released */
	int stop_signal; /* if that is a job-control stop */
};

struct tracees {
	struct tracee *tracee; /* as /proc lists them: the leader first, then by age */
	size_t count, room;
	bool untidy; /* somebody is still held who could not be let go: only the tracer's end does
			that */

	size_t zombies; /* met by the last tracees_seize(); nobody holds those */

	/* Of the last problem. */
	pid_t tid;
	int os_errno;
};

/* What has become of one thread since it was last told to run. */
enum tracee_news {
	TRACEE_RUNS,
	TRACEE_STOPPED, /* in PTRACE_EVENT_STOP; @ret_status holds the signal of a job-control stop,
			   or SIGTRAP */
	TRACEE_CALL,    /* at the entry or the exit of a system call */
	TRACEE_SIGNAL,  /* about to be given the signal @ret_status, which it must be continued with
			 */
	TRACEE_GONE,
};

/*
 * A look at @tid, without waiting.  A stop is only looked at, never taken away: the kernel keeps a
 * signal that is being delivered for as long as nobody has taken its stop, so that not even the
 * guardian's sudden death loses it.
 */
enum tracee_news tracee_look(pid_t tid, int *ret_status);

/*
 * Seize and interrupt every thread that /proc/PID/task (@tasks) lists and is not held yet.
 *
 * *@ret_changes: how many were new, or vanished before they could be seized.  A listing may be cut
 * short: the kernel goes from one thread to the next, and finds none behind one that has just
 * ended. So no changes does not mean that all are held.
 */
enum guardian_problem tracees_seize(struct tracees *t, int tasks, size_t *ret_changes);

/* Are those that are held, and the zombies met, as many as there are? */
bool tracees_are_all(const struct tracees *t, int tasks);

/* Take note of who has stopped or died; how many still run. */
size_t tracees_settle(struct tracees *t);

/*
 * Of those that still run: forget any that is a zombie, which neither stops nor ends before its
 * process does.
 */
void tracees_forget_zombies(struct tracees *t, int tasks);

/* Take note of the dead; true if there were any. */
bool tracees_reap(struct tracees *t);

/* Let all go on as they were. */
void tracees_release(struct tracees *t);

#endif
