/* SPDX-License-Identifier: MIT */
/*
 * The sender's control thread: it alone reads and writes the control connection once the session
 * has begun.
 *
 * It retires acknowledged batches, notes SYNC_DONE and COMMITTED for the producer, sends heartbeats
 * and END, watches for silence and for channels on which nothing arrives any more, has lost ones
 * fenced (failover.c), and it opens the door: at once for a real cause or a cancel, and for a
 * transfer that goes no further when the peer had a second to say why.  Before the door opens it
 * tells the peer, so that both ends end.  It never touches the source.
 */
#include "send/failover.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

/*
 * Report what this thread has found.  What the peer says of itself is a cause; a connection that
 * goes away is not.
 */
static void report(struct send_session *s, struct mfd_error *err)
{
	bool lost = err->status == MFD_TRY_AGAIN && !err->remote;

	if (lost && s->end_sent)
		error_set(err, MFD_TRY_AGAIN,
			  "connection lost before the receiver answered: the outcome is not known, "
			  "look at its output");
	verdict_report(&s->verdict, lost ? VERDICT_LOST : VERDICT_CAUSE, err);
}

static bool refuse(struct mfd_error *err, const char *what)
{
	return error_set(err, MFD_PROTOCOL, "the receiver sent %s", what);
}

/* ---- Messages. ---- */

static void retire(void *thread, struct inflight_entry *e)
{
	struct send_thread *t = thread;
	struct send_session *s = t->session;

	s->progress_ns = clock_ns();
	pthread_mutex_lock(&s->lock);
	t->proven = true;
	s->acked++;
	totals_add(&s->round_totals, &e->totals);
	pthread_mutex_unlock(&s->lock);
	counter_add(&s->pages_acked, e->totals.pages);
	if (s->params.replay)
		replay_acknowledged(s->params.replay, e->batch.id, e->totals.sum);
	if (inflight_release(e))
		pool_put(&s->pool, e->batch.bytes);
}

static struct send_thread *find_thread(struct send_session *s, uint32_t channel,
				       struct mfd_error *err)
{
	if (channel >= s->params.channels) {
		error_set(err, MFD_PROTOCOL, "the receiver names channel %" PRIu32 " of %u",
			  channel, s->params.channels);
		return NULL;
	}
	return &s->thread[channel];
}

/* The receiver has written @written packets of one generation of @t, which may be over. */
static bool acknowledge(struct send_thread *t, uint32_t generation, uint64_t written,
			struct mfd_error *err)
{
	bool old;

	if (!send_failover_current(t, generation, &old))
		return old || refuse(err, "ACK for a generation that never was");
	t->acked_generation = generation;
	t->acked = written;
	return inflight_acknowledge(&t->log, written, retire, t) ||
	       refuse(err, "ACK for packets that were never sent");
}

static bool on_ack(struct send_session *s, const struct wire_ack *ack, struct mfd_error *err)
{
	for (unsigned i = 0; i < ack->count; i++) {
		const struct wire_channel_ack *a = &ack->channel[i];
		struct send_thread *t = find_thread(s, a->channel, err);

		if (!t || !acknowledge(t, a->generation, a->written, err))
			return false;
	}
	sleeper_wake(&s->producer);
	return true;
}

/*
 * A channel is dead when bytes are on their way and the receiver has been waiting for them all the
 * time; or when it has them all and does not say so: an acknowledgement was lost.  One whose
 * connection the receiver does not know yet, or knows only the one before, has received nothing.
 */
static void check_channel(struct send_thread *t, const struct wire_channel_health *h, uint64_t now)
{
	const uint64_t patience_ns = t->session->params.timeout_ms * CLOCK_NS_PER_MS;
	const uint64_t received = h ? h->received : 0;
	uint64_t sent, packets, acked;
	uint32_t generation;
	struct mfd_error why;

	pthread_mutex_lock(&t->session->lock);
	generation = t->generation;
	sent = t->channel ?
		       WIRE_PREAMBLE_BYTES + counter_get(&t->counters.bytes) - t->bytes_before :
		       0;
	packets = counter_get(&t->packets_sent);
	pthread_mutex_unlock(&t->session->lock);
	acked = t->acked_generation == generation ? t->acked : 0;
	if (h && h->waits == WIRE_WAITS_SINK && received < sent)
		t->session->progress_ns = now; /* a slow disk, and who waits for it, is healthy */
	if (generation != t->health_generation || received != t->health_received ||
	    acked != t->health_acked || (h && h->waits != WIRE_WAITS_NETWORK) ||
	    (received >= sent && acked >= packets)) {
		t->health_generation = generation;
		t->health_received = received;
		t->health_acked = acked;
		t->health_since_ns = now;
	} else if (now - t->health_since_ns > patience_ns) {
		error_set(&why, MFD_TRY_AGAIN, "%s",
			  received < sent ? "nothing arrives at the receiver any more"
					  : "the receiver does not acknowledge what it has");
		send_failover_give_up(t, generation, &why);
	}
}

