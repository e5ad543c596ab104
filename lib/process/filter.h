/* SPDX-License-Identifier: MIT */
/*
 * What of a process's memory belongs into its core file: the rules of core(5), "Controlling
 * which mappings are written to the core dump", which are the kernel's own.
 */
#ifndef MFD_PROCESS_FILTER_H
#define MFD_PROCESS_FILTER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "process/maps.h"

/* Bits of /proc/PID/coredump_filter. */
enum filter_bit {
	FILTER_ANON_PRIVATE = 1 << 0,    /* heap, stack, and what was written of private files */
	/* shared memory without a name: anonymous, memfd, deleted */
	FILTER_ANON_SHARED = 1 << 1,
	FILTER_FILE_PRIVATE = 1 << 2,    /* program text, libraries */
	FILTER_FILE_SHARED = 1 << 3,
	FILTER_ELF_HEADERS = 1 << 4,     /* first pages of ELF files, where their build IDs are */
	FILTER_HUGE_PRIVATE = 1 << 5,
	FILTER_HUGE_SHARED = 1 << 6,
	/* known to the kernel; /proc does not tell such mappings apart */
	FILTER_DAX_PRIVATE = 1 << 7,
	FILTER_DAX_SHARED = 1 << 8,
};

#define FILTER_ALL 0x1ffu

enum filter_choice {
	FILTER_LEFT_OUT,         /* as the mask or MADV_DONTDUMP says */
	FILTER_NO_MEMORY,        /* a device's, or nobody may read it: left out, and worth a word */
	FILTER_ELF_HEADER,       /* its first page, if that begins an ELF file */
	FILTER_WHOLE,
};

/* What @mask says about the mapping; @m->flags and ->anonymous should be known. */
enum filter_choice filter_choose(const struct mapping *m, unsigned mask);

/* The process's own mask.  Errors: MFD_NO_INPUT, MFD_NO_PERMISSION, MFD_IO. */
bool filter_read(pid_t pid, unsigned *ret_mask, struct mfd_error *err) MFD_MUST_CHECK;

#endif
