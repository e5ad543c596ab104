/* SPDX-License-Identifier: MIT */
/*
 * What is done about a lost channel: see failover.h.
 */
#include "send/failover.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* The producer may be asleep, or wait for input. */
static void wake_producer(struct send_session *s)
{
	event_raise(&s->look);
	sleeper_wake(&s->producer);
}

/* ---- Sender thread. ---- */

static void let_go(struct send_thread *t)
{
	t->down = true;
	handoff_close(t->inbox);
}

void send_failover_lost(struct send_thread *t, const struct mfd_error *why)
{
	struct send_session *s = t->session;

	pthread_mutex_lock(&s->lock);
	if (t->link == SEND_LINK_UP) {
		t->link = SEND_LINK_LOST;
		t->why = *why;
	}
	pthread_mutex_unlock(&s->lock);
	let_go(t);
	event_raise(&s->verdict.attention);
}

bool send_failover_return(struct send_thread *t, const struct batch *batch)
{
	struct send_session *s = t->session;
	struct mfd_error err;

	if (!returned_put(&s->returned, batch, &err)) {
		verdict_report(&s->verdict, VERDICT_CAUSE, &err);
		return false;
	}
	wake_producer(s);
	return true;
}

/* What the log held: it counts when it is sent the next time. */
static void take_back(void *thread, const struct inflight_entry *e)
{
	struct send_thread *t = thread;
	struct send_session *s = t->session;
	struct batch batch = e->batch;
	const uint64_t kept =
		batch.zero_run ? 0 : bitmap_count(batch.kept, (uint32_t)batch.count);
	struct mfd_error err;

	counter_add(&t->counters.pages_zero, -e->totals.zero_pages);
	counter_add(&t->counters.pages_kept, -kept);
	counter_add(&t->counters.pages_data, -(e->totals.pages - e->totals.zero_pages - kept));
	t->came_back++;
	batch.again = true;
	if (!returned_put(&s->returned, &batch, &err))
		verdict_report(&s->verdict, VERDICT_CAUSE, &err);
}

static bool start_opener(struct send_thread *t)
{
	struct mfd_error err;
	int e = pthread_create(&t->opener, NULL, send_reopen_main, t);

	t->opening = !e;
	if (e) {
		error_set_os(&err, MFD_OS, e, "channel %u: can't start a thread to open it again",
			     (unsigned)t->id);
		verdict_report(&t->session->verdict, VERDICT_CAUSE, &err);
	}
	return t->opening;
}

/*
 * FENCED: what was not written goes back to the session, then somebody looks for a new connection.
 */
static bool come_down(struct send_thread *t)
{
	struct send_session *s = t->session;
	struct channel *old = t->channel;

	t->came_back = 0;
	inflight_drain(&t->log, take_back, t);
	pthread_mutex_lock(&s->lock);
	t->channel = NULL;
	t->link = SEND_LINK_DOWN;
	t->pause_ms = t->proven ? SEND_REOPEN_FIRST_MS : send_reopen_pause(t->pause_ms);
	t->lost_news = true;
	t->lost_batches = t->came_back;
	counter_set(&s->news, 1);
	counter_add(&s->changes, 1);
	counter_add(&s->failovers, 1);
	pthread_mutex_unlock(&s->lock);
	if (old)
		old->ops->free(old);
	wake_producer(s);
	return start_opener(t);
}

static void join_opener(struct send_thread *t)
{
	if (t->opening)
		pthread_join(t->opener, NULL);
	t->opening = false;
}

/* OPENED: the new connection is ours. */
static void come_up(struct send_thread *t)
{
	struct send_session *s = t->session;
	struct mfd_error err;
	bool stopping;

	join_opener(t);
	pthread_mutex_lock(&s->lock);
	stopping = s->stopping;
	if (!stopping) { /* else the door would not find the log closed, nor the connection */
		inflight_reopen(&t->log);
		t->channel = t->opened;
		t->opened = NULL;
		t->generation++;
		t->bytes_before = counter_get(&t->counters.bytes);
		counter_set(&t->packets_sent, 0);
		t->told = t->proven = false;
		t->link = SEND_LINK_UP;
	}
	pthread_mutex_unlock(&s->lock);
	if (stopping)
		return; /* the next token says so */
	t->down = false;
	if (!send_open_preamble(t, &err)) {
		send_failover_lost(t, &err);
		return;
	}
	pthread_mutex_lock(&s->lock);
	t->open_news = true;
	counter_set(&s->news, 1);
	counter_add(&s->changes, 1);
	pthread_mutex_unlock(&s->lock);
	event_raise(&s->look);
	handoff_open(t->inbox, &s->producer);
}

bool send_failover_step(struct send_thread *t)
{
	struct send_session *s = t->session;
	enum send_link link;

	pthread_mutex_lock(&s->lock);
	link = t->link;
	pthread_mutex_unlock(&s->lock);
	if (link != SEND_LINK_UP && !t->down)
		let_go(t);
	if (link == SEND_LINK_FENCED)
		return come_down(t);
	if (link == SEND_LINK_OPENED)
		come_up(t);
	return true;
}

void send_failover_leave(struct send_thread *t)
{
	join_opener(t);
	if (t->opened)
		t->opened->ops->free(t->opened);
	t->opened = NULL;
}

