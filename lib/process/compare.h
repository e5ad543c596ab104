/* SPDX-License-Identifier: MIT */
/*
 * Which pages differ from what was last sent: they are read and hashed by several threads, as fast
 * as memory or the disk gives them.
 *
 * Pages are queued in pieces that stay in L2 while they are read and hashed.  When the queue is
 * full, or the collection ends, threads are started that empty it; between that there are none.
 */
#ifndef MFD_PROCESS_COMPARE_H
#define MFD_PROCESS_COMPARE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/pageset.h"
#include "core/sparse.h"

/* A bit each in a word: 256 KiB. */
#define COMPARE_PIECE_PAGES 64u

/* A full queue is 256 MiB: to start threads for it costs about a hundredth of its time. */
#define COMPARE_PIECES 1024u

#define COMPARE_MAX_THREADS 8u

/* Any thread.  @bytes of the image at @offset, as they are now. */
typedef bool changes_read_fn(void *image, uint64_t offset, uint8_t *buffer, size_t bytes,
			     struct mfd_error *err);

/* Any thread, every few pieces.  False with the reason to give up. */
typedef bool compare_go_on_fn(void *opaque, struct mfd_error *err);

struct compare_piece {
	uint64_t first, count;   /* pages, at most COMPARE_PIECE_PAGES */
	uint64_t changed;        /* bit i: page first + i */
};

struct compare {
	/* Set by compare_init(), const afterwards. */
	changes_read_fn *read;
	void *image;
	const struct sparse *hash; /* what was last sent, with this */
	const uint8_t *secret;   /* of HASH_SECRET_MIN bytes */
	unsigned threads;        /* at most, the caller's included */
	uint8_t *buffer;         /* a piece for each */

	/* Set between two collections. */
	compare_go_on_fn *go_on; /* NULL: always */
	void *opaque;

	/* The collecting thread's; but while it empties the queue: */
	struct compare_piece *piece; /* [COMPARE_PIECES]; each belongs to who took it */
	unsigned pieces;

	pthread_mutex_t lock;    /* Guards: */
	unsigned taken;
	bool failed;
	struct mfd_error why;
};

/* What the pointers point to must outlive it.  Errors: MFD_OS. */
bool compare_init(struct compare *c, changes_read_fn *read, void *image, const struct sparse *hash,
		  const uint8_t *secret, struct mfd_error *err) MFD_MUST_CHECK;

/* Also of a zeroed struct. */
void compare_destroy(struct compare *c);

/*
 * Compare [@first, @first + @count), now or later; all of them have records.  Those that differ are
 * added to @ret.  Errors: what reading says, why not to go on, MFD_OS.
 */
bool compare_add(struct compare *c, uint64_t first, uint64_t count, struct pageset *ret,
		 struct mfd_error *err) MFD_MUST_CHECK;

/* Now. */
bool compare_finish(struct compare *c, struct pageset *ret, struct mfd_error *err) MFD_MUST_CHECK;

#endif
