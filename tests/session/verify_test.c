/* SPDX-License-Identifier: MIT */
/*
 * --verify finds what a disk did to an output between its writing and its end, and is content with
 * a good one.  The disk is a sink around the file sink, which alters the file just before it is
 * read again.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "common/testing.h"
#include "unit/scratch.h"

enum damage { NONE, ONE_BIT, STALE_ZEROS, WRITTEN_HOLE, PAGES_SWAPPED, TOO_SHORT };

/* A sink that passes everything on to the file's. */
struct bad_disk {
	struct sink sink;
	struct sink *file;
	enum damage damage;
	uint64_t page;           /* where */
	uint64_t holes;          /* pages from here on are zero in the image */
};

static struct bad_disk *disk_of(struct sink *s)
{
	return (struct bad_disk *)s;
}

static bool disk_begin(struct sink *s, uint64_t size, uint64_t allocated, struct mfd_error *err)
{
	return disk_of(s)->file->ops->begin(disk_of(s)->file, size, allocated, err);
}

static bool disk_write(struct sink *s, uint64_t offset, const void *bytes, size_t size,
		       struct mfd_error *err)
{
	return disk_of(s)->file->ops->write(disk_of(s)->file, offset, bytes, size, err);
}

static bool disk_zero(struct sink *s, uint64_t offset, uint64_t size, bool fresh,
		      const struct event *stop, struct mfd_error *err)
{
	return disk_of(s)->file->ops->zero(disk_of(s)->file, offset, size, fresh, stop, err);
}

static bool disk_commit(struct sink *s, uint64_t size, const struct event *stop,
			struct mfd_error *err)
{
	return disk_of(s)->file->ops->commit(disk_of(s)->file, size, stop, err);
}

static void alter(const struct bad_disk *d, int fd)
{
	uint8_t page[2][PAGE_BYTES] = { { 0 } };
	const off_t at = (off_t)(d->page * PAGE_BYTES);
	const ssize_t size = pread(fd, page[0], PAGE_BYTES, at);

	switch (d->damage) {
	case NONE:
		return;
	case ONE_BIT:
		page[0][size - 1] ^= 1;
		assert_int_equal(pwrite(fd, page[0], (size_t)size, at), size);
		return;
	case STALE_ZEROS:
		memset(page[0], 0, (size_t)size);
		assert_int_equal(pwrite(fd, page[0], (size_t)size, at), size);
		return;
	case WRITTEN_HOLE:
		assert_int_equal(pwrite(fd, "x", 1, (off_t)(d->holes * PAGE_BYTES + 77)), 1);
		return;
	case PAGES_SWAPPED:
		assert_int_equal(pread(fd, page[1], PAGE_BYTES, 0), PAGE_BYTES);
		assert_int_equal(pwrite(fd, page[0], PAGE_BYTES, 0), PAGE_BYTES);
		assert_int_equal(pwrite(fd, page[1], PAGE_BYTES, at), PAGE_BYTES);
		return;
	case TOO_SHORT:
		assert_int_equal(ftruncate(fd, at), 0);
		return;
	}
}

static bool disk_settle(struct sink *s, uint64_t size, int *ret_fd, struct mfd_error *err)
{
	struct bad_disk *d = disk_of(s);

	if (!d->file->ops->settle(d->file, size, ret_fd, err))
		return false;
	alter(d, *ret_fd);
	return true;
}

static void disk_free(struct sink *s)
{
	disk_of(s)->file->ops->free(disk_of(s)->file);
}

static const struct sink_ops disk_ops = {
	.kind = "bad disk", .begin = disk_begin, .write = disk_write, .zero = disk_zero,
	.commit = disk_commit, .settle = disk_settle, .free = disk_free,
};

/* 40 pages of anything, 24 of zeros, and a short one. */
#define DATA 40u
#define PAGES 65u
#define SIZE ((uint64_t)PAGES * PAGE_BYTES - 1000)

static void make_image(const char *path)
{
	uint8_t page[PAGE_BYTES];
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	for (uint64_t i = 0; i < PAGES; i++) {
		memset(page, 0, sizeof(page));
		if (i < DATA || i == PAGES - 1)
			scratch_fill(page, sizeof(page), i * PAGE_BYTES);
		assert_int_equal(fwrite(page, 1, sizeof(page), f), sizeof(page));
	}
	fclose(f);
	assert_int_equal(truncate(path, SIZE), 0);
}

