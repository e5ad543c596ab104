/* SPDX-License-Identifier: MIT */
/*
 * The threads that hash a basis and the one that sends the lists.
 *
 * Life of a range: a worker takes the next free place in the ring, looks where the next data is
 * (one worker at a time, so that ranges keep their order), hashes the pages into the place's frame,
 * and marks it ready; the writer sends the places in ring order and frees them.  A hole of at least
 * a range becomes one frame without hashes, however long it is.  A range that can't be read becomes
 * one that says so.
 *
 * Waiting: a worker for a free place, the writer for the next place to be ready (with a beat when
 * that takes long) and for the socket.  The door: `stop` with both conditions, and shutdown for the
 * socket.  What reads disks is the workers alone, and nobody but the writer waits for them.
 */
#include "recv/basis.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/hash.h"
#include "base/zero.h"

/* Read at a time: stays in L2 until it is hashed. */
#define BASIS_BLOCK 64u

/* What has been told stays in the page cache for so many pages, for the threads that keep it. */
#define BASIS_REMEMBER UINT64_C(65536)

struct range {
	bool ready;
	struct wire_hashes head;
	uint8_t raw[WIRE_HASHES_BYTES + WIRE_MAX_HASHES_BODY];
};

struct recv_basis {
	/* Set before the threads start, never changed. */
	struct basis_params params;
	struct channel *channel;
	uint64_t pages;
	uint64_t beat_ns;
	unsigned workers;

	/* The caller of _start() and _stop() only. */
	pthread_t worker[BASIS_MAX_WORKERS];
	unsigned running;
	pthread_t writer;
	bool writing;

	pthread_mutex_t lock;        /* Guards: */
	pthread_cond_t room; /* a place is free, or a worker has finished finding, or stop */
	pthread_cond_t ready;        /* the next place is ready, or all is over */
	uint64_t taken, sent;        /* ranges */
	uint64_t next;               /* the page where the next range begins */
	bool finding;                /* a worker is looking where that one ends */
	bool stop;
	struct range *ring; /* [BASIS_RANGES]; a place taken and not ready is its worker's */

	/* The writer only. */
	uint64_t forgotten;          /* pages */
};

/* ---- Workers. ---- */

static size_t range_frame_bytes(const struct range *r)
{
	return WIRE_HASHES_BYTES + wire_hashes_body_bytes(&r->head);
}

/*
 * Hash one block of a range: sets its bits in @has and appends its hashes at *@at.  @block is at a
 * whole word of the bitmap.
 */
static bool hash_block(const struct recv_basis *b, uint64_t first, uint32_t block, uint32_t count,
		       uint8_t *pages, uint64_t *has, uint8_t **at)
{
	uint64_t unused[BATCH_WORDS], data[BITMAP_WORDS(BASIS_BLOCK)];
	struct mfd_error ignored;

	if (!sink_basis_read(b->params.basis, first + block, count, pages, unused, &ignored))
		return false;
	bitmap_fill(data, count);
	(void)zero_scan(zero_best(), pages, PAGE_BYTES, data, count);
	has[block / 64] = data[0];
	for (uint32_t i = 0; i < count; i++) {
		if (!bitmap_test(data, i))
			continue;
		hash_strong(pages + (size_t)i * PAGE_BYTES, PAGE_BYTES, b->params.secret,
			    WIRE_SECRET_BYTES, *at);
		*at += HASH_STRONG_BYTES;
	}
	return true;
}

/* Make the frame of a range whose pages are known; one that can't be read is told as such. */
static void hash_range(const struct recv_basis *b, struct range *r, uint8_t *pages)
{
	const uint32_t count = (uint32_t)r->head.count;
	uint8_t *body = r->raw + WIRE_HASHES_BYTES, *at = body + 8 * BITMAP_WORDS(count);
	uint64_t has[BITMAP_WORDS(WIRE_MAX_HASHES)] = { 0 };
	uint32_t n;

	_Static_assert(BASIS_BLOCK == 64, "a block is a word of the bitmap");
	for (uint32_t i = 0; i < count; i += n) {
		n = count - i < BASIS_BLOCK ? count - i : BASIS_BLOCK;
		if (!hash_block(b, r->head.first, i, n, pages, has, &at)) {
			r->head.kind = WIRE_HASHES_NONE;
			return;
		}
	}
	r->head.hashes = bitmap_count(has, count);
	wire_put_hashes_map(has, count, body);
	r->head.body_hash = hash_bytes(body, (size_t)(at - body));
}

