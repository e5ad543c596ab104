/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share.  Checksums would keep a fuzzer out of everything behind
 * them, so each target that meets one tries its input twice: as it is, and with the
 * checksums put right.
 */
#ifndef MFD_TESTS_FUZZ_H
#define MFD_TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* Each target defines it; libFuzzer or replay.c calls it. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Not assert(): the corpus is replayed in release builds as well. */
#define FUZZ_CHECK(holds) ((holds) ? (void)0 : fuzz_failed(__FILE__, __LINE__, #holds))

static inline void fuzz_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

static inline void *fuzz_alloc(size_t size)
{
	void *bytes = calloc(size, 1);

	FUZZ_CHECK(bytes || !size);
	return bytes;
}

/* A copy that may be changed and ends where it ends. */
static inline uint8_t *fuzz_copy(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = fuzz_alloc(size);

	if (size)
		memcpy(copy, bytes, size);
	return copy;
}

static inline void fuzz_put_u64(uint8_t *at, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++)
		at[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* The checksum over the first @hashed bytes, behind them. */
static inline void fuzz_seal(uint8_t *bytes, size_t hashed)
{
	fuzz_put_u64(bytes + hashed, hash_bytes(bytes, hashed));
}

#endif
