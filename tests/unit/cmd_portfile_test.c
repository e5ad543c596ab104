/* SPDX-License-Identifier: MIT */
/*
 * The port file: complete when it appears, gone when we go, and never somebody else's.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "cmd/portfile.h"
#include "scratch.h"

static int set_up(void **state)
{
	struct scratch *s = malloc(sizeof(*s));

	*state = s;
	return s ? scratch_new(s) : -1;
}

static int tear_down(void **state)
{
	int failed = scratch_free(*state);

	free(*state);
	return failed;
}

static void expect_content(const char *path, const char *content)
{
	char text[64] = "";
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	assert_int_equal(fread(text, 1, sizeof(text) - 1, f), strlen(content));
	fclose(f);
	assert_string_equal(text, content);
}

static void it_holds_the_port_and_a_newline_and_nothing_else_is_left(void **state)
{
	struct scratch *s = *state;
	struct portfile p = { 0 };
	struct mfd_error err;
	char path[PATH_MAX];

	strcpy(path, scratch_at(s, "port"));
	assert_true(portfile_write(&p, path, 65535, &err));
	expect_content(path, "65535\n");
	assert_int_equal(scratch_entries(s->dir), 1);
	portfile_remove(&p);
	assert_int_equal(scratch_entries(s->dir), 0);
	portfile_remove(&p);
}

static void an_old_one_is_replaced_as_a_whole(void **state)
{
	struct scratch *s = *state;
	struct portfile p = { 0 };
	struct mfd_error err;
	struct stat before, after;
	char path[PATH_MAX];

	strcpy(path, scratch_at(s, "port"));
	assert_true(scratch_put(path, "1234567890\n", 11, 0600));
	assert_int_equal(stat(path, &before), 0);
	assert_true(portfile_write(&p, path, 1, &err));
	expect_content(path, "1\n");
	assert_int_equal(stat(path, &after), 0);
	assert_true(before.st_ino != after.st_ino);
	portfile_remove(&p);
	assert_int_equal(access(path, F_OK), -1);
}

static void somebody_elses_file_stays(void **state)
{
	struct scratch *s = *state;
	struct portfile p = { 0 };
	struct mfd_error err;
	char path[PATH_MAX], other[PATH_MAX];

	strcpy(path, scratch_at(s, "port"));
	strcpy(other, scratch_at(s, "other"));
	assert_true(portfile_write(&p, path, 1, &err));
	assert_true(scratch_put(other, "2\n", 2, 0600));
	assert_int_equal(rename(other, path), 0);
	portfile_remove(&p);
	expect_content(path, "2\n");
}

static void one_that_is_gone_already_is_no_error(void **state)
{
	struct scratch *s = *state;
	struct portfile p = { 0 };
	struct mfd_error err;
	char path[PATH_MAX];

	strcpy(path, scratch_at(s, "port"));
	assert_true(portfile_write(&p, path, 1, &err));
	assert_int_equal(unlink(path), 0);
	portfile_remove(&p);
}

static void where_none_can_be_it_is_73_and_nothing_is_left(void **state)
{
	struct scratch *s = *state;
	struct portfile p = { 0 };
	struct mfd_error err;
	char path[PATH_MAX];

	strcpy(path, scratch_at(s, "nowhere/port"));
	assert_false(portfile_write(&p, path, 1, &err));
	assert_int_equal(err.status, MFD_CANT_CREATE);
	assert_int_equal(err.os_errno, ENOENT);
	assert_null(p.path);

	/* A directory under that name can't be replaced by a file. */
	strcpy(path, scratch_at(s, "directory"));
	assert_int_equal(mkdir(path, 0700), 0);
	assert_false(portfile_write(&p, path, 1, &err));
	assert_int_equal(err.status, MFD_CANT_CREATE);
	assert_int_equal(scratch_entries(s->dir), 1);
	portfile_remove(&p);
	assert_int_equal(scratch_entries(s->dir), 1);
}

static void a_name_too_long_is_refused(void **state)
{
	struct portfile p = { 0 };
	struct mfd_error err;
	char path[PATH_MAX];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_false(portfile_write(&p, path, 1, &err));
	assert_int_equal(err.os_errno, ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			it_holds_the_port_and_a_newline_and_nothing_else_is_left, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(an_old_one_is_replaced_as_a_whole, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(somebody_elses_file_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_is_gone_already_is_no_error, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(where_none_can_be_it_is_73_and_nothing_is_left,
						set_up, tear_down),
		cmocka_unit_test(a_name_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
