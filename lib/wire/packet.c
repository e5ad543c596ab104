/* SPDX-License-Identifier: MIT */
/*
 * Data packets: the header and, for PAGES, the two bitmaps behind it.  The checksum comes
 * before everything else, so that damage on the way is called damage and not a broken
 * rule.
 */
#include "wire/wire.h"

#include <inttypes.h>

#include "base/cursor.h"
#include "base/hash.h"
#include "core/invariant.h"
#include "wire/check.h"

#define PACKET_MAGIC UINT32_C(0x4d464470)
#define PACKET_HASHED (WIRE_PACKET_BYTES - 8)

void wire_put_packet(const struct wire_packet *p, uint8_t raw[static WIRE_PACKET_BYTES])
{
	struct cursor c = cursor_writer(raw, WIRE_PACKET_BYTES);

	cursor_put_u32(&c, PACKET_MAGIC);
	cursor_put_u8(&c, p->kind);
	cursor_put_u8(&c, p->method);
	cursor_put_u16(&c, p->flags);
	cursor_put_u32(&c, p->round);
	cursor_put_u32(&c, p->region);
	cursor_put_u64(&c, p->sequence);
	cursor_put_u64(&c, p->batch);
	cursor_put_u64(&c, p->first);
	cursor_put_u64(&c, p->count);
	cursor_put_u32(&c, p->data_pages);
	cursor_put_u32(&c, p->payload);
	cursor_put_u64(&c, p->sum);
	cursor_put_u64(&c, p->bitmap_hash);
	cursor_put_u64(&c, hash_bytes(raw, PACKET_HASHED));
	if (!cursor_finished(&c))
		invariant_broken("mfd: wire: a packet header has not its size\n");
}

static bool packet_check_method(const struct wire_packet *p, struct mfd_error *err)
{
	if (p->method == WIRE_METHOD_LZ4_RESERVED)
		return error_set(err, MFD_PROTOCOL, "method %u is reserved", (unsigned)p->method);
	if (p->method > WIRE_MAX_METHOD)
		return error_set(err, MFD_PROTOCOL, "method %u is unknown", (unsigned)p->method);
	return true;
}

static bool packet_check_flags(const struct wire_packet *p, struct mfd_error *err)
{
	const unsigned unknown = p->flags & ~(WIRE_FLAG_RAW | WIRE_FLAG_AGAIN | WIRE_FLAG_KEPT);

	if (unknown)
		return error_set(err, MFD_PROTOCOL, "flags 0x%04x are unknown", unknown);
	if (p->flags & WIRE_FLAG_RAW && p->method != WIRE_METHOD_NONE)
		return error_set(err, MFD_PROTOCOL, "flag RAW with method %u", (unsigned)p->method);
	return true;
}

/* Nothing is coded: ZERO, SYNC and PAGES without data pages. */
static bool packet_check_no_payload(const struct wire_packet *p, struct mfd_error *err)
{
	return wire_check_zero("method without payload", p->method, err) &&
	       wire_check_zero("flag RAW without payload", p->flags & WIRE_FLAG_RAW, err) &&
	       wire_check_zero("data pages", p->data_pages, err) &&
	       wire_check_zero("payload", p->payload, err) &&
	       wire_check_zero("sum", p->sum, err);
}

static bool packet_check_payload(const struct wire_packet *p, struct mfd_error *err)
{
	const uint32_t whole = p->data_pages * PAGE_BYTES; /* of at most BATCH_MAX_PAGES */

	if (p->method != WIRE_METHOD_NONE)
		return wire_check_range("coded payload", p->payload, 1, whole - 1, err);
	if (p->payload != whole)
		return error_set(err, MFD_PROTOCOL,
				 "plain payload: %" PRIu32 " bytes for %" PRIu32 " pages",
				 p->payload, p->data_pages);
	return true;
}

/* A run of 1..@most pages that lies within the largest image. */
static bool packet_check_run(const struct wire_packet *p, uint64_t most, struct mfd_error *err)
{
	return wire_check_range("region", p->region, 0, WIRE_MAX_REGIONS - 1, err) &&
	       wire_check_range("pages", p->count, 1, most, err) &&
	       wire_check_range("first page", p->first, 0, WIRE_MAX_PAGE_INDEX - p->count, err);
}

static bool packet_check_pages(const struct wire_packet *p, struct mfd_error *err)
{
	if (!packet_check_run(p, BATCH_MAX_PAGES, err))
		return false;
	if (p->data_pages == 0)
		return packet_check_no_payload(p, err);
	return wire_check_range("data pages", p->data_pages, 1, p->count, err) &&
	       packet_check_payload(p, err);
}

static bool packet_check_zero_run(const struct wire_packet *p, struct mfd_error *err)
{
	return packet_check_run(p, WIRE_MAX_PAGE_INDEX, err) &&
	       packet_check_no_payload(p, err) &&
	       wire_check_zero("flag KEPT without bitmaps", p->flags & WIRE_FLAG_KEPT, err) &&
	       wire_check_zero("bitmap checksum without bitmaps", p->bitmap_hash, err);
}

