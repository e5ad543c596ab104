/* SPDX-License-Identifier: MIT */
/*
 * The receiver's control thread; the mirror image of send/control.c.  It alone reads and writes the
 * control connection once the session has begun.
 *
 * It acknowledges what the receiver threads have written, opens the next round when every channel
 * has reported SYNC, passes END and the wish for a fence on to the main thread, answers when that
 * is done, sends heartbeats, and opens the door.  It never touches the sink, so that a slow disk or
 * a long flush does not silence it.
 */
#include "recv/session.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

/* How long COMMITTED may take to leave, and the sender to close after it. */
#define FAREWELL_MS 2000
/*
 * Written packets are acknowledged after so long even if their thread did not think them worth a
 * wake.
 */
#define SWEEP_MS 50

static void report(struct recv_session *s, struct mfd_error *err)
{
	bool lost = err->status == MFD_TRY_AGAIN && !err->remote;

	verdict_report(&s->verdict, lost ? VERDICT_LOST : VERDICT_CAUSE, err);
}

/*
 * A peer that does not read is found out by its silence; until then what can't be queued is as good
 * as lost.
 */
static bool say(struct recv_session *s, const struct wire_message *m, struct mfd_error *err)
{
	if (!control_queue(s->control, m))
		return error_set(err, MFD_TRY_AGAIN,
				 "the sender does not read its control connection");
	return true;
}

/* ---- Messages. ---- */

static bool on_end(struct recv_session *s, const struct wire_end *end, struct mfd_error *err)
{
	bool early;

	pthread_mutex_lock(&s->lock);
	early = s->end_seen || !s->open_round || end->rounds != s->open_round;
	if (!early) {
		s->end = *end;
		s->end_seen = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (early)
		return error_set(err, MFD_PROTOCOL, "END before the last round was complete");
	counter_set(&s->flush_ns, clock_ns());
	counter_set(&s->phase, MFD_FLUSHING);
	event_raise(&s->main_event);
	return true;
}

static bool on_channel_down(struct recv_session *s, const struct wire_fence *f,
			    struct mfd_error *err)
{
	struct recv_thread *t;
	bool known;

	if (f->channel >= s->hello.channels)
		return error_set(err, MFD_PROTOCOL,
				 "the sender names channel %" PRIu32 " of %" PRIu32, f->channel,
				 s->hello.channels);
	t = &s->thread[f->channel];
	pthread_mutex_lock(&s->lock);
	known = f->generation >= t->generation || f->generation == t->fence.generation;
	/* The answer is there: a newer connection has taken its place, or it was asked before. */
	if (f->generation == t->fence.generation)
		t->fence_news = true;
	else if (known)
		t->fence_wanted = f->generation; /* it may still be on its way to us */
	pthread_mutex_unlock(&s->lock);
	if (!known)
		return error_set(err, MFD_PROTOCOL,
				 "CHANNEL_DOWN for channel %" PRIu32 ", generation %" PRIu32
				 ", which is not the last",
				 f->channel, f->generation);
	event_raise(&s->main_event);
	return true;
}

static bool on_message(struct recv_session *s, const struct wire_message *m, struct mfd_error *err)
{
	switch (m->type) {
	case WIRE_HEARTBEAT:
		return true; /* that it came is all it says */
	case WIRE_END:
		return on_end(s, &m->end, err);
	case WIRE_CHANNEL_DOWN:
		return on_channel_down(s, &m->fence, err);
	case WIRE_ERROR:
		control_remote_error(&m->problem, err);
		return false;
	default:
		return error_set(err, MFD_PROTOCOL, "unexpected %s from the sender",
				 wire_type_name(m->type));
	}
}

/* ---- What we say. ---- */

/*
 * What has been written since the last time; cumulative, so that nothing is lost when there is no
 * room for it now.
 */
static bool say_acks(struct recv_session *s, struct mfd_error *err)
{
	struct wire_message m = { .type = WIRE_ACK };

	if (!control_has_room(s->control))
		return true;
	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->hello.channels; i++) {
		struct recv_thread *t = &s->thread[i];
		uint64_t written = counter_get(&t->written);

		if (t->acked_generation != t->generation) {
			t->acked_generation = t->generation;
			t->acked = 0;
		}
		if (written == t->acked)
			continue;
		t->acked = written;
		m.ack.channel[m.ack.count++] = (struct wire_channel_ack){ i, t->generation,
									  written };
	}
	pthread_mutex_unlock(&s->lock);
	return !m.ack.count || say(s, &m, err);
}

