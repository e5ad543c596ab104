/* SPDX-License-Identifier: MIT */
/*
 * The file source: a regular file or a block device that does not change, read once.  The producer
 * walks it by extents (SEEK_DATA, SEEK_HOLE); sender threads read their batches with pread(2).
 */
#include <errno.h>
#include <stdlib.h>

#include "source/backing.h"
#include "source/extents.h"
#include "source/source.h"

struct source_file {
	/* Set by the constructor, const afterwards. */
	struct source base;
	struct backing backing;  /* its own rules */

	/* Producer only. */
	struct extents extents;
};

static bool file_next(struct source *source, uint32_t max_pages, uint8_t *buffer,
		      const struct event *stop, struct batch *ret_batch, bool *ret_end,
		      struct mfd_error *err)
{
	struct source_file *s = (struct source_file *)source;

	(void)buffer;
	(void)stop;
	return extents_next(&s->extents, max_pages, ret_batch, ret_end, err);
}

static bool file_read(struct source *source, const struct batch *batch, uint8_t *buffer,
		      struct mfd_error *err)
{
	const struct source_file *s = (const struct source_file *)source;

	return backing_read_batch(&s->backing, batch, buffer, err);
}

/* One round. */
static bool file_end_round(struct source *source, uint32_t round, const struct event *stop,
			   bool *ret_again, uint64_t *ret_size, struct mfd_error *err)
{
	const struct source_file *s = (const struct source_file *)source;

	(void)stop;
	(void)round;
	if (!backing_check_size(&s->backing, err))
		return false;
	*ret_again = false;
	*ret_size = s->backing.size;
	return true;
}

static void file_free(struct source *source)
{
	struct source_file *s = (struct source_file *)source;

	backing_close(&s->backing);
	free(s);
}

static const struct source_ops file_ops = {
	.kind = "file",
	.next = file_next,
	.read = file_read,
	.end_round = file_end_round,
	.report = source_report_nothing,
	.free = file_free,
};

bool source_file_new(const char *path, enum mfd_cache cache, struct source **ret,
		     struct mfd_error *err)
{
	struct source_file *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return error_set_os(err, MFD_OS, errno, "%s", path);
	s->base.ops = &file_ops;
	backing_init(&s->backing);
	if (!backing_open(&s->backing, path, cache, &s->base.info, err)) {
		file_free(&s->base);
		return false;
	}
	extents_init(&s->extents, backing_find, &s->backing, backing_pages(&s->backing));
	*ret = &s->base;
	return true;
}
