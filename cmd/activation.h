/* SPDX-License-Identifier: MIT */
/*
 * Socket activation: a service manager listens, and starts us with its sockets when somebody
 * knocks. The protocol is that of sd_listen_fds(3): LISTEN_PID says who is meant, LISTEN_FDS how
 * many there are, from descriptor 3 on.
 */
#ifndef MFD_CMD_ACTIVATION_H
#define MFD_CMD_ACTIVATION_H

#include <stddef.h>

/* One more than the library takes: too many is its error to tell. */
#define ACTIVATION_MAX 3

struct activation {
	int fd[ACTIVATION_MAX];
	size_t count;            /* 0: we were started some other way */
};

/* What the environment says, which is then taken out of it.  Before anything is opened. */
void activation_take(struct activation *a);

#endif
