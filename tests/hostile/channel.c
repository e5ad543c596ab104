/* SPDX-License-Identifier: MIT */
/*
 * A channel that does to bytes what a hostile network does: see hostile.h.  Most faults are done to
 * what is sent, at either end, so that each direction of each connection has its turn.  A position
 * counts the bytes that the session meant to send.
 */
#include "hostile/hostile.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* A peer that does not read is not waited for longer than this, in ms. */
#define PATIENCE_MS 200

struct mangler {
	struct channel channel;
	struct channel *inner;
	struct hostile_wires *wires;
	uint32_t id;
	unsigned ordinal;            /* of the channel's connections, from 0 */
	struct event shut;           /* shutdown() was called */

	/* The thread that sends, and the one that receives: on control they are one. */
	uint64_t sent, received;
	struct hostile_piece held;   /* SWAP: goes behind what is sent next */
	bool closed;                 /* nothing more is sent, and it is an error to try, */
	bool hole;                   /* or it is not */
	bool deaf;                   /* nothing more is received */
};

static bool broken(struct mfd_error *err)
{
	return error_set_os(err, MFD_TRY_AGAIN, ECONNRESET, "connection lost");
}

static bool concerns(const struct mangler *m, const struct hostile_fault *f)
{
	return f->kind < HOSTILE_SINK_FULL || f->kind >= HOSTILE_CANCEL_SENDER
		       ? f->receiver == m->wires->receiver && f->channel == m->id &&
				 (!f->connections || m->ordinal < f->connections)
		       : false;
}

/* By the bare system call: see common/faulty.c. */
static void reset(struct channel *c)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (syscall(SYS_connect, c->ops->fd(c), &none, sizeof(none)) != 0)
		c->ops->shutdown(c);
}

static size_t piece_size(struct mangler *m)
{
	for (unsigned i = 0; i < m->wires->plan->faults; i++) {
		struct hostile_fault *f = &m->wires->plan->fault[i];

		if (f->kind == HOSTILE_PIECES && concerns(m, f)) {
			if (!f->fired)
				f->fired = 1;
			return f->number;
		}
	}
	return SIZE_MAX;
}

/* ---- Sending. ---- */

static void wait_shut(struct mangler *m)
{
	event_wait_fd(&m->shut, -1, 0, CLOCK_NEVER);
}

/* The connection has its end where @p is cut short; what the sender is to think of it is in @m. */
static void cut_off(struct mangler *m, struct hostile_fault *f, struct hostile_piece *p)
{
	const uint64_t off = f->at - p->start;

	f->fired++;
	if (f->kind != HOSTILE_FIN && off < p->size)
		p->size = (size_t)off;
	m->closed = true;
	/* Control never waits in send(), and a preamble fits the buffer of any new socket. */
	m->hole = f->kind == HOSTILE_HOLE ||
		  (f->kind == HOSTILE_STALL &&
		   (m->id == HOSTILE_CONTROL || p->start < WIRE_PREAMBLE_BYTES));
	m->deaf |= f->kind == HOSTILE_STALL && m->id == HOSTILE_CONTROL;
}

/* All faults that lie within @p; the one that ends the connection, or NULL. */
static struct hostile_fault *strike(struct mangler *m, struct hostile_piece *p, size_t size)
{
	struct hostile_plan *plan = m->wires->plan;
	struct hostile_fault *end = NULL;

	for (unsigned i = 0; i < plan->faults; i++) {
		struct hostile_fault *f = &plan->fault[i];

		if (!concerns(m, f) || f->incoming || f->at < p->start || f->at - p->start >= size)
			continue;
		if (f->kind <= HOSTILE_CROSS) {
			hostile_damage(m->wires, m->id, f, p, &m->held);
		} else if (f->kind <= HOSTILE_HOLE && !end) {
			cut_off(m, f, p);
			end = f;
		} else if (f->kind == HOSTILE_DELAY) {
			f->fired++;
			testing_pause_ms(f->number);
		} else if (f->kind >= HOSTILE_CANCEL_SENDER) {
			f->fired++;
			m->wires->cancel(m->wires->opaque, f->kind == HOSTILE_CANCEL_RECEIVER);
		}
	}
	return end;
}

