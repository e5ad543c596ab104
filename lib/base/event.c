/* SPDX-License-Identifier: MIT */
/*
 * Events on eventfd(2).
 */
#include "base/event.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

bool event_init(struct event *e, struct mfd_error *err)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		return error_set_os(err, MFD_OS, errno, "eventfd");
	e->fd = fd;
	return true;
}

void event_destroy(struct event *e)
{
	io_close(e->fd);
	e->fd = -1;
}

void event_raise(struct event *e)
{
	const uint64_t one = 1;
	int saved = errno; /* a signal handler must leave it as it found it */
	ssize_t put;

	/* EAGAIN, the counter at its end, means that it is readable already. */
	do {
		put = write(e->fd, &one, sizeof(one));
	} while (put < 0 && errno == EINTR);
	errno = saved;
}

bool event_clear(struct event *e)
{
	uint64_t count;
	ssize_t got;

	do {
		got = read(e->fd, &count, sizeof(count));
	} while (got < 0 && errno == EINTR);
	return got == (ssize_t)sizeof(count);
}

enum event_wait event_wait_fd(const struct event *stop, int fd, short events,
			      uint64_t deadline_ns)
{
	struct pollfd polled[2] = {
		{ .fd = stop->fd, .events = POLLIN },
		{ .fd = fd, .events = events },
	};
	int ready;

	for (;;) {
		ready = poll(polled, 2, clock_poll_ms(deadline_ns));
		/* Two entries need no memory of the kernel, so the only failure is EINTR. */
		if (ready < 0)
			continue;
		if (polled[0].revents)
			return EVENT_STOPPED;
		/* POLLERR and POLLHUP too: the caller's next call on it tells what happened. */
		if (polled[1].revents)
			return EVENT_READY;
		/* clock_poll_ms cuts a very long wait at INT_MAX ms: then there is time left. */
		if (clock_poll_ms(deadline_ns) == 0)
			return EVENT_TIMEOUT;
	}
}
