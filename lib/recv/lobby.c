/* SPDX-License-Identifier: MIT */
/*
 * The lobby: see lobby.h.
 */
#include "recv/lobby.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* When the process is out of descriptors, accepting is tried again after this long. */
#define ACCEPT_PAUSE_MS 100

struct stranger {
	struct channel *channel;     /* NULL: the seat is free, or it has gone on to `control` */
	struct control *control;     /* has sent a preamble for control; HELLO is to come */
	uint64_t deadline_ns;
	size_t used;
	uint8_t raw[WIRE_PREAMBLE_BYTES];
	struct wire_preamble preamble;
	char who[ADDRESS_TEXT];
};

struct lobby {
	const struct listener *listener;
	const struct lobby_rules *rules;
	uint64_t accept_again_ns;    /* 0: accepting works */
	struct stranger seat[LOBBY_SEATS];
};

bool lobby_new(const struct listener *listener, const struct lobby_rules *rules, struct lobby **ret,
	       struct mfd_error *err)
{
	struct lobby *l = calloc(1, sizeof(*l));

	if (!l)
		return error_set(err, MFD_OS, "out of memory");
	l->listener = listener;
	l->rules = rules;
	*ret = l;
	return true;
}

static bool taken(const struct stranger *g)
{
	return g->channel || g->control;
}

static void leave(struct stranger *g)
{
	if (g->channel)
		g->channel->ops->free(g->channel);
	control_free(g->control);
	memset(g, 0, sizeof(*g));
}

void lobby_free(struct lobby *l)
{
	if (!l)
		return;
	for (unsigned i = 0; i < LOBBY_SEATS; i++)
		leave(&l->seat[i]);
	free(l);
}

/* @g goes, for the reason in *err. */
static enum lobby_event drop(struct stranger *g, struct lobby_guest *ret)
{
	memcpy(ret->who, g->who, sizeof(ret->who));
	leave(g);
	return LOBBY_DROPPED;
}

static bool welcome_here(const struct lobby_rules *rules, const struct sockaddr *peer)
{
	for (size_t i = 0; i < rules->allow_count; i++) {
		if (address_range_holds(&rules->allow[i], peer))
			return true;
	}
	return !rules->allow_count;
}

/* A free seat; if there is none, that of whoever has waited longest. */
static struct stranger *find_seat(struct lobby *l)
{
	struct stranger *oldest = &l->seat[0];

	for (unsigned i = 0; i < LOBBY_SEATS; i++) {
		if (!taken(&l->seat[i]))
			return &l->seat[i];
		if (l->seat[i].deadline_ns < oldest->deadline_ns)
			oldest = &l->seat[i];
	}
	leave(oldest);
	return oldest;
}

/* Someone knocks at @fd.  True when there is something to say: *ret_event. */
static bool let_in(struct lobby *l, int listening, struct lobby_guest *ret,
		   enum lobby_event *ret_event, struct mfd_error *err)
{
	struct sockaddr_storage peer;
	struct stranger *g;
	int fd;

	switch (listen_accept(listening, &fd, &peer)) {
	case LISTEN_NOBODY:
		return false;
	case LISTEN_LATER:
		l->accept_again_ns = clock_ns() + ACCEPT_PAUSE_MS * CLOCK_NS_PER_MS;
		return false;
	case LISTEN_ACCEPTED:
		break;
	}
	*ret_event = LOBBY_DROPPED;
	address_print((struct sockaddr *)&peer, ret->who);
	if (!welcome_here(l->rules, (struct sockaddr *)&peer)) {
		close(fd);
		error_set(err, MFD_NO_PERMISSION, "not in --allow");
		return true;
	}
	g = find_seat(l);
	if (!channel_tcp_new(fd, &g->channel, err))
		return true;
	memcpy(g->who, ret->who, sizeof(g->who));
	g->deadline_ns = clock_deadline_ms(LOBBY_PATIENCE_MS);
	return false;
}

/* The preamble is whole: data connections may go in, control has HELLO to say first. */
static bool introduce(struct stranger *g, struct lobby_guest *ret, enum lobby_event *ret_event,
		      struct mfd_error *err)
{
	*ret_event = LOBBY_GUEST;
	if (!wire_get_preamble(g->raw, &g->preamble, err)) {
		*ret_event = drop(g, ret);
		return true;
	}
	if (g->preamble.role == WIRE_ROLE_CONTROL) {
		struct channel *channel = g->channel;

		g->channel = NULL;
		if (control_new(channel, &g->control, err))
			return false;
		*ret_event = drop(g, ret);
		return true;
	}
	*ret = (struct lobby_guest){ .preamble = g->preamble, .channel = g->channel };
	memcpy(ret->who, g->who, sizeof(ret->who));
	g->channel = NULL;
	leave(g);
	return true;
}

/*
 * Not a byte more than the preamble is read: what follows on a data connection is for its thread.
 */
static bool hear_preamble(struct stranger *g, struct lobby_guest *ret, enum lobby_event *ret_event,
			  struct mfd_error *err)
{
	size_t moved;
	bool end;

	if (!g->channel->ops->recv_some(g->channel, g->raw + g->used, sizeof(g->raw) - g->used,
					&moved, &end, err)) {
		*ret_event = drop(g, ret);
		return true;
	}
	if (end) {
		error_set(err, MFD_PROTOCOL, "closed after %zu of %d bytes", g->used,
			  WIRE_PREAMBLE_BYTES);
		*ret_event = drop(g, ret);
		return true;
	}
	g->used += moved;
	return g->used == sizeof(g->raw) && introduce(g, ret, ret_event, err);
}

static bool hear_hello(struct stranger *g, struct lobby_guest *ret, enum lobby_event *ret_event,
		       struct mfd_error *err)
{
	struct wire_message m;

