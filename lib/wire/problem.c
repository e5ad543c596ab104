/* SPDX-License-Identifier: MIT */
/*
 * REFUSE and ERROR: a class and one line of text.  The text is printed on the other
 * host's terminal and written into its logs and JSON, so it leaves this file as valid
 * UTF-8 without anything that a terminal obeys.
 */
#include "wire/body.h"

#include <stdio.h>
#include <string.h>

#include "wire/check.h"

/*
 * The smallest code of a character, by the number of bytes that follow its first.  0xa0
 * rather than 0x80, because U+0080..U+009F are control characters.
 */
static const uint32_t problem_smallest[] = { 0x20, 0xa0, 0x800, 0x10000 };

/* Bytes of the character at the front of @at[0..left), or 0 if its first byte is to be escaped. */
static size_t problem_character(const uint8_t *at, size_t left)
{
	const size_t more = at[0] < 0x80 ? 0 : at[0] < 0xe0 ? 1 : at[0] < 0xf0 ? 2 : 3;
	uint32_t code = more ? at[0] & 0x3fu >> more : at[0];

	if ((more && (at[0] < 0xc2 || at[0] > 0xf4)) || left <= more)
		return 0;
	for (size_t i = 1; i <= more; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (at[i] & 0x3fu);
	}
	if (code < problem_smallest[more] || code == 0x7f || (code >= 0xd800 && code <= 0xdfff) ||
	    code > 0x10ffff)
		return 0;
	return more + 1;
}

/* Whole characters and whole escapes only; what does not fit any more is left out. */
static void problem_escape(const uint8_t *at, size_t left, char ret[static WIRE_MAX_TEXT + 1])
{
	size_t used = 0;
	size_t taken, given;
	char escape[5];

	for (; left; at += taken, left -= taken) {
		taken = problem_character(at, left);
		given = taken;
		if (!taken) {
			snprintf(escape, sizeof(escape), "\\x%02x", (unsigned)at[0]);
			taken = 1;
			given = 4;
		}
		if (given > WIRE_MAX_TEXT - used)
			break;
		memcpy(ret + used, given == taken ? (const char *)at : escape, given);
		used += given;
	}
	ret[used] = '\0';
}

void wire_put_problem(struct cursor *c, const struct wire_problem *m)
{
	const size_t size = strnlen(m->text, WIRE_MAX_TEXT);

	cursor_put_u16(c, m->status);
	cursor_put_u16(c, (uint16_t)size);
	cursor_put_bytes(c, m->text, size);
}

bool wire_get_problem(struct cursor *c, struct wire_problem *ret, struct mfd_error *err)
{
	uint8_t text[WIRE_MAX_TEXT];
	uint16_t size;

	ret->status = (uint16_t)error_status_from_wire(cursor_get_u16(c));
	size = cursor_get_u16(c);
	if (!wire_check_range("bytes in the text", size, 0, WIRE_MAX_TEXT, err))
		return false;
	cursor_get_bytes(c, text, size);
	problem_escape(text, size, ret->text);
	return wire_check_ended(c, err);
}
