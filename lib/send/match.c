/* SPDX-License-Identifier: MIT */
/*
 * The window of hash lists, the thread that fills it, and the comparison.
 *
 * Life of the match thread: it reads one frame after the other, waits until the walk has come near
 * enough for it to fit the window, stores it and wakes the producer.  It ends with the list, with
 * the door, or when the connection breaks, is silent for too long or speaks nonsense; then the
 * window says that nothing more will come.  None of that is an error of the session: pages that
 * nobody knows about are sent.
 */
#include "send/match.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/clock.h"
#include "base/hash.h"

struct match {
	/* Set before the thread starts, never changed. */
	struct match_params params;
	struct channel *channel;
	size_t slot_bytes;
	pthread_t thread;
	bool running;

	/* Each place belongs to whoever has the batch's slot. */
	uint8_t *slot;               /* [params.slots] of slot_bytes */

	/* The match thread only. */
	uint8_t body[WIRE_MAX_HASHES_BODY];

	pthread_mutex_t lock;        /* Guards: */
	pthread_cond_t room;         /* `low` has moved on, or stop */
	uint64_t low;                /* the walk is here: pages below are of no interest any more */
	uint64_t known;              /* and what can be known about those below is here */
	bool ended;                  /* nothing more will come */
	bool stop;
	uint64_t has[BITMAP_WORDS(MATCH_WINDOW)]; /* of page p: bit p % MATCH_WINDOW */
	uint8_t (*hash)[WIRE_STRONG_BYTES]; /* [MATCH_WINDOW] */
};

/* ---- The match thread. ---- */

/* Exactly @size bytes; false at the end, at the door, or after a silence. */
static bool hear(struct match *m, uint8_t *bytes, size_t size)
{
	uint64_t deadline = clock_deadline_ms(m->params.timeout_ms);
	struct mfd_error ignored;
	size_t got = 0, moved;
	bool end = false;

	while (got < size) {
		if (!m->channel->ops->recv_some(m->channel, bytes + got, size - got, &moved, &end,
						&ignored) ||
		    end)
			return false;
		got += moved;
		if (moved)
			deadline = clock_deadline_ms(m->params.timeout_ms);
		else if (event_wait_fd(m->params.stop, m->channel->ops->fd(m->channel), POLLIN,
				       deadline) != EVENT_READY)
			return false;
	}
	counter_add(m->params.bytes, size);
	return true;
}

/* Wait until pages up to @end fit the window; false for the door. */
static bool await_room_locked(struct match *m, uint64_t end)
{
	while (!m->stop && end > m->low + MATCH_WINDOW)
		pthread_cond_wait(&m->room, &m->lock);
	return !m->stop;
}

static void store_locked(struct match *m, uint64_t first, uint32_t count, const uint64_t *has,
			 const uint8_t *hashes)
{
	for (uint32_t i = 0; i < count; i++) {
		const uint32_t at = (uint32_t)((first + i) % MATCH_WINDOW);

		bitmap_clear(m->has, at);
		if (!has || !bitmap_test(has, i))
			continue;
		bitmap_set(m->has, at);
		memcpy(m->hash[at], hashes, WIRE_STRONG_BYTES);
		hashes += WIRE_STRONG_BYTES;
	}
}

/* At most WIRE_MAX_HASHES pages, with their hashes or, where @has is NULL, without. */
static bool take_pages(struct match *m, uint64_t first, uint32_t count, const uint64_t *has,
		       const uint8_t *hashes)
{
	bool ok;

	pthread_mutex_lock(&m->lock);
	ok = await_room_locked(m, first + count);
	if (ok) {
		/* The walk may be past it: then there is nobody to store it for, and no place. */
		if (first + count > m->low)
			store_locked(m, first, count, has, hashes);
		m->known = first + count;
	}
	pthread_mutex_unlock(&m->lock);
	sleeper_wake(m->params.producer);
	return ok;
}

/*
 * A run of any length without hashes: what the walk has passed in one step, the rest in small ones.
 */
static bool take_run(struct match *m, uint64_t first, uint64_t count)
{
	const uint64_t end = first + count;
	uint64_t step;

	while (first < end) {
		pthread_mutex_lock(&m->lock);
		if (m->low > first)
			first = m->low < end ? m->low : end;
		m->known = first;
		pthread_mutex_unlock(&m->lock);
		step = end - first < WIRE_MAX_HASHES ? end - first : WIRE_MAX_HASHES;
		if (step && !take_pages(m, first, (uint32_t)step, NULL, NULL))
			return false;
		first += step;
	}
	return true;
}

/* The next frame, if it is one that may come now. */
static bool hear_frame(struct match *m, uint64_t next, struct wire_hashes *ret)
{
	uint8_t raw[WIRE_HASHES_BYTES];
	struct mfd_error ignored;

	if (!hear(m, raw, sizeof(raw)) || !wire_get_hashes(raw, ret, &ignored))
		return false;
	if (ret->count && (ret->first != next || ret->count > m->params.pages - next))
		return false;
	return hear(m, m->body, wire_hashes_body_bytes(ret));
}

static bool take_frame(struct match *m, const struct wire_hashes *h)
{
	uint64_t has[BITMAP_WORDS(WIRE_MAX_HASHES)];
	struct mfd_error ignored;

	if (h->kind != WIRE_HASHES_LIST)
		return take_run(m, h->first, h->count);
	return wire_get_hashes_map(h, m->body, has, &ignored) &&
	       take_pages(m, h->first, (uint32_t)h->count, has,
			  m->body + 8 * BITMAP_WORDS(h->count));
}