static bool put_data(struct mangler *m, uint8_t *bytes, size_t size, struct mfd_error *err)
{
	const size_t most = piece_size(m);
	size_t n;

	for (size_t done = 0; done < size; done += n) {
		struct iovec iov = { bytes + done, n = size - done < most ? size - done : most };

		if (!m->inner->ops->send(m->inner, &iov, 1, err))
			return false;
	}
	return true;
}

/* Control: what does not leave soon is lost. */
static bool put_control(struct mangler *m, uint8_t *bytes, size_t size, struct mfd_error *err)
{
	struct pollfd fd = { .fd = m->inner->ops->fd(m->inner), .events = POLLOUT };
	size_t moved;

	for (size_t done = 0; done < size; done += moved) {
		if (!m->inner->ops->send_some(m->inner, bytes + done, size - done, &moved, err))
			return false;
		if (!moved && poll(&fd, 1, PATIENCE_MS) <= 0)
			break;
	}
	return true;
}

/* @bytes as they are after all that happens to them.  False: the connection is lost. */
static bool transmit(struct mangler *m, struct hostile_piece *p, struct mfd_error *err)
{
	const size_t size = p->size;
	struct hostile_fault *end;
	struct hostile_piece held = m->held;
	bool ok;

	m->held = (struct hostile_piece){ .bytes = NULL };
	end = strike(m, p, size);
	hostile_take_stray(m->wires, m->id, p);
	hostile_piece_put(p, p->size, held.bytes, held.size);
	free(held.bytes);
	m->sent += size;
	ok = m->id == HOSTILE_CONTROL ? put_control(m, p->bytes, p->size, err)
				      : put_data(m, p->bytes, p->size, err);
	if (!ok || !end || m->hole)
		return ok;
	if (end->kind == HOSTILE_RST)
		reset(m->inner);
	else if (end->kind == HOSTILE_STALL)
		wait_shut(m);
	else
		m->inner->ops->shutdown(m->inner);
	return end->kind == HOSTILE_FIN || broken(err);
}

static bool mangler_send(struct channel *c, struct iovec *iov, unsigned iovs, struct mfd_error *err)
{
	struct mangler *m = (struct mangler *)c;
	struct hostile_piece p = { .start = m->sent };
	bool ok;

	if (m->closed)
		return m->hole || broken(err);
	for (unsigned i = 0; i < iovs; i++)
		hostile_piece_put(&p, p.size, iov[i].iov_base, iov[i].iov_len);
	ok = transmit(m, &p, err);
	free(p.bytes);
	return ok;
}

static bool mangler_send_some(struct channel *c, const void *bytes, size_t size, size_t *ret_moved,
			      struct mfd_error *err)
{
	struct mangler *m = (struct mangler *)c;
	const size_t most = piece_size(m), n = size < most ? size : most;
	struct hostile_piece p = { .start = m->sent };
	bool ok;

	*ret_moved = n;
	if (m->closed)
		return m->hole || broken(err);
	hostile_piece_put(&p, 0, bytes, n);
	ok = transmit(m, &p, err);
	free(p.bytes);
	return ok;
}

/* ---- Receiving. ---- */

/* What ends the connection when so many bytes have come, or NULL; *ret_left of @size may come. */
static struct hostile_fault *find_incoming(struct mangler *m, size_t size, size_t *ret_left)
{
	struct hostile_plan *plan = m->wires->plan;

	*ret_left = size;
	for (unsigned i = 0; i < plan->faults; i++) {
		struct hostile_fault *f = &plan->fault[i];

		if (!f->incoming || f->kind == HOSTILE_PIECES || !concerns(m, f) ||
		    f->at < m->received || f->at - m->received >= size)
			continue;
		*ret_left = (size_t)(f->at - m->received);
		return f;
	}
	return NULL;
}

