/* SPDX-License-Identifier: MIT */
/*
 * Channels over TCP, and the options of their sockets.
 *
 * TCP_NODELAY is set: see channel_tcp_new().  TCP_CONGESTION too where the user wants it, before
 * there is a connection: net/congestion.h.  What is not set:
 *
 *	SO_SNDBUF, SO_RCVBUF  would switch off the kernel's own tuning, which finds the right size
 *	                      for each path, and end at net.core.[rw]mem_max, which is less
 *	SO_KEEPALIVE, TCP_USER_TIMEOUT
 *	                      heartbeats on control notice a lost peer sooner, on all connections,
 *	                      and can tell it from a peer that is busy
 *	TCP_CORK, MSG_MORE    a packet is one sendmsg(2), header and pages together
 *	SO_LINGER             a session ends with an answer on control, so nobody waits in close(2)
 *	SO_ZEROCOPY           the pages' buffer is used again at once, and stays in the CPU's cache
 *
 * The socket blocks; the control connection asks for MSG_DONTWAIT call by call.
 */
#include "net/channel.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/io.h"

struct tcp {
	struct channel channel;
	int fd;
};

static int tcp_fd(const struct channel *c)
{
	return ((const struct tcp *)c)->fd;
}

/* Whatever a socket says, it means that this connection is of no use any more. */
static bool tcp_lost(int os_errno, struct mfd_error *err)
{
	return error_set_os(err, MFD_TRY_AGAIN, os_errno, "connection lost");
}

/* As many of @iov as one call takes. */
static struct msghdr tcp_message(struct iovec *iov, unsigned iovs)
{
	return (struct msghdr){ .msg_iov = iov, .msg_iovlen = iovs < IOV_MAX ? iovs : IOV_MAX };
}

static bool tcp_send(struct channel *c, struct iovec *iov, unsigned iovs, struct mfd_error *err)
{
	size_t put = 0;

	while (iov = io_advance(iov, &iovs, put), iovs) {
		struct msghdr message = tcp_message(iov, iovs);
		ssize_t n = sendmsg(tcp_fd(c), &message, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return tcp_lost(errno, err);
		put = n < 0 ? 0 : (size_t)n;
	}
	return true;
}

static bool tcp_recv(struct channel *c, struct iovec *iov, unsigned iovs, size_t *ret_got,
		     struct mfd_error *err)
{
	size_t got = 0;

	*ret_got = 0;
	/*
	 * An iov without room is dropped before each call: a 0 is then the end of the stream
	 * and nothing else.
	 */
	while (iov = io_advance(iov, &iovs, got), iovs) {
		struct msghdr message = tcp_message(iov, iovs);
		ssize_t n = recvmsg(tcp_fd(c), &message, MSG_WAITALL);

		if (n < 0 && errno != EINTR)
			return tcp_lost(errno, err);
		if (n == 0)
			break;
		got = n < 0 ? 0 : (size_t)n;
		*ret_got += got;
	}
	return true;
}

static bool tcp_send_some(struct channel *c, const void *bytes, size_t size, size_t *ret_moved,
			  struct mfd_error *err)
{
	ssize_t n;

	do {
		n = send(tcp_fd(c), bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		return tcp_lost(errno, err);
	*ret_moved = n < 0 ? 0 : (size_t)n;
	return true;
}

static bool tcp_recv_some(struct channel *c, void *buffer, size_t size, size_t *ret_moved,
			  bool *ret_end, struct mfd_error *err)
{
	ssize_t n;

	do {
		n = recv(tcp_fd(c), buffer, size, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		return tcp_lost(errno, err);
	*ret_moved = n < 0 ? 0 : (size_t)n;
	*ret_end = n == 0 && size > 0;
	return true;
}

static void tcp_shutdown(struct channel *c)
{
	int saved = errno;

	/* The only error there can be is ENOTCONN: it has ended already. */
	shutdown(tcp_fd(c), SHUT_RDWR);
	errno = saved;
}

static void tcp_free(struct channel *c)
{
	io_close(tcp_fd(c));
	free(c);
}

static const struct channel_ops tcp_ops = {
	.kind = "tcp",
	.send = tcp_send,
	.recv = tcp_recv,
	.send_some = tcp_send_some,
	.recv_some = tcp_recv_some,
	.shutdown = tcp_shutdown,
	.fd = tcp_fd,
	.free = tcp_free,
};

bool channel_tcp_new(int fd, struct channel **ret, struct mfd_error *err)
{
	const int on = 1;
	struct tcp *t;

	/*
	 * Each packet is complete as it is sent, so waiting for more (Nagle) only delays its
	 * end.  EOPNOTSUPP: a socket of another family, as tests use, never waits.
	 */
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 && errno != EOPNOTSUPP) {
		error_set_os(err, MFD_OS, errno, "TCP_NODELAY");
		io_close(fd);
		return false;
	}
	t = malloc(sizeof(*t));
	if (!t) {
		io_close(fd);
		return error_set(err, MFD_OS, "out of memory");
	}
	*t = (struct tcp){ .channel = { &tcp_ops }, .fd = fd };
	*ret = &t->channel;
	return true;
}

struct channel *channel_wrap_nothing(void *opaque, uint32_t id, struct channel *inner)
{
	(void)opaque;
	(void)id;
	return inner;
}
