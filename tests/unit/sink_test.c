/* SPDX-License-Identifier: MIT */
/*
 * The file sink and the null sink: what was written is there in full and exactly as long as it
 * should be, or nothing is; zeros over old content; every way a commit can fail.  Where an
 * output stands is sink_place_test.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "core/batch.h"
#include "scratch.h"
#include "sink/sink.h"

#define P ((uint64_t)PAGE_BYTES)
#define MIB (UINT64_C(1) << 20)
#define UNKNOWN UINT64_MAX

/*
 * Faults in the system calls of this program, and what was called: s(ync a file), c(lose),
 * r(ename), d(irectory sync).
 */
static struct {
	bool watch;
	char log[64];
	int fsync_error;
	int directory_error;
	int close_error;
	int punch_error;
	unsigned punches;
	uint64_t largest_punch;
	struct event *raise_in_fsync;
	struct event *raise_in_close;
	struct event *raise_in_punch;
} fault;

static void note(char what)
{
	size_t n = strlen(fault.log);

	if (fault.watch && n + 1 < sizeof(fault.log))
		fault.log[n] = what;
}

static int fail_with(int error)
{
	errno = error;
	return -1;
}

int fsync(int fd)
{
	struct stat st;
	bool directory = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);

	note(directory ? 'd' : 's');
	if (!directory && fault.raise_in_fsync != NULL)
		event_raise(fault.raise_in_fsync);
	if (directory ? fault.directory_error : fault.fsync_error)
		return fail_with(directory ? fault.directory_error : fault.fsync_error);
	return (int)syscall(SYS_fsync, fd);
}

