/* SPDX-License-Identifier: MIT */
/*
 * What changed of a core file: each piece of memory that is in it, to be collected from.
 */
#include "core/batch.h"
#include "process/changes.h"
#include "process/corefile.h"

/*
 * A changes_find_fn.  What the page map says may be looked at only behind the tracker, so nothing
 * that was read before counts.
 */
static bool corefile_find_in_area(const struct changes_area *area, uint64_t from, uint64_t end,
				  uint64_t *ret_first, uint64_t *ret_end, struct mfd_error *err)
{
	struct corefile *c = area->opaque;

	if (from == area->start)
		pagemap_forget(&c->pagemap);
	return corefile_find_in_part(c, area->mapping, from, end, ret_first, ret_end, err);
}

/*
 * Only the process's own private memory without a file is the tracker's: shared memory may be
 * written to by others, and a page of a private file mapping that is discarded is the file's
 * again.  Where a userfaultfd supplies the pages there is no room for a second one.
 */
static bool corefile_is_own(const struct mapping *m)
{
	return mapping_is_private_anonymous(m) && !mapping_is_special(m) &&
	       !(m->flags & (MAPPING_UFFD_MISSING | MAPPING_UFFD_MINOR));
}

static bool corefile_collect_part(struct corefile *c, size_t i, struct changes *changes,
				  struct mfd_error *err)
{
	const struct mapping *m = &c->maps.mapping[i];
	const uint64_t end = m->start + c->part[i].stored;
	struct changes_area area = { .own = corefile_is_own(m),
				     .find = corefile_find_in_area,
				     .opaque = c,
				     .mapping = i };
	const struct layout_room *r;

	for (area.start = m->start; area.start < end; area.start = area.end) {
		r = layout_room_at(&c->layout, area.start);
		area.first = (r->offset + (area.start - r->address)) / PAGE_BYTES;
		area.end = r->address + r->bytes < end ? r->address + r->bytes : end;
		if (!changes_collect(changes, &area, err))
			return false;
	}
	return true;
}

bool corefile_collect(struct corefile *c, struct changes *changes, struct mfd_error *err)
{
	for (size_t i = 0; i < c->maps.count; i++) {
		if (!corefile_collect_part(c, i, changes, err))
			return false;
	}
	return true;
}

bool corefile_collect_rest(const struct corefile *c, struct changes *changes,
			   struct mfd_error *err)
{
	const uint64_t tail = c->layout.end / PAGE_BYTES;

	return changes_add(changes, 0, LAYOUT_HEADER_BYTES / PAGE_BYTES, err) &&
	       changes_add(changes, tail, batch_pages_of(corefile_bytes(c)) - tail, err);
}
