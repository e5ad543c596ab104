/* SPDX-License-Identifier: MIT */
/*
 * Precopy, round by round.
 *
 * Life: the producer's first call chooses and arms the tracker in a short stop, and collects
 * for the first time: everything.  Each round walks what is dirty; sender threads read it from
 * the process or file, however it changes.  When a round is at the receiver, what changed
 * meanwhile is collected.  As soon as little enough is left, or the rounds are used up, the process
 * is frozen: a last collection, registers, and a copy of the rest; then it goes on, and the last
 * round is sent from the copy.  What the copy has no room for is a round of its own before that,
 * sent while it stands still.  Where nobody is to be frozen the last round is one like the others.
 */
#include "source/precopy.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

/* What is copied at once while it stands still, and read to measure how fast that goes. */
#define PRECOPY_STEP_PAGES 1024u

/* 64 MiB: some 15 ms to compare. */
#define PRECOPY_UNARMED_PAGES 16384u

void precopy_init(struct precopy *p, const struct precopy_image_ops *ops, void *image,
		  struct freezer *freezer, const struct precopy_options *options)
{
	*p = (struct precopy){
		.ops = ops, .image = image, .freezer = freezer, .options = *options,
		.uncopied = UINT64_MAX,
	};
	counter_set(&p->downtime_ns, MFD_UNKNOWN);
}

void precopy_destroy(struct precopy *p)
{
	changes_destroy(&p->changes);
	snapshot_destroy(&p->copy);
}

/* ---- The last round. ---- */

/*
 * Copy what is dirty.  Pages that are gone are zeros at the receiver without that, and to read them
 * might bring them back.  What there is no room for is sent while nothing moves, unless the image
 * has grown: then there may be pages behind it that no batch has spoken for.
 */
static bool precopy_copy(struct precopy *p, struct mfd_error *err)
{
	const uint64_t pages = batch_pages_of(p->ops->bytes(p->image));
	uint64_t i, n, done, step, room;
	uint8_t *to;

	for (i = 0; changes_next(&p->changes, pages, &i, &n); i += n) {
		for (done = 0; done < n; done += step) {
			if (!precopy_go_on(p, err))
				return false;
			step = n - done < PRECOPY_STEP_PAGES ? n - done : PRECOPY_STEP_PAGES;
			room = snapshot_room(&p->copy);
			if (step > room && p->covered == pages) {
				step = room;
				p->uncopied = i + done + step;
			}
			if (step > 0 && (!snapshot_add(&p->copy, i + done, step, &to, err) ||
					 !p->ops->read(p->image, (i + done) * PAGE_BYTES, to,
						       step * PAGE_BYTES, err)))
				return false;
			if (p->uncopied != UINT64_MAX)
				return true;
		}
	}
	return true;
}

static bool precopy_take(struct precopy *p, struct mfd_error *err)
{
	const struct frozen_thread *threads;
	size_t count;

	threads = freezer_threads(p->freezer, &count);
	return precopy_look(p, true, err) &&
	       (p->ops->finish == NULL ||
		p->ops->finish(p->image, threads, count, &p->changes, err)) &&
	       precopy_copy(p, err);
}

/* It goes on; was what was read since the freeze of one moment? */
static bool precopy_release(struct precopy *p, struct mfd_error *err)
{
	uint64_t ns;

	p->standing = false;
	if (!freezer_thaw(p->freezer, &ns, err))
		return false;
	counter_set(&p->downtime_ns, ns);
	p->phase = PRECOPY_LAST;
	return freezer_check_bound(p->freezer, err);
}

static bool precopy_freeze(struct precopy *p, struct mfd_error *err)
{
	struct mfd_error second;

	if (!freezer_freeze(p->freezer, err))
		return false;
	p->standing = true;
	if (!precopy_take(p, err)) {
		/* It goes on at once, not when the session has been taken down. */
		if (!precopy_release(p, &second))
			*err = second;
		else
			counter_set(&p->downtime_ns, MFD_UNKNOWN);
		return false;
	}
	changes_stop(&p->changes);
	if (p->uncopied == UINT64_MAX)
		return precopy_release(p, err);
	precopy_tell(p, "more has changed than there is memory for: the rest of it is sent while "
			"nothing moves");
	p->phase = PRECOPY_STANDING;
	return true;
}

