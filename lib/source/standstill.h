/* SPDX-License-Identifier: MIT */
/*
 * A stop for as long as an image is read: begun when the session has, looked after while pages are
 * read, and ended when the receiver has all of them.  Once the bound has ended it there is no
 * second one: what was read in the first would be mixed with what is there now.
 */
#ifndef MFD_SOURCE_STANDSTILL_H
#define MFD_SOURCE_STANDSTILL_H

#include <stdbool.h>

#include "base/error.h"
#include "core/options.h"
#include "core/stats.h"
#include "process/freeze.h"

struct standstill {
	struct freezer *freezer; /* the source's; const */

	/* The producer. */
	bool begun;
	struct mfd_error over;   /* why it ended before its time; MFD_OK: it did not */

	/* Any thread, for reports. */
	counter downtime_ns;     /* MFD_UNKNOWN before it has ended */
};

void standstill_init(struct standstill *s, struct freezer *freezer);

/* Errors: as freezer_freeze(); and why an earlier one ended. */
bool standstill_begin(struct standstill *s, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * What has been read so far was read while nothing changed.  Errors: MFD_TRY_AGAIN the bound has
 * ended the freeze; as freezer_thaw().
 */
bool standstill_check(struct standstill *s, struct mfd_error *err) MFD_MUST_CHECK;

/* As standstill_check(), and it goes on. */
bool standstill_end(struct standstill *s, struct mfd_error *err) MFD_MUST_CHECK;

#endif
