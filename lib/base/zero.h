/* SPDX-License-Identifier: MIT */
/*
 * Finding zero pages, with the widest SIMD this CPU has.  The choice is made once per thread that
 * scans and kept as a pointer, so that a test can force each variant in turn and no global has to
 * be guarded.
 */
#ifndef MFD_BASE_ZERO_H
#define MFD_BASE_ZERO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zero_variant {
	const char *name;        /* "avx512", "avx2", "sse2", "neon", "portable" */
	bool (*supported)(void); /* by this CPU */
	/* Are all @size bytes zero?  @size is a multiple of 256; any alignment. */
	bool (*is_zero)(const uint8_t *bytes, size_t size);
};

/* The widest that this CPU supports; never NULL. */
const struct zero_variant *zero_best(void);

/* By name; NULL if it is not in this build.  Ask supported() before you call it. */
const struct zero_variant *zero_find(const char *name);

/*
 * Clear in @data the bits of the pages that are zero: of the first @count pages at @pages only
 * those whose bit is set are looked at.  Returns how many bits stay set.
 */
uint32_t zero_scan(const struct zero_variant *variant, const uint8_t *pages, uint32_t page_size,
		   uint64_t *data, uint32_t count);

#endif
