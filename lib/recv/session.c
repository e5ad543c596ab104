/* SPDX-License-Identifier: MIT */
/*
 * The receiving session's life: made, run, committed, and taken down through one door.
 */
#include "recv/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* How long a sender may take to close when it has heard that all was done before. */
#define REMIND_MS 2000

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

/* ---- Run: before the session. ---- */

void recv_notice(struct recv_session *s, enum mfd_notice_kind kind, uint64_t number,
		 const char *text)
{
	const struct mfd_notice n = { .kind = kind, .number = number, .text = text };

	s->params.notice(s->params.opaque, &n);
}

static void notice_dropped(struct recv_session *s, const struct lobby_guest *guest,
			   const struct mfd_error *why)
{
	char text[ADDRESS_TEXT + MFD_ERROR_TEXT + 16];

	snprintf(text, sizeof(text), "%s: dropped: %s", guest->who, why->text);
	recv_notice(s, MFD_NOTICE_DROPPED, 0, text);
}

static void dismiss(struct lobby_guest *guest)
{
	control_free(guest->control);
	if (guest->channel)
		guest->channel->ops->free(guest->channel);
	guest->control = NULL;
	guest->channel = NULL;
}

/*
 * No session for this one.  A few bytes always fit the socket's buffer; nobody waits for a
 * stranger.
 */
static void refuse(struct recv_session *s, struct lobby_guest *guest, const struct mfd_error *why)
{
	struct wire_message m = { .type = WIRE_REFUSE };

	m.problem.status = (uint16_t)why->status;
	snprintf(m.problem.text, sizeof(m.problem.text), "%s", why->text);
	if (control_queue(guest->control, &m))
		control_flush(guest->control, 0);
	notice_dropped(s, guest, why);
	dismiss(guest);
}

static bool make_threads(struct recv_session *s, uint32_t channels, struct mfd_error *err)
{
	const size_t bytes = channels * sizeof(*s->thread);

	s->thread = aligned_alloc(64, bytes); /* counters have cache lines of their own */
	if (!s->thread)
		return error_set(err, MFD_OS, "out of memory");
	memset(s->thread, 0, bytes);
	for (uint32_t i = 0; i < channels; i++) {
		s->thread[i].session = s;
		s->thread[i].id = i;
	}
	return true;
}

static bool start_control(struct recv_session *s, struct mfd_error *err)
{
	int e = pthread_create(&s->control_thread, NULL, recv_control_main, s);

	if (e)
		return error_set_os(err, MFD_OS, e, "can't start the control thread");
	s->control_running = true;
	return true;
}

/* WELCOME: from here on a failure ends both ends. */
static bool welcome(struct recv_session *s, struct lobby_guest *guest,
		    const struct wire_welcome *terms, struct mfd_error *err)
{
	struct wire_message m = { .type = WIRE_WELCOME, .welcome = *terms };
	const struct wire_hello *h = &guest->hello;

	if (!make_threads(s, h->channels, err))
		return false;
	s->hello = *h;
	s->page_limit = batch_pages_of(h->size != MFD_UNKNOWN                ? h->size
				       : s->params.max_size < WIRE_MAX_IMAGE ? s->params.max_size
									     : WIRE_MAX_IMAGE);
	s->control = guest->control;
	guest->control = NULL;
	s->control->channel = s->params.wrap(s->params.wrap_opaque, UINT32_MAX,
					     s->control->channel);
	control_begin(s->control, s->params.timeout_ms, h->timeout_ms);
	counter_set(&s->bytes_image, h->size);
	counter_set(&s->channels, h->channels);
	counter_set(&s->phase, MFD_MOVING);
	counter_publish(&s->began_ns, clock_ns());
	if (!control_queue(s->control, &m))
		return error_set(err, MFD_BUG, "no room for WELCOME");
	return start_control(s, err);
}

