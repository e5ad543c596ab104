/* SPDX-License-Identifier: MIT */
/*
 * The changing-file source without a session: round by round, as a receiver would see it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "source/source.h"
#include "unit/scratch.h"

#define PACKET_PAGES 16u
#define PAGES 100u
#define BYTES (PAGES * PAGE_BYTES - 1000)

static struct mfd_error err;

struct fixture {
	struct scratch scratch;
	char path[PATH_MAX], freeze[2 * PATH_MAX], thaw[2 * PATH_MAX];
	int fd;
	struct source *source;
	struct mfd_stats stats;
	uint8_t image[PAGES * PAGE_BYTES], page[PAGE_BYTES];
	_Alignas(4096) uint8_t buffer[PACKET_PAGES * PAGE_BYTES];
};

static void quiet(void *opaque, const struct mfd_notice *notice)
{
	(void)opaque;
	assert_int_equal(notice->kind, MFD_NOTICE_DETAIL);
}

/* Write page @page of the file, as one that @version times was written to before. */
static void put(struct fixture *f, uint64_t page, uint64_t version)
{
	const size_t size = page == PAGES - 1 ? BYTES % PAGE_BYTES : PAGE_BYTES;

	scratch_fill(f->page, PAGE_BYTES, page * PAGE_BYTES + version * 7919);
	assert_int_equal(pwrite(f->fd, f->page, size, (off_t)(page * PAGE_BYTES)), size);
}

/* Does the receiver's image hold that? */
static bool has(struct fixture *f, uint64_t page, uint64_t version)
{
	const size_t size = page == PAGES - 1 ? BYTES % PAGE_BYTES : PAGE_BYTES;

	scratch_fill(f->page, PAGE_BYTES, page * PAGE_BYTES + version * 7919);
	memset(f->page + size, 0, PAGE_BYTES - size);
	return memcmp(f->image + page * PAGE_BYTES, f->page, PAGE_BYTES) == 0;
}

static bool is_zero(const struct fixture *f, uint64_t page)
{
	for (size_t i = 0; i < PAGE_BYTES; i++)
		if (f->image[page * PAGE_BYTES + i] != 0)
			return false;
	return true;
}

static void open_it(struct fixture *f, struct source_changing_options o)
{
	o.notice = quiet;
	if (!source_changing_new(f->path, MFD_CACHE_KEEP, &o, &f->source, &err))
		fail_msg("%s", err.text);
	assert_true(f->source->info.rounds);
	assert_int_equal(f->source->info.size, BYTES);
}

/* With commands that write down f and t. */
static struct source_changing_options with_commands(struct fixture *f)
{
	snprintf(f->freeze, sizeof(f->freeze), "printf f >>%s/calls", f->scratch.dir);
	snprintf(f->thaw, sizeof(f->thaw), "printf t >>%s/calls", f->scratch.dir);
	return (struct source_changing_options){
		.rounds = 2, .freeze_command = f->freeze, .thaw_command = f->thaw,
		.max_freeze_ms = 60000, .copy_bytes = 100 * PAGE_BYTES,
	};
}

static bool called(struct fixture *f, const char *what)
{
	return scratch_holds(scratch_at(&f->scratch, "calls"), what, strlen(what));
}

/* Walk one round, into the image; how many pages it carried. */
static unsigned walk(struct fixture *f)
{
	struct batch b;
	unsigned carried = 0;
	bool end;

	for (;;) {
		memset(&b, 0, sizeof(b));
		if (!f->source->ops->next(f->source, PACKET_PAGES, NULL, NULL, &b, &end, &err))
			fail_msg("%s", err.text);
		if (end)
			return carried;
		if (!b.zero_run && !f->source->ops->read(f->source, &b, f->buffer, &err))
			fail_msg("%s", err.text);
		for (uint32_t i = 0; i < b.count; i++) {
			uint8_t *to = f->image + (b.first + i) * PAGE_BYTES;

			if (!b.zero_run && !bitmap_test(b.carried, i))
				continue;
			carried++;
			if (b.zero_run || !bitmap_test(b.data, i))
				memset(to, 0, PAGE_BYTES);
			else
				memcpy(to, f->buffer + (size_t)i * PAGE_BYTES, PAGE_BYTES);
		}
	}
}

/* The round is at the receiver; is there another one? */
static bool again(struct fixture *f, uint32_t round)
{
	bool more;
	uint64_t size;

	if (!f->source->ops->end_round(f->source, round, NULL, &more, &size, &err))
		fail_msg("%s", err.text);
	assert_int_equal(size, BYTES);
	memset(&f->stats, 0, sizeof(f->stats));
	f->source->ops->report(f->source, &f->stats);
	return more;
}

static void a_later_round_carries_what_changed_and_nothing_else(void **state)
{
	struct fixture *f = *state;

	open_it(f, (struct source_changing_options){ .rounds = 10 });
	assert_int_equal(walk(f), PAGES);
	put(f, 3, 1);
	put(f, PAGES - 1, 1);
	/* The same again is no change. */
	put(f, 50, 0);
	assert_true(again(f, 0));
	assert_int_equal(walk(f), 2);
	assert_true(again(f, 1) == false);
	assert_true(has(f, 3, 1) && has(f, PAGES - 1, 1) && has(f, 50, 0) && has(f, 4, 0));
	assert_true(f->stats.downtime_ns == MFD_UNKNOWN);
	assert_string_equal(f->stats.tracker, "hashes");
	assert_int_equal(f->stats.round_pages[1], 2);
}

