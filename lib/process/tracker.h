/* SPDX-License-Identifier: MIT */
/*
 * Which pages of a live process changed since one last asked.  Three ways, best first:
 *
 *	userfaultfd   asynchronous write-protection, and PAGEMAP_SCAN, which finds the pages written
 *	              to and protects them again in one step (Linux 6.7)
 *	soft-dirty    a bit in each page table entry, which a write sets and /proc/PID/clear_refs
 *	              clears (CONFIG_MEM_SOFT_DIRTY; CRIU's way).  To look and to clear are two
 *	              steps, so the process has to stand still between them
 *	hashes        each page is read, and compared with the hash of what was last sent
 *
 * The first two see what is written through the page tables of this process.  That is all for
 * its private memory without a file; a page that others can write as well, or that can turn
 * back into a file's, takes hashes.  What none of them sees is a device that writes to pages it
 * was given before they were protected (direct I/O under way, registered buffers).
 *
 * Pages that vanish (MADV_DONTNEED, munmap) are not reported: whoever asks knows what was there
 * before, and looks whether it still is, behind collect().
 */
#ifndef MFD_PROCESS_TRACKER_H
#define MFD_PROCESS_TRACKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct tracker;

/* The pages of [@start, @end), addresses, may have changed.  Returns false to give up. */
typedef bool tracker_changed_fn(void *opaque, uint64_t start, uint64_t end, struct mfd_error *err);

struct tracker_ops {
	const char *name;
	bool stopped;            /* the process has to stand still, but for the first collection */

	/*
	 * Track [@start, @end), a whole mapping, from now on; all of it counts as changed,
	 * unless it is tracked already.  Only while the process stands still: a range that is
	 * not a mapping any more would cut another one in two, and then its mremap(2) fails.
	 * What can't be tracked is left alone.
	 */
	void (*arm)(struct tracker *t, uint64_t start, uint64_t end);

	/*
	 * A collection begins, goes through every range once, and ends.  What is reported was
	 * written to before its range was gone through, and everything written later is reported
	 * the next time: so pages are read behind it.  One thread.
	 */
	bool (*begin)(struct tracker *t, struct mfd_error *err);

	/*
	 * Anything in [@start, @end).  *ret_armed false: not all of it is tracked, and nothing
	 * is known of it, or only of a part.  @shared: it is a file's
	 * memory, which the kernel may take out of the page tables and bring back; such a page
	 * counts as changed.
	 */
	bool (*collect)(struct tracker *t, uint64_t start, uint64_t end, bool shared,
			tracker_changed_fn *changed, void *opaque, bool *ret_armed,
			struct mfd_error *err);
	bool (*end)(struct tracker *t, struct mfd_error *err);
	void (*free)(struct tracker *t);
};

struct tracker {
	const struct tracker_ops *ops;
};

/* What may be used, or-ed; tests leave some out. */
enum tracker_kind { TRACKER_USERFAULTFD = 1, TRACKER_SOFT_DIRTY = 2, TRACKER_ANY = 3 };

/*
 * By page tables, for process @pid.  @uffd is a userfaultfd(2) of its address space on which
 * UFFDIO_API has not been called, and becomes the tracker's.  Errors: MFD_UNAVAILABLE this
 * kernel can't do it; MFD_NO_INPUT, MFD_NO_PERMISSION, MFD_OS.
 */
bool tracker_uffd_new(pid_t pid, int uffd, struct tracker **ret,
		      struct mfd_error *err) MFD_MUST_CHECK;

/*
 * The same with soft-dirty bits.  Whether the kernel has them is tried on this process; nobody
 * else may use them on @pid at the same time (CRIU does).
 */
bool tracker_soft_dirty_new(pid_t pid, struct tracker **ret, struct mfd_error *err) MFD_MUST_CHECK;

#endif
