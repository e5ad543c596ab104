/* SPDX-License-Identifier: MIT */
/*
 * See again.h.
 */
#include "again.h"

#include "base/clock.h"

bool again_init(struct again *a, struct mfd_error *err)
{
	*a = (struct again){
		.last = {
			.bytes_image = MFD_UNKNOWN,
			.downtime_ns = MFD_UNKNOWN,
			.tracker = "",
			.method = "",
			.backend = "",
		},
	};
	a->cancelled.fd = -1;
	pthread_mutex_init(&a->lock, NULL);
	return event_init(&a->cancelled, err);
}

void again_destroy(struct again *a)
{
	event_destroy(&a->cancelled);
	pthread_mutex_destroy(&a->lock);
}

bool again_cancelled(struct again *a)
{
	bool r;

	pthread_mutex_lock(&a->lock);
	r = a->cancel;
	pthread_mutex_unlock(&a->lock);
	return r;
}

bool again_is_worth(const struct mfd_error *err)
{
	return err->status == MFD_TRY_AGAIN || err->status == MFD_DATA ||
	       err->status == MFD_UNAVAILABLE;
}

uint64_t again_next_pause(struct again *a, bool progress)
{
	if (progress || !a->pause_ms)
		a->pause_ms = AGAIN_FIRST_MS;
	else if (a->pause_ms < AGAIN_LONGEST_MS)
		a->pause_ms =
			a->pause_ms * 2 < AGAIN_LONGEST_MS ? a->pause_ms * 2 : AGAIN_LONGEST_MS;
	return a->pause_ms;
}

bool again_pause(struct again *a, uint64_t ms)
{
	return event_wait_fd(&a->cancelled, -1, 0, clock_ns() + ms * CLOCK_NS_PER_MS) !=
	       EVENT_STOPPED;
}

void again_keep_locked(struct again *a, const struct mfd_stats *stats)
{
	a->last = *stats;
	again_add_locked(a, &a->last);
	a->bytes_wire += stats->bytes_wire;
	a->bytes_hashes += stats->bytes_hashes;
}

void again_add_locked(const struct again *a, struct mfd_stats *stats)
{
	stats->bytes_wire += a->bytes_wire;
	stats->bytes_hashes += a->bytes_hashes;
}
