/* SPDX-License-Identifier: MIT */
/*
 * Loops over system calls: short transfers, full outputs, descriptors at scope end.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

/* A file without a name, in $TMPDIR or /tmp. */
static int open_scratch(void)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/mfd-io-XXXXXX", dir ? dir : "/tmp");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static void fill(uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 31 + i / 251);
}

static void what_was_written_is_read_back(void **state)
{
	int fd IO_AUTO_CLOSE = open_scratch();
	uint8_t out[5000], in[5000];

	(void)state;
	fill(out, sizeof(out));
	assert_int_equal(io_pwrite(fd, out, sizeof(out), 12345), 0);
	assert_int_equal(io_pread(fd, in, sizeof(in), 12345), sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
}

static void offsets_beyond_4_gib_are_kept(void **state)
{
	int fd IO_AUTO_CLOSE = open_scratch();
	const uint64_t far = (UINT64_C(5) << 30) + 1;
	char in[4];

	(void)state;
	assert_int_equal(io_pwrite(fd, "page", 4, far), 0);
	assert_int_equal(io_pread(fd, in, 4, far), 4);
	assert_memory_equal(in, "page", 4);
	assert_int_equal(io_pread(fd, in, 4, far - (UINT64_C(4) << 30)), 4);
	assert_memory_equal(in, "\0\0\0\0", 4);
}

static void reading_stops_at_the_end_of_the_file(void **state)
{
	int fd IO_AUTO_CLOSE = open_scratch();
	char in[10];

	(void)state;
	assert_int_equal(io_pwrite(fd, "12345", 5, 0), 0);
	assert_int_equal(io_pread(fd, in, 10, 0), 5);
	assert_int_equal(io_pread(fd, in, 10, 3), 2);
	assert_int_equal(io_pread(fd, in, 10, 5), 0);
	assert_int_equal(io_pread(fd, in, 10, 500), 0);
	assert_int_equal(io_pread(fd, in, 0, 0), 0);
}

static void errors_come_back_as_errno(void **state)
{
	char byte = 0;
	int full IO_AUTO_CLOSE = open("/dev/full", O_WRONLY);
	int fds[2];

	(void)state;
	errno = 0;
	assert_int_equal(io_pread(-1, &byte, 1, 0), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(io_pwrite(-1, &byte, 1, 0), EBADF);
	assert_true(full >= 0);
	assert_int_equal(io_pwrite(full, &byte, 1, 0), ENOSPC);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(io_pwrite(fds[1], &byte, 1, 0), ESPIPE);
	close(fds[0]);
	close(fds[1]);
}

static void writing_nothing_is_no_error(void **state)
{
	int full IO_AUTO_CLOSE = open("/dev/full", O_WRONLY);

	(void)state;
	assert_int_equal(io_pwrite(full, NULL, 0, 0), 0);
}

static void advance_drops_exactly_the_bytes_done(void **state)
{
	uint8_t bytes[10];
	struct iovec iov[4], *at;
	unsigned count;
	size_t left;

	(void)state;
	for (size_t done = 0; done <= 10; done++) {
		iov[0] = (struct iovec){ bytes, 3 };
		iov[1] = (struct iovec){ bytes + 3, 0 };
		iov[2] = (struct iovec){ bytes + 3, 5 };
		iov[3] = (struct iovec){ bytes + 8, 2 };
		count = 4;
		at = io_advance(iov, &count, done);
		assert_ptr_equal(at, iov + 4 - count);
		assert_int_equal(count, done < 3 ? 4 : done < 8 ? 2 : done < 10 ? 1 : 0);
		if (count)
			assert_ptr_equal(at->iov_base, bytes + done);
		for (left = 0; count; count--, at++)
			left += at->iov_len;
		assert_int_equal(left, 10 - done);
	}
}

static void advance_in_steps_reaches_the_end(void **state)
{
	uint8_t bytes[64];
	struct iovec iov[8], *at = iov;
	unsigned count = 8;

	(void)state;
	for (size_t i = 0; i < 8; i++)
		iov[i] = (struct iovec){ bytes + i * 8, 8 };
	for (size_t done = 0; done < 63; done += 3) {
		assert_ptr_equal(at->iov_base, bytes + done);
		at = io_advance(at, &count, 3);
	}
	assert_int_equal(count, 1);
	assert_int_equal(at->iov_len, 1);
	io_advance(at, &count, 1);
	assert_int_equal(count, 0);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void close_keeps_errno_and_takes_minus_one(void **state)
{
	int fd = open_scratch();

	(void)state;
	errno = EDOM;
	io_close(-1);
	io_close(fd);
	assert_int_equal(errno, EDOM);
	assert_false(is_open(fd));
}

static void a_descriptor_closes_with_its_scope_unless_stolen(void **state)
{
	int closed, kept;

	(void)state;
	{
		int first IO_AUTO_CLOSE = open_scratch();
		int second IO_AUTO_CLOSE = open_scratch();

		closed = first;
		kept = io_steal(&second);
		assert_int_equal(second, -1);
	}
	assert_false(is_open(closed));
	assert_true(is_open(kept));
	close(kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read_back),
		cmocka_unit_test(offsets_beyond_4_gib_are_kept),
		cmocka_unit_test(reading_stops_at_the_end_of_the_file),
		cmocka_unit_test(errors_come_back_as_errno),
		cmocka_unit_test(writing_nothing_is_no_error),
		cmocka_unit_test(advance_drops_exactly_the_bytes_done),
		cmocka_unit_test(advance_in_steps_reaches_the_end),
		cmocka_unit_test(close_keeps_errno_and_takes_minus_one),
		cmocka_unit_test(a_descriptor_closes_with_its_scope_unless_stolen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
