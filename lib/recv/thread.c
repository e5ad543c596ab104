/* SPDX-License-Identifier: MIT */
/*
 * A receiver thread, one per data channel; the mirror image of send/thread.c.
 *
 * Life: the main thread attaches a connection and starts it.  It receives a header, bounds it
 * against the session, takes the rest of the packet, decodes and verifies it, writes it to the sink
 * (packet.c), counts it as written, and now and then tells the control thread, which
 * acknowledges.  A SYNC it only reports, and reads on: when every channel has reported, the control
 * thread opens the next round.
 *
 * Error: it reports and returns.  Bytes that break a rule and a failing sink are real causes.  A
 * connection that ends is lost, unless the main thread ended it: then the control thread tells the
 * sender, which gives it up and may bring another one.  An end of the stream is never a normal end
 * here: that is what END on control is for.
 *
 * It waits for the socket (the door: shutdown) and for the sink (write(2) returns by itself; long
 * zeroing looks at the stop event).  It never waits for another channel, and never for the control
 * thread.
 */
#include "recv/session.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

/*
 * Written packets that make it worth waking the control thread; a SYNC always does, and it looks by
 * itself 20 times a second.
 */
#define KICK_PACKETS 4

/*
 * The sender takes a channel for dead when `received` stands still for its timeout.  So that a slow
 * network is seen to move within a packet, that is taken in small pieces, as small as those of a
 * sender with a bandwidth limit; a fast one (this many bytes per ms) in large ones.
 */
#define RECV_PIECE (512u << 10)
#define RECV_PIECE_SLOW (1u << 10)
#define RECV_FAST_BYTES_PER_MS 1000u

static size_t iov_bytes(const struct iovec *iov, unsigned iovs)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < iovs; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

/* One receive of everything, for what is small or comes in one piece. */
static bool recv_piece(struct recv_thread *t, struct iovec *iov, unsigned iovs, size_t *got,
		       struct mfd_error *err)
{
	bool ok = t->channel->ops->recv(t->channel, iov, iovs, got, err);

	if (ok)
		counter_add(&t->received, *got);
	return ok;
}

/* What receiving @got of @want bytes since @since_ns says of the connection. */
static void count_wait(struct recv_thread *t, uint64_t since_ns, size_t want, size_t got)
{
	uint64_t passed = clock_ns() - since_ns, flush;

	if (want > RECV_PIECE_SLOW)
		t->slow = passed / CLOCK_NS_PER_MS > want / RECV_FAST_BYTES_PER_MS;
	counter_set(&t->waits, WIRE_WAITS_SINK);
	/* What brought nothing was the wait for the session's end: the flush does not count. */
	if (!got) {
		flush = counter_get(&t->session->flush_ns);
		passed = flush > since_ns ? flush - since_ns : 0;
	}
	counter_add(&t->counters.wait_socket, passed);
}

bool recv_bytes(struct recv_thread *t, struct iovec *iov, unsigned iovs, size_t *ret_got,
		struct mfd_error *err)
{
	const size_t most = t->slow ? RECV_PIECE_SLOW : RECV_PIECE;
	const uint64_t since = clock_ns();
	const size_t want = iov_bytes(iov, iovs);
	size_t got;
	bool ok = true;

	counter_set(&t->waits, WIRE_WAITS_NETWORK);
	*ret_got = 0;
	while (ok && iovs && *ret_got < want) {
		struct iovec piece = { iov->iov_base, iov->iov_len };

		if (want - *ret_got <= most) {
			ok = recv_piece(t, iov, iovs, &got, err);
			*ret_got += ok ? got : 0;
			break;
		}
		if (piece.iov_len > most)
			piece.iov_len = most;
		ok = recv_piece(t, &piece, 1, &got, err);
		if (!ok)
			break;
		*ret_got += got;
		iov->iov_base = (uint8_t *)iov->iov_base + got;
		iov->iov_len -= got;
		if (!iov->iov_len) {
			iov++;
			iovs--;
		} else if (got < most) {
			break; /* the end of the stream */
		}
	}
	count_wait(t, since, want, *ret_got);
	return ok;
}

/* The connection was ended on purpose: the session is over, or main has fenced it. */
static bool ended_on_purpose(struct recv_thread *t)
{
	bool r;

	pthread_mutex_lock(&t->session->lock);
	r = t->down || t->session->stopping || t->session->end_seen;
	pthread_mutex_unlock(&t->session->lock);
	return r;
}

/* The connection ended by itself: no reason to end the session. */
static void lost(struct recv_thread *t, const struct mfd_error *err)
{
	if (ended_on_purpose(t))
		return;
	pthread_mutex_lock(&t->session->lock);
	t->down = true;
	t->why = *err;
	counter_set(&t->waits, WIRE_WAITS_NETWORK);
	pthread_mutex_unlock(&t->session->lock);
	event_raise(&t->session->verdict.attention);
}

static void failed(struct recv_thread *t, struct mfd_error *err)
{
	/* A full disk is no matter of one channel. */
	if (err->status != MFD_IO && err->status != MFD_CANT_CREATE)
		error_wrap(err, "channel %u", (unsigned)t->id);
	/* A sink that gave up because of the stop event has nothing to add. */
	if (err->status != MFD_TRY_AGAIN)
		verdict_report(&t->session->verdict, VERDICT_CAUSE, err);
}

/* Everything about a header that depends on the session. */
static bool check_packet(const struct recv_thread *t, const struct wire_packet *p,
			 struct mfd_error *err)
{
	const struct recv_session *s = t->session;

