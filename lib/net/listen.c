/* SPDX-License-Identifier: MIT */
/*
 * Listening.
 */
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "net/congestion.h"
#include "net/lookup.h"

/*
 * Connections that wait for accept: all of a session's arrive at once, and the kernel cuts this
 * at net.core.somaxconn.
 */
#define LISTEN_BACKLOG 1024

/*
 * Two sockets can't ask for the same free port at once; when the second finds the first one's
 * taken, both start again.
 */
#define LISTEN_TRIES 16

void listener_close(struct listener *l)
{
	for (unsigned i = 0; i < l->count; i++)
		io_close(l->fd[i]);
	l->count = 0;
}

bool listener_share(const struct listener *l, struct listener *ret, struct mfd_error *err)
{
	*ret = (struct listener){ .port = l->port };
	for (; ret->count < l->count; ret->count++) {
		int fd = fcntl(l->fd[ret->count], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			error_set_os(err, MFD_OS, errno, "can't go on listening");
			listener_close(ret);
			return false;
		}
		ret->fd[ret->count] = fd;
	}
	return true;
}

bool listener_congestion(const struct listener *l, const char *name, struct mfd_error *err)
{
	for (unsigned i = 0; i < l->count; i++) {
		int e = congestion_set(l->fd[i], name);

		if (e)
			return error_set_os(err, MFD_OS, e, "congestion control %s", name);
	}
	return true;
}

static bool listen_failed(int e, struct mfd_error *err)
{
	enum mfd_status status = MFD_OS;

	if (e == EADDRINUSE)
		status = MFD_UNAVAILABLE;
	else if (e == EACCES || e == EPERM)
		status = MFD_NO_PERMISSION;
	error_set(err, status, "%s", strerror(e));
	err->os_errno = e;
	return false;
}

static in_port_t *listen_port(struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET6)
		return &((struct sockaddr_in6 *)address)->sin6_port;
	return &((struct sockaddr_in *)address)->sin_port;
}

/* A listening socket at @at; @both: an IPv6 one that takes IPv4 as well. */
static int listen_socket(const struct sockaddr_storage *at, bool both)
{
	int fd IO_AUTO_CLOSE = socket(at->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int on = 1, only = !both;

	if (fd < 0)
		return -1;
	/*
	 * Without it a port stays taken for a minute after its last connection.  One that is
	 * listened to stays taken all the same.
	 */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		return -1;
	/* Said in both cases: net.ipv6.bindv6only decides otherwise. */
	if (at->ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) != 0)
		return -1;
	if (bind(fd, (const struct sockaddr *)at, lookup_size(at)) != 0 ||
	    listen(fd, LISTEN_BACKLOG) != 0)
		return -1;
	return io_steal(&fd);
}

/* Add a socket at @at to @l, on its port if it has one already.  0 or an errno. */
static int listen_add(struct listener *l, struct sockaddr_storage at, bool both)
{
	socklen_t size = sizeof(at);
	int fd;

	if (l->count)
		*listen_port(&at) = htons(l->port);
	fd = listen_socket(&at, both);
	if (fd < 0)
		return errno;
	if (getsockname(fd, (struct sockaddr *)&at, &size) != 0) {
		io_close(fd);
		return errno;
	}
	l->port = ntohs(*listen_port(&at));
	l->fd[l->count++] = fd;
	return 0;
}

/*
 * All of this host's addresses: IPv6 that takes IPv4 as well, or IPv4 alone where there is no
 * IPv6.
 */
static int listen_everywhere(uint16_t port, enum mfd_family family, struct listener *l)
{
	/* All zero but this: the wildcard address is zero in both families. */
	const struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	const struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_storage at = {0};
	int e = EAFNOSUPPORT;

	if (family != MFD_IPV4) {
		memcpy(&at, &v6, sizeof(v6));
		e = listen_add(l, at, family == MFD_ANY_FAMILY);
	}
	if (family == MFD_IPV4 ||
	    (family == MFD_ANY_FAMILY && (e == EAFNOSUPPORT || e == EADDRNOTAVAIL))) {
		memcpy(&at, &v4, sizeof(v4));
		e = listen_add(l, at, false);
	}
	return e;
}

