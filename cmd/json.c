/* SPDX-License-Identifier: MIT */
/*
 * JSON lines, RFC 8259.
 */
#include "json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * The bytes of the UTF-8 character at @s (Unicode 15, table 3-7); 0 if it is none.  The terminating
 * NUL never counts as a continuation, so nothing is read behind the end.
 */
static unsigned json_utf8(const unsigned char *s)
{
	unsigned size, low = 0x80, high = 0xbf;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	size = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		low = 0xa0; /* shorter forms exist */
	if (s[0] == 0xed)
		high = 0x9f; /* surrogates */
	if (s[0] == 0xf0)
		low = 0x90; /* shorter forms exist */
	if (s[0] == 0xf4)
		high = 0x8f; /* beyond U+10FFFF */
	for (unsigned i = 1; i < size; i++, low = 0x80, high = 0xbf)
		if (s[i] < low || s[i] > high)
			return 0;
	return size;
}

static void json_text(struct json *j, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	unsigned size;

	fputc('"', j->line);
	for (; *s; s += size ? size : 1) {
		size = json_utf8(s);
		if (!size)
			fputs("\\ufffd", j->line);
		else if (*s == '"' || *s == '\\')
			fprintf(j->line, "\\%c", *s);
		else if (*s < 0x20 || *s == 0x7f)
			fprintf(j->line, "\\u%04x", (unsigned)*s);
		else
			fwrite(s, 1, size, j->line);
	}
	fputc('"', j->line);
}

/* What goes before a value; false when there is no line to put it in. */
static bool json_key(struct json *j, const char *key)
{
	if (!j->line)
		return false;
	if (!j->first)
		fputc(',', j->line);
	j->first = false;
	if (key)
		fprintf(j->line, "\"%s\":", key);
	return true;
}

static void json_lost(struct json *j, int error)
{
	if (!j->error)
		j->error = error;
}

void json_begin(struct json *j, const char *event)
{
	/* Behind half a line another one would be no JSON either. */
	if (j->fd < 0 || j->error)
		return;
	j->line = open_memstream(&j->bytes, &j->size);
	if (!j->line) {
		json_lost(j, ENOMEM);
		return;
	}
	fputc('{', j->line);
	j->first = true;
	json_number(j, "v", 1);
	json_string(j, "event", event);
}

static void json_write(struct json *j)
{
	size_t done = 0;
	ssize_t n;

	while (done < j->size) {
		n = write(j->fd, j->bytes + done, j->size - done);
		if (n < 0 && errno != EINTR) {
			json_lost(j, errno);
			return;
		}
		done += n > 0 ? (size_t)n : 0;
	}
}

void json_end(struct json *j)
{
	bool whole;

	if (!j->line)
		return;
	fputs("}\n", j->line);
	whole = !ferror(j->line);
	if (fclose(j->line) || !whole)
		json_lost(j, ENOMEM);
	else
		json_write(j);
	free(j->bytes);
	j->line = NULL;
}

void json_string(struct json *j, const char *key, const char *value)
{
	if (json_key(j, key))
		json_text(j, value);
}

void json_number(struct json *j, const char *key, uint64_t value)
{
	if (json_key(j, key))
		fprintf(j->line, "%" PRIu64, value);
}

void json_signed(struct json *j, const char *key, int64_t value)
{
	if (json_key(j, key))
		fprintf(j->line, "%" PRId64, value);
}

void json_bool(struct json *j, const char *key, bool value)
{
	if (json_key(j, key))
		fputs(value ? "true" : "false", j->line);
}

void json_null(struct json *j, const char *key)
{
	if (json_key(j, key))
		fputs("null", j->line);
}

static void json_open(struct json *j, const char *key, char bracket)
{
	if (json_key(j, key))
		fputc(bracket, j->line);
	j->first = true;
}

static void json_close(struct json *j, char bracket)
{
	if (j->line)
		fputc(bracket, j->line);
	j->first = false;
}

void json_array(struct json *j, const char *key)
{
	json_open(j, key, '[');
}

void json_array_end(struct json *j)
{
	json_close(j, ']');
}

void json_object(struct json *j)
{
	json_open(j, NULL, '{');
}

void json_object_end(struct json *j)
{
	json_close(j, '}');
}
