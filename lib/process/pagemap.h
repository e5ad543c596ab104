/* SPDX-License-Identifier: MIT */
/*
 * Which pages of a process exist: /proc/PID/pagemap for its own, by PAGEMAP_SCAN (Linux 6.7)
 * where the kernel has it; SEEK_DATA through /proc/PID/map_files for objects that it shares.
 */
#ifndef MFD_PROCESS_PAGEMAP_H
#define MFD_PROCESS_PAGEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/kernel.h"
#include "process/maps.h"

#define PAGEMAP_WINDOW 4096u
#define PAGEMAP_RUNS 512u

/* For one thread. */
struct pagemap {
	pid_t pid;
	int fd;                  /* /proc/PID/pagemap; -1: not open */
	uint64_t page_bytes;
	bool plain;              /* no PAGEMAP_SCAN; tests set it as well */

	/* What PAGEMAP_SCAN said about the addresses [scanned_from, scanned_to). */
	struct page_region run[PAGEMAP_RUNS];
	size_t runs;
	uint64_t scanned_from, scanned_to;

	/* Without it. */
	uint64_t window[PAGEMAP_WINDOW]; /* entries of the pages from window_first on */
	uint64_t window_first, window_count;

	/* A shared object. */
	int object;              /* the file behind the mapping at object_start; -1: none */
	uint64_t object_start;
	bool object_opaque;      /* it can't be opened, or does not know its holes */
};

/* Nothing is open; pagemap_close() is allowed from here on. */
void pagemap_init(struct pagemap *p);
bool pagemap_open(struct pagemap *p, pid_t pid, struct mfd_error *err) MFD_MUST_CHECK;
void pagemap_close(struct pagemap *p);

/* What has been read may have changed since. */
void pagemap_forget(struct pagemap *p);

/*
 * The first run of pages in [@from, @end) that are in memory or swapped out: [*ret_first,
 * *ret_end); empty, at @end, when there is none.  The next one may begin where it ends.
 * Errors: MFD_NO_INPUT (the process has ended; PAGEMAP_SCAN does not tell, and finds nothing),
 * MFD_IO.
 */
bool pagemap_find(struct pagemap *p, uint64_t from, uint64_t end, uint64_t *ret_first,
		  uint64_t *ret_end, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * The same for pages of the object behind the shared mapping @m, whoever put them there.  Where
 * the object can't be asked (that takes CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN, and a file
 * system that knows its holes), all of it.
 */
bool pagemap_find_object(struct pagemap *p, const struct mapping *m, uint64_t from, uint64_t end,
			 uint64_t *ret_first, uint64_t *ret_end,
			 struct mfd_error *err) MFD_MUST_CHECK;

#endif
