/* SPDX-License-Identifier: MIT */
/*
 * For tests of broken invariants: run a deed in a child process and check that it aborts, and
 * with which message.
 */
#ifndef MFD_TESTS_UNIT_ABORTS_H
#define MFD_TESTS_UNIT_ABORTS_H

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* Does @deed(@arg), run in a child, end in abort() with exactly @message on stderr? */
static inline bool aborts_with(void (*deed)(void *arg), void *arg, const char *message)
{
	const struct rlimit no_core = { 0, 0 };
	char text[256] = "";
	size_t size = 0;
	ssize_t n;
	int status = 0;
	int fds[2];
	pid_t child;

	if (pipe(fds) != 0)
		return false;
	child = fork();
	if (child < 0)
		return false;
	if (child == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		alarm(20);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		deed(arg);
		_exit(0);
	}

	close(fds[1]);
	while ((n = read(fds[0], text + size, sizeof(text) - 1 - size)) > 0)
		size += (size_t)n;
	close(fds[0]);
	if (waitpid(child, &status, 0) != child)
		return false;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strcmp(text, message) == 0;
}

#endif
