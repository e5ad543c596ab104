/* SPDX-License-Identifier: MIT */
/*
 * Leaving out what the receiver has already (man/mfd-wire.7, "Delta").
 *
 *	match thread     reads the hash lists from their connection into a window of pages
 *	producer         waits until the pages of a batch are known, copies their hashes to a
 *	                 place that belongs to the batch's slot (match_ready, match_fetch)
 *	sender threads   compare each page they have read with it (match_pages)
 *
 * The window moves on with the walk.  When the match thread has no room in it, it stops reading,
 * and TCP stops the receiver.  When the connection is lost or silent, what is not known is sent.
 */
#ifndef MFD_SEND_MATCH_H
#define MFD_SEND_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/event.h"
#include "core/batch.h"
#include "core/sleeper.h"
#include "core/stats.h"
#include "net/channel.h"
#include "wire/wire.h"

/* Pages: 64 MiB of the image, in 256 KiB. */
#define MATCH_WINDOW 16384u

struct match;

/* What the receiver has of the pages of one batch. */
struct match_hashes {
	uint64_t has[BATCH_WORDS];   /* pages whose hash is known */
	uint8_t hash[][WIRE_STRONG_BYTES]; /* of page i at i */
};

struct match_params {
	uint64_t pages;              /* as WELCOME said: the lists speak for no more */
	uint8_t secret[WIRE_SECRET_BYTES];
	uint64_t timeout_ms;         /* silence after which the lists are given up */
	uint32_t slots;              /* batches that may be with sender threads at a time, */
	uint32_t packet_pages;       /* each of so many pages */
	const struct event *stop;    /* raised with the door; the caller's */
	struct sleeper *producer;    /* to wake when something is known; the caller's */
	counter *bytes;              /* received so far; the caller's */
};

/* Start the thread; @channel is owned from now on, also on failure.  MFD_OS. */
bool match_start(const struct match_params *params, struct channel *channel, struct match **ret,
		 struct mfd_error *err) MFD_MUST_CHECK;

/* Shut the connection, join the thread, free.  NULL is nothing. */
void match_stop(struct match *m);

/* Producer.  All that will ever be known about @count pages from @first on is known. */
bool match_ready(struct match *m, uint64_t first, uint64_t count);

/*
 * Producer.  What there is to know about those pages has been said: what match_ready() waits for,
 * unless the connection ended first.
 */
bool match_complete(struct match *m, uint64_t first, uint64_t count);

/*
 * Producer.  The batch goes to slot number @slot: what is known about its pages, for as long as
 * the slot is in use.  NULL when that is nothing.  The window moves on behind it.
 */
const struct match_hashes *match_fetch(struct match *m, const struct batch *batch, uint32_t slot);

/*
 * Sender thread.  Pages of @batch with data at @pages (page i at i * PAGE_BYTES) whose hash is the
 * receiver's become kept.  @totals are the batch's, and count them as data.
 */
void match_pages(const struct match *m, struct batch *batch, const uint8_t *pages,
		 const struct totals *totals);

#endif
