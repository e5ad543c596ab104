/* SPDX-License-Identifier: MIT */
/*
 * What is said on control about rounds and the end: SYNC_DONE, END, COMMITTED.
 */
#include "wire/body.h"

#include <inttypes.h>

#include "wire/check.h"

static void rounds_put_totals(struct cursor *c, const struct totals *t)
{
	cursor_put_u64(c, t->packets);
	cursor_put_u64(c, t->pages);
	cursor_put_u64(c, t->zero_pages);
	cursor_put_u64(c, t->sum);
}

static void rounds_get_totals(struct cursor *c, struct totals *ret)
{
	ret->packets = cursor_get_u64(c);
	ret->pages = cursor_get_u64(c);
	ret->zero_pages = cursor_get_u64(c);
	ret->sum = cursor_get_u64(c);
}

static bool rounds_check_totals(const struct totals *t, struct mfd_error *err)
{
	if (t->zero_pages > t->pages)
		return error_set(err, MFD_PROTOCOL, "totals: %" PRIu64 " zero pages of %" PRIu64,
				 t->zero_pages, t->pages);
	return true;
}

void wire_put_sync_done(struct cursor *c, const struct wire_sync_done *m)
{
	cursor_put_u32(c, m->round);
	rounds_put_totals(c, &m->totals);
}

bool wire_get_sync_done(struct cursor *c, struct wire_sync_done *ret, struct mfd_error *err)
{
	ret->round = cursor_get_u32(c);
	rounds_get_totals(c, &ret->totals);
	return wire_check_ended(c, err) &&
	       wire_check_range("round", ret->round, 0, WIRE_MAX_ROUNDS - 1, err) &&
	       rounds_check_totals(&ret->totals, err);
}

void wire_put_end(struct cursor *c, const struct wire_end *m)
{
	cursor_put_u32(c, m->rounds);
	cursor_put_u64(c, m->size);
	rounds_put_totals(c, &m->totals);
	cursor_put_u64(c, m->image_hash);
}

bool wire_get_end(struct cursor *c, struct wire_end *ret, struct mfd_error *err)
{
	ret->rounds = cursor_get_u32(c);
	ret->size = cursor_get_u64(c);
	rounds_get_totals(c, &ret->totals);
	ret->image_hash = cursor_get_u64(c);
	return wire_check_ended(c, err) &&
	       wire_check_range("rounds", ret->rounds, 1, WIRE_MAX_ROUNDS, err) &&
	       wire_check_range("image size", ret->size, 0, WIRE_MAX_IMAGE, err) &&
	       rounds_check_totals(&ret->totals, err);
}

void wire_put_committed(struct cursor *c, const struct wire_committed *m)
{
	cursor_put_u64(c, m->size);
	cursor_put_u64(c, m->image_hash);
}

bool wire_get_committed(struct cursor *c, struct wire_committed *ret, struct mfd_error *err)
{
	ret->size = cursor_get_u64(c);
	ret->image_hash = cursor_get_u64(c);
	return wire_check_ended(c, err) &&
	       wire_check_range("image size", ret->size, 0, WIRE_MAX_IMAGE, err);
}
