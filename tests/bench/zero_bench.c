/* SPDX-License-Identifier: MIT */
/*
 * What is done to every page: the zero test in each variant that this CPU has, and the page
 * hash, in GB/s of one thread, over pages in the cache (a batch) and in memory.
 *
 *	zero_bench [SECONDS-PER-FIGURE]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/zero.h"
#include "core/batch.h"

#define NEAR_PAGES 64u
#define FAR_PAGES 32768u

/* What it returns means nothing, but the compiler must not leave it out. */
typedef uint64_t work_fn(const void *context, const uint8_t *pages, uint32_t count);

static uint64_t scan(const void *context, const uint8_t *pages, uint32_t count)
{
	uint64_t data[NEAR_PAGES / 64];
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < count; i += NEAR_PAGES) {
		memset(data, 0xff, sizeof(data));
		sum += zero_scan(context, pages + (size_t)i * PAGE_BYTES, PAGE_BYTES, data,
				 NEAR_PAGES);
	}
	return sum;
}

static uint64_t hash(const void *context, const uint8_t *pages, uint32_t count)
{
	uint64_t sum = 0;
	uint32_t i;

	(void)context;
	for (i = 0; i < count; i++)
		sum += hash_page(pages + (size_t)i * PAGE_BYTES, PAGE_BYTES, 0, i);
	return sum;
}

/* GB/s of @work over @count pages, again and again. */
static double rate(work_fn *work, const void *context, const uint8_t *pages, uint32_t count,
		   uint64_t ns)
{
	const uint64_t begin = clock_ns();
	uint64_t rounds = 0, now;

	do {
		__asm__ volatile("" : : "r"(work(context, pages, count)));
		rounds++;
		now = clock_ns();
	} while (now - begin < ns);
	return (double)rounds * count * PAGE_BYTES / (double)(now - begin);
}

static void row(const char *name, work_fn *work, const void *context, const uint8_t *pages,
		uint64_t ns)
{
	printf("%-14s  %10.1f  %10.1f\n", name, rate(work, context, pages, NEAR_PAGES, ns),
	       rate(work, context, pages, FAR_PAGES, ns));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "avx512", "avx2", "sse2", "neon", "portable" };
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.3;
	uint8_t *pages = aligned_alloc(PAGE_BYTES, (size_t)FAR_PAGES * PAGE_BYTES);
	const struct zero_variant *variant;
	char label[32];
	unsigned i;

	if (!(seconds > 0 && seconds < 3600) || pages == NULL) {
		fputs("usage: zero_bench [SECONDS-PER-FIGURE]\n", stderr);
		return 64;
	}
	memset(pages, 0, (size_t)FAR_PAGES * PAGE_BYTES);
	printf("%-14s  %10s  %10s   (GB/s, one thread)\n", "", "in cache", "in memory");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		variant = zero_find(names[i]);
		if (variant == NULL || !variant->supported())
			continue;
		snprintf(label, sizeof(label), "zero %s", names[i]);
		row(label, scan, variant, pages, (uint64_t)(seconds * 1e9));
	}
	row("page hash", hash, NULL, pages, (uint64_t)(seconds * 1e9));
	free(pages);
	return 0;
}
