/* SPDX-License-Identifier: MIT */
/*
 * Sinks: where the pages go.  Receiver threads write to a sink in any order, several at once, each
 * page at most once per round; the session begins and commits it.
 */
#ifndef MFD_SINK_H
#define MFD_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/event.h"
#include "core/options.h"
#include "sink/basis.h"

struct sink;

struct sink_ops {
	const char *kind;

	/*
	 * Session's main thread, once, before any write.  The image has @size bytes (UINT64_MAX:
	 * not known), @allocated of them not holes (UINT64_MAX: not known).  Errors:
	 * MFD_CANT_CREATE (the device is too small), MFD_IO (not enough room).
	 */
	bool (*begin)(struct sink *s, uint64_t size, uint64_t allocated, struct mfd_error *err);

	/*
	 * Receiver threads.  Write @bytes at @offset.  The session has bounded the range; errors
	 * are MFD_IO (74) with the system's reason.
	 */
	bool (*write)(struct sink *s, uint64_t offset, const void *bytes, size_t size,
		      struct mfd_error *err);

	/*
	 * Receiver threads.  The range reads as zeros from now on.  @fresh: nothing has been
	 * written to it in this session, so a new output may leave it alone.  Works in steps of at
	 * most SINK_ZERO_STEP and gives up with MFD_TRY_AGAIN when @stop is raised.
	 */
	bool (*zero)(struct sink *s, uint64_t offset, uint64_t size, bool fresh,
		     const struct event *stop, struct mfd_error *err);

	/*
	 * Session's main thread, when all receiver threads have been joined.  Set the size to
	 * @size, make it durable, put it in place under its name.  @stop is looked at up to the
	 * last moment before the rename (MFD_TRY_AGAIN); once true is returned nothing takes it
	 * back.
	 */
	bool (*commit)(struct sink *s, uint64_t size, const struct event *stop,
		       struct mfd_error *err);

	/*
	 * Session's main thread, between the last write and commit(), only when somebody wants to
	 * look.  Set the size to @size, make what was written durable and drop it from the page
	 * cache: *ret_fd, which stays the sink's, reads what the disk has.  MFD_IO.
	 */
	bool (*settle)(struct sink *s, uint64_t size, int *ret_fd, struct mfd_error *err);

	/* Close it; an output that was not committed goes away, unless it was written in place. */
	void (*free)(struct sink *s);
};

/* Every sink starts with this. */
struct sink {
	const struct sink_ops *ops;
	const char *warning;     /* one line for the user, set by the constructor; NULL: none */
	/* what is there already; NULL: nothing.  Set by the constructor, filled by begin(). */
	struct sink_basis *basis;

	/*
	 * What it opens or names later on, for who confines the process: a directory, and a file in
	 * place; -1: none.  Its own.
	 */
	int directory;
	int file;
};

#define SINK_ZERO_STEP (UINT64_C(64) << 20)

struct sink_file_options {
	/* an existing output may be replaced or, if a device, overwritten */
	bool force;
	bool inplace;            /* write into the existing file */
	bool no_fsync;
	bool delta;              /* in place: what is there is the basis */
	/* what a session has written when it fails stays, and is the next one's basis */
	bool resume;
	bool reread;             /* settle() will be called */
	const char *basis;       /* an older image; NULL: none */
	enum mfd_cache cache;    /* see sink/cache.h */
};

/*
 * A regular file (by way of a temporary one in the same directory, sparse, mode 0600) or a block
 * device (in place). With resume the temporary file is NAME.mfd-partial, locked.  Errors:
 * MFD_CANT_CREATE, MFD_OS, MFD_NO_INPUT (the basis), MFD_TRY_AGAIN (another receiver has the lock).
 */
bool sink_file_new(const char *path, const struct sink_file_options *options, struct sink **ret,
		   struct mfd_error *err) MFD_MUST_CHECK;

/* Shared filler for the slot of sinks that keep nothing: MFD_BUG. */
bool sink_settle_unsupported(struct sink *s, uint64_t size, int *ret_fd, struct mfd_error *err);

/* Counts nothing, keeps nothing: "null:".  The baseline for tests and benchmarks. */
bool sink_null_new(struct sink **ret, struct mfd_error *err) MFD_MUST_CHECK;

#endif