/* Everything of the open round has been sent and is acknowledged; only SYNC_DONE is not there. */
static bool awaits_sync_done_locked(struct send_session *s)
{
	bool all = s->asked_rounds > s->synced_rounds && s->acked == counter_get(&s->batches);

	for (unsigned i = 0; i < s->params.channels; i++) {
		const struct send_thread *t = &s->thread[i];

		all = all && t->link == SEND_LINK_UP && t->acked_generation == t->generation &&
		      t->acked >= counter_get(&t->packets_sent);
	}
	return all;
}

/*
 * A receiver that beats and has nothing left to do, but the message that we wait for, or ours that
 * it waits for, never came: a network does not do that, who sits in between may.
 */
static bool check_answer(struct send_session *s, const struct wire_heartbeat *beat, uint64_t now,
			 struct mfd_error *err)
{
	bool owed, ended;

	pthread_mutex_lock(&s->lock);
	ended = s->end_sent;
	owed = ended ? beat->phase < MFD_FLUSHING : awaits_sync_done_locked(s);
	pthread_mutex_unlock(&s->lock);
	if (!owed)
		s->answered_ns = now;
	if (now - s->answered_ns <= s->params.timeout_ms * CLOCK_NS_PER_MS)
		return true;
	return error_set(err, MFD_TRY_AGAIN, "the receiver does not answer %s",
			 ended ? "END" : "SYNC");
}

static bool check_health(struct send_session *s, const struct wire_heartbeat *beat,
			 struct mfd_error *err)
{
	const struct wire_channel_health *health[MFD_MAX_CHANNELS] = { NULL };
	const uint64_t now = clock_ns();
	struct send_thread *t;
	bool old;

	for (unsigned i = 0; i < beat->count; i++) {
		const struct wire_channel_health *h = &beat->channel[i];

		if (!(t = find_thread(s, h->channel, err)))
			return false;
		if (send_failover_current(t, h->generation, &old))
			health[h->channel] = h;
		else if (!old)
			return refuse(err, "HEARTBEAT for a generation that never was");
	}
	for (unsigned i = 0; i < s->params.channels; i++)
		check_channel(&s->thread[i], health[i], now);
	return check_answer(s, beat, now, err);
}

static bool on_sync_done(struct send_session *s, const struct wire_sync_done *done,
			 struct mfd_error *err)
{
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = done->round == s->synced_rounds && s->synced_rounds < s->asked_rounds;
	if (ok) {
		s->progress_ns = s->answered_ns = clock_ns();
		s->synced_rounds++;
		s->peer_totals = done->totals;
	}
	pthread_mutex_unlock(&s->lock);
	sleeper_wake(&s->producer);
	return ok || refuse(err, "SYNC_DONE out of turn");
}

static bool on_committed(struct send_session *s, const struct wire_committed *c,
			 struct mfd_error *err)
{
	if (!s->end_sent)
		return refuse(err, "COMMITTED before END");
	if (c->size != s->end.size || c->image_hash != s->end.image_hash)
		return error_set(err, MFD_DATA,
				 "the receiver committed %" PRIu64 " bytes with hash %016" PRIx64,
				 c->size, c->image_hash);
	pthread_mutex_lock(&s->lock);
	s->committed = true;
	pthread_mutex_unlock(&s->lock);
	sleeper_wake(&s->producer);
	return true;
}

static bool on_channel_down(struct send_session *s, const struct wire_fence *f,
			    struct mfd_error *err)
{
	struct send_thread *t = find_thread(s, f->channel, err);
	struct mfd_error why;
	bool old;

	if (!t)
		return false;
	if (!send_failover_current(t, f->generation, &old))
		return old || refuse(err, "CHANNEL_DOWN for a generation that never was");
	error_set(&why, MFD_TRY_AGAIN, "connection lost, says the receiver");
	send_failover_give_up(t, f->generation, &why);
	return true;
}

