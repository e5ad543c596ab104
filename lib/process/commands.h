/* SPDX-License-Identifier: MIT */
/*
 * A pair of shell commands, one that freezes a writer and one that lets it go on: for what has a
 * pause of its own, such as a virtual machine monitor.  The guardian runs them, so that the second
 * is run whatever becomes of us.
 */
#ifndef MFD_PROCESS_COMMANDS_H
#define MFD_PROCESS_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "process/guardian.h"

/* A thaw command that takes longer is not waited for, and not stopped either. */
#define COMMANDS_THAW_MS 10000

/* In place of a status of waitpid(2): it has not ended. */
#define COMMANDS_STILL_RUNS (-1)

struct commands {
	const char *freeze, *thaw; /* the caller's; NULL: there are none */
	char **environment;        /* ours, and MFD_IMAGE; NULL: there are no commands */
};

/* @image: what MFD_IMAGE says.  Errors: MFD_OS. */
bool commands_init(struct commands *c, const char *freeze, const char *thaw, const char *image,
		   struct mfd_error *err) MFD_MUST_CHECK;

/* Also of a zeroed struct. */
void commands_destroy(struct commands *c);

struct commands_run {
	const char *command;
	uint64_t deadline_ns;
	bool end;                  /* end it then, with what it has started */
};

/*
 * Only system calls.  Run it by /bin/sh in a process group of its own, with no descriptors but 0
 * and, as 1 and 2, @output; its status as of waitpid(2), 127 where it could not be begun, or
 * COMMANDS_STILL_RUNS.  @signals: a signalfd(2) of SIGCHLD, which is blocked.
 */
int commands_run(const struct commands *c, const struct commands_run *run, int signals, int output);

/* What went wrong with them, in words; always false. */
bool commands_failed(const struct guardian_reply *reply, uint64_t max_freeze_ms,
		     struct mfd_error *err);

#endif