int close(int fd)
{
	int n = (int)syscall(SYS_close, fd);

	note('c');
	if (fault.watch && fault.raise_in_close != NULL)
		event_raise(fault.raise_in_close);
	return fault.watch && fault.close_error != 0 ? fail_with(fault.close_error) : n;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	note('r');
	return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
	fault.punches++;
	assert_int_equal(mode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	if ((uint64_t)length > fault.largest_punch)
		fault.largest_punch = (uint64_t)length;
	if (fault.raise_in_punch != NULL && fault.punches == 2)
		event_raise(fault.raise_in_punch);
	if (fault.punch_error != 0)
		return fail_with(fault.punch_error);
	return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

struct fixture {
	struct scratch scratch;
	struct event stop;
	struct sink *sink;
	char out[PATH_MAX];
	bool mounted;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct mfd_error err;

	memset(&fault, 0, sizeof(fault));
	*state = f;
	if (!event_init(&f->stop, &err) || scratch_new(&f->scratch) != 0)
		return -1;
	strcpy(f->out, scratch_at(&f->scratch, "out.bin"));
	return 0;
}

static void drop_sink(struct fixture *f)
{
	if (f->sink != NULL)
		f->sink->ops->free(f->sink);
	f->sink = NULL;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int failed;

	fault.watch = false;
	drop_sink(f);
	event_destroy(&f->stop);
	if (f->mounted)
		umount2(f->scratch.dir, MNT_DETACH);
	failed = scratch_free(&f->scratch);
	free(f);
	return failed;
}

static void open_sink(struct fixture *f, bool force, bool inplace)
{
	const struct sink_file_options options = { .force = force, .inplace = inplace };
	struct mfd_error err = { .text = "" };

	drop_sink(f);
	if (!sink_file_new(f->out, &options, &f->sink, &err))
		fail_msg("%s", err.text);
}

static void begin(struct fixture *f, uint64_t size, uint64_t allocated)
{
	struct mfd_error err = { .text = "" };

	if (!f->sink->ops->begin(f->sink, size, allocated, &err))
		fail_msg("%s", err.text);
}

/* Write scratch_fill()'s bytes. */
static void fill(struct fixture *f, uint64_t offset, size_t size)
{
	struct mfd_error err = { .text = "" };
	uint8_t *bytes = malloc(size);

	scratch_fill(bytes, size, offset);
	if (!f->sink->ops->write(f->sink, offset, bytes, size, &err))
		fail_msg("%s", err.text);
	free(bytes);
}

static void zero(struct fixture *f, uint64_t offset, uint64_t size, bool fresh)
{
	struct mfd_error err = { .text = "" };

	if (!f->sink->ops->zero(f->sink, offset, size, fresh, &f->stop, &err))
		fail_msg("%s", err.text);
}

static void commit(struct fixture *f, uint64_t size)
{
	struct mfd_error err = { .text = "" };

	if (!f->sink->ops->commit(f->sink, size, &f->stop, &err))
		fail_msg("%s", err.text);
}

static void expect_commit_fails(struct fixture *f, enum mfd_status status, int os_errno)
{
	struct mfd_error err = { .text = "" };

	assert_false(f->sink->ops->commit(f->sink, P, &f->stop, &err));
	assert_int_equal(err.status, status);
	assert_int_equal(err.os_errno, os_errno);
	fault.watch = false;
	drop_sink(f);
	assert_int_equal(scratch_entries(f->scratch.dir), 0);
}

/* Does the output hold @size bytes: scratch_fill()'s, but zeros in [from, to)? */
static bool out_holds(struct fixture *f, size_t size, size_t from, size_t to)
{
	uint8_t *bytes = malloc(size + 1);
	bool same;

	scratch_fill(bytes, size, 0);
	memset(bytes + from, 0, to - from);
	same = scratch_holds(f->out, bytes, size);
	free(bytes);
	return same;
}

static void put_old(struct fixture *f, size_t size)
{
	uint8_t *bytes = malloc(size);

	memset(bytes, 0xAA, size);
	assert_true(scratch_put(f->out, bytes, size, 0640));
	free(bytes);
}

static void outputs_of_every_size_are_exact(void **state)
{
	const uint64_t sizes[] = { 0, 1, P - 1, P, P + 1, 100 * P + 5 };
	struct fixture *f = *state;
	unsigned i, known;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (known = 0; known < 2; known++) {
			open_sink(f, true, false);
			begin(f, known ? sizes[i] : UNKNOWN, known ? sizes[i] : UNKNOWN);
			fill(f, 0, sizes[i]);
			commit(f, sizes[i]);
			drop_sink(f);
			assert_true(out_holds(f, sizes[i], 0, 0));
			assert_int_equal(scratch_entries(f->scratch.dir), 1);
		}
	}
}

static void the_padding_of_the_last_page_is_cut(void **state)
{
	struct fixture *f = *state;

	open_sink(f, false, false);
	begin(f, UNKNOWN, UNKNOWN);
	fill(f, 0, 2 * P);
	commit(f, P + 100);
	assert_true(out_holds(f, P + 100, 0, 0));
}

static void a_sparse_output_stays_sparse(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	open_sink(f, false, false);
	begin(f, UINT64_C(5) << 30, P);
	zero(f, 0, UINT64_C(4) << 30, true);
	fill(f, UINT64_C(4) << 30, P);
	commit(f, UINT64_C(5) << 30);
	assert_int_equal(fault.punches, 0);
	assert_int_equal(stat(f->out, &st), 0);
	assert_true(st.st_size == (off_t)5 << 30);
	assert_true(st.st_blocks * 512 < (off_t)MIB);
}

static void an_uncommitted_output_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	open_sink(f, false, false);
	assert_int_equal(scratch_entries(f->scratch.dir), 1);
	assert_int_not_equal(access(f->out, F_OK), 0);
	begin(f, P, P);
	fill(f, 0, P);
	drop_sink(f);
	assert_int_equal(scratch_entries(f->scratch.dir), 0);
}

static void the_old_output_stays_until_the_commit(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	put_old(f, 10);
	open_sink(f, true, false);
	begin(f, P, P);
	fill(f, 0, P);
	assert_int_equal(stat(f->out, &st), 0);
	assert_int_equal(st.st_size, 10);
	drop_sink(f);
	assert_true(scratch_holds(f->out, "\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA", 10));
	assert_int_equal(scratch_entries(f->scratch.dir), 1);
}

static void a_file_larger_than_the_file_system_takes_cannot_be_created(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;

	open_sink(f, false, false);
	if (f->sink->ops->begin(f->sink, UINT64_C(1) << 62, P, &err))
		SCRATCH_SKIP("this file system takes files of 2^62 bytes\n");
	assert_int_equal(err.status, MFD_CANT_CREATE);
	assert_int_equal(err.os_errno, EFBIG);
}

