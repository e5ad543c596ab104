/* SPDX-License-Identifier: MIT */
/*
 * The zero test for x86: AVX-512, AVX2 and SSE2.  Each function carries its own target, so that
 * the build needs no flags and runs on any x86; the choice among them is made at run time
 * (__builtin_cpu_supports also asks whether the kernel saves the registers).
 */
#include "base/zero_isa.h"

#ifdef ZERO_HAVE_X86

#include <immintrin.h>

static bool zero_avx512_supported(void)
{
	return __builtin_cpu_supports("avx512f");
}

__attribute__((target("avx512f"))) static bool zero_avx512_is_zero(const uint8_t *bytes,
								   size_t size)
{
	__m512i any;

	if (size) {
		any = _mm512_loadu_si512(bytes);
		if (_mm512_test_epi64_mask(any, any))
			return false;
	}
	for (size_t at = 0; at < size; at += 256) {
		any = _mm512_setzero_si512();
		for (size_t i = 0; i < 256; i += 64)
			any = _mm512_or_si512(any, _mm512_loadu_si512(bytes + at + i));
		if (_mm512_test_epi64_mask(any, any))
			return false;
	}
	return true;
}

const struct zero_variant zero_avx512 = {
	.name = "avx512",
	.supported = zero_avx512_supported,
	.is_zero = zero_avx512_is_zero,
};

static bool zero_avx2_supported(void)
{
	return __builtin_cpu_supports("avx2");
}

__attribute__((target("avx2"))) static bool zero_avx2_is_zero(const uint8_t *bytes, size_t size)
{
	__m256i any;

	if (size) {
		any = _mm256_loadu_si256((const __m256i_u *)bytes);
		if (!_mm256_testz_si256(any, any))
			return false;
	}
	for (size_t at = 0; at < size; at += 256) {
		any = _mm256_setzero_si256();
		for (size_t i = 0; i < 256; i += 32)
			any = _mm256_or_si256(
				any, _mm256_loadu_si256((const __m256i_u *)(bytes + at + i)));
		if (!_mm256_testz_si256(any, any))
			return false;
	}
	return true;
}

const struct zero_variant zero_avx2 = {
	.name = "avx2",
	.supported = zero_avx2_supported,
	.is_zero = zero_avx2_is_zero,
};

static bool zero_sse2_supported(void)
{
	return __builtin_cpu_supports("sse2");
}

/*
 * SSE2 has no test for a whole register (that is SSE4.1's ptest): compare bytes with zero and
 * gather the results.
 */
__attribute__((target("sse2"))) static inline bool zero_sse2_any(__m128i bits)
{
	return _mm_movemask_epi8(_mm_cmpeq_epi8(bits, _mm_setzero_si128())) != 0xffff;
}

__attribute__((target("sse2"))) static bool zero_sse2_is_zero(const uint8_t *bytes, size_t size)
{
	__m128i any;

	if (size && zero_sse2_any(_mm_loadu_si128((const __m128i_u *)bytes)))
		return false;
	for (size_t at = 0; at < size; at += 256) {
		any = _mm_setzero_si128();
		for (size_t i = 0; i < 256; i += 16)
			any = _mm_or_si128(
				any, _mm_loadu_si128((const __m128i_u *)(bytes + at + i)));
		if (zero_sse2_any(any))
			return false;
	}
	return true;
}

const struct zero_variant zero_sse2 = {
	.name = "sse2",
	.supported = zero_sse2_supported,
	.is_zero = zero_sse2_is_zero,
};

#endif
