/* SPDX-License-Identifier: MIT */
/*
 * zlib streams by ISA-L's igzip: level 1 only, nearly eight times as fast as zlib's and within
 * 2 % of its size.  It codes only: libdeflate decodes faster than ISA-L does (1.3 against 1.1
 * GB/s).
 *
 * ISA-L's levels are not zlib's.  Its level 2 takes 2 % more CPU time for 0.6 % fewer bytes, its
 * level 3 twice the time for 1.3 %, and zlib's and libdeflate's level 2 are smaller than both.
 * Smaller tables (ISAL_DEF_LVL1_SMALL) cost 7 % of CPU time for 0.6 % fewer bytes.
 */
#include <isa-l/igzip_lib.h>

#include <errno.h>
#include <stdlib.h>

#include "compress/zlib_backend.h"

struct zlib_igzip {
	struct method method;
	size_t max_bytes; /* the room in coded */
	struct isal_zstream stream;
	/* hashes, and tokens of a block to be */
	_Alignas(16) uint8_t tables[ISAL_DEF_LVL1_DEFAULT];
	uint8_t coded[];
};

static bool zlib_igzip_new_sender(int level, size_t max_bytes, struct method **ret,
				  struct mfd_error *err)
{
	struct zlib_igzip *z;

	if (level != 1)
		return error_set(err, MFD_BUG, "igzip: level %d", level);
	z = calloc(1, sizeof(*z) + max_bytes);
	if (!z)
		return error_set_os(err, MFD_OS, ENOMEM, "method zlib");
	z->method.ops = &zlib_igzip;
	z->max_bytes = max_bytes;
	*ret = &z->method;
	return true;
}

/* A stream of its own, with its header and checksum, whatever became of the last one. */
static int zlib_igzip_deflate(struct zlib_igzip *z, uint8_t *bytes, size_t size, size_t room)
{
	struct isal_zstream *stream = &z->stream;

	isal_deflate_stateless_init(stream);
	stream->level = 1;
	stream->level_buf = z->tables;
	stream->level_buf_size = sizeof(z->tables);
	stream->gzip_flag = IGZIP_ZLIB;
	stream->end_of_stream = 1;
	stream->next_in = bytes;
	stream->avail_in = (uint32_t)size;
	stream->next_out = z->coded;
	stream->avail_out = (uint32_t)room;
	return isal_deflate_stateless(stream);
}

static bool zlib_igzip_send_prepare(struct method *m, struct method_pages *pages,
				    struct method_payload *payload, struct mfd_error *err)
{
	struct zlib_igzip *z = (struct zlib_igzip *)m;
	size_t bytes;
	int code;

	if (!zlib_pack(pages, z->max_bytes, &bytes, err))
		return false;
	/* One byte less: it overflows where the pages would not have got smaller. */
	code = zlib_igzip_deflate(z, pages->bytes, bytes, bytes - 1);
	if (code == COMP_OK && !z->stream.avail_in)
		method_coded(payload, METHOD_ZLIB, z->coded, z->stream.total_out);
	else if (code == STATELESS_OVERFLOW)
		method_raw(pages, payload);
	else
		return error_set(err, MFD_BUG, "igzip: code %d, %u bytes left", code,
				 (unsigned)z->stream.avail_in);
	return true;
}

static bool zlib_igzip_new_receiver(struct method **ret, struct mfd_error *err)
{
	(void)ret;
	return error_set(err, MFD_BUG, "igzip does not decode");
}

static bool zlib_igzip_recv_pages(struct method *m, const uint8_t *payload, size_t size,
				  uint8_t *ret, size_t bytes, struct mfd_error *err)
{
	(void)m;
	(void)payload;
	(void)size;
	(void)ret;
	(void)bytes;
	return error_set(err, MFD_BUG, "igzip does not decode");
}

static void zlib_igzip_free(struct method *m)
{
	free(m);
}

const struct method_ops zlib_igzip = {
	.name = "igzip",
	.id = METHOD_ZLIB,
	.level_min = 1,
	.level_max = 1,
	.level_default = 1,
	.encoder = method_own_encoder,
	.decoder = method_own_decoder,
	.new_sender = zlib_igzip_new_sender,
	.new_receiver = zlib_igzip_new_receiver,
	.send_prepare = zlib_igzip_send_prepare,
	.join = method_join_ignored,
	.sent = method_sent_ignored,
	.recv_pages = zlib_igzip_recv_pages,
	.free = zlib_igzip_free,
};
