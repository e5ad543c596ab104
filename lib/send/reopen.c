/* SPDX-License-Identifier: MIT */
/*
 * The opener: a thread that exists while its channel has no connection, and makes the next one.
 *
 * Life: the channel's sender thread starts it once the lost connection is fenced.  It pauses,
 * tries to connect, pauses longer, and so on until it has a connection, or none is wanted any
 * more (the door, or END).  Then it leaves the connection to the sender thread and ends; that one
 * joins it.  It waits for the clock and for connect(2), and the stop event ends both.
 */
#include "send/failover.h"

#include "base/clock.h"

uint64_t send_reopen_pause(uint64_t pause_ms)
{
	return 2 * pause_ms < SEND_REOPEN_MOST_MS ? 2 * pause_ms : SEND_REOPEN_MOST_MS;
}

static bool wanted(struct send_session *s)
{
	bool r;

	pthread_mutex_lock(&s->lock);
	r = !s->stopping && !s->end_wanted;
	pthread_mutex_unlock(&s->lock);
	return r;
}

void *send_reopen_main(void *thread)
{
	struct send_thread *t = thread;
	struct send_session *s = t->session;
	struct connect_target target = s->target; /* openers of other channels have their own */
	uint64_t pause_ms = t->pause_ms;
	struct channel *channel;
	struct mfd_error err;

	for (;;) {
		if (event_wait_fd(&s->stop, -1, 0, clock_deadline_ms(pause_ms)) == EVENT_STOPPED ||
		    !wanted(s))
			return NULL;
		if (send_open_connection(s, &target, t->id, &s->stop,
					 clock_deadline_ms(s->params.timeout_ms), false, &channel,
					 &err))
			break;
		pause_ms = send_reopen_pause(pause_ms);
	}
	pthread_mutex_lock(&s->lock);
	t->opened = channel;
	t->link = SEND_LINK_OPENED;
	pthread_mutex_unlock(&s->lock);
	handoff_interrupt(t->inbox);
	return NULL;
}
