/* SPDX-License-Identifier: MIT */
/*
 * The file source: every page once and in order, holes never read, as few batches and system
 * calls as the extents allow, and no file that changes its size taken for whole.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "loop.h"
#include "scratch.h"
#include "source/source.h"

#define P ((uint64_t)PAGE_BYTES)
#define MAX_PAGES 64u
#define UNTOUCHED 0xEE

struct extent {
	uint64_t start; /* bytes */
	uint64_t end;
};

/*
 * What lseek(2) says in this program: the truth, an error, or these extents whatever the file
 * system's own idea.
 */
static struct {
	unsigned calls;
	int error;
	const struct extent *extents;
	unsigned count;
} seek;

off_t lseek(int fd, off_t offset, int whence)
{
	uint64_t at = (uint64_t)offset;
	unsigned i;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return syscall(SYS_lseek, fd, offset, whence);
	seek.calls++;
	if (seek.error != 0) {
		errno = seek.error;
		return -1;
	}
	if (seek.extents == NULL)
		return syscall(SYS_lseek, fd, offset, whence);
	for (i = 0; i < seek.count && seek.extents[i].end <= at;)
		i++;
	if (i == seek.count) {
		errno = ENXIO;
		return -1;
	}
	if (at < seek.extents[i].start)
		return whence == SEEK_HOLE ? offset : (off_t)seek.extents[i].start;
	return whence == SEEK_DATA ? offset : (off_t)seek.extents[i].end;
}

struct fixture {
	struct scratch scratch;
	struct event stop;
	struct source *source;
	uint8_t *buffer;         /* MAX_PAGES */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct mfd_error err;

	memset(&seek, 0, sizeof(seek));
	*state = f;
	f->buffer = malloc(MAX_PAGES * P);
	return f->buffer == NULL || !event_init(&f->stop, &err) ? -1 : scratch_new(&f->scratch);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int failed;

	/* A test may have failed as somebody else. */
	if (getuid() == 0 && seteuid(0) != 0)
		return -1;
	if (f->source != NULL)
		f->source->ops->free(f->source);
	event_destroy(&f->stop);
	failed = scratch_free(&f->scratch);
	free(f->buffer);
	free(f);
	return failed;
}

/* A file of @size bytes with data in the given byte ranges. */
static const char *make_file(struct fixture *f, uint64_t size, const struct extent *extents,
			     unsigned count)
{
	const char *path = scratch_at(&f->scratch, "image.bin");
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint64_t length;
	uint8_t *bytes;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	for (; count > 0; count--, extents++) {
		length = extents->end - extents->start;
		bytes = malloc(length);
		assert_non_null(bytes);
		scratch_fill(bytes, length, extents->start);
		assert_int_equal(pwrite(fd, bytes, length, (off_t)extents->start), (ssize_t)length);
		free(bytes);
	}
	assert_int_equal(close(fd), 0);
	return path;
}

static void open_source(struct fixture *f, const char *path)
{
	struct mfd_error err = { .text = "" };

	if (!source_file_new(path, MFD_CACHE_KEEP, &f->source, &err))
		fail_msg("%s", err.text);
}

/* The same image made by make_file(), but with lseek() forced to tell exactly these extents. */
static void open_image(struct fixture *f, uint64_t size, const struct extent *extents,
		       unsigned count)
{
	open_source(f, make_file(f, size, extents, count));
	seek.extents = extents;
	seek.count = count;
}

static bool next(struct fixture *f, struct batch *ret)
{
	struct mfd_error err = { .text = "" };
	bool end = false;

	memset(ret, UNTOUCHED, sizeof(*ret));
	if (!f->source->ops->next(f->source, MAX_PAGES, NULL, &f->stop, ret, &end, &err))
		fail_msg("%s", err.text);
	return !end;
}

struct walk {
	unsigned batches;
	unsigned zero_runs;
	uint64_t data_pages;
	uint64_t largest_zero_run;
};

/* Does page @i of the batch hold what the file holds there, with zeros behind its end? */
static bool page_is_right(struct fixture *f, const struct batch *b, uint32_t i, int fd)
{
	uint8_t page[PAGE_BYTES] = { 0 };

	if (bitmap_test(b->data, i)) {
		assert_true(pread(fd, page, P, (off_t)((b->first + i) * P)) >= 0);
		return memcmp(page, f->buffer + i * P, P) == 0;
	}
	memset(page, UNTOUCHED, P);
	return memcmp(page, f->buffer + i * P, P) == 0;
}

