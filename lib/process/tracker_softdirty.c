/* SPDX-License-Identifier: MIT */
/*
 * The tracker by soft-dirty bits (Documentation/admin-guide/mm/soft-dirty.rst).
 *
 * A collection reads the bits of all ranges and then clears those of the whole process at once.
 * What is written between the two is lost, so the process stands still; only for the first one,
 * before which nothing was tracked and in which everything counts as changed, it need not, and
 * there the bits are cleared first.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "process/tracker.h"

/* Bits of an entry in /proc/PID/pagemap. */
#define SOFT_DIRTY_BIT (UINT64_C(1) << 55)
#define SOFT_DIRTY_EXISTS (UINT64_C(3) << 62) /* in memory, or swapped out */

#define SOFT_DIRTY_WINDOW 4096u

struct tracker_soft_dirty {
	struct tracker base;
	pid_t pid;
	int pagemap;
	int clear_refs;
	bool cleared; /* the first collection is over, and the bits mean something */
	uint64_t page_bytes;
	uint64_t entry[SOFT_DIRTY_WINDOW];
};

static bool soft_dirty_clear(const struct tracker_soft_dirty *t, struct mfd_error *err)
{
	if (pwrite(t->clear_refs, "4", 1, 0) == 1)
		return true;
	return error_set_os(err, errno == ESRCH ? MFD_NO_INPUT : MFD_IO, errno,
			    "process %d: clear_refs", (int)t->pid);
}

/* The kernel tracks everything. */
static void soft_dirty_arm(struct tracker *tracker, uint64_t start, uint64_t end)
{
	(void)tracker;
	(void)start;
	(void)end;
}

static bool soft_dirty_begin(struct tracker *tracker, struct mfd_error *err)
{
	struct tracker_soft_dirty *t = (struct tracker_soft_dirty *)tracker;

	return t->cleared || soft_dirty_clear(t, err);
}

static bool soft_dirty_counts(const struct tracker_soft_dirty *t, uint64_t entry)
{
	return entry & SOFT_DIRTY_EXISTS && (!t->cleared || entry & SOFT_DIRTY_BIT);
}

/* Report runs of the @count entries of pages from @start on. */
static bool soft_dirty_report(const struct tracker_soft_dirty *t, uint64_t start, uint64_t count,
			      tracker_changed_fn *changed, void *opaque, struct mfd_error *err)
{
	uint64_t i, first;

	for (i = 0; i < count; i++) {
		if (!soft_dirty_counts(t, t->entry[i]))
			continue;
		first = i;
		while (i < count && soft_dirty_counts(t, t->entry[i]))
			i++;
		if (!changed(opaque, start + first * t->page_bytes, start + i * t->page_bytes,
			     err))
			return false;
	}
	return true;
}

static bool soft_dirty_collect(struct tracker *tracker, uint64_t start, uint64_t end, bool shared,
			       tracker_changed_fn *changed, void *opaque, bool *ret_armed,
			       struct mfd_error *err)
{
	struct tracker_soft_dirty *t = (struct tracker_soft_dirty *)tracker;
	uint64_t count;
	ssize_t got;

	/* What was in the page tables and is not any more has lost its bits. */
	*ret_armed = !shared;
	for (; !shared && start < end; start += count * t->page_bytes) {
		count = (end - start) / t->page_bytes;
		if (count > SOFT_DIRTY_WINDOW)
			count = SOFT_DIRTY_WINDOW;
		got = io_pread(t->pagemap, t->entry, count * sizeof(uint64_t),
			       start / t->page_bytes * sizeof(uint64_t));
		if (got < 0)
			return error_set_os(err, MFD_IO, errno, "process %d: pagemap",
					    (int)t->pid);
		count = (uint64_t)got / sizeof(uint64_t);
		if (count == 0)
			return error_set(err, MFD_NO_INPUT, "process %d has ended", (int)t->pid);
		if (!soft_dirty_report(t, start, count, changed, opaque, err))
			return false;
	}
	return true;
}

static bool soft_dirty_end(struct tracker *tracker, struct mfd_error *err)
{
	struct tracker_soft_dirty *t = (struct tracker_soft_dirty *)tracker;

	if (t->cleared)
		return soft_dirty_clear(t, err);
	t->cleared = true;
	return true;
}

static void soft_dirty_free(struct tracker *tracker)
{
	struct tracker_soft_dirty *t = (struct tracker_soft_dirty *)tracker;

	io_close(t->pagemap);
	io_close(t->clear_refs);
	free(t);
}

static const struct tracker_ops soft_dirty_ops = {
	.name = "soft-dirty",
	.stopped = true,
	.arm = soft_dirty_arm,
	.begin = soft_dirty_begin,
	.collect = soft_dirty_collect,
	.end = soft_dirty_end,
	.free = soft_dirty_free,
};

/*
 * A kernel built without them takes the order to clear, and does nothing; but a page that was
 * just written to has the bit in every kernel that knows it.
 */
static bool soft_dirty_works(uint64_t page_bytes)
{
	const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	volatile char *page = mmap(NULL, page_bytes, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t entry = 0;

	if (fd >= 0 && page != MAP_FAILED) {
		*page = 1;
		if (io_pread(fd, &entry, sizeof(entry),
			     (uintptr_t)page / page_bytes * sizeof(entry)) != sizeof(entry))
			entry = 0;
	}
	if (page != MAP_FAILED)
		munmap((void *)(uintptr_t)page, page_bytes);
	io_close(fd);
	return entry & SOFT_DIRTY_BIT;
}

static bool soft_dirty_open(struct tracker_soft_dirty *t, struct mfd_error *err)
{
	char path[48];

	if (!soft_dirty_works(t->page_bytes))
		return error_set(err, MFD_UNAVAILABLE, "this kernel has no soft-dirty bits");
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)t->pid);
	t->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (t->pagemap >= 0) {
		snprintf(path, sizeof(path), "/proc/%d/clear_refs", (int)t->pid);
		t->clear_refs = open(path, O_WRONLY | O_CLOEXEC);
	}
	if (t->pagemap >= 0 && t->clear_refs >= 0)
		return true;
	return error_set_os(err, errno == ENOENT ? MFD_NO_INPUT : MFD_NO_PERMISSION, errno, "%s",
			    path);
}

bool tracker_soft_dirty_new(pid_t pid, struct tracker **ret, struct mfd_error *err)
{
	struct tracker_soft_dirty *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return error_set(err, MFD_OS, "out of memory");
	t->base.ops = &soft_dirty_ops;
	t->pid = pid;
	t->pagemap = t->clear_refs = -1;
	t->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	if (!soft_dirty_open(t, err)) {
		soft_dirty_free(&t->base);
		return false;
	}
	*ret = &t->base;
	return true;
}
