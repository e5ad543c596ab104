/* SPDX-License-Identifier: MIT */
/*
 * A stream that is sent more than once: which bytes are there again, and what must be said of
 * those that are not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/event.h"
#include "core/batch.h"
#include "source/replay.h"

#define PACKET 4u
#define BUFFERS 3u

struct fixture {
	int pipe[2];
	struct event stop;
	struct replay *replay;
	struct source *source;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct source *stream;
	struct mfd_error err;

	*state = f;
	if (!f || pipe(f->pipe) || !event_init(&f->stop, &err) ||
	    !source_stream_new(f->pipe[0], &stream, &err) ||
	    !replay_new(stream, PACKET, BUFFERS, &f->replay, &err))
		return -1;
	f->source = replay_source(f->replay);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	f->source->ops->free(f->source);
	event_destroy(&f->stop);
	close(f->pipe[0]);
	if (f->pipe[1] >= 0)
		close(f->pipe[1]);
	free(f);
	return 0;
}

/* Page @i of the stream: every third one is zero. */
static void make_page(uint64_t i, uint8_t page[static PAGE_BYTES])
{
	memset(page, i % 3 == 1 ? 0 : (int)(i + 1), PAGE_BYTES);
}

static void feed(struct fixture *f, uint64_t first, uint64_t count)
{
	uint8_t page[PAGE_BYTES];

	for (uint64_t i = first; i < first + count; i++) {
		make_page(i, page);
		assert_int_equal(write(f->pipe[1], page, sizeof(page)), sizeof(page));
	}
}

static void end_input(struct fixture *f)
{
	close(f->pipe[1]);
	f->pipe[1] = -1;
}

/* The next batch, with @id. */
static struct batch take(struct fixture *f, uint64_t id)
{
	struct batch b = { .id = id };
	struct mfd_error err;
	bool end;

	assert_true(f->source->ops->next(f->source, PACKET, NULL, &f->stop, &b, &end, &err));
	assert_false(end);
	assert_int_equal(b.first, id * PACKET);
	assert_int_equal(b.count, PACKET);
	return b;
}

static void ends(struct fixture *f)
{
	struct batch b = { 0 };
	struct mfd_error err;
	bool end;

	assert_true(f->source->ops->next(f->source, PACKET, NULL, &f->stop, &b, &end, &err));
	assert_true(end);
}

static void reads_well(struct fixture *f, const struct batch *b)
{
	uint8_t pages[PACKET * PAGE_BYTES], page[PAGE_BYTES];
	struct mfd_error err;

	assert_false(replay_is_gone(f->replay, b));
	assert_true(f->source->ops->read(f->source, b, pages, &err));
	for (uint32_t i = 0; i < b->count; i++) {
		make_page(b->first + i, page);
		assert_memory_equal(pages + (size_t)i * PAGE_BYTES, page, PAGE_BYTES);
	}
}

/* What a receiver that has all of it says of the pages of @b. */
static uint64_t list(const struct fixture *f, const struct batch *b,
		     uint8_t hash[PACKET][HASH_STRONG_BYTES])
{
	uint8_t page[PAGE_BYTES];
	uint64_t has = 0;

	for (uint32_t i = 0; i < b->count; i++) {
		make_page(b->first + i, page);
		if (!page[0])
			continue;
		has |= UINT64_C(1) << i;
		hash_strong(page, PAGE_BYTES, replay_secret(f->replay), REPLAY_SECRET_BYTES,
			    hash[i]);
	}
	return has;
}

static void what_was_not_acknowledged_is_there_again(void **state)
{
	struct fixture *f = *state;
	struct batch b;

	feed(f, 0, 2 * PACKET);
	end_input(f);
	for (unsigned session = 0; session < 3; session++) {
		for (uint64_t id = 0; id < 2; id++) {
			b = take(f, id);
			assert_int_equal(bitmap_count(b.data, PACKET), PACKET);
			reads_well(f, &b);
			reads_well(f, &b); /* as after a lost channel */
		}
		ends(f);
		replay_rewind(f->replay);
	}
}

static void what_was_acknowledged_is_kept_when_the_receiver_has_it(void **state)
{
	uint8_t hash[PACKET][HASH_STRONG_BYTES];
	struct fixture *f = *state;
	struct mfd_error err;
	struct batch b;
	uint64_t has;

	feed(f, 0, 2 * PACKET);
	b = take(f, 0);
	reads_well(f, &b);
	replay_acknowledged(f->replay, 0, 12345);
	replay_rewind(f->replay);
	b = take(f, 0);
	assert_true(replay_is_gone(f->replay, &b));
	assert_int_equal(b.carried[0], 0xf);
	assert_int_equal(b.data[0], 0xd);
	has = list(f, &b, hash);
	assert_true(replay_recall(f->replay, &b, &has, hash, &err));
	assert_int_equal(b.kept[0], 0xd);
	assert_int_equal(b.data[0], 0);
	assert_int_equal(b.kept_sum, 12345);
	assert_true(f->source->ops->read(f->source, &b, NULL, &err));
	assert_false(replay_is_lost(f->replay));
	/* The stream goes on behind it. */
	b = take(f, 1);
	reads_well(f, &b);
	replay_acknowledged(f->replay, 0, 12345);
	replay_acknowledged(f->replay, 1, 2);
}

