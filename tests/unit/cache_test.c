/* SPDX-License-Identifier: MIT */
/*
 * --cache at both ends: the same bytes in every mode, what stays in the page cache and what does
 * not, and going on where O_DIRECT or write-behind can't be had.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "core/batch.h"
#include "scratch.h"
#include "sink/cache.h"
#include "sink/sink.h"
#include "source/source.h"

#define P ((uint64_t)PAGE_BYTES)
#define MIB (UINT64_C(1) << 20)
#define BATCH 64u

static const enum mfd_cache modes[] = { MFD_CACHE_KEEP, MFD_CACHE_DROP, MFD_CACHE_DIRECT };
#define MODES (sizeof(modes) / sizeof(modes[0]))

/* Faults in the system calls of this program, and what was called. */
static struct {
	bool no_direct;          /* no file can be opened with O_DIRECT */
	bool direct_fails;       /* and transfers by such a descriptor are refused */
	int wait_error;          /* of sync_file_range(2) that waits */
	unsigned direct_transfers;
	unsigned waits;
} fault;

static bool is_direct(int fd)
{
	return (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (fault.no_direct && (flags & O_DIRECT)) {
		errno = EINVAL;
		return -1;
	}
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* What glibc makes of a call whose flags the compiler can't see, with _FORTIFY_SOURCE. */
int fortified_open(const char *path, int flags) __asm__("__open64_2");
int fortified_open(const char *path, int flags)
{
	return open(path, flags);
}

static bool refused(int fd)
{
	if (!is_direct(fd))
		return false;
	fault.direct_transfers++;
	errno = EINVAL;
	return fault.direct_fails;
}

ssize_t pread(int fd, void *buffer, size_t size, off_t offset)
{
	return refused(fd) ? -1 : syscall(SYS_pread64, fd, buffer, size, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	return refused(fd) ? -1 : syscall(SYS_pwrite64, fd, bytes, size, offset);
}

int sync_file_range(int fd, off_t offset, off_t size, unsigned flags)
{
	if (flags & SYNC_FILE_RANGE_WAIT_AFTER) {
		fault.waits++;
		if (fault.wait_error != 0) {
			errno = fault.wait_error;
			return -1;
		}
	}
	return (int)syscall(SYS_sync_file_range, fd, offset, size, flags);
}

struct fixture {
	struct scratch scratch;
	struct event stop;
	char path[PATH_MAX];
	uint8_t *bytes;          /* one batch, aligned to a page */
};

/* The page cache is the only store of some file systems: there nothing can leave it. */
static bool has_a_disk(const char *dir)
{
	struct statfs fs;

	return dir != NULL && statfs(dir, &fs) == 0 && fs.f_type != TMPFS_MAGIC &&
	       fs.f_type != RAMFS_MAGIC;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct mfd_error err;

	memset(&fault, 0, sizeof(fault));
	*state = f;
	f->bytes = aligned_alloc(PAGE_BYTES, BATCH * PAGE_BYTES);
	if (!has_a_disk(getenv("TMPDIR")) &&
	    setenv("TMPDIR", has_a_disk("/tmp") ? "/tmp" : "/var/tmp", 1) != 0)
		return -1;
	if (f->bytes == NULL || !event_init(&f->stop, &err) || scratch_new(&f->scratch) != 0)
		return -1;
	strcpy(f->path, scratch_at(&f->scratch, "image.bin"));
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int failed;

	event_destroy(&f->stop);
	failed = scratch_free(&f->scratch);
	free(f->bytes);
	free(f);
	return failed;
}

static void need_a_disk(const struct fixture *f)
{
	if (!has_a_disk(f->scratch.dir))
		SCRATCH_SKIP("%s is all page cache: set TMPDIR to a disk\n", f->scratch.dir);
}

/* ---- The page cache. ---- */

/* How many bytes of the image are in it; `in` says of which pages, if there is one. */
static uint64_t cached(const struct fixture *f, uint8_t *in)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC);
	uint64_t i, pages, count = 0;
	uint8_t *resident;
	struct stat st;
	void *map;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	pages = batch_pages_of((uint64_t)st.st_size);
	resident = calloc(1, pages);
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	assert_int_equal(mincore(map, (size_t)st.st_size, resident), 0);
	for (i = 0; i < pages; i++)
		count += resident[i] & 1;
	if (in != NULL)
		memcpy(in, resident, pages);
	munmap(map, (size_t)st.st_size);
	close(fd);
	free(resident);
	return count * P;
}

/* Onto the disk and out of the cache, but for the pages [from, to). */
static void chill(const struct fixture *f, uint64_t from, uint64_t to)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
	for (; from < to; from++)
		assert_int_equal(pread(fd, &byte, 1, (off_t)(from * P)), 1);
	close(fd);
}

