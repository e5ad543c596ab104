/* SPDX-License-Identifier: MIT */
/*
 * See replay.h.
 *
 * Records are indexed by batch id.  The producer makes one as it hands the batch out; the sender
 * thread that reads the batch first fills in what is said about its pages; the control thread
 * gives the bytes back when the batch is acknowledged, which comes after the last read().  What one
 * of them leaves for the others goes with the batch: through the hand-off, over the network, or by
 * the joining of threads between two sessions.
 */
#include "source/replay.h"

#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "base/zero.h"
#include "core/pool.h"
#include "core/sparse.h"

struct replay_record {
	uint8_t *bytes;          /* from the pool; NULL: the receiver has them */
	uint64_t first;
	uint32_t count;
	bool examined;           /* `data` and `digest` are known; `sum` once acknowledged */
	uint64_t sum;            /* of the page hashes */
	uint8_t digest[HASH_STRONG_BYTES]; /* strong hash of the data pages' strong hashes */
	uint64_t data[BATCH_WORDS]; /* pages that are not zero */
};

static_assert(sizeof(struct replay_record) == REPLAY_RECORD, "what the header says");

struct replay {
	/* Set by the constructor, const afterwards. */
	struct source base;
	struct source *stream;
	uint8_t secret[REPLAY_SECRET_BYTES];

	/* Between producer and control thread. */
	struct pool pool;
	struct event room;       /* a buffer came back */
	bool have_pool, have_room;

	/* The producer only; the records themselves as above. */
	struct sparse records;   /* of struct replay_record */
	uint64_t made;           /* so many batches has the stream given */
	uint64_t next;           /* that the session gets next; at most `made` */
	uint8_t *begun;          /* the stream has begun to fill it */
	bool lost;
};

static struct replay_record *record_at(const struct replay *r, uint64_t id)
{
	return sparse_at(&r->records, id);
}

/* ---- Handing out. ---- */

/* A buffer for the next batch; NULL with *err when @stop is raised first. */
static uint8_t *take_buffer(struct replay *r, const struct event *stop, struct mfd_error *err)
{
	uint8_t *buffer;

	for (;;) {
		event_clear(&r->room);
		buffer = pool_get(&r->pool);
		if (buffer)
			return buffer;
		if (event_wait_fd(stop, r->room.fd, POLLIN, CLOCK_NEVER) == EVENT_STOPPED) {
			error_set(err, MFD_TRY_AGAIN, "cancelled");
			return NULL;
		}
	}
}

/* One more batch of the stream. */
static bool read_on(struct replay *r, uint32_t max_pages, const struct event *stop,
		    struct batch *ret, bool *ret_end, struct mfd_error *err)
{
	struct replay_record *record;

	if (!r->begun && !(r->begun = take_buffer(r, stop, err)))
		return false;
	/* First, because what the stream has given can't be given back. */
	if (!sparse_reserve(&r->records, r->made, 1, err) ||
	    !r->stream->ops->next(r->stream, max_pages, r->begun, stop, ret, ret_end, err))
		return false;
	if (*ret_end)
		return true;
	record = record_at(r, r->made++);
	record->bytes = r->begun;
	record->first = ret->first;
	record->count = (uint32_t)ret->count;
	r->begun = NULL;
	return true;
}

static bool replay_next(struct source *source, uint32_t max_pages, uint8_t *buffer,
			const struct event *stop, struct batch *ret, bool *ret_end,
			struct mfd_error *err)
{
	struct replay *r = (struct replay *)source;
	const struct replay_record *record;

	(void)buffer;
	*ret_end = false;
	if (r->next == r->made) {
		if (!read_on(r, max_pages, stop, ret, ret_end, err))
			return false;
		r->next = r->made;
		return true;
	}
	record = record_at(r, r->next);
	if (record->count > max_pages)
		return error_set(err, MFD_PROTOCOL,
				 "the receiver takes packets of %" PRIu32
				 " pages now, and has taken larger ones",
				 max_pages);
	r->next++;
	ret->first = record->first;
	ret->count = record->count;
	bitmap_fill(ret->carried, record->count);
	memcpy(ret->data, record->bytes ? ret->carried : record->data, sizeof(ret->data));
	return true;
}

/* ---- What is remembered. ---- */

/* The digest of @count pages: of the strong hashes of those in @data. */
static void make_digest(const struct replay *r, uint8_t (*hash)[HASH_STRONG_BYTES], size_t hashes,
			uint8_t ret[static HASH_STRONG_BYTES])
{
	hash_strong(hash, hashes * sizeof(*hash), r->secret, sizeof(r->secret), ret);
}

