/* SPDX-License-Identifier: MIT */
/*
 * Frames of hash lists: what the receiver's basis holds.
 */
#include "wire/wire.h"

#include <inttypes.h>

#include "base/cursor.h"
#include "base/hash.h"
#include "core/invariant.h"
#include "wire/check.h"

#define HASHES_MAGIC UINT32_C(0x4d464468)
#define HASHES_HASHED (WIRE_HASHES_BYTES - 8)

void wire_put_hashes(const struct wire_hashes *h, uint8_t raw[static WIRE_HASHES_BYTES])
{
	struct cursor c = cursor_writer(raw, WIRE_HASHES_BYTES);

	cursor_put_u32(&c, HASHES_MAGIC);
	cursor_put_u8(&c, h->kind);
	cursor_put_zeros(&c, 3);
	cursor_put_u64(&c, h->first);
	cursor_put_u64(&c, h->count);
	cursor_put_u32(&c, h->hashes);
	cursor_put_zeros(&c, 4);
	cursor_put_u64(&c, h->body_hash);
	cursor_put_u64(&c, hash_bytes(raw, HASHES_HASHED));
	if (!cursor_finished(&c))
		invariant_broken("mfd: wire: a frame of hashes has not its size\n");
}

static bool hashes_check_no_body(const struct wire_hashes *h, struct mfd_error *err)
{
	return wire_check_zero("hashes without a list", h->hashes, err) &&
	       wire_check_zero("checksum without a list", h->body_hash, err);
}

static bool hashes_check(const struct wire_hashes *h, struct mfd_error *err)
{
	/* Bounded first, so that first and count can be added up. */
	if (!wire_check_range("first page", h->first, 0, WIRE_MAX_PAGE_INDEX, err) ||
	    !wire_check_range("pages", h->count, 0, WIRE_MAX_PAGE_INDEX - h->first, err))
		return false;
	switch (h->kind) {
	case WIRE_HASHES_LIST:
		return wire_check_range("pages of a list", h->count, 1, WIRE_MAX_HASHES, err) &&
		       wire_check_range("hashes", h->hashes, 0, h->count, err);
	case WIRE_HASHES_ZERO:
	case WIRE_HASHES_NONE:
		return wire_check_range("pages", h->count, 1, WIRE_MAX_PAGE_INDEX, err) &&
		       hashes_check_no_body(h, err);
	case WIRE_HASHES_BEAT:
	case WIRE_HASHES_END:
		return wire_check_zero("pages", h->count, err) && hashes_check_no_body(h, err);
	default:
		return error_set(err, MFD_PROTOCOL, "kind %u is unknown", (unsigned)h->kind);
	}
}

bool wire_get_hashes(const uint8_t raw[static WIRE_HASHES_BYTES], struct wire_hashes *ret,
		     struct mfd_error *err)
{
	struct cursor c = cursor_reader(raw, WIRE_HASHES_BYTES);
	const uint32_t magic = cursor_get_u32(&c);
	uint8_t zeros;

	ret->kind = cursor_get_u8(&c);
	zeros = wire_get_zeros(&c, 3);
	ret->first = cursor_get_u64(&c);
	ret->count = cursor_get_u64(&c);
	ret->hashes = cursor_get_u32(&c);
	zeros |= wire_get_zeros(&c, 4);
	ret->body_hash = cursor_get_u64(&c);
	if (cursor_get_u64(&c) != hash_bytes(raw, HASHES_HASHED))
		return error_set(err, MFD_DATA, "hash list: checksum is wrong");
	if (magic != HASHES_MAGIC)
		return error_set(err, MFD_PROTOCOL, "hash list: magic 0x%08" PRIx32 " is wrong",
				 magic);
	if (!wire_check_zero("zero field", zeros, err) || !hashes_check(ret, err))
		return error_wrap(err, "hash list");
	return true;
}

size_t wire_put_hashes_map(const uint64_t *has, uint32_t count, uint8_t *raw)
{
	struct cursor c = cursor_writer(raw, 8 * BITMAP_WORDS(count));

	for (uint32_t word = 0; word < BITMAP_WORDS(count); word++)
		cursor_put_u64(&c, has[word]);
	return 8 * BITMAP_WORDS(count);
}

bool wire_get_hashes_map(const struct wire_hashes *h, const uint8_t *body, uint64_t *ret_has,
			 struct mfd_error *err)
{
	const uint32_t count = (uint32_t)h->count;
	struct cursor c = cursor_reader(body, 8 * BITMAP_WORDS(count));

	if (h->kind != WIRE_HASHES_LIST || count == 0 || count > WIRE_MAX_HASHES)
		invariant_broken("mfd: wire: the body of a hash list that was not checked\n");
	if (hash_bytes(body, wire_hashes_body_bytes(h)) != h->body_hash)
		return error_set(err, MFD_DATA, "hash list: checksum of its body is wrong");
	for (uint32_t word = 0; word < BITMAP_WORDS(count); word++)
		ret_has[word] = cursor_get_u64(&c);
	if (!bitmap_within(ret_has, ret_has, count) || bitmap_count(ret_has, count) != h->hashes)
		return error_set(err, MFD_PROTOCOL, "hash list: its bitmap has not its %" PRIu32
				 " hashes", h->hashes);
	return true;
}