/* What it had written counts as acknowledged; the rest goes to others from now on. */
static bool on_fenced(struct send_session *s, const struct wire_fence *f, struct mfd_error *err)
{
	struct send_thread *t = find_thread(s, f->channel, err);

	return t && acknowledge(t, f->generation, f->written, err) &&
	       send_failover_fenced(t, f->generation, err);
}

static bool on_message(struct send_session *s, const struct wire_message *m, struct mfd_error *err)
{
	switch (m->type) {
	case WIRE_ACK:
		return on_ack(s, &m->ack, err);
	case WIRE_HEARTBEAT:
		return check_health(s, &m->heartbeat, err);
	case WIRE_SYNC_DONE:
		return on_sync_done(s, &m->sync_done, err);
	case WIRE_COMMITTED:
		return on_committed(s, &m->committed, err);
	case WIRE_CHANNEL_DOWN:
		return on_channel_down(s, &m->fence, err);
	case WIRE_FENCED:
		return on_fenced(s, &m->fence, err);
	case WIRE_ERROR:
		control_remote_error(&m->problem, err);
		return false;
	default:
		return error_set(err, MFD_PROTOCOL, "unexpected %s from the receiver",
				 wire_type_name(m->type));
	}
}

/* ---- What we say. ---- */

static void beat(struct send_session *s)
{
	struct wire_message m = { .type = WIRE_HEARTBEAT };

	m.heartbeat.phase = (uint8_t)counter_get(&s->phase);
	if (control_has_room(s->control) && !control_queue(s->control, &m))
		return; /* the peer does not read: it will be found out by its silence */
}

/*
 * A receiver that resumes waits for us to have heard it.  The last thing we say, so it is sent here
 * and now.
 */
static void confirm(struct send_session *s)
{
	struct wire_message m = { .type = WIRE_HEARTBEAT };

	m.heartbeat.phase = MFD_FINISHED;
	if (s->resumable && control_queue(s->control, &m))
		control_flush(s->control, clock_ns() + CONTROL_TELL_MS * CLOCK_NS_PER_MS);
}

static bool send_end(struct send_session *s, struct mfd_error *err)
{
	struct wire_message m = { .type = WIRE_END };
	bool now;

	pthread_mutex_lock(&s->lock);
	now = s->end_wanted && !s->end_sent;
	if (now)
		s->end_sent = true;
	m.end = s->end;
	pthread_mutex_unlock(&s->lock);
	if (now && !control_queue(s->control, &m))
		return error_set(err, MFD_TRY_AGAIN,
				 "the receiver does not read its control connection");
	return true;
}

/* ---- The door. ---- */

/*
 * Tell the peer what ended the session, if it was not the peer who told us; then let everybody out.
 */
static void open_door(struct send_session *s, const struct mfd_error *error, bool alive)
{
	if (alive && error && !error->remote)
		control_tell(s->control, error);
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_mutex_unlock(&s->lock);
	event_raise(&s->stop);
	event_raise(&s->look);
	sleeper_wake(&s->producer);
}

static bool is_over(struct send_session *s)
{
	bool r;

	pthread_mutex_lock(&s->lock);
	r = s->committed;
	pthread_mutex_unlock(&s->lock);
	return r;
}

void *send_control_main(void *session)
{
	struct send_session *s = session;
	struct mfd_error err, reason;
	struct wire_message m;
	bool alive = true;

	s->progress_ns = s->answered_ns = clock_ns();
	while (!is_over(s)) {
		switch (control_wait(s->control, &s->verdict.attention, s->verdict.believed_ns, &m,
				     &err)) {
		case CONTROL_MESSAGE:
			if (!on_message(s, &m, &err))
				report(s, &err);
			break;
		case CONTROL_BEAT:
			beat(s);
			break;
		case CONTROL_ATTENTION:
			event_clear(&s->verdict.attention);
			if (!send_end(s, &err))
				report(s, &err);
			break;
		case CONTROL_DEADLINE:
			break;
		case CONTROL_LOST:
			/* After bytes that make no sense the peer can still be told. */
			alive = err.status != MFD_TRY_AGAIN;
			error_wrap(&err, alive ? "control" : "lost the receiver: control");
			report(s, &err);
			break;
		}
		send_failover_tell(s);
		if (!send_failover_check(s, &err))
			report(s, &err);
		if (verdict_ends(&s->verdict, alive, &reason)) {
			open_door(s, &reason, alive);
			return NULL;
		}
	}
	confirm(s);
	open_door(s, NULL, alive);
	return NULL;
}
