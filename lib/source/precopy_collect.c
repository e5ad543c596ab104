/* SPDX-License-Identifier: MIT */
/*
 * Finding out what changed: a tracker is chosen and armed in a short stop, and asked between two
 * rounds; where there is none, or it does not know, pages are compared by their hashes.
 *
 * A collection comes before the reads of its round, and protects what it reports: what is read
 * too new is found again, and nothing is too old.
 */
#include "source/precopy.h"

#include <fcntl.h>

#include "base/clock.h"
#include "base/event.h"
#include "base/kernel.h"

/* How changes are found, in the order of the names below. */
enum precopy_tracker { PRECOPY_NOT_YET, PRECOPY_USERFAULTFD, PRECOPY_SOFT_DIRTY, PRECOPY_HASHES };

static const char *const precopy_tracker_name[] = { "", "userfaultfd", "soft-dirty", "hashes" };

void precopy_tell(const struct precopy *p, const char *text)
{
	p->options.notice(p->options.opaque,
			  &(struct mfd_notice){ .kind = MFD_NOTICE_DETAIL, .text = text });
}

/* ---- Stops. ---- */

bool precopy_go_on(void *precopy, struct mfd_error *err)
{
	const struct precopy *p = precopy;

	if (p->stop != NULL && event_wait_fd(p->stop, -1, 0, 0) == EVENT_STOPPED)
		return error_set(err, MFD_TRY_AGAIN, "stopped");
	/* Who thaws says why. */
	return !p->standing || freezer_holds(p->freezer) ||
	       error_set(err, MFD_TRY_AGAIN, "the freeze has ended");
}

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

bool precopy_look(struct precopy *p, bool last, struct mfd_error *err)
{
	if (p->ops->look != NULL && !p->ops->look(p->image, last, err))
		return false;
	p->looked_ns = clock_ns();
	if (!changes_begin(&p->changes, err) || !p->ops->collect(p->image, &p->changes, err) ||
	    !changes_end(&p->changes, err))
		return false;
	p->collect_took_ns = clock_ns() - p->looked_ns;
	return p->freezer == NULL || freezer_same(p->freezer, err);
}

/* What has changed; @first: everything. */
bool precopy_collect(struct precopy *p, bool first, struct mfd_error *err)
{
	const struct tracker *t = p->changes.tracker;
	const bool stop = t != NULL && t->ops->stopped && !first;

	if (stop && !freezer_freeze(p->freezer, err))
		return false;
	return precopy_look(p, false, err) && (!stop || precopy_thaw(p, err));
}

/* A stop in which the tracker gets to know the mappings that there are now. */
bool precopy_arm(struct precopy *p, struct mfd_error *err)
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
	p->changes.compare.go_on = precopy_go_on;
	p->changes.compare.opaque = p;
	return changes_arm(&p->changes, p->options.pid, p->ops->also, p->image, err);
}

bool precopy_begin(struct precopy *p, struct mfd_error *err)
{
	const bool stop = p->options.pid > 0; /* there are page tables to be armed */

	if ((stop && !freezer_freeze(p->freezer, err)) || !precopy_set_up(p, err) ||
	    (stop && !precopy_thaw(p, err)) || !precopy_collect(p, true, err))
		return false;
	p->begun = true;
	precopy_walk_begin(p, 0);
	return true;
}

const char *precopy_tracker(const struct precopy *p)
{
	return precopy_tracker_name[counter_get(&p->tracker)];
}
