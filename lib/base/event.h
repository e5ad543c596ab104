/* SPDX-License-Identifier: MIT */
/*
 * An event another thread can poll for: an eventfd.  Raised as often as one likes, readable until
 * cleared. (Linux; a pipe serves elsewhere.)
 */
#ifndef MFD_BASE_EVENT_H
#define MFD_BASE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct event {
	int fd;
};

bool event_init(struct event *e, struct mfd_error *err) MFD_MUST_CHECK;
void event_destroy(struct event *e);

/* Make it readable.  Any thread, also a signal handler. */
void event_raise(struct event *e);

/* Make it unreadable again; true if it had been raised.  The one thread that polls it. */
bool event_clear(struct event *e);

enum event_wait { EVENT_READY, EVENT_STOPPED, EVENT_TIMEOUT };

/*
 * Wait until @fd shows one of @events (poll(2)), @stop is raised (and left raised) or @deadline_ns
 * passes; @fd -1 only sleeps.
 * @stop wins when both are ready.
 */
enum event_wait event_wait_fd(const struct event *stop, int fd, short events, uint64_t deadline_ns);

#endif
