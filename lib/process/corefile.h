/* SPDX-License-Identifier: MIT */
/*
 * A core file of a process, as an image whose bytes are asked for by their place: what is where
 * (layout.h), which mappings are in it (filter.h), which pages of them exist (pagemap.h), and
 * the bytes themselves (memory.h, notes.h).
 *
 * Life: corefile_init(), corefile_open(); corefile_look() while nothing reads; walk it with
 * corefile_find(), read it with corefile_read(); corefile_finish() when the process stands
 * still; then header and tail are there as well.
 */
#ifndef MFD_PROCESS_COREFILE_H
#define MFD_PROCESS_COREFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "process/freeze.h"
#include "process/layout.h"
#include "process/maps.h"
#include "process/memory.h"
#include "process/pagemap.h"

/* How to find out which pages of a mapping hold something. */
enum corefile_pages {
	COREFILE_NONE,           /* the mapping is not in the file */
	COREFILE_EVERY,          /* every page can be read */
	COREFILE_TOUCHED,        /* those the process has; the others are zeros, or not to be had */
	COREFILE_OBJECT,         /* those that the shared object has, whoever put them there */
};

/* What becomes of one mapping. */
struct corefile_part {
	enum corefile_pages pages;
	uint64_t stored;         /* bytes in the file, from its start on */
};

/* Called for what is left out and why; @text is valid during the call. */
typedef void corefile_tell_fn(void *opaque, const char *text);

struct corefile {
	/* Set by corefile_open(), const afterwards. */
	pid_t pid;
	unsigned mask;
	struct memory memory;

	/* Set by corefile_look(), const while others read. */
	struct maps maps;
	struct corefile_part *part; /* [maps.count] */
	struct layout layout;

	/* Set by corefile_finish(), const afterwards. */
	bool finished;
	uint8_t header[LAYOUT_HEADER_BYTES];
	uint8_t *tail;
	uint64_t tail_bytes;

	/* The walking thread only. */
	struct pagemap pagemap;
};

/* Nothing is open; corefile_close() is allowed from here on. */
void corefile_init(struct corefile *c);

/* @mask: of filter_bits.  Errors: MFD_NO_INPUT, MFD_NO_PERMISSION, MFD_OS. */
bool corefile_open(struct corefile *c, pid_t pid, unsigned mask,
		   struct mfd_error *err) MFD_MUST_CHECK;
void corefile_close(struct corefile *c);

/*
 * Read the process's mappings, decide what is in the file, and give room to what is new.  Again
 * and again, while no other thread reads.  Errors: MFD_NO_INPUT, MFD_IO, MFD_OS.
 */
bool corefile_look(struct corefile *c, corefile_tell_fn *tell, void *opaque,
		   struct mfd_error *err) MFD_MUST_CHECK;

/*
 * The same a moment later: what the kernel counts only by looking at every page is taken over for
 * mappings that are as they were.  If some are not it costs as much as corefile_look().
 */
bool corefile_look_again(struct corefile *c, corefile_tell_fn *tell, void *opaque,
			 struct mfd_error *err) MFD_MUST_CHECK;

/*
 * After a look at a process that is frozen: segments, notes of @threads, header and tail.  Errors
 * as corefile_look().
 */
bool corefile_finish(struct corefile *c, const struct frozen_thread *threads, size_t count,
		     struct mfd_error *err) MFD_MUST_CHECK;

/* The size of the file; exact when it is finished, and what is known so far before. */
uint64_t corefile_bytes(const struct corefile *c);

/*
 * The first run of bytes at or behind @offset that may hold data: [*ret_first, *ret_end), whole
 * PAGE_BYTES; both are left alone when there is none.  The walking thread.
 */
bool corefile_find(struct corefile *c, uint64_t offset, uint64_t *ret_first, uint64_t *ret_end,
		   struct mfd_error *err) MFD_MUST_CHECK;

/*
 * The first run of addresses that may hold data in [@from, @end), which is in the file and within
 * mapping @i: [*ret_first, *ret_end); empty when there is none.  The walking thread.
 */
bool corefile_find_in_part(struct corefile *c, size_t i, uint64_t from, uint64_t end,
			   uint64_t *ret_first, uint64_t *ret_end,
			   struct mfd_error *err) MFD_MUST_CHECK;

/*
 * corefile_changes.c.  After a look: pass all memory that is in the file to changes_collect().  And
 * when the file is finished, add what is neither: header and tail.  The walking thread.
 */
struct changes;
bool corefile_collect(struct corefile *c, struct changes *changes,
		      struct mfd_error *err) MFD_MUST_CHECK;
bool corefile_collect_rest(const struct corefile *c, struct changes *changes,
			   struct mfd_error *err) MFD_MUST_CHECK;

/*
 * @bytes at @offset; what the file does not have is zeros.  *ret_unreadable as memory_read().
 * Any thread.
 */
bool corefile_read(const struct corefile *c, uint64_t offset, uint8_t *buffer, size_t bytes,
		   uint64_t *ret_unreadable, struct mfd_error *err) MFD_MUST_CHECK;

#endif