static void what_the_receiver_has_lost_can_not_be_sent(void **state)
{
	uint8_t hash[PACKET][HASH_STRONG_BYTES];
	struct fixture *f = *state;
	struct mfd_error err;
	struct batch b;
	uint64_t has;

	feed(f, 0, PACKET);
	b = take(f, 0);
	reads_well(f, &b);
	replay_acknowledged(f->replay, 0, 1);
	for (unsigned damage = 0; damage < 4; damage++) {
		replay_rewind(f->replay);
		b = take(f, 0);
		has = list(f, &b, hash);
		if (damage == 0)
			has &= ~UINT64_C(4);
		if (damage == 1)
			hash[3][HASH_STRONG_BYTES - 1] ^= 1;
		if (damage == 2)
			memcpy(hash[0], hash[2], HASH_STRONG_BYTES);
		assert_false(replay_recall(f->replay, &b, &has, damage == 3 ? NULL : hash, &err));
		assert_int_equal(err.status, MFD_TRY_AGAIN);
		assert_string_equal(err.text,
				    "standard input can't be read once more, and the receiver no "
				    "longer has what it had of its pages 0 to 3");
		assert_true(replay_is_lost(f->replay));
	}
	/* What it has where a zero page was sent is of no interest: that is sent again. */
	replay_rewind(f->replay);
	b = take(f, 0);
	has = list(f, &b, hash) | 2;
	memset(hash[1], 7, HASH_STRONG_BYTES);
	assert_true(replay_recall(f->replay, &b, &has, hash, &err));
	assert_false(replay_is_lost(f->replay));
}

static void zero_pages_need_nobody_to_have_them(void **state)
{
	static const uint8_t zeros[PACKET * PAGE_BYTES];
	struct fixture *f = *state;
	uint8_t pages[sizeof(zeros)];
	struct mfd_error err;
	struct batch b;

	assert_int_equal(write(f->pipe[1], zeros, sizeof(zeros)), sizeof(zeros));
	b = take(f, 0);
	assert_true(f->source->ops->read(f->source, &b, pages, &err));
	replay_acknowledged(f->replay, 0, 0);
	replay_rewind(f->replay);
	b = take(f, 0);
	assert_true(replay_is_gone(f->replay, &b));
	assert_true(replay_recall(f->replay, &b, NULL, NULL, &err));
	assert_int_equal(b.kept[0] | b.data[0], 0);
	assert_int_equal(b.carried[0], 0xf);
}

static void input_that_has_begun_to_come_survives_the_session(void **state)
{
	struct fixture *f = *state;
	struct batch b = { 0 };
	struct mfd_error err;
	bool end;

	feed(f, 0, 2);
	event_raise(&f->stop);
	assert_false(f->source->ops->next(f->source, PACKET, NULL, &f->stop, &b, &end, &err));
	assert_int_equal(err.status, MFD_TRY_AGAIN);
	event_clear(&f->stop);
	replay_rewind(f->replay);
	feed(f, 2, 2);
	b = take(f, 0);
	reads_well(f, &b);
}

static void memory_is_bounded_by_the_buffers(void **state)
{
	struct fixture *f = *state;
	struct batch b = { 0 };
	struct mfd_error err;
	bool end;

	feed(f, 0, (BUFFERS + 1) * PACKET);
	for (uint64_t id = 0; id < BUFFERS; id++) {
		b = take(f, id);
		reads_well(f, &b);
	}
	event_raise(&f->stop);
	assert_false(f->source->ops->next(f->source, PACKET, NULL, &f->stop, &b, &end, &err));
	assert_int_equal(err.status, MFD_TRY_AGAIN);
	event_clear(&f->stop);
	replay_acknowledged(f->replay, 1, 0);
	b = take(f, BUFFERS);
	reads_well(f, &b);
}

static void smaller_packets_than_before_are_76(void **state)
{
	struct fixture *f = *state;
	struct batch b = { 0 };
	struct mfd_error err;
	bool end;

	feed(f, 0, PACKET);
	take(f, 0);
	replay_rewind(f->replay);
	assert_false(f->source->ops->next(f->source, PACKET - 1, NULL, &f->stop, &b, &end, &err));
	assert_int_equal(err.status, MFD_PROTOCOL);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FIXTURE(what_was_not_acknowledged_is_there_again),
		WITH_FIXTURE(what_was_acknowledged_is_kept_when_the_receiver_has_it),
		WITH_FIXTURE(what_the_receiver_has_lost_can_not_be_sent),
		WITH_FIXTURE(zero_pages_need_nobody_to_have_them),
		WITH_FIXTURE(input_that_has_begun_to_come_survives_the_session),
		WITH_FIXTURE(memory_is_bounded_by_the_buffers),
		WITH_FIXTURE(smaller_packets_than_before_are_76),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
