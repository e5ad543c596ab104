/* SPDX-License-Identifier: MIT */
/*
 * The file sink.  Normally it fills a sparse temporary file beside the output, which takes the
 * output's name when it is complete; until then what stood there stays as it is.  In place it
 * writes into the output itself, which is damaged until the end.
 *
 * Memory images hold secrets: a new output is readable by its owner only (0600, whatever the
 * umask allows), one that replaces another keeps the other's mode and owner.  Access lists and
 * extended attributes are not taken over.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/io.h"
#include "sink/backend.h"

struct sink_file {
	/* Set by the constructor, const afterwards. */
	struct sink base;
	bool replace;            /* whatever stands there at the end */
	bool no_fsync;
	/* empty before us: what is not written reads as zeros; begin() may find that it is not */
	bool created;

	/* Session's main thread; receiver threads only use fd. */
	struct place place;      /* place.temp is NULL in place */
	int fd;
	struct sink_cache cache;
	pthread_mutex_t turn;    /* receiver threads, one pwrite(2) after another */
	struct sink_basis basis;
	struct mfd_error warning; /* its text is base.warning */
	bool unused;             /* in place: made by us, and nothing has begun yet */
	/*
	 * with resume: the descriptor that keeps the partial file locked until it has its name;
	 * else -1
	 */
	int lock;
};

/*
 * Is there room for what the image has that is no hole?  Some file systems do not say (0
 * blocks); quotas speak up later.
 */
static bool file_check_room(const struct sink_file *s, uint64_t allocated, struct mfd_error *err)
{
	struct statvfs fs;
	struct stat st;
	uint64_t have, room;

	if (fstatvfs(s->fd, &fs) < 0 || fstat(s->fd, &st) < 0)
		return error_set_os(err, MFD_IO, errno, "%s", s->place.path);
	have = (uint64_t)st.st_blocks * 512;
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (fs.f_blocks == 0 || allocated <= have || allocated - have <= room)
		return true;
	error_set(err, MFD_IO,
		  "%s: No space left on device: %" PRIu64 " bytes needed, %" PRIu64 " free",
		  s->place.path, allocated - have, room);
	err->os_errno = ENOSPC;
	return false;
}

static bool file_set_size(const struct sink_file *s, uint64_t size, struct mfd_error *err)
{
	enum mfd_status status;
	int n;

	/* Fits off_t: the wire's limit is 2^62. */
	do
		n = ftruncate(s->fd, (off_t)size);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return true;
	status = errno == EFBIG || errno == EINVAL ? MFD_CANT_CREATE : MFD_IO;
	return error_set_os(err, status, errno, "%s: size %" PRIu64, s->place.path, size);
}

static bool file_begin(struct sink *sink, uint64_t size, uint64_t allocated, struct mfd_error *err)
{
	struct sink_file *s = (struct sink_file *)sink;

	s->unused = false;
	/* As late as this, because somebody may still write to the older image while we wait. */
	if (s->created && sink_basis_clone(&s->basis, s->fd))
		s->created = false;
	if (allocated != UINT64_MAX && !file_check_room(s, allocated, err))
		return false;
	if (size == UINT64_MAX)
		return true;
	if (s->basis.own_bytes > size)
		s->basis.own_bytes = size;
	return file_set_size(s, size, err);
}

/*
 * One thread at a time where nothing but the page cache is written: the kernel locks the file
 * for the length of a write anyway, and there the others spin for it on CPUs that have pages to
 * receive and decode (5 % of the CPU time of both ends: zlib, 8 channels, 2 CPUs).
 */
static bool file_write(struct sink *sink, uint64_t offset, const void *bytes, size_t size,
		       struct mfd_error *err)
{
	struct sink_file *s = (struct sink_file *)sink;
	bool in_turn = s->cache.mode == MFD_CACHE_KEEP;
	bool ok;

	if (in_turn)
		pthread_mutex_lock(&s->turn);
	ok = sink_write_at(&s->cache, s->place.path, offset, bytes, size, err);
	if (in_turn)
		pthread_mutex_unlock(&s->turn);
	return ok;
}

/*
 * Where holes can't be punched, zeros are written, but not behind the file's end (the size may
 * not be known yet): what is not there reads as zeros once the file has grown.  Only pages of
 * this range matter, and nobody else writes those now.
 */
static int file_zero_by_writing(struct sink_file *s, uint64_t offset, uint64_t size)
{
	struct stat st;

	if (fstat(s->fd, &st) < 0)
		return errno;
	if ((uint64_t)st.st_size <= offset)
		return 0;
	if ((uint64_t)st.st_size - offset < size)
		size = (uint64_t)st.st_size - offset;
	return sink_write_zeros(&s->cache, offset, size);
}

