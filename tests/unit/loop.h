/* SPDX-License-Identifier: MIT */
/*
 * Block devices for tests: a file behind a loop device, which is gone when its last user closes
 * it.
 */
#ifndef MFD_TESTS_UNIT_LOOP_H
#define MFD_TESTS_UNIT_LOOP_H

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/*
 * Attach the file at @path to a free loop device: a descriptor that keeps it, and its name.  -1
 * with errno where there is none to be had, as in most containers: skip the test then, and say
 * so.
 */
static inline int loop_attach(const char *path, char *ret_name, size_t size)
{
	struct loop_config config = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int file = open(path, O_RDWR | O_CLOEXEC);
	int loop = -1;
	int tries, number, saved;

	/* Somebody else may take the free one before us. */
	config.fd = (uint32_t)file;
	for (tries = 0; control >= 0 && file >= 0 && loop < 0 && tries < 10; tries++) {
		number = ioctl(control, LOOP_CTL_GET_FREE);
		if (number < 0)
			break;
		snprintf(ret_name, size, "/dev/loop%d", number);
		loop = open(ret_name, O_RDWR | O_CLOEXEC);
		if (loop < 0)
			break;
		if (ioctl(loop, LOOP_CONFIGURE, &config) == 0)
			break;
		saved = errno;
		close(loop);
		loop = -1;
		errno = saved;
		if (saved != EBUSY)
			break;
	}
	saved = errno;
	if (control >= 0)
		close(control);
	if (file >= 0)
		close(file);
	errno = saved;
	return loop;
}

#endif