/* ---- Sources. ---- */

static void make_image(struct fixture *f, uint64_t size)
{
	int fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint64_t at, n;

	assert_true(fd >= 0);
	for (at = 0; at < size; at += n) {
		n = size - at < BATCH * P ? size - at : BATCH * P;
		scratch_fill(f->bytes, n, at);
		assert_int_equal(pwrite(fd, f->bytes, n, (off_t)at), (ssize_t)n);
	}
	close(fd);
}

/* Read the image through, and see that it is what make_image() made.  True: there was a warning. */
static bool read_image(struct fixture *f, enum mfd_cache mode, uint64_t size)
{
	uint8_t *expected = malloc(BATCH * P);
	struct mfd_error err = { .text = "" };
	struct source *s = NULL;
	struct batch b;
	uint64_t n;
	bool end, warned;

	if (!source_file_new(f->path, mode, &s, &err))
		fail_msg("%s", err.text);
	for (;;) {
		if (!s->ops->next(s, BATCH, NULL, &f->stop, &b, &end, &err))
			fail_msg("%s", err.text);
		if (end)
			break;
		memset(f->bytes, 0xEE, BATCH * P);
		if (!s->ops->read(s, &b, f->bytes, &err))
			fail_msg("%s", err.text);
		memset(expected, 0, BATCH * P);
		n = size - b.first * P < b.count * P ? size - b.first * P : b.count * P;
		scratch_fill(expected, n, b.first * P);
		assert_memory_equal(f->bytes, expected, b.count * P);
	}
	warned = s->info.warning != NULL;
	s->ops->free(s);
	free(expected);
	return warned;
}

static const uint64_t sizes[] = { 1, 511, 512, P - 1, P, P + 1, 63 * P + 513, MIB, MIB + 4097 };
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void every_mode_reads_the_same_bytes_at_every_size(void **state)
{
	struct fixture *f = *state;
	unsigned i, m;

	for (i = 0; i < SIZES; i++) {
		for (m = 0; m < MODES; m++) {
			make_image(f, sizes[i]);
			chill(f, 0, 0);
			read_image(f, modes[m], sizes[i]);
		}
	}
}

static void a_cold_source_stays_in_the_cache_only_with_keep(void **state)
{
	struct fixture *f = *state;

	need_a_disk(f);
	make_image(f, 4 * MIB + 5);
	chill(f, 0, 0);
	read_image(f, MFD_CACHE_DROP, 4 * MIB + 5);
	assert_int_equal(cached(f, NULL), 0);
	read_image(f, MFD_CACHE_DIRECT, 4 * MIB + 5);
	assert_int_equal(cached(f, NULL), 0);
	read_image(f, MFD_CACHE_KEEP, 4 * MIB + 5);
	assert_int_equal(cached(f, NULL), 4 * MIB + P);
}

