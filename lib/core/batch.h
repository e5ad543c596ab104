/* SPDX-License-Identifier: MIT */
/*
 * A batch: a run of pages of one region, the unit that the producer hands to a sender thread, that
 * a packet carries, and that is acknowledged.  It says which pages; where their bytes are is the
 * source's business.
 */
#ifndef MFD_CORE_BATCH_H
#define MFD_CORE_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bitmap.h"

/*
 * The unit of everything: zero test, hash, wire.  The same on machines whose own pages are larger.
 */
#define PAGE_BYTES 4096u

/* The most one batch may hold, so that every buffer has a bound: 1024 pages, 4 MiB. */
#define BATCH_MAX_PAGES 1024u
#define BATCH_MAX_BYTES (BATCH_MAX_PAGES * PAGE_BYTES)
#define BATCH_WORDS BITMAP_WORDS(BATCH_MAX_PAGES)

struct match_hashes; /* send/match.h */

struct batch {
	uint64_t id;             /* unique in the session, given by the producer */
	uint64_t first;          /* page index in the region */
	/* pages from first to the last one; at most BATCH_MAX_PAGES unless zero_run */
	uint64_t count;
	uint32_t region;
	uint32_t round;

	/* a run of zero pages of any length: the bitmaps and bytes are not used */
	bool zero_run;
	/* was sent before, perhaps written in part: the receiver must write its zero pages too */
	bool again;
	/* `bytes` holds the data pages one behind another, their zero test done */
	bool packed;

	/*
	 * Bytes already read, from the session's pool (streams); NULL when the sender thread reads
	 * them from the source.
	 */
	uint8_t *bytes;

	/*
	 * What the receiver has of these pages, until the sender thread has compared; NULL: nothing
	 * is known.
	 */
	const struct match_hashes *match;

	uint64_t carried[BATCH_WORDS]; /* pages this batch speaks for; bit i is page first + i */
	/* those of them that may hold data; the others are zero or kept.  Part of carried. */
	uint64_t data[BATCH_WORDS];
	/* those that the receiver has already, as of when it was first sent.  Part of carried. */
	uint64_t kept[BATCH_WORDS];
	uint64_t kept_sum;             /* of the kept pages' hashes */
};

/*
 * The totals of a round, each batch counted once.  Both ends keep them and compare (man/mfd-wire.7,
 * "Totals").
 */
struct totals {
	uint64_t packets;
	uint64_t pages;          /* all pages spoken for, the zero ones too */
	uint64_t zero_pages;
	uint64_t sum;            /* of the data pages' hashes, mod 2^64 */
};

void totals_add(struct totals *t, const struct totals *more);
bool totals_equal(const struct totals *a, const struct totals *b);

/* Pages needed for @bytes; the last one may be short. */
uint64_t batch_pages_of(uint64_t bytes);

#endif
