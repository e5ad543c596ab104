/* SPDX-License-Identifier: MIT */
/*
 * What method zstd offers to method auto besides its vtable.
 */
#ifndef MFD_COMPRESS_ZSTD_H
#define MFD_COMPRESS_ZSTD_H

#include "compress/method.h"

/*
 * From the next packet on; any level zstd has, also those that users can't choose.  @m is a
 * sender of method_zstd.
 */
bool zstd_set_level(struct method *m, int level, struct mfd_error *err) MFD_MUST_CHECK;

#endif