static void a_hole_that_comes_is_sent_as_zeros_and_one_that_goes_as_data(void **state)
{
	struct fixture *f = *state;

	if (fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 20 * PAGE_BYTES,
		      30 * PAGE_BYTES) != 0)
		SCRATCH_SKIP("skipped: no holes here\n");
	open_it(f, (struct source_changing_options){ .rounds = 10 });
	walk(f);
	assert_true(is_zero(f, 30));
	assert_int_equal(fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   60 * PAGE_BYTES, 3 * PAGE_BYTES), 0);
	put(f, 30, 1);
	assert_true(again(f, 0));
	assert_in_range(walk(f), 4, 33);
	assert_false(again(f, 1));
	assert_true(has(f, 30, 1) && is_zero(f, 29) && is_zero(f, 60) && is_zero(f, 62));
	assert_true(has(f, 59, 0) && has(f, 63, 0));
}

static void it_ends_when_few_enough_changed_or_the_rounds_are_used_up(void **state)
{
	struct fixture *f = *state;

	open_it(f, (struct source_changing_options){ .rounds = 4, .until_pages = 2 });
	for (uint32_t round = 0; round < 3; round++) {
		walk(f);
		for (uint64_t i = 0; i < 5; i++)
			put(f, 10 + i, 1 + round);
		assert_true(again(f, round));
	}
	assert_int_equal(walk(f), 5);
	assert_false(again(f, 3));
	assert_true(has(f, 14, 3));
	f->source->ops->free(f->source);

	open_it(f, (struct source_changing_options){ .rounds = 100, .until_pages = 2 });
	walk(f);
	put(f, 1, 9);
	put(f, 2, 9);
	assert_true(again(f, 0));
	/* The last one: what changes now is not looked for. */
	put(f, 50, 9);
	assert_int_equal(walk(f), 2);
	assert_false(again(f, 1));
}

static void the_last_round_is_of_the_freeze_and_sent_behind_it(void **state)
{
	struct fixture *f = *state;

	open_it(f, with_commands(f));
	walk(f);
	put(f, 7, 1);
	assert_true(again(f, 0));
	assert_true(called(f, "ft"));
	assert_true(f->stats.downtime_ns != MFD_UNKNOWN && f->stats.downtime_ns > 0);
	/* Too late. */
	put(f, 7, 2);
	put(f, 8, 2);
	assert_int_equal(walk(f), 1);
	assert_false(again(f, 1));
	assert_true(has(f, 7, 1) && has(f, 8, 0));
}

static void what_the_copy_has_no_room_for_is_sent_before_the_thaw(void **state)
{
	struct fixture *f = *state;
	struct source_changing_options o = with_commands(f);

	for (unsigned room = 0; room <= 30; room += 10) {
		unlink(scratch_at(&f->scratch, "calls"));
		o.copy_bytes = (room > 0 ? room : 1) * PAGE_BYTES;
		open_it(f, o);
		walk(f);
		for (uint64_t i = 0; i < 30; i++)
			put(f, 2 * i, 100 + room);
		assert_true(again(f, 0));
		if (room < 30) {
			/* It stands still. */
			assert_true(called(f, "f"));
			assert_int_equal(walk(f), 30 - (room > 0 ? room : 1));
			assert_true(again(f, 1));
		}
		assert_true(called(f, "ft"));
		for (uint64_t i = 0; i < 30; i++)
			put(f, 2 * i, 200 + room);
		assert_int_equal(walk(f), room > 0 ? room : 1);
		assert_false(again(f, room < 30 ? 2 : 1));
		for (uint64_t i = 0; i < 30; i++)
			assert_true(has(f, 2 * i, 100 + room));
		f->source->ops->free(f->source);
		f->source = NULL;
	}
}

static void a_bound_that_runs_out_before_the_rest_is_sent_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct source_changing_options o = with_commands(f);
	struct batch b;
	bool end, ok = true;

	o.copy_bytes = PAGE_BYTES;
	o.max_freeze_ms = 1000;
	open_it(f, o);
	walk(f);
	for (uint64_t i = 0; i < 30; i++)
		put(f, i, 1);
	assert_true(again(f, 0));
	while (!called(f, "ft"))
		usleep(1000);
	/* The thaw begins before it is told; the round can't end before that. */
	for (unsigned i = 0; i < 5000 && ok; i++) {
		memset(&b, 0, sizeof(b));
		ok = f->source->ops->next(f->source, PACKET_PAGES, NULL, NULL, &b, &end, &err);
		usleep(ok ? 1000 : 0);
	}
	assert_false(ok);
	assert_int_equal(err.status, MFD_TRY_AGAIN);
	assert_non_null(strstr(err.text, "was frozen for 1000 ms"));
	/* And it stays so. */
	assert_false(f->source->ops->next(f->source, PACKET_PAGES, NULL, NULL, &b, &end, &err));
	assert_non_null(strstr(err.text, "was frozen for 1000 ms"));
}