static int file_zero_step(struct sink *sink, uint64_t offset, uint64_t size)
{
	struct sink_file *s = (struct sink_file *)sink;
	off_t data = s->base.basis ? lseek(s->fd, (off_t)offset, SEEK_DATA) : (off_t)offset;
	int n;

	/*
	 * A hole already: to punch it again would cost the file system a transaction.  With a
	 * basis zeros mostly fall where zeros were.
	 */
	if ((data < 0 && errno == ENXIO) || (data >= 0 && (uint64_t)data >= offset + size))
		return 0;
	do
		n = fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			      (off_t)size);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
		return file_zero_by_writing(s, offset, size);
	return n < 0 ? errno : 0;
}

static bool file_zero(struct sink *sink, uint64_t offset, uint64_t size, bool fresh,
		      const struct event *stop, struct mfd_error *err)
{
	struct sink_file *s = (struct sink_file *)sink;

	if (fresh && s->created)
		return true;
	return sink_zero_in_steps(sink, s->place.path, offset, size, stop, file_zero_step, err);
}

/*
 * Network file systems report some errors only here, so it comes before the rename.  The
 * descriptor is gone either way.
 */
static bool file_close(struct sink_file *s, struct mfd_error *err)
{
	int n = close(s->fd);

	s->fd = -1;
	return n == 0 || errno == EINTR ||
	       error_set_os(err, MFD_IO, errno, "%s: close", s->place.path);
}

static bool file_settle(struct sink *sink, uint64_t size, int *ret_fd, struct mfd_error *err)
{
	struct sink_file *s = (struct sink_file *)sink;

	*ret_fd = s->fd;
	return file_set_size(s, size, err) && sink_settle(s->fd, s->place.path, size, err);
}

/*
 * Everything that can fail comes before the last look at @stop; behind it there is only the
 * rename.
 */
static bool file_commit(struct sink *sink, uint64_t size, const struct event *stop,
			struct mfd_error *err)
{
	struct sink_file *s = (struct sink_file *)sink;
	bool temporary = s->place.temp != NULL;

	s->unused = false;
	if (!file_set_size(s, size, err))
		return false;
	if (temporary && !place_inherit(&s->place, s->fd, err))
		return false;
	if (!sink_check_stop(stop, err))
		return false;
	if (!s->no_fsync && !sink_flush(s->fd, s->place.path, err))
		return false;
	sink_cache_finish(&s->cache, size);
	if (!file_close(s, err) || !sink_check_stop(stop, err))
		return false;
	if (temporary && !place_put(&s->place, s->replace, err))
		return false;
	if (!s->no_fsync && (temporary || s->created))
		place_sync(&s->place);
	return true;
}

/* Something has been written: a file without a block would be no help to anybody. */
static bool file_worth_keeping(const struct sink_file *s)
{
	struct stat st;

	return s->place.temp != NULL && fstat(s->lock, &st) == 0 && st.st_blocks > 0;
}

static void file_free(struct sink *sink)
{
	struct sink_file *s = (struct sink_file *)sink;

	if (s->lock >= 0 && file_worth_keeping(s))
		place_keep(&s->place);
	sink_basis_destroy(&s->basis);
	sink_cache_destroy(&s->cache);
	pthread_mutex_destroy(&s->turn);
	io_close(s->fd);
	/*
	 * In place an image in part stays; an empty file that nobody ever sent anything for
	 * does not.
	 */
	if (s->unused)
		(void)unlinkat(s->place.dir, s->place.name, 0);
	/* The name first, then the lock: nobody may find it unlocked and then gone. */
	place_release(&s->place);
	io_close(s->lock);
	free(s);
}

static const struct sink_ops file_ops = {
	.kind = "file",
	.begin = file_begin,
	.write = file_write,
	.zero = file_zero,
	.commit = file_commit,
	.settle = file_settle,
	.free = file_free,
};

/* May what stands there be replaced, or written to, and in the way we would do it? */
static bool file_check_old(const struct place *p, const struct sink_file_options *options,
			   struct mfd_error *err)
{
	bool overwrite = options->inplace || S_ISBLK(p->old.st_mode);
	struct statx stx;

