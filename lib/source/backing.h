/* SPDX-License-Identifier: MIT */
/*
 * An open file or block device as an image: its size when it was opened, where its data lies, and
 * its bytes.  What the sources of files, of files that change and of shared memory have in common.
 *
 * A page that holds data in part is data.  The file may grow while it is read: what lies behind
 * its first size is not part of the image.
 */
#ifndef MFD_SOURCE_BACKING_H
#define MFD_SOURCE_BACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "core/options.h"
#include "source/cache.h"
#include "source/source.h"

struct backing {
	/* Set when it is opened, const afterwards. */
	char *path;              /* as the user gave it */
	int fd;                  /* its file position is the producer's; others use pread(2) */
	struct stat st;
	uint64_t size;
	bool regular;
	struct source_cache cache;
	struct mfd_error warning; /* its text is for the user, if there is any */

	/* Producer only. */
	bool holes;              /* SEEK_DATA works here */
};

/* Nothing is open. */
void backing_init(struct backing *b);

/* Also of what was not opened. */
void backing_close(struct backing *b);

/*
 * The file or device at @path; @cache: see source/cache.h.  *ret is what HELLO says of it.  Errors:
 * MFD_NO_INPUT, MFD_OS.
 */
bool backing_open(struct backing *b, const char *path, enum mfd_cache cache,
		  struct source_info *ret, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * The same with the regular file that @fd is, which becomes the backing's.  Nothing is said about
 * it, and its cache is left alone.  Errors: as above.
 */
bool backing_adopt(struct backing *b, const char *path, int fd, struct mfd_error *err)
	MFD_MUST_CHECK;

/* The pages of the image. */
uint64_t backing_pages(const struct backing *b);

/* Producer.  An extents_find_fn for a struct backing: two system calls, however large it is. */
bool backing_find(void *backing, uint64_t at, uint64_t *ret_first, uint64_t *ret_end,
		  struct mfd_error *err) MFD_MUST_CHECK;

/*
 * Any thread.  @bytes from @offset on, both whole pages; what the last one lacks is zeros.  Errors:
 * MFD_NO_INPUT it has become shorter; MFD_IO.
 */
bool backing_read(const struct backing *b, uint64_t offset, uint8_t *buffer, size_t bytes,
		  struct mfd_error *err) MFD_MUST_CHECK;

/* Any thread.  A batch's pages; as the slot `read` of a source. */
bool backing_read_batch(const struct backing *b, const struct batch *batch, uint8_t *buffer,
			struct mfd_error *err) MFD_MUST_CHECK;

/*
 * It has not become shorter, also not in a hole, where nothing is read.  Errors: MFD_NO_INPUT,
 * MFD_IO.
 */
bool backing_check_size(const struct backing *b, struct mfd_error *err) MFD_MUST_CHECK;

#endif
