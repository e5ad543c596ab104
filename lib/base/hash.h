/* SPDX-License-Identifier: MIT */
/*
 * Hashes: XXH3-64 through xxHash's run-time dispatch where the library has it (Debian's plain call
 * is an SSE2 build). They find damage; they are no protection against someone who forges data on
 * purpose.
 */
#ifndef MFD_BASE_HASH_H
#define MFD_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH3-64, no seed, of @size bytes: header and message checksums. */
uint64_t hash_bytes(const void *bytes, size_t size);

/*
 * The hash of one page in its place (man/mfd-wire.7, "Page hash"): XXH3-64 of its @size bytes with
 * region and page index mixed in afterwards, so that two pages that change places change the sum.
 * A zero page counts 0 and is not hashed.
 */
uint64_t hash_page(const void *page, size_t size, uint32_t region, uint64_t index);

/*
 * The strong hash, where a hash decides that a page need not travel (man/mfd-wire.7, "Delta"):
 * XXH3-128 with a secret of @secret_size bytes (at least 136, random), in its canonical form.
 * Equal hashes mean equal pages unless somebody who knows the secret wanted otherwise.
 */
#define HASH_STRONG_BYTES 16
#define HASH_SECRET_MIN 136
void hash_strong(const void *bytes, size_t size, const void *secret, size_t secret_size,
		 uint8_t ret[static HASH_STRONG_BYTES]);

#endif
