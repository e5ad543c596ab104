/* SPDX-License-Identifier: MIT */
/*
 * The control connection: see control.h.
 */
#include "net/control.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define CONTROL_MAX_BEAT_NS CLOCK_NS_PER_S

bool control_new(struct channel *channel, struct control **ret, struct mfd_error *err)
{
	struct control *c = malloc(sizeof(*c));

	if (!c) {
		channel->ops->free(channel);
		return error_set(err, MFD_OS, "out of memory");
	}
	c->channel = channel;
	c->silence_ns = CLOCK_NEVER;
	c->beat_ns = CLOCK_NEVER;
	c->heard_ns = clock_ns();
	c->next_beat_ns = CLOCK_NEVER;
	c->in_used = 0;
	c->out_used = 0;
	*ret = c;
	return true;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	c->channel->ops->free(c->channel);
	free(c);
}

void control_begin(struct control *c, uint64_t timeout_ms, uint64_t peer_timeout_ms)
{
	c->silence_ns = timeout_ms * CLOCK_NS_PER_MS;
	c->beat_ns = peer_timeout_ms * CLOCK_NS_PER_MS / 4;
	if (c->beat_ns > CONTROL_MAX_BEAT_NS)
		c->beat_ns = CONTROL_MAX_BEAT_NS;
	c->heard_ns = clock_ns();
	c->next_beat_ns = c->heard_ns + c->beat_ns;
}

bool control_has_room(const struct control *c)
{
	/* One more frame stays free for what may not be left out. */
	return CONTROL_OUT_BYTES - c->out_used >= 2 * WIRE_MAX_FRAME;
}

bool control_queue(struct control *c, const struct wire_message *m)
{
	uint8_t frame[WIRE_MAX_FRAME];
	size_t size = wire_put_message(m, frame);

	if (size > CONTROL_OUT_BYTES - c->out_used)
		return false;
	memcpy(c->out + c->out_used, frame, size);
	c->out_used += size;
	if (c->beat_ns != CLOCK_NEVER)
		c->next_beat_ns = clock_ns() + c->beat_ns;
	return true;
}

void control_queue_bytes(struct control *c, const void *bytes, size_t size)
{
	if (size > CONTROL_OUT_BYTES - c->out_used)
		abort(); /* only the preamble, into an empty queue */
	memcpy(c->out + c->out_used, bytes, size);
	c->out_used += size;
}

/* Send what the socket takes now. */
static bool control_push(struct control *c, struct mfd_error *err)
{
	size_t moved;

	if (!c->out_used)
		return true;
	if (!c->channel->ops->send_some(c->channel, c->out, c->out_used, &moved, err))
		return false;
	c->out_used -= moved;
	memmove(c->out, c->out + moved, c->out_used);
	return true;
}

/* A message that is here already. */
static bool control_take(struct control *c, struct wire_message *ret, bool *ret_have,
			 struct mfd_error *err)
{
	size_t used;

	*ret_have = false;
	if (!wire_get_message(c->in, c->in_used, ret, &used, err))
		return false;
	if (used) {
		c->in_used -= used;
		memmove(c->in, c->in + used, c->in_used);
		/*
		 * Whole messages count: a damaged length would else feed on heartbeats for minutes.
		 */
		c->heard_ns = clock_ns();
		*ret_have = true;
	}
	return true;
}