/*
 * The first address of each family that works.  That another program has the port on one of
 * them is an error all the same.
 */
static int listen_found(const struct lookup_result *found, struct listener *l)
{
	bool done[2] = { false, false }; /* IPv4, IPv6 */
	int e = 0, reason = 0;

	for (unsigned i = 0; i < found->count; i++) {
		const unsigned family = found->address[i].ss_family == AF_INET6;

		if (done[family])
			continue;
		e = listen_add(l, found->address[i], false);
		done[family] = !e;
		if (e == EADDRINUSE) {
			listener_close(l);
			return e;
		}
		if (e)
			reason = e;
	}
	return l->count ? 0 : reason;
}

bool listen_open(const struct address *a, enum mfd_family family, struct listener *ret,
		 struct mfd_error *err)
{
	struct listener l = {0};
	struct lookup_result found;
	char name[ADDRESS_NAME];
	int e, tries = 0;

	if (*a->host && !lookup_now(a, family, &found, err))
		return false;
	do {
		e = *a->host ? listen_found(&found, &l) : listen_everywhere(a->port, family, &l);
	} while (e == EADDRINUSE && !a->port && ++tries < LISTEN_TRIES);
	if (e) {
		address_name(a, name);
		listen_failed(e, err);
		return error_wrap(err, "%s", name);
	}
	*ret = l;
	return true;
}

/* A socket of somebody else's: is it what we need, and on which port? */
static bool listen_check(int fd, in_port_t *ret_port)
{
	struct sockaddr_storage at = { 0 };
	socklen_t size = sizeof(int);
	int type = 0, listening = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM)
		return false;
	size = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || !listening)
		return false;
	size = sizeof(at);
	if (getsockname(fd, (struct sockaddr *)&at, &size) != 0 ||
	    (at.ss_family != AF_INET && at.ss_family != AF_INET6))
		return false;
	*ret_port = ntohs(*listen_port(&at));
	return true;
}

bool listen_inherit(const int *fds, size_t count, struct listener *ret, struct mfd_error *err)
{
	struct listener l = { 0 };
	bool ok = count > 0 && count <= sizeof(l.fd) / sizeof(l.fd[0]);
	in_port_t port = 0;

	if (!ok)
		error_set(err, MFD_USAGE, "%zu sockets were passed, 1 or 2 are allowed", count);
	for (size_t i = 0; ok && i < count; i++) {
		ok = listen_check(fds[i], &port);
		if (!ok)
			error_set(err, MFD_USAGE,
				  "descriptor %d, which was passed, is no listening TCP socket",
				  fds[i]);
		else if (fcntl(fds[i], F_SETFD, FD_CLOEXEC) < 0 ||
			 fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK) < 0)
			ok = listen_failed(errno, err);
		l.fd[l.count++] = fds[i];
		l.port = l.count == 1 ? port : l.port;
	}
	if (!ok) {
		for (size_t i = 0; i < count; i++)
			io_close(fds[i]);
		return false;
	}
	*ret = l;
	return true;
}

enum listen_accepted listen_accept(int fd, int *ret_fd, struct sockaddr_storage *ret_peer)
{
	socklen_t size;
	int peer;

	do {
		size = sizeof(*ret_peer);
		peer = accept4(fd, (struct sockaddr *)ret_peer, &size, SOCK_CLOEXEC);
	} while (peer < 0 && errno == EINTR);
	if (peer >= 0) {
		*ret_fd = peer;
		return LISTEN_ACCEPTED;
	}
	switch (errno) {
	case EAGAIN:
	/*
	 * The rest is what accept(2) tells of a connection that broke while it waited: it is
	 * gone, and poll(2) knows of the next.
	 */
	case ECONNABORTED:
	case EPROTO:
	case ENOPROTOOPT:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
		return LISTEN_NOBODY;
	default:
		return LISTEN_LATER;
	}
}
