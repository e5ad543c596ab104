/* SPDX-License-Identifier: MIT */
/*
 * Opening for direct I/O, and finding out whether that is of any use.
 */
#include "base/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"

/* Does the kernel (6.1 or newer) say that blocks of ours are not aligned enough for this file? */
static bool direct_check(int fd, struct mfd_error *err)
{
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) < 0 ||
	    !(stx.stx_mask & STATX_DIOALIGN))
		return true;
	if (stx.stx_dio_offset_align == 0)
		return error_set(err, MFD_OS, "no direct I/O for this file");
	if (DIRECT_BLOCK % stx.stx_dio_offset_align || DIRECT_BLOCK % stx.stx_dio_mem_align)
		return error_set(err, MFD_OS, "direct I/O in blocks of %u bytes only",
				 (unsigned)stx.stx_dio_offset_align);
#else
	(void)fd;
	(void)err;
#endif
	return true;
}

bool direct_open(int fd, int access, int *ret_fd, struct mfd_error *err)
{
	int direct IO_AUTO_CLOSE = -1;
	char path[32];

	/*
	 * Not by its name, which may mean something else by now.  A descriptor of its own,
	 * because O_DIRECT belongs to the open file, and the end of an image is no whole block.
	 */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	direct = open(path, access | O_DIRECT | O_CLOEXEC | O_NOCTTY);
	if (direct < 0 && errno == EINVAL)
		return error_set(err, MFD_OS, "no direct I/O on this file system");
	if (direct < 0)
		return error_set_os(err, MFD_OS, errno, "%s", path);
	if (!direct_check(direct, err))
		return false;
	*ret_fd = io_steal(&direct);
	return true;
}
