/* SPDX-License-Identifier: MIT */
/*
 * Connecting.  Pass by pass over the addresses: each is tried in turn, non-blocking, with
 * poll(2) over it and the stop event; between two passes there is a pause, which grows.
 */
#include "net/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/io.h"
#include "net/congestion.h"

/*
 * Short at first, because who starts both ends together waits for milliseconds; then easy on a
 * network that answers nobody.
 */
#define CONNECT_PAUSE_MIN_NS (10 * CLOCK_NS_PER_MS)
#define CONNECT_PAUSE_MAX_NS (200 * CLOCK_NS_PER_MS)

/*
 * One silent address must not use up the time while others wait: beyond the second SYN, sent
 * after 1 s, there is little hope.
 */
#define CONNECT_SHARE_NS (2 * CLOCK_NS_PER_S)

#define CONNECT_TENTH_NS (CLOCK_NS_PER_S / 10)

bool connect_resolve(const struct address *a, enum mfd_family family, uint64_t deadline_ns,
		     const struct event *stop, struct connect_target *ret,
		     struct mfd_error *err)
{
	address_name(a, ret->name);
	ret->congestion = NULL;
	return lookup_wait(a, family, deadline_ns, stop, &ret->found, err);
}

/*
 * While nobody listens on a port of the ephemeral range, the kernel may pick that very port as
 * our own and connect the socket to itself (TCP's simultaneous open).  Seen on loopback by
 * whoever tries often enough.
 */
static bool connect_met_itself(int fd)
{
	const struct linger reset = { .l_onoff = 1 };
	struct sockaddr_storage own = {0}, peer = {0};
	socklen_t own_size = sizeof(own), peer_size = sizeof(peer);

	if (getsockname(fd, (struct sockaddr *)&own, &own_size) != 0 ||
	    getpeername(fd, (struct sockaddr *)&peer, &peer_size) != 0 ||
	    own_size != peer_size || memcmp(&own, &peer, own_size) != 0)
		return false;
	/* Closed without TIME_WAIT, which would keep the port from the receiver for a minute. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return true;
}

/* What connect(2) has led to, now that @fd is writable: 0 or an errno. */
static int connect_finish(int fd)
{
	socklen_t size = sizeof(int);
	int e, flags;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size) != 0)
		return errno;
	if (e)
		return e;
	if (connect_met_itself(fd))
		return ECONNREFUSED;
	flags = fcntl(fd, F_GETFL);
	return flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0 ? 0 : errno;
}

/* One attempt at one address: 0 or an errno, ECANCELED when @stop is raised. */
static int connect_once(const struct sockaddr_storage *to, const char *congestion,
			uint64_t until_ns, const struct event *stop, int *ret_fd)
{
	int fd IO_AUTO_CLOSE = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int e;

	if (fd < 0)
		return errno;
	e = congestion ? congestion_set(fd, congestion) : 0;
	if (e)
		return e;
	/* EINTR too: the attempt goes on without us. */
	if (connect(fd, (const struct sockaddr *)to, lookup_size(to)) != 0 &&
	    errno != EINPROGRESS && errno != EINTR)
		return errno;
	switch (event_wait_fd(stop, fd, POLLOUT, until_ns)) {
	case EVENT_STOPPED:
		return ECANCELED;
	case EVENT_TIMEOUT:
		return ETIMEDOUT;
	case EVENT_READY:
		break;
	}
	e = connect_finish(fd);
	if (!e)
		*ret_fd = io_steal(&fd);
	return e;
}

/* Could it go better in a moment? */
static bool connect_worth_retrying(int e)
{
	switch (e) {
	case ECONNREFUSED:
	case ECONNRESET:
	case ECONNABORTED:
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case ENETRESET:
	case EADDRNOTAVAIL: /* no free port of our own; an interface that is not up yet */
	case EAGAIN:
		return true;
	default:
		return false;
	}
}

/* The time for one of @left addresses that are still to be tried before @deadline_ns. */
static uint64_t connect_share(uint64_t deadline_ns, unsigned left)
{
	uint64_t now = clock_ns(), share;

	if (left == 1 || now >= deadline_ns)
		return deadline_ns;
	share = (deadline_ns - now) / left;
	return now + (share < CONNECT_SHARE_NS ? share : CONNECT_SHARE_NS);
}

/* Each address once: 0 or an errno; *ret_again: another pass could go better. */
static int connect_pass(struct connect_target *target, uint64_t deadline_ns,
			const struct event *stop, int *ret_fd, bool *ret_again)
{
	struct lookup_result *found = &target->found;
	int reason = 0;

	*ret_again = false;
	for (unsigned i = 0; i < found->count; i++) {
		int e = connect_once(&found->address[i], target->congestion,
				     connect_share(deadline_ns, found->count - i), stop, ret_fd);

		if (!e) {
			found->address[0] = found->address[i];
			found->count = 1;
		}
		if (!e || e == ECANCELED)
			return e;
		if (connect_worth_retrying(e))
			*ret_again = true;
		/*
		 * That a host is there and refuses says more than that another of its addresses
		 * leads nowhere.
		 */
		if (reason != ECONNREFUSED)
			reason = e;
	}
	return reason;
}

static bool connect_failed(const struct connect_target *target, int e, bool retry,
			   uint64_t tried_ns, struct mfd_error *err)
{
	enum mfd_status status = MFD_UNAVAILABLE;

	if (e == ECANCELED)
		return error_set(err, MFD_TRY_AGAIN, "cancelled");
	if (e == EACCES || e == EPERM)
		status = MFD_NO_PERMISSION;
	else if (e == EMFILE || e == ENFILE || e == ENOMEM || e == ENOBUFS)
		status = MFD_OS;
	if (retry && connect_worth_retrying(e))
		error_set(err, status, "%s (tried for %g s)", strerror(e),
			  (double)(tried_ns / CONNECT_TENTH_NS) / 10);
	else
		error_set(err, status, "%s", strerror(e));
	err->os_errno = e;
	return error_wrap(err, "%s", target->name);
}

bool connect_open(struct connect_target *target, uint64_t deadline_ns, const struct event *stop,
		  bool retry, int *ret_fd, struct mfd_error *err)
{
	const uint64_t began = clock_ns();
	uint64_t pause = CONNECT_PAUSE_MIN_NS, now, until;
	bool again;
	int e;

	for (;;) {
		e = connect_pass(target, deadline_ns, stop, ret_fd, &again);
		if (!e)
			return true;
		now = clock_ns();
		if (e == ECANCELED || !retry || !again || now >= deadline_ns)
			break;
		until = deadline_ns - now < pause ? deadline_ns : now + pause;
		if (event_wait_fd(stop, -1, 0, until) == EVENT_STOPPED)
			e = ECANCELED;
		now = clock_ns();
		if (e == ECANCELED || now >= deadline_ns)
			break;
		pause = 2 * pause < CONNECT_PAUSE_MAX_NS ? 2 * pause : CONNECT_PAUSE_MAX_NS;
	}
	return connect_failed(target, e, retry, now - began, err);
}
