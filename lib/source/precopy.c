/* SPDX-License-Identifier: MIT */
/*
 * Precopy, round by round.
 *
 * Life: the producer's first call chooses and arms the tracker in a short stop, and collects
 * for the first time: everything.  Each round walks what is dirty; sender threads read it from
 * the process, however it changes.  When a round is at the receiver, what changed meanwhile is
 * collected.  As soon as the rest would be copied within the downtime that is allowed, or the
 * rounds are used up, the process is frozen: a last collection, registers, and a copy of the
 * rest; then it goes on, and the last round is sent from the copy.
 *
 * A collection comes before the reads of its round, and protects what it reports: what is read
 * too new is found again, and nothing is too old.
 */
#include "source/precopy.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/kernel.h"

/* What is copied at once while it stands still, and read to measure how fast that goes. */
#define PRECOPY_STEP_PAGES 1024u

/* 64 MiB: some 15 ms to compare. */
#define PRECOPY_UNARMED_PAGES 16384u

/* How changes are found, in the order of the names below. */
enum precopy_tracker { PRECOPY_NOT_YET, PRECOPY_USERFAULTFD, PRECOPY_SOFT_DIRTY, PRECOPY_HASHES };

static const char *const precopy_tracker_name[] = { "", "userfaultfd", "soft-dirty", "hashes" };

void precopy_init(struct precopy *p, const struct precopy_image_ops *ops, void *image,
		  struct freezer *freezer, const struct source_process_options *options)
{
	*p = (struct precopy){
		.ops = ops, .image = image, .freezer = freezer, .options = *options
	};
	counter_set(&p->downtime_ns, MFD_UNKNOWN);
}

void precopy_destroy(struct precopy *p)
{
	changes_destroy(&p->changes);
	snapshot_destroy(&p->copy);
}

static void precopy_tell(const struct precopy *p, const char *text)
{
	p->options.notice(p->options.opaque,
			  &(struct mfd_notice){ .kind = MFD_NOTICE_DETAIL, .text = text });
}

/* ---- Stops. ---- */

/* End a stop that is not the last. */
static bool precopy_thaw(struct precopy *p, struct mfd_error *err)
{
	uint64_t ns;

	if (!freezer_thaw(p->freezer, &ns, err) || !freezer_check_bound(p->freezer, err))
		return false;
	p->stop_took_ns = ns;
	counter_add(&p->stopped_ns, ns);
	return true;
}

/* ---- The tracker. ---- */

/* An error that means "not by this way", and is only told; true to go on. */
static bool precopy_give_way(const struct precopy *p, const char *way, struct mfd_error *err)
{
	if (err->status == MFD_NO_INPUT || err->status == MFD_TRY_AGAIN)
		return false;
	error_wrap(err, "changes are not found by %s", way);
	precopy_tell(p, err->text);
	return true;
}

static bool precopy_try_uffd(struct precopy *p, struct tracker **ret, struct mfd_error *err)
{
	struct mfd_error why;
	int fd;

	if (freezer_userfaultfd(p->freezer, O_CLOEXEC | UFFD_USER_MODE_ONLY, &fd, &why) &&
	    tracker_uffd_new(p->options.pid, fd, ret, &why)) {
		counter_set(&p->tracker, PRECOPY_USERFAULTFD);
		return true;
	}
	if (precopy_give_way(p, "userfaultfd", &why))
		return true;
	*err = why;
	return false;
}

static bool precopy_choose_tracker(struct precopy *p, struct tracker **ret, struct mfd_error *err)
{
	struct mfd_error why;

	*ret = NULL;
	if (p->options.trackers & TRACKER_USERFAULTFD && !precopy_try_uffd(p, ret, err))
		return false;
	if (*ret != NULL || !(p->options.trackers & TRACKER_SOFT_DIRTY))
		return true;
	if (tracker_soft_dirty_new(p->options.pid, ret, &why)) {
		counter_set(&p->tracker, PRECOPY_SOFT_DIRTY);
		return true;
	}
	if (precopy_give_way(p, "soft-dirty bits", &why))
		return true;
	*err = why;
	return false;
}

/* ---- Collecting. ---- */

static bool precopy_look(struct precopy *p, bool last, struct mfd_error *err)
{
	if (!p->ops->look(p->image, last, err))
		return false;
	p->looked_ns = clock_ns();
	if (!changes_begin(&p->changes, err) || !p->ops->collect(p->image, &p->changes, err) ||
	    !changes_end(&p->changes, err))
		return false;
	p->collect_took_ns = clock_ns() - p->looked_ns;
	return freezer_same(p->freezer, err);
}

/* What has changed; @first: everything. */
static bool precopy_collect(struct precopy *p, bool first, struct mfd_error *err)
{
	const struct tracker *t = p->changes.tracker;
	const bool stop = t != NULL && t->ops->stopped && !first;

	if (stop && !freezer_freeze(p->freezer, err))
		return false;
	return precopy_look(p, false, err) && (!stop || precopy_thaw(p, err));
}

/* A stop in which the tracker gets to know the mappings that there are now. */
static bool precopy_arm(struct precopy *p, struct mfd_error *err)
{
	return freezer_freeze(p->freezer, err) &&
	       changes_arm(&p->changes, p->options.pid, p->ops->also, p->image, err) &&
	       precopy_thaw(p, err);
}

static bool precopy_set_up(struct precopy *p, struct mfd_error *err)
{
	struct tracker *tracker;

	if (!precopy_choose_tracker(p, &tracker, err) ||
	    !changes_init(&p->changes, tracker, p->ops->read, p->image, err))
		return false;
	if (tracker == NULL)
		counter_set(&p->tracker, PRECOPY_HASHES);
	return changes_arm(&p->changes, p->options.pid, p->ops->also, p->image, err);
}

