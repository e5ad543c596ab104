/* SPDX-License-Identifier: MIT */
/*
 * Choosing the congestion control algorithm.
 */
#include "net/congestion.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"

/* With its 0 (TCP_CA_NAME_MAX); the kernel cuts what is longer, and might then find another. */
#define CONGESTION_NAME_MAX 16

#define CONGESTION_LIST 256
#define CONGESTION_SYSCTL "/proc/sys/net/ipv4/tcp_"

int congestion_set(int fd, const char *name)
{
	const size_t bytes = strlen(name);

	/* No bytes at all would be EINVAL. */
	if (!bytes || bytes >= CONGESTION_NAME_MAX)
		return ENOENT;
	return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)bytes) == 0 ? 0 : errno;
}

/* One of the kernel's lists, in a line; "?" if there is none to be had. */
static const char *congestion_list(const char *path, char text[static CONGESTION_LIST])
{
	int fd IO_AUTO_CLOSE = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, CONGESTION_LIST - 1);

	if (n <= 0)
		return "?";
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return text;
}

bool congestion_check(const char *name, struct mfd_error *err)
{
	int fd IO_AUTO_CLOSE = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[CONGESTION_LIST];
	int e;

	/* Both families share the algorithms. */
	if (fd < 0 && errno == EAFNOSUPPORT)
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set_os(err, MFD_OS, errno, "a TCP socket");
	e = congestion_set(fd, name);
	if (!e)
		return true;
	if (e == ENOENT)
		return error_set(err, MFD_USAGE,
				 "congestion control %s: not in this kernel, which has: %s", name,
				 congestion_list(CONGESTION_SYSCTL "available_congestion_control",
						 text));
	if (e == EPERM)
		return error_set(err, MFD_NO_PERMISSION,
				 "congestion control %s: for root only; allowed are: %s", name,
				 congestion_list(CONGESTION_SYSCTL "allowed_congestion_control",
						 text));
	return error_set_os(err, MFD_OS, e, "congestion control %s", name);
}
