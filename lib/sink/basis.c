/* SPDX-License-Identifier: MIT */
/*
 * Reading what is there already.
 */
#include "sink/basis.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/zero.h"

void sink_basis_init(struct sink_basis *b)
{
	*b = (struct sink_basis){ .own = -1, .old = -1 };
}

static void basis_close_old(struct sink_basis *b)
{
	io_close(b->old);
	b->old = -1;
	b->old_bytes = 0;
}

void sink_basis_destroy(struct sink_basis *b)
{
	basis_close_old(b);
	free(b->old_path);
	b->old_path = NULL;
}

bool sink_basis_open(struct sink_basis *b, const char *path, struct mfd_error *err)
{
	struct stat st;
	off_t size;

	b->old_path = strdup(path);
	if (b->old_path == NULL)
		return error_set_os(err, MFD_OS, errno, "%s", path);
	/* O_NONBLOCK: a FIFO that nobody writes to would hang us. */
	b->old = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (b->old < 0 || fstat(b->old, &st) < 0)
		return error_set_os(err, MFD_NO_INPUT, errno, "basis %s", path);
	if (S_ISDIR(st.st_mode))
		return error_set_os(err, MFD_NO_INPUT, EISDIR, "basis %s", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(err, MFD_NO_INPUT,
				 "basis %s is neither a regular file nor a block device", path);
	size = lseek(b->old, 0, SEEK_END);
	if (size < 0)
		return error_set_os(err, MFD_NO_INPUT, errno, "basis %s", path);
	b->old_bytes = (uint64_t)size;
	return true;
}

bool sink_basis_clone(struct sink_basis *b, int fd)
{
	if (b->old < 0 || ioctl(fd, FICLONE, b->old) < 0)
		return false;
	b->own = fd;
	b->own_bytes = b->old_bytes;
	basis_close_old(b);
	return true;
}

bool sink_basis_any(const struct sink_basis *b)
{
	return b->own >= 0 || b->old >= 0;
}

uint64_t sink_basis_pages(const struct sink_basis *b)
{
	return batch_pages_of(b->own_bytes > b->old_bytes ? b->own_bytes : b->old_bytes);
}

/* In one layer.  What knows no holes is data. */
static uint64_t basis_data_in(int fd, uint64_t bytes, uint64_t page, uint64_t limit)
{
	off_t data;

	if (fd < 0 || page >= batch_pages_of(bytes))
		return limit;
	data = lseek(fd, (off_t)(page * PAGE_BYTES), SEEK_DATA);
	if (data < 0)
		return errno == ENXIO ? limit : page;
	return (uint64_t)data / PAGE_BYTES < limit ? (uint64_t)data / PAGE_BYTES : limit;
}

uint64_t sink_basis_data(const struct sink_basis *b, uint64_t page, uint64_t limit)
{
	return basis_data_in(b->old, b->old_bytes, page,
			     basis_data_in(b->own, b->own_bytes, page, limit));
}

/* Whole pages of one layer; what it does not have is zeros.  0 or an errno. */
static int basis_read_in(int fd, uint64_t bytes, uint64_t offset, uint8_t *buffer, size_t size)
{
	uint64_t left = fd >= 0 && offset < bytes ? bytes - offset : 0;
	size_t want = left < size ? (size_t)left : size;
	ssize_t got = want > 0 ? io_pread(fd, buffer, want, offset) : 0;

	if (got < 0)
		return errno;
	/* Shorter than it was: what is gone is not kept by anybody. */
	memset(buffer + got, 0, size - (size_t)got);
	return 0;
}

static bool basis_failed(const struct sink_basis *b, int e, struct mfd_error *err)
{
	return error_set_os(err, MFD_IO, e, "reading the basis%s%s", b->old_path ? " " : "",
			    b->old_path ? b->old_path : "");
}

/* The pages that are zero in own, from old. */
static bool basis_fill(const struct sink_basis *b, uint64_t first, uint32_t count, uint8_t *buffer,
		       uint64_t *ret_copy, struct mfd_error *err)
{
	uint64_t data[BATCH_WORDS];
	uint32_t i, n;
	int e;

	memset(data, 0, sizeof(data));
	if (b->own >= 0) {
		bitmap_fill(data, count);
		(void)zero_scan(zero_best(), buffer, PAGE_BYTES, data, count);
	}
	bitmap_fill(ret_copy, count);
	for (uint32_t word = 0; word < BITMAP_WORDS(count); word++)
		ret_copy[word] &= ~data[word];
	for (i = 0; bitmap_next_run(ret_copy, count, &i, &n); i += n) {
		e = basis_read_in(b->old, b->old_bytes, (first + i) * PAGE_BYTES,
				  buffer + (size_t)i * PAGE_BYTES, (size_t)n * PAGE_BYTES);
		if (e != 0)
			return basis_failed(b, e, err);
	}
	return true;
}

bool sink_basis_read(const struct sink_basis *b, uint64_t first, uint32_t count, uint8_t *buffer,
		     uint64_t *ret_copy, struct mfd_error *err)
{
	int e;

	memset(ret_copy, 0, BITMAP_WORDS(count) * sizeof(*ret_copy));
	if (b->own >= 0 || b->old < 0) {
		e = basis_read_in(b->own, b->own_bytes, first * PAGE_BYTES, buffer,
				  (size_t)count * PAGE_BYTES);
		if (e != 0)
			return basis_failed(b, e, err);
	}
	return b->old < 0 || basis_fill(b, first, count, buffer, ret_copy, err);
}

void sink_basis_forget(const struct sink_basis *b, uint64_t first, uint64_t count)
{
	const int fds[] = { b->own, b->old };

	for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			(void)posix_fadvise(fds[i], (off_t)(first * PAGE_BYTES),
					    (off_t)(count * PAGE_BYTES), POSIX_FADV_DONTNEED);
}
