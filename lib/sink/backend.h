/* SPDX-License-Identifier: MIT */
/*
 * What the kinds of sink share among themselves; nobody else includes this.
 */
#ifndef MFD_SINK_BACKEND_H
#define MFD_SINK_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/event.h"
#include "sink/cache.h"
#include "sink/place.h"
#include "sink/sink.h"

/* False with MFD_TRY_AGAIN when @stop is raised. */
bool sink_check_stop(const struct event *stop, struct mfd_error *err) MFD_MUST_CHECK;

/* Write by way of @cache; errors are MFD_IO with @path before the reason. */
bool sink_write_at(struct sink_cache *cache, const char *path, uint64_t offset,
		   const void *bytes, size_t size, struct mfd_error *err) MFD_MUST_CHECK;

/* Write @size zero bytes; 0 or an errno. */
int sink_write_zeros(struct sink_cache *cache, uint64_t offset, uint64_t size) MFD_MUST_CHECK;

/*
 * Call @step, which returns 0 or an errno, for pieces of at most SINK_ZERO_STEP, with a look at
 * @stop before each.
 */
bool sink_zero_in_steps(struct sink *s, const char *path, uint64_t offset, uint64_t size,
			const struct event *stop,
			int (*step)(struct sink *s, uint64_t offset, uint64_t size),
			struct mfd_error *err) MFD_MUST_CHECK;

/* Make @fd durable; errors are MFD_IO. */
bool sink_flush(int fd, const char *path, struct mfd_error *err) MFD_MUST_CHECK;

/* The common part of settle(): @fd durable, and its first @size bytes out of the page cache. */
bool sink_settle(int fd, const char *path, uint64_t size, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * The block device that @place has found; @place stays the caller's.  Errors: MFD_CANT_CREATE,
 * MFD_OS.
 */
bool sink_device_new(const struct place *place, const struct sink_file_options *options,
		     struct sink **ret, struct mfd_error *err) MFD_MUST_CHECK;

#endif