static void examine(const struct replay *r, struct replay_record *record)
{
	uint8_t hash[BATCH_MAX_PAGES][HASH_STRONG_BYTES];
	size_t hashes = 0;

	bitmap_fill(record->data, record->count);
	(void)zero_scan(zero_best(), record->bytes, PAGE_BYTES, record->data, record->count);
	for (uint32_t i = 0; i < record->count; i++)
		if (bitmap_test(record->data, i))
			hash_strong(record->bytes + (size_t)i * PAGE_BYTES, PAGE_BYTES, r->secret,
				    sizeof(r->secret), hash[hashes++]);
	make_digest(r, hash, hashes, record->digest);
	record->examined = true;
}

static bool replay_read(struct source *source, const struct batch *batch, uint8_t *buffer,
			struct mfd_error *err)
{
	struct replay *r = (struct replay *)source;
	struct replay_record *record = record_at(r, batch->id);

	(void)err;
	if (!bitmap_count(batch->data, (uint32_t)batch->count))
		return true; /* recalled: there is nothing to read */
	if (!record->examined)
		examine(r, record);
	memcpy(buffer, record->bytes, (size_t)record->count * PAGE_BYTES);
	return true;
}

void replay_acknowledged(struct replay *r, uint64_t id, uint64_t sum)
{
	struct replay_record *record = record_at(r, id);

	record->sum = sum;
	if (!record->bytes)
		return;
	pool_put(&r->pool, record->bytes);
	record->bytes = NULL;
	event_raise(&r->room);
}

bool replay_is_gone(const struct replay *r, const struct batch *batch)
{
	return !record_at(r, batch->id)->bytes;
}

bool replay_recall(struct replay *r, struct batch *batch, const uint64_t *has,
		   const uint8_t (*hash)[HASH_STRONG_BYTES], struct mfd_error *err)
{
	const struct replay_record *record = record_at(r, batch->id);
	uint8_t theirs[BATCH_MAX_PAGES][HASH_STRONG_BYTES] = { { 0 } };
	uint8_t digest[HASH_STRONG_BYTES];
	size_t hashes = 0;
	bool all = true;

	for (uint32_t i = 0; i < record->count; i++) {
		if (!bitmap_test(record->data, i))
			continue;
		all = all && hash && bitmap_test(has, i);
		if (all)
			memcpy(theirs[hashes++], hash[i], HASH_STRONG_BYTES);
	}
	make_digest(r, theirs, hashes, digest);
	r->lost = !all || memcmp(digest, record->digest, sizeof(digest)) != 0;
	if (r->lost)
		return error_set(err, MFD_TRY_AGAIN,
				 "standard input can't be read once more, and the receiver no "
				 "longer has what it had of its pages %" PRIu64 " to %" PRIu64,
				 record->first, record->first + record->count - 1);
	memcpy(batch->kept, record->data, sizeof(batch->kept));
	memset(batch->data, 0, sizeof(batch->data));
	batch->kept_sum = record->sum;
	batch->match = NULL;
	return true;
}

bool replay_is_lost(const struct replay *r)
{
	return r->lost;
}

/* ---- Made. ---- */

static bool replay_end_round(struct source *source, uint32_t round, const struct event *stop,
			     bool *ret_again, uint64_t *ret_size, struct mfd_error *err)
{
	struct replay *r = (struct replay *)source;

	return r->stream->ops->end_round(r->stream, round, stop, ret_again, ret_size, err);
}

static void replay_free(struct source *source)
{
	struct replay *r = (struct replay *)source;

	r->stream->ops->free(r->stream);
	sparse_destroy(&r->records);
	if (r->have_room)
		event_destroy(&r->room);
	if (r->have_pool)
		pool_destroy(&r->pool);
	free(r);
}

static const struct source_ops replay_ops = {
	.kind = "replay",
	.next = replay_next,
	.read = replay_read,
	.end_round = replay_end_round,
	.report = source_report_nothing,
	.free = replay_free,
};

bool replay_new(struct source *stream, uint32_t packet_pages, uint32_t buffers,
		struct replay **ret, struct mfd_error *err)
{
	struct replay *r = calloc(1, sizeof(*r));

	if (!r) {
		stream->ops->free(stream);
		return error_set(err, MFD_OS, "out of memory");
	}
	r->base.ops = &replay_ops;
	r->base.info = stream->info;
	r->base.info.rereadable = true;
	r->stream = stream;
	r->have_pool = pool_init(&r->pool, buffers, (size_t)packet_pages * PAGE_BYTES, err);
	r->have_room = r->have_pool && event_init(&r->room, err);
	if (!r->have_room || !sparse_init(&r->records, sizeof(struct replay_record), err) ||
	    !random_fill(r->secret, sizeof(r->secret), err)) {
		replay_free(&r->base);
		return false;
	}
	*ret = r;
	return true;
}

struct source *replay_source(struct replay *r)
{
	return &r->base;
}

void replay_rewind(struct replay *r)
{
	r->next = 0;
}

const uint8_t *replay_secret(const struct replay *r)
{
	return r->secret;
}
