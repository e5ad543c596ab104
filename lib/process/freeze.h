/* SPDX-License-Identifier: MIT */
/*
 * Stopping a live process and letting it go on as it was: every thread held, its registers taken,
 * no signal lost.
 *
 * A small process of its own, the guardian, does the tracing, because a tracer is one thread and
 * because the kernel releases what a dead tracer held: however this process ends, the target runs
 * on.  The guardian traces only between freeze and thaw.  A freezer belongs to one thread at a
 * time, except for what says otherwise; which thread may change.
 */
#ifndef MFD_PROCESS_FREEZE_H
#define MFD_PROCESS_FREEZE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/event.h"

struct freezer;

/* Room for register sets beyond the general and the floating point ones. */
#define FREEZE_MAX_EXTRA 6

/* A note of its own in a core file: name "LINUX", this type. */
struct frozen_set {
	uint32_t type; /* elf.h's NT_X86_XSTATE, NT_ARM_TLS, ... */
	size_t bytes;
	const uint8_t *data;
};

struct frozen_thread {
	pid_t tid;           /* in our PID namespace */
	pid_t own_tid;       /* in the innermost one it is in: what gettid(2) tells itself */
	char comm[16];       /* its name, always terminated */
	uint64_t pending;    /* signals pending for this thread, bit n - 1 for signal n */
	uint64_t blocked;    /* its signal mask */
	siginfo_t siginfo;   /* all zero, or the signal of the job-control stop it was found in */
	const uint8_t *regs; /* pr_reg of NT_PRSTATUS, as PTRACE_GETREGSET gives it */
	size_t regs_bytes;
	const uint8_t *fpregs; /* NT_FPREGSET */
	size_t fpregs_bytes;   /* 0: the machine has none */
	unsigned extras;
	struct frozen_set extra[FREEZE_MAX_EXTRA]; /* those that the machine has */
};

/*
 * A freezer for process @pid (in our PID namespace; a thread-group leader).  @max_freeze_ms bounds
 * each freeze from the first thread stopped on: when it is used up the guardian thaws by itself; 0:
 * no bound.  Nothing is stopped yet. Errors: MFD_NO_INPUT no such process, a zombie, a kernel
 * thread, a thread that leads no process; MFD_NO_PERMISSION not allowed to trace it, or somebody
 * else does; MFD_CONFIG a 32-bit process; MFD_USAGE our own; MFD_OS.
 */
bool freezer_new(pid_t pid, uint64_t max_freeze_ms, struct freezer **ret,
		 struct mfd_error *err) MFD_MUST_CHECK;

/*
 * A freezer that has /bin/sh run @freeze and @thaw, which must outlive it.  Each @freeze that was
 * begun is followed by one @thaw, also when it failed, when @max_freeze_ms (from the beginning of
 * @freeze; not 0) are used up, and when we end, however we end.  In their environment MFD_IMAGE is
 * @image.  There is no process: no threads, no pidfd, no userfaultfd.  Errors: MFD_OS.
 */
bool freezer_new_commands(const char *freeze, const char *thaw, const char *image,
			  uint64_t max_freeze_ms, struct freezer **ret,
			  struct mfd_error *err) MFD_MUST_CHECK;

/*
 * From now on give up waiting for a command, with MFD_TRY_AGAIN, when @stop (NULL: none) is raised;
 * what was frozen is thawed all the same.
 */
void freezer_heed(struct freezer *f, const struct event *stop);

/* Thaws, ends the guardian, frees; NULL is allowed. */
void freezer_free(struct freezer *f);

/*
 * Stop every thread, also those that appear meanwhile, and take their registers.  Not while frozen.
 * A failed freeze has released everything again and may be tried again. Errors: those of
 * freezer_new(); MFD_NO_INPUT it has exited or executed another program; MFD_TRY_AGAIN a thread
 * can't be stopped (uninterruptible sleep, as in vfork(2)) within the bound, or within 2 s.  With
 * commands: MFD_CONFIG it failed, MFD_TRY_AGAIN it took too long.
 */
bool freezer_freeze(struct freezer *f, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * The threads of the last successful freeze, the leader first unless it has exited; valid until the
 * next freeze or the end, also after thaw.
 */
const struct frozen_thread *freezer_threads(const struct freezer *f, size_t *ret_count);

/*
 * Let it go on.  @ret_frozen_ns (may be NULL): from the first thread stopped to the last one
 * continued, also when the bound ended the freeze: then this is true and freezer_expired() says so.
 * Errors: MFD_NO_INPUT the process died while frozen; MFD_OS the guardian was lost (the process
 * runs on; how long it was frozen is not known); MFD_CONFIG the command for it failed, or takes
 * longer than 10 s.
 */
bool freezer_thaw(struct freezer *f, uint64_t *ret_frozen_ns, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * Is it frozen, and has been since freezer_freeze()?  False when the bound ended it, the process
 * died, or the guardian did.  Pages read before a true are of the freeze.  Any thread may ask,
 * except while another is inside freeze, thaw or userfaultfd.
 */
bool freezer_holds(const struct freezer *f);

/* Did the bound end this freeze, or after thaw the last one?  Who may ask: as above. */
bool freezer_expired(const struct freezer *f);

/* MFD_TRY_AGAIN, in the words for it, if it did: what was read meanwhile is of no use. */
bool freezer_check_bound(const struct freezer *f, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * A userfaultfd(2) of the target's address space, made in the target with @flags and O_CLOEXEC,
 * fetched, and closed there before anybody else could see it.  Only while frozen.  The caller owns
 * *@ret_fd, which keeps working after thaw. Errors: MFD_NO_PERMISSION the target may not, or must
 * not be made to do system calls (a seccomp filter, syscall user dispatch, or a kernel that can't
 * tell); MFD_UNAVAILABLE no thread or no system call instruction fits; MFD_OS whatever the call
 * gave (os_errno); and as freezer_thaw().  After an error the target is as it was and still frozen,
 * if freezer_holds().
 */
bool freezer_userfaultfd(struct freezer *f, int flags, int *ret_fd,
			 struct mfd_error *err) MFD_MUST_CHECK;

/*
 * Is it still the same process running the same program?  MFD_NO_INPUT with the reason if not.  Any
 * thread may ask.
 */
bool freezer_same(const struct freezer *f, struct mfd_error *err) MFD_MUST_CHECK;

#endif