/* Take in what has arrived; *ret_any: there was something. */
static bool control_pull(struct control *c, bool *ret_any, struct mfd_error *err)
{
	size_t moved;
	bool end;

	*ret_any = false;
	if (!c->channel->ops->recv_some(c->channel, c->in + c->in_used, sizeof(c->in) - c->in_used,
					&moved, &end, err))
		return false;
	if (end) {
		if (c->in_used)
			return error_set(err, MFD_TRY_AGAIN,
					 "connection closed in the middle of a message");
		return error_set(err, MFD_TRY_AGAIN, "connection closed by the peer");
	}
	if (moved) {
		c->in_used += moved;
		*ret_any = true;
	}
	return true;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t control_silent_at(const struct control *c)
{
	return c->silence_ns == CLOCK_NEVER ? CLOCK_NEVER : c->heard_ns + c->silence_ns;
}

/* Wait until something can be sent, received or has come due; true if @attention is raised. */
static bool control_poll(struct control *c, const struct event *attention, uint64_t deadline_ns)
{
	struct pollfd p[2] = {
		{ .fd = c->channel->ops->fd(c->channel),
		  .events = POLLIN | (c->out_used ? POLLOUT : 0) },
		{ .fd = attention ? attention->fd : -1, .events = POLLIN },
	};
	uint64_t until = earliest(deadline_ns, earliest(c->next_beat_ns, control_silent_at(c)));

	return poll(p, 2, clock_poll_ms(until)) > 0 && p[1].revents;
}

enum control_event control_wait(struct control *c, const struct event *attention,
				uint64_t deadline_ns, struct wire_message *ret,
				struct mfd_error *err)
{
	for (;;) {
		bool have, any, raised;
		uint64_t now;

		if (!control_take(c, ret, &have, err))
			return CONTROL_LOST;
		if (have)
			return CONTROL_MESSAGE;
		if (!control_pull(c, &any, err))
			return CONTROL_LOST;
		if (any)
			continue;
		if (!control_push(c, err)) {
			struct mfd_error ignored;

			/*
			 * What the peer said last is read even when nothing can be sent to it any
			 * more.
			 */
			if (control_pull(c, &any, &ignored) && any)
				continue;
			return CONTROL_LOST;
		}

		now = clock_ns();
		if (now >= control_silent_at(c)) {
			error_set(err, MFD_TRY_AGAIN, "no sign of life from the peer for %.1f s",
				  (double)c->silence_ns / 1e9);
			return CONTROL_LOST;
		}
		if (now >= c->next_beat_ns) {
			c->next_beat_ns = now + c->beat_ns;
			return CONTROL_BEAT;
		}
		if (now >= deadline_ns)
			return CONTROL_DEADLINE;
		raised = control_poll(c, attention, deadline_ns);
		if (raised)
			return CONTROL_ATTENTION;
	}
}

bool control_flush(struct control *c, uint64_t deadline_ns)
{
	struct mfd_error ignored;

	while (c->out_used) {
		struct pollfd p = { .fd = c->channel->ops->fd(c->channel), .events = POLLOUT };

		if (!control_push(c, &ignored))
			return false;
		if (!c->out_used)
			break;
		if (clock_ns() >= deadline_ns)
			return false;
		if (poll(&p, 1, clock_poll_ms(deadline_ns)) < 0)
			continue;
	}
	return true;
}

void control_linger(struct control *c, uint64_t deadline_ns)
{
	struct mfd_error ignored;
	bool any;

	while (clock_ns() < deadline_ns) {
		struct pollfd p = { .fd = c->channel->ops->fd(c->channel), .events = POLLIN };

		c->in_used = 0;
		if (!control_pull(c, &any, &ignored))
			return;
		if (!any && poll(&p, 1, clock_poll_ms(deadline_ns)) < 0)
			continue;
	}
}

void control_tell(struct control *c, const struct mfd_error *error)
{
	const uint64_t deadline = clock_ns() + CONTROL_TELL_MS * CLOCK_NS_PER_MS;
	struct wire_message m = { .type = WIRE_ERROR };

	m.problem.status = (uint16_t)error->status;
	snprintf(m.problem.text, sizeof(m.problem.text), "%s", error->text);
	if (control_queue(c, &m) && control_flush(c, deadline))
		control_linger(c, deadline);
}

void control_remote_error(const struct wire_problem *problem, struct mfd_error *err)
{
	error_set(err, error_status_from_wire(problem->status), "%s", problem->text);
	err->remote = true;
}
