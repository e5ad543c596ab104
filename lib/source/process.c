/* SPDX-License-Identifier: MIT */
/*
 * The process source: a live process as an ELF core file.
 *
 * With --freeze=all the process is frozen when the session has begun, at the producer's first
 * call, and continues when the receiver has all of it.  Everything is known then: mappings,
 * registers, headers; the image is walked once, from the first byte to the last, and sender
 * threads read the process's memory as they read a file.
 *
 * With --live it is copied while it runs, round by round, and frozen for what is left in the end
 * (precopy.h).
 *
 * The process is frozen by a guardian (process/freeze.h), which lets it go whatever happens to us.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "process/corefile.h"
#include "process/filter.h"
#include "process/freeze.h"
#include "source/extents.h"
#include "source/precopy.h"
#include "source/source.h"
#include "source/standstill.h"

struct source_process {
	/* Set by the constructor, const afterwards. */
	struct source base;
	struct source_process_options options;
	char name[32];           /* base.info.name */
	struct freezer *freezer;

	/* Producer only. */
	struct corefile file;    /* read by sender threads while a round goes on */
	struct extents extents;
	struct precopy precopy;  /* with live: instead of extents; its own rules */
	bool frozen;             /* with live: for good, at the end of the last round but one */
	struct standstill standstill; /* without */

	/* Any thread. */
	pthread_mutex_t lock;    /* Guards: */
	uint64_t unreadable;     /* bytes that should have been read and are zeros */
};

/* A corefile_tell_fn for looks that are not the last. */
static void process_tell_nothing(void *source, const char *text)
{
	(void)source;
	(void)text;
}

static void process_tell(void *source, const char *text)
{
	const struct source_process *s = source;

	s->options.notice(s->options.opaque,
			  &(struct mfd_notice){ .kind = MFD_NOTICE_DETAIL, .text = text });
}

/* An extents_find_fn. */
static bool process_find(void *source, uint64_t at, uint64_t *ret_first, uint64_t *ret_end,
			 struct mfd_error *err)
{
	struct source_process *s = source;
	uint64_t first = *ret_first * PAGE_BYTES, end = *ret_end * PAGE_BYTES;

	if (!corefile_find(&s->file, at * PAGE_BYTES, &first, &end, err))
		return false;
	*ret_first = first / PAGE_BYTES;
	*ret_end = end / PAGE_BYTES;
	return true;
}

static bool process_freeze(struct source_process *s, struct mfd_error *err)
{
	const struct frozen_thread *threads;
	size_t count;

	if (!standstill_begin(&s->standstill, err))
		return false;
	threads = freezer_threads(s->freezer, &count);
	if (!corefile_open(&s->file, s->options.pid, s->options.filter, err) ||
	    !corefile_look(&s->file, process_tell, s, err) ||
	    !corefile_finish(&s->file, threads, count, err))
		return false;
	extents_init(&s->extents, process_find, s, batch_pages_of(corefile_bytes(&s->file)));
	return true;
}

/* ---- With live: what precopy asks for. ---- */

static bool process_look(void *source, bool last, struct mfd_error *err)
{
	struct source_process *s = source;

	s->frozen = last;
	if (last)
		return corefile_look_again(&s->file, process_tell, s, err);
	return corefile_look(&s->file, process_tell_nothing, s, err);
}

static bool process_collect(void *source, struct changes *changes, struct mfd_error *err)
{
	struct source_process *s = source;

	return corefile_collect(&s->file, changes, err);
}

static bool process_finish(void *source, const struct frozen_thread *threads, size_t count,
			   struct changes *changes, struct mfd_error *err)
{
	struct source_process *s = source;

	return corefile_finish(&s->file, threads, count, err) &&
	       corefile_collect_rest(&s->file, changes, err);
}

/* What is unmapped while it is read matters only when nothing happens any more. */
static bool process_read_bytes(void *source, uint64_t offset, uint8_t *buffer, size_t bytes,
			       struct mfd_error *err)
{
	struct source_process *s = source;
	uint64_t unreadable;

	if (!corefile_read(&s->file, offset, buffer, bytes, &unreadable, err))
		return false;
	if (s->frozen && unreadable > 0) {
		pthread_mutex_lock(&s->lock);
		s->unreadable += unreadable;
		pthread_mutex_unlock(&s->lock);
	}
	return true;
}

static uint64_t process_bytes(const void *source)
{
	const struct source_process *s = source;

	return corefile_bytes(&s->file);
}

static const struct precopy_image_ops process_image_ops = {
	.look = process_look,
	.collect = process_collect,
	.finish = process_finish,
	.read = process_read_bytes,
	.bytes = process_bytes,
};

