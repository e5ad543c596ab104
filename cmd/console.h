/* SPDX-License-Identifier: MIT */
/*
 * Standard error: whole lines that begin with the program's name, and one bar that gives way to
 * them.  The caller serialises.
 */
#ifndef MFD_CMD_CONSOLE_H
#define MFD_CMD_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

struct console {
	const char *program;
	size_t bar;              /* columns of the bar that stands there now */
};

/*
 * "program: text".  Control characters become '?': a line stays a line, and nothing reaches into
 * the terminal.
 */
void console_line(struct console *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Draw @text, which is ASCII and shorter than console_width(), over the bar before. */
void console_bar(struct console *c, const char *text);
void console_erase_bar(struct console *c);

/* Columns. */
size_t console_width(void);

bool console_is_terminal(void);

/* Can @fd take a few hundred bytes without blocking? */
bool console_ready(int fd);

#endif