static void pages_that_somebody_else_had_in_the_cache_stay_there(void **state)
{
	struct fixture *f = *state;
	uint8_t before[1024] = { 0 }, after[1024] = { 0 };

	need_a_disk(f);
	make_image(f, 4 * MIB);
	chill(f, 100, 300);
	assert_in_range(cached(f, before), 200 * P, 300 * P);
	read_image(f, MFD_CACHE_DROP, 4 * MIB);
	cached(f, after);
	assert_memory_equal(after, before, sizeof(before));
}

/* ---- Sinks. ---- */

static struct sink *open_sink(struct fixture *f, enum mfd_cache mode, bool no_fsync)
{
	const struct sink_file_options options = { .force = true, .no_fsync = no_fsync,
						   .cache = mode };
	struct mfd_error err = { .text = "" };
	struct sink *s = NULL;

	if (!sink_file_new(f->path, &options, &s, &err))
		fail_msg("%s", err.text);
	return s;
}

/* Write [from, size) in pieces, from memory that is @shift bytes off a page. */
static bool write_image(struct fixture *f, struct sink *s, uint64_t size, unsigned shift,
			struct mfd_error *err)
{
	uint64_t at, n, piece = shift ? (BATCH - 1) * P : BATCH * P;
	bool ok = true;

	for (at = 0; at < size && ok; at += n) {
		n = size - at < piece ? size - at : piece;
		scratch_fill(f->bytes + shift, n, at);
		ok = s->ops->write(s, at, f->bytes + shift, n, err);
	}
	return ok;
}

/* A whole transfer.  True: there was a warning. */
static bool put_image(struct fixture *f, enum mfd_cache mode, uint64_t size, unsigned shift)
{
	struct sink *s = open_sink(f, mode, false);
	struct mfd_error err = { .text = "" };
	bool warned = s->warning != NULL;

	if (!s->ops->begin(s, size, size, &err) || !write_image(f, s, size, shift, &err) ||
	    !s->ops->commit(s, size, &f->stop, &err))
		fail_msg("%s", err.text);
	s->ops->free(s);
	return warned;
}

static void every_mode_writes_the_same_bytes_at_every_size(void **state)
{
	struct fixture *f = *state;
	unsigned i, m;

	for (i = 0; i < SIZES; i++) {
		for (m = 0; m < MODES; m++) {
			put_image(f, modes[m], sizes[i], 0);
			read_image(f, MFD_CACHE_KEEP, sizes[i]);
		}
	}
}

static void an_output_stays_in_the_cache_only_with_keep(void **state)
{
	struct fixture *f = *state;

	need_a_disk(f);
	put_image(f, MFD_CACHE_KEEP, 4 * MIB + 5, 0);
	assert_int_equal(cached(f, NULL), 4 * MIB + P);
	put_image(f, MFD_CACHE_DROP, 4 * MIB + 5, 0);
	assert_int_equal(cached(f, NULL), 0);
	put_image(f, MFD_CACHE_DIRECT, 4 * MIB + 5, 0);
	assert_int_equal(cached(f, NULL), 0);
}

static void dirty_pages_are_bounded_while_the_image_comes(void **state)
{
	const uint64_t size = 96 * MIB;
	struct fixture *f = *state;
	struct mfd_error err = { .text = "" };
	const struct sink_file_options options = { .inplace = true, .cache = MFD_CACHE_DROP };
	struct sink *s;

	need_a_disk(f);
	if (!sink_file_new(f->path, &options, &s, &err) || !s->ops->begin(s, size, size, &err) ||
	    !write_image(f, s, size, 0, &err))
		fail_msg("%s", err.text);
	assert_int_equal(fault.waits, size / SINK_CACHE_STEP - SINK_CACHE_WINDOWS);
	/* The windows, the one that is being filled, and some for pages that were just in use. */
	assert_in_range(cached(f, NULL), 0, (SINK_CACHE_WINDOWS + 3) * SINK_CACHE_STEP);
	s->ops->free(s);
}

