/* SPDX-License-Identifier: MIT */
/*
 * The zero test for 64-bit ARM, where NEON is part of the base.
 */
#include "base/zero_isa.h"

#ifdef ZERO_HAVE_NEON

#include <arm_neon.h>

static bool zero_neon_supported(void)
{
	return true;
}

static bool zero_neon_is_zero(const uint8_t *bytes, size_t size)
{
	uint8x16_t any;

	if (size && vmaxvq_u8(vld1q_u8(bytes)))
		return false;
	for (size_t at = 0; at < size; at += 256) {
		any = vdupq_n_u8(0);
		for (size_t i = 0; i < 256; i += 16)
			any = vorrq_u8(any, vld1q_u8(bytes + at + i));
		if (vmaxvq_u8(any))
			return false;
	}
	return true;
}

const struct zero_variant zero_neon = {
	.name = "neon",
	.supported = zero_neon_supported,
	.is_zero = zero_neon_is_zero,
};

#endif
