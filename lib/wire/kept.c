/* SPDX-License-Identifier: MIT */
/*
 * What KEPT adds to a PAGES packet: which of its pages the receiver has already, and the sum that
 * shows whether it really does.
 */
#include "wire/wire.h"

#include "base/cursor.h"
#include "base/hash.h"
#include "core/invariant.h"

size_t wire_put_kept(const uint64_t *kept, uint64_t sum, uint32_t count,
		     uint8_t raw[static WIRE_MAX_KEPT_BYTES])
{
	struct cursor c = cursor_writer(raw, WIRE_MAX_KEPT_BYTES);

	if (count == 0 || count > BATCH_MAX_PAGES)
		invariant_broken("mfd: wire: kept pages of a number no packet has\n");
	for (uint32_t word = 0; word < BITMAP_WORDS(count); word++)
		cursor_put_u64(&c, kept[word]);
	cursor_put_u64(&c, sum);
	cursor_put_u64(&c, hash_bytes(raw, WIRE_KEPT_BYTES(count) - 8));
	return WIRE_KEPT_BYTES(count);
}

static bool kept_check(const struct wire_packet *p, const uint64_t *carried, const uint64_t *data,
		       const uint64_t *kept, struct mfd_error *err)
{
	const uint32_t count = (uint32_t)p->count;

	if (!bitmap_within(kept, carried, count))
		return error_set(err, MFD_PROTOCOL, "kept pages that are not carried");
	for (uint32_t word = 0; word < BITMAP_WORDS(count); word++)
		if (kept[word] & data[word])
			return error_set(err, MFD_PROTOCOL, "kept pages that have data");
	if (bitmap_count(kept, count) == 0)
		return error_set(err, MFD_PROTOCOL, "KEPT without kept pages");
	return true;
}

bool wire_get_kept(const struct wire_packet *p, const uint8_t *raw, const uint64_t *carried,
		   const uint64_t *data, uint64_t *ret_kept, uint64_t *ret_sum,
		   struct mfd_error *err)
{
	const size_t bytes = WIRE_KEPT_BYTES(p->count);
	struct cursor c = cursor_reader(raw, bytes);

	if (p->kind != WIRE_PAGES || p->count == 0 || p->count > BATCH_MAX_PAGES)
		invariant_broken("mfd: wire: kept pages of a packet that was not checked\n");
	for (uint32_t word = 0; word < BITMAP_WORDS(p->count); word++)
		ret_kept[word] = cursor_get_u64(&c);
	*ret_sum = cursor_get_u64(&c);
	if (cursor_get_u64(&c) != hash_bytes(raw, bytes - 8))
		return error_set(err, MFD_DATA, "kept pages: checksum is wrong");
	return kept_check(p, carried, data, ret_kept, err);
}
