/* SPDX-License-Identifier: MIT */
/*
 * Loops over system calls on descriptors: short transfers continued, EINTR retried.  They report
 * errno, not mfd_error: only the caller knows which file it was and what that means.
 */
#ifndef MFD_BASE_IO_H
#define MFD_BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/error.h"

/* Read until @size bytes are there or the file ends; the count, or -1 with errno. */
ssize_t io_pread(int fd, void *buffer, size_t size, uint64_t offset) MFD_MUST_CHECK;

/* Write all @size bytes; 0 or an errno.  A write of 0 bytes counts as ENOSPC. */
int io_pwrite(int fd, const void *bytes, size_t size, uint64_t offset) MFD_MUST_CHECK;

/*
 * Drop @done bytes from the front of @iov[0..count): the first entry that still holds any, with its
 * base moved on.
 */
struct iovec *io_advance(struct iovec *iov, unsigned *count, size_t done);

/* close(2) that keeps errno and takes -1. */
void io_close(int fd);

/* For scope-bound cleanup: `int fd IO_AUTO_CLOSE = open(...)`; hand it over with io_steal(&fd). */
void io_auto_close(int *fd);
#define IO_AUTO_CLOSE __attribute__((cleanup(io_auto_close)))
int io_steal(int *fd);

#endif
