/* SPDX-License-Identifier: MIT */
/*
 * A channel that goes wrong: see testing.h.
 */
#include "common/testing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* ---- A channel that goes wrong. ---- */

struct faulty {
	struct channel channel;
	struct channel *inner;
	struct testing_faults *faults;
	uint32_t id;
	unsigned ordinal;            /* of the channel's connections, from 0 */
	struct event shut;           /* shutdown() was called */

	/* The thread that sends, and the one that receives: on control they are one. */
	uint64_t sent, received;
	size_t owed;                 /* SLOW: bytes received and not yet paused for */
	bool send_dead, recv_dead;   /* a fault has ended this direction */
	bool hole;
};

static bool concerns(const struct faulty *f, const struct testing_fault *t)
{
	return (t->channel == f->id || t->channel == TESTING_EVERY) &&
	       (!t->connections || f->ordinal < t->connections);
}

static const struct testing_fault *find_fault(const struct faulty *f, bool sending)
{
	for (unsigned i = 0; i < f->faults->count; i++) {
		const struct testing_fault *t = &f->faults->fault[i];

		if (t->kind != TESTING_PIECES && t->kind != TESTING_SLOW && t->sending == sending &&
		    concerns(f, t))
			return t;
	}
	return NULL;
}

static const struct testing_fault *find_kind(const struct faulty *f, enum testing_fault_kind kind)
{
	for (unsigned i = 0; i < f->faults->count; i++) {
		const struct testing_fault *t = &f->faults->fault[i];

		if (t->kind == kind && concerns(f, t))
			return t;
	}
	return NULL;
}

/* The most that one call may move. */
static size_t piece_of(const struct faulty *f)
{
	const struct testing_fault *t = find_kind(f, TESTING_PIECES);

	return t ? t->at : SIZE_MAX;
}

/* How many of @size bytes pass before the fault. */
static size_t before(const struct testing_fault *t, uint64_t moved, size_t size)
{
	if (!t || t->kind == TESTING_FLIP)
		return size;
	return t->at <= moved ? 0 : t->at - moved < size ? (size_t)(t->at - moved) : size;
}

/*
 * Disconnecting a TCP socket resets the connection at once (connect(2), AF_UNSPEC).  By the bare
 * system call: ThreadSanitizer takes connect() for the making of a descriptor, which other threads
 * must not use at the same time.
 */
static void reset(struct channel *c)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (syscall(SYS_connect, c->ops->fd(c), &none, sizeof(none)) != 0)
		c->ops->shutdown(c);
}

/* The fault's moment has come; what the caller is to do is its business. */
static void fire(struct faulty *f, const struct testing_fault *t)
{
	atomic_fetch_add(&f->faults->fired, 1);
	if (t->kind == TESTING_RST)
		reset(f->inner);
	else if (t->kind == TESTING_FIN)
		f->inner->ops->shutdown(f->inner);
}

static bool broken(struct mfd_error *err)
{
	return error_set_os(err, MFD_TRY_AGAIN, ECONNRESET, "connection lost");
}

/* Send @size bytes in pieces. */
static bool send_run(struct faulty *f, uint8_t *bytes, size_t size, struct mfd_error *err)
{
	const size_t piece = piece_of(f);

	for (size_t done = 0; done < size;) {
		size_t n = size - done < piece ? size - done : piece;
		struct iovec iov = { bytes + done, n };

		if (!f->inner->ops->send(f->inner, &iov, 1, err))
			return false;
		done += n;
	}
	f->sent += size;
	return true;
}

static bool faulty_send(struct channel *c, struct iovec *iov, unsigned iovs, struct mfd_error *err)
{
	struct faulty *f = (struct faulty *)c;
	const struct testing_fault *t = find_fault(f, true);

	for (unsigned i = 0; i < iovs && !f->hole; i++) {
		size_t n = f->send_dead ? 0 : before(t, f->sent, iov[i].iov_len);

		if (n && !send_run(f, iov[i].iov_base, n, err))
			return false;
		if (n == iov[i].iov_len)
			continue;
		if (!f->send_dead)
			fire(f, t);
		f->send_dead = true;
		f->hole = t->kind == TESTING_HOLE;
		if (t->kind == TESTING_STALL)
			event_wait_fd(&f->shut, -1, 0, CLOCK_NEVER);
		if (!f->hole)
			return broken(err);
	}
	return true;
}

static void flip(struct faulty *f, const struct testing_fault *t, uint8_t *bytes, size_t size)
{
	if (t && t->kind == TESTING_FLIP && t->at >= f->received && t->at - f->received < size) {
		bytes[t->at - f->received] ^= 1u << (t->at % 8);
		atomic_fetch_add(&f->faults->fired, 1);
	}
	f->received += size;
}

/* Receive @size bytes in pieces; *ret_got fewer at the end of the stream. */
static bool recv_run(struct faulty *f, const struct testing_fault *t, uint8_t *bytes, size_t size,
		     size_t *ret_got, struct mfd_error *err)
{
	const struct testing_fault *slow = find_kind(f, TESTING_SLOW);
	const size_t piece = slow ? 4096 : piece_of(f);
	size_t got;

	for (*ret_got = 0; *ret_got < size; *ret_got += got) {
		size_t n = size - *ret_got < piece ? size - *ret_got : piece;
		struct iovec iov = { bytes + *ret_got, n };

		for (f->owed += n; slow && f->owed >= piece; f->owed -= piece)
			testing_pause_ms(slow->at);
		if (!f->inner->ops->recv(f->inner, &iov, 1, &got, err))
			return false;
		flip(f, t, bytes + *ret_got, got);
		if (got < n) {
			*ret_got += got;
			return true;
		}
	}
	return true;
}

