/* SPDX-License-Identifier: MIT */
/*
 * Reading another process's memory.
 *
 * process_vm_readv(2) stops at the first page it can't read and says how much came before; there
 * /proc/PID/mem is tried, and what that can't read either is zeros, page by page.
 */
#include "process/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/io.h"

bool memory_open(pid_t pid, struct memory *ret, struct mfd_error *err)
{
	char path[64];
	int e;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	*ret = (struct memory){ .pid = pid, .fd = open(path, O_RDONLY | O_CLOEXEC),
				.page_bytes = (uint64_t)sysconf(_SC_PAGESIZE) };
	e = errno;
	if (ret->fd < 0)
		return error_set_os(err, e == ENOENT || e == ESRCH ? MFD_NO_INPUT :
					 e == EACCES || e == EPERM ? MFD_NO_PERMISSION : MFD_OS,
				    e == ENOENT ? ESRCH : e, "memory of process %d", (int)pid);
	if (memory_is_there(ret))
		return true;
	memory_close(ret);
	return error_set(err, MFD_NO_INPUT, "process %d has no memory: it has ended", (int)pid);
}

void memory_close(struct memory *m)
{
	io_close(m->fd);
	m->fd = -1;
}

bool memory_is_there(const struct memory *m)
{
	char byte;

	/*
	 * End of file is what the kernel says of memory that nobody uses any more; of page 0, EIO.
	 */
	return pread(m->fd, &byte, 1, 0) != 0;
}

/* One page, or what there is up to its end, by way of /proc/PID/mem; 0 or an errno. */
static int memory_read_page(const struct memory *m, uint64_t address, uint8_t *buffer, size_t bytes)
{
	ssize_t n;

	do
		n = pread(m->fd, buffer, bytes, (off_t)address);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)bytes)
		return 0;
	return n < 0 ? errno : n == 0 ? ESRCH : EIO;
}

/* As much as comes in one go from @address on; 0 where the first page can't be read so. */
static size_t memory_read_fast(const struct memory *m, uint64_t address, uint8_t *buffer,
			       size_t bytes)
{
	const struct iovec ours = { buffer, bytes };
	const struct iovec theirs = { (void *)(uintptr_t)address, bytes };
	ssize_t n = process_vm_readv(m->pid, &ours, 1, &theirs, 1, 0);

	return n > 0 ? (size_t)n : 0;
}

bool memory_read(const struct memory *m, uint64_t address, void *buffer, size_t bytes,
		 uint64_t *ret_unreadable, struct mfd_error *err)
{
	uint8_t *to = buffer;
	size_t done, step;
	int e;

	*ret_unreadable = 0;
	for (done = 0; done < bytes; done += step) {
		step = memory_read_fast(m, address + done, to + done, bytes - done);
		if (step > 0)
			continue;
		step = m->page_bytes - (address + done) % m->page_bytes;
		if (step > bytes - done)
			step = bytes - done;
		e = memory_read_page(m, address + done, to + done, step);
		if (e == 0)
			continue;
		if (e == ESRCH)
			return error_set(err, MFD_NO_INPUT,
					 "process %d has ended, or has started another program",
					 (int)m->pid);
		memset(to + done, 0, step);
		*ret_unreadable += step;
	}
	return true;
}