/* True: it looks like an orderly end, or, where the caller does not wait in here, like silence. */
static bool end_incoming(struct mangler *m, struct hostile_fault *f, bool polled,
			 struct mfd_error *err)
{
	f->fired++;
	m->deaf = m->closed = true;
	m->hole = f->kind == HOSTILE_STALL && polled;
	if (f->kind == HOSTILE_RST)
		reset(m->inner);
	else if (f->kind == HOSTILE_FIN)
		m->inner->ops->shutdown(m->inner);
	else if (!polled)
		wait_shut(m);
	return m->hole || f->kind == HOSTILE_FIN || broken(err);
}

static bool mangler_recv(struct channel *c, struct iovec *iov, unsigned iovs, size_t *ret_got,
			 struct mfd_error *err)
{
	struct mangler *m = (struct mangler *)c;
	const size_t most = piece_size(m);

	*ret_got = 0;
	for (unsigned i = 0; i < iovs; i++) {
		uint8_t *at = iov[i].iov_base;

		for (size_t left = iov[i].iov_len, n, got; left; left -= n, at += n) {
			struct hostile_fault *end;
			struct iovec one;

			if (m->deaf)
				return broken(err);
			end = find_incoming(m, left < most ? left : most, &n);
			one = (struct iovec){ at, n };
			if (n && !m->inner->ops->recv(m->inner, &one, 1, &got, err))
				return false;
			m->received += n ? got : 0;
			*ret_got += n ? got : 0;
			if (n && got < n)
				return true;
			if (end)
				return end_incoming(m, end, false, err);
		}
	}
	return true;
}

static bool mangler_recv_some(struct channel *c, void *buffer, size_t size, size_t *ret_moved,
			      bool *ret_end, struct mfd_error *err)
{
	struct mangler *m = (struct mangler *)c;
	const size_t most = piece_size(m);
	struct hostile_fault *end;
	size_t n;

	*ret_moved = 0;
	*ret_end = false;
	if (m->deaf)
		return m->hole || broken(err);
	end = find_incoming(m, size < most ? size : most, &n);
	if (!n) {
		*ret_end = end && end->kind == HOSTILE_FIN;
		return !end || end_incoming(m, end, true, err);
	}
	if (!m->inner->ops->recv_some(m->inner, buffer, n, ret_moved, ret_end, err))
		return false;
	m->received += *ret_moved;
	return true;
}

/* ---- The rest. ---- */

static void mangler_shutdown(struct channel *c)
{
	struct mangler *m = (struct mangler *)c;

	event_raise(&m->shut);
	m->inner->ops->shutdown(m->inner);
}

/* poll(2) skips a negative descriptor: silence. */
static int mangler_fd(const struct channel *c)
{
	const struct mangler *m = (const struct mangler *)c;

	return m->deaf && m->hole ? -1 : m->inner->ops->fd(m->inner);
}

static void mangler_free(struct channel *c)
{
	struct mangler *m = (struct mangler *)c;

	m->inner->ops->free(m->inner);
	event_destroy(&m->shut);
	free(m->held.bytes);
	free(m);
}

static const struct channel_ops mangler_ops = {
	.kind = "hostile",
	.send = mangler_send,
	.recv = mangler_recv,
	.send_some = mangler_send_some,
	.recv_some = mangler_recv_some,
	.shutdown = mangler_shutdown,
	.fd = mangler_fd,
	.free = mangler_free,
};

struct channel *hostile_wrap(void *wires, uint32_t id, struct channel *inner)
{
	struct mangler *m = calloc(1, sizeof(*m));
	struct hostile_wires *w = wires;
	struct mfd_error err;

	if (!m || !event_init(&m->shut, &err))
		abort();
	m->channel.ops = &mangler_ops;
	m->inner = inner;
	m->wires = w;
	m->id = id;
	pthread_mutex_lock(&w->lock);
	if (id < MFD_MAX_CHANNELS)
		m->ordinal = w->made[id]++;
	pthread_mutex_unlock(&w->lock);
	return &m->channel;
}

void hostile_wires_destroy(struct hostile_wires *w)
{
	free(w->stray);
	pthread_mutex_destroy(&w->lock);
}