/* Wait for a place in the ring; NULL when there is nothing left to do. */
static struct range *take_place_locked(struct recv_basis *b)
{
	while (!b->stop && b->next < b->pages) {
		if (!b->finding && b->taken - b->sent < BASIS_RANGES) {
			b->finding = true;
			return &b->ring[b->taken++ % BASIS_RANGES];
		}
		pthread_cond_wait(&b->room, &b->lock);
	}
	return NULL;
}

/*
 * Which pages the range is about.  Looking for data may take a disk's time, so not under the lock.
 */
static void find_range(struct recv_basis *b, struct range *r)
{
	const uint64_t first = b->next; /* ours while `finding` */
	const uint64_t data = sink_basis_data(b->params.basis, first, b->pages);

	r->head = (struct wire_hashes){ .kind = WIRE_HASHES_LIST, .first = first };
	r->head.count = b->pages - first < WIRE_MAX_HASHES ? b->pages - first : WIRE_MAX_HASHES;
	if (data - first >= r->head.count) {
		r->head.kind = WIRE_HASHES_ZERO;
		r->head.count = data - first;
	}
}

static void *worker_main(void *basis)
{
	uint8_t *pages = aligned_alloc(PAGE_BYTES, BASIS_BLOCK * PAGE_BYTES);
	struct recv_basis *b = basis;
	struct range *r;

	pthread_mutex_lock(&b->lock);
	while ((r = take_place_locked(b))) {
		pthread_mutex_unlock(&b->lock);
		find_range(b, r);
		pthread_mutex_lock(&b->lock);
		b->next += r->head.count;
		b->finding = false;
		pthread_cond_broadcast(&b->room);
		pthread_mutex_unlock(&b->lock);
		if (!pages)
			r->head.kind = WIRE_HASHES_NONE;
		else if (r->head.kind == WIRE_HASHES_LIST)
			hash_range(b, r, pages);
		wire_put_hashes(&r->head, r->raw);
		pthread_mutex_lock(&b->lock);
		r->ready = true;
		pthread_cond_signal(&b->ready);
	}
	/* The writer may be waiting for ranges that will not come. */
	pthread_cond_signal(&b->ready);
	pthread_mutex_unlock(&b->lock);
	free(pages);
	return NULL;
}

/* ---- The writer. ---- */

enum writing { WRITE_RANGE, WRITE_BEAT, WRITE_END, WRITE_STOP };

static bool all_sent_locked(const struct recv_basis *b)
{
	return b->next >= b->pages && !b->finding && b->sent == b->taken;
}

/* Wait for the next range, or until the sender wants to hear something. */
static enum writing await_range(struct recv_basis *b)
{
	const uint64_t until = clock_ns() + b->beat_ns;
	const struct timespec ts = { (time_t)(until / CLOCK_NS_PER_S),
				     (long)(until % CLOCK_NS_PER_S) };
	enum writing what;
	int e = 0;

	pthread_mutex_lock(&b->lock);
	while (!b->stop && !b->ring[b->sent % BASIS_RANGES].ready && !all_sent_locked(b) && e == 0)
		e = pthread_cond_timedwait(&b->ready, &b->lock, &ts);
	if (b->stop)
		what = WRITE_STOP;
	else if (b->ring[b->sent % BASIS_RANGES].ready)
		what = WRITE_RANGE;
	else
		what = all_sent_locked(b) ? WRITE_END : WRITE_BEAT;
	pthread_mutex_unlock(&b->lock);
	return what;
}

static bool write_bytes(struct recv_basis *b, uint8_t *bytes, size_t size)
{
	struct iovec iov = { bytes, size };
	struct mfd_error ignored;

	if (!b->channel->ops->send(b->channel, &iov, 1, &ignored))
		return false;
	counter_add(b->params.bytes, size);
	return true;
}

