/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of the public API share.
 */
#ifndef MFD_COMMON_H
#define MFD_COMMON_H

#include <stdint.h>

#include "base/error.h"
#include "core/options.h"

/* For who wants no notices. */
void mfd_common_no_notice(void *opaque, const struct mfd_notice *notice);

/* MFD_NOTICE_WARNING with @text; NULL for either is nothing. */
void mfd_common_warn(mfd_notice_fn *notice, void *opaque, const char *text);

/* MFD_USAGE unless a session can have @timeout_ms. */
bool mfd_common_check_timeout(uint64_t timeout_ms, struct mfd_error *err) MFD_MUST_CHECK;

#endif
