/* SPDX-License-Identifier: MIT */
/*
 * The tracker by write-protection: a userfaultfd in asynchronous mode marks what is written to,
 * PAGEMAP_SCAN collects the marks and protects again.
 *
 * A mapping that is not registered with our userfaultfd (it is new, or was moved: the kernel drops
 * the registration then) says EPERM.  Only pages that exist are protected: for empty ones the
 * kernel would have to put a marker into each entry, which then looks like a page that is swapped
 * out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "base/kernel.h"
#include "process/tracker.h"

/* Runs of pages that one call gives back. */
#define UFFD_REGIONS 1024u

struct tracker_uffd {
	struct tracker base;
	pid_t pid;
	int uffd;
	int pagemap;
	struct page_region region[UFFD_REGIONS];
};

static bool uffd_begin(struct tracker *tracker, struct mfd_error *err)
{
	(void)tracker;
	(void)err;
	return true;
}

static bool uffd_collect(struct tracker *tracker, uint64_t start, uint64_t end, bool shared,
			 tracker_changed_fn *changed, void *opaque, bool *ret_armed,
			 struct mfd_error *err)
{
	struct tracker_uffd *t = (struct tracker_uffd *)tracker;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
		.start = start,
		.end = end,
		.vec = (uintptr_t)t->region,
		.vec_len = UFFD_REGIONS,
		.category_mask = PAGE_IS_WRITTEN,
		/* Without these an empty entry counts as written to, and is marked. */
		.category_anyof_mask = shared ? 0 : PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_WRITTEN,
	};
	int n;

	*ret_armed = false;
	while (arg.start < end) {
		n = ioctl(t->pagemap, PAGEMAP_SCAN, &arg);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPERM)
			return true;
		if (n < 0)
			return error_set_os(err, errno == ESRCH ? MFD_NO_INPUT : MFD_IO, errno,
					    "process %d: PAGEMAP_SCAN", (int)t->pid);
		for (int i = 0; i < n; i++) {
			if (!changed(opaque, t->region[i].start, t->region[i].end, err))
				return false;
		}
		if (arg.walk_end <= arg.start)
			break; /* nothing is left of the address space */
		arg.start = arg.walk_end;
	}
	*ret_armed = true;
	return true;
}

/* Are the pages from @start on ours? */
static bool uffd_is_armed(const struct tracker_uffd *t, uint64_t start)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = PM_SCAN_CHECK_WPASYNC,
		.start = start,
		.end = start + (uint64_t)sysconf(_SC_PAGESIZE),
		.vec = (uintptr_t)t->region,
		.vec_len = UFFD_REGIONS,
		.return_mask = PAGE_IS_WRITTEN,
	};

	return ioctl(t->pagemap, PAGEMAP_SCAN, &arg) >= 0;
}

/*
 * Kernels before 6.13 leave the protection of moved pages in their entries, without its effect: it
 * is taken off, so that these pages look written to.
 */
static void uffd_arm(struct tracker *tracker, uint64_t start, uint64_t end)
{
	struct tracker_uffd *t = (struct tracker_uffd *)tracker;
	struct uffdio_register ours = {
		.range = { .start = start, .len = end - start },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect off = { .range = ours.range };

	if (!uffd_is_armed(t, start) && ioctl(t->uffd, UFFDIO_REGISTER, &ours) == 0)
		(void)!ioctl(t->uffd, UFFDIO_WRITEPROTECT, &off);
}

static bool uffd_end(struct tracker *tracker, struct mfd_error *err)
{
	return uffd_begin(tracker, err);
}

/* Closing it ends all protection. */
static void uffd_free(struct tracker *tracker)
{
	struct tracker_uffd *t = (struct tracker_uffd *)tracker;

	io_close(t->pagemap);
	io_close(t->uffd);
	free(t);
}

static const struct tracker_ops uffd_ops = {
	.name = "userfaultfd",
	.arm = uffd_arm,
	.begin = uffd_begin,
	.collect = uffd_collect,
	.end = uffd_end,
	.free = uffd_free,
};

/* Kernels before 6.7 refuse the feature, and have no PAGEMAP_SCAN either. */
static bool uffd_open(struct tracker_uffd *t, struct mfd_error *err)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC };
	struct pm_scan_arg nothing = { .size = sizeof(nothing) };
	char path[48];

	if (ioctl(t->uffd, UFFDIO_API, &api) < 0)
		return error_set_os(err, MFD_UNAVAILABLE, errno,
				    "userfaultfd: no asynchronous write-protection");
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)t->pid);
	t->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (t->pagemap < 0)
		return error_set_os(err, errno == ENOENT ? MFD_NO_INPUT : MFD_NO_PERMISSION,
				    errno, "%s", path);
	if (ioctl(t->pagemap, PAGEMAP_SCAN, &nothing) < 0)
		return error_set_os(err, MFD_UNAVAILABLE, errno, "PAGEMAP_SCAN");
	return true;
}

bool tracker_uffd_new(pid_t pid, int uffd, struct tracker **ret, struct mfd_error *err)
{
	struct tracker_uffd *t = calloc(1, sizeof(*t));

	if (t == NULL) {
		io_close(uffd);
		return error_set(err, MFD_OS, "out of memory");
	}
	t->base.ops = &uffd_ops;
	t->pid = pid;
	t->uffd = uffd;
	t->pagemap = -1;
	if (!uffd_open(t, err)) {
		uffd_free(&t->base);
		return false;
	}
	*ret = &t->base;
	return true;
}
