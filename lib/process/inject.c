/* SPDX-License-Identifier: MIT */
/*
 * The guardian's side of a call made in a stopped thread.
 *
 * The order: block all signals, set the registers of a call, run to its entry and to its exit, put
 * registers and mask back there, and bring the thread into the PTRACE_EVENT_STOP that it came from,
 * because only from there does the kernel begin the thread's own interrupted call again.  Between
 * the first and the last of these steps the guardian must live: a guardian killed by SIGKILL in
 * these few dozen microseconds leaves the thread where the call ends, in the middle of the vDSO.
 * Nothing else ends it: it blocks all signals, and finishes the call before it looks whether
 * anybody is still there to want it.
 */
#include "process/inject.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <time.h>

#include "base/clock.h"
#include "process/tracees.h"

/*
 * The calls made here block nowhere; a thread that takes this long is in a frozen control group, or
 * waits for memory.
 */
#define INJECT_PATIENCE_NS (1 * CLOCK_NS_PER_S)

/*
 * How long between two looks: the kernel's own switch to the thread and back takes about as long.
 */
#define INJECT_PAUSE_NS 5000

#define INJECT_MASK_BYTES 8 /* the kernel's sigset_t */

/*
 * Until something has become of @tid; past @deadline_ns it is interrupted, so that it stops
 * wherever it is.
 */
static enum tracee_news inject_wait(pid_t tid, uint64_t deadline_ns, int *ret_signal)
{
	const struct timespec pause = { 0, INJECT_PAUSE_NS };
	enum tracee_news news;
	bool late = false;

	while ((news = tracee_look(tid, ret_signal)) == TRACEE_RUNS) {
		if (!late && clock_ns() >= deadline_ns) {
			ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
			late = true;
		}
		nanosleep(&pause, NULL);
	}
	return news;
}

/* On to the next stop at a system call's entry or exit. */
static enum guardian_problem inject_to_call(pid_t tid, uint64_t deadline_ns)
{
	enum tracee_news news;
	int with = 0;

	do {
		if (ptrace(PTRACE_SYSCALL, tid, NULL, (void *)(uintptr_t)with) != 0)
			return GUARDIAN_DIED;
		news = inject_wait(tid, deadline_ns, &with);
		if (news == TRACEE_GONE)
			return GUARDIAN_DIED;
		if (news == TRACEE_STOPPED) {
			/*
			 * A job-control signal has come: it stops the thread again when that is let
			 * go.
			 */
			with = 0;
			if (clock_ns() >= deadline_ns)
				return GUARDIAN_STUCK;
		}
		/* TRACEE_SIGNAL: SIGSTOP, as all others are blocked.  It goes on with it. */
	} while (news != TRACEE_CALL);
	return GUARDIAN_NO_PROBLEM;
}

/* From wherever it is into PTRACE_EVENT_STOP, not a single instruction further. */
static enum guardian_problem inject_to_stop(pid_t tid)
{
	enum tracee_news news;
	int with = 0;

	do {
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
		if (ptrace(PTRACE_CONT, tid, NULL, (void *)(uintptr_t)with) != 0)
			return GUARDIAN_DIED;
		news = inject_wait(tid, CLOCK_NEVER, &with);
	} while (news == TRACEE_SIGNAL);
	return news == TRACEE_STOPPED ? GUARDIAN_NO_PROBLEM : GUARDIAN_DIED;
}

/* Registers and mask are the call's: make it, and leave the thread at its exit. */
static enum guardian_problem inject_run(pid_t tid, long *ret_result)
{
	const uint64_t deadline_ns = clock_ns() + INJECT_PATIENCE_NS;
	struct user_regs_struct regs;
	enum guardian_problem problem = inject_to_call(tid, deadline_ns);

	if (!problem)
		problem = inject_to_call(tid, deadline_ns);
	if (problem)
		return problem;
	if (!registers_get(tid, &regs))
		return GUARDIAN_DIED;
	*ret_result = registers_result(&regs);
	return GUARDIAN_NO_PROBLEM;
}

enum guardian_problem inject_call(pid_t tid, uint64_t instruction, long number, long argument,
				  long *ret_result)
{
	const uint64_t all = ~UINT64_C(0);
	struct user_regs_struct before, call;
	enum guardian_problem problem, stop;
	uint64_t mask;

	if (!registers_get(tid, &before) ||
	    ptrace(PTRACE_GETSIGMASK, tid, (void *)INJECT_MASK_BYTES, &mask) != 0)
		return GUARDIAN_DIED;
	call = before;
	registers_make_call(&call, instruction, number, argument);
	if (ptrace(PTRACE_SETSIGMASK, tid, (void *)INJECT_MASK_BYTES, &all) != 0)
		return GUARDIAN_DIED;
	problem = registers_put(tid, &call) ? inject_run(tid, ret_result) : GUARDIAN_DIED;
	registers_put(tid, &before);
	ptrace(PTRACE_SETSIGMASK, tid, (void *)INJECT_MASK_BYTES, &mask);
	/* A thread that got stuck has stopped where it was put before: no call was made. */
	stop = problem == GUARDIAN_STUCK ? GUARDIAN_NO_PROBLEM : inject_to_stop(tid);
	/* Once more, because aarch64 keeps one register (x7) to itself at the exit of a call. */
	registers_put(tid, &before);
	return problem ? problem : stop;
}
