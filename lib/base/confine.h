/* SPDX-License-Identifier: MIT */
/*
 * Giving up what is not needed any more, for good: with Landlock (landlock(7), Linux 5.13 and
 * newer) nothing in the file system can be opened, created, renamed or removed but what a rule
 * names, and no TCP connection made or port bound; no_new_privs takes effect from setuid programs.
 * Descriptors that are open stay as they are.  This file holds no policy: the rules are the
 * caller's.
 */
#ifndef MFD_BASE_CONFINE_H
#define MFD_BASE_CONFINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* What a rule leaves allowed, of a file or of all below a directory. */
#define CONFINE_READ 1u                  /* open for reading, list */
#define CONFINE_WRITE 2u                 /* open for writing, truncate */
#define CONFINE_CREATE 4u                /* in a directory: create regular files, rename to there */
#define CONFINE_REMOVE 8u                /* in a directory: remove files, rename from there */

struct confine_rule {
	const char *path;                /* skipped if nothing is there; NULL: */
	/* what this descriptor stands for, O_PATH will do; -1: skipped */
	int fd;
	unsigned rights;
};

/*
 * Confine the calling thread and those that it starts from now on; other threads stay free.  False
 * with the reason in @why (MFD_OS, the system's errno) where the kernel has no Landlock, or does
 * not take a rule; then only no_new_privs is set.  *ret_abi: Landlock's version, from 1.
 * Truncating is not covered before version 3, nor TCP before 4, signals to others before 6.
 */
bool confine_thread(const struct confine_rule *rules, size_t count, int *ret_abi,
		    struct mfd_error *why) MFD_MUST_CHECK;

#endif
