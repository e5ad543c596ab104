/* SPDX-License-Identifier: MIT */
/*
 * Standard error.  Each line and each bar is one write(2), so that the lines of programs that share
 * a terminal do not mix.  Errors are ignored: there is nobody to tell.
 */
#include "console.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CONSOLE_LINE 1024

static void console_write(const char *bytes, size_t size)
{
	ssize_t ignored = write(STDERR_FILENO, bytes, size);

	(void)ignored;
}

void console_line(struct console *c, const char *format, ...)
{
	char line[CONSOLE_LINE];
	va_list args;
	size_t size;
	int used;

	used = snprintf(line, sizeof(line), "%s: ", c->program);
	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - (size_t)used, format, args);
	va_end(args);
	size = strlen(line);
	if (size > sizeof(line) - 2)
		size = sizeof(line) - 2;
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[size] = '\n';
	console_erase_bar(c);
	console_write(line, size + 1);
}

void console_bar(struct console *c, const char *text)
{
	char line[CONSOLE_LINE];
	size_t size = strlen(text);
	int used;

	/* Blanks over what is left of a longer bar. */
	used = snprintf(line, sizeof(line), "\r%s%*s", text,
			c->bar > size ? (int)(c->bar - size) : 0, "");
	console_write(line, (size_t)used < sizeof(line) ? (size_t)used : sizeof(line) - 1);
	c->bar = size;
}

void console_erase_bar(struct console *c)
{
	if (!c->bar)
		return;
	console_bar(c, "");
	console_write("\r", 1);
}

size_t console_width(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 20)
		return 80;
	return size.ws_col;
}

bool console_is_terminal(void)
{
	return isatty(STDERR_FILENO);
}

bool console_ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1;
}
