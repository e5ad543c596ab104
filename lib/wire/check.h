/* SPDX-License-Identifier: MIT */
/*
 * What all decoders of this folder check in the same way and words.  Private to lib/wire.
 */
#ifndef MFD_WIRE_CHECK_H
#define MFD_WIRE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cursor.h"
#include "base/error.h"

/* @value is one of low..high, or MFD_PROTOCOL: "channels: 129 is not one of 1..128". */
bool wire_check_range(const char *what, uint64_t value, uint64_t low, uint64_t high,
		      struct mfd_error *err) MFD_MUST_CHECK;

/* @size is at most WIRE_MAX_IMAGE or "not known". */
bool wire_check_size(const char *what, uint64_t size, struct mfd_error *err) MFD_MUST_CHECK;

/* @value is 0, or MFD_PROTOCOL. */
bool wire_check_zero(const char *what, uint64_t value, struct mfd_error *err) MFD_MUST_CHECK;

/* A channel's id, and the generation of a connection that carries data. */
bool wire_check_channel(uint32_t channel, uint32_t generation,
			struct mfd_error *err) MFD_MUST_CHECK;

/* A body has been read to its end, neither short nor with bytes left over. */
bool wire_check_ended(const struct cursor *c, struct mfd_error *err) MFD_MUST_CHECK;

/* Read @size bytes of a "zero" field; 0 if all of them are, else one that is not. */
uint8_t wire_get_zeros(struct cursor *c, size_t size);

#endif
