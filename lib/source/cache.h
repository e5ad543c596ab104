/* SPDX-License-Identifier: MIT */
/*
 * Reading a file with care for the page cache (--cache); the mirror image of sink/cache.h.
 *
 *	keep      plain reads: what was read stays in the cache, and readahead is the kernel's
 *	drop      pages that a read brought into the cache leave it right behind it; those that
 *	          were there before stay: somebody may need them.  mincore(2) tells them apart,
 *	          and the kernel's readahead is switched off, because its pages would look like
 *	          somebody's.  What keeps the disk busy is that the channels read in parallel.
 *	direct    O_DIRECT, and drop for what can't be read so
 *
 * A page is copied once, so its copy in the cache has served when the read returns: it need not
 * stay until the page is sent.
 */
#ifndef MFD_SOURCE_CACHE_H
#define MFD_SOURCE_CACHE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "core/options.h"

struct source_cache {
	/* Set by source_cache_init(), const afterwards. */
	enum mfd_cache mode;     /* what is done, not what was wished */
	int fd;                  /* the caller's */
	int direct;              /* -1: there is none */
	uint8_t *map;            /* of the file, only to ask mincore(2); NULL: it would not tell */
	uint64_t map_bytes;
};

/*
 * Read @fd, which has @size bytes, as @wanted says.  False with the reason in @why when drop has
 * to do for direct; the cache is ready either way.
 */
bool source_cache_init(struct source_cache *c, enum mfd_cache wanted, int fd, uint64_t size,
		       struct mfd_error *why) MFD_MUST_CHECK;

/*
 * As io_pread(), for at most one batch.  @offset is at a whole page, and @buffer is aligned to
 * one and has room for whole pages.
 */
ssize_t source_cache_pread(const struct source_cache *c, void *buffer, size_t size,
			   uint64_t offset) MFD_MUST_CHECK;

/* The descriptor stays the caller's. */
void source_cache_destroy(struct source_cache *c);

#endif
