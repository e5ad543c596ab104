/* SPDX-License-Identifier: MIT */
/*
 * Which pages of an image of a live process still have to be sent: what trackers and hashes
 * find, added up over collections until somebody sends it.  Pages have their index in the
 * image; where the process has them is said area by area.
 *
 * Two sets: `dirty` must be sent, `held` is what the receiver has data of, or will have when
 * all that is dirty has been sent.  A page that is dirty and not held is zero now: it was there
 * once and has gone.  One thread, the walking one, but for changes_note().
 */
#ifndef MFD_PROCESS_CHANGES_H
#define MFD_PROCESS_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/hash.h"
#include "core/pageset.h"
#include "core/sparse.h"
#include "process/compare.h"
#include "process/maps.h"
#include "process/tracker.h"

struct changes_area;

/*
 * The first run of pages in the addresses [@from, @end) that exist: [*ret_first, *ret_end); an
 * empty one when there is none.  The others read as zeros.
 */
typedef bool changes_find_fn(const struct changes_area *area, uint64_t from, uint64_t end,
			     uint64_t *ret_first, uint64_t *ret_end, struct mfd_error *err);

/* Memory within one mapping, and where it lies in the image. */
struct changes_area {
	uint64_t start, end;     /* addresses */
	uint64_t first;          /* the page of the image that is at start */
	bool own;                /* only this process writes there: the tracker sees everything */
	bool shared;             /* with own: a file's memory, and nobody else has it */
	changes_find_fn *find;
	void *opaque;            /* these two are find's */
	size_t mapping;
};

struct changes {
	/* Set by changes_init(), const afterwards. */
	struct tracker *tracker; /* owned; NULL: hashes only */
	uint8_t secret[HASH_SECRET_MIN];

	/* The walking thread. */
	struct compare compare;  /* its own rules; who collects may set its go_on() */
	struct pageset dirty, held;
	/* pages that were the tracker's if it knew them, in this collection */
	uint64_t unarmed;

	/*
	 * Records are made by the walking thread, each filled by the thread that reads the page
	 * for sending.
	 */
	struct sparse hash;      /* HASH_STRONG_BYTES of what was last sent */
};

/* @tracker (NULL: none) becomes the changes' own, also on failure.  Errors: MFD_OS. */
bool changes_init(struct changes *c, struct tracker *tracker, changes_read_fn *read, void *image,
		  struct mfd_error *err) MFD_MUST_CHECK;

/* Also of a zeroed struct. */
void changes_destroy(struct changes *c);

/*
 * Have the tracker know all memory of process @pid that is private and without a file, and of the
 * other mappings those that @also (NULL: none) wants.  Only while it stands still.  Errors: as
 * maps_read().
 */
typedef bool changes_also_fn(void *opaque, const struct mapping *m);
bool changes_arm(struct changes *c, pid_t pid, changes_also_fn *also, void *opaque,
		 struct mfd_error *err) MFD_MUST_CHECK;

/*
 * A collection: begin, each area once, end.  What it adds to `dirty` is to be read behind it.
 * The first one makes everything dirty that exists.  Errors: what the tracker and the readers
 * say, and the compare's go_on().
 */
bool changes_begin(struct changes *c, struct mfd_error *err) MFD_MUST_CHECK;
bool changes_collect(struct changes *c, const struct changes_area *area,
		     struct mfd_error *err) MFD_MUST_CHECK;
bool changes_end(struct changes *c, struct mfd_error *err) MFD_MUST_CHECK;

/* [@first, @first + @count) must be sent whatever is known of it, as data. */
bool changes_add(struct changes *c, uint64_t first, uint64_t count,
		 struct mfd_error *err) MFD_MUST_CHECK;

/*
 * The next run of pages at or behind *@first and before @end that are dirty and held: those whose
 * content has to be read.  As pageset_next().
 */
bool changes_next(const struct changes *c, uint64_t end, uint64_t *first, uint64_t *ret_count);

/* No more collections: the tracker goes, and with it what it costs the process.  The sets stay. */
void changes_stop(struct changes *c);

/*
 * Any thread, one for each page in a round: @count pages from @first on are sent with the
 * content of @pages.
 */
void changes_note(struct changes *c, uint64_t first, uint64_t count, const uint8_t *pages);

#endif