/* ---- Enough? ---- */

/* How long it takes to copy @pages, by copying some of those that are dirty. */
static bool precopy_measure(struct precopy *p, uint64_t pages, uint64_t *ret_ns,
			    struct mfd_error *err)
{
	const uint64_t limit = batch_pages_of(p->ops->bytes(p->image));
	uint64_t first = 0, n, since, done = 0;

	snapshot_expect(&p->copy, PRECOPY_STEP_PAGES * PAGE_BYTES);
	since = clock_ns();
	for (; done < 4 * PRECOPY_STEP_PAGES && changes_next(&p->changes, limit, &first, &n);
	     first += n) {
		if (n > PRECOPY_STEP_PAGES)
			n = PRECOPY_STEP_PAGES;
		if (!p->ops->read(p->image, first * PAGE_BYTES, p->copy.bytes, n * PAGE_BYTES,
				  err))
			return false;
		done += n;
	}
	*ret_ns = done > 0 ? (clock_ns() - since) * pages / done : 0;
	return true;
}

/* Without a bound on the downtime: is little enough left? */
static bool precopy_few(const struct precopy *p)
{
	return p->changes.dirty.count <= p->options.until_pages;
}

/*
 * Is what is dirty now copied within the downtime, with everything that belongs to it?  Where that
 * alone uses it up, fewer pages are not worth much: a quarter of it is always for them.
 */
static bool precopy_fits(struct precopy *p, bool *ret_fits, struct mfd_error *err)
{
	const uint64_t allowed = p->options.downtime_ms * CLOCK_NS_PER_MS;
	const uint64_t fixed = p->stop_took_ns + p->collect_took_ns;
	uint64_t copy_ns;

	*ret_fits = precopy_few(p);
	if (p->options.downtime_ms == 0)
		return true;
	if (!precopy_measure(p, p->changes.dirty.count, &copy_ns, err))
		return false;
	*ret_fits = fixed + copy_ns <= allowed || copy_ns <= allowed / 4;
	return true;
}

static void precopy_note_rate(struct precopy *p, uint64_t since)
{
	const uint64_t passed = p->looked_ns - since;

	if (passed > 0)
		counter_set(&p->dirty_rate,
			    (uint64_t)((double)(p->changes.dirty.count * PAGE_BYTES) * 1e9 /
				       (double)passed));
}

static void precopy_tell_round(const struct precopy *p, uint32_t round)
{
	char text[128];

	snprintf(text, sizeof(text),
		 "round %" PRIu32 ": %" PRIu64 " pages sent, %" PRIu64 " changed meanwhile",
		 round + 1, counter_get(&p->round_pages[round]), p->changes.dirty.count);
	precopy_tell(p, text);
}

/* What is dirty now is the last there is to send. */
static bool precopy_last(struct precopy *p, struct mfd_error *err)
{
	if (p->freezer == NULL) {
		changes_stop(&p->changes);
		p->phase = PRECOPY_LAST;
		p->uncopied = 0;
		return true;
	}
	/* A quarter more, for what changes until it stands still. */
	snapshot_expect(&p->copy, p->changes.dirty.count * PAGE_BYTES / 4 * 5);
	return precopy_freeze(p, err);
}

/* Between two rounds. */
static bool precopy_turn(struct precopy *p, uint32_t round, struct mfd_error *err)
{
	const uint64_t since = p->looked_ns;
	bool fits;

	if (p->freezer != NULL && p->copy.bytes == NULL &&
	    !snapshot_init(&p->copy, p->options.copy_bytes, err))
		return false;
	/* What came since the last stop is compared in the freeze, which a little of it may be. */
	if (p->changes.unarmed > PRECOPY_UNARMED_PAGES && !precopy_arm(p, err))
		return false;
	if (!precopy_collect(p, false, err))
		return false;
	precopy_note_rate(p, since);
	precopy_tell_round(p, round);
	if (!precopy_fits(p, &fits, err))
		return false;
	return (!fits && round + 2 < p->options.rounds) || precopy_last(p, err);
}

