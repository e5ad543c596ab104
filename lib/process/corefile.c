/* SPDX-License-Identifier: MIT */
/*
 * A core file under construction.
 */
#include "process/corefile.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/batch.h"
#include "process/filter.h"
#include "process/notes.h"

void corefile_init(struct corefile *c)
{
	*c = (struct corefile){ .memory.fd = -1 };
	pagemap_init(&c->pagemap);
}

bool corefile_open(struct corefile *c, pid_t pid, unsigned mask, struct mfd_error *err)
{
	c->pid = pid;
	c->mask = mask;
	if (!memory_open(pid, &c->memory, err))
		return false;
	layout_init(&c->layout, c->memory.page_bytes);
	return pagemap_open(&c->pagemap, pid, err);
}

void corefile_close(struct corefile *c)
{
	pagemap_close(&c->pagemap);
	free(c->tail);
	layout_free(&c->layout);
	free(c->part);
	maps_free(&c->maps);
	memory_close(&c->memory);
}

/* ---- Looking. ---- */

static void corefile_say(const struct mapping *m, const char *what, corefile_tell_fn *tell,
			 void *opaque)
{
	char text[MFD_ERROR_TEXT];

	snprintf(text, sizeof(text), "%" PRIx64 "-%" PRIx64 "%s%.200s: %s", m->start, m->end,
		 m->name[0] != '\0' ? " " : "", m->name, what);
	tell(opaque, text);
}

/* Its first page, if that is what an ELF file begins with. */
static bool corefile_choose_header(const struct corefile *c, const struct mapping *m,
				   struct corefile_part *ret, struct mfd_error *err)
{
	char magic[SELFMAG];
	uint64_t unreadable;

	if (!memory_read(&c->memory, m->start, magic, sizeof(magic), &unreadable, err))
		return false;
	if (unreadable == 0 && memcmp(magic, ELFMAG, SELFMAG) == 0)
		*ret = (struct corefile_part){ COREFILE_EVERY, c->memory.page_bytes };
	return true;
}

/*
 * How to find out which pages of a mapping that belongs into the file hold something.  Where a
 * userfaultfd is asked for pages, reading one would wait for its handler, which may be frozen;
 * and a huge page that is read before it was touched would be taken from the pool.
 */
static enum corefile_pages corefile_choose_pages(const struct mapping *m)
{
	if (m->flags & (MAPPING_UFFD_MISSING | MAPPING_UFFD_MINOR | MAPPING_HUGETLB))
		return COREFILE_TOUCHED;
	if (mapping_is_private_anonymous(m))
		return COREFILE_TOUCHED;
	return m->shared ? COREFILE_OBJECT : COREFILE_EVERY;
}

static bool corefile_choose(const struct corefile *c, const struct mapping *m,
			    struct corefile_part *ret, corefile_tell_fn *tell, void *opaque,
			    struct mfd_error *err)
{
	*ret = (struct corefile_part){ COREFILE_NONE, 0 };
	switch (filter_choose(m, c->mask)) {
	case FILTER_LEFT_OUT:
		return true;
	case FILTER_NO_MEMORY:
		corefile_say(m, "left out: no memory that can be read", tell, opaque);
		return true;
	case FILTER_ELF_HEADER:
		return corefile_choose_header(c, m, ret, err);
	case FILTER_WHOLE:
		break;
	}
	if (m->flags & (MAPPING_UFFD_MISSING | MAPPING_UFFD_MINOR))
		corefile_say(m, "pages that a userfaultfd has yet to supply are left out", tell,
			     opaque);
	*ret = (struct corefile_part){ corefile_choose_pages(m), m->end - m->start };
	return true;
}

/* What to do with @maps, which become the file's. */
static bool corefile_take_maps(struct corefile *c, struct maps *maps, corefile_tell_fn *tell,
			       void *opaque, struct mfd_error *err)
{
	maps_free(&c->maps);
	c->maps = *maps;
	free(c->part);
	c->part = NULL;
	pagemap_forget(&c->pagemap);
	c->part = calloc(c->maps.count, sizeof(*c->part));
	if (c->part == NULL)
		return error_set_os(err, MFD_OS, errno, "list of mappings");
	for (size_t i = 0; i < c->maps.count; i++) {
		const struct mapping *m = &c->maps.mapping[i];

		if (!corefile_choose(c, m, &c->part[i], tell, opaque, err) ||
		    !layout_add_room(&c->layout, m->start, c->part[i].stored, err))
			return false;
	}
	return true;
}

