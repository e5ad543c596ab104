/* SPDX-License-Identifier: MIT */
/*
 * A packet on its way into the socket, within the bandwidth limit.
 *
 * A packet may be worth much more time than the limit may be off (at 1 MB/s one of 256 KiB is a
 * quarter of a second), so each of its pieces takes a place of its own on the line, and waits
 * for it.  Without a limit a packet is one piece, and one call.
 */
#include "send/failover.h"

#include "base/clock.h"

/* The next @piece bytes of *iov, which is moved on. */
static bool send_piece(struct channel *c, struct iovec **iov, unsigned *iovs, size_t piece,
		       struct mfd_error *err)
{
	struct iovec *last = *iov, rest;
	bool ok;

	for (; piece > last->iov_len; last++)
		piece -= last->iov_len;
	rest = (struct iovec){ (uint8_t *)last->iov_base + piece, last->iov_len - piece };
	last->iov_len = piece;
	ok = c->ops->send(c, *iov, (unsigned)(last - *iov) + 1, err);
	*last = rest;
	*iovs -= (unsigned)(last - *iov);
	*iov = last;
	return ok;
}

bool send_paced(struct send_thread *t, unsigned iovs, size_t bytes, uint64_t now_ns)
{
	struct send_session *s = t->session;
	struct iovec *iov = t->iov;
	struct mfd_error err;

	for (;;) {
		const size_t piece = bytes < s->piece ? bytes : s->piece;
		const uint64_t until = pace_take(&s->pace, piece, now_ns);

		if (until > now_ns && event_wait_fd(&s->stop, -1, 0, until) == EVENT_STOPPED)
			return false;
		/*
		 * Counted before they are sent: the control thread compares with what arrives,
		 * and a blocked send is the case that matters.
		 */
		counter_add(&t->counters.bytes, piece);
		bytes -= piece;
		if (bytes ? !send_piece(t->channel, &iov, &iovs, piece, &err) :
			    !t->channel->ops->send(t->channel, iov, iovs, &err)) {
			send_failover_lost(t, &err);
			return true;
		}
		if (!bytes)
			return true;
		now_ns = clock_ns();
	}
}
