/* SPDX-License-Identifier: MIT */
/*
 * What the freezer and its guardian say to each other: one SOCK_SEQPACKET socket pair, one struct a
 * message.  Both ends are one program, so the structs travel as they are.  The guardian never
 * formats text: it names a problem, and the freezer finds the words.
 */
#ifndef MFD_PROCESS_GUARDIAN_H
#define MFD_PROCESS_GUARDIAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "process/registers.h"

enum guardian_ask {
	GUARDIAN_FREEZE = 1,  /* THREAD for each thread, then DONE or FAILED */
	GUARDIAN_THAW,        /* DONE with frozen_ns, or FAILED; also after ENDED */
	GUARDIAN_USERFAULTFD, /* DONE with the descriptor (SCM_RIGHTS), or FAILED */
};

struct guardian_request {
	uint32_t ask;
	/* For USERFAULTFD. */
	int32_t flags;
	pid_t tid;            /* in which thread */
	uint64_t instruction; /* the address of a system call instruction */
};

enum guardian_kind {
	GUARDIAN_DONE = 1,
	GUARDIAN_FAILED,
	GUARDIAN_THREAD,
	GUARDIAN_ENDED, /* unasked: the freeze is over */
};

enum guardian_problem {
	GUARDIAN_NO_PROBLEM,
	GUARDIAN_DIED,     /* the process has exited */
	GUARDIAN_EXPIRED,  /* the bound is used up */
	GUARDIAN_DENIED,   /* @tid may not be traced */
	GUARDIAN_RESTLESS, /* new threads appear faster than they are stopped */
	GUARDIAN_STUCK,    /* @tid does not stop */
	GUARDIAN_32BIT,    /* @tid runs 32-bit code */
	GUARDIAN_SYSTEM,   /* a call of the guardian's own failed: @os_errno */
	GUARDIAN_CALL,     /* the call made in the target failed: @os_errno */
	GUARDIAN_ORPHANED, /* nobody is there to hear it */
	GUARDIAN_COMMAND,  /* the freeze command failed: @os_errno is its waitpid(2) status */
	GUARDIAN_THAW_COMMAND, /* the same, or COMMANDS_STILL_RUNS, of the thaw command */
};

struct guardian_reply {
	uint32_t kind;
	uint32_t problem;
	pid_t tid;
	int32_t os_errno;
	uint64_t frozen_ns;
	uint32_t ending; /* it ends now, which releases who could not be released otherwise */
};

/* May system calls be made in the thread's name? */
enum guardian_dispatch {
	GUARDIAN_DISPATCH_OFF,
	GUARDIAN_DISPATCH_ON,      /* syscall user dispatch would turn them into signals */
	GUARDIAN_DISPATCH_UNKNOWN, /* the kernel can't tell (before 6.4) */
};

struct guardian_thread {
	uint32_t kind;
	pid_t tid;
	int32_t stop_signal; /* it was in this signal's job-control stop; 0: in none */
	uint64_t blocked;
	uint64_t rseq; /* the address of its struct rseq; 0: none */
	uint32_t dispatch;
	uint32_t sets;
	struct registers_set set[REGISTERS_SETS];
	uint8_t data[REGISTERS_BYTES]; /* only as much is sent as the sets take */
};

/* The guardian's descriptors: where guardian_main() expects them, all others closed. */
enum {
	GUARDIAN_SOCKET = 3,
	GUARDIAN_PARENT, /* pidfd of who forked it */
	GUARDIAN_TARGET, /* pidfd of the target; with commands where their output goes */
	GUARDIAN_TASKS,  /* /proc/PID/task; with commands any */
	GUARDIAN_FDS,
};

struct commands;

/*
 * Fork a guardian.  @fds: socket, parent, target, tasks, which stay the caller's.  Signals are
 * blocked in it, it has no terminal and no descriptors but these, and whatever becomes of it, the
 * kernel releases what it traced.  @commands (NULL: none, it traces) freeze and thaw instead; then
 * it must not be killed, as nobody else would run the second.  Errors: MFD_OS.
 */
bool guardian_fork(const int fds[static GUARDIAN_FDS - GUARDIAN_SOCKET],
		   const struct commands *commands, uint64_t max_freeze_ns, pid_t *ret_pid,
		   struct mfd_error *err) MFD_MUST_CHECK;

#endif
