/* SPDX-License-Identifier: MIT */
/*
 * Files and block devices, opened, looked at and read.
 */
#include "source/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/io.h"

void backing_init(struct backing *b)
{
	*b = (struct backing){ .fd = -1, .cache = { .fd = -1, .direct = -1 } };
}

void backing_close(struct backing *b)
{
	source_cache_destroy(&b->cache);
	io_close(b->fd);
	free(b->path);
	backing_init(b);
}

uint64_t backing_pages(const struct backing *b)
{
	return batch_pages_of(b->size);
}

/* ---- Where its data lies. ---- */

/* Some file systems, and all block devices, have no idea of holes. */
static bool backing_no_holes_here(int os_errno)
{
	return os_errno == EINVAL || os_errno == EOPNOTSUPP || os_errno == ESPIPE;
}

bool backing_find(void *backing, uint64_t at, uint64_t *ret_first, uint64_t *ret_end,
		  struct mfd_error *err)
{
	struct backing *b = backing;
	off_t data, hole;

	*ret_first = at;
	if (!b->holes)
		return true;
	data = lseek(b->fd, (off_t)(at * PAGE_BYTES), SEEK_DATA);
	if (data < 0 && errno == ENXIO) {
		*ret_first = *ret_end;
		return true;
	}
	hole = data < 0 ? -1 : lseek(b->fd, data, SEEK_HOLE);
	if (hole < 0) {
		/*
		 * ENXIO here: cut off between the two calls.  Reading it as data is what finds
		 * that out.
		 */
		b->holes = !backing_no_holes_here(errno);
		return !b->holes || errno == ENXIO ||
		       error_set_os(err, MFD_IO, errno, "%s: SEEK_DATA", b->path);
	}
	*ret_first = (uint64_t)data / PAGE_BYTES;
	*ret_end = batch_pages_of((uint64_t)hole);
	return true;
}

/* ---- Its bytes. ---- */

/* The file now ends at @end, and @missing bytes that the image has are gone. */
static bool backing_shrunk(const struct backing *b, uint64_t missing, uint64_t end,
			   struct mfd_error *err)
{
	return error_set(err, MFD_NO_INPUT,
			 "%s: the source became shorter while it was read (%" PRIu64
			 " bytes missing at %" PRIu64 ")",
			 b->path, missing, end);
}

bool backing_read(const struct backing *b, uint64_t offset, uint8_t *buffer, size_t bytes,
		  struct mfd_error *err)
{
	const uint64_t left = b->size - offset;
	const size_t want = left < bytes ? (size_t)left : bytes;
	const ssize_t got = source_cache_pread(&b->cache, buffer, want, offset);

	if (got < 0)
		return error_set_os(err, MFD_IO, errno, "%s: read at %" PRIu64, b->path, offset);
	if ((size_t)got < want)
		return backing_shrunk(b, want - (size_t)got, offset + (uint64_t)got, err);
	memset(buffer + want, 0, bytes - want);
	return true;
}

bool backing_read_batch(const struct backing *b, const struct batch *batch, uint8_t *buffer,
			struct mfd_error *err)
{
	uint32_t i, n;

	if (batch->zero_run)
		return true;
	for (i = 0; bitmap_next_run(batch->data, (uint32_t)batch->count, &i, &n); i += n)
		if (!backing_read(b, (batch->first + i) * PAGE_BYTES,
				  buffer + (size_t)i * PAGE_BYTES, (size_t)n * PAGE_BYTES, err))
			return false;
	return true;
}

bool backing_check_size(const struct backing *b, struct mfd_error *err)
{
	struct stat st;

	if (fstat(b->fd, &st) < 0)
		return error_set_os(err, MFD_IO, errno, "%s", b->path);
	return !b->regular || (uint64_t)st.st_size >= b->size ||
	       backing_shrunk(b, b->size - (uint64_t)st.st_size, (uint64_t)st.st_size, err);
}

/* ---- Opening. ---- */

/*
 * Files in /proc are regular, say 0 bytes and hold more: such a copy would be empty and look
 * whole.
 */
