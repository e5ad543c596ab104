/* SPDX-License-Identifier: MIT */
/*
 * Collecting changes.
 *
 * Where the tracker is trusted it is asked first, and only then is looked which pages exist: a
 * page that comes into being between the two exists and was never sent, so it is dirty; one
 * that goes away in between is dirty and gone; and whatever happens after the second look is
 * the next collection's.  The other order would take a page that appeared in between for a
 * hole, and protect it.
 */
#include "process/changes.h"

#include <string.h>
#include <sys/random.h>

#include "core/batch.h"

bool changes_init(struct changes *c, struct tracker *tracker, changes_read_fn *read, void *image,
		  struct mfd_error *err)
{
	*c = (struct changes){ .tracker = tracker };
	if (getrandom(c->secret, sizeof(c->secret), 0) == (ssize_t)sizeof(c->secret) &&
	    pageset_init(&c->dirty, err) && pageset_init(&c->held, err) &&
	    sparse_init(&c->hash, HASH_STRONG_BYTES, err) &&
	    compare_init(&c->compare, read, image, &c->hash, c->secret, err))
		return true;
	changes_destroy(c);
	return error_set(err, MFD_OS, "out of memory for what changes");
}

void changes_stop(struct changes *c)
{
	if (c->tracker)
		c->tracker->ops->free(c->tracker);
	c->tracker = NULL;
}

void changes_destroy(struct changes *c)
{
	changes_stop(c);
	compare_destroy(&c->compare);
	pageset_destroy(&c->dirty);
	pageset_destroy(&c->held);
	sparse_destroy(&c->hash);
	*c = (struct changes){ 0 };
}

bool changes_next(const struct changes *c, uint64_t end, uint64_t *first, uint64_t *ret_count)
{
	uint64_t dirty, held, n, m;

	for (dirty = *first; pageset_next(&c->dirty, end, &dirty, &n); dirty += n) {
		held = dirty;
		if (!pageset_next(&c->held, dirty + n, &held, &m))
			continue;
		*first = held;
		*ret_count = m;
		return true;
	}
	return false;
}

bool changes_arm(struct changes *c, pid_t pid, changes_also_fn *also, void *opaque,
		 struct mfd_error *err)
{
	struct maps maps;

	if (!c->tracker)
		return true;
	if (!maps_read(pid, MAPS_PLAIN, &maps, err))
		return false;
	for (size_t i = 0; i < maps.count; i++) {
		const struct mapping *m = &maps.mapping[i];

		if ((mapping_is_private_anonymous(m) && !mapping_is_special(m)) ||
		    (also && also(opaque, m)))
			c->tracker->ops->arm(c->tracker, m->start, m->end);
	}
	maps_free(&maps);
	return true;
}

bool changes_begin(struct changes *c, struct mfd_error *err)
{
	c->unarmed = 0;
	c->compare.pieces = 0;
	return !c->tracker || c->tracker->ops->begin(c->tracker, err);
}

bool changes_end(struct changes *c, struct mfd_error *err)
{
	return compare_finish(&c->compare, &c->dirty, err) &&
	       (!c->tracker || c->tracker->ops->end(c->tracker, err));
}

bool changes_add(struct changes *c, uint64_t first, uint64_t count, struct mfd_error *err)
{
	return pageset_add(&c->dirty, first, count, err) &&
	       pageset_add(&c->held, first, count, err);
}

struct changes_report {
	struct changes *changes;
	const struct changes_area *area;
};

static uint64_t changes_page(const struct changes_area *area, uint64_t address)
{
	return area->first + (address - area->start) / PAGE_BYTES;
}

/* A tracker_changed_fn. */
static bool changes_tracked(void *report, uint64_t start, uint64_t end, struct mfd_error *err)
{
	const struct changes_report *r = report;
	const uint64_t first = changes_page(r->area, start);

	return changes_add(r->changes, first, changes_page(r->area, end) - first, err);
}

/* Pages that do not exist: those that once did are zero from now on. */
static bool changes_gone(struct changes *c, uint64_t first, uint64_t end, struct mfd_error *err)
{
	uint64_t i, n;

	for (i = first; pageset_next(&c->held, end, &i, &n); i += n) {
		if (!pageset_add(&c->dirty, i, n, err))
			return false;
		pageset_remove(&c->held, i, n);
	}
	return true;
}

/* Pages that exist and were never sent, or not since they were gone. */
static bool changes_new(struct changes *c, uint64_t first, uint64_t end, struct mfd_error *err)
{
	uint64_t i, n, next;

	for (i = first; i < end; i = next + n) {
		next = i;
		if (!pageset_next(&c->held, end, &next, &n)) {
			next = end;
			n = 0;
		}
		if (next > i && !changes_add(c, i, next - i, err))
			return false;
	}
	return true;
}

/* Those that are dirty anyway need no look; the others come in runs between them. */
static bool changes_compare(struct changes *c, uint64_t first, uint64_t end,
			    struct mfd_error *err)
{
	uint64_t i, next, n;

	for (i = first; i < end; i = next + n) {
		next = i;
		if (!pageset_next(&c->dirty, end, &next, &n)) {
			next = end;
			n = 0;
		}
		if (next > i && !compare_add(&c->compare, i, next - i, &c->dirty, err))
			return false;
	}
	return true;
}

/* Pages that exist; @known: the tracker has said which of them changed. */
static bool changes_existing(struct changes *c, uint64_t first, uint64_t end, bool known,
			     struct mfd_error *err)
{
	return changes_new(c, first, end, err) &&
	       (known || (sparse_reserve(&c->hash, first, end - first, err) &&
			  changes_compare(c, first, end, err)));
}

bool changes_collect(struct changes *c, const struct changes_area *area, struct mfd_error *err)
{
	struct changes_report report = { c, area };
	uint64_t at, first, end;
	bool known = false;

	if (area->own && c->tracker &&
	    !c->tracker->ops->collect(c->tracker, area->start, area->end, area->shared,
				      changes_tracked, &report, &known, err))
		return false;
	for (at = area->start; at < area->end; at = end) {
		if (!area->find(area, at, area->end, &first, &end, err))
			return false;
		if (first >= end)
			first = end = area->end;
		if (area->own && c->tracker && !known)
			c->unarmed += (end - first) / PAGE_BYTES;
		if (!changes_gone(c, changes_page(area, at), changes_page(area, first), err) ||
		    !changes_existing(c, changes_page(area, first), changes_page(area, end),
				      known, err))
			return false;
	}
	return true;
}

void changes_note(struct changes *c, uint64_t first, uint64_t count, const uint8_t *pages)
{
	for (uint64_t i = 0; i < count; i++) {
		uint8_t *hash = sparse_at(&c->hash, first + i);

		if (hash)
			hash_strong(pages + i * PAGE_BYTES, PAGE_BYTES, c->secret,
				    sizeof(c->secret), hash);
	}
}
