/* SPDX-License-Identifier: MIT */
/*
 * REFUSE and ERROR: whatever a peer puts into its text, nothing reaches a terminal that
 * the terminal would obey.
 */
#include "wire_test.h"

/* An ERROR frame with any bytes as its text; its size. */
static size_t put_text(const void *text, size_t size, uint8_t *raw)
{
	test_poke(raw, 0, 4, WIRE_ERROR << 16);
	test_poke(raw, 4, 4, 4 + size);
	test_poke(raw, 8, 2, MFD_IO);
	test_poke(raw, 10, 2, size);
	memcpy(raw + 12, text, size);
	test_seal(raw, 12 + size);
	return 12 + size + WIRE_FRAME_TAIL_BYTES;
}

/* What a peer's @text looks like here. */
static void reads_as(const void *text, size_t size, const char *shown)
{
	uint8_t raw[WIRE_MAX_FRAME];
	struct wire_message got;

	memset(&got, 0xdd, sizeof(got));
	test_frame_is_taken(raw, put_text(text, size, raw), &got);
	assert_string_equal(got.problem.text, shown);
}

static void problem_comes_back_as_it_was(void **state)
{
	struct wire_message m;

	(void)state;
	for (unsigned type = WIRE_REFUSE; type <= WIRE_ERROR; type += WIRE_ERROR - WIRE_REFUSE) {
		memset(&m, 0, sizeof(m));
		m.type = (enum wire_type)type;
		m.problem.status = MFD_CANT_CREATE;
		test_round_trip(&m, 4);
		strcpy(m.problem.text, "out.bin: File exists");
		test_round_trip(&m, 4 + 20);
		memset(m.problem.text, 'x', WIRE_MAX_TEXT);
		test_round_trip(&m, 4 + WIRE_MAX_TEXT);
	}
}

static void unknown_class_becomes_a_protocol_error(void **state)
{
	static const struct {
		uint16_t sent, status;
	} list[] = {
		{ 0, MFD_PROTOCOL },
		{ 63, MFD_PROTOCOL },
		{ 64, MFD_USAGE },
		{ 67, MFD_PROTOCOL },
		{ 74, MFD_IO },
		{ 78, MFD_CONFIG },
		{ 79, MFD_PROTOCOL },
		{ 0xffff, MFD_PROTOCOL },
	};
	uint8_t raw[WIRE_MAX_FRAME];
	struct wire_message m = { .type = WIRE_REFUSE }, got;

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		m.problem.status = list[i].sent;
		test_frame_is_taken(raw, wire_put_message(&m, raw), &got);
		assert_int_equal(got.problem.status, list[i].status);
	}
}

static void text_is_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 2, 2, 0, "body is 480 bytes too long" },
		{ 2, 2, 479, "body is 1 bytes too long" },
		{ 2, 2, 480, NULL },
		{ 2, 2, 481, "bytes in the text: 481 is not one of 0..480" },
		{ 2, 2, 0xffff, "bytes in the text: 65535" },
	};
	struct wire_message m = { .type = WIRE_ERROR, .problem = { .status = MFD_IO } };

	(void)state;
	memset(m.problem.text, 'x', WIRE_MAX_TEXT);
	test_body_cases(&m, WIRE_CASES(list));
	m.problem.text[WIRE_MAX_TEXT - 1] = '\0';
	test_round_trip(&m, 4 + WIRE_MAX_TEXT - 1);
}

static void text_without_an_end_is_cut_when_sent(void **state)
{
	uint8_t raw[WIRE_MAX_FRAME];
	struct wire_message m = { .type = WIRE_ERROR, .problem = { .status = MFD_IO } };
	struct wire_message got;

	(void)state;
	memset(m.problem.text, 'x', WIRE_MAX_TEXT + 1);
	test_frame_is_taken(raw, wire_put_message(&m, raw), &got);
	assert_int_equal(strlen(got.problem.text), WIRE_MAX_TEXT);
}

static void control_characters_are_escaped(void **state)
{
	(void)state;
	reads_as("\033[2J\033]0;x\a", 10, "\\x1b[2J\\x1b]0;x\\x07");
	reads_as("two\r\nlines\t", 11, "two\\x0d\\x0alines\\x09");
	reads_as("a\0b", 3, "a\\x00b");
	reads_as("\x1f \x7e\x7f", 4, "\\x1f ~\\x7f");
	reads_as("\\x1b", 4, "\\x1b");
}

