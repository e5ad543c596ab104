/* SPDX-License-Identifier: MIT */
/*
 * The notes of a core file (core(5), elf(5)): the process, its threads' registers, its auxiliary
 * vector, its mapped files.  notes.c builds them from what it is given, notes_proc.c asks /proc.
 */
#ifndef MFD_PROCESS_NOTES_H
#define MFD_PROCESS_NOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "process/freeze.h"
#include "process/maps.h"

/* Notes one behind the other, as PT_NOTE has them.  Start with { 0 }. */
struct notes {
	uint8_t *bytes;
	size_t size, allocated;
};

/* What a process is; its IDs are those that it knows itself, in its own PID namespace. */
struct notes_process {
	pid_t pid;
	pid_t parent;            /* 0: outside of that namespace */
	pid_t group, session;
	uid_t uid;               /* real, as the caller's user namespace has them */
	gid_t gid;
	char state;              /* a letter of ps(1) */
	int nice;
	uint64_t flags;          /* the kernel's PF_ flags */
	char name[16];           /* comm; terminated */
	char arguments[80];      /* the beginning of them, blanks between; terminated */
	uint8_t *auxv;           /* owned */
	size_t auxv_bytes;
};

/*
 * Ask /proc about @pid, the caller's name for it; *ret is undone by notes_process_free().
 * Errors: MFD_NO_INPUT when it has ended, MFD_NO_PERMISSION, MFD_IO, MFD_OS.
 */
bool notes_read_process(pid_t pid, struct notes_process *ret, struct mfd_error *err) MFD_MUST_CHECK;
void notes_process_free(struct notes_process *p);

/* One note.  Errors: MFD_OS. */
bool notes_add(struct notes *n, const char *owner, uint32_t type, const void *bytes, size_t size,
	       struct mfd_error *err) MFD_MUST_CHECK;

/*
 * All notes of a process in the kernel's order: what concerns all of it stands between the first
 * thread's status and its other registers.  The first thread is the one a debugger looks at
 * first.  @page_bytes: the system's.  Errors: MFD_OS.
 */
bool notes_build(struct notes *n, const struct notes_process *p,
		 const struct frozen_thread *threads, size_t count, const struct maps *maps,
		 uint64_t page_bytes, struct mfd_error *err) MFD_MUST_CHECK;

void notes_free(struct notes *n);

#endif