	if (!p->existed)
		return true;
	if (S_ISDIR(p->old.st_mode))
		return error_set_os(err, MFD_CANT_CREATE, EISDIR, "%s", p->path);
	if (!S_ISREG(p->old.st_mode) && !S_ISBLK(p->old.st_mode))
		return error_set(err, MFD_CANT_CREATE,
				 "%s is neither a regular file nor a block device", p->path);
	if (!options->force)
		return error_set(err, MFD_CANT_CREATE, "%s exists; --force %s it", p->path,
				 overwrite ? "overwrites" : "replaces");
	if (overwrite)
		return true;
	/*
	 * A file mounted into a container: it would hold the rename up, after the whole
	 * transfer.
	 */
	if (statx(p->dir, p->name, AT_SYMLINK_NOFOLLOW, 0, &stx) == 0 &&
	    (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return error_set(err, MFD_CANT_CREATE,
				 "%s is a mount point; --inplace writes into it", p->path);
	return true;
}

/* O_NONBLOCK and the second look: what we open might no longer be what we saw. */
static bool file_open_inplace(struct sink_file *s, const struct sink_file_options *options,
			      struct mfd_error *err)
{
	int create = s->place.existed ? 0 : O_CREAT | O_EXCL;
	int mode = options->delta || options->reread ? O_RDWR : O_WRONLY;
	struct stat st;

	s->fd = openat(s->place.dir, s->place.name,
		       mode | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | create, 0600);
	if (s->fd < 0 && errno == EEXIST)
		return error_set(err, MFD_CANT_CREATE, "%s appeared meanwhile; it is left as it is",
				 s->place.path);
	if (s->fd < 0)
		return error_set_os(err, MFD_CANT_CREATE, errno, "%s", s->place.path);
	s->created = s->unused = create != 0;
	if (fstat(s->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, MFD_CANT_CREATE, "%s is no longer a regular file",
				 s->place.path);
	if (options->delta && !s->created) {
		s->basis.own = s->fd;
		s->basis.own_bytes = (uint64_t)st.st_size;
	}
	return true;
}

/* What a session that failed has left is a basis; a new file is one that is empty. */
static bool file_open_partial(struct sink_file *s, struct mfd_error *err)
{
	struct stat st;

	if (!place_partial(&s->place, &s->fd, err))
		return false;
	s->lock = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
	if (s->lock < 0 || fstat(s->fd, &st) < 0)
		return error_set_os(err, MFD_OS, errno, "%s", s->place.path);
	s->created = st.st_blocks == 0;
	if (!s->created) {
		s->basis.own = s->fd;
		s->basis.own_bytes = (uint64_t)st.st_size;
	}
	return true;
}

/*
 * The older image that was named; who resumes without a name takes the file that is to be replaced:
 * it may be what a session has completed without the sender's hearing of it.
 */
static const char *file_basis(const struct sink_file *s, const struct sink_file_options *options)
{
	if (options->basis == NULL && options->resume && !options->inplace && s->place.existed)
		return s->place.path;
	return options->basis;
}

/* The file that is written to, and what it may take pages from. */
static bool file_open(struct sink_file *s, const struct sink_file_options *options,
		      struct mfd_error *err)
{
	const char *basis = file_basis(s, options);
	bool ok;

	if (options->delta && !options->inplace)
		return error_set(err, MFD_USAGE,
				 "--delta is for --inplace and for devices; --basis takes another "
				 "file");
	if (options->inplace) {
		ok = file_open_inplace(s, options, err);
	} else if (options->resume) {
		ok = file_open_partial(s, err);
	} else {
		ok = place_temporary(&s->place, &s->fd, err);
		s->created = ok;
	}
	return ok && (basis == NULL || sink_basis_open(&s->basis, basis, err));
}

bool sink_file_new(const char *path, const struct sink_file_options *options, struct sink **ret,
		   struct mfd_error *err)
{
	struct sink_file *s = calloc(1, sizeof(*s));
	bool ok;

	if (s == NULL)
		return error_set_os(err, MFD_OS, errno, "%s", path);
	s->base.ops = &file_ops;
	s->fd = s->lock = -1;
	sink_cache_init(&s->cache);
	pthread_mutex_init(&s->turn, NULL);
	sink_basis_init(&s->basis);
	s->replace = options->force;
	s->no_fsync = options->no_fsync;
	ok = place_find(&s->place, path, err) && file_check_old(&s->place, options, err);
	if (ok && s->place.existed && S_ISBLK(s->place.old.st_mode)) {
		ok = sink_device_new(&s->place, options, ret, err);
		file_free(&s->base);
		return ok;
	}
	if (!ok || !file_open(s, options, err)) {
		file_free(&s->base);
		return false;
	}
	if (sink_basis_any(&s->basis))
		s->base.basis = &s->basis;
	if (!sink_cache_open(&s->cache, options->cache, s->fd, &s->warning)) {
		error_wrap(&s->warning, "--cache=drop instead of direct: %s", path);
		s->base.warning = s->warning.text;
	}
	s->base.directory = s->place.dir;
	s->base.file = s->place.temp == NULL ? s->fd : -1;
	*ret = &s->base;
	return true;
}