static bool process_next_live(struct source_process *s, uint32_t max_pages, struct batch *ret_batch,
			      bool *ret_end, struct mfd_error *err)
{
	if (!s->precopy.begun &&
	    !corefile_open(&s->file, s->options.pid, s->options.filter, err))
		return false;
	return precopy_next(&s->precopy, max_pages, ret_batch, ret_end, err);
}

/* ---- The slots. ---- */

static bool process_next(struct source *source, uint32_t max_pages, uint8_t *buffer,
			 const struct event *stop, struct batch *ret_batch, bool *ret_end,
			 struct mfd_error *err)
{
	struct source_process *s = (struct source_process *)source;

	(void)buffer;
	(void)stop;
	if (s->options.live)
		return process_next_live(s, max_pages, ret_batch, ret_end, err);
	if (!s->standstill.begun && !process_freeze(s, err))
		return false;
	return standstill_check(&s->standstill, err) &&
	       extents_next(&s->extents, max_pages, ret_batch, ret_end, err);
}

static bool process_read(struct source *source, const struct batch *batch, uint8_t *buffer,
			 struct mfd_error *err)
{
	struct source_process *s = (struct source_process *)source;
	uint64_t unreadable, all = 0;
	uint32_t i, n;

	if (s->options.live)
		return precopy_read(&s->precopy, batch, buffer, err);
	if (batch->zero_run)
		return true;
	for (i = 0; bitmap_next_run(batch->data, (uint32_t)batch->count, &i, &n); i += n) {
		if (!corefile_read(&s->file, (batch->first + i) * PAGE_BYTES,
				   buffer + (size_t)i * PAGE_BYTES, (size_t)n * PAGE_BYTES,
				   &unreadable, err))
			return false;
		all += unreadable;
	}
	if (all > 0) {
		pthread_mutex_lock(&s->lock);
		s->unreadable += all;
		pthread_mutex_unlock(&s->lock);
	}
	return true;
}

/* Every batch has been read: nobody else touches s->unreadable any more. */
static void process_tell_unreadable(struct source_process *s)
{
	char text[96];

	if (s->unreadable == 0)
		return;
	snprintf(text, sizeof(text), "%" PRIu64 " KiB can't be read, and are zeros in the core",
		 s->unreadable / 1024);
	process_tell(s, text);
}

static bool process_end_round(struct source *source, uint32_t round, const struct event *stop,
			      bool *ret_again, uint64_t *ret_size, struct mfd_error *err)
{
	struct source_process *s = (struct source_process *)source;

	if (s->options.live) {
		if (!precopy_end_round(&s->precopy, round, stop, ret_again, ret_size, err))
			return false;
		if (!*ret_again)
			process_tell_unreadable(s);
		return true;
	}
	if (!standstill_end(&s->standstill, err))
		return false;
	process_tell_unreadable(s);
	*ret_again = false;
	*ret_size = corefile_bytes(&s->file);
	return true;
}

static void process_report(const struct source *source, struct mfd_stats *ret)
{
	const struct source_process *s = (const struct source_process *)source;

	if (s->options.live)
		precopy_report(&s->precopy, ret);
	else
		ret->downtime_ns = counter_get(&s->standstill.downtime_ns);
}

static void process_free(struct source *source)
{
	struct source_process *s = (struct source_process *)source;

	freezer_free(s->freezer);
	precopy_destroy(&s->precopy);
	corefile_close(&s->file);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static const struct source_ops process_ops = {
	.kind = "process",
	.next = process_next,
	.read = process_read,
	.end_round = process_end_round,
	.report = process_report,
	.free = process_free,
};

/*
 * What can be found out without disturbing the process is found out here, before anybody is
 * connected to.
 */
static bool process_prepare(struct source_process *s, struct mfd_error *err)
{
	struct source_process_options *o = &s->options;

	return freezer_new(o->pid, o->max_freeze_ms, &s->freezer, err) &&
	       (o->filter_given || filter_read(o->pid, &o->filter, err));
}

bool source_process_new(const struct source_process_options *options, struct source **ret,
			struct mfd_error *err)
{
	const struct precopy_options live = precopy_options_of(options);
	struct source_process *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return error_set_os(err, MFD_OS, errno, "process %d", (int)options->pid);
	s->base.ops = &process_ops;
	s->options = *options;
	snprintf(s->name, sizeof(s->name), "core.%d", (int)options->pid);
	s->base.info = (struct source_info){
		.name = s->name, .size = UINT64_MAX, .allocated = UINT64_MAX, .rereadable = true,
		.rounds = options->live,
	};
	corefile_init(&s->file);
	pthread_mutex_init(&s->lock, NULL);
	if (!process_prepare(s, err)) {
		process_free(&s->base);
		return false;
	}
	standstill_init(&s->standstill, s->freezer);
	precopy_init(&s->precopy, &process_image_ops, s, s->freezer, &live);
	*ret = &s->base;
	return true;
}
