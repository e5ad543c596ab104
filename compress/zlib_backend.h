/* SPDX-License-Identifier: MIT */
/*
 * What codes zlib streams for the method zlib: libraries that write and read one format (RFC 1950),
 * each a method vtable of its own in a file of its own, so that a backend costs no second call.
 * The wire does not know them: whatever one writes all others read.
 */
#ifndef MFD_ZLIB_BACKEND_H
#define MFD_ZLIB_BACKEND_H

#include "compress/method.h"

/*
 * Each has as name the library's, as levels those that it codes.  zlib is always there, the others
 * where the build found them; igzip does not decode.
 */
extern const struct method_ops zlib_plain, zlib_igzip, zlib_libdeflate;

/* Those of this build, best first, NULL behind the last. */
const struct method_ops *zlib_encoder_at(unsigned i);
const struct method_ops *zlib_decoder_at(unsigned i);

/*
 * Is @bytes, of @size bytes, what begins a zlib stream that needs a dictionary?  Not every library
 * says so.
 */
bool zlib_asks_for_dictionary(const uint8_t *bytes, size_t size);

/* Pack @pages to be coded as one piece of *ret_bytes; MFD_BUG if they are more than @max_bytes. */
bool zlib_pack(struct method_pages *pages, size_t max_bytes, size_t *ret_bytes,
	       struct mfd_error *err) MFD_MUST_CHECK;

#endif
