/* SPDX-License-Identifier: MIT */
/*
 * Writing with care for the page cache.
 */
#include "sink/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/direct.h"
#include "base/io.h"

void sink_cache_init(struct sink_cache *c)
{
	memset(c, 0, sizeof(*c));
	c->fd = c->direct = -1;
	pthread_mutex_init(&c->lock, NULL);
}

bool sink_cache_open(struct sink_cache *c, enum mfd_cache wanted, int fd, struct mfd_error *why)
{
	c->mode = wanted;
	c->fd = fd;
	if (wanted != MFD_CACHE_DIRECT || direct_open(fd, O_WRONLY, &c->direct, why))
		return true;
	c->mode = MFD_CACHE_DROP;
	return false;
}

/* Not every file system knows this call, and none has to: 0 or an errno that means lost data. */
static int cache_sync(int fd, const struct sink_cache_window *w, unsigned flags)
{
	int n;

	do
		n = sync_file_range(fd, (off_t)w->start, (off_t)(w->end - w->start), flags);
	while (n < 0 && errno == EINTR);
	if (n == 0 || errno == EINVAL || errno == ENOSYS || errno == ESPIPE || errno == EOPNOTSUPP)
		return 0;
	return errno;
}

/*
 * @size bytes at @offset were written.  The errors of a writeback are told once for each
 * descriptor: what is told to the wait here, fsync(2) will not say again.
 */
static int cache_wrote(struct sink_cache *c, uint64_t offset, uint64_t size)
{
	struct sink_cache_window full = { .end = 0 }, old = { .end = 0 };
	struct sink_cache_window *now = &c->now;
	int e = 0;

	pthread_mutex_lock(&c->lock);
	if (now->end == 0 || offset < now->start)
		now->start = offset;
	if (offset + size > now->end)
		now->end = offset + size;
	now->written += size;
	if (now->written >= SINK_CACHE_STEP) {
		full = *now;
		old = c->behind[c->closed % SINK_CACHE_WINDOWS];
		c->behind[c->closed % SINK_CACHE_WINDOWS] = full;
		c->closed++;
		memset(now, 0, sizeof(*now));
	}
	pthread_mutex_unlock(&c->lock);

	if (full.end != 0)
		e = cache_sync(c->fd, &full, SYNC_FILE_RANGE_WRITE);
	if (e == 0 && old.end != 0) {
		e = cache_sync(c->fd, &old, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
						    SYNC_FILE_RANGE_WAIT_AFTER);
		(void)posix_fadvise(c->fd, (off_t)old.start, (off_t)(old.end - old.start),
				    POSIX_FADV_DONTNEED);
	}
	return e;
}

int sink_cache_write(struct sink_cache *c, const void *bytes, size_t size, uint64_t offset)
{
	size_t direct = c->direct < 0 ? 0 : size / DIRECT_BLOCK * DIRECT_BLOCK;
	int e = 0;

	if (direct > 0)
		e = io_pwrite(c->direct, bytes, direct, offset);
	/* No direct I/O after all, or not from this memory: all of it once more, plainly. */
	if (e == EINVAL)
		direct = e = 0;
	if (e != 0 || direct == size)
		return e;
	e = io_pwrite(c->fd, (const uint8_t *)bytes + direct, size - direct, offset + direct);
	if (e != 0 || c->mode == MFD_CACHE_KEEP)
		return e;
	return cache_wrote(c, offset + direct, size - direct);
}

void sink_cache_finish(struct sink_cache *c, uint64_t size)
{
	if (c->mode != MFD_CACHE_KEEP && size > 0)
		(void)posix_fadvise(c->fd, 0, (off_t)size, POSIX_FADV_DONTNEED);
}

void sink_cache_destroy(struct sink_cache *c)
{
	io_close(c->direct);
	pthread_mutex_destroy(&c->lock);
}
