/* SPDX-License-Identifier: MIT */
/*
 * The block device sink: written in place, never while it is mounted or otherwise in use.  What
 * lies behind the image's end is left as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "core/batch.h"
#include "sink/backend.h"

/*
 * BLKZEROOUT waits for the disk and empties caches; below this, zeros in the page cache are
 * faster.
 */
#define DEVICE_ZEROOUT_MIN (UINT64_C(1) << 20)

struct sink_device {
	/* Set by the constructor, const afterwards. */
	struct sink base;
	char *path;
	int fd;
	struct sink_cache cache;
	struct sink_basis basis;
	struct mfd_error warning; /* its text is base.warning */
	bool no_fsync;
	uint64_t size;
	uint64_t block;          /* what BLKZEROOUT wants its ranges aligned to */
};

static bool device_check_size(const struct sink_device *s, uint64_t size, struct mfd_error *err)
{
	if (size > s->size)
		return error_set(err, MFD_CANT_CREATE,
				 "%s: the device has %" PRIu64 " bytes, the image %" PRIu64,
				 s->path, s->size, size);
	return true;
}

static bool device_begin(struct sink *sink, uint64_t size, uint64_t allocated,
			 struct mfd_error *err)
{
	(void)allocated;
	return size == UINT64_MAX || device_check_size((struct sink_device *)sink, size, err);
}

/*
 * A device need not end with a whole page, and while the image's size is not known its last
 * page comes padded: what of that page has no room is left out.  Should it have been more than
 * padding, the commit sees it by the size.
 */
static uint64_t device_clip(const struct sink_device *s, uint64_t offset, uint64_t size)
{
	if (offset < s->size && size > s->size - offset &&
	    offset + size <= batch_pages_of(s->size) * PAGE_BYTES)
		return s->size - offset;
	return size;
}

static bool device_write(struct sink *sink, uint64_t offset, const void *bytes, size_t size,
			 struct mfd_error *err)
{
	struct sink_device *s = (struct sink_device *)sink;

	return sink_write_at(&s->cache, s->path, offset, bytes,
			     (size_t)device_clip(s, offset, size), err);
}

/* Whole blocks by BLKZEROOUT if they are worth it and it works here, the rest by writing. */
static int device_zero_step(struct sink *sink, uint64_t offset, uint64_t size)
{
	struct sink_device *s = (struct sink_device *)sink;
	uint64_t first = (offset + s->block - 1) / s->block * s->block;
	uint64_t end = (offset + size) / s->block * s->block;
	uint64_t range[2] = { first, end - first };
	int e;

	if (end < first + DEVICE_ZEROOUT_MIN)
		return sink_write_zeros(&s->cache, offset, size);
	if (ioctl(s->fd, BLKZEROOUT, range) < 0) {
		if (errno != EOPNOTSUPP && errno != ENOTTY && errno != EINVAL)
			return errno;
		return sink_write_zeros(&s->cache, offset, size);
	}
	e = sink_write_zeros(&s->cache, offset, first - offset);
	return e != 0 ? e : sink_write_zeros(&s->cache, end, offset + size - end);
}

/* Old content is everywhere, so @fresh changes nothing. */
static bool device_zero(struct sink *sink, uint64_t offset, uint64_t size, bool fresh,
			const struct event *stop, struct mfd_error *err)
{
	struct sink_device *s = (struct sink_device *)sink;

	(void)fresh;
	return sink_zero_in_steps(sink, s->path, offset, device_clip(s, offset, size), stop,
				  device_zero_step, err);
}

static bool device_commit(struct sink *sink, uint64_t size, const struct event *stop,
			  struct mfd_error *err)
{
	struct sink_device *s = (struct sink_device *)sink;

	if (!device_check_size(s, size, err) || !sink_check_stop(stop, err))
		return false;
	if (!s->no_fsync && !sink_flush(s->fd, s->path, err))
		return false;
	sink_cache_finish(&s->cache, size);
	return sink_check_stop(stop, err);
}

