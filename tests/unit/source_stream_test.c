/* SPDX-License-Identifier: MIT */
/*
 * The stream source: full batches out of small pieces, the size known at the end, and a way out
 * while nothing comes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "scratch.h"
#include "source/source.h"

#define P ((uint64_t)PAGE_BYTES)
#define MAX_PAGES 64u

struct fixture {
	struct event stop;
	struct source *source;
	int fds[2];
	pthread_t feeder;
	bool fed;

	/* The feeder's. */
	uint64_t size;
	size_t piece;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct mfd_error err;

	*state = f;
	if (!event_init(&f->stop, &err) || pipe2(f->fds, O_CLOEXEC) != 0)
		return -1;
	return source_stream_new(f->fds[0], &f->source, &err) ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->fds[0]);
	if (f->fed)
		pthread_join(f->feeder, NULL);
	else
		close(f->fds[1]);
	f->source->ops->free(f->source);
	event_destroy(&f->stop);
	free(f);
	return 0;
}

/* Write size bytes in pieces, then close. */
static void *feed(void *arg)
{
	struct fixture *f = arg;
	uint8_t bytes[8192];
	uint64_t at = 0;
	size_t n;

	while (at < f->size) {
		n = f->size - at < f->piece ? (size_t)(f->size - at) : f->piece;
		scratch_fill(bytes, n, at);
		if (write(f->fds[1], bytes, n) != (ssize_t)n)
			break;
		at += n;
	}
	close(f->fds[1]);
	return NULL;
}

/* Start the feeder and take everything; checks each batch. */
static void take_all(struct fixture *f, uint64_t size, size_t piece)
{
	uint8_t *buffer = malloc(MAX_PAGES * P);
	uint8_t *expected = malloc(MAX_PAGES * P);
	struct mfd_error err = { .text = "" };
	uint64_t at = 0, final;
	bool end = false, again;
	struct batch b;
	size_t n;

	f->size = size;
	f->piece = piece;
	assert_int_equal(pthread_create(&f->feeder, NULL, feed, f), 0);
	f->fed = true;
	for (;;) {
		memset(buffer, 0xEE, MAX_PAGES * P);
		assert_true(f->source->ops->next(f->source, MAX_PAGES, buffer, &f->stop, &b, &end,
						 &err));
		if (end)
			break;
		n = size - at < MAX_PAGES * P ? (size_t)(size - at) : MAX_PAGES * P;
		memset(expected, 0, MAX_PAGES * P);
		scratch_fill(expected, n, at);
		assert_int_equal(b.first * P, at);
		assert_int_equal(b.count, batch_pages_of(n));
		assert_false(b.zero_run);
		assert_int_equal(bitmap_count(b.carried, MAX_PAGES), b.count);
		assert_memory_equal(b.carried, b.data, sizeof(b.data));
		assert_memory_equal(buffer, expected, b.count * P);
		at += n;
	}
	assert_int_equal(at, size);
	assert_true(f->source->ops->end_round(f->source, 0, NULL, &again, &final, &err));
	assert_false(again);
	assert_int_equal(final, size);
	free(expected);
	free(buffer);
}

static void the_empty_stream_ends_at_once(void **state)
{
	take_all(*state, 0, 1);
}

static void a_stream_of_one_byte_is_one_padded_page(void **state)
{
	take_all(*state, 1, 1);
}

static void small_pieces_make_full_batches(void **state)
{
	take_all(*state, 2 * MAX_PAGES * P + P + 1, 777);
}

static void a_stream_that_ends_with_a_batch_has_no_empty_one_behind_it(void **state)
{
	take_all(*state, MAX_PAGES * P, 8192);
}

static void a_stream_that_ends_with_a_page_is_not_padded(void **state)
{
	take_all(*state, 5 * P, 4096);
}

static void nothing_is_known_of_a_stream(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(f->source->info.name, "-");
	assert_true(f->source->info.size == UINT64_MAX);
	assert_true(f->source->info.allocated == UINT64_MAX);
	assert_false(f->source->info.rereadable);
	assert_false(f->source->info.rounds);
}

static void a_stream_cannot_be_read_twice(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;
	struct batch b = { .count = 1 };

	assert_false(f->source->ops->read(f->source, &b, NULL, &err));
	assert_int_equal(err.status, MFD_BUG);
}

static void *raise_stop(void *arg)
{
	struct fixture *f = arg;

	/* Something has come, but no batch: the producer waits for more. */
	assert_int_equal(write(f->fds[1], "x", 1), 1);
	event_raise(&f->stop);
	return NULL;
}

/* Raise the stop event when what is in the pipe has been read. */
static void *raise_when_read(void *arg)
{
	struct fixture *f = arg;
	int left;

	do
		sched_yield();
	while (ioctl(f->fds[0], FIONREAD, &left) == 0 && left > 0);
	event_raise(&f->stop);
	return NULL;
}

