/* SPDX-License-Identifier: MIT */
/*
 * Direct I/O: past the page cache, between the disk and our own buffers.
 */
#ifndef MFD_BASE_DIRECT_H
#define MFD_BASE_DIRECT_H

#include "base/error.h"

/*
 * What offset, size and memory of a direct transfer are multiples of.  Disks ask for 512 or
 * 4096.
 */
#define DIRECT_BLOCK 4096u

/*
 * A second descriptor, with O_DIRECT, of what @fd has open; @access is O_RDONLY or O_WRONLY.
 * False, with the reason, where file system or device can't do that in blocks of DIRECT_BLOCK.
 * Not every kernel can tell beforehand: a transfer may still fail with EINVAL, and then goes by
 * @fd.
 */
bool direct_open(int fd, int access, int *ret_fd, struct mfd_error *err) MFD_MUST_CHECK;

#endif
