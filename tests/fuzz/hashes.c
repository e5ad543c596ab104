/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: hash lists, the frame and its body, and what a packet says about kept pages.  What
 * is taken has only one encoding, and keeps the promises that buffers are sized by.
 *
 * The first byte says which; the rest are the bytes.
 */
#include "fuzz.h"

#include "base/bitmap.h"
#include "wire/wire.h"

/* Where the frame has it. */
#define BODY_HASH_AT 32

static void check_body(const struct wire_hashes *h, const uint8_t *raw)
{
	uint64_t has[BITMAP_WORDS(WIRE_MAX_HASHES)];
	uint8_t again[8 * BITMAP_WORDS(WIRE_MAX_HASHES)];
	struct mfd_error err;

	if (!wire_get_hashes_map(h, raw, has, &err))
		return;
	FUZZ_CHECK(bitmap_count(has, (uint32_t)h->count) == h->hashes);
	FUZZ_CHECK(memcmp(raw, again, wire_put_hashes_map(has, (uint32_t)h->count, again)) == 0);
}

static void decode_list(const uint8_t *raw, size_t size)
{
	struct wire_hashes h;
	struct mfd_error err;
	uint8_t again[WIRE_HASHES_BYTES], *body;
	uint32_t bytes;

	if (!wire_get_hashes(raw, &h, &err))
		return;
	wire_put_hashes(&h, again);
	FUZZ_CHECK(memcmp(raw, again, sizeof(again)) == 0);
	FUZZ_CHECK(h.first <= WIRE_MAX_PAGE_INDEX && h.count <= WIRE_MAX_PAGE_INDEX - h.first);
	bytes = wire_hashes_body_bytes(&h);
	FUZZ_CHECK(bytes <= WIRE_MAX_HASHES_BODY);
	if (bytes == 0 || size - WIRE_HASHES_BYTES < bytes)
		return;
	body = fuzz_copy(raw + WIRE_HASHES_BYTES, bytes);
	check_body(&h, body);
	h.body_hash = hash_bytes(body, bytes);
	check_body(&h, body);
	free(body);
}

static void list(const uint8_t *bytes, size_t size)
{
	uint8_t *raw;

	if (size < WIRE_HASHES_BYTES)
		return;
	raw = fuzz_copy(bytes, size);
	decode_list(raw, size);
	fuzz_seal(raw, WIRE_HASHES_BYTES - 8);
	decode_list(raw, size);
	free(raw);
}

/* All pages carried, the lower half of each eight with data. */
static void decode_kept(uint32_t count, const uint8_t *raw)
{
	const struct wire_packet p = { .kind = WIRE_PAGES, .flags = WIRE_FLAG_KEPT,
				       .count = count };
	uint64_t carried[BATCH_WORDS] = { 0 }, data[BATCH_WORDS], kept[BATCH_WORDS], sum;
	uint8_t again[WIRE_MAX_KEPT_BYTES];
	struct mfd_error err;

	bitmap_fill(carried, count);
	for (uint32_t i = 0; i < BATCH_WORDS; i++)
		data[i] = carried[i] & UINT64_C(0x0f0f0f0f0f0f0f0f);
	if (!wire_get_kept(&p, raw, carried, data, kept, &sum, &err))
		return;
	FUZZ_CHECK(bitmap_within(kept, carried, count) && bitmap_count(kept, count) > 0);
	for (uint32_t i = 0; i < BITMAP_WORDS(count); i++)
		FUZZ_CHECK(!(kept[i] & data[i]));
	FUZZ_CHECK(memcmp(raw, again, wire_put_kept(kept, sum, count, again)) == 0);
}

/* Two bytes for the number of pages come first. */
static void kept_pages(const uint8_t *bytes, size_t size)
{
	uint32_t count;
	uint8_t *raw;

	if (size < 2)
		return;
	count = 1 + ((uint32_t)bytes[0] << 8 | bytes[1]) % BATCH_MAX_PAGES;
	if (size - 2 < WIRE_KEPT_BYTES(count))
		return;
	raw = fuzz_copy(bytes + 2, WIRE_KEPT_BYTES(count));
	decode_kept(count, raw);
	fuzz_seal(raw, WIRE_KEPT_BYTES(count) - 8);
	decode_kept(count, raw);
	free(raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size > 0 && bytes[0] % 2 == 0)
		list(bytes + 1, size - 1);
	else if (size > 0)
		kept_pages(bytes + 1, size - 1);
	return 0;
}
