/* SPDX-License-Identifier: MIT */
/*
 * zlib streams by libdeflate, whole buffers at once: both ways, all levels.
 */
#include <libdeflate.h>

#include <errno.h>
#include <stdlib.h>

#include "compress/zlib_backend.h"

struct zlib_libdeflate {
	struct method method;
	struct libdeflate_compressor *compressor;     /* NULL in a receiver */
	struct libdeflate_decompressor *decompressor; /* NULL in a sender */
	size_t max_bytes;                             /* the room in coded; 0 in a receiver */
	uint8_t coded[];
};

static void zlib_libdeflate_free(struct method *m)
{
	struct zlib_libdeflate *z = (struct zlib_libdeflate *)m;

	/* Both let NULL pass. */
	libdeflate_free_compressor(z->compressor);
	libdeflate_free_decompressor(z->decompressor);
	free(z);
}

static bool zlib_libdeflate_new(bool sender, int level, size_t max_bytes, struct method **ret,
				struct mfd_error *err)
{
	struct zlib_libdeflate *z = calloc(1, sizeof(*z) + max_bytes);

	if (!z)
		return error_set_os(err, MFD_OS, ENOMEM, "method zlib");
	z->method.ops = &zlib_libdeflate;
	z->max_bytes = max_bytes;
	if (sender)
		z->compressor = libdeflate_alloc_compressor(level);
	else
		z->decompressor = libdeflate_alloc_decompressor();
	if (!z->compressor && !z->decompressor) {
		free(z);
		return error_set_os(err, MFD_OS, ENOMEM, "method zlib");
	}
	*ret = &z->method;
	return true;
}

static bool zlib_libdeflate_new_sender(int level, size_t max_bytes, struct method **ret,
				       struct mfd_error *err)
{
	return zlib_libdeflate_new(true, level, max_bytes, ret, err);
}

static bool zlib_libdeflate_new_receiver(struct method **ret, struct mfd_error *err)
{
	return zlib_libdeflate_new(false, 0, 0, ret, err);
}

static bool zlib_libdeflate_send_prepare(struct method *m, struct method_pages *pages,
					 struct method_payload *payload, struct mfd_error *err)
{
	struct zlib_libdeflate *z = (struct zlib_libdeflate *)m;
	size_t bytes, size;

	if (!zlib_pack(pages, z->max_bytes, &bytes, err))
		return false;
	/* One byte less: 0 where the pages would not have got smaller. */
	size = libdeflate_zlib_compress(z->compressor, pages->bytes, bytes, z->coded, bytes - 1);
	if (size)
		method_coded(payload, METHOD_ZLIB, z->coded, size);
	else
		method_raw(pages, payload);
	return true;
}

static bool zlib_libdeflate_recv_pages(struct method *m, const uint8_t *payload, size_t size,
				       uint8_t *ret, size_t bytes, struct mfd_error *err)
{
	struct zlib_libdeflate *z = (struct zlib_libdeflate *)m;
	size_t used, got;

	if (!method_check_sizes(&method_zlib, size, bytes, err))
		return false;
	switch (libdeflate_zlib_decompress_ex(z->decompressor, payload, size, ret, bytes, &used,
					      &got)) {
	case LIBDEFLATE_SUCCESS:
		/* It stops at the stream's end, and is content with less than there is room for. */
		if (used != size)
			return error_set(err, MFD_DATA,
					 "zlib payload has %zu bytes behind its end",
					 size - used);
		if (got != bytes)
			return error_set(err, MFD_DATA,
					 "zlib payload holds %zu bytes instead of %zu", got,
					 bytes);
		return true;
	case LIBDEFLATE_INSUFFICIENT_SPACE:
		/* Behind a cut end it sees zeros, which may stand for more. */
		return error_set(err, MFD_DATA,
				 "zlib payload holds more than %zu bytes or ends early", bytes);
	default:
		if (zlib_asks_for_dictionary(payload, size))
			return error_set(err, MFD_DATA, "zlib payload asks for a dictionary");
		return error_set(err, MFD_DATA, "zlib payload ends early or is damaged");
	}
}

const struct method_ops zlib_libdeflate = {
	.name = "libdeflate",
	.id = METHOD_ZLIB,
	.level_min = 1,
	.level_max = 9,
	.level_default = 1,
	.encoder = method_own_encoder,
	.decoder = method_own_decoder,
	.new_sender = zlib_libdeflate_new_sender,
	.new_receiver = zlib_libdeflate_new_receiver,
	.send_prepare = zlib_libdeflate_send_prepare,
	.join = method_join_ignored,
	.sent = method_sent_ignored,
	.recv_pages = zlib_libdeflate_recv_pages,
	.free = zlib_libdeflate_free,
};