/* Walk to the end: all that must hold for any source and any file. */
static struct walk walk_all(struct fixture *f)
{
	const char *path = scratch_at(&f->scratch, "image.bin");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct mfd_error err = { .text = "" };
	struct walk w = { 0 };
	uint64_t at = 0, size;
	struct batch b;
	bool again;
	uint32_t i;

	assert_true(fd >= 0);
	for (; next(f, &b); at += b.count, w.batches++) {
		assert_int_equal(b.first, at);
		assert_int_equal(b.region, 0);
		assert_true(b.count > 0);
		if (b.zero_run) {
			w.zero_runs++;
			w.largest_zero_run =
				b.count > w.largest_zero_run ? b.count : w.largest_zero_run;
			continue;
		}
		assert_true(b.count <= MAX_PAGES);
		assert_int_equal(bitmap_count(b.carried, MAX_PAGES), b.count);
		assert_true(bitmap_within(b.data, b.carried, (uint32_t)b.count));
		assert_true(bitmap_count(b.data, MAX_PAGES) > 0);
		w.data_pages += bitmap_count(b.data, MAX_PAGES);
		memset(f->buffer, UNTOUCHED, MAX_PAGES * P);
		if (!f->source->ops->read(f->source, &b, f->buffer, &err))
			fail_msg("%s", err.text);
		for (i = 0; i < b.count; i++)
			assert_true(page_is_right(f, &b, i, fd));
	}
	close(fd);
	assert_int_equal(at, batch_pages_of(f->source->info.size));
	assert_true(f->source->ops->end_round(f->source, 0, NULL, &again, &size, &err));
	assert_false(again);
	assert_int_equal(size, f->source->info.size);
	return w;
}

static void the_empty_file_ends_at_once(void **state)
{
	struct fixture *f = *state;

	open_source(f, make_file(f, 0, NULL, 0));
	assert_int_equal(walk_all(f).batches, 0);
	assert_int_equal(f->source->info.size, 0);
}

static void files_of_every_size_are_read_whole_and_padded(void **state)
{
	const uint64_t sizes[] = { 1,
				   P - 1,
				   P,
				   P + 1,
				   MAX_PAGES * P - 1,
				   MAX_PAGES * P,
				   MAX_PAGES * P + 1,
				   3 * MAX_PAGES * P + 7 };
	struct fixture *f = *state;
	struct walk w;
	unsigned i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		open_image(f, sizes[i], &(struct extent){ 0, sizes[i] }, 1);
		assert_int_equal(f->source->info.size, sizes[i]);
		w = walk_all(f);
		assert_int_equal(w.data_pages, batch_pages_of(sizes[i]));
		assert_int_equal(w.batches, (batch_pages_of(sizes[i]) + MAX_PAGES - 1) / MAX_PAGES);
		assert_int_equal(w.zero_runs, 0);
		f->source->ops->free(f->source);
		f->source = NULL;
	}
}

static void what_is_known_of_the_file_is_said(void **state)
{
	struct fixture *f = *state;
	const struct source_info *info;

	open_source(f, make_file(f, 100 * P, &(struct extent){ 0, 10 * P }, 1));
	info = &f->source->info;
	assert_string_equal(info->name, "image.bin");
	assert_int_equal(info->size, 100 * P);
	assert_in_range(info->allocated, 10 * P, 99 * P);
	assert_true(info->rereadable);
	assert_false(info->rounds);
}

static void a_sparse_five_gib_file_takes_few_batches_and_system_calls(void **state)
{
	const uint64_t gib = UINT64_C(1) << 30;
	struct extent extents[] = { { 2 * gib - P, 2 * gib + P }, { 4 * gib - P, 4 * gib + P } };
	struct fixture *f = *state;
	struct walk w;

	/* The file system's own extents here, whatever they are: it may round them. */
	open_source(f, make_file(f, 5 * gib + 1, extents, 2));
	w = walk_all(f);
	assert_true(w.zero_runs == 3);
	assert_true(w.batches < 3 + 2 * 64);
	assert_true(w.largest_zero_run * P > gib);
	assert_true(seek.calls < 16);
}

