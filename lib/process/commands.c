/* SPDX-License-Identifier: MIT */
/*
 * Shell commands that freeze and thaw a writer.
 */
#include "process/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define COMMANDS_IMAGE "MFD_IMAGE="

/* As of a shell that found nothing to run. */
#define COMMANDS_NOT_BEGUN (127 << 8)

/* ---- Before the guardian is forked. ---- */

bool commands_init(struct commands *c, const char *freeze, const char *thaw, const char *image,
		   struct mfd_error *err)
{
	const size_t room = sizeof(COMMANDS_IMAGE) + strlen(image);
	size_t count = 0, kept = 1;

	while (environ[count] != NULL)
		count++;
	*c = (struct commands){ .freeze = freeze, .thaw = thaw };
	c->environment = calloc(count + 2, sizeof(*c->environment));
	if (c->environment != NULL)
		c->environment[0] = malloc(room);
	if (c->environment == NULL || c->environment[0] == NULL) {
		commands_destroy(c);
		return error_set(err, MFD_OS, "out of memory");
	}
	snprintf(c->environment[0], room, COMMANDS_IMAGE "%s", image);
	for (size_t i = 0; i < count; i++)
		if (strncmp(environ[i], COMMANDS_IMAGE, strlen(COMMANDS_IMAGE)) != 0)
			c->environment[kept++] = environ[i];
	return true;
}

void commands_destroy(struct commands *c)
{
	if (c->environment != NULL)
		free(c->environment[0]);
	free(c->environment);
	*c = (struct commands){ 0 };
}

/* ---- In the guardian. ---- */

static _Noreturn void commands_exec(const struct commands *c, const char *command, int output)
{
	char shell[] = "sh", option[] = "-c";
	/* execve(2) writes to none of them. */
	char *const argv[] = { shell, option, (char *)(uintptr_t)command, NULL };
	sigset_t none;

	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(output, STDOUT_FILENO) >= 0 && dup2(output, STDERR_FILENO) >= 0 &&
	    syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) == 0)
		execve("/bin/sh", argv, c->environment);
	_exit(127);
}

int commands_run(const struct commands *c, const struct commands_run *run, int signals, int output)
{
	struct pollfd child = { .fd = signals, .events = POLLIN };
	struct signalfd_siginfo ignored;
	int status = COMMANDS_STILL_RUNS;
	pid_t pid;

	/* No handlers of pthread_atfork(3): this is a copy of one thread of many. */
	pid = _Fork();
	if (pid == 0)
		commands_exec(c, run->command, output);
	if (pid < 0)
		return COMMANDS_NOT_BEGUN;
	/* Here as well: it may have to be ended before it gets to do so itself. */
	setpgid(pid, pid);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (clock_ns() >= run->deadline_ns) {
			if (!run->end)
				return COMMANDS_STILL_RUNS;
			kill(-pid, SIGKILL);
			while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
				;
			return COMMANDS_STILL_RUNS;
		}
		poll(&child, 1, clock_poll_ms(run->deadline_ns));
		/* Taken before it is looked for, so that the next one wakes us again. */
		while (read(signals, &ignored, sizeof(ignored)) > 0)
			;
	}
	return status;
}

/* ---- What the freezer says. ---- */

/* "exit status 3". */
static void commands_ending(int status, char *ret, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(ret, size, "ended by signal %d", WTERMSIG(status));
	else
		snprintf(ret, size, "exit status %d", WEXITSTATUS(status));
}

bool commands_failed(const struct guardian_reply *reply, uint64_t max_freeze_ms,
		     struct mfd_error *err)
{
	char ending[64];

	commands_ending(reply->os_errno, ending, sizeof(ending));
	switch (reply->problem) {
	case GUARDIAN_COMMAND:
		return error_set(err, MFD_CONFIG, "the freeze command failed: %s", ending);
	case GUARDIAN_EXPIRED:
		return error_set(err, MFD_TRY_AGAIN,
				 "the freeze command did not end within %" PRIu64
				 " ms, all that --max-freeze allows",
				 max_freeze_ms);
	case GUARDIAN_THAW_COMMAND:
		if (reply->os_errno == COMMANDS_STILL_RUNS)
			return error_set(err, MFD_CONFIG,
					 "the thaw command still runs after %d s; "
					 "the writer may still be frozen",
					 COMMANDS_THAW_MS / 1000);
		return error_set(err, MFD_CONFIG,
				 "the thaw command failed: %s; the writer may still be frozen",
				 ending);
	default:
		return error_set_os(err, MFD_OS, reply->os_errno, "running the freeze command");
	}
}
