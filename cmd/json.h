/* SPDX-License-Identifier: MIT */
/*
 * JSON lines: one object a line, built in memory and written whole.  The first error is kept and
 * told at the end: what cannot be written must not stop a transfer, nor be forgotten.
 */
#ifndef MFD_CMD_JSON_H
#define MFD_CMD_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	int fd;                  /* not owned; -1: nobody asked for JSON, so there is none */
	int error;               /* the errno of the first line that was lost, or 0 */

	/* Between json_begin() and json_end(). */
	FILE *line;
	char *bytes;
	size_t size;
	bool first;              /* nothing yet in the innermost object or array */
};

/* Begin and end a line: {"v":1,"event":NAME, ... } */
void json_begin(struct json *j, const char *event);
void json_end(struct json *j);

/* "key":value.  Strings are escaped, and bytes that are not UTF-8 become U+FFFD. */
void json_string(struct json *j, const char *key, const char *value);
void json_number(struct json *j, const char *key, uint64_t value);
void json_signed(struct json *j, const char *key, int64_t value);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);

/* An array, and objects in it. */
void json_array(struct json *j, const char *key);
void json_array_end(struct json *j);
void json_object(struct json *j);
void json_object_end(struct json *j);

#endif
