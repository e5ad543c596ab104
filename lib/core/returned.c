/* SPDX-License-Identifier: MIT */
/*
 * The list of batches that came back: see returned.h.  It grows with the largest loss and is
 * bounded by what all channels together may have in flight.
 */
#include "core/returned.h"

#include <stdlib.h>
#include <string.h>

/* As many as a log holds. */
#define RETURNED_STEP 256u

void returned_init(struct returned *r)
{
	memset(r, 0, sizeof(*r));
	pthread_mutex_init(&r->lock, NULL);
}

void returned_destroy(struct returned *r)
{
	pthread_mutex_destroy(&r->lock);
	free(r->batch);
	r->batch = NULL;
}

static bool grow_locked(struct returned *r)
{
	struct batch *larger;

	if (r->end < r->room)
		return true;
	larger = realloc(r->batch, (r->room + RETURNED_STEP) * sizeof(*larger));
	if (!larger)
		return false;
	r->batch = larger;
	r->room += RETURNED_STEP;
	return true;
}

bool returned_put(struct returned *r, const struct batch *batch, struct mfd_error *err)
{
	bool ok;

	pthread_mutex_lock(&r->lock);
	ok = grow_locked(r);
	if (ok) {
		r->batch[r->end] = *batch;
		r->batch[r->end++].match = NULL; /* went with its slot */
		counter_set(&r->waiting, r->end - r->first);
	}
	pthread_mutex_unlock(&r->lock);
	return ok || error_set(err, MFD_OS, "out of memory for what is to be sent again");
}

bool returned_take(struct returned *r, struct batch *ret)
{
	bool any;

	pthread_mutex_lock(&r->lock);
	any = r->first < r->end;
	if (any)
		*ret = r->batch[r->first++];
	if (r->first == r->end)
		r->first = r->end = 0;
	counter_set(&r->waiting, r->end - r->first);
	pthread_mutex_unlock(&r->lock);
	return any;
}

bool returned_any(const struct returned *r)
{
	return counter_get(&r->waiting);
}
