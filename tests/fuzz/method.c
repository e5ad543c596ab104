/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: what a peer says is a coded payload, given to every method, and for zlib to
 * every decoder of this build.  The first byte chooses the method, the second the number of pages
 * it is to become, the rest is the payload.  Decoding leaves nothing behind: the second time gives
 * what the first gave.
 */
#include "fuzz.h"

#include "compress/zlib_backend.h"
#include "core/batch.h"

#define MAX_PAGES 32u

static void decode(const struct method_ops *ops, const uint8_t *payload, size_t size, size_t pages)
{
	const size_t bytes = pages * PAGE_BYTES;
	uint8_t *first = fuzz_alloc(bytes);
	uint8_t *second = fuzz_alloc(bytes);
	struct mfd_error err = { 0 };
	struct method *m;
	bool ok;

	FUZZ_CHECK(ops->new_receiver(&m, &err));
	memset(second, 0xff, bytes); /* so that bytes left unwritten would differ */
	ok = ops->recv_pages(m, payload, size, first, bytes, &err);
	FUZZ_CHECK(ok || err.status == MFD_DATA);
	FUZZ_CHECK(ops->recv_pages(m, payload, size, second, bytes, &err) == ok);
	FUZZ_CHECK(!ok || memcmp(first, second, bytes) == 0);
	ops->free(m);
	free(first);
	free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const struct method_ops *ops;
	unsigned methods = 0;
	uint8_t *payload;

	if (size < 2)
		return 0;
	while (method_at(methods))
		methods++;
	payload = fuzz_copy(bytes + 2, size - 2);
	ops = method_at(bytes[0] % methods);
	if (ops == &method_zlib)
		for (unsigned i = 0; zlib_decoder_at(i); i++)
			decode(zlib_decoder_at(i), payload, size - 2, 1 + bytes[1] % MAX_PAGES);
	else
		decode(ops, payload, size - 2, 1 + bytes[1] % MAX_PAGES);
	free(payload);
	return 0;
}
