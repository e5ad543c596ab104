/* SPDX-License-Identifier: MIT */
/*
 * Data connections come and go: attached to their channel, fenced when the peer has given one up,
 * and all ended with the session.  The main thread does all of it; a channel's thread never
 * outlives its connection, so joining it is the fence: what it had is written then, and nothing
 * more of it ever will be.
 */
#include "recv/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/*
 * The last generation that has come in or was given up before it did; only a newer one is of use.
 */
static uint32_t newest_generation(struct recv_thread *t)
{
	uint32_t r;

	pthread_mutex_lock(&t->session->lock);
	r = t->generation > t->fence.generation ? t->generation : t->fence.generation;
	r = r > t->fence_wanted ? r : t->fence_wanted;
	pthread_mutex_unlock(&t->session->lock);
	return r;
}

static bool check_token(const struct recv_session *s, const struct wire_preamble *p,
			struct mfd_error *err)
{
	uint8_t differs = 0;

	/* Without an early exit, so that timing tells nothing about the token. */
	for (unsigned i = 0; i < WIRE_TOKEN_BYTES; i++)
		differs |= p->token[i] ^ s->token[i];
	if (!s->control || differs)
		return error_set(err, MFD_PROTOCOL, "wrong token");
	return true;
}

/* What a data connection's preamble has to say; anything else makes it a stranger. */
static bool check_preamble(const struct recv_session *s, const struct wire_preamble *p,
			   struct mfd_error *err)
{
	if (!check_token(s, p, err))
		return false;
	if (p->channel >= s->hello.channels)
		return error_set(err, MFD_PROTOCOL, "channel %u of %u", (unsigned)p->channel,
				 (unsigned)s->hello.channels);
	if (p->generation <= newest_generation(&s->thread[p->channel]))
		return error_set(err, MFD_PROTOCOL,
				 "channel %u, generation %u: there is one already",
				 (unsigned)p->channel, (unsigned)p->generation);
	return true;
}

/* Buffers and decoders, once per channel. */
static bool equip(struct recv_thread *t, struct mfd_error *err)
{
	const size_t bytes = (size_t)t->session->hello.packet_pages * PAGE_BYTES;

	if (t->pages)
		return true;
	for (unsigned i = 0; method_at(i); i++) {
		const struct method_ops *ops = method_at(i);

		if ((t->session->hello.methods & (UINT32_C(1) << ops->id)) && !t->method[ops->id] &&
		    !ops->new_receiver(&t->method[ops->id], err))
			return false;
	}
	t->coded = malloc(bytes);
	t->pages = aligned_alloc(PAGE_BYTES, bytes);
	if (t->session->told)
		t->kept = aligned_alloc(PAGE_BYTES, bytes);
	if (!t->coded || !t->pages || (t->session->told && !t->kept))
		return error_set(err, MFD_OS, "channel %u: out of memory", (unsigned)t->id);
	return true;
}

/* End the connection and its thread, if there is one. */
static void detach(struct recv_thread *t)
{
	struct recv_session *s = t->session;

	if (!t->channel)
		return;
	pthread_mutex_lock(&s->lock);
	t->down = t->told = true;
	pthread_mutex_unlock(&s->lock);
	if (t->running) {
		t->channel->ops->shutdown(t->channel);
		pthread_join(t->thread, NULL);
		t->running = false;
	}
	t->channel->ops->free(t->channel);
	t->channel = NULL;
}

bool recv_gone_locked(const struct recv_thread *t)
{
	return t->fence.generation && t->fence.generation >= t->generation;
}

static void notice_lost(const struct recv_thread *t, bool by_itself)
{
	char text[MFD_ERROR_TEXT + 32];

	snprintf(text, sizeof(text), "channel %" PRIu32 ": %s", t->id,
		 by_itself ? t->why.text : "given up by the sender");
	recv_notice(t->session, MFD_NOTICE_CHANNEL, 0, text);
}

static void notice_open(const struct recv_thread *t)
{
	char text[64];

	snprintf(text, sizeof(text), "channel %" PRIu32 ": open again, generation %" PRIu32, t->id,
		 t->generation);
	if (t->fence.generation)
		recv_notice(t->session, MFD_NOTICE_CHANNEL, 0, text);
}

/*
 * End the connections up to @generation, one that has not come in yet too, and leave the answer for
 * the control thread.
 */