	switch (control_wait(g->control, NULL, 0, &m, err)) {
	case CONTROL_MESSAGE:
		break;
	case CONTROL_LOST:
		*ret_event = drop(g, ret);
		return true;
	default:
		return false;
	}
	if (m.type != WIRE_HELLO) {
		error_set(err, MFD_PROTOCOL, "%s instead of HELLO", wire_type_name(m.type));
		*ret_event = drop(g, ret);
		return true;
	}
	*ret = (struct lobby_guest){ .preamble = g->preamble,
				     .hello = m.hello,
				     .control = g->control };
	memcpy(ret->who, g->who, sizeof(ret->who));
	g->control = NULL;
	leave(g);
	*ret_event = LOBBY_GUEST;
	return true;
}

static bool hear(struct stranger *g, struct lobby_guest *ret, enum lobby_event *ret_event,
		 struct mfd_error *err)
{
	return g->control ? hear_hello(g, ret, ret_event, err)
			  : hear_preamble(g, ret, ret_event, err);
}

/* REFUSE for one that came for control; what it has sent is read first. */
static void turn_away(struct stranger *g, const struct mfd_error *why)
{
	struct wire_message m = { .type = WIRE_REFUSE };
	struct lobby_guest guest = { 0 };
	struct mfd_error ignored;
	enum lobby_event what;

	if (g->channel)
		(void)hear_preamble(g, &guest, &what, &ignored);
	if (g->control)
		(void)hear_hello(g, &guest, &what, &ignored);
	if (g->control)
		guest.control = g->control;
	g->control = NULL;
	m.problem.status = (uint16_t)why->status;
	snprintf(m.problem.text, sizeof(m.problem.text), "%s", why->text);
	/* A few bytes always fit the socket's buffer. */
	if (guest.control && control_queue(guest.control, &m))
		control_flush(guest.control, 0);
	control_free(guest.control);
	if (guest.channel)
		guest.channel->ops->free(guest.channel);
	leave(g);
}

void lobby_turn_away(struct lobby *l, const struct mfd_error *why)
{
	for (unsigned i = 0; i < LOBBY_SEATS; i++) {
		if (taken(&l->seat[i]))
			turn_away(&l->seat[i], why);
	}
}

/* Who has been silent for too long. */
static bool show_out(struct lobby *l, struct lobby_guest *ret, struct mfd_error *err)
{
	const uint64_t now = clock_ns();

	for (unsigned i = 0; i < LOBBY_SEATS; i++) {
		if (!taken(&l->seat[i]) || now < l->seat[i].deadline_ns)
			continue;
		error_set(err, MFD_PROTOCOL, "did not say who it is within %d s",
			  LOBBY_PATIENCE_MS / 1000);
		drop(&l->seat[i], ret);
		return true;
	}
	return false;
}

/* The next thing that comes due by itself. */
static uint64_t next_deadline(const struct lobby *l, uint64_t deadline_ns)
{
	if (l->accept_again_ns && l->accept_again_ns < deadline_ns)
		deadline_ns = l->accept_again_ns;
	for (unsigned i = 0; i < LOBBY_SEATS; i++) {
		if (taken(&l->seat[i]) && l->seat[i].deadline_ns < deadline_ns)
			deadline_ns = l->seat[i].deadline_ns;
	}
	return deadline_ns;
}

#define LISTENERS 2
#define POLLED (1 + LISTENERS + LOBBY_SEATS)

/*
 * How many of @p are in use: up to the last seat taken.  poll(2) counts them against the limit of
 * open descriptors, which a shell may have set below POLLED; as many as were ever open at once
 * always pass.
 */
static nfds_t fill_poll(struct lobby *l, const struct event *event, struct pollfd p[static POLLED])
{
	const bool pausing = l->accept_again_ns && clock_ns() < l->accept_again_ns;
	nfds_t used = 1 + LISTENERS;

	if (!pausing)
		l->accept_again_ns = 0;
	p[0] = (struct pollfd){ .fd = event->fd, .events = POLLIN };
	for (unsigned i = 0; i < LISTENERS; i++)
		p[1 + i] = (struct pollfd){ .fd = i < l->listener->count && !pausing
							  ? l->listener->fd[i]
							  : -1,
					    .events = POLLIN };
	for (unsigned i = 0; i < LOBBY_SEATS; i++) {
		const struct stranger *g = &l->seat[i];
		const struct channel *c = g->control ? g->control->channel : g->channel;

		p[1 + LISTENERS + i] = (struct pollfd){ .fd = c ? c->ops->fd(c) : -1,
							.events = POLLIN };
		if (c)
			used = 1 + LISTENERS + i + 1;
	}
	return used;
}

enum lobby_event lobby_wait(struct lobby *l, const struct event *event, uint64_t deadline_ns,
			    struct lobby_guest *ret, struct mfd_error *err)
{
	struct pollfd p[POLLED];
	enum lobby_event what;
	nfds_t used;

	memset(ret, 0, sizeof(*ret));
	for (;;) {
		used = fill_poll(l, event, p);
		if (poll(p, used, clock_poll_ms(next_deadline(l, deadline_ns))) < 0)
			continue;
		if (p[0].revents)
			return LOBBY_EVENT;
		for (unsigned i = 0; i < LOBBY_SEATS; i++) {
			if (p[1 + LISTENERS + i].revents && hear(&l->seat[i], ret, &what, err))
				return what;
		}
		for (unsigned i = 0; i < LISTENERS; i++) {
			if (p[1 + i].revents && let_in(l, p[1 + i].fd, ret, &what, err))
				return what;
		}
		if (show_out(l, ret, err))
			return LOBBY_DROPPED;
		if (clock_ns() >= deadline_ns)
			return LOBBY_DEADLINE;
	}
}
