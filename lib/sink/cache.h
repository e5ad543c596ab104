/* SPDX-License-Identifier: MIT */
/*
 * Writing a file with care for the page cache (--cache); the mirror image of source/cache.h.
 *
 *	keep      plain writes: the kernel writes back when it likes, the flush at the end waits
 *	          for whatever is left, and the image stays in the cache
 *	drop      write-behind: whenever SINK_CACHE_STEP bytes have been written their writeback
 *	          is started, and those of SINK_CACHE_WINDOWS steps ago are waited for and
 *	          dropped.  Hence at most SINK_CACHE_WINDOWS steps, and one for each thread that
 *	          writes, are dirty at any time, and the flush at the end has little left to do.
 *	direct    O_DIRECT, and drop for what can't be written so: the last block in part
 *
 * Receiver threads write in almost the order of the image, so the windows need no more than
 * their first and last byte.  What a window misses, because somebody was just writing it, goes
 * when the image is complete.
 */
#ifndef MFD_SINK_CACHE_H
#define MFD_SINK_CACHE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/options.h"

/* Large enough for a disk to be quick with, small enough for memory. */
#define SINK_CACHE_STEP (UINT64_C(4) << 20)
#define SINK_CACHE_WINDOWS 8u

/* Bytes of the file, from the first to the last one written in a step; empty: end is 0. */
struct sink_cache_window {
	uint64_t start, end;
	uint64_t written;        /* of them */
};

struct sink_cache {
	/* Set by sink_cache_open(), const afterwards. */
	enum mfd_cache mode;     /* what is done, not what was wished */
	int fd;                  /* the caller's */
	int direct;              /* -1: there is none */

	pthread_mutex_t lock;    /* never held while the disk is waited for; guards the rest: */
	struct sink_cache_window now;
	struct sink_cache_window behind[SINK_CACHE_WINDOWS]; /* their writeback has been started */
	uint64_t closed;         /* windows so far; the next one takes the oldest one's place */
};

void sink_cache_init(struct sink_cache *c);

/*
 * Write to @fd as @wanted says.  False with the reason in @why when drop has to do for direct;
 * the cache is ready either way.
 */
bool sink_cache_open(struct sink_cache *c, enum mfd_cache wanted, int fd,
		     struct mfd_error *why) MFD_MUST_CHECK;

/*
 * Any thread, several at once.  As io_pwrite(); @offset is at a whole page.  An error may be that
 * of an earlier write, found when its writeback was waited for.
 */
int sink_cache_write(struct sink_cache *c, const void *bytes, size_t size,
		     uint64_t offset) MFD_MUST_CHECK;

/* Nobody writes any more, and the first @size bytes are durable, or are not meant to be. */
void sink_cache_finish(struct sink_cache *c, uint64_t size);

/* The descriptor stays the caller's. */
void sink_cache_destroy(struct sink_cache *c);

#endif