/* BEAT and END. */
static bool write_word(struct recv_basis *b, enum wire_hashes_kind kind)
{
	const struct wire_hashes h = { .kind = (uint8_t)kind };
	uint8_t raw[WIRE_HASHES_BYTES];

	wire_put_hashes(&h, raw);
	return write_bytes(b, raw, sizeof(raw));
}

static void forget_up_to(struct recv_basis *b, uint64_t page)
{
	if (!b->params.forget || page <= b->forgotten)
		return;
	sink_basis_forget(b->params.basis, b->forgotten, page - b->forgotten);
	b->forgotten = page;
}

static bool write_range(struct recv_basis *b)
{
	struct range *r = &b->ring[b->sent % BASIS_RANGES];
	const uint64_t end = r->head.first + r->head.count;

	if (!write_bytes(b, r->raw, range_frame_bytes(r)))
		return false;
	forget_up_to(b, end > BASIS_REMEMBER ? end - BASIS_REMEMBER : 0);
	pthread_mutex_lock(&b->lock);
	r->ready = false;
	b->sent++;
	pthread_cond_broadcast(&b->room);
	pthread_mutex_unlock(&b->lock);
	return true;
}

static void stop_all(struct recv_basis *b)
{
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_cond_broadcast(&b->room);
	pthread_cond_broadcast(&b->ready);
	pthread_mutex_unlock(&b->lock);
}

static void *writer_main(void *basis)
{
	struct recv_basis *b = basis;
	bool ok = true;

	while (ok) {
		switch (await_range(b)) {
		case WRITE_RANGE:
			ok = write_range(b);
			break;
		case WRITE_BEAT:
			ok = write_word(b, WIRE_HASHES_BEAT);
			break;
		case WRITE_END:
			(void)write_word(b, WIRE_HASHES_END);
			return NULL;
		case WRITE_STOP:
			return NULL;
		}
	}
	/* Nobody listens any more. */
	stop_all(b);
	return NULL;
}

/* ---- Started and stopped. ---- */

static bool start_threads(struct recv_basis *b, struct mfd_error *err)
{
	int e = pthread_create(&b->writer, NULL, writer_main, b);

	b->writing = e == 0;
	for (; e == 0 && b->running < b->workers; b->running++) {
		e = pthread_create(&b->worker[b->running], NULL, worker_main, b);
		if (e)
			break;
	}
	return e == 0 ||
	       error_set_os(err, MFD_OS, e, "can't start the threads that hash the basis");
}

bool recv_basis_start(const struct basis_params *params, struct channel *channel,
		      struct recv_basis **ret, struct mfd_error *err)
{
	struct recv_basis *b = calloc(1, sizeof(*b));
	const unsigned cpus = params->workers ? params->workers : cpus_usable();
	pthread_condattr_t monotonic;

	if (!b) {
		channel->ops->free(channel);
		return error_set(err, MFD_OS, "out of memory");
	}
	b->params = *params;
	b->channel = channel;
	b->workers = cpus < BASIS_MAX_WORKERS ? cpus : BASIS_MAX_WORKERS;
	b->pages = sink_basis_pages(params->basis);
	if (b->pages > params->pages)
		b->pages = params->pages;
	b->beat_ns = params->peer_timeout_ms * CLOCK_NS_PER_MS / 4;
	if (b->beat_ns > CLOCK_NS_PER_S)
		b->beat_ns = CLOCK_NS_PER_S;
	b->ring = calloc(BASIS_RANGES, sizeof(*b->ring));
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->room, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&b->ready, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (!b->ring)
		error_set(err, MFD_OS, "out of memory");
	if (!b->ring || !start_threads(b, err)) {
		recv_basis_stop(b);
		return false;
	}
	*ret = b;
	return true;
}

void recv_basis_stop(struct recv_basis *b)
{
	if (!b)
		return;
	stop_all(b);
	b->channel->ops->shutdown(b->channel);
	for (unsigned i = 0; i < b->running; i++)
		pthread_join(b->worker[i], NULL);
	if (b->writing)
		pthread_join(b->writer, NULL);
	forget_up_to(b, b->next);
	b->channel->ops->free(b->channel);
	pthread_cond_destroy(&b->ready);
	pthread_cond_destroy(&b->room);
	pthread_mutex_destroy(&b->lock);
	free(b->ring);
	free(b);
}
