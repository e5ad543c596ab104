/* SPDX-License-Identifier: MIT */
/*
 * The verdict: the best reason so far under a lock, and an event for the thread that decides
 * what follows from it. The reason is stored before the event is raised, so whoever answers the
 * event finds it.
 */
#include "core/verdict.h"

#include "base/clock.h"

bool verdict_init(struct verdict *v, struct mfd_error *err)
{
	int e;

	if (!event_init(&v->attention, err))
		return false;
	e = pthread_mutex_init(&v->lock, NULL);
	if (e != 0) {
		event_destroy(&v->attention);
		return error_set_os(err, MFD_OS, e, "mutex");
	}
	v->rank = VERDICT_NONE;
	v->error = (struct mfd_error){0};
	v->believed_ns = CLOCK_NEVER;
	return true;
}

void verdict_destroy(struct verdict *v)
{
	pthread_mutex_destroy(&v->lock);
	event_destroy(&v->attention);
}

void verdict_report(struct verdict *v, enum verdict_rank rank, const struct mfd_error *error)
{
	pthread_mutex_lock(&v->lock);
	/* Of equals the first: the second is most often its consequence. */
	if (rank > v->rank) {
		v->rank = rank;
		v->error = *error;
	}
	pthread_mutex_unlock(&v->lock);
	event_raise(&v->attention);
}

enum verdict_rank verdict_get(struct verdict *v, struct mfd_error *ret_error)
{
	enum verdict_rank rank;

	pthread_mutex_lock(&v->lock);
	rank = v->rank;
	if (rank != VERDICT_NONE)
		*ret_error = v->error;
	pthread_mutex_unlock(&v->lock);
	return rank;
}

bool verdict_ends(struct verdict *v, bool hears, struct mfd_error *ret_reason)
{
	const enum verdict_rank rank = verdict_get(v, ret_reason);

	if (rank != VERDICT_LOST)
		return rank != VERDICT_NONE;
	if (hears && v->believed_ns == CLOCK_NEVER)
		v->believed_ns = clock_deadline_ms(VERDICT_GRACE_MS);
	return !hears || clock_ns() >= v->believed_ns;
}
