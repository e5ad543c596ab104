/* SPDX-License-Identifier: MIT */
/*
 * Errors: filling, wrapping, texts that do not fit, classes from the wire.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"

static void set_fills_everything_and_returns_false(void **state)
{
	struct mfd_error err;

	(void)state;
	memset(&err, 0xff, sizeof(err));
	assert_false(error_set(&err, MFD_USAGE, "packet size %d is too small", 7));
	assert_int_equal(err.status, MFD_USAGE);
	assert_int_equal(err.os_errno, 0);
	assert_false(err.remote);
	assert_string_equal(err.text, "packet size 7 is too small");
}

static void set_os_says_what_the_system_said(void **state)
{
	struct mfd_error err;

	(void)state;
	memset(&err, 0xff, sizeof(err));
	assert_false(error_set_os(&err, MFD_IO, ENOSPC, "%s", "out.bin"));
	assert_int_equal(err.status, MFD_IO);
	assert_int_equal(err.os_errno, ENOSPC);
	assert_false(err.remote);
	assert_string_equal(err.text, "out.bin: No space left on device");
}

static void wrap_puts_its_prefix_in_front_and_changes_nothing_else(void **state)
{
	struct mfd_error err;

	(void)state;
	error_set_os(&err, MFD_IO, EIO, "page %d", 3);
	err.remote = true;
	assert_false(error_wrap(&err, "channel %d", 5));
	assert_false(error_wrap(&err, "out.bin"));
	assert_string_equal(err.text, "out.bin: channel 5: page 3: Input/output error");
	assert_int_equal(err.status, MFD_IO);
	assert_int_equal(err.os_errno, EIO);
	assert_true(err.remote);
}

static void an_error_can_be_set_from_its_own_text(void **state)
{
	struct mfd_error err;

	(void)state;
	error_set(&err, MFD_IO, "disk");
	error_set(&err, MFD_DATA, "%s and %s", err.text, err.text);
	assert_string_equal(err.text, "disk and disk");
	error_wrap(&err, "%s", err.text);
	assert_string_equal(err.text, "disk and disk: disk and disk");
}

static void long_text_is_cut_and_terminated(void **state)
{
	struct mfd_error err;
	char longer[2 * MFD_ERROR_TEXT];

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	memset(&err, 0xff, sizeof(err));
	error_set(&err, MFD_IO, "%s", longer);
	assert_int_equal(strnlen(err.text, sizeof(err.text)), MFD_ERROR_TEXT - 1);
}

static void the_reason_survives_a_path_that_does_not_fit(void **state)
{
	struct mfd_error err;
	char path[4096];
	const char *reason = ": No space left on device";

	(void)state;
	memset(path, 'p', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	error_set_os(&err, MFD_IO, ENOSPC, "%s", path);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(strlen(err.text), MFD_ERROR_TEXT - 1);
		assert_string_equal(err.text + MFD_ERROR_TEXT - 1 - strlen(reason), reason);
		error_wrap(&err, "%s", path);
	}
}

static void wrapping_a_full_text_leaves_it_as_it_is(void **state)
{
	struct mfd_error err;
	char full[MFD_ERROR_TEXT];

	(void)state;
	memset(full, 'f', sizeof(full));
	full[sizeof(full) - 1] = '\0';
	error_set(&err, MFD_IO, "%s", full);
	error_wrap(&err, "prefix");
	assert_string_equal(err.text, full);
}

static void a_file_name_cannot_break_the_line(void **state)
{
	struct mfd_error err;

	(void)state;
	error_set_os(&err, MFD_NO_INPUT, ENOENT, "%s", "a\nb\033[31m\x7f");
	assert_string_equal(err.text, "a?b?[31m?: No such file or directory");
	error_set(&err, MFD_NO_INPUT, "%s", "\r\t");
	assert_string_equal(err.text, "??");
	error_wrap(&err, "%s", "bänk");
	assert_string_equal(err.text, "bänk: ??");
}

static void known_classes_come_over_the_wire_as_they_are(void **state)
{
	static const unsigned known[] = { 64, 65, 66, 68, 69, 70, 71, 73, 74, 75, 76, 77, 78 };

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		assert_int_equal(error_status_from_wire(known[i]), known[i]);
}

static void unknown_classes_become_protocol_errors(void **state)
{
	static const unsigned unknown[] = { 0, 1, 63, 67, 72, 79, 255, 65535, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		assert_int_equal(error_status_from_wire(unknown[i]), MFD_PROTOCOL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_fills_everything_and_returns_false),
		cmocka_unit_test(set_os_says_what_the_system_said),
		cmocka_unit_test(wrap_puts_its_prefix_in_front_and_changes_nothing_else),
		cmocka_unit_test(an_error_can_be_set_from_its_own_text),
		cmocka_unit_test(long_text_is_cut_and_terminated),
		cmocka_unit_test(the_reason_survives_a_path_that_does_not_fit),
		cmocka_unit_test(wrapping_a_full_text_leaves_it_as_it_is),
		cmocka_unit_test(a_file_name_cannot_break_the_line),
		cmocka_unit_test(known_classes_come_over_the_wire_as_they_are),
		cmocka_unit_test(unknown_classes_become_protocol_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