/* Can the output hold what HELLO announces? */
static bool begin_sink(struct recv_session *s, struct mfd_error *err)
{
	if (s->hello.size != MFD_UNKNOWN && s->hello.size > s->params.max_size)
		return error_set(err, MFD_CANT_CREATE,
				 "the image has %" PRIu64 " bytes, --max-size allows %" PRIu64,
				 s->hello.size, s->params.max_size);
	return s->sink->ops->begin(s->sink, s->hello.size, s->hello.allocated, err);
}

static bool has_name(const struct wire_hello *h, const struct recv_finished *f)
{
	return h->region[0].name_bytes == f->name_bytes &&
	       !memcmp(h->region[0].name, f->name, f->name_bytes);
}

/* What is in place already is what this sender did not hear of. */
static bool is_finished(const struct recv_session *s, const struct wire_hello *h)
{
	const struct recv_finished *f = s->params.finished;

	return f && h->ended && h->ended_size == f->size && h->ended_hash == f->image_hash &&
	       has_name(h, f);
}

/* A sender that was killed and started anew: it knows of no END, but it may have the same image. */
static bool may_be_finished(const struct recv_session *s, const struct wire_hello *h)
{
	const struct recv_finished *f = s->params.finished;

	return !s->params.remind_only && has_name(h, f) &&
	       (h->size == f->size || h->size == MFD_UNKNOWN);
}

/* Tell it.  Nothing else is going on here. */
static void remind(struct recv_session *s, struct lobby_guest *guest)
{
	const uint64_t deadline = clock_ns() + REMIND_MS * CLOCK_NS_PER_MS;
	struct wire_message m = { .type = WIRE_COMMITTED };

	m.committed = (struct wire_committed){ s->params.finished->size,
					       s->params.finished->image_hash };
	if (control_queue(guest->control, &m) && control_flush(guest->control, deadline)) {
		control_linger(guest->control, deadline);
		s->reminded = true;
	}
	dismiss(guest);
}

/* Someone wants a session.  False: it has begun, and failed. */
static bool on_hello(struct recv_session *s, struct lobby_guest *guest, struct mfd_error *err)
{
	struct wire_welcome terms;
	struct mfd_error why;

	if (s->control) {
		error_set(&why, MFD_TRY_AGAIN, "busy with another sender");
		refuse(s, guest, &why);
		return true;
	}
	if (is_finished(s, &guest->hello)) {
		remind(s, guest);
		return true;
	}
	if (s->params.finished && !may_be_finished(s, &guest->hello)) {
		error_set(&why, MFD_TRY_AGAIN, "another image has just been put in place here");
		refuse(s, guest, &why);
		return true;
	}
	if (!recv_hello(s, &guest->hello, &terms, &why)) {
		refuse(s, guest, &why);
		return true;
	}
	if (!welcome(s, guest, &terms, err) || !begin_sink(s, err)) {
		dismiss(guest);
		return false;
	}
	recv_notice(s, MFD_NOTICE_STARTED, 0, guest->who);
	return true;
}

static bool on_guest(struct recv_session *s, struct lobby_guest *guest, struct mfd_error *err)
{
	struct mfd_error why;

	if (guest->control)
		return on_hello(s, guest, err);
	if (!(guest->preamble.role == WIRE_ROLE_HASHES ? recv_attach_hashes(s, guest, &why)
						       : recv_attach(s, guest, &why))) {
		notice_dropped(s, guest, &why);
		dismiss(guest);
	}
	return true;
}

/* ---- Run: the session. ---- */

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

/*
 * The main thread's loop: the lobby, until END has come in or the door is open. *ret_end says
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
			if (!on_guest(s, &guest, err))
				return false;
			if (s->reminded)
				return true;
			break;
		case LOBBY_DROPPED:
			notice_dropped(s, &guest, &why);
			break;
		case LOBBY_DEADLINE:
			return error_set(err, MFD_TRY_AGAIN,
					 s->control ? "not all channels of the sender connected"
						    : "no sender came in time");
		case LOBBY_EVENT:
			if (!s->control) /* cancelled: the verdict knows */
				return error_set(err, MFD_TRY_AGAIN, "stopped");
			event_clear(&s->main_event);
			recv_fence(s);
			pthread_mutex_lock(&s->lock);
			*ret_end = s->end_seen && !s->stopping;
			if (s->end_seen || s->stopping) {
				pthread_mutex_unlock(&s->lock);
				return true;
			}
			pthread_mutex_unlock(&s->lock);
			break;
		}
	}
}

