/* SPDX-License-Identifier: MIT */
/*
 * Numbers with units.  A unit is a fraction of two integers, so that bits per second need no
 * floating point, and no locale gets a say.
 */
#include "parse.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <strings.h>

/* Digits behind the point: 10^6 of the largest unit (2^40) still fit into 64 bits. */
#define PARSE_DIGITS 6

struct parse_unit {
	const char *name;
	uint64_t times, over;
};

static const struct parse_unit parse_times[] = {
	{ "", 1000, 1 }, { "ms", 1, 1 }, { "s", 1000, 1 },
	{ "m", 60000, 1 }, { "h", 3600000, 1 }, { NULL, 0, 0 },
};

#define KIB UINT64_C(1024)
#define KB UINT64_C(1000)

static const struct parse_unit parse_sizes[] = {
	{ "", 1, 1 }, { "b", 1, 1 },
	{ "k", KIB, 1 }, { "kib", KIB, 1 }, { "kb", KB, 1 },
	{ "m", KIB * KIB, 1 }, { "mib", KIB * KIB, 1 }, { "mb", KB * KB, 1 },
	{ "g", KIB * KIB * KIB, 1 }, { "gib", KIB * KIB * KIB, 1 }, { "gb", KB * KB * KB, 1 },
	{ "t", KIB * KIB * KIB * KIB, 1 }, { "tib", KIB * KIB * KIB * KIB, 1 },
	{ "tb", KB * KB * KB * KB, 1 },
	{ NULL, 0, 0 },
};

static const struct parse_unit parse_bits[] = {
	{ "bit", 1, 8 }, { "kbit", KB, 8 }, { "mbit", KB * KB, 8 },
	{ "gbit", KB * KB * KB, 8 }, { "tbit", KB * KB * KB * KB, 8 },
	{ NULL, 0, 0 },
};

/* A number in decimal: whole + part / scale. */
struct parse_number {
	uint64_t whole, part, scale;
};

/* The digits at *text; moves *text behind them.  At least one, at most @max of them. */
static bool parse_digits(const char **text, unsigned max, uint64_t *ret, uint64_t *ret_scale)
{
	unsigned n = 0;

	*ret = 0;
	*ret_scale = 1;
	for (; isdigit((unsigned char)**text); (*text)++, n++) {
		if (n == max || __builtin_mul_overflow(*ret, 10, ret) ||
		    __builtin_add_overflow(*ret, (uint64_t)(**text - '0'), ret))
			return false;
		*ret_scale *= 10; /* meaningless where max is large, and not used there */
	}
	return n > 0;
}

static bool parse_number(const char **text, struct parse_number *ret)
{
	uint64_t unused;

	ret->part = 0;
	ret->scale = 1;
	if (!parse_digits(text, 64, &ret->whole, &unused))
		return false;
	if (**text != '.')
		return true;
	(*text)++;
	return parse_digits(text, PARSE_DIGITS, &ret->part, &ret->scale);
}

/* The number in units of one, the rest below that cut off. */
static bool parse_apply(const struct parse_number *n, const struct parse_unit *unit, uint64_t *ret)
{
	uint64_t value;

	if (n->part && unit->times == 1)
		return false;
	if (__builtin_mul_overflow(n->whole, unit->times, &value) ||
	    __builtin_add_overflow(value, n->part * unit->times / n->scale, &value))
		return false;
	*ret = value / unit->over;
	return true;
}

/* @size characters at @name are the name of one of @units, in whatever case. */
static const struct parse_unit *parse_find(const struct parse_unit *units, const char *name,
					   size_t size)
{
	for (; units->name; units++)
		if (!strncasecmp(units->name, name, size) && !units->name[size])
			return units;
	return NULL;
}

static size_t parse_unit_size(const char *text)
{
	size_t size = 0;

	while (isalpha((unsigned char)text[size]))
		size++;
	return size;
}

/* A number and one of @units, and nothing behind it. */
static bool parse_with(const struct parse_unit *units, const char *text, uint64_t *ret)
{
	const struct parse_unit *unit;
	struct parse_number number;
	size_t size;

	if (!parse_number(&text, &number))
		return false;
	size = parse_unit_size(text);
	unit = parse_find(units, text, size);
	return unit && !text[size] && parse_apply(&number, unit, ret);
}

bool parse_duration(const char *text, uint64_t *ret_ms)
{
	return parse_with(parse_times, text, ret_ms);
}

bool parse_size(const char *text, uint64_t *ret_bytes)
{
	return parse_with(parse_sizes, text, ret_bytes);
}

bool parse_rate(const char *text, uint64_t *ret_bytes_per_second)
{
	const struct parse_unit *unit;
	struct parse_number number;
	size_t size;

	if (!parse_number(&text, &number))
		return false;
	size = parse_unit_size(text);
	unit = parse_find(parse_sizes, text, size);
	if (!unit)
		unit = parse_find(parse_bits, text, size);
	text += size;
	if (*text == '/')
		text += strcasecmp(text, "/s") ? 0 : 2;
	return unit && !*text && parse_apply(&number, unit, ret_bytes_per_second);
}

bool parse_hexadecimal(const char *text, unsigned long max, unsigned long *ret)
{
	unsigned long value = 0;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		text += 2;
	if (!isxdigit((unsigned char)*text))
		return false;
	for (; isxdigit((unsigned char)*text); text++) {
		value = value * 16 + (unsigned long)(isdigit((unsigned char)*text) ?
						     *text - '0' :
						     tolower((unsigned char)*text) - 'a' + 10);
		if (value > max)
			return false;
	}
	if (*text)
		return false;
	*ret = value;
	return true;
}

bool parse_integer(const char *text, long min, long max, long *ret)
{
	const char *digits = text + (*text == '-');
	char *end;
	long value;

	if (!isdigit((unsigned char)*digits))
		return false;
	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || *end || value < min || value > max)
		return false;
	*ret = value;
	return true;
}
