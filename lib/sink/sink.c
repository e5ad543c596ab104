/* SPDX-License-Identifier: MIT */
/*
 * What sinks share: writing with the path in the error, zeros in steps, the look at the stop
 * event.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <unistd.h>

#include "base/direct.h"
#include "sink/backend.h"

/* Small enough to stay in L2, large enough to make few system calls. */
#define SINK_ZEROS 65536u

/* Aligned, so that it can be written directly. */
static alignas(DIRECT_BLOCK) const uint8_t sink_zeros[SINK_ZEROS];

bool sink_check_stop(const struct event *stop, struct mfd_error *err)
{
	/* A deadline that has passed: a look, no wait. */
	if (event_wait_fd(stop, -1, 0, 0) == EVENT_STOPPED)
		return error_set(err, MFD_TRY_AGAIN, "cancelled");
	return true;
}

bool sink_write_at(struct sink_cache *cache, const char *path, uint64_t offset,
		   const void *bytes, size_t size, struct mfd_error *err)
{
	int e = sink_cache_write(cache, bytes, size, offset);

	return e == 0 || error_set_os(err, MFD_IO, e, "%s", path);
}

int sink_write_zeros(struct sink_cache *cache, uint64_t offset, uint64_t size)
{
	size_t n;
	int e = 0;

	for (; size > 0 && e == 0; offset += n, size -= n) {
		n = size < SINK_ZEROS ? (size_t)size : SINK_ZEROS;
		e = sink_cache_write(cache, sink_zeros, n, offset);
	}
	return e;
}

bool sink_zero_in_steps(struct sink *s, const char *path, uint64_t offset, uint64_t size,
			const struct event *stop,
			int (*step)(struct sink *s, uint64_t offset, uint64_t size),
			struct mfd_error *err)
{
	uint64_t n;
	int e;

	for (; size > 0; offset += n, size -= n) {
		if (!sink_check_stop(stop, err))
			return false;
		n = size < SINK_ZERO_STEP ? size : SINK_ZERO_STEP;
		e = step(s, offset, n);
		if (e != 0)
			return error_set_os(err, MFD_IO, e, "%s", path);
	}
	return true;
}

bool sink_settle_unsupported(struct sink *s, uint64_t size, int *ret_fd, struct mfd_error *err)
{
	(void)size;
	(void)ret_fd;
	return error_set(err, MFD_BUG, "%s: there is nothing to read again", s->ops->kind);
}

bool sink_settle(int fd, const char *path, uint64_t size, struct mfd_error *err)
{
	if (!sink_flush(fd, path, err))
		return false;
	if (size > 0)
		(void)posix_fadvise(fd, 0, (off_t)size, POSIX_FADV_DONTNEED);
	return true;
}

bool sink_flush(int fd, const char *path, struct mfd_error *err)
{
	int n;

	do
		n = fsync(fd);
	while (n < 0 && errno == EINTR);
	return n == 0 || error_set_os(err, MFD_IO, errno, "%s: fsync", path);
}
