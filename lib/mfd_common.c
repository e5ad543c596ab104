/* SPDX-License-Identifier: MIT */
/*
 * See mfd_common.h.
 */
#include "mfd_common.h"

#include "wire/wire.h"

#define MFD_COMMON_MIN_TIMEOUT_MS 100u

void mfd_common_no_notice(void *opaque, const struct mfd_notice *notice)
{
	(void)opaque;
	(void)notice;
}

void mfd_common_warn(mfd_notice_fn *notice, void *opaque, const char *text)
{
	if (notice && text)
		notice(opaque, &(struct mfd_notice){ .kind = MFD_NOTICE_WARNING, .text = text });
}

bool mfd_common_check_timeout(uint64_t timeout_ms, struct mfd_error *err)
{
	if (timeout_ms < MFD_COMMON_MIN_TIMEOUT_MS || timeout_ms > WIRE_MAX_TIMEOUT_MS)
		return error_set(err, MFD_USAGE, "timeout: 100 ms to 24 h are allowed");
	return true;
}
