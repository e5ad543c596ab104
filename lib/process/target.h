/* SPDX-License-Identifier: MIT */
/*
 * The process that is to be frozen, as /proc and a pidfd show it: may it be, and is it still the
 * same?
 */
#ifndef MFD_PROCESS_TARGET_H
#define MFD_PROCESS_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct target {
	pid_t pid;
	int pidfd;
	int tasks; /* /proc/PID/task */
	int maps;  /* /proc/PID/maps of the program that ran then: empty once that has been replaced
		    */
};

/* What /proc/PID/task/TID/status says. */
struct target_thread {
	pid_t own_tid;
	char comm[16];
	uint64_t pending;
	bool seccomp;
};

/* Errors: as freezer_new().  target_close() also after a failure. */
bool target_open(struct target *t, pid_t pid, struct mfd_error *err) MFD_MUST_CHECK;
void target_close(struct target *t);

/* As freezer_same(). */
bool target_same(const struct target *t, struct mfd_error *err) MFD_MUST_CHECK;

/* Errors: MFD_NO_INPUT the thread is gone. */
bool target_read_thread(const struct target *t, pid_t tid, struct target_thread *ret,
			struct mfd_error *err) MFD_MUST_CHECK;

/* @tid may not be traced: fill @err with why; always false.  @os_errno: what the attempt gave. */
bool target_denied(pid_t pid, pid_t tid, int os_errno, struct mfd_error *err);

#endif
