/* SPDX-License-Identifier: MIT */
/*
 * Opening a session: control connection, HELLO and WELCOME, then the data connections.  The main
 * thread does all of it; nothing else runs yet but, for the data connections, the control thread.
 */
#include "send/failover.h"

#include <string.h>

#include "base/clock.h"
#include "net/address.h"
#include "wire/wire.h"

bool send_open_connection(struct send_session *s, struct connect_target *target, uint32_t id,
			  const struct event *stop, uint64_t deadline_ns, bool retry,
			  struct channel **ret, struct mfd_error *err)
{
	struct channel *tcp;
	int fd;

	if (!connect_open(target, deadline_ns, stop, retry, &fd, err) ||
	    !channel_tcp_new(fd, &tcp, err))
		return false;
	*ret = s->params.wrap(s->params.wrap_opaque, id, tcp);
	return true;
}

static void fill_hello(const struct send_session *s, struct wire_hello *h)
{
	const struct source_info *info = &s->source->info;
	size_t name_bytes = strlen(info->name);

	*h = (struct wire_hello){
		.version_min = WIRE_VERSION, .version_max = WIRE_VERSION,
		.page_bytes = PAGE_BYTES,
		.packet_pages = s->params.packet_pages,
		.channels = s->params.channels,
		.methods = UINT32_C(1) << METHOD_NONE | UINT32_C(1) << s->params.method->id,
		.method = (uint16_t)s->params.method->id,
		.level = s->params.method->adaptive ? 0 : (int16_t)s->params.level,
		.flags = info->rounds ? WIRE_HELLO_ROUNDS : 0,
		.timeout_ms = (uint32_t)s->params.timeout_ms,
		.size = info->size, .allocated = info->allocated,
		.regions = 1,
		.delta = true,
		.ended = s->params.ended, .ended_size = s->params.ended_size,
		.ended_hash = s->params.ended_hash,
		.own_secret = s->params.replay,
	};
	if (h->own_secret)
		memcpy(h->secret, replay_secret(s->params.replay), sizeof(h->secret));
	if (name_bytes > WIRE_MAX_NAME)
		name_bytes = WIRE_MAX_NAME;
	h->region[0].size = info->size;
	h->region[0].name_bytes = (uint16_t)name_bytes;
	memcpy(h->region[0].name, info->name, name_bytes);
}

static bool accept_terms(struct send_session *s, const struct wire_welcome *w,
			 struct mfd_error *err)
{
	if (w->version != WIRE_VERSION)
		return error_set(err, MFD_PROTOCOL,
				 "the receiver chose protocol version %u, this sender speaks %d",
				 w->version, WIRE_VERSION);
	if (w->packet_pages < 1 || w->packet_pages > s->params.packet_pages)
		return error_set(err, MFD_PROTOCOL,
				 "the receiver wants packets of %u pages, offered were %u",
				 (unsigned)w->packet_pages, (unsigned)s->params.packet_pages);
	if (!(w->methods & (UINT32_C(1) << s->params.method->id)) ||
	    !(w->methods & (UINT32_C(1) << METHOD_NONE)))
		return error_set(err, MFD_PROTOCOL, "the receiver can't decode %s",
				 s->params.method->name);
	s->packet_pages = w->packet_pages;
	memcpy(s->token, w->token, sizeof(s->token));
	s->resumable = w->resume;
	s->told = w->basis;
	s->lists.pages = w->basis_pages;
	memcpy(s->lists.secret, w->secret, sizeof(s->lists.secret));
	control_begin(s->control, s->params.timeout_ms, w->timeout_ms);
	return true;
}

/* The receiver's answer to HELLO, or why there is none. */
static bool await_welcome(struct send_session *s, uint64_t deadline_ns, struct mfd_error *err)
{
	struct wire_message m;

	switch (control_wait(s->control, &s->verdict.attention, deadline_ns, &m, err)) {
	case CONTROL_MESSAGE:
		break;
	case CONTROL_ATTENTION:
		return error_set(err, MFD_TRY_AGAIN, "stopped");
	case CONTROL_DEADLINE:
		return error_set(err, MFD_TRY_AGAIN,
				 "%s: connected, but no answer: is that mfd-recv?", s->target.name);
	default:
		return error_wrap(err,
				  "%s: no answer to HELLO (not mfd-recv, or it does not --allow "
				  "us?)",
				  s->target.name);
	}
	if (m.type == WIRE_REFUSE || m.type == WIRE_ERROR) {
		control_remote_error(&m.problem, err);
		return false;
	}
	if (m.type == WIRE_COMMITTED && s->params.ended &&
	    m.committed.size == s->params.ended_size &&
	    m.committed.image_hash == s->params.ended_hash) {
		s->end = (struct wire_end){ .size = m.committed.size,
					    .image_hash = m.committed.image_hash };
		s->committed = true;
		return true;
	}
	if (m.type != WIRE_WELCOME)
		return error_set(err, MFD_PROTOCOL, "%s instead of WELCOME from the receiver",
				 wire_type_name(m.type));
	return accept_terms(s, &m.welcome, err);
}

