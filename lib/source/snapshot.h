/* SPDX-License-Identifier: MIT */
/*
 * A copy of some pages of an image, in memory of which there is a bound: what changed last of a
 * process that stands still, so that it can go on before the copy has been sent.
 */
#ifndef MFD_SOURCE_SNAPSHOT_H
#define MFD_SOURCE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Pages that lie behind each other, in the image and in the copy. */
struct snapshot_run {
	uint64_t first, count;   /* pages of the image */
	uint64_t offset;         /* in the copy, bytes */
};

/* Filled by one thread, const afterwards: then any thread may read. */
struct snapshot {
	uint8_t *bytes;
	uint64_t limit;          /* what there is room for, bytes */
	uint64_t used;
	struct snapshot_run *run; /* [runs] by first */
	size_t runs, allocated;
};

/* Half of the memory that the system has to give now, bytes; at least 64 MiB. */
uint64_t snapshot_default_limit(void);

/*
 * Room for at most @limit bytes, whole pages; none of it is taken from the system yet.
 * Errors: MFD_OS.
 */
bool snapshot_init(struct snapshot *s, uint64_t limit, struct mfd_error *err) MFD_MUST_CHECK;

/* Also of a zeroed struct. */
void snapshot_destroy(struct snapshot *s);

/* Have @bytes of it backed now, so that nobody waits for that while he copies.  Only a hint. */
void snapshot_expect(struct snapshot *s, uint64_t bytes);

/* Pages there is room for. */
uint64_t snapshot_room(const struct snapshot *s);

/*
 * Room for @count pages from @first on, behind those before; *ret_bytes is to be filled.  Errors:
 * MFD_TRY_AGAIN when the limit is reached, MFD_OS.
 */
bool snapshot_add(struct snapshot *s, uint64_t first, uint64_t count, uint8_t **ret_bytes,
		  struct mfd_error *err) MFD_MUST_CHECK;

/* Copy @count pages from @first on, all of which were added. */
void snapshot_read(const struct snapshot *s, uint64_t first, uint64_t count, uint8_t *buffer);

#endif
