/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the preamble.  One that is taken has only one encoding.
 */
#include "fuzz.h"

#include "wire/wire.h"

static void decode(const uint8_t *raw)
{
	struct wire_preamble p;
	struct mfd_error err;
	uint8_t again[WIRE_PREAMBLE_BYTES];

	if (!wire_get_preamble(raw, &p, &err))
		return;
	FUZZ_CHECK(p.channel < WIRE_MAX_CHANNELS);
	wire_put_preamble(&p, again);
	FUZZ_CHECK(memcmp(raw, again, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint8_t *raw;

	if (size < WIRE_PREAMBLE_BYTES)
		return 0;
	raw = fuzz_copy(bytes, WIRE_PREAMBLE_BYTES);
	decode(raw);
	fuzz_seal(raw, WIRE_PREAMBLE_BYTES - 8);
	decode(raw);
	free(raw);
	return 0;
}
