/* SPDX-License-Identifier: MIT */
/*
 * Filling and wrapping errors.  A text that does not fit loses from its front part (a long
 * path, a prefix), because the reason stands at its end; and whatever is put in, a file's name
 * too, it stays one line.
 */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* Control characters would break the line, or the reader's terminal. */
static void error_one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

/*
 * err->text = "front: back", with as much of @front as there is room for, perhaps none.  @back
 * may be err->text itself.
 */
static void error_join(struct mfd_error *err, const char *front, const char *back)
{
	char text[MFD_ERROR_TEXT];
	size_t room = sizeof(text) - 1;
	size_t back_size = strnlen(back, room);
	size_t front_size = 0;

	if (room - back_size > strlen(": "))
		front_size = strnlen(front, room - back_size - strlen(": "));
	memcpy(text, front, front_size);
	if (front_size) {
		memcpy(text + front_size, ": ", 2);
		front_size += 2;
	}
	memcpy(text + front_size, back, back_size);
	text[front_size + back_size] = '\0';
	error_one_line(text);
	memcpy(err->text, text, front_size + back_size + 1);
}

static bool error_fill(struct mfd_error *err, enum mfd_status status, int os_errno)
{
	err->status = status;
	err->os_errno = os_errno;
	err->remote = false;
	return false;
}

bool error_set(struct mfd_error *err, enum mfd_status status, const char *format, ...)
{
	char text[MFD_ERROR_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	error_one_line(text);
	memcpy(err->text, text, strlen(text) + 1);
	return error_fill(err, status, 0);
}

bool error_set_os(struct mfd_error *err, enum mfd_status status, int os_errno,
		  const char *format, ...)
{
	char front[MFD_ERROR_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(front, sizeof(front), format, args);
	va_end(args);
	/* Safe in threads: strerror() of glibc since 2.32 and of musl shares nothing. */
	error_join(err, front, strerror(os_errno));
	return error_fill(err, status, os_errno);
}

bool error_wrap(struct mfd_error *err, const char *format, ...)
{
	char front[MFD_ERROR_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(front, sizeof(front), format, args);
	va_end(args);
	error_join(err, front, err->text);
	return false;
}

enum mfd_status error_status_from_wire(unsigned number)
{
	switch (number) {
	case MFD_USAGE:
	case MFD_DATA:
	case MFD_NO_INPUT:
	case MFD_NO_HOST:
	case MFD_UNAVAILABLE:
	case MFD_BUG:
	case MFD_OS:
	case MFD_CANT_CREATE:
	case MFD_IO:
	case MFD_TRY_AGAIN:
	case MFD_PROTOCOL:
	case MFD_NO_PERMISSION:
	case MFD_CONFIG:
		return (enum mfd_status)number;
	default:
		/* MFD_OK too: an error that is none makes no sense. */
		return MFD_PROTOCOL;
	}
}
