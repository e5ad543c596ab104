/* SPDX-License-Identifier: MIT */
/*
 * Hashes: known values (both ends of a session must agree for ever), and that a page's place
 * counts.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <xxhash.h>

#include "base/hash.h"

#define PAGE 4096

/* The specification's own test values for XXH3-64 without a seed. */
static void no_bytes_have_the_published_hash(void **state)
{
	(void)state;
	assert_true(hash_bytes("", 0) == UINT64_C(0x2d06800538d394c2));
}

static void page_hash_is_what_the_manual_page_says(void **state)
{
	uint8_t page[PAGE];
	uint64_t h;

	(void)state;
	for (size_t i = 0; i < PAGE; i++)
		page[i] = (uint8_t)(i * 7 + i / 256);
	h = hash_bytes(page, PAGE);
	h ^= 12345 * UINT64_C(0x9e3779b97f4a7c15) + 3 * UINT64_C(0xc2b2ae3d27d4eb4f);
	h = (h ^ (h >> 37)) * UINT64_C(0x165667919e3779f9);
	h ^= h >> 32;
	assert_true(hash_page(page, PAGE, 3, 12345) == h);
}

static void known_page_has_its_known_hash(void **state)
{
	uint8_t page[PAGE];

	(void)state;
	for (size_t i = 0; i < PAGE; i++)
		page[i] = (uint8_t)(i * 7 + i / 256);
	assert_true(hash_bytes(page, PAGE) == UINT64_C(0x5c722d9ceb6f9064));
	assert_true(hash_page(page, PAGE, 0, 0) == UINT64_C(0x2cdeeb4152bf2389));
	assert_true(hash_page(page, PAGE, 15, UINT64_C(1) << 50) ==
		    UINT64_C(0x5daf7a9f8c9ab842));
}

static void every_byte_of_a_page_counts(void **state)
{
	uint8_t page[PAGE] = { 0 };
	uint64_t before = hash_page(page, PAGE, 0, 0);

	(void)state;
	for (size_t i = 0; i < PAGE; i++) {
		page[i] ^= 1;
		assert_true(hash_page(page, PAGE, 0, 0) != before);
		page[i] ^= 1;
	}
	assert_true(hash_page(page, PAGE, 0, 0) == before);
}

static void alignment_does_not_count(void **state)
{
	uint8_t memory[PAGE + 64];
	uint8_t page[PAGE];

	(void)state;
	for (size_t i = 0; i < PAGE; i++)
		page[i] = (uint8_t)(i * 13);
	for (size_t offset = 0; offset < 64; offset++) {
		memcpy(memory + offset, page, PAGE);
		assert_true(hash_page(memory + offset, PAGE, 0, 9) ==
			    hash_page(page, PAGE, 0, 9));
	}
}

static void pages_that_change_places_change_the_sum(void **state)
{
	uint8_t a[PAGE], b[PAGE];

	(void)state;
	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	for (uint64_t i = 0; i < 1000; i++)
		assert_true(hash_page(a, PAGE, 0, i) + hash_page(b, PAGE, 0, i + 1) !=
			    hash_page(b, PAGE, 0, i) + hash_page(a, PAGE, 0, i + 1));
	assert_true(hash_page(a, PAGE, 0, 1) != hash_page(a, PAGE, 1, 1));
	assert_true(hash_page(a, PAGE, 0, 1) != hash_page(a, PAGE, 1, 0));
	assert_true(hash_page(a, PAGE, 2, 1) == hash_page(a, PAGE, 2, 1));
}

static void strong_hash_depends_on_the_secret_and_on_every_byte(void **state)
{
	uint8_t page[PAGE], secret[192], a[HASH_STRONG_BYTES], b[HASH_STRONG_BYTES];

	(void)state;
	for (size_t i = 0; i < PAGE; i++)
		page[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)(i * i + 1);
	hash_strong(page, PAGE, secret, sizeof(secret), a);
	hash_strong(page, PAGE, secret, sizeof(secret), b);
	assert_memory_equal(a, b, sizeof(a));
	for (size_t i = 0; i < PAGE; i++) {
		page[i] ^= 0x80;
		hash_strong(page, PAGE, secret, sizeof(secret), b);
		assert_memory_not_equal(a, b, sizeof(a));
		page[i] ^= 0x80;
	}
	for (size_t i = 0; i < sizeof(secret); i++) {
		secret[i] ^= 1;
		hash_strong(page, PAGE, secret, sizeof(secret), b);
		assert_memory_not_equal(a, b, sizeof(a));
		secret[i] ^= 1;
	}
}

/* The library's plain call, whichever variant ours chose at run time. */
static void strong_hash_is_canonical_xxh3_128(void **state)
{
	uint8_t page[PAGE], secret[192], got[HASH_STRONG_BYTES];
	XXH128_canonical_t want;

	(void)state;
	memset(page, 'p', sizeof(page));
	memset(secret, 0x5a, sizeof(secret));
	XXH128_canonicalFromHash(&want,
				 XXH3_128bits_withSecret(page, PAGE, secret, sizeof(secret)));
	hash_strong(page, PAGE, secret, sizeof(secret), got);
	assert_memory_equal(got, want.digest, sizeof(got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_bytes_have_the_published_hash),
		cmocka_unit_test(page_hash_is_what_the_manual_page_says),
		cmocka_unit_test(known_page_has_its_known_hash),
		cmocka_unit_test(every_byte_of_a_page_counts),
		cmocka_unit_test(alignment_does_not_count),
		cmocka_unit_test(pages_that_change_places_change_the_sum),
		cmocka_unit_test(strong_hash_depends_on_the_secret_and_on_every_byte),
		cmocka_unit_test(strong_hash_is_canonical_xxh3_128),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
