/* SPDX-License-Identifier: MIT */
/*
 * Block devices as outputs, on a loop device: written in place, never while somebody else uses
 * them, and exactly as far as the image goes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "core/batch.h"
#include "loop.h"
#include "scratch.h"
#include "sink/sink.h"

#define P ((uint64_t)PAGE_BYTES)
#define DEVICE_BYTES (600 * P + 512)
#define OLD 0xAA

/* BLKZEROOUT in this program: counted, and refused with an error if one is set. */
static struct {
	unsigned zeroouts;
	int zeroout_error;
} fault;

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == BLKZEROOUT) {
		fault.zeroouts++;
		if (fault.zeroout_error != 0) {
			errno = fault.zeroout_error;
			return -1;
		}
	}
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

struct fixture {
	struct scratch scratch;
	struct event stop;
	struct sink *sink;
	int loop;                /* -1: none to be had */
	char name[64];
	char backing[PATH_MAX];
	uint8_t *content;        /* what the device should hold */
	bool mounted;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct mfd_error err;

	memset(&fault, 0, sizeof(fault));
	*state = f;
	f->content = malloc(DEVICE_BYTES);
	if (!event_init(&f->stop, &err) || scratch_new(&f->scratch) != 0 || f->content == NULL)
		return -1;
	memset(f->content, OLD, DEVICE_BYTES);
	strcpy(f->backing, scratch_at(&f->scratch, "disk"));
	if (!scratch_put(f->backing, f->content, DEVICE_BYTES, 0600))
		return -1;
	f->loop = loop_attach(f->backing, f->name, sizeof(f->name));
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

	drop_sink(f);
	event_destroy(&f->stop);
	if (f->mounted)
		umount2(scratch_at(&f->scratch, "mounted"), MNT_DETACH);
	if (f->loop >= 0)
		close(f->loop);
	failed = scratch_free(&f->scratch);
	free(f->content);
	free(f);
	return failed;
}

static void need_device(struct fixture *f)
{
	if (f->loop < 0)
		SCRATCH_SKIP("no loop device to be had here\n");
}

static const struct sink_file_options plain;
static const struct sink_file_options force = { .force = true };

static void open_sink(struct fixture *f)
{
	struct mfd_error err = { .text = "" };

	need_device(f);
	if (!sink_file_new(f->name, &force, &f->sink, &err))
		fail_msg("%s", err.text);
	assert_string_equal(f->sink->ops->kind, "device");
}

static void begin(struct fixture *f, uint64_t size)
{
	struct mfd_error err = { .text = "" };

	if (!f->sink->ops->begin(f->sink, size, UINT64_MAX, &err))
		fail_msg("%s", err.text);
}

static void fill(struct fixture *f, uint64_t offset, size_t size)
{
	struct mfd_error err = { .text = "" };
	uint8_t *bytes = malloc(size);

	scratch_fill(bytes, size, offset);
	if (!f->sink->ops->write(f->sink, offset, bytes, size, &err))
		fail_msg("%s", err.text);
	memcpy(f->content + offset, bytes,
	       offset + size > DEVICE_BYTES ? DEVICE_BYTES - offset : size);
	free(bytes);
}

static void zero(struct fixture *f, uint64_t offset, uint64_t size)
{
	struct mfd_error err = { .text = "" };

	if (!f->sink->ops->zero(f->sink, offset, size, true, &f->stop, &err))
		fail_msg("%s", err.text);
	memset(f->content + offset, 0, offset + size > DEVICE_BYTES ? DEVICE_BYTES - offset : size);
}

static void commit(struct fixture *f, uint64_t size)
{
	struct mfd_error err = { .text = "" };

	if (!f->sink->ops->commit(f->sink, size, &f->stop, &err))
		fail_msg("%s", err.text);
	drop_sink(f);
	assert_true(scratch_holds(f->name, f->content, DEVICE_BYTES));
}

static void expect_refused(struct fixture *f, const char *path,
			   const struct sink_file_options *options, const char *why)
{
	struct mfd_error err = { .text = "" };

	assert_false(sink_file_new(path, options, &f->sink, &err));
	assert_null(f->sink);
	assert_int_equal(err.status, MFD_CANT_CREATE);
	if (strncmp(err.text, path, strlen(path)) != 0 || strstr(err.text, why) == NULL)
		fail_msg("%s", err.text);
}

static void a_device_needs_force(void **state)
{
	struct fixture *f = *state;

	need_device(f);
	expect_refused(f, f->name, &plain, "exists; --force overwrites it");
	open_sink(f);
}

static void what_lies_behind_the_image_stays(void **state)
{
	struct fixture *f = *state;

	open_sink(f);
	begin(f, 10 * P + 100);
	fill(f, 0, 10 * P);
	fill(f, 10 * P, 100);
	commit(f, 10 * P + 100);
}

static void an_uncommitted_device_is_left_as_it_is(void **state)
{
	struct fixture *f = *state;

	open_sink(f);
	drop_sink(f);
	assert_true(scratch_holds(f->name, f->content, DEVICE_BYTES));
}

static void old_content_is_zeroed_also_when_nothing_was_written_yet(void **state)
{
	struct fixture *f = *state;

	open_sink(f);
	begin(f, 600 * P);
	fill(f, 0, P);
	zero(f, P, P);
	assert_int_equal(fault.zeroouts, 0);
	zero(f, 2 * P, 500 * P);
	assert_int_equal(fault.zeroouts, 1);
	fill(f, 502 * P, P);
	commit(f, 600 * P);
}

