/* SPDX-License-Identifier: MIT */
/*
 * The file source: a regular file or a block device, read to the size it has when it is
 * opened.  The producer walks it by extents (SEEK_DATA, SEEK_HOLE); sender threads read their
 * batches with pread(2).
 *
 * A page that holds data in part is data.  The file may grow while it is read: what lies behind
 * its first size is not part of the image.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/io.h"
#include "source/cache.h"
#include "source/extents.h"
#include "source/source.h"

struct source_file {
	/* Set by the constructor, const afterwards. */
	struct source base;
	char *path;              /* as the user gave it: base.info.name points into it */
	int fd;                  /* its file position is the producer's; others use pread(2) */
	bool regular;
	struct source_cache cache;
	struct mfd_error warning; /* its text is base.info.warning */

	/* Producer only. */
	bool holes;              /* SEEK_DATA works here */
	struct extents extents;
};

/* Some file systems, and all block devices, have no idea of holes. */
static bool file_no_holes_here(int os_errno)
{
	return os_errno == EINVAL || os_errno == EOPNOTSUPP || os_errno == ESPIPE;
}

/* An extents_find_fn: two system calls for an extent, however large it is. */
static bool file_find_data(void *source, uint64_t at, uint64_t *ret_first, uint64_t *ret_end,
			   struct mfd_error *err)
{
	struct source_file *s = source;
	off_t data, hole;

	*ret_first = at;
	if (!s->holes)
		return true;
	data = lseek(s->fd, (off_t)(at * PAGE_BYTES), SEEK_DATA);
	if (data < 0 && errno == ENXIO) {
		*ret_first = *ret_end;
		return true;
	}
	hole = data < 0 ? -1 : lseek(s->fd, data, SEEK_HOLE);
	if (hole < 0) {
		/*
		 * ENXIO here: cut off between the two calls.  Reading it as data is what finds
		 * that out.
		 */
		s->holes = !file_no_holes_here(errno);
		return !s->holes || errno == ENXIO ||
		       error_set_os(err, MFD_IO, errno, "%s: SEEK_DATA", s->path);
	}
	*ret_first = (uint64_t)data / PAGE_BYTES;
	*ret_end = batch_pages_of((uint64_t)hole);
	return true;
}

static bool file_next(struct source *source, uint32_t max_pages, uint8_t *buffer,
		      const struct event *stop, struct batch *ret_batch, bool *ret_end,
		      struct mfd_error *err)
{
	struct source_file *s = (struct source_file *)source;

	(void)buffer;
	(void)stop;
	return extents_next(&s->extents, max_pages, ret_batch, ret_end, err);
}

/* The file now ends at @end, and @missing bytes that the image has are gone. */
static bool file_shrunk(const struct source_file *s, uint64_t missing, uint64_t end,
			struct mfd_error *err)
{
	return error_set(err, MFD_NO_INPUT,
			 "%s: the source became shorter while it was read (%" PRIu64
			 " bytes missing at %" PRIu64 ")",
			 s->path, missing, end);
}

/* @count pages from page @first on; what the last one lacks is zeros. */
static bool file_read_run(struct source_file *s, uint64_t first, uint64_t count, uint8_t *buffer,
			  struct mfd_error *err)
{
	uint64_t offset = first * PAGE_BYTES;
	size_t padded = (size_t)count * PAGE_BYTES;
	uint64_t left = s->base.info.size - offset;
	size_t want = left < padded ? (size_t)left : padded;
	ssize_t got = source_cache_pread(&s->cache, buffer, want, offset);

	if (got < 0)
		return error_set_os(err, MFD_IO, errno, "%s: read at %" PRIu64, s->path, offset);
	if ((size_t)got < want)
		return file_shrunk(s, want - (size_t)got, offset + (uint64_t)got, err);
	memset(buffer + want, 0, padded - want);
	return true;
}

static bool file_read(struct source *source, const struct batch *batch, uint8_t *buffer,
		      struct mfd_error *err)
{
	struct source_file *s = (struct source_file *)source;
	uint32_t i, n;

	if (batch->zero_run)
		return true;
	for (i = 0; bitmap_next_run(batch->data, (uint32_t)batch->count, &i, &n); i += n)
		if (!file_read_run(s, batch->first + i, n, buffer + (size_t)i * PAGE_BYTES, err))
			return false;
	return true;
}

/*
 * One round.  The last look at the size also finds a file cut off in a hole, where nothing is
 * read.
 */
