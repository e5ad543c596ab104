/* SPDX-License-Identifier: MIT */
/*
 * The stage: see stage.h.  Before a session begins the main thread plays the script, from the
 * lobby; after that the control thread does, from its receive call, which it makes over and over
 * because its descriptor is always ready.
 */
#include "stage.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fuzz.h"

struct memory_channel {
	struct channel base;
	struct stage *stage;
	struct stage_connection *c;
	int ready;                   /* an eventfd that always is */
};

void stage_init(struct stage *s)
{
	struct mfd_error err;

	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	FUZZ_CHECK(event_init(&s->guests, &err));
}

void stage_destroy(struct stage *s)
{
	for (unsigned i = 0; i < STAGE_CONNECTIONS; i++) {
		control_free(s->connection[i].control);
		free(s->connection[i].bytes);
	}
	event_destroy(&s->guests);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
}

const struct address_range *stage_as_rules(struct stage *s)
{
	return (const struct address_range *)s;
}

/* ---- The script. ---- */

static bool raised(const struct event *e)
{
	struct pollfd p = { .fd = e->fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* The next record; false at the end of the script. */
static bool play_locked(struct stage *s)
{
	const struct stage_record *r = &s->record[s->next];
	struct stage_connection *c;

	if (s->next == s->records)
		return false;
	s->next++;
	c = &s->connection[r->connection];
	c->played += r->bytes;
	c->ended |= !r->bytes;
	pthread_cond_broadcast(&s->changed);
	event_raise(&s->guests);
	return true;
}

/*
 * Has the session nothing left to do but to wait for its peers?  Control thread, which is in its
 * receive call.
 */
static bool quiet_locked(const struct stage *s)
{
	if (raised(&s->session->verdict.attention))
		return false;
	if (s->lobby_closed || !s->lobby_waits || raised(&s->guests) || raised(s->lobby_event))
		return false;
	for (unsigned i = 0; i < STAGE_CONNECTIONS; i++) {
		const struct stage_connection *c = &s->connection[i];

		if (c->introduced && !c->gone &&
		    !(c->waiting && c->taken == c->played && !c->ended && !c->shut))
			return false;
	}
	return true;
}

/* ---- Channels. ---- */

static size_t take_locked(struct stage_connection *c, void *buffer, size_t size)
{
	const size_t n = size < c->played - c->taken ? size : c->played - c->taken;

	memcpy(buffer, c->bytes + c->taken, n);
	c->taken += n;
	return n;
}

static bool memory_send(struct channel *channel, struct iovec *iov, unsigned iovs,
			struct mfd_error *err)
{
	(void)channel;
	(void)iov;
	(void)iovs;
	(void)err;
	return true;
}

/* Wait until there is more; false at the end of the stream. */
static bool more_locked(struct stage *s, struct stage_connection *c)
{
	while (c->taken == c->played && !c->ended && !c->shut) {
		c->waiting = true;
		pthread_cond_wait(&s->changed, &s->lock);
		c->waiting = false;
	}
	c->gone = c->taken == c->played;
	return !c->gone;
}

static bool memory_recv(struct channel *channel, struct iovec *iov, unsigned iovs, size_t *ret_got,
			struct mfd_error *err)
{
	struct memory_channel *m = (struct memory_channel *)channel;
	bool more = true;

	(void)err;
	*ret_got = 0;
	pthread_mutex_lock(&m->stage->lock);
	for (unsigned i = 0; i < iovs && more; i++) {
		size_t done = 0;

		while (done < iov[i].iov_len && (more = more_locked(m->stage, m->c)))
			done += take_locked(m->c, (uint8_t *)iov[i].iov_base + done,
					    iov[i].iov_len - done);
		*ret_got += done;
	}
	pthread_mutex_unlock(&m->stage->lock);
	return true;
}

/* Of a frame that goes out: is it our last word? */
static bool last_word(const uint8_t *frame)
{
	const unsigned type = (unsigned)frame[0] << 8 | frame[1];

	return type == WIRE_REFUSE || type == WIRE_COMMITTED || type == WIRE_ERROR;
}

static bool memory_send_some(struct channel *channel, const void *bytes, size_t size,
			     size_t *ret_moved, struct mfd_error *err)
{
	struct memory_channel *m = (struct memory_channel *)channel;
	const uint8_t *frame = bytes, *end = frame + size;

	(void)err;
	pthread_mutex_lock(&m->stage->lock);
	while (frame < end) {
		const size_t body = (size_t)frame[4] << 24 | (size_t)frame[5] << 16 |
				    (size_t)frame[6] << 8 | frame[7];
		struct wire_message said;
		struct mfd_error bad;
		size_t used = 0;

		FUZZ_CHECK(wire_get_message(frame, (size_t)(end - frame), &said, &used, &bad));
		FUZZ_CHECK(used == WIRE_FRAME_HEAD_BYTES + body + WIRE_FRAME_TAIL_BYTES);
		m->c->told |= last_word(frame);
		frame += used;
	}
	pthread_mutex_unlock(&m->stage->lock);
	*ret_moved = size;
	return true;
}

static bool memory_recv_some(struct channel *channel, void *buffer, size_t size, size_t *ret_moved,
			     bool *ret_end, struct mfd_error *err)
{
	struct memory_channel *m = (struct memory_channel *)channel;
	const struct recv_session *session = m->stage->session;
	const bool plays = session->control && session->control->channel == channel;
	struct stage_connection *c = m->c;

	(void)err;
	pthread_mutex_lock(&m->stage->lock);
	*ret_moved = take_locked(c, buffer, size);
	*ret_end = !*ret_moved && (c->ended || c->shut || c->told);
	if (plays && !*ret_moved && !*ret_end && quiet_locked(m->stage)) {
		/* After the script the peer is gone. */
		*ret_end = !play_locked(m->stage);
		*ret_moved = take_locked(c, buffer, size);
	}
	pthread_mutex_unlock(&m->stage->lock);
	if (plays && !*ret_moved && !*ret_end)
		sched_yield();
	return true;
}

static void memory_shutdown(struct channel *channel)
{
	struct memory_channel *m = (struct memory_channel *)channel;

	pthread_mutex_lock(&m->stage->lock);
	m->c->shut = true;
	pthread_cond_broadcast(&m->stage->changed);
	pthread_mutex_unlock(&m->stage->lock);
}

static int memory_fd(const struct channel *channel)
{
	return ((const struct memory_channel *)channel)->ready;
}

static void memory_free(struct channel *channel)
{
	struct memory_channel *m = (struct memory_channel *)channel;

	pthread_mutex_lock(&m->stage->lock);
	m->c->gone = true;
	pthread_mutex_unlock(&m->stage->lock);
	close(m->ready);
	free(m);
}

static const struct channel_ops memory_ops = {
	.kind = "memory",
	.send = memory_send,
	.recv = memory_recv,
	.send_some = memory_send_some,
	.recv_some = memory_recv_some,
	.shutdown = memory_shutdown,
	.fd = memory_fd,
	.free = memory_free,
};

static struct channel *memory_new(struct stage *s, struct stage_connection *c)
{
	struct memory_channel *m = fuzz_alloc(sizeof(*m));

	m->base.ops = &memory_ops;
	m->stage = s;
	m->c = c;
	m->ready = eventfd(1, EFD_CLOEXEC);
	FUZZ_CHECK(m->ready >= 0);
	return &m->base;
}

/* ---- The lobby. ---- */

struct lobby {
	struct stage *stage;
};

bool lobby_new(const struct listener *listener, const struct lobby_rules *rules, struct lobby **ret,
	       struct mfd_error *err)
{
	struct lobby *l = fuzz_alloc(sizeof(*l));

	(void)listener;
	(void)err;
	l->stage = (struct stage *)(uintptr_t)rules->allow;
	*ret = l;
	return true;
}

/* Nobody reads what would be said. */
void lobby_turn_away(struct lobby *l, const struct mfd_error *why)
{
	(void)l;
	(void)why;
}

void lobby_free(struct lobby *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->stage->lock);
	l->stage->lobby_closed = true;
	pthread_mutex_unlock(&l->stage->lock);
	free(l);
}

/* The first bytes of a connection, as the receiver has to find them. */
static void read_preamble(struct stage *s, struct stage_connection *c,
			  uint8_t raw[static WIRE_PREAMBLE_BYTES])
{
	memcpy(raw, c->bytes, WIRE_PREAMBLE_BYTES);
	if (!s->repair)
		return;
	if (raw[10] != WIRE_ROLE_CONTROL)
		memcpy(raw + 24, s->session->token, WIRE_TOKEN_BYTES);
	fuzz_seal(raw, WIRE_PREAMBLE_BYTES - 8);
}

/* What the connection of a sender that wants a session has said by now.  True: *ret_event. */
static bool hear_hello(struct stage_connection *c, struct lobby_guest *ret,
		       enum lobby_event *ret_event, struct mfd_error *err)
{
	struct wire_message m;

	switch (control_wait(c->control, NULL, 0, &m, err)) {
	case CONTROL_MESSAGE:
		break;
	case CONTROL_LOST:
		*ret_event = LOBBY_DROPPED;
		control_free(c->control);
		c->control = NULL;
		return true;
	default:
		return false;
	}
	*ret_event = m.type == WIRE_HELLO ? LOBBY_GUEST : LOBBY_DROPPED;
	if (m.type == WIRE_HELLO) {
		ret->hello = m.hello;
		ret->control = c->control;
	} else {
		error_set(err, MFD_PROTOCOL, "%s instead of HELLO", wire_type_name(m.type));
		control_free(c->control);
	}
	c->control = NULL;
	return true;
}

/* True: *ret_event.  Takes the lock only for what other threads look at. */
static bool hear(struct stage *s, struct stage_connection *c, struct lobby_guest *ret,
		 enum lobby_event *ret_event, struct mfd_error *err)
{
	uint8_t raw[WIRE_PREAMBLE_BYTES];

	if (c->control)
		return hear_hello(c, ret, ret_event, err);
	if (c->introduced || c->played < WIRE_PREAMBLE_BYTES)
		return false;
	read_preamble(s, c, raw);
	pthread_mutex_lock(&s->lock);
	c->taken = WIRE_PREAMBLE_BYTES;
	c->introduced = true;
	pthread_mutex_unlock(&s->lock);
	*ret_event = LOBBY_GUEST;
	if (!wire_get_preamble(raw, &ret->preamble, err)) {
		pthread_mutex_lock(&s->lock);
		c->gone = true;
		pthread_mutex_unlock(&s->lock);
		*ret_event = LOBBY_DROPPED;
		return true;
	}
	if (ret->preamble.role != WIRE_ROLE_CONTROL) {
		ret->channel = memory_new(s, c);
		return true;
	}
	pthread_mutex_lock(&s->lock);
	c->gone = true; /* nobody waits in recv here */
	pthread_mutex_unlock(&s->lock);
	FUZZ_CHECK(control_new(memory_new(s, c), &c->control, err));
	return hear_hello(c, ret, ret_event, err);
}

/*
 * Nobody plays but us as long as there is no session; afterwards the control thread does, and we
 * wait for it.
 */
static bool lobby_idle(struct stage *s, const struct event *event)
{
	struct pollfd p[2] = { { .fd = event->fd, .events = POLLIN },
			       { .fd = s->guests.fd, .events = POLLIN } };
	bool more = true;

	pthread_mutex_lock(&s->lock);
	if (!s->session->control)
		more = play_locked(s);
	s->lobby_waits = true;
	s->lobby_event = event;
	pthread_mutex_unlock(&s->lock);
	if (more)
		poll(p, 2, -1);
	pthread_mutex_lock(&s->lock);
	s->lobby_waits = false;
	if (p[1].revents)
		event_clear(&s->guests);
	pthread_mutex_unlock(&s->lock);
	return more;
}

enum lobby_event lobby_wait(struct lobby *l, const struct event *event, uint64_t deadline_ns,
			    struct lobby_guest *ret, struct mfd_error *err)
{
	struct stage *s = l->stage;
	enum lobby_event what;

	(void)deadline_ns;
	memset(ret, 0, sizeof(*ret));
	for (;;) {
		if (raised(event))
			return LOBBY_EVENT;
		for (unsigned i = 0; i < STAGE_CONNECTIONS; i++) {
			if (hear(s, &s->connection[i], ret, &what, err))
				return what;
		}
		if (!lobby_idle(s, event))
			return LOBBY_DEADLINE;
	}
}
