/* SPDX-License-Identifier: MIT */
/*
 * A forked child, which shares our addresses: what was written before the fork is its memory.  It
 * does nothing until it is killed.  Needs cmocka.h before this file.
 */
#ifndef MFD_TESTS_UNIT_CHILD_FIXTURE_H
#define MFD_TESTS_UNIT_CHILD_FIXTURE_H

#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

static struct mfd_error err;
static size_t page;

static inline pid_t child_start(void)
{
	pid_t child = fork();

	if (child == 0)
		for (;;)
			pause();
	assert_true(child > 0);
	return child;
}

static inline void child_end(pid_t child)
{
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

/* A cmocka group set-up. */
static inline int find_page(void **state)
{
	(void)state;
	page = (size_t)sysconf(_SC_PAGESIZE);
	return 0;
}

#endif