static void a_file_that_is_one_hole_is_one_batch(void **state)
{
	struct fixture *f = *state;
	struct walk w;

	open_image(f, 5 * P - 1, &(struct extent){ 0, 0 }, 0);
	seek.extents = &(struct extent){ 0, 0 };
	w = walk_all(f);
	assert_int_equal(w.batches, 1);
	assert_int_equal(w.zero_runs, 1);
	assert_int_equal(seek.calls, 1);
}

static void alternating_pages_and_holes_make_full_batches(void **state)
{
	struct extent extents[4 * MAX_PAGES];
	struct fixture *f = *state;
	struct walk w;
	unsigned i;

	for (i = 0; i < 4 * MAX_PAGES; i++)
		extents[i] = (struct extent){ (2 * i + 1) * P, (2 * i + 2) * P };
	open_image(f, 8 * MAX_PAGES * P, extents, 4 * MAX_PAGES);
	w = walk_all(f);
	assert_int_equal(w.batches, 8);
	assert_int_equal(w.zero_runs, 0);
	assert_int_equal(w.data_pages, 4 * MAX_PAGES);
	assert_true(seek.calls <= 2 * 4 * MAX_PAGES + 1);
}

static void a_hole_of_one_batch_is_a_zero_run_and_a_smaller_one_is_not(void **state)
{
	struct extent extents[] = { { 0, 10 * P }, { (10 + MAX_PAGES) * P, (20 + MAX_PAGES) * P } };
	struct fixture *f = *state;
	struct batch b;

	open_image(f, (20 + MAX_PAGES) * P, extents, 2);
	assert_true(next(f, &b));
	assert_false(b.zero_run);
	assert_int_equal(b.count, 10);
	assert_true(next(f, &b));
	assert_true(b.zero_run);
	assert_int_equal(b.first, 10);
	assert_int_equal(b.count, MAX_PAGES);
	assert_true(next(f, &b));
	assert_false(b.zero_run);
	assert_int_equal(b.count, 10);
	assert_false(next(f, &b));
	f->source->ops->free(f->source);

	extents[1].start -= P;
	open_image(f, (20 + MAX_PAGES) * P, extents, 2);
	assert_int_equal(walk_all(f).zero_runs, 0);
}

static void a_page_that_holds_data_in_part_is_data(void **state)
{
	/* Pages 1 to 3 of the first; two extents share page 8. */
	struct extent extents[] = { { 2 * P - 1, 3 * P + 1 },
				    { 7 * P + 5, 8 * P + 9 },
				    { 8 * P + 100, 8 * P + 101 } };
	struct fixture *f = *state;
	struct batch b;
	uint32_t i;

	open_image(f, 10 * P, extents, 3);
	assert_true(next(f, &b));
	for (i = 0; i < 10; i++)
		assert_int_equal(bitmap_test(b.data, i), (i >= 1 && i <= 3) || i == 7 || i == 8);
	f->source->ops->free(f->source);
	open_image(f, 10 * P, extents, 3);
	walk_all(f);
}

static void long_extents_come_back_to_aligned_batches(void **state)
{
	/* 199 pages from page 101 on: four batches are needed, aligned or not. */
	struct extent extent = { 101 * P, 300 * P };
	struct fixture *f = *state;
	struct batch b;
	unsigned batches = 0;

	open_image(f, 300 * P, &extent, 1);
	assert_true(next(f, &b));
	assert_true(b.zero_run);
	for (; next(f, &b); batches++)
		assert_true(batches == 0 || b.first % MAX_PAGES == 0);
	assert_int_equal(batches, 4);
}

static void a_batch_is_never_aligned_to_the_middle_of_a_hole(void **state)
{
	/* Behind the first extent, at page 160, a batch to 192 would hold nothing but hole. */
	struct extent extents[] = { { 96 * P, 160 * P }, { 198 * P, 228 * P } };
	struct fixture *f = *state;
	struct walk w;

	open_image(f, 228 * P, extents, 2);
	w = walk_all(f);
	assert_int_equal(w.zero_runs, 1);
	assert_int_equal(w.data_pages, 64 + 30);
}

static void random_layouts_lose_no_page(void **state)
{
	struct fixture *f = *state;
	struct extent extents[24];
	uint64_t at, size, random = 1;
	unsigned round, i;

	for (round = 0; round < 60; round++) {
		for (i = 0, at = 0; i < 24; i++) {
			random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
			extents[i].start = at + (random >> 33) % (random >> 60 ? 9 * P : 99 * P);
			extents[i].end = extents[i].start + 1 +
					 (random >> 40) % (random >> 62 ? 5 * P : 90 * P);
			at = extents[i].end + 1;
		}
		size = extents[23].end + (random >> 20) % (70 * P);
		open_image(f, size, extents, 24);
		walk_all(f);
		assert_true(seek.calls <= 24 * 2 + 1);
		seek.calls = 0;
		f->source->ops->free(f->source);
		f->source = NULL;
	}
}

