/* SPDX-License-Identifier: MIT */
/*
 * Checks that messages, packets and preambles have in common.
 */
#include "wire/check.h"

#include <inttypes.h>

#include "wire/wire.h"

bool wire_check_range(const char *what, uint64_t value, uint64_t low, uint64_t high,
		      struct mfd_error *err)
{
	if (value >= low && value <= high)
		return true;
	return error_set(err, MFD_PROTOCOL, "%s: %" PRIu64 " is not one of %" PRIu64 "..%" PRIu64,
			 what, value, low, high);
}

bool wire_check_size(const char *what, uint64_t size, struct mfd_error *err)
{
	return size == UINT64_MAX || wire_check_range(what, size, 0, WIRE_MAX_IMAGE, err);
}

bool wire_check_zero(const char *what, uint64_t value, struct mfd_error *err)
{
	if (value == 0)
		return true;
	return error_set(err, MFD_PROTOCOL, "%s: 0x%" PRIx64 " in place of zero", what, value);
}

bool wire_check_channel(uint32_t channel, uint32_t generation, struct mfd_error *err)
{
	return wire_check_range("channel", channel, 0, WIRE_MAX_CHANNELS - 1, err) &&
	       wire_check_range("generation", generation, 1, UINT32_MAX, err);
}

bool wire_check_ended(const struct cursor *c, struct mfd_error *err)
{
	if (cursor_finished(c))
		return true;
	if (c->bad)
		return error_set(err, MFD_PROTOCOL, "body is too short");
	return error_set(err, MFD_PROTOCOL, "body is %zu bytes too long", cursor_left(c));
}

uint8_t wire_get_zeros(struct cursor *c, size_t size)
{
	uint8_t found = 0;

	for (size_t i = 0; i < size; i++)
		found |= cursor_get_u8(c);
	return found;
}
