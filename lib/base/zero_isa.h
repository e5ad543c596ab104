/* SPDX-License-Identifier: MIT */
/*
 * The variants of the zero test that an instruction set brings; only zero.c and the file that
 * defines them include this.
 */
#ifndef MFD_BASE_ZERO_ISA_H
#define MFD_BASE_ZERO_ISA_H

#include "base/zero.h"

#if defined(__x86_64__) || defined(__i386__)
#define ZERO_HAVE_X86 1
extern const struct zero_variant zero_avx512, zero_avx2, zero_sse2;
#elif defined(__aarch64__)
#define ZERO_HAVE_NEON 1
extern const struct zero_variant zero_neon;
#endif

#endif
