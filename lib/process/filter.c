/* SPDX-License-Identifier: MIT */
/*
 * Which mappings are dumped.
 */
#include "process/filter.h"

#include <errno.h>
#include <stdio.h>

/* Private memory that the process has made its own by writing to it, or can't be told from it. */
static bool filter_is_written(const struct mapping *m)
{
	if (m->anonymous == UINT64_MAX)
		return m->inode == 0 || (m->access & MAPPING_WRITE);
	return m->anonymous > 0;
}

/* Nobody can have put anything there: address space that was only reserved. */
static bool filter_is_reserved(const struct mapping *m)
{
	return m->access == 0 && mapping_is_private_anonymous(m) && !filter_is_written(m);
}

static enum filter_choice filter_whole_if(bool wanted)
{
	return wanted ? FILTER_WHOLE : FILTER_LEFT_OUT;
}

static enum filter_choice filter_choose_private(const struct mapping *m, unsigned mask)
{
	if (mapping_is_private_anonymous(m))
		return filter_whole_if(mask & FILTER_ANON_PRIVATE);
	if (filter_is_written(m) && (mask & FILTER_ANON_PRIVATE))
		return FILTER_WHOLE;
	if (mask & FILTER_FILE_PRIVATE)
		return FILTER_WHOLE;
	if ((mask & FILTER_ELF_HEADERS) && m->offset == 0 && (m->access & MAPPING_READ))
		return FILTER_ELF_HEADER;
	return FILTER_LEFT_OUT;
}

enum filter_choice filter_choose(const struct mapping *m, unsigned mask)
{
	/* [vsyscall] lies in the kernel's half and can be executed only. */
	if ((m->flags & (MAPPING_IO | MAPPING_PFN)) || filter_is_reserved(m) ||
	    (mapping_is_special(m) && !(m->access & MAPPING_READ)))
		return FILTER_NO_MEMORY;
	if (mapping_is_special(m))
		return FILTER_WHOLE;
	if (m->flags & MAPPING_DONTDUMP)
		return FILTER_LEFT_OUT;
	if (m->flags & MAPPING_HUGETLB)
		return filter_whole_if(mask &
				       (m->shared ? FILTER_HUGE_SHARED : FILTER_HUGE_PRIVATE));
	if (m->shared)
		return filter_whole_if(mask & (mapping_is_deleted(m) ? FILTER_ANON_SHARED :
					       FILTER_FILE_SHARED));
	return filter_choose_private(m, mask);
}

bool filter_read(pid_t pid, unsigned *ret_mask, struct mfd_error *err)
{
	char path[64];
	FILE *file;
	int e, got;

	snprintf(path, sizeof(path), "/proc/%d/coredump_filter", (int)pid);
	file = fopen(path, "re");
	got = file != NULL ? fscanf(file, "%x", ret_mask) : 0;
	e = errno;
	if (file != NULL)
		fclose(file);
	if (got == 1)
		return true;
	if (file != NULL)
		return error_set(err, MFD_NO_INPUT, "process %d has no memory: it has ended",
				 (int)pid);
	return error_set_os(err, e == ENOENT || e == ESRCH ? MFD_NO_INPUT :
				 e == EACCES || e == EPERM ? MFD_NO_PERMISSION : MFD_IO,
			    e == ENOENT ? ESRCH : e, "process %d: coredump_filter", (int)pid);
}
