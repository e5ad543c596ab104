/* SPDX-License-Identifier: MIT */
/*
 * The sending session's life: made, run, and taken down through one door.
 */
#include "send/failover.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* ---- Made. ---- */

static bool init_threads(struct send_session *s, struct mfd_error *err)
{
	const unsigned n = s->params.channels;
	const size_t bytes = n * sizeof(*s->thread);

	/* Counters and log words have cache lines of their own. */
	s->thread = aligned_alloc(CACHE_LINE, bytes);
	s->inboxes.handoff = calloc(n, sizeof(*s->inboxes.handoff));
	if (!s->thread || !s->inboxes.handoff)
		return error_set(err, MFD_OS, "out of memory");
	memset(s->thread, 0, bytes);
	for (unsigned i = 0; i < n; i++) {
		/* what send_session_free() has to undo, also of a thread that failed half-way */
		s->inboxes.count = i + 1;
		if (!send_thread_init(&s->thread[i], s, i, err))
			return false;
		s->inboxes.handoff[i] = s->thread[i].inbox;
	}
	return true;
}

static bool init_source(struct send_session *s, struct mfd_error *err)
{
	const struct source_info *info = &s->source->info;

	counter_set(&s->bytes_image, info->size);
	s->use_pool = !info->rereadable;
	if (s->use_pool && !pool_init(&s->pool, s->params.channels * SEND_BUFFERS_PER_CHANNEL,
				      (size_t)s->params.packet_pages * PAGE_BYTES, err))
		return false;
	s->many_rounds = info->rounds;
	return !s->many_rounds || sparse_init(&s->page_hash, sizeof(uint64_t), err);
}