static void mount_tiny(struct fixture *f)
{
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", f->scratch.dir, "tmpfs", 0, "size=1m") != 0)
		SCRATCH_SKIP("no private mount to be had: %s\n", strerror(errno));
	f->mounted = true;
}

static void no_room_is_said_before_anything_is_written(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;

	mount_tiny(f);
	open_sink(f, false, false);
	assert_false(f->sink->ops->begin(f->sink, 2 * MIB, 2 * MIB, &err));
	assert_int_equal(err.status, MFD_IO);
	assert_int_equal(err.os_errno, ENOSPC);
	assert_int_equal(strncmp(err.text, f->out, strlen(f->out)), 0);
	assert_non_null(
		strstr(err.text, "out.bin: No space left on device: 2097152 bytes needed, "));
	drop_sink(f);
	assert_int_equal(scratch_entries(f->scratch.dir), 0);

	/* Holes need no room, and what is not known is not held against anybody. */
	open_sink(f, false, false);
	begin(f, 1024 * MIB, MIB / 2);
	fill(f, 0, P);
	commit(f, 1024 * MIB);
	open_sink(f, true, false);
	begin(f, 1024 * MIB, UNKNOWN);
}

static void what_a_file_in_place_has_already_counts_as_room(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;

	mount_tiny(f);
	put_old(f, 3 * MIB / 4);
	open_sink(f, true, true);
	begin(f, 3 * MIB / 4, 3 * MIB / 4);
	fill(f, 0, 3 * MIB / 4);
	assert_false(f->sink->ops->begin(f->sink, 2 * MIB, 2 * MIB, &err));
	assert_int_equal(err.os_errno, ENOSPC);
}

static void a_full_disk_is_an_io_error_with_the_path(void **state)
{
	struct fixture *f = *state;
	uint8_t *bytes = calloc(1, 2 * MIB);
	struct mfd_error err;
	char text[PATH_MAX + 64];

	mount_tiny(f);
	open_sink(f, false, false);
	begin(f, UNKNOWN, UNKNOWN);
	assert_false(f->sink->ops->write(f->sink, 0, bytes, 2 * MIB, &err));
	assert_int_equal(err.status, MFD_IO);
	assert_int_equal(err.os_errno, ENOSPC);
	snprintf(text, sizeof(text), "%s: No space left on device", f->out);
	assert_string_equal(err.text, text);
	drop_sink(f);
	assert_int_equal(scratch_entries(f->scratch.dir), 0);
	free(bytes);
}

static void a_commit_syncs_renames_and_syncs_the_directory(void **state)
{
	struct fixture *f = *state;

	open_sink(f, false, false);
	begin(f, P, P);
	fault.watch = true;
	commit(f, P);
	fault.watch = false;
	assert_string_equal(fault.log, "scrd");
}

static void without_fsync_there_is_none(void **state)
{
	const struct sink_file_options options = { .no_fsync = true };
	struct fixture *f = *state;
	struct mfd_error err;

	assert_true(sink_file_new(f->out, &options, &f->sink, &err));
	begin(f, P, P);
	fill(f, 0, P);
	fault.watch = true;
	commit(f, P);
	fault.watch = false;
	assert_string_equal(fault.log, "cr");
	assert_true(out_holds(f, P, 0, 0));
}

static void a_failing_fsync_renames_nothing(void **state)
{
	struct fixture *f = *state;

	open_sink(f, false, false);
	begin(f, P, P);
	fault.fsync_error = EIO;
	expect_commit_fails(f, MFD_IO, EIO);
}

static void a_failing_close_renames_nothing(void **state)
{
	struct fixture *f = *state;

	open_sink(f, false, false);
	begin(f, P, P);
	fault.watch = true;
	fault.close_error = EDQUOT;
	expect_commit_fails(f, MFD_IO, EDQUOT);
}

static void after_the_rename_nothing_fails(void **state)
{
	struct fixture *f = *state;

	open_sink(f, false, false);
	begin(f, P, P);
	fill(f, 0, P);
	fault.directory_error = EIO;
	commit(f, P);
	event_raise(&f->stop);
	drop_sink(f);
	assert_true(out_holds(f, P, 0, 0));
}