static bool precopy_begin(struct precopy *p, struct mfd_error *err)
{
	if (!freezer_freeze(p->freezer, err) || !precopy_set_up(p, err) ||
	    !precopy_thaw(p, err) || !precopy_collect(p, true, err))
		return false;
	p->begun = true;
	precopy_walk_begin(p);
	return true;
}

/* ---- The last round. ---- */

/*
 * Copy what is dirty.  Pages that are gone are zeros at the receiver without that, and to read them
 * might bring them back.
 */
static bool precopy_copy(struct precopy *p, struct mfd_error *err)
{
	const uint64_t pages = batch_pages_of(p->ops->bytes(p->image));
	uint64_t i, n, done, step;
	uint8_t *to;

	for (i = 0; changes_next(&p->changes, pages, &i, &n); i += n) {
		for (done = 0; done < n; done += step) {
			step = n - done < PRECOPY_STEP_PAGES ? n - done : PRECOPY_STEP_PAGES;
			if (!freezer_holds(p->freezer))
				return true; /* who thaws says why */
			if (!snapshot_add(&p->copy, i + done, step, &to, err))
				return false;
			if (!p->ops->read(p->image, (i + done) * PAGE_BYTES, to,
					  step * PAGE_BYTES, err))
				return false;
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
	       p->ops->finish(p->image, threads, count, &p->changes, err) && precopy_copy(p, err);
}

static bool precopy_freeze(struct precopy *p, struct mfd_error *err)
{
	struct mfd_error second;
	uint64_t ns;

	if (!freezer_freeze(p->freezer, err))
		return false;
	if (!precopy_take(p, err)) {
		/* It goes on at once, not when the session has been taken down. */
		if (freezer_thaw(p->freezer, &ns, &second) && !freezer_check_bound(p->freezer, &second))
			*err = second;
		return false;
	}
	if (!freezer_thaw(p->freezer, &ns, err))
		return false;
	counter_set(&p->downtime_ns, ns);
	p->last = true;
	changes_stop(&p->changes);
	return freezer_check_bound(p->freezer, err);
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

/*
 * Is what is dirty now copied within the downtime, with everything that belongs to it?  Where that
 * alone uses it up, fewer pages are not worth much: a quarter of it is always for them.
 */
static bool precopy_fits(struct precopy *p, bool *ret_fits, struct mfd_error *err)
{
	const uint64_t allowed = p->options.downtime_ms * CLOCK_NS_PER_MS;
	const uint64_t fixed = p->stop_took_ns + p->collect_took_ns;
	uint64_t copy_ns;

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

/* Between two rounds. */
static bool precopy_turn(struct precopy *p, uint32_t round, struct mfd_error *err)
{
	const uint64_t since = p->looked_ns;
	bool fits;

	if (p->copy.bytes == NULL && !snapshot_init(&p->copy, p->options.copy_bytes, err))
		return false;
	/* What came since the last stop is compared in the freeze, which a little of it may be. */
	if (p->changes.unarmed > PRECOPY_UNARMED_PAGES && !precopy_arm(p, err))
		return false;
	if (!precopy_collect(p, false, err))
		return false;
	precopy_note_rate(p, since);
	if (!precopy_fits(p, &fits, err))
		return false;
	if (!fits && round + 2 < p->options.rounds)
		return true;
	/* A quarter more, for what changes until it stands still. */
	snapshot_expect(&p->copy, p->changes.dirty.count * PAGE_BYTES / 4 * 5);
	return precopy_freeze(p, err);
}

/* ---- The slots. ---- */

bool precopy_next(struct precopy *p, uint32_t max_pages, struct batch *ret_batch, bool *ret_end,
		  struct mfd_error *err)
{
	const uint64_t round = counter_get(&p->rounds);

	/* What failed half-way is not begun again: the caller may take MFD_TRY_AGAIN for that. */
	if (p->failed.status == MFD_OK && !p->begun && !precopy_begin(p, err))
		p->failed = *err;
	if (p->failed.status != MFD_OK) {
		*err = p->failed;
		return false;
	}
	*ret_end = !precopy_walk(p, max_pages, ret_batch);
	if (*ret_end) {
		p->covered = p->pages;
		pageset_remove(&p->changes.dirty, 0, p->pages);
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

		if (p->last) {
			snapshot_read(&p->copy, batch->first + i, n, to);
			continue;
		}
		if (!p->ops->read(p->image, (batch->first + i) * PAGE_BYTES, to,
				  (size_t)n * PAGE_BYTES, err))
			return false;
		changes_note(&p->changes, batch->first + i, n, to);
	}
	return true;
}

bool precopy_end_round(struct precopy *p, uint32_t round, bool *ret_again, uint64_t *ret_size,
		       struct mfd_error *err)
{
	counter_set(&p->rounds, round + 1);
	*ret_again = !p->last;
	*ret_size = p->ops->bytes(p->image);
	if (p->last)
		return true;
	if (!precopy_turn(p, round, err))
		return false;
	precopy_walk_begin(p);
	return true;
}

void precopy_report(const struct precopy *p, struct mfd_stats *ret)
{
	ret->downtime_ns = counter_get(&p->downtime_ns);
	ret->stopped_ns = counter_get(&p->stopped_ns);
	ret->tracker = precopy_tracker_name[counter_get(&p->tracker)];
	ret->dirty_rate = counter_get(&p->dirty_rate);
	for (unsigned i = 0; i < MFD_MAX_ROUNDS; i++)
		ret->round_pages[i] = counter_get(&p->round_pages[i]);
}