static void an_error_found_behind_the_writes_fails_them(void **state)
{
	const uint64_t size = (SINK_CACHE_WINDOWS + 1) * SINK_CACHE_STEP;
	struct fixture *f = *state;
	struct sink *s = open_sink(f, MFD_CACHE_DROP, true);
	struct mfd_error err = { .text = "" };

	fault.wait_error = EIO;
	assert_true(s->ops->begin(s, size, size, &err));
	assert_false(write_image(f, s, size, 0, &err));
	assert_int_equal(err.status, MFD_IO);
	assert_int_equal(err.os_errno, EIO);
	s->ops->free(s);
}

static void a_file_system_without_write_behind_gets_the_image_all_the_same(void **state)
{
	const uint64_t size = (SINK_CACHE_WINDOWS + 2) * SINK_CACHE_STEP;
	struct fixture *f = *state;

	fault.wait_error = ENOSYS;
	put_image(f, MFD_CACHE_DROP, size, 0);
	assert_true(fault.waits > 0);
	read_image(f, MFD_CACHE_DROP, size);
}

/* ---- Without O_DIRECT. ---- */

static void direct_transfers_are_direct(void **state)
{
	struct fixture *f = *state;

	need_a_disk(f);
	if (put_image(f, MFD_CACHE_DIRECT, MIB, 0))
		SCRATCH_SKIP("no O_DIRECT on %s\n", f->scratch.dir);
	assert_int_equal(fault.direct_transfers, 4);
	assert_false(read_image(f, MFD_CACHE_DIRECT, MIB));
	assert_int_equal(fault.direct_transfers, 8);
}

static void where_no_file_opens_directly_drop_does_and_the_user_hears_of_it(void **state)
{
	struct fixture *f = *state;

	fault.no_direct = true;
	assert_true(put_image(f, MFD_CACHE_DIRECT, MIB + 5, 0));
	assert_true(read_image(f, MFD_CACHE_DIRECT, MIB + 5));
	assert_int_equal(fault.direct_transfers, 0);
	if (has_a_disk(f->scratch.dir))
		assert_int_equal(cached(f, NULL), 0);
	assert_false(put_image(f, MFD_CACHE_DROP, MIB + 5, 0));
	assert_false(read_image(f, MFD_CACHE_DROP, MIB + 5));
}

static void transfers_refused_as_direct_ones_are_made_plainly(void **state)
{
	struct fixture *f = *state;

	fault.direct_fails = true;
	put_image(f, MFD_CACHE_DIRECT, MIB + 5, 0);
	read_image(f, MFD_CACHE_DIRECT, MIB + 5);
	if (has_a_disk(f->scratch.dir))
		assert_int_equal(cached(f, NULL), 0);
}

static void memory_that_is_not_aligned_is_written_all_the_same(void **state)
{
	struct fixture *f = *state;

	put_image(f, MFD_CACHE_DIRECT, MIB + 5, 1);
	read_image(f, MFD_CACHE_KEEP, MIB + 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_mode_reads_the_same_bytes_at_every_size),
		TEST(a_cold_source_stays_in_the_cache_only_with_keep),
		TEST(pages_that_somebody_else_had_in_the_cache_stay_there),
		TEST(every_mode_writes_the_same_bytes_at_every_size),
		TEST(an_output_stays_in_the_cache_only_with_keep),
		TEST(dirty_pages_are_bounded_while_the_image_comes),
		TEST(an_error_found_behind_the_writes_fails_them),
		TEST(a_file_system_without_write_behind_gets_the_image_all_the_same),
		TEST(direct_transfers_are_direct),
		TEST(where_no_file_opens_directly_drop_does_and_the_user_hears_of_it),
		TEST(transfers_refused_as_direct_ones_are_made_plainly),
		TEST(memory_that_is_not_aligned_is_written_all_the_same),
	};

	return scratch_result(cmocka_run_group_tests(tests, NULL, NULL));
}
