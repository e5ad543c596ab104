/* SPDX-License-Identifier: MIT */
/*
 * Loops over system calls on descriptors.
 */
#include "base/io.h"

#include <errno.h>
#include <unistd.h>

ssize_t io_pread(int fd, void *buffer, size_t size, uint64_t offset)
{
	uint8_t *bytes = buffer;
	size_t done = 0;
	ssize_t got;

	while (done < size) {
		got = pread(fd, bytes + done, size - done, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

int io_pwrite(int fd, const void *bytes, size_t size, uint64_t offset)
{
	const uint8_t *from = bytes;
	size_t done = 0;
	ssize_t put;

	while (done < size) {
		put = pwrite(fd, from + done, size - done, (off_t)(offset + done));
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return errno;
		/* No byte and no error: the end of a device, on some systems. */
		if (put == 0)
			return ENOSPC;
		done += (size_t)put;
	}
	return 0;
}

struct iovec *io_advance(struct iovec *iov, unsigned *count, size_t done)
{
	while (*count && done >= iov->iov_len) {
		done -= iov->iov_len;
		iov++;
		(*count)--;
	}
	if (*count && done) {
		iov->iov_base = (uint8_t *)iov->iov_base + done;
		iov->iov_len -= done;
	}
	return iov;
}

void io_close(int fd)
{
	int saved = errno;

	/*
	 * Not again after EINTR: on Linux the descriptor is gone already, and another thread
	 * may have its number by now.
	 */
	if (fd >= 0)
		close(fd);
	errno = saved;
}

void io_auto_close(int *fd)
{
	io_close(*fd);
}

int io_steal(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}
