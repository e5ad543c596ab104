/* SPDX-License-Identifier: MIT */
/*
 * A sticky cursor over bytes, to decode and encode messages without casts: reading or writing past
 * the end sets `bad` and from then on reads give 0 and writes go nowhere, so that one test at the
 * end of a message covers all its fields. (The habit is s2n-tls's stuffer; all numbers are
 * big-endian.)
 */
#ifndef MFD_BASE_CURSOR_H
#define MFD_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
	uint8_t *at;
	uint8_t *end;
	bool bad;
};

/*
 * Over @size bytes at @bytes, which the caller keeps alive.  The reading form promises never to
 * write through it.
 */
struct cursor cursor_writer(uint8_t *bytes, size_t size);
struct cursor cursor_reader(const uint8_t *bytes, size_t size);

uint8_t cursor_get_u8(struct cursor *c);
uint16_t cursor_get_u16(struct cursor *c);
uint32_t cursor_get_u32(struct cursor *c);
uint64_t cursor_get_u64(struct cursor *c);
void cursor_get_bytes(struct cursor *c, void *ret, size_t size);
void cursor_skip(struct cursor *c, size_t size);

void cursor_put_u8(struct cursor *c, uint8_t value);
void cursor_put_u16(struct cursor *c, uint16_t value);
void cursor_put_u32(struct cursor *c, uint32_t value);
void cursor_put_u64(struct cursor *c, uint64_t value);
void cursor_put_bytes(struct cursor *c, const void *bytes, size_t size);
void cursor_put_zeros(struct cursor *c, size_t size);

/* Bytes not yet read or written. */
size_t cursor_left(const struct cursor *c);

/* Nothing went wrong and nothing is left over. */
bool cursor_finished(const struct cursor *c);

#endif
