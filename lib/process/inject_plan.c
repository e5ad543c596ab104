/* SPDX-License-Identifier: MIT */
/*
 * May system calls be made in this process, in which of its threads, with which instruction?
 * Decided before anything is touched.
 *
 * A thread inside a system call is best: its registers are what the kernel saved, and it is in no
 * restartable sequence, which would be forgotten while the thread is elsewhere (rseq(2): the kernel
 * clears the pointer to it) and then not be begun again when it must be.
 */
#include "process/inject.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

/* The vDSO is two pages; ten times that is no vDSO that we know. */
#define INJECT_VDSO_BYTES (80 * 1024)

/* struct rseq and struct rseq_cs of linux/rseq.h: where the fields that matter lie, forever. */
#define INJECT_RSEQ_CS 8
#define INJECT_RSEQ_CS_START 8
#define INJECT_RSEQ_CS_LENGTH 16

static bool inject_peek(pid_t pid, uint64_t address, void *buffer, size_t size)
{
	const struct iovec to = { .iov_base = buffer, .iov_len = size };
	const struct iovec from = { .iov_base = (void *)(uintptr_t)address, .iov_len = size };

	return process_vm_readv(pid, &to, 1, &from, 1, 0) == (ssize_t)size;
}

/*
 * An address in the vDSO where a system call instruction stands; the process may have moved or
 * unmapped it.
 */
static bool inject_find_instruction(pid_t pid, uint64_t *ret)
{
	uint8_t code[INJECT_VDSO_BYTES];
	char line[512], access[5];
	uint64_t start, end;
	bool found = false;
	ssize_t at;
	FILE *maps;

	snprintf(line, sizeof(line), "/proc/%d/maps", (int)pid);
	maps = fopen(line, "re");
	while (maps && !found && fgets(line, sizeof(line), maps)) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, access) != 3 ||
		    access[2] != 'x' || !strstr(line, " [vdso]") || end - start > sizeof(code) ||
		    !inject_peek(pid, start, code, end - start))
			continue;
		at = registers_find_call(code, end - start);
		found = at >= 0;
		*ret = start + (uint64_t)at;
	}
	if (maps)
		fclose(maps);
	return found;
}

/*
 * Is the thread between the first instruction of a restartable sequence and its last?  If that
 * can't be read, it may be.
 */
static bool inject_in_sequence(pid_t pid, const struct inject_candidate *c)
{
	const uint64_t address = registers_address(c->regs);
	uint64_t sequence, start, length;

	if (registers_in_call(c->regs) || c->rseq == 0)
		return false;
	if (!inject_peek(pid, c->rseq + INJECT_RSEQ_CS, &sequence, sizeof(sequence)))
		return true;
	if (sequence == 0)
		return false;
	if (!inject_peek(pid, sequence + INJECT_RSEQ_CS_START, &start, sizeof(start)) ||
	    !inject_peek(pid, sequence + INJECT_RSEQ_CS_LENGTH, &length, sizeof(length)))
		return true;
	return address - start < length;
}

/* What one thread has against it, all others have too, most likely: so one is enough to refuse. */
static bool inject_allowed(const struct inject_candidate *c, struct mfd_error *err)
{
	if (c->seccomp)
		return error_set(
			err, MFD_NO_PERMISSION,
			"thread %d has a seccomp filter: no system call is made in its name",
			(int)c->tid);
	if (c->dispatch == GUARDIAN_DISPATCH_ON)
		return error_set(
			err, MFD_NO_PERMISSION,
			"thread %d uses syscall user dispatch: no system call is made in its name",
			(int)c->tid);
	if (c->dispatch == GUARDIAN_DISPATCH_UNKNOWN)
		return error_set(
			err, MFD_NO_PERMISSION,
			"this kernel can't tell whether thread %d uses syscall user dispatch "
			"(Linux 6.4 can): no system call is made in its name",
			(int)c->tid);
	return true;
}

bool inject_plan(pid_t pid, const struct inject_candidate *candidate, size_t count,
		 struct guardian_request *ret, struct mfd_error *err)
{
	const struct inject_candidate *best = NULL, *c;

	for (c = candidate; c < candidate + count; c++) {
		if (!inject_allowed(c, err))
			return false;
		if ((!best || (registers_in_call(c->regs) && !registers_in_call(best->regs))) &&
		    !inject_in_sequence(pid, c))
			best = c;
	}
	if (!best)
		return error_set(err, MFD_UNAVAILABLE,
				 "process %d has no thread that a system call could be made in",
				 (int)pid);
	ret->tid = best->tid;
	if (!inject_find_instruction(pid, &ret->instruction))
		return error_set(err, MFD_UNAVAILABLE,
				 "process %d has no system call instruction in its vDSO", (int)pid);
	return true;
}
