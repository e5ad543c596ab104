/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a packet's header and the bitmaps behind it.  What is taken has only one
 * encoding, and keeps the promises that the receiver relies on when it sizes buffers and
 * walks bitmaps.
 */
#include "fuzz.h"

#include "base/bitmap.h"
#include "wire/wire.h"

/* Where the header has them. */
#define KIND_AT 4
#define COUNT_AT 40
#define BITMAP_HASH_AT 64

static void check_header(const struct wire_packet *p, const uint8_t *raw)
{
	uint8_t again[WIRE_PACKET_BYTES];

	wire_put_packet(p, again);
	FUZZ_CHECK(memcmp(raw, again, sizeof(again)) == 0);
	FUZZ_CHECK(p->payload <= p->data_pages * PAGE_BYTES);
	FUZZ_CHECK(p->data_pages <= p->count);
	if (p->kind == WIRE_SYNC) {
		FUZZ_CHECK(p->count == 0 && p->data_pages == 0 && p->payload == 0);
		return;
	}
	FUZZ_CHECK(p->count > 0 && p->first < WIRE_MAX_PAGE_INDEX);
	FUZZ_CHECK(p->first + p->count > p->first && p->first + p->count <= WIRE_MAX_PAGE_INDEX);
	FUZZ_CHECK(p->kind == WIRE_ZERO || p->count <= BATCH_MAX_PAGES);
}

static void check_bitmaps(const struct wire_packet *p, const uint8_t *raw)
{
	const uint32_t count = (uint32_t)p->count;
	uint64_t carried[BATCH_WORDS], data[BATCH_WORDS];
	uint8_t again[WIRE_MAX_BITMAPS_BYTES];
	struct mfd_error err;

	if (!wire_get_bitmaps(p, raw, carried, data, &err))
		return;
	FUZZ_CHECK(bitmap_count(data, count) == p->data_pages);
	FUZZ_CHECK(bitmap_within(data, carried, count));
	FUZZ_CHECK(bitmap_test(carried, 0) && bitmap_test(carried, count - 1));
	FUZZ_CHECK(memcmp(raw, again, wire_put_bitmaps(carried, data, count, again)) == 0);
}

static void decode(const uint8_t *raw, size_t size)
{
	struct wire_packet p;
	struct mfd_error err;
	uint8_t *bitmaps;

	if (!wire_get_packet(raw, &p, &err))
		return;
	check_header(&p, raw);
	if (p.kind != WIRE_PAGES || size - WIRE_PACKET_BYTES < WIRE_BITMAPS_BYTES(p.count))
		return;
	bitmaps = fuzz_copy(raw + WIRE_PACKET_BYTES, WIRE_BITMAPS_BYTES(p.count));
	check_bitmaps(&p, bitmaps);
	free(bitmaps);
}

/* Put the checksums right: that of the bitmaps if there seem to be any, then the header's. */
static void repair(uint8_t *raw, size_t size)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < 8; i++)
		count = count << 8 | raw[COUNT_AT + i];
	if (raw[KIND_AT] == WIRE_PAGES && count <= BATCH_MAX_PAGES &&
	    size - WIRE_PACKET_BYTES >= WIRE_BITMAPS_BYTES(count))
		fuzz_put_u64(raw + BITMAP_HASH_AT,
			     hash_bytes(raw + WIRE_PACKET_BYTES, WIRE_BITMAPS_BYTES(count)));
	fuzz_seal(raw, WIRE_PACKET_BYTES - 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint8_t *raw;

	if (size < WIRE_PACKET_BYTES)
		return 0;
	raw = fuzz_copy(bytes, size);
	decode(raw, size);
	repair(raw, size);
	decode(raw, size);
	free(raw);
	return 0;
}