static bool file_end_round(struct source *source, uint32_t round, bool *ret_again,
			   uint64_t *ret_size, struct mfd_error *err)
{
	struct source_file *s = (struct source_file *)source;
	struct stat st;

	(void)round;
	if (fstat(s->fd, &st) < 0)
		return error_set_os(err, MFD_IO, errno, "%s", s->path);
	if (s->regular && (uint64_t)st.st_size < s->base.info.size)
		return file_shrunk(s, s->base.info.size - (uint64_t)st.st_size,
				   (uint64_t)st.st_size, err);
	*ret_again = false;
	*ret_size = s->base.info.size;
	return true;
}

static void file_free(struct source *source)
{
	struct source_file *s = (struct source_file *)source;

	source_cache_destroy(&s->cache);
	io_close(s->fd);
	free(s->path);
	free(s);
}

static const struct source_ops file_ops = {
	.kind = "file",
	.next = file_next,
	.read = file_read,
	.end_round = file_end_round,
	.report = source_report_nothing,
	.free = file_free,
};

/*
 * Files in /proc are regular, say 0 bytes and hold more: such a copy would be empty and look
 * whole.
 */
static bool file_check_empty(int fd, const char *path, struct mfd_error *err)
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
static bool file_inspect(struct source_file *s, struct mfd_error *err)
{
	struct source_info *info = &s->base.info;
	struct stat st;
	off_t size;

	if (fstat(s->fd, &st) < 0)
		return error_set_os(err, MFD_NO_INPUT, errno, "%s", s->path);
	if (S_ISDIR(st.st_mode))
		return error_set_os(err, MFD_NO_INPUT, EISDIR, "%s", s->path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(
			err, MFD_NO_INPUT,
			"%s: neither a regular file nor a block device; use - and redirect it",
			s->path);
	s->regular = S_ISREG(st.st_mode);
	if (s->regular) {
		info->size = (uint64_t)st.st_size;
		info->allocated = (uint64_t)st.st_blocks * 512;
		if (info->allocated > info->size)
			info->allocated = info->size;
		return info->size > 0 || file_check_empty(s->fd, s->path, err);
	}
	size = lseek(s->fd, 0, SEEK_END);
	if (size < 0)
		return error_set_os(err, MFD_NO_INPUT, errno, "%s", s->path);
	if (size == 0)
		return error_set_os(err, MFD_NO_INPUT, ENOMEDIUM, "%s", s->path);
	info->size = (uint64_t)size;
	info->allocated = UINT64_MAX;
	return true;
}

/* How the pages are read, and what the user should know about that. */
static void file_open_cache(struct source_file *s, enum mfd_cache wanted)
{
	if (source_cache_init(&s->cache, wanted, s->fd, s->base.info.size, &s->warning))
		return;
	error_wrap(&s->warning, "--cache=drop instead of direct: %s", s->path);
	s->base.info.warning = s->warning.text;
}

/*
 * A file of a memory file system that has all its pages.  There SEEK_HOLE looks at each page of
 * an extent (8 ms per GiB, in the producer and before the first batch), where others look at one
 * entry.  Blocks beyond the end, or set aside and never written, can hide holes from this; they
 * are then read, and found to be zero.
 */
static bool file_dense_in_memory(int fd)
{
	struct statfs fs;
	struct stat st;

	return fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC && fstat(fd, &st) == 0 &&
	       (uint64_t)st.st_blocks * 512 >= (uint64_t)st.st_size;
}

bool source_file_new(const char *path, enum mfd_cache cache, struct source **ret,
		     struct mfd_error *err)
{
	struct source_file *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return error_set_os(err, MFD_OS, errno, "%s", path);
	s->fd = -1;
	s->cache.direct = -1;
	s->base.ops = &file_ops;
	s->path = strdup(path);
	if (s->path == NULL) {
		error_set_os(err, MFD_OS, errno, "%s", path);
		goto fail;
	}
	/*
	 * O_NONBLOCK: opening a FIFO that nobody writes to would hang.  It changes nothing for
	 * what is accepted.
	 */
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (s->fd < 0) {
		error_set_os(err, MFD_NO_INPUT, errno, "%s", path);
		goto fail;
	}
	if (!file_inspect(s, err))
		goto fail;
	s->base.info.name = strrchr(s->path, '/') != NULL ? strrchr(s->path, '/') + 1 : s->path;
	s->base.info.rereadable = true;
	file_open_cache(s, cache);
	extents_init(&s->extents, file_find_data, s, batch_pages_of(s->base.info.size));
	s->holes = s->regular && !file_dense_in_memory(s->fd);
	*ret = &s->base;
	return true;
fail:
	file_free(&s->base);
	return false;
}
