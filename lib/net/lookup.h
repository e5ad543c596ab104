/* SPDX-License-Identifier: MIT */
/*
 * From a host name to addresses, with getaddrinfo(3).
 */
#ifndef MFD_NET_LOOKUP_H
#define MFD_NET_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/event.h"
#include "core/options.h"
#include "net/address.h"

/*
 * A host with more addresses than these is a service spread over many machines; the first ones
 * are enough to find one.
 */
#define LOOKUP_MAX 8

struct lookup_result {
	/* With the port, in the order the system prefers. */
	struct sockaddr_storage address[LOOKUP_MAX];
	unsigned count;              /* at least 1 */
};

/* The size of an address, as bind(2) and connect(2) want it. */
socklen_t lookup_size(const struct sockaddr_storage *address);

/* Look up @a, as long as it takes.  MFD_NO_HOST if the name has no address in @family. */
bool lookup_now(const struct address *a, enum mfd_family family, struct lookup_result *ret,
		struct mfd_error *err) MFD_MUST_CHECK;

/*
 * The same, but not beyond @deadline_ns, then MFD_UNAVAILABLE, and not when @stop is raised,
 * then MFD_TRY_AGAIN.  A name server that does not answer blocks getaddrinfo(3) for a minute,
 * and nothing wakes it: so a thread of its own asks, and is left behind if need be.
 */
bool lookup_wait(const struct address *a, enum mfd_family family, uint64_t deadline_ns,
		 const struct event *stop, struct lookup_result *ret,
		 struct mfd_error *err) MFD_MUST_CHECK;

#endif
