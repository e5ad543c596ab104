/* SPDX-License-Identifier: MIT */
/*
 * What the kernel offers and the headers of Debian 12 (Linux 6.1) do not have yet: numbers and
 * structs of its user-space interface, under the kernel's own names.  That they are defined here
 * does not mean that the running kernel knows them: whoever uses one tries it and has something
 * else to fall back on.
 */
#ifndef MFD_BASE_KERNEL_H
#define MFD_BASE_KERNEL_H

#include <linux/fs.h>
#include <linux/landlock.h>
#include <linux/types.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>

/*
 * ioctl on /proc/PID/pagemap, since Linux 6.7: which pages of a range are what, as runs, and
 * write-protect those that were found in the same step (ioctl_pagemap_scan,
 * Documentation/admin-guide/mm/pagemap.rst).
 */
#ifndef PAGEMAP_SCAN

#define PAGE_IS_WPALLOWED (1 << 0)
#define PAGE_IS_WRITTEN (1 << 1)         /* since it was write-protected */
#define PAGE_IS_FILE (1 << 2)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
#define PAGE_IS_PFNZERO (1 << 5)
#define PAGE_IS_HUGE (1 << 6)

struct page_region {
	__u64 start;             /* addresses */
	__u64 end;
	__u64 categories;        /* those of return_mask that all of its pages have */
};

#define PM_SCAN_WP_MATCHING (1 << 0)     /* write-protect the pages found */
#define PM_SCAN_CHECK_WPASYNC (1 << 1)   /* EPERM: not write-protected asynchronously */

struct pm_scan_arg {
	__u64 size;              /* of this struct */
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;          /* out: how far it came */
	__u64 vec;               /* struct page_region[vec_len] */
	__u64 vec_len;
	__u64 max_pages;         /* 0: no limit */
	__u64 category_inverted;
	__u64 category_mask;     /* a page has all of these, */
	__u64 category_anyof_mask; /* and at least one of these if there are any */
	__u64 return_mask;
};

#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)

#endif

/* Writes to protected pages go on without anybody's help, and leave a mark; since Linux 6.7. */
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

/*
 * ptrace(2), since Linux 6.4: is syscall user dispatch on in a stopped thread?  The address is the
 * struct's size.  Under names of our own, because later libc headers have them as enumerators and
 * under other names.  (0x4210 is the request that sets it.)
 */
#define KERNEL_PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211

struct kernel_sud_config {
	__u64 mode;              /* 0: off */
	__u64 selector;
	__u64 offset;
	__u64 size;
};

/* The same for restartable sequences (rseq(2)), since Linux 5.13. */
#define KERNEL_PTRACE_GET_RSEQ_CONFIGURATION 0x420f

struct kernel_rseq_config {
	__u64 pointer;           /* the thread's struct rseq; 0: none */
	__u32 size;
	__u32 signature;
	__u32 flags;
	__u32 pad;
};

/*
 * Landlock (landlock(7)), by its ABI versions, which confine.c asks for: ABI 2 (Linux 5.19), 3
 * (6.2), 5 (6.10).
 */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

/* ABI 4 (6.7). */
#ifndef LANDLOCK_ACCESS_NET_BIND_TCP
#define LANDLOCK_ACCESS_NET_BIND_TCP (1ULL << 0)
#define LANDLOCK_ACCESS_NET_CONNECT_TCP (1ULL << 1)
#endif

/* ABI 6 (6.12). */
#ifndef LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
#define LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define LANDLOCK_SCOPE_SIGNAL (1ULL << 1)
#endif

/*
 * struct landlock_ruleset_attr as of ABI 6; an older kernel takes it as long as what it does not
 * know is 0.
 */
struct landlock_ruleset {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

#endif