/*
 * The first round speaks for every page; an image whose size was not known may have grown in later
 * ones.
 */
static bool check_pages(const struct recv_session *s, uint64_t pages, struct mfd_error *err)
{
	const uint64_t first = s->first_totals.pages;

	if (first == pages)
		return true;
	if (s->hello.size != MFD_UNKNOWN || s->end.rounds == 1 || first > pages)
		return error_set(err, MFD_DATA,
				 "the first round spoke for %" PRIu64 " pages of %" PRIu64, first,
				 pages);
	return s->all_totals.pages >= pages ||
	       error_set(err, MFD_DATA,
			 "all rounds together spoke for %" PRIu64 " pages of %" PRIu64,
			 s->all_totals.pages, pages);
}

/* Does what END says agree with what we have written? */
static bool check_end(const struct recv_session *s, struct mfd_error *err)
{
	const struct wire_end *e = &s->end;
	const struct totals *ours = &s->all_totals;

	/*
	 * The threads have been joined: what they have counted since the last SYNC is in no totals.
	 */
	for (unsigned i = 0; i < s->hello.channels; i++) {
		if (s->thread[i].totals.packets || s->thread[i].round_totals.packets)
			return error_set(err, MFD_PROTOCOL, "END in the middle of round %" PRIu32,
					 e->rounds);
	}
	if (!totals_equal(&e->totals, ours))
		return error_set(err, MFD_DATA,
				 "the sender sent %" PRIu64 " pages in %" PRIu64
				 " packets with sum %016" PRIx64 ", written were %" PRIu64
				 " in %" PRIu64 " with %016" PRIx64,
				 e->totals.pages, e->totals.packets, e->totals.sum, ours->pages,
				 ours->packets, ours->sum);
	if (s->hello.size != MFD_UNKNOWN && e->size != s->hello.size)
		return error_set(err, MFD_PROTOCOL,
				 "the image had %" PRIu64 " bytes in HELLO and has %" PRIu64
				 " in END",
				 s->hello.size, e->size);
	if (e->size > s->params.max_size)
		return error_set(err, MFD_CANT_CREATE,
				 "the image has %" PRIu64 " bytes, --max-size allows %" PRIu64,
				 e->size, s->params.max_size);
	if (!check_pages(s, batch_pages_of(e->size), err))
		return false;
	if (e->rounds == 1 && e->image_hash != ours->sum)
		return error_set(err, MFD_DATA,
				 "the image hash is %016" PRIx64 ", should be %016" PRIx64,
				 ours->sum, e->image_hash);
	return true;
}

/* Whoever waits or knocks is turned away now, not when the session is freed. */
static void close_lobby(struct recv_session *s)
{
	lobby_free(s->lobby);
	s->lobby = NULL;
	listener_close(&s->params.listener);
}

/* Nobody can disturb us now: no listener, no strangers, no receiver threads. */
static bool commit(struct recv_session *s, struct mfd_error *err)
{
	close_lobby(s);
	recv_detach_all(s);
	if (!check_end(s, err) || (s->params.verify && !recv_verify(s, err)) ||
	    !s->sink->ops->commit(s->sink, s->end.size, &s->stop, err))
		return false;
	counter_set(&s->bytes_image, s->end.size);
	counter_set(&s->image_hash, s->end.image_hash);
	counter_set(&s->phase, MFD_FINISHED);
	pthread_mutex_lock(&s->lock);
	s->committed = true;
	pthread_mutex_unlock(&s->lock);
	event_raise(&s->verdict.attention);
	return true;
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
	if (done && end)
		done = commit(s, &reason);
	else if (done && !s->reminded)
		done = error_set(&reason, MFD_TRY_AGAIN, "stopped");
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

	*ret = (struct recv_finished){ .size = s->end.size, .image_hash = s->end.image_hash, .name_bytes = r->name_bytes };
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