static void fence(struct recv_thread *t, uint32_t generation)
{
	struct recv_session *s = t->session;
	const bool ours = generation == t->generation;
	bool by_itself;

	pthread_mutex_lock(&s->lock);
	by_itself = t->down && ours;
	pthread_mutex_unlock(&s->lock);
	detach(t);
	notice_lost(t, by_itself);
	counter_add(&s->failovers, 1);
	pthread_mutex_lock(&s->lock);
	/*
	 * What it has written in this round counts, with or without a SYNC behind it, and is not
	 * sent again.
	 */
	totals_add(&t->round_totals, &t->totals);
	memset(&t->totals, 0, sizeof(t->totals));
	t->fence = (struct wire_fence){ t->id, generation, ours ? counter_get(&t->written) : 0 };
	t->fence_news = true;
	t->fence_wanted = 0;
	pthread_mutex_unlock(&s->lock);
	event_raise(&s->verdict.attention);
}

static bool start(struct recv_thread *t, struct lobby_guest *guest, struct mfd_error *err)
{
	struct recv_session *s = t->session;
	int e;

	pthread_mutex_lock(&s->lock);
	t->generation = guest->preamble.generation;
	t->down = t->told = false;
	t->round = s->open_round;
	t->synced = s->open_round;
	counter_set(&t->written, 0);
	counter_set(&t->received, WIRE_PREAMBLE_BYTES);
	counter_set(&t->waits, WIRE_WAITS_NETWORK);
	pthread_mutex_unlock(&s->lock);
	t->sequence = 0;
	t->kicked = 0;
	t->slow = true;
	t->channel = s->params.wrap(s->params.wrap_opaque, t->id, guest->channel);
	guest->channel = NULL;
	e = pthread_create(&t->thread, NULL, recv_thread_main, t);
	if (e)
		return error_set_os(err, MFD_OS, e, "can't start the thread of channel %u",
				    (unsigned)t->id);
	t->running = true;
	notice_open(t);
	return true;
}

bool recv_attach(struct recv_session *s, struct lobby_guest *guest, struct mfd_error *err)
{
	struct recv_thread *t;
	struct mfd_error cause;
	bool gone;

	if (!check_preamble(s, &guest->preamble, err))
		return false;
	t = &s->thread[guest->preamble.channel];
	pthread_mutex_lock(&s->lock);
	gone = recv_gone_locked(t);
	pthread_mutex_unlock(&s->lock);
	if (t->generation && !gone)
		fence(t, t->generation);
	if (!equip(t, &cause) || !start(t, guest, &cause))
		verdict_report(&s->verdict, VERDICT_CAUSE, &cause);
	return true;
}

bool recv_attach_hashes(struct recv_session *s, struct lobby_guest *guest, struct mfd_error *err)
{
	const struct basis_params params = {
		.basis = s->sink->basis, .secret = s->secret, .pages = s->basis_pages,
		.peer_timeout_ms = s->hello.timeout_ms,
		.workers = s->params.workers,
		.forget = s->params.forget,
		.bytes = &s->bytes_hashes,
	};
	struct channel *channel;
	struct mfd_error cause;

	if (!check_token(s, &guest->preamble, err))
		return false;
	if (!s->told || s->basis)
		return error_set(err, MFD_PROTOCOL,
				 s->told ? "hash lists: there is a connection already"
					 : "there are no hash lists");
	channel = s->params.wrap(s->params.wrap_opaque, CHANNEL_ID_HASHES, guest->channel);
	guest->channel = NULL;
	if (!recv_basis_start(&params, channel, &s->basis, &cause))
		verdict_report(&s->verdict, VERDICT_CAUSE, &cause);
	return true;
}

void recv_fence(struct recv_session *s)
{
	for (unsigned i = 0; i < s->hello.channels; i++) {
		struct recv_thread *t = &s->thread[i];
		uint32_t wanted;

		pthread_mutex_lock(&s->lock);
		wanted = t->fence_wanted;
		pthread_mutex_unlock(&s->lock);
		if (wanted)
			fence(t, wanted);
	}
}

void recv_detach_all(struct recv_session *s)
{
	if (!s->thread)
		return;
	recv_basis_stop(s->basis);
	s->basis = NULL;
	/*
	 * All are woken before the first is joined, so that the slowest one is waited for, not the
	 * sum.
	 */
	for (unsigned i = 0; i < s->hello.channels; i++) {
		if (s->thread[i].running)
			s->thread[i].channel->ops->shutdown(s->thread[i].channel);
	}
	for (unsigned i = 0; i < s->hello.channels; i++)
		detach(&s->thread[i]);
}
