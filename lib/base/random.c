/* SPDX-License-Identifier: MIT */
/*
 * See random.h.
 */
#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

bool random_fill(uint8_t *bytes, size_t size, struct mfd_error *err)
{
	ssize_t n;

	do
		n = getrandom(bytes, size, 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)size)
		return error_set_os(err, MFD_OS, errno, "can't make random bytes");
	return true;
}
