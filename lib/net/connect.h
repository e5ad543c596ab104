/* SPDX-License-Identifier: MIT */
/*
 * Connecting: find out once where a name leads, then open as many connections there as wanted,
 * before a deadline and with an ear for the stop event.  Whoever refuses may only not have
 * started yet, so refusals are tried again when the caller says so.
 *
 *	struct connect_target target;
 *
 *	connect_resolve(&address, family, deadline, &stop, &target, err)
 *	connect_open(&target, deadline, &stop, true, &control_fd, err) // control
 *	connect_open(&target, deadline, &stop, false, &data_fd, err) // data: to the same peer
 */
#ifndef MFD_NET_CONNECT_H
#define MFD_NET_CONNECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/event.h"
#include "core/options.h"
#include "net/address.h"
#include "net/lookup.h"

/* Where a name leads, and how.  Plain data, copied at will; not for two threads at once. */
struct connect_target {
	char name[ADDRESS_NAME];     /* as the user wrote it, for messages */
	struct lookup_result found;  /* after a connection only the address that answered */
	const char *congestion;      /* of connections opened from now on; NULL: the system's */
};

/*
 * The addresses of @a, at most until @deadline_ns, and the system's congestion control.
 * MFD_NO_HOST if the name is not known, MFD_UNAVAILABLE if no name server answers in time,
 * MFD_TRY_AGAIN if @stop is raised (it stays raised).
 */
bool connect_resolve(const struct address *a, enum mfd_family family, uint64_t deadline_ns,
		     const struct event *stop, struct connect_target *ret,
		     struct mfd_error *err) MFD_MUST_CHECK;

/*
 * One TCP connection to @target; each address gets its share of the time until @deadline_ns.
 * With @retry, attempts that are refused, reset, unreachable or time out are repeated until
 * then; without, each address is tried once.  MFD_UNAVAILABLE if nobody answers,
 * MFD_NO_PERMISSION if the system forbids it, MFD_TRY_AGAIN if @stop is raised.  The first
 * success narrows @target to the address that answered, so that later connections reach the
 * same peer.  *ret_fd blocks, is close-on-exec and the caller's.
 */
bool connect_open(struct connect_target *target, uint64_t deadline_ns, const struct event *stop,
		  bool retry, int *ret_fd, struct mfd_error *err) MFD_MUST_CHECK;

#endif
