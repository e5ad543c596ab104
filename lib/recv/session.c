/* SPDX-License-Identifier: MIT */
/*
 * The receiving session's life: made, run, and taken down through one door.  Who comes in is
 * guest.c, what END leads to is commit.c.
 */
#include "recv/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* ---- Made. ---- */

bool recv_session_new(const struct recv_params *params, struct sink *sink,
		      struct recv_session **ret, struct mfd_error *err)
{
	struct recv_session *s = calloc(1, sizeof(*s));

	if (!s) {
		struct listener l = params->listener;

		listener_close(&l);
		return error_set(err, MFD_OS, "out of memory");
	}
	s->params = *params;
	s->sink = sink;
	s->stop.fd = s->main_event.fd = s->verdict.attention.fd = -1;
	s->sync_batches = UINT64_MAX;
	counter_set(&s->bytes_image, MFD_UNKNOWN);
	pthread_mutex_init(&s->lock, NULL);
	if (!verdict_init(&s->verdict, err) || !event_init(&s->stop, err) ||
	    !event_init(&s->main_event, err) ||
	    !lobby_new(&s->params.listener, &s->params.rules, &s->lobby, err)) {
		recv_session_free(s);
		return false;
	}
	*ret = s;
	return true;
}

static void free_thread(struct recv_thread *t)
{
	for (unsigned i = 0; i < sizeof(t->method) / sizeof(t->method[0]); i++) {
		if (t->method[i])
			t->method[i]->ops->free(t->method[i]);
	}
	free(t->pages);
	free(t->coded);
	free(t->kept);
}

