/* SPDX-License-Identifier: MIT */
/*
 * System calls made in the name of a stopped thread.  Only its registers are touched, and its
 * signal mask, never its memory: the instruction is one that is already there, in the vDSO.
 */
#ifndef MFD_PROCESS_INJECT_H
#define MFD_PROCESS_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "process/guardian.h"

/* What is known of a thread that a call might be made in. */
struct inject_candidate {
	pid_t tid;
	uint64_t rseq; /* the address of its struct rseq; 0: none */
	enum guardian_dispatch dispatch;
	bool seccomp; /* it has a filter, or strict mode */
	const struct user_regs_struct *regs;
};

/*
 * Choose a thread of @pid and an instruction.  Errors: MFD_NO_PERMISSION it must not be done in
 * this process; MFD_UNAVAILABLE nothing fits.
 */
bool inject_plan(pid_t pid, const struct inject_candidate *candidate, size_t count,
		 struct guardian_request *ret, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * In the guardian: make the call and leave the thread stopped as it was.  @ret_result is what the
 * kernel returned, -errno included. GUARDIAN_DIED or GUARDIAN_STUCK if it was not made.
 */
enum guardian_problem inject_call(pid_t tid, uint64_t instruction, long number, long argument,
				  long *ret_result);

#endif