static void comparing_ends_when_the_session_does(void **state)
{
	struct fixture *f = *state;
	struct event stop;
	uint64_t size;
	bool more;

	assert_true(event_init(&stop, &err));
	open_it(f, with_commands(f));
	walk(f);
	event_raise(&stop);
	assert_false(f->source->ops->end_round(f->source, 0, &stop, &more, &size, &err));
	assert_int_equal(err.status, MFD_TRY_AGAIN);
	assert_int_equal(access(scratch_at(&f->scratch, "calls"), F_OK), -1);
	event_destroy(&stop);
}

static void a_file_that_became_shorter_is_an_error_and_a_longer_one_is_cut(void **state)
{
	struct fixture *f = *state;
	uint64_t size;
	bool more;

	open_it(f, (struct source_changing_options){ .rounds = 10 });
	walk(f);
	assert_int_equal(ftruncate(f->fd, BYTES + 5 * PAGE_BYTES), 0);
	put(f, 5, 1);
	assert_true(again(f, 0));
	assert_in_range(walk(f), 1, 2);
	assert_int_equal(ftruncate(f->fd, BYTES - 1), 0);
	assert_false(f->source->ops->end_round(f->source, 1, NULL, &more, &size, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	assert_non_null(strstr(err.text, "became shorter"));
}

/* Large enough for several threads and a full queue, all of it data. */
static void many_pages_are_compared_by_several_threads(void **state)
{
	struct fixture *f = *state;
	const uint64_t pages = 80000; /* more than the queue takes */
	struct source_changing_options o = { .rounds = 10, .notice = quiet };
	struct batch *b = calloc(1, sizeof(*b));
	uint64_t size, count = 0, wanted = 0;
	uint8_t *buffer = aligned_alloc(4096, 1024 * PAGE_BYTES);
	bool end, more;

	assert_true(b != NULL && buffer != NULL);
	for (uint64_t i = 0; i < pages; i++)
		assert_int_equal(pwrite(f->fd, &i, sizeof(i), (off_t)(i * PAGE_BYTES)), 8);
	assert_true(source_changing_new(f->path, MFD_CACHE_KEEP, &o, &f->source, &err));
	for (uint32_t round = 0; round < 2; round++) {
		for (;;) {
			memset(b, 0, sizeof(*b));
			assert_true(f->source->ops->next(f->source, 1024, NULL, NULL, b, &end,
							 &err));
			if (end)
				break;
			assert_true(f->source->ops->read(f->source, b, buffer, &err));
			for (uint32_t i = 0; round == 1 && i < b->count; i++) {
				if (!bitmap_test(b->carried, i))
					continue;
				assert_int_equal((b->first + i) % 777, 0);
				count++;
			}
		}
		for (uint64_t i = 0; round == 0 && i < pages; i += 777, wanted++)
			assert_int_equal(pwrite(f->fd, "x", 1,
						(off_t)(i * PAGE_BYTES + i % 4000 + 9)), 1);
		assert_true(f->source->ops->end_round(f->source, round, NULL, &more, &size, &err));
		assert_true(more == (round == 0));
	}
	assert_int_equal(count, wanted);
	free(buffer);
	free(b);
}

static int set_up(void **state)
{
	struct fixture *f = aligned_alloc(4096, (sizeof(*f) + 4095) / 4096 * 4096);

	*state = f;
	if (f == NULL)
		return -1;
	memset(f, 0, sizeof(*f));
	if (scratch_new(&f->scratch) != 0)
		return -1;
	snprintf(f->path, sizeof(f->path), "%s", scratch_at(&f->scratch, "file"));
	f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	memset(f->image, 0xee, sizeof(f->image));
	for (uint64_t i = 0; f->fd >= 0 && i < PAGES; i++)
		put(f, i, 0);
	return f->fd >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int removed;

	if (f->source != NULL)
		f->source->ops->free(f->source);
	close(f->fd);
	removed = scratch_free(&f->scratch);
	free(f);
	return removed;
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FILE(a_later_round_carries_what_changed_and_nothing_else),
		WITH_FILE(a_hole_that_comes_is_sent_as_zeros_and_one_that_goes_as_data),
		WITH_FILE(it_ends_when_few_enough_changed_or_the_rounds_are_used_up),
		WITH_FILE(the_last_round_is_of_the_freeze_and_sent_behind_it),
		WITH_FILE(what_the_copy_has_no_room_for_is_sent_before_the_thaw),
		WITH_FILE(a_bound_that_runs_out_before_the_rest_is_sent_is_an_error),
		WITH_FILE(comparing_ends_when_the_session_does),
		WITH_FILE(a_file_that_became_shorter_is_an_error_and_a_longer_one_is_cut),
		WITH_FILE(many_pages_are_compared_by_several_threads),
	};

	return scratch_result(cmocka_run_group_tests(tests, NULL, NULL));
}
