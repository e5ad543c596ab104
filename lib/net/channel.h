/* SPDX-License-Identifier: MIT */
/*
 * Channels: connected byte streams.  TCP now, TLS later; tests put a faulty one in between.  The
 * data connections block, and shutdown() is what wakes their thread; the control connection does
 * not block and is polled.
 */
#ifndef MFD_CHANNEL_H
#define MFD_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

struct channel;

struct channel_ops {
	const char *kind;

	/*
	 * The channel's thread.  Send all of @iov, waiting as long as it takes; the array is
	 * changed.  Errors are MFD_TRY_AGAIN: the connection is lost, or was shut down.
	 */
	bool (*send)(struct channel *c, struct iovec *iov, unsigned iovs, struct mfd_error *err);

	/*
	 * The channel's thread.  Receive until all of @iov is full or the peer ends the stream; the
	 * array is changed.  *ret_got is the count in either case; fewer than wanted means the end
	 * of the stream.
	 */
	bool (*recv)(struct channel *c, struct iovec *iov, unsigned iovs, size_t *ret_got,
		     struct mfd_error *err);

	/*
	 * The control thread.  What can be moved without waiting: *ret_moved 0 means try again
	 * after poll(2), *ret_end the end of the stream.
	 */
	bool (*send_some)(struct channel *c, const void *bytes, size_t size, size_t *ret_moved,
			  struct mfd_error *err);
	bool (*recv_some)(struct channel *c, void *buffer, size_t size, size_t *ret_moved,
			  bool *ret_end, struct mfd_error *err);

	/* Any thread.  Both directions end now; blocked calls return. */
	void (*shutdown)(struct channel *c);

	/* Any thread.  For poll(2). */
	int (*fd)(const struct channel *c);

	/* When no thread uses it any more. */
	void (*free)(struct channel *c);
};

/* Every channel starts with this. */
struct channel {
	const struct channel_ops *ops;
};

/*
 * Over a connected TCP socket, which the channel owns from now on (also on failure).  Sets the TCP
 * options that mfd wants.
 */
bool channel_tcp_new(int fd, struct channel **ret, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * How a session wraps each connection it makes or accepts: tests interpose a faulty channel here,
 * TLS will.  Takes over @inner.
 * @id is the channel's, UINT32_MAX for control, CHANNEL_ID_HASHES for hash lists.
 */
#define CHANNEL_ID_HASHES (UINT32_MAX - 2)
typedef struct channel *channel_wrap_fn(void *opaque, uint32_t id, struct channel *inner);
struct channel *channel_wrap_nothing(void *opaque, uint32_t id, struct channel *inner);

#endif
