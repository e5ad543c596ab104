/* SPDX-License-Identifier: MIT */
/*
 * Precopy: an image of a process is copied while the process runs, round by round, each round the
 * pages that changed since; for the last one it stands still, and what is left is copied into
 * memory, so that it goes on before the network has all of it.  It is the loop of live migration
 * (Clark et al., "Live Migration of Virtual Machines", 2005).
 *
 * Three kinds of image use it: a process's memory as a core file, one of its shared mappings, and
 * files that somebody writes to.  Of the latter changes are found by hashes, and whoever writes to
 * them may be frozen for the last round or not.
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
	 * stands still for good, and did not a moment ago, at the look before.  NULL: no need.
	 */
	bool (*look)(void *image, bool last, struct mfd_error *err);

	/* Pass every area that is in the image to changes_collect(). */
	bool (*collect)(void *image, struct changes *changes, struct mfd_error *err);

	/*
	 * It stands still, after the last look: what else has to be sent goes to changes_add().
	 * NULL: nothing.
	 */
	bool (*finish)(void *image, const struct frozen_thread *threads, size_t count,
		       struct changes *changes, struct mfd_error *err);

	/* Any thread.  What can't be read is zeros. */
	bool (*read)(void *image, uint64_t offset, uint8_t *buffer, size_t bytes,
		     struct mfd_error *err);

	/* How large it is, as of the last look or finish; it never becomes smaller. */
	uint64_t (*bytes)(const void *image);
};

/* How it is copied. */
struct precopy_options {
	pid_t pid;               /* whose page tables may tell what changed; 0: nobody's */
	unsigned trackers;       /* that may be tried: enum tracker_kind of process/tracker.h */
	/* the next round is the last when the rest is copied within so long, */
	uint64_t downtime_ms;
	uint64_t until_pages;    /* or, where that is 0, is at most so much; */
	unsigned rounds;         /* or when only one is left of so many */
	uint64_t copy_bytes;     /* memory for the last round, whole pages */
	mfd_notice_fn *notice;   /* never NULL; called by next() and end_round() */
	void *opaque;
};

/*
 * What a round is: one while all goes on; what the copy has no room for, sent while nothing moves;
 * the last one.
 */
enum precopy_phase { PRECOPY_RUNNING, PRECOPY_STANDING, PRECOPY_LAST };

struct precopy {
	/* Set by precopy_init(), const afterwards. */
	const struct precopy_image_ops *ops;
	void *image;
	struct freezer *freezer; /* the source's; NULL: nobody stands still for the last round */
	struct precopy_options options;

	/* The producer. */
	struct changes changes;  /* sender threads note what they read */
	bool begun;
	struct mfd_error failed; /* why it could not begin, or go on */
	uint64_t from;           /* the first page of this round, */
	uint64_t at;             /* and the next one to look at */
	uint64_t pages;          /* of the image, in this round */
	uint64_t covered;        /* below it every page has been spoken for once */
	uint64_t looked_ns;      /* when the last collection began, */
	uint64_t collect_took_ns; /* and how long it took */
	uint64_t stop_took_ns;   /* the last stop but the collection in it */

	/* Set between two rounds; sender threads read them. */
	enum precopy_phase phase;
	struct snapshot copy;
	uint64_t uncopied;       /* from here on the copy has nothing */

	/* Set by the producer before it collects; also for the threads that compare. */
	const struct event *stop; /* NULL: none */
	bool standing;           /* what is read now is to be of one moment */

	/* Any thread, for reports. */
	counter downtime_ns;     /* MFD_UNKNOWN before it is known */
	counter stopped_ns;      /* all stops but the last */
	counter tracker;         /* how changes are found: precopy_collect.c */
	counter dirty_rate;
	counter rounds;
	counter round_pages[MFD_MAX_ROUNDS];
};

/* What the user chose for a process. */
static inline struct precopy_options precopy_options_of(const struct source_process_options *o)
{
	return (struct precopy_options){
		.pid = o->pid, .trackers = o->trackers, .downtime_ms = o->downtime_ms,
		.rounds = o->rounds, .copy_bytes = o->copy_bytes,
		.notice = o->notice, .opaque = o->opaque,
	};
}

/* Image and freezer stay the caller's.  Nothing is stopped, or allocated, yet. */
void precopy_init(struct precopy *p, const struct precopy_image_ops *ops, void *image,
		  struct freezer *freezer, const struct precopy_options *options);

/* Also of a zeroed struct.  The freezer's owner thaws. */
void precopy_destroy(struct precopy *p);

/* As the slots of a source. */
bool precopy_next(struct precopy *p, uint32_t max_pages, struct batch *ret_batch, bool *ret_end,
		  struct mfd_error *err) MFD_MUST_CHECK;
bool precopy_read(struct precopy *p, const struct batch *batch, uint8_t *buffer,
		  struct mfd_error *err) MFD_MUST_CHECK;
bool precopy_end_round(struct precopy *p, uint32_t round, const struct event *stop,
		       bool *ret_again, uint64_t *ret_size, struct mfd_error *err) MFD_MUST_CHECK;
void precopy_report(const struct precopy *p, struct mfd_stats *ret);

/*
 * precopy_collect.c.  The first collection, everything; what has changed since the one before; the
 * same while it stands still for good (@last).
 */
bool precopy_begin(struct precopy *p, struct mfd_error *err) MFD_MUST_CHECK;
bool precopy_collect(struct precopy *p, bool first, struct mfd_error *err) MFD_MUST_CHECK;
bool precopy_look(struct precopy *p, bool last, struct mfd_error *err) MFD_MUST_CHECK;

/* precopy_collect.c.  A stop in which the tracker gets to know the mappings that there are now. */
bool precopy_arm(struct precopy *p, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * precopy_collect.c.  A compare_go_on_fn.  All of a file may have to be read: not for a session
 * that is over, nor when what was to stand still goes on.
 */
bool precopy_go_on(void *precopy, struct mfd_error *err) MFD_MUST_CHECK;

/* precopy_collect.c.  How changes are found, or ""; one line for who wants to know more. */
const char *precopy_tracker(const struct precopy *p);
void precopy_tell(const struct precopy *p, const char *text);

/* precopy_walk.c: the round's pages, from page @from on. */
void precopy_walk_begin(struct precopy *p, uint64_t from);
bool precopy_walk(struct precopy *p, uint32_t max_pages, struct batch *ret_batch);

#endif
