/* SPDX-License-Identifier: MIT */
/*
 * Bytes that nobody can guess: tokens and secrets.
 */
#ifndef MFD_BASE_RANDOM_H
#define MFD_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The kernel gives so many in one piece. */
#define RANDOM_MAX_BYTES 256u

/* Fill @bytes, at most RANDOM_MAX_BYTES.  Errors: MFD_OS. */
bool random_fill(uint8_t *bytes, size_t size, struct mfd_error *err) MFD_MUST_CHECK;

#endif
