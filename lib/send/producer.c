/* SPDX-License-Identifier: MIT */
/*
 * The producer: the session's main thread between "connected" and "committed".
 *
 * Per round it walks the source and offers each batch to the next channel that has room, asks
 * every channel for one SYNC behind its batches, and waits until each batch is acknowledged and
 * the receiver has said SYNC_DONE; then it compares the totals of both ends.  When the source has
 * no further round it asks the control thread to send END and waits for COMMITTED.
 *
 * What a lost channel gave back is offered again before anything else; and when a channel was
 * lost or opened again since SYNC was asked for, it is asked for once more, on all channels.
 *
 * It sleeps in one place only (producer_sleep), never on one particular channel, and every one of
 * its waits ends when the door opens.  It never touches a socket and never reads pages that a
 * sender thread can read.
 */
#include "send/failover.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

/* Batches are never made smaller than this for the sake of the other channels: 64 KiB. */
#define SMALL_BATCH_PAGES 16u

typedef bool ready_fn(struct send_session *s);

static bool stopping(struct send_session *s)
{
	bool r;

	pthread_mutex_lock(&s->lock);
	r = s->stopping;
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* Sleep until @ready or the door opens; false for the door. */
static bool producer_sleep(struct send_session *s, ready_fn *ready)
{
	for (;;) {
		if (stopping(s))
			return false;
		send_failover_news(s);
		if (ready(s))
			return true;
		sleeper_announce(&s->producer);
		if (stopping(s) || ready(s)) {
			sleeper_retract(&s->producer);
			continue;
		}
		sleeper_sleep(&s->producer);
	}
}

/*
 * Some channel has a free slot.  The scan may move the cursor on: that costs a channel its turn, no
 * more.
 */
static bool slot_free(struct send_session *s)
{
	return handoff_find(&s->inboxes) >= 0;
}

/* Or something is to be sent again, which is how buffers become free. */
static bool pool_has_room(struct send_session *s)
{
	uint8_t *buffer = pool_get(&s->pool);

	pool_put(&s->pool, buffer);
	return buffer || returned_any(&s->returned);
}

static bool syncs_idle(struct send_session *s)
{
	for (unsigned i = 0; i < s->params.channels; i++) {
		if (!handoff_sync_idle(s->thread[i].inbox))
			return false;
	}
	return true;
}

static bool round_acknowledged(struct send_session *s)
{
	bool r;

	pthread_mutex_lock(&s->lock);
	r = s->acked == counter_get(&s->batches) && s->synced_rounds == s->round + 1;
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* The round has ended, or SYNC has to be sent again. */
static bool round_acknowledged_or_changed(struct send_session *s)
{
	return round_acknowledged(s) || returned_any(&s->returned) ||
	       counter_get(&s->changes) != s->synced_changes;
}

static bool committed(struct send_session *s)
{
	bool r;

	pthread_mutex_lock(&s->lock);
	r = s->committed;
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* Wait for a channel with a free slot; NULL for the door. */
static struct handoff *producer_find(struct send_session *s)
{
	int i;

	for (;;) {
		i = handoff_find(&s->inboxes);
		if (i >= 0)
			return s->inboxes.handoff[i];
		if (!producer_sleep(s, slot_free))
			return NULL;
	}
}

/* Everything that came back is in somebody's slots again; false for the door. */
static bool producer_send_again(struct send_session *s)
{
	struct handoff *inbox;

	while (returned_any(&s->returned)) {
		inbox = producer_find(s);
		if (!inbox)
			return false;
		if (returned_take(&s->returned, handoff_slot(inbox)))
			handoff_publish(inbox);
	}
	return true;
}

/* The bytes of @slot are with the receiver only. */
static bool is_gone(const struct send_session *s, const struct batch *slot)
{
	return s->params.replay && replay_is_gone(s->params.replay, slot);
}

/*
 * The receiver has said all it will about the batch that waits; or something is to be sent again,
 * which does not wait for a slow disk: then the batch goes as it is, if it can.
 */
static bool hashes_here(struct send_session *s)
{
	return match_ready(s->match, s->awaiting->first, s->awaiting->count) ||
	       (returned_any(&s->returned) && !is_gone(s, s->awaiting));
}

/* What the receiver has of @slot's pages, for its sender thread to compare; false for the door. */
static bool producer_match(struct send_session *s, const struct handoff *inbox, struct batch *slot)
{
	uint32_t place = 0;

	slot->match = NULL;
	if (!s->match || s->round || slot->region)
		return true;
	s->awaiting = slot;
	/* A run of zero pages needs no hashes; they are let pass. */
	if (!slot->zero_run && !producer_sleep(s, hashes_here))
		return false;
	while (s->inboxes.handoff[place] != inbox)
		place++;
	slot->match = match_fetch(s->match, slot,
				  place * HANDOFF_SLOTS + (uint32_t)(slot - inbox->slot));
	return true;
}

/*
 * An earlier session has sent @slot, and its bytes are gone: what the receiver says of those pages,
 * in @slot's match, must be what was sent.  False: no, and the reason is reported.
 */
static bool producer_recall(struct send_session *s, struct batch *slot)
{
	const struct match_hashes *h = slot->match;
	struct mfd_error err;

	if (!is_gone(s, slot))
		return true;
	if (s->told && (!s->match || !match_complete(s->match, slot->first, slot->count))) {
		error_set(&err, MFD_TRY_AGAIN, "hash lists: connection lost");
		verdict_report(&s->verdict, VERDICT_LOST, &err);
		return false;
	}
	if (replay_recall(s->params.replay, slot, h ? h->has : NULL, h ? h->hash : NULL, &err))
		return true;
	verdict_report(&s->verdict, VERDICT_CAUSE, &err);
	return false;
}

/* A buffer for the next batch where the source has to fill one; false for the door. */
static bool producer_buffer(struct send_session *s, uint8_t **ret)
{
	*ret = NULL;
	if (!s->use_pool)
		return true;
	while (!(*ret = pool_get(&s->pool))) {
		if (!producer_send_again(s) || !producer_sleep(s, pool_has_room))
			return false;
	}
	return true;
}

/*
 * What happened when a wait ended with the door: the verdict knows why, *err only has to be filled.
 */
static bool door(struct mfd_error *err)
{
	return error_set(err, MFD_TRY_AGAIN, "stopped");
}

/*
 * The most pages for the batch at @at.  Large ones cost less each, but the last of them keep one
 * channel busy while the others have nothing left to do: towards the end every channel gets some
 * more, smaller ones (guided self-scheduling, Polychronopoulos and Kuck, 1987).
 */
static uint32_t batch_limit(const struct send_session *s, uint64_t at)
{
	const uint64_t size = s->source->info.size;
	const uint32_t least = s->packet_pages < SMALL_BATCH_PAGES ? s->packet_pages
								   : SMALL_BATCH_PAGES;
	uint64_t share;

	if (size == MFD_UNKNOWN)
		return s->packet_pages;
	share = (batch_pages_of(size) - at) / (s->params.channels * (HANDOFF_SLOTS + 1));
	return share < least ? least : share < s->packet_pages ? (uint32_t)share : s->packet_pages;
}

/*
 * Room for the hashes of the pages in @b, before a sender thread fills it in.  A run of zeros needs
 * none: what earlier rounds left there goes now, because those rounds are over, and a page comes
 * once in each.
 */
static bool make_room_for_hashes(struct send_session *s, const struct batch *b,
				 struct mfd_error *err)
{
	if (!s->many_rounds)
		return true;
	if (!b->zero_run)
		return sparse_reserve(&s->page_hash, b->first, b->count, err);
	sparse_clear(&s->page_hash, b->first, b->count);
	return true;
}

/*
 * The source's next batch into the slot of a channel that has room: the slot is ours until it is
 * published, so a source may be interrupted while it waits for input, what came back meanwhile goes
 * first, and the source goes on where it was.
 */
static bool next_batch(struct send_session *s, uint32_t max_pages, uint8_t *buffer,
		       struct handoff **ret_inbox, bool *ret_end, struct mfd_error *err)
{
	const struct source_ops *ops = s->source->ops;
	struct batch *slot;

	for (;;) {
		if (!producer_send_again(s) || !(*ret_inbox = producer_find(s)))
			return door(err);
		slot = handoff_slot(*ret_inbox);
		memset(slot, 0, sizeof(*slot));
		if (ops->next(s->source, max_pages, buffer, &s->look, slot, ret_end, err))
			return true;
		/* The source may have a reason of its own to say so. */
		if (err->status != MFD_TRY_AGAIN || stopping(s) ||
		    event_wait_fd(&s->look, -1, 0, 0) != EVENT_STOPPED)
			return false;
		event_clear(&s->look);
		send_failover_news(s);
	}
}

static bool walk(struct send_session *s, struct mfd_error *err)
{
	struct handoff *inbox = NULL;
	struct batch *slot;
	uint8_t *buffer;
	uint64_t at = 0;
	bool end;

	for (;;) {
		if (!producer_buffer(s, &buffer))
			return door(err);
		if (!next_batch(s, batch_limit(s, at), buffer, &inbox, &end, err)) {
			pool_put(&s->pool, buffer);
			return false;
		}
		if (end) {
			pool_put(&s->pool, buffer);
			return true;
		}
		slot = handoff_slot(inbox);
		at = slot->first + slot->count;
		if (!make_room_for_hashes(s, slot, err)) {
			pool_put(&s->pool, buffer);
			return false;
		}
		slot->id = counter_get(&s->batches);
		if (!producer_match(s, inbox, slot) || !producer_recall(s, slot)) {
			pool_put(&s->pool, buffer);
			return door(err);
		}
		slot->round = s->round;
		slot->bytes = buffer;
		counter_add(&s->batches, 1);
		handoff_publish(inbox);
	}
}

/* Behind everything there is: one SYNC on each channel.  False for the door. */
static bool request_syncs(struct send_session *s)
{
	s->synced_changes = counter_get(&s->changes);
	if (!producer_send_again(s) || !producer_sleep(s, syncs_idle))
		return false;
	s->sync = (struct send_sync){ s->round, counter_get(&s->batches) };
	pthread_mutex_lock(&s->lock);
	s->asked_rounds = s->round + 1;
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->params.channels; i++)
		handoff_request_sync(s->thread[i].inbox);
	return true;
}

/* The round is over: SYNC, again after each loss, until the receiver has all of it. */
static bool sync_round(struct send_session *s, struct mfd_error *err)
{
	struct totals ours, theirs;

	do {
		if (!request_syncs(s) || !producer_sleep(s, round_acknowledged_or_changed))
			return door(err);
	} while (!round_acknowledged(s));

	pthread_mutex_lock(&s->lock);
	ours = s->round_totals;
	theirs = s->peer_totals;
	totals_add(&s->all_totals, &s->round_totals);
	memset(&s->round_totals, 0, sizeof(s->round_totals));
	pthread_mutex_unlock(&s->lock);
	if (!totals_equal(&ours, &theirs))
		return error_set(err, MFD_DATA,
				 "round %" PRIu32 ": the receiver wrote %" PRIu64
				 " pages in %" PRIu64 " packets with sum %016" PRIx64
				 ", sent were %" PRIu64 " in %" PRIu64 " with %016" PRIx64,
				 s->round, theirs.pages, theirs.packets, theirs.sum, ours.pages,
				 ours.packets, ours.sum);
	counter_set(&s->rounds, s->round + 1);
	return true;
}

/*
 * The hash of the finished image: the transport's sum, or with several rounds the sum over the
 * pages as sent last.
 */
static uint64_t image_hash(const struct send_session *s, uint64_t size)
{
	uint64_t first, n, sum = 0;

	if (!s->many_rounds)
		return s->all_totals.sum;
	for (first = 0; sparse_next(&s->page_hash, batch_pages_of(size), &first, &n); first += n) {
		const uint64_t *hash = sparse_at(&s->page_hash, first);

		for (uint64_t i = 0; i < n; i++)
			sum += hash[i];
	}
	return sum;
}

static bool finish(struct send_session *s, uint64_t size, struct mfd_error *err)
{
	uint64_t hash = image_hash(s, size);

	counter_set(&s->bytes_image, size);
	counter_set(&s->image_hash, hash);
	counter_set(&s->flush_ns, clock_ns());
	counter_set(&s->phase, MFD_FLUSHING);
	pthread_mutex_lock(&s->lock);
	s->end = (struct wire_end){
		.rounds = s->round + 1, .size = size, .totals = s->all_totals, .image_hash = hash
	};
	s->end_wanted = true;
	pthread_mutex_unlock(&s->lock);
	event_raise(&s->verdict.attention);
	if (!producer_sleep(s, committed)) {
		/* The door may open just after COMMITTED came in: then it counts. */
		if (committed(s))
			return true;
		return door(err);
	}
	return true;
}

bool send_produce(struct send_session *s, struct mfd_error *err)
{
	uint64_t size;
	bool again;

	counter_set(&s->phase, MFD_MOVING);
	for (s->round = 0;; s->round++) {
		if (!walk(s, err) || !sync_round(s, err))
			return false;
		if (!s->source->ops->end_round(s->source, s->round, &s->stop, &again, &size,
						err))
			return false;
		if (!again)
			return finish(s, size, err);
	}
}