/* A transfer onto a disk that does @damage to @page. */
static void run(struct scratch *s, struct testing_pair *p, enum damage damage, uint64_t page,
		bool verify)
{
	const struct sink_file_options options = { .reread = verify };
	struct bad_disk disk = { .sink = { .ops = &disk_ops, .directory = -1, .file = -1 },
				 .damage = damage, .page = page, .holes = DATA };
	char image[PATH_MAX];
	struct source *source;
	struct mfd_error err;

	snprintf(image, sizeof(image), "%s", scratch_at(s, "image"));
	make_image(image);
	if (!source_file_new(image, MFD_CACHE_KEEP, &source, &err) ||
	    !sink_file_new(scratch_at(s, "out"), &options, &disk.file, &err))
		fail_msg("%s", err.text);
	testing_pair_init(p, "verify", source, &disk.sink);
	p->verify = verify;
	assert_true(testing_run(p));
	disk.sink.ops->free(&disk.sink);
	source->ops->free(source);
}

static void a_good_output_is_put_in_place(void **state)
{
	struct scratch s;
	struct testing_pair p;

	(void)state;
	for (unsigned verify = 0; verify < 2; verify++) {
		assert_int_equal(scratch_new(&s), 0);
		run(&s, &p, NONE, 0, verify);
		if (!p.sender.ok || !p.receiver.ok)
			fail_msg("%s; %s", p.sender.error.text, p.receiver.error.text);
		assert_int_equal(scratch_entries(s.dir), 2);
		assert_int_equal(access(scratch_at(&s, "out"), F_OK), 0);
		assert_int_equal(scratch_free(&s), 0);
	}
}

static void damage_ends(enum damage damage, uint64_t page, enum mfd_status status, const char *text)
{
	struct scratch s;
	struct testing_pair p;

	assert_int_equal(scratch_new(&s), 0);
	run(&s, &p, damage, page, true);
	assert_false(p.receiver.ok);
	assert_false(p.sender.ok);
	if (p.receiver.error.status != status || !strstr(p.receiver.error.text, text))
		fail_msg("receiver: %d %s", p.receiver.error.status, p.receiver.error.text);
	assert_int_equal(p.sender.error.status, status);
	assert_true(p.sender.error.remote);
	assert_string_equal(p.sender.error.text, p.receiver.error.text);
	/* Nothing but the image: neither the output nor a temporary file. */
	assert_int_equal(scratch_entries(s.dir), 1);
	assert_int_equal(scratch_free(&s), 0);
}

static void one_bit_is_found_wherever_it_is(void **state)
{
	static const uint64_t pages[] = { 0, 17, DATA - 1, PAGES - 1 };

	(void)state;
	for (unsigned i = 0; i < TESTING_COUNT(pages); i++)
		damage_ends(ONE_BIT, pages[i], MFD_DATA, "the output was read again and has hash");
}

static void a_page_that_was_never_written_is_found(void **state)
{
	(void)state;
	damage_ends(STALE_ZEROS, 5, MFD_DATA, "the output was read again");
}

static void a_hole_with_something_in_it_is_found(void **state)
{
	(void)state;
	damage_ends(WRITTEN_HOLE, 0, MFD_DATA, "the output was read again");
}

static void two_pages_that_changed_places_are_found(void **state)
{
	(void)state;
	damage_ends(PAGES_SWAPPED, 20, MFD_DATA, "the output was read again");
}

static void an_output_that_became_shorter_is_found(void **state)
{
	(void)state;
	damage_ends(TOO_SHORT, 64, MFD_IO, "reading the output again");
	damage_ends(TOO_SHORT, 10, MFD_IO, "reading the output again");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_output_is_put_in_place),
		cmocka_unit_test(one_bit_is_found_wherever_it_is),
		cmocka_unit_test(a_page_that_was_never_written_is_found),
		cmocka_unit_test(a_hole_with_something_in_it_is_found),
		cmocka_unit_test(two_pages_that_changed_places_are_found),
		cmocka_unit_test(an_output_that_became_shorter_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