static void *match_main(void *match)
{
	struct match *m = match;
	struct wire_hashes h;
	uint64_t next = 0;

	while (hear_frame(m, next, &h) && h.kind != WIRE_HASHES_END && take_frame(m, &h))
		next += h.count;
	pthread_mutex_lock(&m->lock);
	m->ended = true;
	pthread_mutex_unlock(&m->lock);
	sleeper_wake(m->params.producer);
	/* Whoever still writes to it is told that nobody reads. */
	m->channel->ops->shutdown(m->channel);
	return NULL;
}

/* ---- Started and stopped. ---- */

bool match_start(const struct match_params *params, struct channel *channel, struct match **ret,
		 struct mfd_error *err)
{
	struct match *m = calloc(1, sizeof(*m));
	int e;

	if (!m) {
		channel->ops->free(channel);
		return error_set(err, MFD_OS, "out of memory");
	}
	m->params = *params;
	m->channel = channel;
	m->slot_bytes =
		sizeof(struct match_hashes) + (size_t)params->packet_pages * WIRE_STRONG_BYTES;
	m->slot = malloc(m->slot_bytes * params->slots);
	m->hash = malloc((size_t)MATCH_WINDOW * WIRE_STRONG_BYTES);
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->room, NULL);
	if (!m->slot || !m->hash) {
		match_stop(m);
		return error_set(err, MFD_OS, "out of memory");
	}
	e = pthread_create(&m->thread, NULL, match_main, m);
	if (e) {
		match_stop(m);
		return error_set_os(err, MFD_OS, e, "can't start the thread for hash lists");
	}
	m->running = true;
	*ret = m;
	return true;
}

void match_stop(struct match *m)
{
	if (!m)
		return;
	if (m->running) {
		pthread_mutex_lock(&m->lock);
		m->stop = true;
		pthread_cond_signal(&m->room);
		pthread_mutex_unlock(&m->lock);
		m->channel->ops->shutdown(m->channel);
		pthread_join(m->thread, NULL);
	}
	m->channel->ops->free(m->channel);
	pthread_cond_destroy(&m->room);
	pthread_mutex_destroy(&m->lock);
	free(m->slot);
	free(m->hash);
	free(m);
}

/* ---- The producer. ---- */

bool match_ready(struct match *m, uint64_t first, uint64_t count)
{
	const uint64_t end = first + count < m->params.pages ? first + count : m->params.pages;
	bool r;

	pthread_mutex_lock(&m->lock);
	/*
	 * The walk is at @first: saying so may be what makes room for what we wait for.  A batch
	 * never fills the window.
	 */
	if (first > m->low) {
		m->low = first;
		pthread_cond_signal(&m->room);
	}
	r = m->ended || m->known >= end;
	pthread_mutex_unlock(&m->lock);
	return r;
}

bool match_complete(struct match *m, uint64_t first, uint64_t count)
{
	const uint64_t end = first + count < m->params.pages ? first + count : m->params.pages;
	bool r;

	pthread_mutex_lock(&m->lock);
	r = m->known >= end;
	pthread_mutex_unlock(&m->lock);
	return r;
}

/* What the window has of page @first + i, for all @count of them. */
static bool copy_locked(const struct match *m, uint64_t first, uint32_t count,
			struct match_hashes *ret)
{
	bool any = false;

	memset(ret->has, 0, sizeof(ret->has));
	for (uint32_t i = 0; i < count; i++) {
		const uint64_t page = first + i;
		const uint32_t at = (uint32_t)(page % MATCH_WINDOW);

		if (page < m->low || page >= m->known || !bitmap_test(m->has, at))
			continue;
		bitmap_set(ret->has, i);
		memcpy(ret->hash[i], m->hash[at], WIRE_STRONG_BYTES);
		any = true;
	}
	return any;
}

const struct match_hashes *match_fetch(struct match *m, const struct batch *batch, uint32_t slot)
{
	struct match_hashes *ret = (struct match_hashes *)(void *)(m->slot + slot * m->slot_bytes);
	const uint64_t end = batch->first + batch->count;
	bool any;

	pthread_mutex_lock(&m->lock);
	any = !batch->zero_run && copy_locked(m, batch->first, (uint32_t)batch->count, ret);
	if (end > m->low) {
		m->low = end;
		pthread_cond_signal(&m->room);
	}
	pthread_mutex_unlock(&m->lock);
	return any ? ret : NULL;
}

/* ---- Sender threads. ---- */

void match_pages(const struct match *m, struct batch *batch, const uint8_t *pages,
		 const struct totals *totals)
{
	const uint32_t count = (uint32_t)batch->count;
	uint8_t ours[WIRE_STRONG_BYTES];

	batch->kept_sum = totals->sum;
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *page = pages + (size_t)i * PAGE_BYTES;

		if (!bitmap_test(batch->data, i))
			continue;
		if (bitmap_test(batch->match->has, i))
			hash_strong(page, PAGE_BYTES, m->params.secret, WIRE_SECRET_BYTES, ours);
		if (bitmap_test(batch->match->has, i) &&
		    !memcmp(ours, batch->match->hash[i], sizeof(ours))) {
			bitmap_clear(batch->data, i);
			bitmap_set(batch->kept, i);
		} else {
			batch->kept_sum -=
				hash_page(page, PAGE_BYTES, batch->region, batch->first + i);
		}
	}
}