static void without_hole_support_everything_is_data(void **state)
{
	const int errors[] = { EINVAL, EOPNOTSUPP, ESPIPE };
	struct fixture *f = *state;
	struct walk w;
	unsigned i;

	for (i = 0; i < 3; i++) {
		open_source(f, make_file(f, 100 * P + 1, &(struct extent){ P, 2 * P }, 1));
		seek.error = errors[i];
		seek.calls = 0;
		w = walk_all(f);
		assert_int_equal(w.data_pages, 101);
		assert_int_equal(w.zero_runs, 0);
		assert_int_equal(seek.calls, 1);
		f->source->ops->free(f->source);
		f->source = NULL;
	}
}

/* How often does a walk look for holes in a file in memory, @pages of whose 4 are written? */
static unsigned hole_searches_in_memory(struct fixture *f, unsigned pages)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	char path[64];
	struct batch b;
	uint64_t data = 0;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4 * P), 0);
	memset(f->buffer, 1, 4 * P);
	assert_int_equal(pwrite(fd, f->buffer, pages * P, 0), pages * P);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	open_source(f, path);
	close(fd);
	seek.calls = 0;
	while (next(f, &b))
		data += bitmap_count(b.data, MAX_PAGES);
	assert_int_equal(data, pages);
	f->source->ops->free(f->source);
	f->source = NULL;
	return seek.calls;
}

static void a_dense_file_in_memory_is_not_searched_for_holes(void **state)
{
	assert_int_equal(hole_searches_in_memory(*state, 4), 0);
	assert_true(hole_searches_in_memory(*state, 3) > 0);
}

static void a_failing_hole_search_is_an_io_error(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;
	struct batch b;
	bool end;

	open_source(f, make_file(f, P, NULL, 0));
	seek.error = EIO;
	assert_false(f->source->ops->next(f->source, MAX_PAGES, NULL, &f->stop, &b, &end, &err));
	assert_int_equal(err.status, MFD_IO);
	assert_int_equal(err.os_errno, EIO);
}

