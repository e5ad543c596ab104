/* SPDX-License-Identifier: MIT */
/*
 * Reading another process's memory: process_vm_readv(2), which copies once, and /proc/PID/mem
 * where that fails, which also reads what the process itself may not (PROT_NONE).
 */
#ifndef MFD_PROCESS_MEMORY_H
#define MFD_PROCESS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Set by memory_open(), const afterwards: any thread may read. */
struct memory {
	pid_t pid;
	int fd;                  /* /proc/PID/mem of the program that ran then: an exec ends it */
	uint64_t page_bytes;     /* the system's */
};

/*
 * Open the memory of @pid.  Errors: MFD_NO_INPUT (no such process, or one without memory: a
 * zombie, a kernel thread), MFD_NO_PERMISSION, MFD_OS.
 */
bool memory_open(pid_t pid, struct memory *ret, struct mfd_error *err) MFD_MUST_CHECK;
void memory_close(struct memory *m);

/*
 * Read @bytes at @address.  Pages that can't be read (behind the end of a mapped file, guard
 * pages, gone in the meantime) become zeros, and *ret_unreadable counts their bytes.  Errors:
 * MFD_NO_INPUT when the process has ended.
 */
bool memory_read(const struct memory *m, uint64_t address, void *buffer, size_t bytes,
		 uint64_t *ret_unreadable, struct mfd_error *err) MFD_MUST_CHECK;

/* The memory is still in use: its process has neither ended nor called execve(2). */
bool memory_is_there(const struct memory *m);

#endif