void recv_session_free(struct recv_session *s)
{
	if (!s)
		return;
	for (unsigned i = 0; s->thread && i < s->hello.channels; i++)
		free_thread(&s->thread[i]);
	free(s->thread);
	control_free(s->control);
	lobby_free(s->lobby);
	listener_close(&s->params.listener);
	event_destroy(&s->main_event);
	event_destroy(&s->stop);
	verdict_destroy(&s->verdict);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- Run. ---- */

void recv_notice(struct recv_session *s, enum mfd_notice_kind kind, uint64_t number,
		 const char *text)
{
	const struct mfd_notice n = { .kind = kind, .number = number, .text = text };

	s->params.notice(s->params.opaque, &n);
}

/* Each channel's first connection has come, or the sender has given it up. */
static bool all_attached(const struct recv_session *s)
{
	for (unsigned i = 0; i < s->hello.channels; i++) {
		if (!s->thread[i].generation && !s->thread[i].fence.generation)
			return false;
	}
	return true;
}

/*
 * What the lobby waits for at most: somebody, then all of its channels, then nothing.  The sender
 * may need all of its own timeout to see that a connection of its leads nowhere.
 */
static uint64_t patience(const struct recv_session *s, uint64_t accept_deadline,
			 uint64_t *attach_deadline)
{
	if (!s->control)
		return accept_deadline;
	if (*attach_deadline == CLOCK_NEVER)
		*attach_deadline = clock_deadline_ms(s->params.timeout_ms + s->hello.timeout_ms);
	return all_attached(s) ? CLOCK_NEVER : *attach_deadline;
}

/* Something for the main thread.  True: the lobby has no more to do; *ret_end: END has come in. */
static bool on_event(struct recv_session *s, bool *ret_end)
{
	bool over;

	event_clear(&s->main_event);
	recv_fence(s);
	pthread_mutex_lock(&s->lock);
	over = s->end_seen || s->stopping;
	*ret_end = s->end_seen && !s->stopping;
	pthread_mutex_unlock(&s->lock);
	return over;
}

/*
 * The main thread's loop: the lobby, until END has come in or the door is open; *ret_end says
 * which.
 */
static bool host(struct recv_session *s, bool *ret_end, struct mfd_error *err)
{
	const uint64_t accept_deadline = clock_deadline_ms(s->params.accept_timeout_ms);
	uint64_t attach_deadline = CLOCK_NEVER;
	struct lobby_guest guest;
	struct mfd_error why;

	for (;;) {
		const struct event *event = s->control ? &s->main_event : &s->verdict.attention;

		switch (lobby_wait(s->lobby, event, patience(s, accept_deadline, &attach_deadline),
				   &guest, &why)) {
		case LOBBY_GUEST:
			if (!recv_guest(s, &guest, err))
				return false;
			if (s->reminded)
				return true;
			break;
		case LOBBY_DROPPED:
			recv_guest_dropped(s, &guest, &why);
			break;
		case LOBBY_DEADLINE:
			return error_set(err, MFD_TRY_AGAIN,
					 s->control ? "not all channels of the sender connected"
						    : "no sender came in time");
		case LOBBY_EVENT:
			if (!s->control) /* cancelled: the verdict knows */
				return error_set(err, MFD_TRY_AGAIN, "stopped");
			if (on_event(s, ret_end))
				return true;
			break;
		}
	}
}

/* Whoever waits or knocks is turned away now, not when the session is freed. */
static void close_lobby(struct recv_session *s)
{
	struct mfd_error why;

	error_set(&why, MFD_TRY_AGAIN, "%s",
		  s->params.resume ? "between two sessions: try again" : "the session is over");
	if (s->lobby)
		lobby_turn_away(s->lobby, &why);
	lobby_free(s->lobby);
	s->lobby = NULL;
	listener_close(&s->params.listener);
}

static void close_door(struct recv_session *s)
{
	if (s->control_running) {
		pthread_join(s->control_thread, NULL);
		s->control_running = false;
	}
	if (s->control) /* the sender may be waiting for us to close */
		s->control->channel->ops->shutdown(s->control->channel);
	close_lobby(s);
	recv_detach_all(s);
}

bool recv_session_run(struct recv_session *s, struct mfd_error *err)
{
	struct mfd_error reason;
	bool end = false, done;

	if (!s->params.again)
		recv_notice(s, MFD_NOTICE_LISTENING, s->params.listener.port, "");
	done = host(s, &end, &reason);
	if (done && end) {
		/* Nobody disturbs it: no listener, no strangers, no receiver threads. */
		close_lobby(s);
		recv_detach_all(s);
		done = recv_commit(s, &reason);
	} else if (done && !s->reminded) {
		done = error_set(&reason, MFD_TRY_AGAIN, "stopped");
	}
	/*
	 * MFD_TRY_AGAIN from a wait that the door ended adds nothing to the verdict; alone it is
	 * the reason.
	 */
	if (!done)
		verdict_report(&s->verdict,
			       reason.status == MFD_TRY_AGAIN ? VERDICT_LOST : VERDICT_CAUSE,
			       &reason);
	close_door(s);
	counter_set(&s->ended_ns, clock_ns());
	if (!done)
		verdict_get(&s->verdict, err);
	return done;
}

void recv_session_cancel(struct recv_session *s)
{
	struct mfd_error err;

	error_set(&err, MFD_TRY_AGAIN, "the receiver was interrupted");
	verdict_report(&s->verdict, VERDICT_CANCEL, &err);
}

bool recv_session_confirmed(const struct recv_session *s)
{
	return s->confirmed || s->reminded;
}

void recv_session_finished(const struct recv_session *s, struct recv_finished *ret)
{
	const struct wire_region *r = &s->hello.region[0];

	*ret = (struct recv_finished){ .size = s->end.size,
				       .image_hash = s->end.image_hash,
				       .name_bytes = r->name_bytes };
	memcpy(ret->name, r->name, r->name_bytes);
}

bool recv_session_began(const struct recv_session *s)
{
	return counter_get(&s->began_ns) != 0;
}

/* ---- Looked at. ---- */

static void channel_stats(const struct recv_thread *t, struct mfd_stats *ret)
{
	const struct channel_counters *c = &t->counters;

	ret->channel[t->id] = (struct mfd_channel_stats){
		.packets = counter_get(&c->packets),
		.bytes = counter_get(&c->bytes),
		.wait_sink_ns = counter_get(&c->wait_sink),
		.wait_codec_ns = counter_get(&c->wait_codec),
		.wait_socket_ns = counter_get(&c->wait_socket),
	};
	ret->bytes_wire += counter_get(&c->bytes);
	ret->pages_data += counter_get(&c->pages_data);
	ret->pages_zero += counter_get(&c->pages_zero);
	ret->pages_kept += counter_get(&c->pages_kept);
}

void recv_session_stats(const struct recv_session *s, struct mfd_stats *ret)
{
	const uint64_t began = counter_observe(&s->began_ns), ended = counter_get(&s->ended_ns);
	const uint64_t flush = counter_get(&s->flush_ns);
	const struct method_ops *method;

	memset(ret, 0, sizeof(*ret));
	ret->downtime_ns = MFD_UNKNOWN;
	ret->tracker = "";
	ret->phase = (enum mfd_phase)counter_get(&s->phase);
	ret->bytes_image = counter_get(&s->bytes_image);
	ret->elapsed_ns = began ? (ended ? ended : clock_ns()) - began : 0;
	ret->flush_ns = flush ? began + ret->elapsed_ns - flush : 0;
	ret->cpu_ns = clock_cpu_ns();
	ret->rounds = (uint32_t)counter_get(&s->rounds);
	ret->method = ret->backend = "";
	if (began) {
		method = method_by_id(s->hello.method);
		ret->method = method ? method->name : "";
		ret->backend = method ? method->decoder(method) : "";
		ret->level = s->hello.level;
		ret->channels = (unsigned)counter_get(&s->channels);
	}
	ret->bytes_hashes = counter_get(&s->bytes_hashes);
	ret->hash = counter_get(&s->image_hash);
	ret->committed = ret->phase == MFD_FINISHED;
	ret->failovers = counter_get(&s->failovers);
	for (unsigned i = 0; i < ret->channels; i++)
		channel_stats(&s->thread[i], ret);
	ret->bytes_done = (ret->pages_data + ret->pages_zero + ret->pages_kept) * PAGE_BYTES;
	if (ret->bytes_done > ret->bytes_image && ret->rounds <= 1)
		ret->bytes_done = ret->bytes_image;
}