static bool backing_check_empty(int fd, const char *path, struct mfd_error *err)
{
	char byte;
	ssize_t n = io_pread(fd, &byte, 1, 0);

	if (n < 0)
		return error_set_os(err, MFD_NO_INPUT, errno, "%s", path);
	if (n > 0)
		return error_set(err, MFD_NO_INPUT,
				 "%s: says that it is empty and holds data; use - and redirect it",
				 path);
	return true;
}

/* Fill size and allocated from what @fd is; refuse what is no file and no disk. */
static bool backing_inspect(struct backing *b, struct source_info *info, struct mfd_error *err)
{
	off_t size;

	if (fstat(b->fd, &b->st) < 0)
		return error_set_os(err, MFD_NO_INPUT, errno, "%s", b->path);
	if (S_ISDIR(b->st.st_mode))
		return error_set_os(err, MFD_NO_INPUT, EISDIR, "%s", b->path);
	if (!S_ISREG(b->st.st_mode) && !S_ISBLK(b->st.st_mode))
		return error_set(
			err, MFD_NO_INPUT,
			"%s: neither a regular file nor a block device; use - and redirect it",
			b->path);
	b->regular = S_ISREG(b->st.st_mode);
	if (b->regular) {
		info->size = b->size = (uint64_t)b->st.st_size;
		info->allocated = (uint64_t)b->st.st_blocks * 512;
		if (info->allocated > info->size)
			info->allocated = info->size;
		return info->size > 0 || backing_check_empty(b->fd, b->path, err);
	}
	size = lseek(b->fd, 0, SEEK_END);
	if (size < 0)
		return error_set_os(err, MFD_NO_INPUT, errno, "%s", b->path);
	if (size == 0)
		return error_set_os(err, MFD_NO_INPUT, ENOMEDIUM, "%s", b->path);
	info->size = b->size = (uint64_t)size;
	info->allocated = UINT64_MAX;
	return true;
}

/* How the pages are read, and what the user should know about that. */
static void backing_open_cache(struct backing *b, enum mfd_cache wanted)
{
	if (source_cache_init(&b->cache, wanted, b->fd, b->size, &b->warning))
		return;
	error_wrap(&b->warning, "--cache=drop instead of direct: %s", b->path);
}

/*
 * A file of a memory file system that has all its pages.  There SEEK_HOLE looks at each page of
 * an extent (8 ms per GiB, in the producer and before the first batch), where others look at one
 * entry.  Blocks beyond the end, or set aside and never written, can hide holes from this; they
 * are then read, and found to be zero.
 */
static bool backing_dense_in_memory(const struct backing *b)
{
	struct statfs fs;

	return fstatfs(b->fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC &&
	       (uint64_t)b->st.st_blocks * 512 >= (uint64_t)b->st.st_size;
}

bool backing_open(struct backing *b, const char *path, enum mfd_cache cache,
		  struct source_info *ret, struct mfd_error *err)
{
	b->path = strdup(path);
	if (b->path == NULL)
		return error_set_os(err, MFD_OS, errno, "%s", path);
	/*
	 * O_NONBLOCK: opening a FIFO that nobody writes to would hang.  It changes nothing for
	 * what is accepted.
	 */
	b->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (b->fd < 0)
		return error_set_os(err, MFD_NO_INPUT, errno, "%s", path);
	if (!backing_inspect(b, ret, err))
		return false;
	backing_open_cache(b, cache);
	b->holes = b->regular && !backing_dense_in_memory(b);
	ret->name = strrchr(b->path, '/') != NULL ? strrchr(b->path, '/') + 1 : b->path;
	ret->rereadable = true;
	ret->warning = b->warning.text[0] != '\0' ? b->warning.text : NULL;
	return true;
}

bool backing_adopt(struct backing *b, const char *path, int fd, struct mfd_error *err)
{
	b->fd = fd;
	b->path = strdup(path);
	if (b->path == NULL)
		return error_set_os(err, MFD_OS, errno, "%s", path);
	if (fstat(fd, &b->st) < 0)
		return error_set_os(err, MFD_NO_INPUT, errno, "%s", path);
	b->size = (uint64_t)b->st.st_size;
	b->regular = b->holes = true;
	backing_open_cache(b, MFD_CACHE_KEEP);
	return true;
}