static void a_stop_before_the_commit_renames_nothing(void **state)
{
	struct fixture *f = *state;

	open_sink(f, false, false);
	begin(f, P, P);
	event_raise(&f->stop);
	fault.watch = true;
	expect_commit_fails(f, MFD_TRY_AGAIN, 0);
	assert_string_equal(fault.log, "");
}

static void a_stop_during_fsync_renames_nothing(void **state)
{
	struct fixture *f = *state;

	open_sink(f, false, false);
	begin(f, P, P);
	fault.raise_in_fsync = &f->stop;
	expect_commit_fails(f, MFD_TRY_AGAIN, 0);
}

static void a_stop_during_close_renames_nothing(void **state)
{
	struct fixture *f = *state;

	open_sink(f, false, false);
	begin(f, P, P);
	fault.watch = true;
	fault.raise_in_close = &f->stop;
	expect_commit_fails(f, MFD_TRY_AGAIN, 0);
}

static void a_later_round_punches_what_was_written(void **state)
{
	struct fixture *f = *state;

	open_sink(f, false, false);
	begin(f, 8 * P, 8 * P);
	fill(f, 0, 8 * P);
	zero(f, 2 * P, 3 * P, false);
	commit(f, 8 * P);
	assert_true(out_holds(f, 8 * P, 2 * P, 5 * P));
}

static void large_holes_are_punched_in_steps(void **state)
{
	struct fixture *f = *state;

	open_sink(f, false, false);
	begin(f, 200 * MIB, 0);
	zero(f, 0, 200 * MIB, false);
	assert_int_equal(fault.punches, 4);
	assert_int_equal(fault.largest_punch, SINK_ZERO_STEP);
}

static void a_stop_gets_in_between_the_steps(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;

	open_sink(f, false, false);
	begin(f, 1024 * MIB, 0);
	fault.raise_in_punch = &f->stop;
	assert_false(f->sink->ops->zero(f->sink, 0, 1024 * MIB, false, &f->stop, &err));
	assert_int_equal(err.status, MFD_TRY_AGAIN);
	assert_int_equal(fault.punches, 2);
}

static void where_nothing_can_be_punched_zeros_are_written(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	put_old(f, 64 * P);
	open_sink(f, true, true);
	begin(f, UNKNOWN, UNKNOWN);
	fill(f, 0, 64 * P);
	fault.punch_error = EOPNOTSUPP;
	zero(f, 10 * P, 40 * P, false);
	zero(f, 60 * P, 40 * P, false);
	zero(f, 200 * P, 40 * P, false);
	assert_int_equal(stat(f->out, &st), 0);
	assert_int_equal(st.st_size, 64 * P);
	zero(f, 60 * P, 4 * P, false);
	commit(f, 60 * P);
	assert_true(out_holds(f, 60 * P, 10 * P, 50 * P));
}

static void a_failing_punch_is_an_io_error(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;

	open_sink(f, false, false);
	begin(f, P, P);
	fault.punch_error = EIO;
	assert_false(f->sink->ops->zero(f->sink, 0, P, false, &f->stop, &err));
	assert_int_equal(err.status, MFD_IO);
	assert_int_equal(err.os_errno, EIO);
}

static void in_place_zeros_replace_an_old_image_full_of_data(void **state)
{
	struct fixture *f = *state;
	unsigned known;

	for (known = 0; known < 2; known++) {
		put_old(f, 100 * P);
		open_sink(f, true, true);
		begin(f, known ? 90 * P + 1 : UNKNOWN, UNKNOWN);
		fill(f, 0, P);
		zero(f, P, 90 * P, true);
		commit(f, 90 * P + 1);
		drop_sink(f);
		assert_true(out_holds(f, 90 * P + 1, P, 90 * P + 1));
	}
}