static bool say_heartbeat(struct recv_session *s, struct mfd_error *err)
{
	struct wire_message m = { .type = WIRE_HEARTBEAT };

	if (!control_has_room(s->control))
		return true;
	m.heartbeat.phase = (uint8_t)counter_get(&s->phase);
	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->hello.channels; i++) {
		const struct recv_thread *t = &s->thread[i];

		if (t->generation)
			m.heartbeat.channel[m.heartbeat.count++] =
				(struct wire_channel_health){ i, t->generation,
							      counter_get(&t->received),
							      (uint8_t)counter_get(&t->waits) };
	}
	pthread_mutex_unlock(&s->lock);
	return say(s, &m, err);
}

/* The round is complete: its totals, and the next one is open. */
static void close_round_locked(struct recv_session *s, struct wire_sync_done *done)
{
	done->round = s->open_round++;
	if (!done->round)
		s->first_totals = done->totals;
	totals_add(&s->all_totals, &done->totals);
	s->sync_batches = UINT64_MAX;
	for (unsigned i = 0; i < s->hello.channels; i++)
		memset(&s->thread[i].round_totals, 0, sizeof(s->thread[i].round_totals));
}

/*
 * Every channel that has a connection, or may still get its first one, has reported SYNC of the
 * open round, and all batches that there are have been written: those of a lost channel may be on
 * their way on another that had reported before.  *ret_many: more than there are.
 */
static bool round_done(struct recv_session *s, struct wire_sync_done *ret, bool *ret_many)
{
	bool all;

	memset(ret, 0, sizeof(*ret));
	pthread_mutex_lock(&s->lock);
	all = s->sync_batches != UINT64_MAX;
	for (unsigned i = 0; i < s->hello.channels; i++) {
		const struct recv_thread *t = &s->thread[i];

		all = all && (recv_gone_locked(t) ||
			      (!t->down && t->generation && t->synced > s->open_round));
		totals_add(&ret->totals, &t->round_totals);
	}
	*ret_many = all && s->all_totals.packets + ret->totals.packets > s->sync_batches;
	all = all && s->all_totals.packets + ret->totals.packets == s->sync_batches;
	if (all)
		close_round_locked(s, ret);
	pthread_mutex_unlock(&s->lock);
	return all;
}

static bool say_sync_done(struct recv_session *s, struct mfd_error *err)
{
	struct wire_message m = { .type = WIRE_SYNC_DONE };

	bool many;

	if (!round_done(s, &m.sync_done, &many))
		return !many || error_set(err, MFD_PROTOCOL,
					  "more batches than SYNC(%" PRIu32 ") says there are",
					  s->open_round);
	counter_set(&s->rounds, m.sync_done.round + 1);
	return say(s, &m, err);
}

/* Connections that ended by themselves: the sender gives them up. */
static bool say_down(struct recv_session *s, struct mfd_error *err)
{
	for (unsigned i = 0; i < s->hello.channels; i++) {
		struct recv_thread *t = &s->thread[i];
		struct wire_message m = { .type = WIRE_CHANNEL_DOWN };
		bool news;

		pthread_mutex_lock(&s->lock);
		news = t->down && !t->told && !recv_gone_locked(t) && !s->end_seen;
		t->told = t->told || news;
		m.fence = (struct wire_fence){ .channel = i, .generation = t->generation };
		pthread_mutex_unlock(&s->lock);
		if (news && !say(s, &m, err))
			return false;
	}
	return true;
}

