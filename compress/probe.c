/* SPDX-License-Identifier: MIT */
/*
 * The probe counts how often two bytes of the sample are equal.  Of n random bytes n (n - 1) /
 * 256 ordered pairs are, and the sample of 4096 strays from that by about 0.6 %; whatever has
 * an alphabet, a structure or zeros in it has more.  The limit of 5 % stands nine deviations
 * off, and for an order-0 entropy of 7.93 bits: coding would win less than one percent.
 */
#include "compress/probe.h"

#include "base/bitmap.h"

#define PROBE_PIECES (PROBE_BYTES / PROBE_PIECE)

/* Four tables: equal bytes behind each other do not wait for each other's count. */
struct probe {
	uint16_t count[4][256];
};

static void probe_add(struct probe *p, const uint8_t *bytes)
{
	for (size_t i = 0; i < PROBE_PIECE; i += 4) {
		p->count[0][bytes[i]]++;
		p->count[1][bytes[i + 1]]++;
		p->count[2][bytes[i + 2]]++;
		p->count[3][bytes[i + 3]]++;
	}
}

/* Ordered pairs of different places that hold the same byte. */
static uint64_t probe_pairs(const struct probe *p)
{
	uint64_t pairs = 0;

	for (unsigned i = 0; i < 256; i++) {
		const uint64_t n = (uint64_t)p->count[0][i] + p->count[1][i] + p->count[2][i] +
				   p->count[3][i];

		pairs += n * (n - !!n);
	}
	return pairs;
}

/* Where data page @nth is, from page *at on, which is data page *passed. */
static const uint8_t *probe_page(const struct method_pages *pages, uint32_t nth, uint32_t *at,
				 uint32_t *passed)
{
	uint32_t run;

	if (pages->packed)
		return pages->bytes + (size_t)nth * pages->page_bytes;
	while (bitmap_next_run(pages->data, pages->count, at, &run) && *passed + run <= nth) {
		*at += run;
		*passed += run;
	}
	*at += nth - *passed;
	*passed = nth;
	return pages->bytes + (size_t)*at * pages->page_bytes;
}

bool probe_incompressible(const struct method_pages *pages)
{
	const uint64_t random = (uint64_t)PROBE_BYTES * (PROBE_BYTES - 1) / 256;
	const uint32_t places = pages->page_bytes / PROBE_PIECE;
	struct probe p = { 0 };
	uint32_t at = 0, passed = 0;

	for (uint32_t i = 0; i < PROBE_PIECES; i++) {
		const uint32_t nth = (uint32_t)((uint64_t)i * pages->data_pages / PROBE_PIECES);

		/* Another place in each page: headers and trailers do not stand for all of it. */
		probe_add(&p, probe_page(pages, nth, &at, &passed) +
				      (size_t)(i * 7 % places) * PROBE_PIECE);
	}
	return probe_pairs(&p) < random + random / 20;
}
