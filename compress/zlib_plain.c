/* SPDX-License-Identifier: MIT */
/*
 * zlib streams by zlib itself: always there, both ways, all levels.  The state is allocated once
 * and reset for each packet, which costs a fraction of setting it up anew.
 */
#define ZLIB_CONST /* next_in points to const */
#include <zlib.h>

#include <errno.h>
#include <stdlib.h>

#include "compress/zlib_backend.h"

struct zlib_plain {
	struct method method;
	z_stream stream;
	bool sender;      /* what the stream was set up for: deflate, or else inflate */
	size_t max_bytes; /* the room in coded; 0 in a receiver */
	uint8_t coded[];
};

/* What zlib says about a failure; it has no text of its own for some. */
static const char *zlib_plain_reason(const z_stream *stream, int code)
{
	return stream->msg ? stream->msg : zError(code);
}

static struct zlib_plain *zlib_plain_new(bool sender, size_t max_bytes)
{
	struct zlib_plain *z = calloc(1, sizeof(*z) + max_bytes);

	if (z) {
		z->method.ops = &zlib_plain;
		z->sender = sender;
		z->max_bytes = max_bytes;
	}
	return z;
}

static bool zlib_plain_new_failed(struct zlib_plain *z, int code, struct mfd_error *err)
{
	if (!z || code == Z_MEM_ERROR)
		error_set_os(err, MFD_OS, ENOMEM, "method zlib");
	else
		error_set(err, MFD_BUG, "method zlib: %s", zlib_plain_reason(&z->stream, code));
	free(z);
	return false;
}

static bool zlib_plain_new_sender(int level, size_t max_bytes, struct method **ret,
			    struct mfd_error *err)
{
	struct zlib_plain *z = zlib_plain_new(true, max_bytes);
	int code = z ? deflateInit(&z->stream, level) : Z_MEM_ERROR;

	if (code != Z_OK)
		return zlib_plain_new_failed(z, code, err);
	*ret = &z->method;
	return true;
}

static bool zlib_plain_new_receiver(struct method **ret, struct mfd_error *err)
{
	struct zlib_plain *z = zlib_plain_new(false, 0);
	int code = z ? inflateInit(&z->stream) : Z_MEM_ERROR;

	if (code != Z_OK)
		return zlib_plain_new_failed(z, code, err);
	*ret = &z->method;
	return true;
}

static bool zlib_plain_send_prepare(struct method *m, struct method_pages *pages,
			      struct method_payload *payload, struct mfd_error *err)
{
	struct zlib_plain *z = (struct zlib_plain *)m;
	size_t bytes;
	int code;

	if (!zlib_pack(pages, z->max_bytes, &bytes, err))
		return false;
	code = deflateReset(&z->stream);
	if (code == Z_OK) {
		z->stream.next_in = pages->bytes;
		z->stream.avail_in = (uInt)bytes;
		z->stream.next_out = z->coded;
		/* One byte less: deflate stops where the pages would not have got smaller. */
		z->stream.avail_out = (uInt)(bytes - 1);
		code = deflate(&z->stream, Z_FINISH);
	}
	if (code == Z_STREAM_END)
		method_coded(payload, METHOD_ZLIB, z->coded, bytes - 1 - z->stream.avail_out);
	else if (code == Z_OK || code == Z_BUF_ERROR)
		method_raw(pages, payload);
	else
		return error_set(err, MFD_BUG, "zlib: %s", zlib_plain_reason(&z->stream, code));
	return true;
}

/* All room is used and the stream has not ended: does it hold more, or was it cut? */
static bool zlib_plain_holds_more(struct zlib_plain *z)
{
	uint8_t spare;

	z->stream.next_out = &spare;
	z->stream.avail_out = 1;
	inflate(&z->stream, Z_SYNC_FLUSH);
	return z->stream.avail_out == 0;
}

static bool zlib_plain_recv_pages(struct method *m, const uint8_t *payload, size_t size,
				  uint8_t *ret, size_t bytes, struct mfd_error *err)
{
	struct zlib_plain *z = (struct zlib_plain *)m;
	z_stream *stream = &z->stream;
	int code;

	if (!method_check_sizes(&method_zlib, size, bytes, err))
		return false;
	code = inflateReset(stream);
	if (code != Z_OK)
		return error_set(err, MFD_BUG, "zlib: %s", zlib_plain_reason(stream, code));
	stream->next_in = payload;
	stream->avail_in = (uInt)size;
	stream->next_out = ret;
	stream->avail_out = (uInt)bytes;
	code = inflate(stream, Z_FINISH);

	switch (code) {
	case Z_STREAM_END:
		if (stream->avail_in)
			return error_set(err, MFD_DATA,
					 "zlib payload has %u bytes behind its end",
					 stream->avail_in);
		if (stream->avail_out)
			return error_set(err, MFD_DATA,
					 "zlib payload holds %zu bytes instead of %zu",
					 bytes - stream->avail_out, bytes);
		return true;
	case Z_OK:
	case Z_BUF_ERROR:
		if (!stream->avail_out && zlib_plain_holds_more(z))
			return error_set(err, MFD_DATA,
					 "zlib payload holds more than %zu bytes", bytes);
		return error_set(err, MFD_DATA, "zlib payload ends early");
	case Z_NEED_DICT:
		return error_set(err, MFD_DATA, "zlib payload asks for a dictionary");
	case Z_MEM_ERROR:
		return error_set_os(err, MFD_OS, ENOMEM, "method zlib");
	default:
		return error_set(err, MFD_DATA, "zlib payload is damaged: %s",
				 zlib_plain_reason(stream, code));
	}
}

static void zlib_plain_free(struct method *m)
{
	struct zlib_plain *z = (struct zlib_plain *)m;

	if (z->sender)
		deflateEnd(&z->stream);
	else
		inflateEnd(&z->stream);
	free(z);
}

const struct method_ops zlib_plain = {
	.name = "zlib",
	.id = METHOD_ZLIB,
	.level_min = 1,
	.level_max = 9,
	.level_default = 1,
	.encoder = method_own_encoder,
	.decoder = method_own_decoder,
	.new_sender = zlib_plain_new_sender,
	.new_receiver = zlib_plain_new_receiver,
	.send_prepare = zlib_plain_send_prepare,
	.join = method_join_ignored,
	.sent = method_sent_ignored,
	.recv_pages = zlib_plain_recv_pages,
	.free = zlib_plain_free,
};
