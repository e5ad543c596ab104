/* SPDX-License-Identifier: MIT */
/*
 * Where everything lies in an ELF core file (elf(5)); arithmetic only, no process is looked at.
 *
 *	page 0          the ELF header
 *	rooms           the memory, in the order in which it was first seen, each room whole pages
 *	tail            notes, program headers, and the section header that counts them if there
 *	                are too many
 *
 * An address gets its place in the file when it is first given room and never loses it, so that
 * pages can be sent before all of them are known, and again.  What is known only at the end
 * stands at the end.  A room that no segment refers to in the end is nothing but a hole, or
 * stale bytes that nobody looks at.
 */
#ifndef MFD_PROCESS_LAYOUT_H
#define MFD_PROCESS_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* What the header has room for; the rest of the first page is zeros. */
#define LAYOUT_HEADER_BYTES 4096u

struct layout_room {
	uint64_t address, bytes;
	uint64_t offset;         /* in the file */
};

/* One PT_LOAD. */
struct layout_segment {
	uint64_t address, bytes;
	uint64_t stored;         /* how many of them are in the file, from the first on */
	uint64_t offset;         /* where; of no meaning when stored is 0 */
	uint32_t flags;          /* PF_R, PF_W, PF_X */
};

struct layout {
	uint64_t page_bytes;     /* of the process's machine */
	uint64_t end;            /* where the next room begins, and in the end the tail */

	struct layout_room *room; /* by offset: that is the order they came in */
	size_t rooms, rooms_allocated;
	size_t *by_address;      /* [rooms] indexes of rooms */

	struct layout_segment *segment; /* in the order they came in */
	size_t segments, segments_allocated;
};

void layout_init(struct layout *l, uint64_t page_bytes);
void layout_free(struct layout *l);

/*
 * Give room to those of the addresses [@address, @address + @bytes) that have none yet; whole
 * pages.  What readers hold of the rooms is void afterwards.  Errors: MFD_OS.
 */
bool layout_add_room(struct layout *l, uint64_t address, uint64_t bytes,
		     struct mfd_error *err) MFD_MUST_CHECK;

/* The room that holds @address, or the first one behind it; NULL for none. */
const struct layout_room *layout_room_at(const struct layout *l, uint64_t address);

/* The room that holds @offset of the file, or the first one behind it; NULL for none. */
const struct layout_room *layout_room_at_offset(const struct layout *l, uint64_t offset);

/*
 * The memory [@address, @address + @bytes) with PF_ flags @flags, of which the first @stored
 * bytes are in the file and have room.  One segment, or one for each run of rooms that lie
 * behind each other; the last one has what is not stored.  Errors: MFD_OS.
 */
bool layout_add_segment(struct layout *l, uint64_t address, uint64_t bytes, uint64_t stored,
			uint32_t flags, struct mfd_error *err) MFD_MUST_CHECK;

/* Forget the segments, not the rooms. */
void layout_clear_segments(struct layout *l);

/* ---- When all rooms and segments are there. ---- */

/* Bytes of the tail that follows the rooms, with @notes bytes of notes in it. */
uint64_t layout_tail_bytes(const struct layout *l, size_t notes);

/* Write the tail: layout_tail_bytes() at @tail.  The file ends behind it. */
void layout_put_tail(const struct layout *l, const void *note, size_t notes, uint8_t *tail);

/* The ELF header that fits that tail, and zeros. */
void layout_put_header(const struct layout *l, size_t notes,
		       uint8_t header[static LAYOUT_HEADER_BYTES]);

#endif
