/* SPDX-License-Identifier: MIT */
/*
 * Precopy: an image of a process is copied while the process runs, round by round, each round the
 * pages that changed since; for the last one it stands still, and what is left is copied into
 * memory, so that it goes on before the network has all of it.  It is the loop of live migration
 * (Clark et al., "Live Migration of Virtual Machines", 2005).
 *
 * Two kinds of image use it: the process's memory as a core file, and one of its shared mappings.
 */
#ifndef MFD_SOURCE_PRECOPY_H
#define MFD_SOURCE_PRECOPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/batch.h"
#include "core/options.h"
#include "core/stats.h"
#include "process/changes.h"
#include "process/freeze.h"
#include "source/snapshot.h"
#include "source/source.h"

/* The image, as precopy sees it.  All but read() belong to the producer. */
struct precopy_image_ops {
	/* For changes_arm(); NULL: none. */
	changes_also_fn *also;

	/*
	 * The process's mappings may be others now: look again.  Nobody reads meanwhile.  @last: it
	 * stands still for good, and did not a moment ago, at the look before.
	 */
	bool (*look)(void *image, bool last, struct mfd_error *err);

	/* Pass every area that is in the image to changes_collect(). */
	bool (*collect)(void *image, struct changes *changes, struct mfd_error *err);

	/* It stands still, after the last look: what else has to be sent goes to changes_add(). */
	bool (*finish)(void *image, const struct frozen_thread *threads, size_t count,
		       struct changes *changes, struct mfd_error *err);

	/* Any thread.  What can't be read is zeros. */
	bool (*read)(void *image, uint64_t offset, uint8_t *buffer, size_t bytes,
		     struct mfd_error *err);

	/* How large it is, as of the last look or finish; it never becomes smaller. */
	uint64_t (*bytes)(const void *image);
};

struct precopy {
	/* Set by precopy_init(), const afterwards. */
	const struct precopy_image_ops *ops;
	void *image;
	struct freezer *freezer; /* the source's */
	struct source_process_options options;

	/* The producer. */
	struct changes changes;  /* sender threads note what they read */
	bool begun;
	struct mfd_error failed; /* why it could not begin */
	uint64_t at;             /* the next page to look at in this round */
	uint64_t pages;          /* of the image, in this round */
	uint64_t covered;        /* below it every page has been spoken for once */
	uint64_t looked_ns;      /* when the last collection began, */
	uint64_t collect_took_ns; /* and how long it took */
	uint64_t stop_took_ns;   /* the last stop but the collection in it */

	/* Set when the process stands still; sender threads read it in the last round. */
	bool last;
	struct snapshot copy;

	/* Any thread, for reports. */
	counter downtime_ns;     /* MFD_UNKNOWN before it is known */
	counter stopped_ns;      /* all stops but the last */
	counter tracker;         /* an enum precopy_tracker */
	counter dirty_rate;
	counter rounds;
	counter round_pages[MFD_MAX_ROUNDS];
};

/* Image and freezer stay the caller's.  Nothing is stopped, or allocated, yet. */
void precopy_init(struct precopy *p, const struct precopy_image_ops *ops, void *image,
		  struct freezer *freezer, const struct source_process_options *options);

/* Also of a zeroed struct.  The freezer's owner thaws. */
void precopy_destroy(struct precopy *p);

/* As the slots of a source. */
bool precopy_next(struct precopy *p, uint32_t max_pages, struct batch *ret_batch, bool *ret_end,
		  struct mfd_error *err) MFD_MUST_CHECK;
bool precopy_read(struct precopy *p, const struct batch *batch, uint8_t *buffer,
		  struct mfd_error *err) MFD_MUST_CHECK;
bool precopy_end_round(struct precopy *p, uint32_t round, bool *ret_again, uint64_t *ret_size,
		       struct mfd_error *err) MFD_MUST_CHECK;
void precopy_report(const struct precopy *p, struct mfd_stats *ret);

/* precopy_walk.c: the round's pages, from the first on. */
void precopy_walk_begin(struct precopy *p);
bool precopy_walk(struct precopy *p, uint32_t max_pages, struct batch *ret_batch);

#endif
