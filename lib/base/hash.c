/* SPDX-License-Identifier: MIT */
/*
 * Hashes on top of xxHash.
 */
#include "base/hash.h"

#include <string.h>

#ifdef MFD_HAVE_XXH_DISPATCH
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

uint64_t hash_bytes(const void *bytes, size_t size)
{
#ifdef MFD_HAVE_XXH_DISPATCH
	return XXH3_64bits_dispatch(bytes, size);
#else
	return XXH3_64bits(bytes, size);
#endif
}

void hash_strong(const void *bytes, size_t size, const void *secret, size_t secret_size,
		 uint8_t ret[static HASH_STRONG_BYTES])
{
	XXH128_canonical_t canonical;
	XXH128_hash_t h;

	_Static_assert(sizeof(canonical) == HASH_STRONG_BYTES, "a canonical XXH128 has 16 bytes");
	_Static_assert(HASH_SECRET_MIN == XXH3_SECRET_SIZE_MIN, "what XXH3 wants of a secret");
#ifdef MFD_HAVE_XXH_DISPATCH
	h = XXH3_128bits_withSecret_dispatch(bytes, size, secret, secret_size);
#else
	h = XXH3_128bits_withSecret(bytes, size, secret, secret_size);
#endif
	XXH128_canonicalFromHash(&canonical, h);
	memcpy(ret, canonical.digest, HASH_STRONG_BYTES);
}

/*
 * The place goes in behind the hash, not through a seed: a seed makes XXH3 build its secret
 * anew for each page.  The multiplication between the shifts keeps (page, place) pairs from
 * cancelling out in the sum, as a plain addition of the place would.
 */
uint64_t hash_page(const void *page, size_t size, uint32_t region, uint64_t index)
{
	uint64_t h = hash_bytes(page, size);

	h ^= index * UINT64_C(0x9e3779b97f4a7c15) + region * UINT64_C(0xc2b2ae3d27d4eb4f);
	h = (h ^ (h >> 37)) * UINT64_C(0x165667919e3779f9);
	return h ^ (h >> 32);
}