/* Is there another round, and what is in it? */
static bool precopy_advance(struct precopy *p, uint32_t round, bool *ret_again,
			    struct mfd_error *err)
{
	*ret_again = p->phase != PRECOPY_LAST;
	switch (p->phase) {
	case PRECOPY_RUNNING:
		if (!precopy_turn(p, round, err))
			return false;
		/* Without a freeze nothing can have come to it. */
		if (p->freezer == NULL && p->phase == PRECOPY_LAST)
			*ret_again = p->changes.dirty.count > 0;
		precopy_walk_begin(p, p->phase == PRECOPY_STANDING ? p->uncopied : 0);
		break;
	case PRECOPY_STANDING:
		if (!precopy_release(p, err))
			return false;
		precopy_walk_begin(p, 0);
		break;
	case PRECOPY_LAST:
		break;
	}
	return true;
}

/*
 * In a stop that goes on while it is sent from: what has been read so far is of one moment, or
 * thawing tells why not.
 */
static bool precopy_stands(struct precopy *p, struct mfd_error *err)
{
	if (p->phase != PRECOPY_STANDING || freezer_holds(p->freezer))
		return true;
	return precopy_release(p, err) &&
	       error_set(err, MFD_BUG, "the freeze has ended for no reason");
}

/* ---- The slots. ---- */

bool precopy_next(struct precopy *p, uint32_t max_pages, struct batch *ret_batch, bool *ret_end,
		  struct mfd_error *err)
{
	const uint64_t round = counter_get(&p->rounds);

	/* What failed half-way is not begun again: the caller may take MFD_TRY_AGAIN for that. */
	if (p->failed.status == MFD_OK &&
	    ((!p->begun && !precopy_begin(p, err)) || !precopy_stands(p, err)))
		p->failed = *err;
	if (p->failed.status != MFD_OK) {
		*err = p->failed;
		return false;
	}
	*ret_end = !precopy_walk(p, max_pages, ret_batch);
	if (*ret_end) {
		p->covered = p->pages;
		pageset_remove(&p->changes.dirty, p->from, p->pages - p->from);
	} else if (!ret_batch->zero_run && round < MFD_MAX_ROUNDS) {
		counter_add(&p->round_pages[round],
			    bitmap_count(ret_batch->data, (uint32_t)ret_batch->count));
	}
	return true;
}

bool precopy_read(struct precopy *p, const struct batch *batch, uint8_t *buffer,
		  struct mfd_error *err)
{
	uint32_t i, n;

	if (batch->zero_run)
		return true;
	for (i = 0; bitmap_next_run(batch->data, (uint32_t)batch->count, &i, &n); i += n) {
		uint8_t *to = buffer + (size_t)i * PAGE_BYTES;

		if (p->phase == PRECOPY_LAST && batch->first + i < p->uncopied) {
			snapshot_read(&p->copy, batch->first + i, n, to);
			continue;
		}
		if (!p->ops->read(p->image, (batch->first + i) * PAGE_BYTES, to,
				  (size_t)n * PAGE_BYTES, err))
			return false;
		if (p->phase == PRECOPY_RUNNING)
			changes_note(&p->changes, batch->first + i, n, to);
	}
	return true;
}

bool precopy_end_round(struct precopy *p, uint32_t round, const struct event *stop,
		       bool *ret_again, uint64_t *ret_size, struct mfd_error *err)
{
	bool ok;

	counter_set(&p->rounds, round + 1);
	p->stop = stop;
	if (p->freezer != NULL)
		freezer_heed(p->freezer, stop);
	ok = precopy_advance(p, round, ret_again, err);
	p->stop = NULL;
	*ret_size = p->ops->bytes(p->image);
	return ok;
}

void precopy_report(const struct precopy *p, struct mfd_stats *ret)
{
	ret->downtime_ns = counter_get(&p->downtime_ns);
	ret->stopped_ns = counter_get(&p->stopped_ns);
	ret->tracker = precopy_tracker(p);
	ret->dirty_rate = counter_get(&p->dirty_rate);
	for (unsigned i = 0; i < MFD_MAX_ROUNDS; i++)
		ret->round_pages[i] = counter_get(&p->round_pages[i]);
}