static void zeros_at_odd_places_spare_their_neighbours(void **state)
{
	struct fixture *f = *state;

	open_sink(f);
	begin(f, 600 * P);
	zero(f, 10 * P + 100, 400 * P + 3);
	assert_int_equal(fault.zeroouts, 1);
	commit(f, 600 * P);
}

static void where_zeroout_does_not_work_zeros_are_written(void **state)
{
	struct fixture *f = *state;

	open_sink(f);
	begin(f, 600 * P);
	fault.zeroout_error = EOPNOTSUPP;
	zero(f, 10 * P, 400 * P);
	assert_int_equal(fault.zeroouts, 1);
	commit(f, 600 * P);
}

static void a_failing_zeroout_is_an_io_error(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;

	open_sink(f);
	fault.zeroout_error = EIO;
	assert_false(f->sink->ops->zero(f->sink, 0, 400 * P, true, &f->stop, &err));
	assert_int_equal(err.status, MFD_IO);
	assert_int_equal(err.os_errno, EIO);
}

static void a_device_too_small_is_refused_at_the_beginning(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;
	char text[128];

	open_sink(f);
	assert_false(f->sink->ops->begin(f->sink, DEVICE_BYTES + 1, 0, &err));
	assert_int_equal(err.status, MFD_CANT_CREATE);
	snprintf(text, sizeof(text), "%s: the device has %u bytes, the image %u", f->name,
		 (unsigned)DEVICE_BYTES, (unsigned)DEVICE_BYTES + 1);
	assert_string_equal(err.text, text);
	begin(f, DEVICE_BYTES);
}

static void a_stream_as_long_as_the_device_fits(void **state)
{
	struct fixture *f = *state;

	open_sink(f);
	begin(f, UINT64_MAX);
	fill(f, 590 * P, 11 * P);
	commit(f, DEVICE_BYTES);

	open_sink(f);
	begin(f, UINT64_MAX);
	zero(f, 590 * P, 11 * P);
	commit(f, DEVICE_BYTES);
}

static void a_stream_that_is_longer_is_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t page[PAGE_BYTES] = { 0 };
	struct mfd_error err;

	open_sink(f);
	begin(f, UINT64_MAX);
	fill(f, 590 * P, 11 * P);
	assert_false(f->sink->ops->write(f->sink, 601 * P, page, P, &err));
	assert_int_equal(err.status, MFD_IO);
	assert_int_equal(err.os_errno, ENOSPC);
	assert_false(f->sink->ops->zero(f->sink, 601 * P, P, true, &f->stop, &err));
	assert_int_equal(err.os_errno, ENOSPC);
	assert_false(f->sink->ops->commit(f->sink, DEVICE_BYTES + 1, &f->stop, &err));
	assert_int_equal(err.status, MFD_CANT_CREATE);
}

static void a_stop_before_the_commit_fails_it(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err;

	open_sink(f);
	begin(f, P);
	event_raise(&f->stop);
	assert_false(f->sink->ops->commit(f->sink, P, &f->stop, &err));
	assert_int_equal(err.status, MFD_TRY_AGAIN);
}

static void a_device_in_use_is_refused(void **state)
{
	struct fixture *f = *state;
	int fd;

	need_device(f);
	fd = open(f->name, O_RDONLY | O_EXCL | O_CLOEXEC);
	assert_true(fd >= 0);
	expect_refused(f, f->name, &force, "is in use");
	close(fd);
	open_sink(f);
}

static void a_symlink_to_a_device_is_followed(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err = { .text = "" };

	need_device(f);
	assert_int_equal(symlink(f->name, scratch_at(&f->scratch, "by-id")), 0);
	if (!sink_file_new(f->scratch.path, &force, &f->sink, &err))
		fail_msg("%s", err.text);
	assert_string_equal(f->sink->ops->kind, "device");
}

static void a_mounted_device_is_refused(void **state)
{
	struct fixture *f = *state;
	char command[128];

	need_device(f);
	snprintf(command, sizeof(command), "PATH=$PATH:/sbin:/usr/sbin mke2fs -q -F %s", f->name);
	if (system(command) != 0)
		SCRATCH_SKIP("no mke2fs here\n");
	assert_int_equal(mkdir(scratch_at(&f->scratch, "mounted"), 0700), 0);
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount(f->name, f->scratch.path, "ext2", 0, NULL) != 0)
		SCRATCH_SKIP("no private mount to be had: %s\n", strerror(errno));
	f->mounted = true;
	expect_refused(f, f->name, &force, f->scratch.path);
	assert_int_equal(umount(f->scratch.path), 0);
	f->mounted = false;
	open_sink(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_device_needs_force),
		TEST(what_lies_behind_the_image_stays),
		TEST(an_uncommitted_device_is_left_as_it_is),
		TEST(old_content_is_zeroed_also_when_nothing_was_written_yet),
		TEST(zeros_at_odd_places_spare_their_neighbours),
		TEST(where_zeroout_does_not_work_zeros_are_written),
		TEST(a_failing_zeroout_is_an_io_error),
		TEST(a_device_too_small_is_refused_at_the_beginning),
		TEST(a_stream_as_long_as_the_device_fits),
		TEST(a_stream_that_is_longer_is_refused),
		TEST(a_stop_before_the_commit_fails_it),
		TEST(a_device_in_use_is_refused),
		TEST(a_symlink_to_a_device_is_followed),
		TEST(a_mounted_device_is_refused),
	};

	return scratch_result(cmocka_run_group_tests(tests, NULL, NULL));
}