static void a_file_that_becomes_shorter_is_refused(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;
	struct batch b;
	uint64_t size;
	bool again;
	char text[256];

	open_image(f, 20 * P, &(struct extent){ 0, 20 * P }, 1);
	assert_true(next(f, &b));
	assert_true(f->source->ops->read(f->source, &b, f->buffer, &err));
	assert_int_equal(truncate(scratch_at(&f->scratch, "image.bin"), 10 * PAGE_BYTES + 5), 0);
	assert_false(f->source->ops->read(f->source, &b, f->buffer, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	snprintf(text, sizeof(text),
		 "the source became shorter while it was read (%u bytes missing at %u)",
		 10 * PAGE_BYTES - 5, 10 * PAGE_BYTES + 5);
	assert_non_null(strstr(err.text, text));
	assert_false(f->source->ops->end_round(f->source, 0, NULL, &again, &size, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	assert_non_null(strstr(err.text, text));
}

static void a_file_cut_off_in_a_hole_is_refused_at_the_end(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;
	struct batch b;
	uint64_t size;
	bool again;

	open_source(f, make_file(f, 500 * P, NULL, 0));
	assert_int_equal(truncate(scratch_at(&f->scratch, "image.bin"), 499 * PAGE_BYTES), 0);
	while (next(f, &b))
		assert_true(b.zero_run);
	assert_false(f->source->ops->end_round(f->source, 0, NULL, &again, &size, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
}

static void a_growing_file_is_read_to_its_first_size(void **state)
{
	struct fixture *f = *state;
	int fd;

	open_source(f, make_file(f, 3 * P, &(struct extent){ 0, P }, 1));
	fd = open(scratch_at(&f->scratch, "image.bin"), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "new", 3, 300 * PAGE_BYTES), 3);
	close(fd);
	assert_true(walk_all(f).data_pages <= 3);
	assert_int_equal(f->source->info.size, 3 * P);
}

static void expect_refused(const char *path, const char *why)
{
	struct source *s = NULL;
	struct mfd_error err = { .text = "" };

	assert_false(source_file_new(path, MFD_CACHE_KEEP, &s, &err));
	assert_null(s);
	assert_int_equal(err.status, MFD_NO_INPUT);
	if (strncmp(err.text, path, strlen(path)) != 0 || strstr(err.text, why) == NULL)
		fail_msg("%s", err.text);
}

static void what_is_no_file_is_refused(void **state)
{
	struct fixture *f = *state;

	expect_refused(f->scratch.dir, "Is a directory");
	expect_refused("/dev/null", "use - and redirect");
	expect_refused("", "No such file");
	expect_refused(scratch_at(&f->scratch, "missing"), "No such file or directory");
	assert_int_equal(mkfifo(scratch_at(&f->scratch, "fifo"), 0600), 0);
	expect_refused(f->scratch.path, "use - and redirect");
	assert_int_equal(symlink("loop", scratch_at(&f->scratch, "loop")), 0);
	expect_refused(f->scratch.path, "symbolic links");
	if (access("/proc/self/status", R_OK) == 0)
		expect_refused("/proc/self/status", "use - and redirect");
}

static void a_file_that_may_not_be_read_is_refused(void **state)
{
	struct fixture *f = *state;
	const char *path = make_file(f, P, NULL, 0);

	assert_int_equal(chmod(f->scratch.dir, 0755), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	else
		assert_int_equal(chmod(path, 0), 0);
	expect_refused(path, "Permission denied");
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
}

static void a_symlink_to_a_file_is_followed(void **state)
{
	struct fixture *f = *state;

	make_file(f, 2 * P, &(struct extent){ 0, 2 * P }, 1);
	assert_int_equal(symlink("image.bin", scratch_at(&f->scratch, "link")), 0);
	open_source(f, f->scratch.path);
	assert_string_equal(f->source->info.name, "link");
	walk_all(f);
}

static void a_zero_run_is_read_without_reading(void **state)
{
	struct batch b = { .zero_run = true, .count = UINT64_C(1) << 40 };
	struct fixture *f = *state;
	struct mfd_error err;

	open_source(f, make_file(f, P, NULL, 0));
	assert_true(f->source->ops->read(f->source, &b, NULL, &err));
}

static void a_block_device_is_read_to_its_end(void **state)
{
	struct fixture *f = *state;
	char name[64];
	struct walk w;
	int loop;

	make_file(f, 100 * P + 512, &(struct extent){ P, 2 * P }, 1);
	loop = loop_attach(f->scratch.path, name, sizeof(name));
	if (loop < 0)
		SCRATCH_SKIP("no loop device to be had: %s\n", strerror(errno));
	open_source(f, name);
	assert_int_equal(f->source->info.size, 100 * P + 512);
	assert_true(f->source->info.allocated == UINT64_MAX);
	w = walk_all(f);
	close(loop);
	assert_int_equal(w.data_pages, 101);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(the_empty_file_ends_at_once),
		TEST(files_of_every_size_are_read_whole_and_padded),
		TEST(what_is_known_of_the_file_is_said),
		TEST(a_sparse_five_gib_file_takes_few_batches_and_system_calls),
		TEST(a_file_that_is_one_hole_is_one_batch),
		TEST(alternating_pages_and_holes_make_full_batches),
		TEST(a_hole_of_one_batch_is_a_zero_run_and_a_smaller_one_is_not),
		TEST(a_page_that_holds_data_in_part_is_data),
		TEST(long_extents_come_back_to_aligned_batches),
		TEST(a_batch_is_never_aligned_to_the_middle_of_a_hole),
		TEST(random_layouts_lose_no_page),
		TEST(without_hole_support_everything_is_data),
		TEST(a_dense_file_in_memory_is_not_searched_for_holes),
		TEST(a_failing_hole_search_is_an_io_error),
		TEST(a_file_that_becomes_shorter_is_refused),
		TEST(a_file_cut_off_in_a_hole_is_refused_at_the_end),
		TEST(a_growing_file_is_read_to_its_first_size),
		TEST(what_is_no_file_is_refused),
		TEST(a_file_that_may_not_be_read_is_refused),
		TEST(a_symlink_to_a_file_is_followed),
		TEST(a_zero_run_is_read_without_reading),
		TEST(a_block_device_is_read_to_its_end),
	};

	return scratch_result(cmocka_run_group_tests(tests, NULL, NULL));
}
