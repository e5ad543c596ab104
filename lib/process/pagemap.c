/* SPDX-License-Identifier: MIT */
/*
 * Which pages exist.
 */
#include "process/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

/* Bits of an entry (the kernel's admin-guide/mm/pagemap). */
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)

void pagemap_init(struct pagemap *p)
{
	p->fd = -1;
	p->object = -1;
	p->plain = false;
	p->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	pagemap_forget(p);
}

bool pagemap_open(struct pagemap *p, pid_t pid, struct mfd_error *err)
{
	char path[64];
	int e;

	p->pid = pid;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	p->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (p->fd >= 0)
		return true;
	e = errno;
	return error_set_os(err, e == ENOENT || e == ESRCH ? MFD_NO_INPUT :
				 e == EACCES || e == EPERM ? MFD_NO_PERMISSION : MFD_OS,
			    e == ENOENT ? ESRCH : e, "pages of process %d", (int)pid);
}

void pagemap_close(struct pagemap *p)
{
	io_close(p->fd);
	io_close(p->object);
	pagemap_init(p);
}

void pagemap_forget(struct pagemap *p)
{
	p->window_count = 0;
	p->scanned_from = p->scanned_to = 0;
	io_close(p->object);
	p->object = -1;
	p->object_start = UINT64_MAX;
}

static bool pagemap_gone(const struct pagemap *p, struct mfd_error *err)
{
	return error_set(err, MFD_NO_INPUT, "process %d has ended, or has started another program",
			 (int)p->pid);
}

/* ---- With PAGEMAP_SCAN: runs. ---- */

/*
 * Scan from @from on, as far as the runs fit; false also when the kernel can't, and then ->plain.
 */
static bool pagemap_scan(struct pagemap *p, uint64_t from, uint64_t end, struct mfd_error *err)
{
	struct pm_scan_arg scan = {
		.size = sizeof(scan), .start = from, .end = end,
		.vec = (uintptr_t)p->run, .vec_len = PAGEMAP_RUNS,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
	};
	int n = ioctl(p->fd, PAGEMAP_SCAN, &scan);

	if (n < 0) {
		if (errno == ESRCH)
			return pagemap_gone(p, err);
		p->plain = true;
		return false;
	}
	p->runs = (size_t)n;
	p->scanned_from = from;
	p->scanned_to = scan.walk_end;
	return true;
}

/* The first run in what has been scanned that ends behind @from; NULL for none. */
static const struct page_region *pagemap_run_at(const struct pagemap *p, uint64_t from)
{
	size_t low = 0, high = p->runs, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (p->run[middle].end <= from)
			low = middle + 1;
		else
			high = middle;
	}
	return low < p->runs ? &p->run[low] : NULL;
}

/* False with ->plain: not this way. */
static bool pagemap_find_run(struct pagemap *p, uint64_t from, uint64_t end, uint64_t *ret_first,
			     uint64_t *ret_end, struct mfd_error *err)
{
	const struct page_region *run;

	for (; from < end; from = p->scanned_to) {
		if ((from < p->scanned_from || from >= p->scanned_to) &&
		    !pagemap_scan(p, from, end, err))
			return false;
		if (p->scanned_to <= from)
			return pagemap_gone(p, err);
		run = pagemap_run_at(p, from);
		if (run == NULL)
			continue;
		if (run->start >= end)
			break;
		*ret_first = run->start > from ? run->start : from;
		*ret_end = run->end < end ? run->end : end;
		return true;
	}
	*ret_first = *ret_end = end;
	return true;
}

/* ---- Without it: an entry for each page. ---- */

/* Have the entry of page @page in the window; it is a short one at the end of an address space. */
static bool pagemap_load(struct pagemap *p, uint64_t page, struct mfd_error *err)
{
	ssize_t n;

	if (page >= p->window_first && page - p->window_first < p->window_count)
		return true;
	n = io_pread(p->fd, p->window, sizeof(p->window), page * sizeof(p->window[0]));
	if (n < 0)
		return error_set_os(err, MFD_IO, errno, "pages of process %d", (int)p->pid);
	if ((size_t)n < sizeof(p->window[0]))
		return pagemap_gone(p, err);
	p->window_first = page;
	p->window_count = (size_t)n / sizeof(p->window[0]);
	return true;
}

static bool pagemap_exists(const struct pagemap *p, uint64_t page)
{
	return p->window[page - p->window_first] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED);
}

static bool pagemap_find_entry(struct pagemap *p, uint64_t from, uint64_t end,
			       uint64_t *ret_first, uint64_t *ret_end, struct mfd_error *err)
{
	const uint64_t last = end / p->page_bytes;
	uint64_t page = from / p->page_bytes;
	bool found = false;

	*ret_first = *ret_end = end;
	for (; page < last; page++) {
		if (!pagemap_load(p, page, err))
			return false;
		if (pagemap_exists(p, page) == found)
			continue;
		if (found) {
			*ret_end = page * p->page_bytes;
			return true;
		}
		found = true;
		*ret_first = page * p->page_bytes;
	}
	return true;
}

bool pagemap_find(struct pagemap *p, uint64_t from, uint64_t end, uint64_t *ret_first,
		  uint64_t *ret_end, struct mfd_error *err)
{
	if (!p->plain && pagemap_find_run(p, from, end, ret_first, ret_end, err))
		return true;
	return p->plain && pagemap_find_entry(p, from, end, ret_first, ret_end, err);
}

/* ---- Shared objects. ---- */

static void pagemap_open_object(struct pagemap *p, const struct mapping *m)
{
	char path[96];
	struct stat st;

	if (p->object_start == m->start)
		return;
	io_close(p->object);
	p->object_start = m->start;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)p->pid,
		 m->start, m->end);
	p->object = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	p->object_opaque = p->object < 0 || fstat(p->object, &st) < 0 || !S_ISREG(st.st_mode);
}

bool pagemap_find_object(struct pagemap *p, const struct mapping *m, uint64_t from, uint64_t end,
			 uint64_t *ret_first, uint64_t *ret_end, struct mfd_error *err)
{
	const uint64_t base = m->offset - m->start; /* from addresses to places in the file */
	off_t data, hole;

	(void)err;
	pagemap_open_object(p, m);
	*ret_first = from;
	*ret_end = end;
	if (p->object_opaque)
		return true;
	data = lseek(p->object, (off_t)(from + base), SEEK_DATA);
	if (data < 0 && errno == ENXIO) {
		*ret_first = end;
		return true;
	}
	hole = data < 0 ? -1 : lseek(p->object, data, SEEK_HOLE);
	if (hole < 0) {
		p->object_opaque = true;
		return true;
	}
	/* Data in part of a page is that page; what lies behind the mapping is not ours. */
	if ((uint64_t)data - base >= end) {
		*ret_first = end;
		return true;
	}
	*ret_first = ((uint64_t)data - base) / p->page_bytes * p->page_bytes;
	hole = (off_t)(((uint64_t)hole - base + p->page_bytes - 1) / p->page_bytes * p->page_bytes);
	if ((uint64_t)hole < end)
		*ret_end = (uint64_t)hole;
	return true;
}
