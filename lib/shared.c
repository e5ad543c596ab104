/* SPDX-License-Identifier: MIT */
/*
 * See shared.h.
 */
#include "shared.h"

#include "wire/wire.h"

#define SHARED_MIN_TIMEOUT_MS 100u

void shared_no_notice(void *opaque, const struct mfd_notice *notice)
{
	(void)opaque;
	(void)notice;
}

void shared_warn(mfd_notice_fn *notice, void *opaque, const char *text)
{
	if (notice && text)
		notice(opaque, &(struct mfd_notice){ .kind = MFD_NOTICE_WARNING, .text = text });
}

bool shared_check_timeout(uint64_t timeout_ms, struct mfd_error *err)
{
	if (timeout_ms < SHARED_MIN_TIMEOUT_MS || timeout_ms > WIRE_MAX_TIMEOUT_MS)
		return error_set(err, MFD_USAGE, "timeout: 100 ms to 24 h are allowed");
	return true;
}
