/* SPDX-License-Identifier: MIT */
/*
 * The changing-file source: a regular file or a block device that somebody writes to, copied in
 * rounds (precopy.h).  What changed is found by reading all of it and comparing hashes.  For the
 * last round whoever writes to it may be frozen, by ptrace(2) or by a command; otherwise the image
 * is not of one moment.
 *
 * The image has the size that the file had when it was opened.
 */
#include <errno.h>
#include <stdlib.h>

#include "source/backing.h"
#include "source/precopy.h"
#include "source/source.h"

struct source_changing {
	/* Set by the constructor, const afterwards. */
	struct source base;
	struct backing backing;  /* its own rules */
	struct freezer *freezer; /* NULL: nobody is frozen */
	struct precopy precopy;  /* its own rules */
};

/* ---- What precopy asks for. ---- */

/* A changes_find_fn: the whole file is one area, and addresses are offsets. */
static bool changing_find(const struct changes_area *area, uint64_t from, uint64_t end,
			  uint64_t *ret_first, uint64_t *ret_end, struct mfd_error *err)
{
	*ret_first = *ret_end = end / PAGE_BYTES;
	if (!backing_find(area->opaque, from / PAGE_BYTES, ret_first, ret_end, err))
		return false;
	*ret_first *= PAGE_BYTES;
	*ret_end = *ret_end * PAGE_BYTES < end ? *ret_end * PAGE_BYTES : end;
	return true;
}

static bool changing_collect(void *source, struct changes *changes, struct mfd_error *err)
{
	struct source_changing *s = source;
	const struct changes_area area = {
		.end = backing_pages(&s->backing) * PAGE_BYTES,
		.find = changing_find,
		.opaque = &s->backing,
	};

	return changes_collect(changes, &area, err) && backing_check_size(&s->backing, err);
}

static bool changing_read_bytes(void *source, uint64_t offset, uint8_t *buffer, size_t bytes,
				struct mfd_error *err)
{
	const struct source_changing *s = source;

	return backing_read(&s->backing, offset, buffer, bytes, err);
}

static uint64_t changing_bytes(const void *source)
{
	const struct source_changing *s = source;

	return s->backing.size;
}

static const struct precopy_image_ops changing_image_ops = {
	.collect = changing_collect,
	.read = changing_read_bytes,
	.bytes = changing_bytes,
};

/* ---- The slots. ---- */

static bool changing_next(struct source *source, uint32_t max_pages, uint8_t *buffer,
			  const struct event *stop, struct batch *ret_batch, bool *ret_end,
			  struct mfd_error *err)
{
	struct source_changing *s = (struct source_changing *)source;

	(void)buffer;
	(void)stop;
	return precopy_next(&s->precopy, max_pages, ret_batch, ret_end, err);
}

static bool changing_read(struct source *source, const struct batch *batch, uint8_t *buffer,
			  struct mfd_error *err)
{
	struct source_changing *s = (struct source_changing *)source;

	return precopy_read(&s->precopy, batch, buffer, err);
}

static bool changing_end_round(struct source *source, uint32_t round, const struct event *stop,
			       bool *ret_again, uint64_t *ret_size, struct mfd_error *err)
{
	struct source_changing *s = (struct source_changing *)source;

	/* What is sent from the copy is whole, whatever becomes of the file then. */
	return ((s->freezer != NULL && s->precopy.phase == PRECOPY_LAST) ||
		backing_check_size(&s->backing, err)) &&
	       precopy_end_round(&s->precopy, round, stop, ret_again, ret_size, err);
}

static void changing_report(const struct source *source, struct mfd_stats *ret)
{
	const struct source_changing *s = (const struct source_changing *)source;

	precopy_report(&s->precopy, ret);
}

static void changing_free(struct source *source)
{
	struct source_changing *s = (struct source_changing *)source;

	freezer_free(s->freezer);
	precopy_destroy(&s->precopy);
	backing_close(&s->backing);
	free(s);
}

static const struct source_ops changing_ops = {
	.kind = "changing file",
	.next = changing_next,
	.read = changing_read,
	.end_round = changing_end_round,
	.report = changing_report,
	.free = changing_free,
};

/* ---- Opening. ---- */

static bool changing_open(struct source_changing *s, const char *path, enum mfd_cache cache,
			  const struct source_changing_options *o, struct mfd_error *err)
{
	if (!backing_open(&s->backing, path, cache, &s->base.info, err))
		return false;
	s->base.info.rounds = true;
	if (o->freeze_command != NULL)
		return freezer_new_commands(o->freeze_command, o->thaw_command, path,
					    o->max_freeze_ms, &s->freezer, err);
	return o->freeze_pid == 0 ||
	       freezer_new(o->freeze_pid, o->max_freeze_ms, &s->freezer, err);
}

bool source_changing_new(const char *path, enum mfd_cache cache,
			 const struct source_changing_options *options, struct source **ret,
			 struct mfd_error *err)
{
	const struct precopy_options live = {
		.until_pages = options->until_pages, .rounds = options->rounds,
		.copy_bytes = options->copy_bytes, .notice = options->notice,
		.opaque = options->opaque,
	};
	struct source_changing *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return error_set_os(err, MFD_OS, errno, "%s", path);
	s->base.ops = &changing_ops;
	backing_init(&s->backing);
	if (!changing_open(s, path, cache, options, err)) {
		changing_free(&s->base);
		return false;
	}
	precopy_init(&s->precopy, &changing_image_ops, s, s->freezer, &live);
	*ret = &s->base;
	return true;
}