static void stop_ends_the_wait_for_more(void **state)
{
	uint8_t *buffer = malloc(MAX_PAGES * P);
	struct fixture *f = *state;
	struct mfd_error err;
	struct batch b;
	pthread_t thread;
	bool end;

	assert_int_equal(pthread_create(&thread, NULL, raise_stop, f), 0);
	assert_false(f->source->ops->next(f->source, MAX_PAGES, buffer, &f->stop, &b, &end, &err));
	assert_int_equal(err.status, MFD_TRY_AGAIN);
	assert_int_equal(pthread_join(thread, NULL), 0);
	free(buffer);
}

/* The stop event may only mean that something else comes first. */
static void a_wait_that_was_interrupted_goes_on_where_it_was(void **state)
{
	uint8_t *buffer = malloc(MAX_PAGES * P), *expected = malloc(MAX_PAGES * P);
	const size_t size = 3 * P + 100;
	struct fixture *f = *state;
	struct mfd_error err;
	pthread_t thread;
	struct batch b;
	bool end;

	scratch_fill(expected, size, 0);
	memset(expected + size, 0, P - 100);
	for (size_t at = 0; at < size; at += 1000) {
		assert_int_equal(
			write(f->fds[1], expected + at, size - at < 1000 ? size - at : 1000),
			size - at < 1000 ? size - at : 1000);
		event_raise(&f->stop);
		assert_false(f->source->ops->next(f->source, MAX_PAGES, buffer, &f->stop, &b, &end,
						  &err));
		assert_int_equal(err.status, MFD_TRY_AGAIN);
		event_clear(&f->stop);
		assert_int_equal(pthread_create(&thread, NULL, raise_when_read, f), 0);
		assert_false(f->source->ops->next(f->source, MAX_PAGES, buffer, &f->stop, &b, &end,
						  &err));
		assert_int_equal(pthread_join(thread, NULL), 0);
		event_clear(&f->stop);
	}
	close(f->fds[1]);
	f->fds[1] = -1;
	assert_true(f->source->ops->next(f->source, MAX_PAGES, buffer, &f->stop, &b, &end, &err));
	assert_false(end);
	assert_int_equal(b.count, 4);
	assert_memory_equal(buffer, expected, 4 * P);
	assert_true(f->source->ops->next(f->source, MAX_PAGES, buffer, &f->stop, &b, &end, &err));
	assert_true(end);
	free(expected);
	free(buffer);
}

static void the_descriptor_keeps_its_flags_and_stays_open(void **state)
{
	struct fixture *f = *state;
	struct source *s;
	struct mfd_error err;

	assert_int_equal(fcntl(f->fds[0], F_GETFL) & O_NONBLOCK, 0);
	assert_true(source_stream_new(f->fds[0], &s, &err));
	s->ops->free(s);
	assert_true(fcntl(f->fds[0], F_GETFD) >= 0);
}

static void a_nonblocking_descriptor_works_too(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fcntl(f->fds[0], F_SETFL, O_NONBLOCK), 0);
	take_all(f, 100000, 999);
}

static void expect_refused(int fd)
{
	struct source *s = NULL;
	struct mfd_error err;

	assert_false(source_stream_new(fd, &s, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	assert_null(s);
}

static void what_cannot_be_read_is_refused(void **state)
{
	struct fixture *f = *state;
	int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	expect_refused(-1);
	expect_refused(f->fds[1]);
	expect_refused(dir);
	close(dir);
	expect_refused(dir);
}

static void a_read_error_is_an_io_error(void **state)
{
	uint8_t *buffer = malloc(MAX_PAGES * P);
	struct fixture *f = *state;
	struct source *s;
	struct mfd_error err;
	struct batch b;
	bool end;
	/* Address 0 is never mapped: EIO. */
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);

	assert_true(source_stream_new(fd, &s, &err));
	assert_false(s->ops->next(s, MAX_PAGES, buffer, &f->stop, &b, &end, &err));
	assert_int_equal(err.status, MFD_IO);
	assert_int_equal(err.os_errno, EIO);
	s->ops->free(s);
	close(fd);
	free(buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(the_empty_stream_ends_at_once),
		TEST(a_stream_of_one_byte_is_one_padded_page),
		TEST(small_pieces_make_full_batches),
		TEST(a_stream_that_ends_with_a_batch_has_no_empty_one_behind_it),
		TEST(a_stream_that_ends_with_a_page_is_not_padded),
		TEST(nothing_is_known_of_a_stream),
		TEST(a_stream_cannot_be_read_twice),
		TEST(stop_ends_the_wait_for_more),
		TEST(a_wait_that_was_interrupted_goes_on_where_it_was),
		TEST(the_descriptor_keeps_its_flags_and_stays_open),
		TEST(a_nonblocking_descriptor_works_too),
		TEST(what_cannot_be_read_is_refused),
		TEST(a_read_error_is_an_io_error),
	};

	return scratch_result(cmocka_run_group_tests(tests, NULL, NULL));
}
