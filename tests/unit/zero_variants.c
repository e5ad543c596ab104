/* SPDX-License-Identifier: MIT */
/*
 * Every variant of the zero test, forced in turn: zero_variants NAME tests that one, without a
 * name all that this machine has. Plain C, because it is cross-built and run under qemu-user
 * where no test library is.  Exit status: 0 passed, 1 failed, 77 the named variant is not in
 * this build or not supported by this CPU.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/zero.h"

#define GUARD 128
#define SIZE_MAX_TESTED 16384

#define CHECK(claim, ...) \
	do { \
		if (!(claim)) { \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #claim); \
			fprintf(stderr, __VA_ARGS__); \
			fputc('\n', stderr); \
			exit(1); \
		} \
	} while (0)

static const char *const all_names[] = { "avx512", "avx2", "sse2", "neon", "portable" };
static const size_t sizes[] = { 256, 512, 768, 4096, SIZE_MAX_TESTED };
static const size_t offsets[] = { 0, 1, 7, 8, 15, 16, 31, 32, 33, 63 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Zero bytes at every alignment are zero, also with noise right before and behind them. */
static void zero_bytes_are_zero(const struct zero_variant *v, uint8_t *memory)
{
	for (size_t s = 0; s < COUNT(sizes); s++) {
		for (size_t offset = 0; offset < 64; offset++) {
			memset(memory, 0xff, SIZE_MAX_TESTED + 2 * GUARD);
			memset(memory + GUARD + offset, 0, sizes[s]);
			CHECK(v->is_zero(memory + GUARD + offset, sizes[s]),
			      "%s, %zu bytes at offset %zu", v->name, sizes[s], offset);
		}
	}
	CHECK(v->is_zero(memory, 0), "%s, no bytes", v->name);
}

/* One byte that is not zero is found at every position: first, last, and in each lane between. */
static void every_byte_is_found(const struct zero_variant *v, uint8_t *memory)
{
	uint8_t *bytes;

	memset(memory, 0, SIZE_MAX_TESTED + 2 * GUARD);
	for (size_t o = 0; o < COUNT(offsets); o++) {
		bytes = memory + GUARD + offsets[o];
		for (size_t size = 256; size <= 4096; size *= 4) {
			for (size_t at = 0; at < size; at++) {
				bytes[at] = 0x80;
				CHECK(!v->is_zero(bytes, size),
				      "%s, byte %zu of %zu, offset %zu", v->name, at, size,
				      offsets[o]);
				bytes[at] = 0;
				CHECK(v->is_zero(bytes, size), "%s, %zu bytes, offset %zu",
				      v->name, size, offsets[o]);
			}
		}
	}
}

/*
 * One bit that is not zero is found, each of the eight, in each 16-byte lane, in its first and
 * last byte.
 */
static void every_bit_is_found(const struct zero_variant *v, uint8_t *memory)
{
	uint8_t *bytes = memory + GUARD;
	size_t at;

	memset(memory, 0, SIZE_MAX_TESTED + 2 * GUARD);
	for (size_t half = 0; half < 4096 / 8; half++) {
		at = half * 8 + (half & 1 ? 7 : 0);
		for (unsigned bit = 0; bit < 8; bit++) {
			bytes[at] = (uint8_t)(1u << bit);
			CHECK(!v->is_zero(bytes, 4096), "%s, bit %u of byte %zu", v->name, bit,
			      at);
		}
		bytes[at] = 0;
	}
	memset(bytes, 0xff, 4096);
	CHECK(!v->is_zero(bytes, 4096), "%s, all ones", v->name);
}

/* The allocation ends with the page, so that a sanitizer sees a read beyond. */
static void nothing_is_read_beyond(const struct zero_variant *v)
{
	for (size_t s = 0; s < COUNT(sizes); s++) {
		uint8_t *bytes = calloc(1, sizes[s]);

		CHECK(bytes, "%zu bytes", sizes[s]);
		CHECK(v->is_zero(bytes, sizes[s]), "%s, %zu bytes", v->name, sizes[s]);
		free(bytes);
	}
}

static void variant_passes(const struct zero_variant *v)
{
	uint8_t *memory = malloc(SIZE_MAX_TESTED + 2 * GUARD);

	CHECK(memory, "memory");
	zero_bytes_are_zero(v, memory);
	every_byte_is_found(v, memory);
	every_bit_is_found(v, memory);
	nothing_is_read_beyond(v);
	free(memory);
	printf("%s: passed\n", v->name);
}

/* The best is the first that is there, in the order of all_names. */
static void best_is_the_widest(void)
{
	const struct zero_variant *v = NULL;

	for (size_t i = 0; i < COUNT(all_names); i++) {
		v = zero_find(all_names[i]);
		if (v && v->supported())
			break;
	}
	CHECK(zero_best() == v, "best is %s", zero_best()->name);
#ifdef __aarch64__
	CHECK(!strcmp(zero_best()->name, "neon"), "best is %s", zero_best()->name);
#endif
	printf("best: %s\n", zero_best()->name);
}

int main(int argc, char **argv)
{
	const struct zero_variant *v;

	if (argc > 2) {
		fprintf(stderr, "usage: %s [VARIANT]\n", argv[0]);
		return 1;
	}
	for (size_t i = 0; i < COUNT(all_names); i++) {
		if (argc == 2 && strcmp(argv[1], all_names[i]))
			continue;
		v = zero_find(all_names[i]);
		if (v && v->supported()) {
			variant_passes(v);
		} else {
			printf("%s: %s\n", all_names[i],
			       v ? "not supported by this CPU" : "not in this build");
			if (argc == 2)
				return 77;
		}
		if (argc == 2)
			return 0;
	}
	if (argc == 2) {
		fprintf(stderr, "%s: no such variant\n", argv[1]);
		return 1;
	}
	best_is_the_widest();
	return 0;
}
