/* SPDX-License-Identifier: MIT */
/*
 * Quoting for sh(1).
 */
#include "command.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nothing in it means anything to a shell. */
static bool command_plain(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "-_=+,./:@%";

	return *word && strspn(word, plain) == strlen(word);
}

/* In single quotes only a single quote is special; control characters are left to $'\n'. */
static void command_word(FILE *line, const char *word)
{
	const char *control = "";

	if (command_plain(word)) {
		fputs(word, line);
		return;
	}
	for (const unsigned char *c = (const unsigned char *)word; *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			control = "$";
	fprintf(line, "%s'", control);
	for (const unsigned char *c = (const unsigned char *)word; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			fprintf(line, "\\%03o", *c);
		else if (*control && (*c == '\'' || *c == '\\'))
			fprintf(line, "\\%c", *c);
		else if (*c == '\'')
			fputs("'\\''", line);
		else
			fputc(*c, line);
	}
	fputc('\'', line);
}

char *command_line(const char *program, int argc, char *const *argv)
{
	char *text = NULL;
	size_t size;
	FILE *line = open_memstream(&text, &size);

	if (!line)
		return NULL;
	fputs(program, line);
	for (int i = 1; i < argc; i++) {
		fputc(' ', line);
		command_word(line, argv[i]);
	}
	if (fclose(line)) {
		free(text);
		return NULL;
	}
	return text;
}