/* ---- Control thread. ---- */

bool send_failover_current(struct send_thread *t, uint32_t generation, bool *ret_old)
{
	struct send_session *s = t->session;
	bool r;

	pthread_mutex_lock(&s->lock);
	r = generation == t->generation && (t->link == SEND_LINK_UP || t->link == SEND_LINK_LOST);
	*ret_old = generation <= t->generation;
	pthread_mutex_unlock(&s->lock);
	return r;
}

void send_failover_give_up(struct send_thread *t, uint32_t generation, const struct mfd_error *why)
{
	struct send_session *s = t->session;
	bool was_up;

	pthread_mutex_lock(&s->lock);
	was_up = t->link == SEND_LINK_UP && t->generation == generation;
	if (was_up) {
		t->link = SEND_LINK_LOST;
		t->why = *why;
		/* Whatever its thread waits for: the socket, room in the log, or work. */
		inflight_close(&t->log);
		if (t->channel)
			t->channel->ops->shutdown(t->channel);
	}
	pthread_mutex_unlock(&s->lock);
	if (was_up)
		handoff_interrupt(t->inbox);
}

bool send_failover_fenced(struct send_thread *t, uint32_t generation, struct mfd_error *err)
{
	struct send_session *s = t->session;
	bool old, ok;

	pthread_mutex_lock(&s->lock);
	old = generation < t->generation;
	ok = t->link == SEND_LINK_LOST && t->told && t->generation == generation;
	if (ok)
		t->link = SEND_LINK_FENCED;
	pthread_mutex_unlock(&s->lock);
	if (old)
		return true; /* asked for and answered before */
	if (!ok)
		return error_set(err, MFD_PROTOCOL,
				 "the receiver sent FENCED for channel %" PRIu32
				 ", which was not given up",
				 t->id);
	handoff_interrupt(t->inbox);
	return true;
}

void send_failover_tell(struct send_session *s)
{
	for (unsigned i = 0; i < s->params.channels; i++) {
		struct send_thread *t = &s->thread[i];
		struct wire_message m = { .type = WIRE_CHANNEL_DOWN };

		pthread_mutex_lock(&s->lock);
		m.fence = (struct wire_fence){ .channel = i, .generation = t->generation };
		/*
		 * A peer that does not read is found out by its silence; until then it is tried
		 * again.
		 */
		if (t->link == SEND_LINK_LOST && !t->told && control_queue(s->control, &m))
			t->told = true;
		pthread_mutex_unlock(&s->lock);
	}
}

/* Some channel has been lost, and nothing has come of its next connection yet. */
static bool worried_locked(const struct send_session *s, bool *ret_some_up)
{
	bool worried = false;

	*ret_some_up = false;
	for (unsigned i = 0; i < s->params.channels; i++) {
		worried = worried || s->thread[i].link != SEND_LINK_UP || !s->thread[i].proven;
		*ret_some_up = *ret_some_up || s->thread[i].link == SEND_LINK_UP;
	}
	return worried;
}

bool send_failover_check(struct send_session *s, struct mfd_error *err)
{
	const uint64_t now = clock_ns();
	bool worried, some_up, idle;
	struct mfd_error why;
	unsigned who = 0;

	pthread_mutex_lock(&s->lock);
	worried = worried_locked(s, &some_up);
	idle = s->acked == counter_get(&s->batches) && s->synced_rounds == s->asked_rounds;
	if (!worried || s->end_sent || (idle && some_up))
		s->progress_ns = now;
	while (who + 1 < s->params.channels && !s->thread[who].why.status)
		who++;
	why = s->thread[who].why;
	pthread_mutex_unlock(&s->lock);
	if (now - s->progress_ns <= s->params.timeout_ms * CLOCK_NS_PER_MS)
		return true;
	return error_set(err, MFD_TRY_AGAIN,
			 "channel %u: %s; nothing has arrived on any channel for %.1f s since", who,
			 why.text, (double)s->params.timeout_ms / 1e3);
}

/* ---- Main thread. ---- */

static void channel_news(struct send_session *s, struct send_thread *t)
{
	bool lost, open;
	char text[MFD_ERROR_TEXT + 100];
	struct mfd_error why;
	uint64_t batches;
	uint32_t generation;

	pthread_mutex_lock(&s->lock);
	lost = t->lost_news;
	open = t->open_news;
	t->lost_news = t->open_news = false;
	why = t->why;
	batches = t->lost_batches;
	generation = t->generation;
	pthread_mutex_unlock(&s->lock);
	if (lost) {
		snprintf(text, sizeof(text),
			 "channel %" PRIu32 ": %s; %" PRIu64 " packets are sent again", t->id,
			 why.text, batches);
		send_notice(s, MFD_NOTICE_CHANNEL, text);
	}
	if (open) {
		snprintf(text, sizeof(text), "channel %" PRIu32 ": open again, generation %" PRIu32,
			 t->id, generation);
		send_notice(s, MFD_NOTICE_CHANNEL, text);
	}
}

void send_failover_news(struct send_session *s)
{
	if (!counter_get(&s->news))
		return;
	pthread_mutex_lock(&s->lock);
	counter_set(&s->news, 0);
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->params.channels; i++)
		channel_news(s, &s->thread[i]);
}