bool send_session_new(const struct send_params *params, struct source *source,
		      struct send_session **ret, struct mfd_error *err)
{
	struct send_session *s =
		aligned_alloc(CACHE_LINE, (sizeof(*s) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);

	if (!s)
		return error_set(err, MFD_OS, "out of memory");
	memset(s, 0, sizeof(*s));
	s->params = *params;
	s->source = source;
	s->packet_pages = params->packet_pages;
	s->stop.fd = s->look.fd = -1;
	s->verdict.attention.fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	returned_init(&s->returned);
	pace_init(&s->pace, params->bytes_per_second);
	s->piece = pace_piece(params->bytes_per_second, params->channels);
	if (!verdict_init(&s->verdict, err) || !event_init(&s->stop, err) ||
	    !event_init(&s->look, err) || !sleeper_init(&s->producer, err) ||
	    !init_source(s, err) || !init_threads(s, err)) {
		send_session_free(s);
		return false;
	}
	*ret = s;
	return true;
}

void send_session_free(struct send_session *s)
{
	if (!s)
		return;
	match_stop(s->match);
	for (unsigned i = 0; i < s->inboxes.count; i++)
		send_thread_destroy(&s->thread[i]);
	control_free(s->control);
	free(s->inboxes.handoff);
	free(s->thread);
	sparse_destroy(&s->page_hash);
	pool_destroy(&s->pool);
	sleeper_destroy(&s->producer);
	event_destroy(&s->look);
	event_destroy(&s->stop);
	returned_destroy(&s->returned);
	verdict_destroy(&s->verdict);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- Run. ---- */

static bool start_control(struct send_session *s, struct mfd_error *err)
{
	int e = pthread_create(&s->control_thread, NULL, send_control_main, s);

	if (e)
		return error_set_os(err, MFD_OS, e, "can't start the control thread");
	s->control_running = true;
	return true;
}

static bool start_threads(struct send_session *s, struct mfd_error *err)
{
	for (unsigned i = 0; i < s->params.channels; i++) {
		struct send_thread *t = &s->thread[i];
		int e = pthread_create(&t->thread, NULL, send_thread_main, t);

		if (e)
			return error_set_os(err, MFD_OS, e, "can't start the thread of channel %u",
					    i);
		t->running = true;
	}
	return true;
}

void send_notice(struct send_session *s, enum mfd_notice_kind kind, const char *text)
{
	const struct mfd_notice n = { .kind = kind, .text = text };

	s->params.notice(s->params.opaque, &n);
}

static bool run(struct send_session *s, struct mfd_error *err)
{
	if (!send_open_control(s, err))
		return false;
	counter_publish(&s->began_ns, clock_ns());
	if (s->committed) { /* by an earlier session, and this was the answer to its END */
		counter_set(&s->bytes_image, s->end.size);
		counter_set(&s->pages_acked, batch_pages_of(s->end.size));
		counter_set(&s->image_hash, s->end.image_hash);
		return true;
	}
	if (!start_control(s, err))
		return false;
	if (!send_open_data(s, err) || !start_threads(s, err))
		return false;
	send_notice(s, MFD_NOTICE_STARTED, "");
	return send_produce(s, err);
}

/*
 * The one door out: everybody is woken and joined, whatever was running.  Nothing is freed before
 * that.
 */
static void close_door(struct send_session *s)
{
	if (s->control_running) {
		event_raise(&s->verdict.attention);
		pthread_join(s->control_thread, NULL);
		s->control_running = false;
	}
	if (s->control) /* the receiver may be waiting for us to close */
		s->control->channel->ops->shutdown(s->control->channel);
	for (unsigned i = 0; i < s->params.channels; i++) {
		struct send_thread *t = &s->thread[i];

		if (!t->running)
			continue;
		handoff_request_exit(t->inbox);
		inflight_close(&t->log);
		pthread_mutex_lock(&s->lock);
		if (t->channel)
			t->channel->ops->shutdown(t->channel);
		pthread_mutex_unlock(&s->lock);
	}
	for (unsigned i = 0; i < s->params.channels; i++) {
		if (s->thread[i].running)
			pthread_join(s->thread[i].thread, NULL);
		s->thread[i].running = false;
	}
	match_stop(s->match);
	s->match = NULL;
}

bool send_session_run(struct send_session *s, struct mfd_error *err)
{
	struct mfd_error reason;
	bool done = run(s, &reason);

	/*
	 * MFD_TRY_AGAIN from a wait that the door ended adds nothing to the verdict; before there
	 * is a control thread it may be the reason.
	 */
	if (!done)
		verdict_report(&s->verdict,
			       reason.status == MFD_TRY_AGAIN ? VERDICT_LOST : VERDICT_CAUSE,
			       &reason);
	close_door(s);
	send_failover_news(s);
	counter_set(&s->ended_ns, clock_ns());
	if (done) {
		counter_set(&s->phase, MFD_FINISHED);
		return true;
	}
	verdict_get(&s->verdict, err);
	return false;
}

void send_session_cancel(struct send_session *s)
{
	struct mfd_error err;

	error_set(&err, MFD_TRY_AGAIN, "the sender was interrupted");
	verdict_report(&s->verdict, VERDICT_CANCEL, &err);
}

bool send_session_ended(const struct send_session *s, uint64_t *ret_size, uint64_t *ret_hash)
{
	*ret_size = s->end.size;
	*ret_hash = s->end.image_hash;
	return s->end_sent && !s->committed;
}

bool send_session_resumable(const struct send_session *s)
{
	return s->resumable;
}

/* ---- Looked at. ---- */

static void channel_stats(const struct send_thread *t, struct mfd_stats *ret)
{
	const struct channel_counters *c = &t->counters;

	ret->channel[t->id] = (struct mfd_channel_stats){
		.packets = counter_get(&c->packets),
		.bytes = counter_get(&c->bytes),
		.wait_source_ns = counter_get(&c->wait_source),
		.wait_codec_ns = counter_get(&c->wait_codec),
		.wait_socket_ns = counter_get(&c->wait_socket),
		.wait_handoff_ns = counter_get(&c->wait_handoff),
	};
	ret->bytes_wire += counter_get(&c->bytes);
	ret->pages_data += counter_get(&c->pages_data);
	ret->pages_zero += counter_get(&c->pages_zero);
	ret->pages_kept += counter_get(&c->pages_kept);
}

void send_session_stats(const struct send_session *s, struct mfd_stats *ret)
{
	const uint64_t began = counter_observe(&s->began_ns), ended = counter_get(&s->ended_ns);
	const uint64_t flush = counter_get(&s->flush_ns);

	memset(ret, 0, sizeof(*ret));
	ret->phase = (enum mfd_phase)counter_get(&s->phase);
	ret->bytes_image = counter_get(&s->bytes_image);
	ret->bytes_done = counter_get(&s->pages_acked) * PAGE_BYTES;
	if (ret->bytes_done > ret->bytes_image && counter_get(&s->rounds) <= 1)
		ret->bytes_done = ret->bytes_image; /* the last page may be short */
	ret->elapsed_ns = began ? (ended ? ended : clock_ns()) - began : 0;
	ret->flush_ns = flush ? began + ret->elapsed_ns - flush : 0;
	ret->cpu_ns = clock_cpu_ns();
	ret->rounds = (uint32_t)counter_get(&s->rounds);
	ret->method = began ? s->params.method->name : "";
	ret->level = s->params.level;
	ret->backend = began ? s->params.method->encoder(s->params.method, s->params.level) : "";
	ret->channels = began ? s->params.channels : 0;
	ret->bytes_hashes = counter_get(&s->bytes_hashes);
	ret->hash = counter_get(&s->image_hash);
	ret->committed = ret->phase == MFD_FINISHED;
	ret->failovers = counter_get(&s->failovers);
	ret->downtime_ns = MFD_UNKNOWN;
	ret->tracker = "";
	s->source->ops->report(s->source, ret);
	for (unsigned i = 0; i < s->params.channels; i++)
		channel_stats(&s->thread[i], ret);
}