static bool device_settle(struct sink *sink, uint64_t size, int *ret_fd, struct mfd_error *err)
{
	struct sink_device *s = (struct sink_device *)sink;

	*ret_fd = s->fd;
	return device_check_size(s, size, err) && sink_settle(s->fd, s->path, size, err);
}

static void device_free(struct sink *sink)
{
	struct sink_device *s = (struct sink_device *)sink;

	sink_basis_destroy(&s->basis);
	sink_cache_destroy(&s->cache);
	io_close(s->fd);
	free(s->path);
	free(s);
}

static const struct sink_ops device_ops = {
	.kind = "device",
	.begin = device_begin,
	.write = device_write,
	.zero = device_zero,
	.commit = device_commit,
	.settle = device_settle,
	.free = device_free,
};

/*
 * Say where it is mounted.  Mounts that this namespace does not see, and swap, RAID and the
 * like, make the open fail with EBUSY.
 */
static bool device_check_mounts(dev_t device, const char *path, struct mfd_error *err)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t room = 0;
	unsigned id[2];
	char where[256];
	bool ok = true;

	if (mounts == NULL)
		return true;
	while (ok && getline(&line, &room, mounts) > 0)
		if (sscanf(line, "%*s %*s %u:%u %*s %255s", &id[0], &id[1], where) == 3 &&
		    makedev(id[0], id[1]) == device)
			ok = error_set(err, MFD_CANT_CREATE, "%s is mounted on %s", path, where);
	free(line);
	(void)fclose(mounts);
	return ok;
}

static bool device_open(struct sink_device *s, const struct place *place, bool reading,
			struct mfd_error *err)
{
	struct stat st;
	off_t size;
	int block;

	if (!device_check_mounts(place->old.st_rdev, s->path, err))
		return false;
	/*
	 * O_EXCL without O_CREAT: refused while anybody has claimed the device, and nobody can
	 * mount it under us.
	 */
	s->fd = openat(place->dir, place->name,
		       (reading ? O_RDWR : O_WRONLY) | O_EXCL | O_NOFOLLOW | O_CLOEXEC);
	if (s->fd < 0 && errno == EBUSY)
		return error_set_os(err, MFD_CANT_CREATE, errno, "%s is in use", s->path);
	if (s->fd < 0)
		return error_set_os(err, MFD_CANT_CREATE, errno, "%s", s->path);
	if (fstat(s->fd, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != place->old.st_rdev)
		return error_set(err, MFD_CANT_CREATE, "%s is no longer the device it was",
				 s->path);
	size = lseek(s->fd, 0, SEEK_END);
	if (size < 0 || ioctl(s->fd, BLKSSZGET, &block) < 0)
		return error_set_os(err, MFD_CANT_CREATE, errno, "%s", s->path);
	s->size = (uint64_t)size;
	s->block = block > 0 ? (uint64_t)block : 512;
	return true;
}

bool sink_device_new(const struct place *place, const struct sink_file_options *options,
		     struct sink **ret, struct mfd_error *err)
{
	struct sink_device *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return error_set_os(err, MFD_OS, errno, "%s", place->path);
	s->base.ops = &device_ops;
	s->fd = -1;
	sink_cache_init(&s->cache);
	sink_basis_init(&s->basis);
	s->no_fsync = options->no_fsync;
	s->path = strdup(place->path);
	if (s->path == NULL)
		error_set_os(err, MFD_OS, errno, "%s", place->path);
	if (s->path == NULL ||
	    !device_open(s, place, options->delta || options->resume || options->reread, err) ||
	    (options->basis != NULL && !sink_basis_open(&s->basis, options->basis, err))) {
		device_free(&s->base);
		return false;
	}
	if (options->delta || options->resume) {
		s->basis.own = s->fd;
		s->basis.own_bytes = s->size;
	}
	if (sink_basis_any(&s->basis))
		s->base.basis = &s->basis;
	if (!sink_cache_open(&s->cache, options->cache, s->fd, &s->warning)) {
		error_wrap(&s->warning, "--cache=drop instead of direct: %s", s->path);
		s->base.warning = s->warning.text;
	}
	s->base.directory = -1;
	s->base.file = s->fd;
	*ret = &s->base;
	return true;
}
