/* SPDX-License-Identifier: MIT */
/*
 * The stream source: standard input, or any descriptor that can only be read in order.  Its
 * size is known when it ends; until then the producer waits for bytes with one eye on the stop
 * event, and hands them out in the buffer it was given.
 *
 * The descriptor is never made non-blocking: the flag lives in the open file, which the process
 * that feeds us may share.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "source/source.h"

struct source_stream {
	struct source base;
	int fd;                  /* the caller's */

	/* Producer only. */
	uint64_t bytes;          /* read so far */
	size_t begun;            /* in the next batch's buffer already: the wait was interrupted */
	bool ended;              /* a terminal can go on after its end: do not ask it twice */
};

/*
 * Read until @size bytes are there or the stream ends; a pipe gives 64 KiB at a time at most.
 */
static bool stream_fill(struct source_stream *s, uint8_t *buffer, size_t size,
			const struct event *stop, size_t *ret_got, struct mfd_error *err)
{
	size_t got = s->begun;
	ssize_t n;

	while (got < size && !s->ended) {
		s->begun = got;
		if (event_wait_fd(stop, s->fd, POLLIN, CLOCK_NEVER) == EVENT_STOPPED)
			return error_set(err, MFD_TRY_AGAIN, "cancelled");
		n = read(s->fd, buffer + got, size - got);
		if (n > 0)
			got += (size_t)n;
		else if (n == 0)
			s->ended = true;
		else if (errno != EINTR && errno != EAGAIN)
			return error_set_os(err, MFD_IO, errno, "standard input");
	}
	s->begun = 0;
	*ret_got = got;
	return true;
}

static bool stream_next(struct source *source, uint32_t max_pages, uint8_t *buffer,
			const struct event *stop, struct batch *ret_batch, bool *ret_end,
			struct mfd_error *err)
{
	struct source_stream *s = (struct source_stream *)source;
	size_t got = 0;
	size_t padded;

	if (!stream_fill(s, buffer, (size_t)max_pages * PAGE_BYTES, stop, &got, err))
		return false;
	*ret_end = got == 0;
	if (got == 0)
		return true;
	padded = (size_t)batch_pages_of(got) * PAGE_BYTES;
	memset(buffer + got, 0, padded - got);
	/* Only the last batch can be short, so what came before it is whole pages. */
	ret_batch->first = s->bytes / PAGE_BYTES;
	ret_batch->count = padded / PAGE_BYTES;
	ret_batch->region = 0;
	ret_batch->zero_run = false;
	memset(ret_batch->carried, 0, sizeof(ret_batch->carried));
	bitmap_fill(ret_batch->carried, (uint32_t)ret_batch->count);
	memcpy(ret_batch->data, ret_batch->carried, sizeof(ret_batch->data));
	s->bytes += got;
	return true;
}

static bool stream_end_round(struct source *source, uint32_t round, const struct event *stop,
			     bool *ret_again, uint64_t *ret_size, struct mfd_error *err)
{
	struct source_stream *s = (struct source_stream *)source;

	(void)stop;
	(void)round;
	(void)err;
	*ret_again = false;
	*ret_size = s->bytes;
	return true;
}

static void stream_free(struct source *source)
{
	free(source);
}

static const struct source_ops stream_ops = {
	.kind = "stream",
	.next = stream_next,
	.read = source_read_unsupported,
	.end_round = stream_end_round,
	.report = source_report_nothing,
	.free = stream_free,
};

bool source_stream_new(int fd, struct source **ret, struct mfd_error *err)
{
	struct source_stream *s;
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fstat(fd, &st) < 0)
		return error_set_os(err, MFD_NO_INPUT, errno, "standard input");
	if ((flags & O_ACCMODE) == O_WRONLY)
		return error_set(err, MFD_NO_INPUT, "standard input is not open for reading");
	if (S_ISDIR(st.st_mode))
		return error_set_os(err, MFD_NO_INPUT, EISDIR, "standard input");
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return error_set_os(err, MFD_OS, errno, "standard input");
	s->base.ops = &stream_ops;
	s->base.info =
		(struct source_info){ .name = "-", .size = UINT64_MAX, .allocated = UINT64_MAX };
	s->fd = fd;
	*ret = &s->base;
	return true;
}
