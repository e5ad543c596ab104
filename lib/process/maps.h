/* SPDX-License-Identifier: MIT */
/*
 * The mappings of a process, as /proc/PID/smaps or /proc/PID/maps lists them (proc(5)).
 */
#ifndef MFD_PROCESS_MAPS_H
#define MFD_PROCESS_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"

enum mapping_access { MAPPING_READ = 1, MAPPING_WRITE = 2, MAPPING_EXECUTE = 4 };

/* Those of the letters of VmFlags that matter here. */
enum mapping_flag {
	MAPPING_IO = 1 << 0,             /* io: a device's memory; reading it may have effects */
	MAPPING_PFN = 1 << 1,            /* pf: no pages of the kernel's behind it */
	MAPPING_DONTDUMP = 1 << 2,       /* dd: madvise(MADV_DONTDUMP) */
	MAPPING_HUGETLB = 1 << 3,        /* ht: hugetlbfs */
	MAPPING_UFFD_MISSING = 1 << 4,   /* um: a userfaultfd supplies missing pages */
	MAPPING_UFFD_MINOR = 1 << 5,     /* ui: a userfaultfd lets pages of the cache be mapped */
	MAPPING_UFFD_WP = 1 << 6,        /* uw: a userfaultfd protects pages from writes */
	MAPPING_SOFTDIRTY = 1 << 7,      /* sd */
	MAPPING_SHADOW_STACK = 1 << 8,   /* ss */
};

struct mapping {
	uint64_t start, end;     /* addresses, whole pages of the system */
	uint64_t offset;         /* in the file, bytes */
	uint64_t inode;          /* 0: no file */
	unsigned major, minor;   /* the device that the file is on */
	unsigned access;         /* enum mapping_access, or-ed */
	unsigned flags;          /* enum mapping_flag, or-ed; 0 when only maps was read */
	bool shared;
	/* bytes of its own, in memory or swapped out; UINT64_MAX: not known */
	uint64_t anonymous;
	char *name;              /* path, [heap], ...; "" for none; never NULL */
};

struct maps {
	struct mapping *mapping; /* by address */
	size_t count;
};

/*
 * MAPS_PLAIN leaves flags and anonymous unknown and costs little; MAPS_DETAILED makes the kernel
 * look at every page (about 10 ms for each GiB that is present).
 */
enum maps_detail { MAPS_PLAIN, MAPS_DETAILED };

/*
 * Read what @pid has mapped now; where the kernel has no smaps, MAPS_DETAILED is MAPS_PLAIN.
 * Free *ret with maps_free().  Errors: MFD_NO_INPUT (it is gone, or has no memory any more),
 * MFD_NO_PERMISSION, MFD_IO, MFD_OS.
 */
bool maps_read(pid_t pid, enum maps_detail detail, struct maps *ret,
	       struct mfd_error *err) MFD_MUST_CHECK;

/* The same from @file, in the format of either.  Errors: MFD_IO, MFD_OS. */
bool maps_parse(FILE *file, struct maps *ret, struct mfd_error *err) MFD_MUST_CHECK;

/* Also of a zeroed struct, and twice. */
void maps_free(struct maps *m);

/* The index of the first mapping that ends behind @address; count if none does. */
size_t maps_search(const struct maps *m, uint64_t address);

/* The mapping that holds @address; NULL if none does. */
const struct mapping *maps_find(const struct maps *m, uint64_t address);

/* Private memory without a file (heap, stack, malloc): a page that was never touched is zeros. */
bool mapping_is_private_anonymous(const struct mapping *m);

/* The kernel's own: [vdso], [vvar], [vsyscall], ... */
bool mapping_is_special(const struct mapping *m);

/* Its file has no name any more, or never had one: deleted, memfd, shared anonymous, System V. */
bool mapping_is_deleted(const struct mapping *m);

#endif