/* Connections that the sender gave up and main has ended. */
static bool say_fenced(struct recv_session *s, struct mfd_error *err)
{
	for (unsigned i = 0; i < s->hello.channels; i++) {
		struct recv_thread *t = &s->thread[i];
		struct wire_message m = { .type = WIRE_FENCED };
		bool news;

		pthread_mutex_lock(&s->lock);
		news = t->fence_news;
		t->fence_news = false;
		m.fence = t->fence;
		pthread_mutex_unlock(&s->lock);
		if (news && !say(s, &m, err))
			return false;
	}
	return true;
}

static bool say_news(struct recv_session *s, struct mfd_error *err)
{
	/* In this order: a round's acknowledgements are with the sender before its SYNC_DONE. */
	return say_acks(s, err) && say_sync_done(s, err) && say_down(s, err) && say_fenced(s, err);
}

/* ---- The door. ---- */

static void open_door(struct recv_session *s, const struct mfd_error *error, bool alive)
{
	if (alive && !error->remote)
		control_tell(s->control, error);
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_mutex_unlock(&s->lock);
	event_raise(&s->stop);
	event_raise(&s->main_event);
}

/* That the connection ends says nothing: a sender that was killed has closed it as well. */
static void await_confirmation(struct recv_session *s, uint64_t deadline_ns)
{
	struct wire_message m;
	struct mfd_error ignored;

	for (;;) {
		switch (control_wait(s->control, NULL, deadline_ns, &m, &ignored)) {
		case CONTROL_MESSAGE:
			if (m.type != WIRE_HEARTBEAT || m.heartbeat.phase != MFD_FINISHED)
				break;
			s->confirmed = true; /* read when this thread has been joined */
			return;
		case CONTROL_BEAT:
			break;
		default:
			return;
		}
	}
}

/*
 * Main has put the output in place: from now on nothing changes our verdict, the sender only has to
 * learn of it.
 */
static bool farewell(struct recv_session *s)
{
	struct wire_message m = { .type = WIRE_COMMITTED };
	uint64_t deadline;
	bool committed;

	pthread_mutex_lock(&s->lock);
	committed = s->committed;
	m.committed = (struct wire_committed){ s->end.size, s->end.image_hash };
	pthread_mutex_unlock(&s->lock);
	if (!committed)
		return false;
	deadline = clock_ns() + FAREWELL_MS * CLOCK_NS_PER_MS;
	if (!control_queue(s->control, &m))
		return true;
	if (s->params.resume)
		await_confirmation(s, deadline);
	else if (control_flush(s->control, deadline))
		control_linger(s->control, deadline);
	return true;
}

void *recv_control_main(void *session)
{
	struct recv_session *s = session;
	struct mfd_error err, reason;
	struct wire_message m;
	bool alive = true;
	uint64_t sweep;

	while (!farewell(s)) {
		sweep = clock_ns() + SWEEP_MS * CLOCK_NS_PER_MS;
		switch (control_wait(s->control, &s->verdict.attention, sweep, &m, &err)) {
		case CONTROL_MESSAGE:
			if (!on_message(s, &m, &err))
				report(s, &err);
			break;
		case CONTROL_BEAT:
			if (!say_heartbeat(s, &err))
				report(s, &err);
			break;
		case CONTROL_ATTENTION:
			event_clear(&s->verdict.attention);
			break;
		case CONTROL_DEADLINE:
			break;
		case CONTROL_LOST:
			/* After bytes that make no sense the peer can still be told. */
			alive = err.status != MFD_TRY_AGAIN;
			error_wrap(&err, alive ? "control" : "lost the sender: control");
			report(s, &err);
			break;
		}
		if (alive && !say_news(s, &err))
			report(s, &err);
		if (verdict_ends(&s->verdict, alive, &reason)) {
			open_door(s, &reason, alive);
			return NULL;
		}
	}
	return NULL;
}