static bool packet_check_sync(const struct wire_packet *p, struct mfd_error *err)
{
	return wire_check_zero("flags of SYNC", p->flags, err) &&
	       wire_check_zero("region of SYNC", p->region, err) &&
	       wire_check_zero("first page of SYNC", p->first, err) &&
	       wire_check_zero("pages of SYNC", p->count, err) &&
	       packet_check_no_payload(p, err) &&
	       wire_check_zero("bitmap checksum without bitmaps", p->bitmap_hash, err);
}

static bool packet_check(const struct wire_packet *p, struct mfd_error *err)
{
	if (!packet_check_method(p, err) || !packet_check_flags(p, err) ||
	    !wire_check_range("round", p->round, 0, WIRE_MAX_ROUNDS - 1, err))
		return false;
	switch (p->kind) {
	case WIRE_PAGES:
		return packet_check_pages(p, err);
	case WIRE_ZERO:
		return packet_check_zero_run(p, err);
	case WIRE_SYNC:
		return packet_check_sync(p, err);
	default:
		return error_set(err, MFD_PROTOCOL, "kind %u is unknown", (unsigned)p->kind);
	}
}

bool wire_get_packet(const uint8_t raw[static WIRE_PACKET_BYTES], struct wire_packet *ret,
		     struct mfd_error *err)
{
	struct cursor c = cursor_reader(raw, WIRE_PACKET_BYTES);
	uint32_t magic = cursor_get_u32(&c);

	ret->kind = cursor_get_u8(&c);
	ret->method = cursor_get_u8(&c);
	ret->flags = cursor_get_u16(&c);
	ret->round = cursor_get_u32(&c);
	ret->region = cursor_get_u32(&c);
	ret->sequence = cursor_get_u64(&c);
	ret->batch = cursor_get_u64(&c);
	ret->first = cursor_get_u64(&c);
	ret->count = cursor_get_u64(&c);
	ret->data_pages = cursor_get_u32(&c);
	ret->payload = cursor_get_u32(&c);
	ret->sum = cursor_get_u64(&c);
	ret->bitmap_hash = cursor_get_u64(&c);

	if (cursor_get_u64(&c) != hash_bytes(raw, PACKET_HASHED))
		return error_set(err, MFD_DATA, "packet header: checksum is wrong");
	if (magic != PACKET_MAGIC)
		return error_set(err, MFD_PROTOCOL,
				 "packet header: magic 0x%08" PRIx32 " is wrong", magic);
	if (!packet_check(ret, err))
		return error_wrap(err, "packet header");
	return true;
}

size_t wire_put_bitmaps(const uint64_t *carried, const uint64_t *data, uint32_t count,
			uint8_t raw[static WIRE_MAX_BITMAPS_BYTES])
{
	struct cursor c = cursor_writer(raw, WIRE_MAX_BITMAPS_BYTES);

	if (count == 0 || count > BATCH_MAX_PAGES)
		invariant_broken("mfd: wire: bitmaps for a number of pages no packet has\n");
	for (uint32_t word = 0; word < BITMAP_WORDS(count); word++)
		cursor_put_u64(&c, carried[word]);
	for (uint32_t word = 0; word < BITMAP_WORDS(count); word++)
		cursor_put_u64(&c, data[word]);
	return WIRE_BITMAPS_BYTES(count);
}

static bool packet_check_bitmaps(const struct wire_packet *p, const uint64_t *carried,
				 const uint64_t *data, struct mfd_error *err)
{
	const uint32_t count = (uint32_t)p->count;

	if (!bitmap_within(carried, carried, count))
		return error_set(err, MFD_PROTOCOL, "bitmaps: pages beyond the packet's %" PRIu32,
				 count);
	if (!bitmap_within(data, carried, count))
		return error_set(err, MFD_PROTOCOL, "bitmaps: data pages that are not carried");
	if (!bitmap_test(carried, 0) || !bitmap_test(carried, count - 1))
		return error_set(err, MFD_PROTOCOL,
				 "bitmaps: the first or the last page is not carried");
	if (bitmap_count(data, count) != p->data_pages)
		return error_set(err, MFD_PROTOCOL,
				 "bitmaps: %" PRIu32 " data pages where the header has %" PRIu32,
				 bitmap_count(data, count), p->data_pages);
	return true;
}

bool wire_get_bitmaps(const struct wire_packet *p, const uint8_t *raw, uint64_t *ret_carried,
		      uint64_t *ret_data, struct mfd_error *err)
{
	struct cursor c;

	if (p->kind != WIRE_PAGES || p->count == 0 || p->count > BATCH_MAX_PAGES)
		invariant_broken("mfd: wire: bitmaps of a packet that was not checked\n");
	c = cursor_reader(raw, WIRE_BITMAPS_BYTES(p->count));
	for (uint32_t word = 0; word < BITMAP_WORDS(p->count); word++)
		ret_carried[word] = cursor_get_u64(&c);
	for (uint32_t word = 0; word < BITMAP_WORDS(p->count); word++)
		ret_data[word] = cursor_get_u64(&c);

	if (hash_bytes(raw, WIRE_BITMAPS_BYTES(p->count)) != p->bitmap_hash)
		return error_set(err, MFD_DATA, "bitmaps: checksum is wrong");
	return packet_check_bitmaps(p, ret_carried, ret_data, err);
}