static void utf8_is_kept(void **state)
{
	static const char text[] =
		"\xc3\xa9\xc2\xa0\xdf\xbf "
		"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xe2\x82\xac "
		"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf";

	(void)state;
	reads_as(text, sizeof(text) - 1, text);
}

static void bytes_that_are_not_utf8_are_escaped(void **state)
{
	(void)state;
	reads_as("\x80\x9b\x9f\xa0\xbf", 5, "\\x80\\x9b\\x9f\\xa0\\xbf"); /* nothing leads them */
	reads_as("\xe9t\xe9", 3, "\\xe9t\\xe9");                        /* Latin-1 */
	reads_as("\xc0\x9b\xc1\xbf", 4, "\\xc0\\x9b\\xc1\\xbf");        /* longer than need be */
	reads_as("\xe0\x9f\xbf", 3, "\\xe0\\x9f\\xbf");
	reads_as("\xf0\x8f\xbf\xbf", 4, "\\xf0\\x8f\\xbf\\xbf");
	reads_as("\xed\xa0\x80\xed\xbf\xbf", 6, "\\xed\\xa0\\x80\\xed\\xbf\\xbf"); /* surrogates */
	reads_as("\xf4\x90\x80\x80\xf5", 5, "\\xf4\\x90\\x80\\x80\\xf5"); /* beyond U+10FFFF */
	reads_as("\xff", 1, "\\xff");
	reads_as("\xe2\x82", 2, "\\xe2\\x82");                          /* the text ends within */
	reads_as("\xe2\x82z", 3, "\\xe2\\x82z");
	reads_as("\xc3", 1, "\\xc3");
	reads_as("\xf0\x9f\x98", 3, "\\xf0\\x9f\\x98");
}

/* U+009B begins a control sequence just as ESC [ does. */
static void control_characters_in_utf8_are_escaped_too(void **state)
{
	(void)state;
	reads_as("\xc2\x80\xc2\x9b\xc2\x9f", 6, "\\xc2\\x80\\xc2\\x9b\\xc2\\x9f");
	reads_as("\xc2\xa1", 2, "\xc2\xa1");
}

/* @fill x and then @tail shown, at the end of as much text as there can be. */
static void ends_with(size_t fill, const char *tail, size_t size, const char *shown)
{
	char text[WIRE_MAX_TEXT], expect[WIRE_MAX_TEXT + 1];

	memset(text, 'x', sizeof(text));
	memcpy(text + fill, tail, size);
	memset(expect, 'x', fill);
	strcpy(expect + fill, shown);
	reads_as(text, fill + size, expect);
}

static void escaped_text_is_cut_between_characters(void **state)
{
	char all[WIRE_MAX_TEXT], shown[WIRE_MAX_TEXT + 1];

	(void)state;
	memset(all, '\033', sizeof(all));
	for (unsigned i = 0; i < WIRE_MAX_TEXT / 4; i++)
		memcpy(shown + 4 * i, "\\x1b", 4);
	shown[WIRE_MAX_TEXT] = '\0';
	reads_as(all, sizeof(all), shown);
	ends_with(WIRE_MAX_TEXT - 4, "\033", 1, "\\x1b");
	ends_with(WIRE_MAX_TEXT - 3, "\033", 1, "");
	ends_with(WIRE_MAX_TEXT - 2, "\xc3\xa9", 2, "\xc3\xa9");
	ends_with(WIRE_MAX_TEXT - 6, "\n\xe2\x82\xac", 4, "\\x0a");
	ends_with(WIRE_MAX_TEXT - 7, "\n\xe2\x82\xac", 4, "\\x0a\xe2\x82\xac");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(problem_comes_back_as_it_was),
		cmocka_unit_test(unknown_class_becomes_a_protocol_error),
		cmocka_unit_test(text_is_bounded),
		cmocka_unit_test(text_without_an_end_is_cut_when_sent),
		cmocka_unit_test(control_characters_are_escaped),
		cmocka_unit_test(utf8_is_kept),
		cmocka_unit_test(bytes_that_are_not_utf8_are_escaped),
		cmocka_unit_test(control_characters_in_utf8_are_escaped_too),
		cmocka_unit_test(escaped_text_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