bool corefile_look(struct corefile *c, corefile_tell_fn *tell, void *opaque, struct mfd_error *err)
{
	struct maps maps;

	return maps_read(c->pid, MAPS_DETAILED, &maps, err) &&
	       corefile_take_maps(c, &maps, tell, opaque, err);
}

/* Has it pages now?  Where that takes a look at every entry, who knows. */
static bool corefile_is_touched(struct corefile *c, const struct mapping *m)
{
	struct mfd_error ignored;
	uint64_t first, end;

	pagemap_forget(&c->pagemap);
	return c->pagemap.plain ||
	       !pagemap_find(&c->pagemap, m->start, m->end, &first, &end, &ignored) || first < end;
}

/*
 * Flags and counts of a mapping that is as it was.  But for one without a page of its own: it may
 * have got one, and then belongs into the file.  A private file mapping that can be written to
 * shows that nowhere else; memory that was merely reserved may have been open for a moment.
 */
static bool corefile_inherit(struct corefile *c, struct mapping *m)
{
	const struct mapping *old = maps_find(&c->maps, m->start);

	if (old == NULL || old->start != m->start || old->end != m->end ||
	    old->inode != m->inode || old->major != m->major || old->minor != m->minor ||
	    old->offset != m->offset || old->access != m->access || old->shared != m->shared)
		return false;
	if (!m->shared && m->inode != 0 && m->access & MAPPING_WRITE && old->anonymous == 0)
		return false;
	if (m->access == 0 && mapping_is_private_anonymous(m) && old->anonymous == 0 &&
	    corefile_is_touched(c, m))
		return false;
	m->flags = old->flags;
	m->anonymous = old->anonymous;
	return true;
}

bool corefile_look_again(struct corefile *c, corefile_tell_fn *tell, void *opaque,
			 struct mfd_error *err)
{
	struct maps maps;

	if (!maps_read(c->pid, MAPS_PLAIN, &maps, err))
		return false;
	for (size_t i = 0; i < maps.count; i++) {
		if (corefile_inherit(c, &maps.mapping[i]))
			continue;
		maps_free(&maps);
		return corefile_look(c, tell, opaque, err);
	}
	return corefile_take_maps(c, &maps, tell, opaque, err);
}

/* ---- Finishing. ---- */

static bool corefile_add_segments(struct corefile *c, struct mfd_error *err)
{
	layout_clear_segments(&c->layout);
	for (size_t i = 0; i < c->maps.count; i++) {
		const struct mapping *m = &c->maps.mapping[i];
		const uint32_t flags = (m->access & MAPPING_READ ? PF_R : 0) |
				       (m->access & MAPPING_WRITE ? PF_W : 0) |
				       (m->access & MAPPING_EXECUTE ? PF_X : 0);

		if (!layout_add_segment(&c->layout, m->start, m->end - m->start,
					c->part[i].stored, flags, err))
			return false;
	}
	return true;
}

static bool corefile_put_tail(struct corefile *c, const struct notes *n, struct mfd_error *err)
{
	free(c->tail);
	c->tail_bytes = layout_tail_bytes(&c->layout, n->size);
	c->tail = malloc(c->tail_bytes);
	if (c->tail == NULL)
		return error_set_os(err, MFD_OS, errno, "headers of the core file");
	layout_put_tail(&c->layout, n->bytes, n->size, c->tail);
	layout_put_header(&c->layout, n->size, c->header);
	c->finished = true;
	return true;
}

bool corefile_finish(struct corefile *c, const struct frozen_thread *threads, size_t count,
		     struct mfd_error *err)
{
	struct notes_process process;
	struct notes notes = { 0 };
	bool ok = notes_read_process(c->pid, &process, err) &&
		  notes_build(&notes, &process, threads, count, &c->maps, c->memory.page_bytes,
			      err) &&
		  corefile_add_segments(c, err) && corefile_put_tail(c, &notes, err);

	notes_free(&notes);
	notes_process_free(&process);
	return ok;
}

uint64_t corefile_bytes(const struct corefile *c)
{
	return c->layout.end + c->tail_bytes;
}

/* ---- Walking. ---- */

