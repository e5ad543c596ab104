/* SPDX-License-Identifier: MIT */
/*
 * Choosing a variant of the zero test, the portable one, and the scan over a batch.  All
 * variants look alike: first the first few bytes, because nearly every page that holds data
 * shows it there, then 256 bytes per step.
 */
#include "base/zero.h"

#include <string.h>

#include "base/zero_isa.h"

static uint64_t zero_load64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static bool zero_portable_is_zero(const uint8_t *bytes, size_t size)
{
	uint64_t any;

	if (size && zero_load64(bytes))
		return false;
	for (size_t at = 0; at < size; at += 256) {
		any = 0;
		for (size_t i = 0; i < 256; i += 8)
			any |= zero_load64(bytes + at + i);
		if (any)
			return false;
	}
	return true;
}

static bool zero_portable_supported(void)
{
	return true;
}

static const struct zero_variant zero_portable = {
	.name = "portable",
	.supported = zero_portable_supported,
	.is_zero = zero_portable_is_zero,
};

/* The widest first. */
static const struct zero_variant *const zero_variants[] = {
#ifdef ZERO_HAVE_X86
	&zero_avx512,
	&zero_avx2,
	&zero_sse2,
#endif
#ifdef ZERO_HAVE_NEON
	&zero_neon,
#endif
	&zero_portable,
};

#define ZERO_VARIANTS (sizeof(zero_variants) / sizeof(zero_variants[0]))

const struct zero_variant *zero_best(void)
{
	size_t i = 0;

	while (!zero_variants[i]->supported())
		i++;
	return zero_variants[i];
}

const struct zero_variant *zero_find(const char *name)
{
	for (size_t i = 0; i < ZERO_VARIANTS; i++)
		if (strcmp(zero_variants[i]->name, name) == 0)
			return zero_variants[i];
	return NULL;
}

uint32_t zero_scan(const struct zero_variant *variant, const uint8_t *pages, uint32_t page_size,
		   uint64_t *data, uint32_t count)
{
	uint32_t left = 0;
	uint32_t page;
	uint64_t bit;

	for (uint32_t first = 0; first < count; first += 64) {
		for (uint64_t look = data[first / 64]; look; look &= look - 1) {
			page = first + (uint32_t)__builtin_ctzll(look);
			bit = look & -look;
			if (page >= count)
				break;
			if (variant->is_zero(pages + (size_t)page * page_size, page_size))
				data[first / 64] &= ~bit;
			else
				left++;
		}
	}
	return left;
}
