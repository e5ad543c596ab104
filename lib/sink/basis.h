/* SPDX-License-Identifier: MIT */
/*
 * What an output has before anything arrives: pages that need not travel.  Up to two layers:
 *
 *	own   the output itself: written in place over an older image, left by a session that
 *	      failed, or a clone of the basis
 *	old   another image, where it can't be cloned: what is kept of it has to be copied
 *
 * A page is own's unless that is zero; then it is old's.  A hole in what a failed session left so
 * shows the older image through, and a page that was written is never taken from the older one: it
 * was written because it differs.
 */
#ifndef MFD_SINK_BASIS_H
#define MFD_SINK_BASIS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/batch.h"

/* Set by the sink, const once its begin() has returned. */
struct sink_basis {
	int own;                 /* the sink's; -1: the output is new */
	int old;                 /* owned; -1: there is none */
	uint64_t own_bytes, old_bytes;
	char *old_path;          /* for messages */
};

void sink_basis_init(struct sink_basis *b);
void sink_basis_destroy(struct sink_basis *b);

/* Open the older image.  MFD_NO_INPUT, MFD_OS. */
bool sink_basis_open(struct sink_basis *b, const char *path, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * Make the empty output @fd a clone of the older image, which then has served: the two share their
 * blocks until one is written.  False where the file system can't, or they are on two.
 */
bool sink_basis_clone(struct sink_basis *b, int fd) MFD_MUST_CHECK;

/* Is there anything? */
bool sink_basis_any(const struct sink_basis *b);

/* Pages from here on are not there. */
uint64_t sink_basis_pages(const struct sink_basis *b);

/*
 * Any thread.  The first page from @page on that may hold data; @limit when there is none below it.
 */
uint64_t sink_basis_data(const struct sink_basis *b, uint64_t page, uint64_t limit);

/*
 * Any thread.  Read pages [@first, @first + @count), padded with zeros, at most BATCH_MAX_PAGES;
 * the bits of @ret_copy are those that have to be written to be kept.  MFD_IO.
 */
bool sink_basis_read(const struct sink_basis *b, uint64_t first, uint32_t count, uint8_t *buffer,
		     uint64_t *ret_copy, struct mfd_error *err) MFD_MUST_CHECK;

/* Drop what reading [@first, @first + @count) has left in the page cache. */
void sink_basis_forget(const struct sink_basis *b, uint64_t first, uint64_t count);

#endif
