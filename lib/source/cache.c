/* SPDX-License-Identifier: MIT */
/*
 * Reading with care for the page cache.
 */
#include "source/cache.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/direct.h"
#include "base/io.h"
#include "core/batch.h"

static_assert(PAGE_BYTES % DIRECT_BLOCK == 0, "whole pages can be read directly");

/*
 * mincore(2) answers truly only those who own the file or may write to it; to others every page
 * seems to be in the cache.
 */
static bool cache_may_ask(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return false;
	return geteuid() == 0 || geteuid() == st.st_uid || (flags & O_ACCMODE) == O_RDWR;
}

/* Address space only: the mapping is never touched. */
static void cache_map(struct source_cache *c, uint64_t size)
{
	void *map;

	if (size == 0 || size > SIZE_MAX || !cache_may_ask(c->fd))
		return;
	map = mmap(NULL, (size_t)size, PROT_NONE, MAP_SHARED | MAP_NORESERVE, c->fd, 0);
	if (map == MAP_FAILED)
		return;
	c->map = map;
	c->map_bytes = size;
}

bool source_cache_init(struct source_cache *c, enum mfd_cache wanted, int fd, uint64_t size,
		       struct mfd_error *why)
{
	bool ok = true;

	*c = (struct source_cache){ .mode = wanted, .fd = fd, .direct = -1 };
	if (wanted == MFD_CACHE_DIRECT && !direct_open(fd, O_RDONLY, &c->direct, why)) {
		c->mode = MFD_CACHE_DROP;
		ok = false;
	}
	if (c->mode == MFD_CACHE_DROP)
		cache_map(c, size);
	/* Only advice: a failure changes nothing. */
	(void)posix_fadvise(fd, 0, 0,
			    c->mode == MFD_CACHE_KEEP ? POSIX_FADV_SEQUENTIAL : POSIX_FADV_RANDOM);
	return ok;
}

/* Drop the system's pages [from, to); dirty ones stay, whoever made them so. */
static void cache_drop(const struct source_cache *c, uint64_t from, uint64_t to, uint64_t page)
{
	(void)posix_fadvise(c->fd, (off_t)(from * page), (off_t)((to - from) * page),
			    POSIX_FADV_DONTNEED);
}

/* Read, then drop what was not in the cache before. */
static ssize_t cache_pread_drop(const struct source_cache *c, void *buffer, size_t size,
				uint64_t offset)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t first = offset / page, count = (offset + size + page - 1) / page - first;
	uint8_t before[BATCH_MAX_PAGES + 1];
	bool told = c->map != NULL && offset + size <= c->map_bytes && count <= sizeof(before) &&
		    mincore(c->map + first * page, (size_t)(count * page), before) == 0;
	ssize_t got = io_pread(c->fd, buffer, size, offset);
	uint64_t i, end;

	if (!told) {
		cache_drop(c, first, first + count, page);
		return got;
	}
	for (i = 0; i < count; i = end + 1) {
		for (end = i; end < count && !(before[end] & 1);)
			end++;
		if (end > i)
			cache_drop(c, first + i, first + end, page);
	}
	return got;
}

/*
 * In whole blocks, the last one beyond the file's end, where the kernel stops by itself.  Behind
 * what it leaves in the middle of a block, and where it wants no direct I/O after all, plain
 * reads go on.
 */
static ssize_t cache_pread_direct(const struct source_cache *c, uint8_t *buffer, size_t size,
				  uint64_t offset)
{
	const size_t padded = (size + DIRECT_BLOCK - 1) / DIRECT_BLOCK * DIRECT_BLOCK;
	size_t done = 0;
	ssize_t got;

	while (done < size && done % DIRECT_BLOCK == 0) {
		got = pread(c->direct, buffer + done, padded - done, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno != EINVAL)
			return -1;
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	if (done >= size)
		return (ssize_t)size;
	got = cache_pread_drop(c, buffer + done, size - done, offset + done);
	return got < 0 ? -1 : (ssize_t)done + got;
}

ssize_t source_cache_pread(const struct source_cache *c, void *buffer, size_t size, uint64_t offset)
{
	switch (c->mode) {
	case MFD_CACHE_DROP:
		return cache_pread_drop(c, buffer, size, offset);
	case MFD_CACHE_DIRECT:
		return cache_pread_direct(c, buffer, size, offset);
	default:
		return io_pread(c->fd, buffer, size, offset);
	}
}

void source_cache_destroy(struct source_cache *c)
{
	if (c->map != NULL)
		munmap(c->map, (size_t)c->map_bytes);
	io_close(c->direct);
	c->map = NULL;
	c->direct = -1;
}