bool send_open_control(struct send_session *s, struct mfd_error *err)
{
	const struct wire_preamble preamble = { .version = WIRE_VERSION,
						.role = WIRE_ROLE_CONTROL };
	const uint64_t deadline_ns = clock_deadline_ms(s->params.connect_timeout_ms);
	const struct event *stop = &s->verdict.attention; /* nobody else minds it yet */
	struct wire_message hello = { .type = WIRE_HELLO };
	uint8_t raw[WIRE_PREAMBLE_BYTES];
	struct address address;
	struct channel *channel;

	if (!address_parse(s->params.address, false, false, &address, err) ||
	    !connect_resolve(&address, s->params.family, deadline_ns, stop, &s->target, err) ||
	    !send_open_connection(s, &s->target, UINT32_MAX, stop, deadline_ns, true, &channel,
				  err) ||
	    !control_new(channel, &s->control, err))
		return false;
	wire_put_preamble(&preamble, raw);
	control_queue_bytes(s->control, raw, sizeof(raw));
	fill_hello(s, &hello.hello);
	if (!control_queue(s->control, &hello))
		return error_set(err, MFD_BUG, "no room for HELLO");
	if (await_welcome(s, clock_deadline_ms(s->params.timeout_ms), err))
		return true;
	/*
	 * An answer that is no use: with it the receiver's session has begun, and it wants to know
	 * how that ends.
	 */
	if (!err->remote && (err->status == MFD_DATA || err->status == MFD_PROTOCOL))
		control_tell(s->control, err);
	return false;
}

static bool introduce(const struct send_session *s, struct channel *channel,
		      struct wire_preamble *preamble, struct mfd_error *err)
{
	uint8_t raw[WIRE_PREAMBLE_BYTES];
	struct iovec iov = { raw, sizeof(raw) };

	memcpy(preamble->token, s->token, sizeof(preamble->token));
	wire_put_preamble(preamble, raw);
	return channel->ops->send(channel, &iov, 1, err);
}

bool send_open_preamble(struct send_thread *t, struct mfd_error *err)
{
	struct wire_preamble preamble = { .version = WIRE_VERSION, .role = WIRE_ROLE_DATA,
					  .channel = t->id, .generation = t->generation };

	return introduce(t->session, t->channel, &preamble, err);
}

/* That it connects is asked for; once connected it may be lost like any other. */
static bool open_one(struct send_session *s, struct send_thread *t, uint64_t deadline_ns,
		     struct mfd_error *err)
{
	struct channel *channel;
	struct mfd_error why;

	if (!send_open_connection(s, &s->target, t->id, &s->stop, deadline_ns, false, &channel,
				  err))
		return false;
	pthread_mutex_lock(&s->lock);
	t->channel = channel;
	pthread_mutex_unlock(&s->lock);
	if (!send_open_preamble(t, &why))
		send_failover_lost(t, &why);
	return true;
}

/*
 * The receiver has something to say about what it has.  That it connects is asked for; to lose it
 * later costs bytes only.
 */
static bool open_hashes(struct send_session *s, uint64_t deadline_ns, struct mfd_error *err)
{
	struct wire_preamble preamble = { .version = WIRE_VERSION, .role = WIRE_ROLE_HASHES,
					  .generation = 1 };
	struct channel *channel;
	struct mfd_error ignored;

	s->lists.timeout_ms = s->params.timeout_ms;
	s->lists.slots = s->params.channels * HANDOFF_SLOTS;
	s->lists.packet_pages = s->packet_pages;
	s->lists.stop = &s->stop;
	s->lists.producer = &s->producer;
	s->lists.bytes = &s->bytes_hashes;
	if (!send_open_connection(s, &s->target, CHANNEL_ID_HASHES, &s->stop, deadline_ns, false,
				  &channel, err))
		return false;
	if (introduce(s, channel, &preamble, &ignored))
		return match_start(&s->lists, channel, &s->match, err);
	channel->ops->free(channel);
	return true;
}

bool send_open_data(struct send_session *s, struct mfd_error *err)
{
	const uint64_t deadline_ns = clock_deadline_ms(s->params.connect_timeout_ms);

	/* Control needs no speed, and had to get through first. */
	s->target.congestion = s->params.congestion;
	for (unsigned i = 0; i < s->params.channels; i++) {
		if (open_one(s, &s->thread[i], deadline_ns, err))
			continue;
		/*
		 * Control came through a moment ago: that this one does not is a loss, and the peer
		 * may say why.
		 */
		if (err->status == MFD_UNAVAILABLE)
			err->status = MFD_TRY_AGAIN;
		return error_wrap(err, "channel %u", i);
	}
	if (s->told && !open_hashes(s, deadline_ns, err)) {
		if (err->status == MFD_UNAVAILABLE)
			err->status = MFD_TRY_AGAIN;
		return error_wrap(err, "hash lists");
	}
	return true;
}
