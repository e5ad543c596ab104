/* SPDX-License-Identifier: MIT */
/*
 * The sink that knows what is to come: see testing.h.
 */
#include "common/testing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* ---- A sink. ---- */

static bool sink_begin(struct sink *sink, uint64_t size, uint64_t allocated, struct mfd_error *err)
{
	struct testing_sink *s = (struct testing_sink *)sink;

	(void)size;
	(void)allocated;
	if (s->fail_begin)
		return error_set(err, MFD_CANT_CREATE, "test sink: too small");
	pthread_mutex_lock(&s->lock);
	s->begun = true;
	pthread_mutex_unlock(&s->lock);
	return true;
}

/*
 * A page has come, with @bytes of it or as zeros.  Which round it is follows from how often it has
 * come before.
 */
static void sink_page_locked(struct testing_sink *s, uint64_t page, const uint8_t *bytes,
			     size_t size)
{
	uint8_t want[PAGE_BYTES];
	uint32_t round;

	if (page >= s->pages) {
		s->wrong++;
		return;
	}
	for (round = s->page_round[page];
	     round < s->image.rounds && testing_generation(&s->image, page, round) != round;
	     round++)
		;
	if (round == s->image.rounds) {
		s->wrong++;
		return;
	}
	s->page_round[page] = round + 1;
	s->seen[round]++;
	s->overtaken += round && s->seen[round - 1] != s->expected[round - 1];
	if (s->image.kind != TESTING_ZERO || bytes) {
		testing_content(&s->image, page, round, want);
		s->wrong += bytes ? memcmp(bytes, want, size) != 0 : !testing_is_zero(want);
	}
	if (s->bytes && bytes)
		memcpy(s->bytes + page * PAGE_BYTES, bytes, size);
	else if (s->bytes)
		memset(s->bytes + page * PAGE_BYTES, 0, PAGE_BYTES);
}

static bool sink_write(struct sink *sink, uint64_t offset, const void *bytes, size_t size,
		       struct mfd_error *err)
{
	struct testing_sink *s = (struct testing_sink *)sink;
	bool full, slow;

	pthread_mutex_lock(&s->lock);
	slow = s->slow_writes > 0;
	s->slow_writes -= slow;
	full = s->written + size > s->fail_bytes;
	if (!full)
		s->written += size;
	for (size_t done = 0; !full && done < size; done += PAGE_BYTES) {
		size_t n = size - done < PAGE_BYTES ? size - done : PAGE_BYTES;

		sink_page_locked(s, (offset + done) / PAGE_BYTES, (const uint8_t *)bytes + done, n);
	}
	pthread_mutex_unlock(&s->lock);
	if (slow)
		testing_pause_ms(s->write_ms);
	return !full || error_set_os(err, MFD_IO, s->fail_errno, "test sink");
}

static bool sink_zero(struct sink *sink, uint64_t offset, uint64_t size, bool fresh,
		      const struct event *stop, struct mfd_error *err)
{
	struct testing_sink *s = (struct testing_sink *)sink;

	(void)stop;
	(void)err;
	pthread_mutex_lock(&s->lock);
	s->zeroed_fresh += fresh;
	s->zeroed += !fresh;
	for (uint64_t done = 0; done < size; done += PAGE_BYTES) {
		uint64_t page = (offset + done) / PAGE_BYTES;

		/* Later rounds must not leave alone what earlier ones wrote. */
		s->wrong += fresh && page < s->pages && s->page_round[page];
		sink_page_locked(s, page, NULL, 0);
	}
	pthread_mutex_unlock(&s->lock);
	return true;
}

static bool sink_commit(struct sink *sink, uint64_t size, const struct event *stop,
			struct mfd_error *err)
{
	struct testing_sink *s = (struct testing_sink *)sink;

	if (event_wait_fd(stop, -1, 0, clock_ns() + s->commit_ms * CLOCK_NS_PER_MS) ==
	    EVENT_STOPPED)
		return error_set(err, MFD_TRY_AGAIN, "stopped");
	if (s->fail_commit)
		return error_set_os(err, MFD_IO, EIO, "test sink: fsync");
	pthread_mutex_lock(&s->lock);
	s->committed = true;
	s->size = size;
	pthread_mutex_unlock(&s->lock);
	return true;
}

static void sink_free(struct sink *sink)
{
	(void)sink;
}

static const struct sink_ops testing_sink_ops = {
	.kind = "test",
	.begin = sink_begin,
	.write = sink_write,
	.zero = sink_zero,
	.commit = sink_commit,
	.free = sink_free,
};

void testing_sink_init(struct testing_sink *s, const struct testing_image *image)
{
	memset(s, 0, sizeof(*s));
	s->sink.ops = &testing_sink_ops;
	s->image = *image;
	s->fail_bytes = TESTING_NEVER;
	s->fail_errno = ENOSPC;
	pthread_mutex_init(&s->lock, NULL);
	s->pages = batch_pages_of(image->size);
	if (s->pages * PAGE_BYTES <= TESTING_KEEP_BYTES)
		s->bytes = malloc(s->pages * PAGE_BYTES + 1);
	s->page_round = calloc(s->pages + 1, sizeof(*s->page_round));
	s->expected = calloc(image->rounds, sizeof(*s->expected));
	s->seen = calloc(image->rounds, sizeof(*s->seen));
	if (!s->page_round || !s->expected || !s->seen)
		abort();
	if (s->bytes)
		memset(s->bytes, 0xee, s->pages * PAGE_BYTES);
	for (uint32_t round = 0; round < image->rounds; round++) {
		for (uint64_t page = 0; page < s->pages; page++)
			s->expected[round] += testing_generation(image, page, round) == round;
	}
}

void testing_sink_destroy(struct testing_sink *s)
{
	free(s->bytes);
	free(s->page_round);
	free(s->expected);
	free(s->seen);
	pthread_mutex_destroy(&s->lock);
}

bool testing_sink_complete(const struct testing_sink *s)
{
	uint8_t want[PAGE_BYTES];
	bool ok = s->begun && s->committed && s->size == s->image.size && !s->wrong &&
		  !s->overtaken;

	for (uint32_t round = 0; round < s->image.rounds; round++)
		ok = ok && s->seen[round] == s->expected[round];
	for (uint64_t page = 0; ok && s->bytes && page < s->pages; page++) {
		uint64_t left = s->image.size - page * PAGE_BYTES;

		testing_content(&s->image, page, s->image.rounds - 1, want);
		ok = !memcmp(s->bytes + page * PAGE_BYTES, want,
			     left < PAGE_BYTES ? left : PAGE_BYTES);
	}
	return ok;
}