static void in_place_keeps_the_file_and_grows_it(void **state)
{
	struct stat before, after;
	struct fixture *f = *state;

	put_old(f, 10);
	assert_int_equal(stat(f->out, &before), 0);
	open_sink(f, true, true);
	assert_int_equal(stat(f->out, &after), 0);
	assert_int_equal(after.st_size, 10);
	begin(f, 3 * P + 7, 3 * P);
	fill(f, 0, 3 * P + 7);
	commit(f, 3 * P + 7);
	assert_true(out_holds(f, 3 * P + 7, 0, 0));
	assert_int_equal(stat(f->out, &after), 0);
	assert_true(after.st_ino == before.st_ino);
	assert_int_equal(after.st_mode, before.st_mode);
}

static void in_place_a_part_stays_after_a_failure(void **state)
{
	struct fixture *f = *state;

	open_sink(f, false, true);
	begin(f, P, P);
	fill(f, 0, P);
	drop_sink(f);
	assert_true(out_holds(f, P, 0, 0));
	assert_int_equal(scratch_entries(f->scratch.dir), 1);
}

static void in_place_a_new_file_that_never_began_goes_away(void **state)
{
	struct fixture *f = *state;

	open_sink(f, false, true);
	assert_int_equal(access(f->out, F_OK), 0);
	drop_sink(f);
	assert_int_equal(scratch_entries(f->scratch.dir), 0);

	put_old(f, 10);
	open_sink(f, true, true);
	drop_sink(f);
	assert_int_equal(scratch_entries(f->scratch.dir), 1);
}

static void a_new_file_in_place_is_committed_like_any(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	open_sink(f, false, true);
	begin(f, P + 1, P + 1);
	zero(f, 0, P, true);
	assert_int_equal(fault.punches, 0);
	fault.watch = true;
	commit(f, P + 1);
	fault.watch = false;
	assert_string_equal(fault.log, "scd");
	drop_sink(f);
	assert_int_equal(stat(f->out, &st), 0);
	assert_int_equal(st.st_size, P + 1);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void the_null_sink_takes_everything(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;

	assert_true(sink_null_new(&f->sink, &err));
	assert_string_equal(f->sink->ops->kind, "null");
	begin(f, UINT64_C(1) << 62, UINT64_C(1) << 62);
	fill(f, UINT64_C(1) << 61, P);
	zero(f, 0, UINT64_C(1) << 62, false);
	commit(f, UINT64_C(1) << 62);
	event_raise(&f->stop);
	assert_false(f->sink->ops->commit(f->sink, 0, &f->stop, &err));
	assert_int_equal(err.status, MFD_TRY_AGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(outputs_of_every_size_are_exact),
		TEST(the_padding_of_the_last_page_is_cut),
		TEST(a_sparse_output_stays_sparse),
		TEST(an_uncommitted_output_leaves_nothing),
		TEST(the_old_output_stays_until_the_commit),
		TEST(a_file_larger_than_the_file_system_takes_cannot_be_created),
		TEST(no_room_is_said_before_anything_is_written),
		TEST(what_a_file_in_place_has_already_counts_as_room),
		TEST(a_full_disk_is_an_io_error_with_the_path),
		TEST(a_commit_syncs_renames_and_syncs_the_directory),
		TEST(without_fsync_there_is_none),
		TEST(a_failing_fsync_renames_nothing),
		TEST(a_failing_close_renames_nothing),
		TEST(after_the_rename_nothing_fails),
		TEST(a_stop_before_the_commit_renames_nothing),
		TEST(a_stop_during_fsync_renames_nothing),
		TEST(a_stop_during_close_renames_nothing),
		TEST(a_later_round_punches_what_was_written),
		TEST(large_holes_are_punched_in_steps),
		TEST(a_stop_gets_in_between_the_steps),
		TEST(where_nothing_can_be_punched_zeros_are_written),
		TEST(a_failing_punch_is_an_io_error),
		TEST(in_place_zeros_replace_an_old_image_full_of_data),
		TEST(in_place_keeps_the_file_and_grows_it),
		TEST(in_place_a_part_stays_after_a_failure),
		TEST(in_place_a_new_file_that_never_began_goes_away),
		TEST(a_new_file_in_place_is_committed_like_any),
		TEST(the_null_sink_takes_everything),
	};

	return scratch_result(cmocka_run_group_tests(tests, NULL, NULL));
}
