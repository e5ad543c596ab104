/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of the public API share.
 */
#ifndef MFD_SHARED_H
#define MFD_SHARED_H

#include <stdint.h>

#include "base/error.h"
#include "core/options.h"

/* For who wants no notices. */
void shared_no_notice(void *opaque, const struct mfd_notice *notice);

/* MFD_NOTICE_WARNING with @text; NULL for either is nothing. */
void shared_warn(mfd_notice_fn *notice, void *opaque, const char *text);

/* MFD_USAGE unless a session can have @timeout_ms. */
bool shared_check_timeout(uint64_t timeout_ms, struct mfd_error *err) MFD_MUST_CHECK;

#endif