bool corefile_find_in_part(struct corefile *c, size_t i, uint64_t from, uint64_t end,
			   uint64_t *ret_first, uint64_t *ret_end, struct mfd_error *err)
{
	switch (c->part[i].pages) {
	case COREFILE_EVERY:
		*ret_first = from;
		*ret_end = end;
		return true;
	case COREFILE_TOUCHED:
		return pagemap_find(&c->pagemap, from, end, ret_first, ret_end, err);
	case COREFILE_OBJECT:
		return pagemap_find_object(&c->pagemap, &c->maps.mapping[i], from, end, ret_first,
					   ret_end, err);
	case COREFILE_NONE:
		break;
	}
	*ret_first = *ret_end = end;
	return true;
}

/* The same in a room, through all mappings that lie in it. */
static bool corefile_find_in_room(struct corefile *c, uint64_t from, uint64_t end,
				  uint64_t *ret_first, uint64_t *ret_end, struct mfd_error *err)
{
	size_t i;

	for (i = maps_search(&c->maps, from); i < c->maps.count; i++) {
		const struct mapping *m = &c->maps.mapping[i];
		const uint64_t low = from > m->start ? from : m->start;
		uint64_t high = m->start + c->part[i].stored;

		if (m->start >= end)
			break;
		if (high > end)
			high = end;
		if (low >= high)
			continue;
		if (!corefile_find_in_part(c, i, low, high, ret_first, ret_end, err))
			return false;
		if (*ret_first < *ret_end)
			return true;
	}
	*ret_first = *ret_end = end;
	return true;
}

bool corefile_find(struct corefile *c, uint64_t offset, uint64_t *ret_first, uint64_t *ret_end,
		   struct mfd_error *err)
{
	const struct layout_room *r;
	uint64_t from, first, end;

	if (c->finished && offset < LAYOUT_HEADER_BYTES) {
		*ret_first = offset;
		*ret_end = LAYOUT_HEADER_BYTES;
		return true;
	}
	for (; (r = layout_room_at_offset(&c->layout, offset)) != NULL;
	     offset = r->offset + r->bytes) {
		from = r->address + (offset > r->offset ? offset - r->offset : 0);
		if (!corefile_find_in_room(c, from, r->address + r->bytes, &first, &end, err))
			return false;
		if (first == end)
			continue;
		*ret_first = r->offset + (first - r->address);
		*ret_end = r->offset + (end - r->address);
		return true;
	}
	if (offset < c->layout.end)
		offset = c->layout.end;
	if (offset < corefile_bytes(c)) {
		*ret_first = offset;
		*ret_end = batch_pages_of(corefile_bytes(c)) * PAGE_BYTES;
	}
	return true;
}

/* ---- Reading. ---- */

/* What a part of the file that is in our memory has at @offset: [@begin, @begin + @size). */
static size_t corefile_copy(uint64_t offset, uint8_t *buffer, size_t bytes, const uint8_t *from,
			    uint64_t begin, uint64_t size)
{
	const uint64_t at = offset - begin;
	size_t n = bytes;

	if (at >= size) {
		memset(buffer, 0, bytes);
		return bytes;
	}
	if (n > size - at)
		n = (size_t)(size - at);
	memcpy(buffer, from + at, n);
	return n;
}

bool corefile_read(const struct corefile *c, uint64_t offset, uint8_t *buffer, size_t bytes,
		   uint64_t *ret_unreadable, struct mfd_error *err)
{
	const struct layout_room *r;
	uint64_t unreadable;
	size_t n;

	*ret_unreadable = 0;
	for (; bytes > 0; offset += n, buffer += n, bytes -= n) {
		r = layout_room_at_offset(&c->layout, offset);
		if (r == NULL) {
			n = corefile_copy(offset, buffer, bytes, c->tail, c->layout.end,
					  c->tail_bytes);
			continue;
		}
		if (offset < r->offset) {
			n = r->offset - offset < bytes ? (size_t)(r->offset - offset) : bytes;
			n = corefile_copy(offset, buffer, n, c->header, 0, sizeof(c->header));
			continue;
		}
		n = r->offset + r->bytes - offset < bytes ?
			(size_t)(r->offset + r->bytes - offset) : bytes;
		if (!memory_read(&c->memory, r->address + (offset - r->offset), buffer, n,
				 &unreadable, err))
			return false;
		*ret_unreadable += unreadable;
	}
	return true;
}
