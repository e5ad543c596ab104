/* SPDX-License-Identifier: MIT */
/*
 * Socket activation, without a library for two variables.
 */
#include "activation.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "parse.h"

#define ACTIVATION_FIRST 3

void activation_take(struct activation *a)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	long who = 0, count = 0;

	*a = (struct activation){ .count = 0 };
	/* Not ours: a parent that did not clean up after itself. */
	if (!pid || !fds || !parse_integer(pid, 1, INT_MAX, &who) || who != getpid() ||
	    !parse_integer(fds, 1, INT_MAX - ACTIVATION_FIRST, &count))
		count = 0;
	for (long i = 0; i < count && i < ACTIVATION_MAX; i++)
		a->fd[a->count++] = ACTIVATION_FIRST + (int)i;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}
