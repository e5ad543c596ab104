/* SPDX-License-Identifier: MIT */
/*
 * What an output has already: two layers, their ends and their holes.  Clones are for the
 * command-line tests, which make a file system that can do that.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/event.h"
#include "core/batch.h"
#include "scratch.h"
#include "sink/sink.h"

#define P ((uint64_t)PAGE_BYTES)

struct fixture {
	struct scratch s;
	struct sink_basis b;
	uint8_t page[PAGE_BYTES];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	sink_basis_init(&f->b);
	return f == NULL || scratch_new(&f->s);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sink_basis_destroy(&f->b);
	(void)scratch_free(&f->s);
	free(f);
	return 0;
}

/* A file of @size bytes in which the pages of @data hold that letter, and others are holes. */
static const char *put_pages(struct fixture *f, const char *name, uint64_t size, const char *data)
{
	const char *path = scratch_at(&f->s, name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	for (uint64_t i = 0; data[i] != '\0'; i++) {
		if (data[i] == '.')
			continue;
		memset(f->page, data[i], PAGE_BYTES);
		assert_int_equal(pwrite(fd, f->page, PAGE_BYTES, (off_t)(i * P)), PAGE_BYTES);
	}
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
	return path;
}

static void with_own(struct fixture *f, const char *path, uint64_t size)
{
	f->b.own = open(path, O_RDWR | O_CLOEXEC);
	assert_true(f->b.own >= 0);
	f->b.own_bytes = size;
}

/* The pages from 0 on read as @want ('.' is zeros); those in capitals have to be copied. */
static void reads(struct fixture *f, const char *want)
{
	const uint32_t count = (uint32_t)strlen(want);
	uint8_t *pages = malloc(count * PAGE_BYTES);
	uint64_t copy[BATCH_WORDS];
	struct mfd_error err;

	if (!sink_basis_read(&f->b, 0, count, pages, copy, &err))
		fail_msg("%s", err.text);
	for (uint32_t i = 0; i < count; i++) {
		const bool capital = want[i] >= 'A' && want[i] <= 'Z';

		memset(f->page, want[i] == '.' ? 0 : want[i] | 0x20, PAGE_BYTES);
		assert_memory_equal(pages + i * P, f->page, PAGE_BYTES);
		if (want[i] != '.')
			assert_int_equal(bitmap_test(copy, i), capital);
	}
	free(pages);
}

static void nothing_is_no_basis(void **state)
{
	struct fixture *f = *state;

	assert_false(sink_basis_any(&f->b));
	assert_int_equal(sink_basis_pages(&f->b), 0);
	assert_int_equal(sink_basis_data(&f->b, 0, 9), 9);
}

static void an_older_image_has_to_be_copied(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;

	assert_true(sink_basis_open(&f->b, put_pages(f, "old", 4 * P, "ab.c"), &err));
	assert_int_equal(sink_basis_pages(&f->b), 4);
	reads(f, "AB.C");
}

static void the_output_itself_stays_where_it_is(void **state)
{
	struct fixture *f = *state;

	with_own(f, put_pages(f, "own", 4 * P, "ab.c"), 4 * P);
	reads(f, "ab.c..");
	close(f->b.own);
}

static void a_hole_in_the_output_shows_the_older_image(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;

	assert_true(sink_basis_open(&f->b, put_pages(f, "old", 6 * P, "abcd.f"), &err));
	with_own(f, put_pages(f, "own", 5 * P, ".x.yz"), 5 * P);
	assert_int_equal(sink_basis_pages(&f->b), 6);
	reads(f, "AxCyzF.");
	close(f->b.own);
}

static void what_is_behind_the_end_is_zeros(void **state)
{
	struct fixture *f = *state;
	uint8_t pages[2 * PAGE_BYTES], want[2 * PAGE_BYTES] = { 0 };
	uint64_t copy[BATCH_WORDS];
	struct mfd_error err;

	assert_true(sink_basis_open(&f->b, put_pages(f, "old", P + 100, "ab"), &err));
	assert_int_equal(sink_basis_pages(&f->b), 2);
	memset(want, 'b', 100);
	assert_true(sink_basis_read(&f->b, 1, 2, pages, copy, &err));
	assert_memory_equal(pages, want, sizeof(want));
}

static void holes_are_passed_in_one_step(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;
	uint64_t data;

	/* As large as the blocks of any file system here. */
	assert_true(sink_basis_open(&f->b, put_pages(f, "old", UINT64_C(1) << 40, "ab"), &err));
	assert_int_equal(sink_basis_data(&f->b, 0, 1000), 0);
	data = sink_basis_data(&f->b, 1024, UINT64_C(1) << 28);
	if (data == 1024)
		SCRATCH_SKIP("this file system knows no holes\n");
	assert_int_equal(data, UINT64_C(1) << 28);
}

static void a_basis_that_is_no_file_is_66(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;

	assert_false(sink_basis_open(&f->b, scratch_at(&f->s, "none"), &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	assert_non_null(strstr(err.text, "No such file"));
	sink_basis_destroy(&f->b);
	assert_false(sink_basis_open(&f->b, f->s.dir, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	sink_basis_destroy(&f->b);
	assert_false(sink_basis_open(&f->b, "/dev/null", &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	assert_non_null(strstr(err.text, "neither a regular file nor a block device"));
}

/* ---- The file sink with one. ---- */

static void in_place_the_old_content_is_the_basis_up_to_the_new_size(void **state)
{
	const struct sink_file_options o = { .force = true, .inplace = true, .delta = true };
	struct fixture *f = *state;
	struct mfd_error err;
	struct sink *sink;

	assert_true(sink_file_new(put_pages(f, "own", 4 * P, "abcd"), &o, &sink, &err));
	assert_non_null(sink->basis);
	assert_true(sink->ops->begin(sink, 3 * P, UINT64_MAX, &err));
	assert_int_equal(sink_basis_pages(sink->basis), 3);
	f->b = *sink->basis;
	reads(f, "abc.");
	sink_basis_init(&f->b);
	sink->ops->free(sink);
}

static void delta_without_in_place_is_64(void **state)
{
	const struct sink_file_options o = { .force = true, .delta = true };
	struct fixture *f = *state;
	struct mfd_error err;
	struct sink *sink;

	assert_false(sink_file_new(put_pages(f, "own", P, "a"), &o, &sink, &err));
	assert_int_equal(err.status, MFD_USAGE);
}

static void a_new_output_in_place_has_no_basis(void **state)
{
	const struct sink_file_options o = { .inplace = true, .delta = true };
	struct fixture *f = *state;
	struct mfd_error err;
	struct sink *sink;

	assert_true(sink_file_new(scratch_at(&f->s, "new"), &o, &sink, &err));
	assert_null(sink->basis);
	sink->ops->free(sink);
}

static void settle_reads_what_was_written(void **state)
{
	const struct sink_file_options o = { .reread = true };
	struct fixture *f = *state;
	uint8_t got[PAGE_BYTES];
	struct mfd_error err;
	struct event stop;
	struct sink *sink;
	int fd;

	assert_true(event_init(&stop, &err));
	assert_true(sink_file_new(scratch_at(&f->s, "new"), &o, &sink, &err));
	assert_true(sink->ops->begin(sink, UINT64_MAX, UINT64_MAX, &err));
	memset(f->page, 'x', PAGE_BYTES);
	assert_true(sink->ops->write(sink, P, f->page, PAGE_BYTES, &err));
	assert_true(sink->ops->settle(sink, P + 7, &fd, &err));
	assert_int_equal(pread(fd, got, sizeof(got), (off_t)P), 7);
	assert_memory_equal(got, f->page, 7);
	assert_true(sink->ops->commit(sink, P + 7, &stop, &err));
	sink->ops->free(sink);
	event_destroy(&stop);
}

int main(void)
{
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_FIXTURE(nothing_is_no_basis),
		WITH_FIXTURE(an_older_image_has_to_be_copied),
		WITH_FIXTURE(the_output_itself_stays_where_it_is),
		WITH_FIXTURE(a_hole_in_the_output_shows_the_older_image),
		WITH_FIXTURE(what_is_behind_the_end_is_zeros),
		WITH_FIXTURE(holes_are_passed_in_one_step),
		WITH_FIXTURE(a_basis_that_is_no_file_is_66),
		WITH_FIXTURE(in_place_the_old_content_is_the_basis_up_to_the_new_size),
		WITH_FIXTURE(delta_without_in_place_is_64),
		WITH_FIXTURE(a_new_output_in_place_has_no_basis),
		WITH_FIXTURE(settle_reads_what_was_written),
	};

	return scratch_result(cmocka_run_group_tests(tests, NULL, NULL));
}