static bool faulty_recv(struct channel *c, struct iovec *iov, unsigned iovs, size_t *ret_got,
			struct mfd_error *err)
{
	struct faulty *f = (struct faulty *)c;
	const struct testing_fault *t = find_fault(f, false);

	*ret_got = 0;
	for (unsigned i = 0; i < iovs; i++) {
		size_t n = f->recv_dead ? 0 : before(t, f->received, iov[i].iov_len), got = 0;

		if (n && !recv_run(f, t, iov[i].iov_base, n, &got, err))
			return false;
		*ret_got += got;
		if (got < n)
			return true;
		if (n == iov[i].iov_len)
			continue;
		if (!f->recv_dead)
			fire(f, t);
		f->recv_dead = true;
		if (t->kind == TESTING_STALL)
			event_wait_fd(&f->shut, -1, 0, CLOCK_NEVER);
		return t->kind == TESTING_FIN || broken(err);
	}
	return true;
}

static void count_control(const struct faulty *f)
{
	if (f->id != TESTING_CONTROL)
		return;
	atomic_store(&f->faults->control_sent, f->sent);
	atomic_store(&f->faults->control_received, f->received);
}

static bool faulty_send_some(struct channel *c, const void *bytes, size_t size, size_t *ret_moved,
			     struct mfd_error *err)
{
	struct faulty *f = (struct faulty *)c;
	const struct testing_fault *t = find_fault(f, true);
	const size_t piece = piece_of(f);
	size_t n = f->send_dead ? 0 : before(t, f->sent, size);

	*ret_moved = size;
	if (f->hole)
		return true;
	if (n < size && !n) {
		if (!f->send_dead)
			fire(f, t);
		f->send_dead = true;
		f->hole = t->kind == TESTING_HOLE;
		*ret_moved = f->hole ? size : 0;
		return f->hole || t->kind == TESTING_STALL || broken(err);
	}
	if (!f->inner->ops->send_some(f->inner, bytes, n < piece ? n : piece, ret_moved, err))
		return false;
	f->sent += *ret_moved;
	count_control(f);
	return true;
}

static bool faulty_recv_some(struct channel *c, void *buffer, size_t size, size_t *ret_moved,
			     bool *ret_end, struct mfd_error *err)
{
	struct faulty *f = (struct faulty *)c;
	const struct testing_fault *t = find_fault(f, false);
	const size_t piece = piece_of(f);
	size_t n = f->recv_dead ? 0 : before(t, f->received, size);

	if (n < size && !n) {
		if (!f->recv_dead)
			fire(f, t);
		f->recv_dead = true;
		*ret_moved = 0;
		*ret_end = t->kind == TESTING_FIN;
		return t->kind != TESTING_RST || broken(err);
	}
	if (!f->inner->ops->recv_some(f->inner, buffer, n < piece ? n : piece, ret_moved, ret_end,
				      err))
		return false;
	flip(f, t, buffer, *ret_moved);
	count_control(f);
	return true;
}

static void faulty_shutdown(struct channel *c)
{
	struct faulty *f = (struct faulty *)c;

	event_raise(&f->shut);
	f->inner->ops->shutdown(f->inner);
}

/* poll(2) skips a negative descriptor: a stalled connection is never ready. */
static int faulty_fd(const struct channel *c)
{
	const struct faulty *f = (const struct faulty *)c;

	return f->recv_dead ? -1 : f->inner->ops->fd(f->inner);
}

static void faulty_free(struct channel *c)
{
	struct faulty *f = (struct faulty *)c;

	pthread_mutex_lock(&f->faults->lock);
	if (f->id < MFD_MAX_CHANNELS && f->faults->live[f->id] == c)
		f->faults->live[f->id] = NULL;
	pthread_mutex_unlock(&f->faults->lock);
	f->inner->ops->free(f->inner);
	event_destroy(&f->shut);
	free(f);
}

static const struct channel_ops faulty_ops = {
	.kind = "faulty",
	.send = faulty_send,
	.recv = faulty_recv,
	.send_some = faulty_send_some,
	.recv_some = faulty_recv_some,
	.shutdown = faulty_shutdown,
	.fd = faulty_fd,
	.free = faulty_free,
};

struct channel *testing_wrap(void *faults, uint32_t id, struct channel *inner)
{
	struct faulty *f = calloc(1, sizeof(*f));
	struct mfd_error err;

	if (!f || !event_init(&f->shut, &err))
		abort();
	f->channel.ops = &faulty_ops;
	f->inner = inner;
	f->faults = faults;
	f->id = id;
	if (f->faults->look)
		f->faults->look(f->faults->look_opaque, id, inner->ops->fd(inner));
	if (id >= MFD_MAX_CHANNELS)
		return &f->channel;
	pthread_mutex_lock(&f->faults->lock);
	f->ordinal = f->faults->made[id]++;
	f->faults->live[id] = &f->channel;
	pthread_mutex_unlock(&f->faults->lock);
	return &f->channel;
}

bool testing_kill(struct testing_faults *faults, uint32_t id, enum testing_fault_kind kind)
{
	struct faulty *f;

	pthread_mutex_lock(&faults->lock);
	f = (struct faulty *)faults->live[id];
	if (f && kind == TESTING_RST)
		reset(f->inner);
	else if (f)
		f->inner->ops->shutdown(f->inner);
	pthread_mutex_unlock(&faults->lock);
	return f;
}
