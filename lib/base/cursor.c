/* SPDX-License-Identifier: MIT */
/*
 * The sticky cursor.  Everything goes through cursor_take, the one place that compares with the
 * end.
 */
#include "base/cursor.h"

#include <string.h>

struct cursor cursor_writer(uint8_t *bytes, size_t size)
{
	return (struct cursor){
		.at = bytes, .end = size ? bytes + size : bytes, /* NULL + 0 is undefined */
	};
}

struct cursor cursor_reader(const uint8_t *bytes, size_t size)
{
	return cursor_writer((uint8_t *)(uintptr_t)bytes, size);
}

size_t cursor_left(const struct cursor *c)
{
	return c->bad ? 0 : (size_t)(c->end - c->at);
}

bool cursor_finished(const struct cursor *c)
{
	return !c->bad && c->at == c->end;
}

/* The next @size bytes, or NULL and bad for ever. */
static uint8_t *cursor_take(struct cursor *c, size_t size)
{
	uint8_t *at = c->at;

	if (c->bad || size > cursor_left(c)) {
		c->bad = true;
		return NULL;
	}
	if (size)
		c->at += size;
	return at;
}

static uint64_t cursor_get_number(struct cursor *c, size_t size)
{
	const uint8_t *at = cursor_take(c, size);
	uint64_t value = 0;

	if (!at)
		return 0;
	for (size_t i = 0; i < size; i++)
		value = value << 8 | at[i];
	return value;
}

static void cursor_put_number(struct cursor *c, uint64_t value, size_t size)
{
	uint8_t *at = cursor_take(c, size);

	if (!at)
		return;
	for (size_t i = size; i-- > 0; value >>= 8)
		at[i] = (uint8_t)value;
}

uint8_t cursor_get_u8(struct cursor *c)
{
	return (uint8_t)cursor_get_number(c, 1);
}

uint16_t cursor_get_u16(struct cursor *c)
{
	return (uint16_t)cursor_get_number(c, 2);
}

uint32_t cursor_get_u32(struct cursor *c)
{
	return (uint32_t)cursor_get_number(c, 4);
}

uint64_t cursor_get_u64(struct cursor *c)
{
	return cursor_get_number(c, 8);
}

void cursor_get_bytes(struct cursor *c, void *ret, size_t size)
{
	const uint8_t *at = cursor_take(c, size);

	if (!size)
		return;
	if (at)
		memcpy(ret, at, size);
	else
		memset(ret, 0, size);
}

void cursor_skip(struct cursor *c, size_t size)
{
	cursor_take(c, size);
}

void cursor_put_u8(struct cursor *c, uint8_t value)
{
	cursor_put_number(c, value, 1);
}

void cursor_put_u16(struct cursor *c, uint16_t value)
{
	cursor_put_number(c, value, 2);
}

void cursor_put_u32(struct cursor *c, uint32_t value)
{
	cursor_put_number(c, value, 4);
}

void cursor_put_u64(struct cursor *c, uint64_t value)
{
	cursor_put_number(c, value, 8);
}

void cursor_put_bytes(struct cursor *c, const void *bytes, size_t size)
{
	uint8_t *at = cursor_take(c, size);

	if (at && size)
		memcpy(at, bytes, size);
}

void cursor_put_zeros(struct cursor *c, size_t size)
{
	uint8_t *at = cursor_take(c, size);

	if (at && size)
		memset(at, 0, size);
}
