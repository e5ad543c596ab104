/* SPDX-License-Identifier: MIT */
/*
 * Listening, and taking who knocks.
 */
#ifndef MFD_NET_LISTEN_H
#define MFD_NET_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"
#include "core/options.h"
#include "net/address.h"

/*
 * Non-blocking sockets for poll(2); one serves both families unless a name has an address in
 * each.  All zero: not open.
 */
struct listener {
	int fd[2];               /* [count] */
	unsigned count;
	uint16_t port;           /* the real one, also when port 0 was asked for */
};

/*
 * Listen on @a; without a host on all addresses, IPv4 and IPv6 alike unless @family says
 * otherwise.  A host name is looked up, which may take a while, and listened to on its first
 * address of each family that is ours.  MFD_UNAVAILABLE if the port is taken, MFD_NO_PERMISSION
 * if it is not for us, MFD_NO_HOST if the name is not known, else MFD_OS.
 */
bool listen_open(const struct address *a, enum mfd_family family, struct listener *ret,
		 struct mfd_error *err) MFD_MUST_CHECK;

/*
 * Take over sockets that somebody else has opened, as a service manager does: @count of them, 1 or
 * 2, listening, TCP.  They are closed with the listener, and also after an error, which is
 * MFD_USAGE.
 */
bool listen_inherit(const int *fds, size_t count, struct listener *ret,
		    struct mfd_error *err) MFD_MUST_CHECK;

/*
 * The same sockets once more: what connects comes to whoever accepts first, and they listen until
 * both are closed.  MFD_OS.
 */
bool listener_share(const struct listener *l, struct listener *ret,
		    struct mfd_error *err) MFD_MUST_CHECK;

/* Once or more often. */
void listener_close(struct listener *l);

/*
 * Give what will be accepted, strangers and control connections too, the congestion control
 * @name: it has to be there before it is known who comes.  A connection that knocked before
 * keeps the system's; data connections only knock after WELCOME.  MFD_OS if the kernel refuses.
 */
bool listener_congestion(const struct listener *l, const char *name,
			 struct mfd_error *err) MFD_MUST_CHECK;

enum listen_accepted {
	/* *ret_fd: blocks, close-on-exec, the caller's; *ret_peer: who it is. */
	LISTEN_ACCEPTED,
	/* Nobody is waiting: poll(2) again. */
	LISTEN_NOBODY,
	/* Somebody is, but no descriptor or memory is left.  poll(2) would spin: pause first. */
	LISTEN_LATER,
};

/* Take one connection from @fd, one of a listener's. */
enum listen_accepted listen_accept(int fd, int *ret_fd, struct sockaddr_storage *ret_peer);

#endif