	if (p->sequence != t->sequence)
		return error_set(err, MFD_PROTOCOL,
				 "packet %" PRIu64 " where %" PRIu64 " was expected", p->sequence,
				 t->sequence);
	if (p->round && !(s->hello.flags & WIRE_HELLO_ROUNDS))
		return error_set(err, MFD_PROTOCOL,
				 "packet of round %" PRIu32 " in a session of one round", p->round);
	if (p->kind == WIRE_SYNC)
		return true;
	if (p->region != 0)
		return error_set(err, MFD_PROTOCOL, "region %" PRIu32 " does not exist", p->region);
	if ((p->flags & WIRE_FLAG_KEPT) && (!s->told || p->round))
		return error_set(err, MFD_PROTOCOL, "kept pages where there is no basis");
	if (p->kind == WIRE_PAGES && p->count > s->hello.packet_pages)
		return error_set(err, MFD_PROTOCOL,
				 "packet of %" PRIu64 " pages, agreed were %" PRIu32, p->count,
				 s->hello.packet_pages);
	if (p->first >= s->page_limit || p->count > s->page_limit - p->first) {
		if (s->hello.size == MFD_UNKNOWN)
			return error_set(err, MFD_CANT_CREATE,
					 "the image is larger than --max-size allows (%" PRIu64
					 " bytes)",
					 s->params.max_size);
		return error_set(err, MFD_PROTOCOL,
				 "pages %" PRIu64 " to %" PRIu64 " of an image of %" PRIu64,
				 p->first, p->first + p->count, s->page_limit);
	}
	if (!t->method[p->method])
		return error_set(err, MFD_PROTOCOL, "method %u was not agreed on", p->method);
	return true;
}

/*
 * A packet may only be of the round that is open, which it stays until this channel has sent its
 * SYNC.  A SYNC may come late, when a new connection's round was closed by the others: it says
 * nothing then.
 */
static bool check_round(struct recv_thread *t, const struct wire_packet *p, bool behind_sync,
			struct mfd_error *err)
{
	if (behind_sync || p->round != t->round) {
		pthread_mutex_lock(&t->session->lock);
		t->round = t->session->open_round;
		pthread_mutex_unlock(&t->session->lock);
	}
	if (p->round < t->round && p->kind != WIRE_SYNC)
		return error_set(err, MFD_PROTOCOL, "packet of round %" PRIu32 ", which is over",
				 p->round);
	if (p->round > t->round)
		return error_set(err, MFD_PROTOCOL,
				 "packet of round %" PRIu32 " before SYNC_DONE(%" PRIu32 ")",
				 p->round, p->round - 1);
	return true;
}

/*
 * SYNC: the totals of this round are complete on this channel, unless something comes back from
 * another.
 */
static bool report_sync(struct recv_thread *t, const struct wire_packet *p, struct mfd_error *err)
{
	struct recv_session *s = t->session;
	uint64_t batches;

	pthread_mutex_lock(&s->lock);
	batches = p->round < s->open_round || s->sync_batches == UINT64_MAX ? p->batch :
									      s->sync_batches;
	if (p->round == s->open_round) {
		s->sync_batches = batches;
		totals_add(&t->round_totals, &t->totals);
		memset(&t->totals, 0, sizeof(t->totals));
		t->synced = p->round + 1;
	}
	pthread_mutex_unlock(&s->lock);
	if (batches != p->batch)
		return error_set(err, MFD_PROTOCOL,
				 "SYNC(%" PRIu32 ") with %" PRIu64
				 " batches behind one with %" PRIu64,
				 p->round, p->batch, batches);
	return true;
}

static bool take_packet(struct recv_thread *t, const struct wire_packet *p, bool behind_sync,
			bool *ret_lost, struct mfd_error *err)
{
	if (!check_round(t, p, behind_sync, err) || !check_packet(t, p, err))
		return false;
	if (p->kind == WIRE_SYNC ? !report_sync(t, p, err) : !recv_packet(t, p, ret_lost, err))
		return false;
	t->sequence++;
	counter_add(&t->counters.packets, 1);
	counter_set(&t->written, t->sequence);
	if (p->kind == WIRE_SYNC || t->sequence - t->kicked >= KICK_PACKETS) {
		t->kicked = t->sequence;
		event_raise(&t->session->verdict.attention);
	}
	return true;
}

/* The next header; false with *ret_lost at the end of the stream or the connection. */
static bool next_header(struct recv_thread *t, struct wire_packet *ret, bool *ret_lost,
			struct mfd_error *err)
{
	uint8_t raw[WIRE_PACKET_BYTES];
	struct iovec iov = { raw, sizeof(raw) };
	size_t got;

	*ret_lost = true;
	if (!recv_bytes(t, &iov, 1, &got, err))
		return false;
	if (!got)
		return error_set(err, MFD_TRY_AGAIN,
				 "connection closed by the sender before the end of the image");
	if (got < sizeof(raw))
		return error_set(err, MFD_TRY_AGAIN,
				 "packet header: connection closed after %zu of %zu bytes", got,
				 sizeof(raw));
	*ret_lost = false;
	counter_add(&t->counters.bytes, got);
	return wire_get_packet(raw, ret, err);
}

void *recv_thread_main(void *thread)
{
	struct recv_thread *t = thread;
	bool behind_sync = true, conn_lost;
	struct wire_packet p;
	struct mfd_error err;

	for (;;) {
		if (!next_header(t, &p, &conn_lost, &err) ||
		    !take_packet(t, &p, behind_sync, &conn_lost, &err)) {
			if (conn_lost)
				lost(t, &err);
			else
				failed(t, &err);
			return NULL;
		}
		behind_sync = p.kind == WIRE_SYNC;
	}
}
