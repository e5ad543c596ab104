/* SPDX-License-Identifier: MIT */
/*
 * The registers of a traced, stopped thread: read for a core file, and changed for two purposes
 * only, a system call made in the thread's name and one begun again.  x86-64 and aarch64;
 * everything that differs between them is in registers.c.
 *
 * All of it runs in the guardian: system calls and plain memory, nothing else.
 */
#ifndef MFD_PROCESS_REGISTERS_H
#define MFD_PROCESS_REGISTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

/* NT_PRSTATUS, NT_FPREGSET, and room for FREEZE_MAX_EXTRA others. */
#define REGISTERS_SETS 8

/*
 * All sets of one thread together: AMX state is 11 KiB, SVE's at the longest vectors built so far 9
 * KiB.
 */
#define REGISTERS_BYTES (28 * 1024)

struct registers_set {
	uint32_t type; /* NT_* */
	uint32_t bytes;
};

/*
 * Every set of @tid into @buffer, one behind the other, NT_PRSTATUS first and NT_FPREGSET (if there
 * is one) second; the count. A set that has no room is left out.
 */
unsigned registers_read(pid_t tid, struct registers_set set[static REGISTERS_SETS],
			uint8_t buffer[static REGISTERS_BYTES]);

/* The general registers; false with errno.  EINVAL: the thread runs 32-bit code. */
bool registers_get(pid_t tid, struct user_regs_struct *ret);
bool registers_put(pid_t tid, const struct user_regs_struct *regs);

/*
 * Was the thread inside a system call (perhaps one that will be begun again)?  False on aarch64,
 * where a stop hides it.
 */
bool registers_in_call(const struct user_regs_struct *regs);

uint64_t registers_address(const struct user_regs_struct *regs);

/* Make @regs those of a thread about to do system call @number at @instruction. */
void registers_make_call(struct user_regs_struct *regs, uint64_t instruction, long number,
			 long argument);
long registers_result(const struct user_regs_struct *regs);

/*
 * Some calls end with EINTR after a mere stop (signal(7) lists them).  If @regs are those of such a
 * call, make them those of one that the kernel begins again unless a signal handler runs; true if
 * they were.  Never on aarch64, where the first argument is lost.
 */
bool registers_begin_again(struct user_regs_struct *regs);

/* Where in @code there is a system call instruction; -1 if nowhere. */
ssize_t registers_find_call(const uint8_t *code, size_t size);

#endif
