/* SPDX-License-Identifier: MIT */
/*
 * One freeze, from the first page to the last.
 */
#include "source/standstill.h"

void standstill_init(struct standstill *s, struct freezer *freezer)
{
	*s = (struct standstill){ .freezer = freezer };
	counter_set(&s->downtime_ns, MFD_UNKNOWN);
}

bool standstill_begin(struct standstill *s, struct mfd_error *err)
{
	if (s->over.status != MFD_OK) {
		*err = s->over;
		return false;
	}
	s->begun = freezer_freeze(s->freezer, err);
	return s->begun;
}

bool standstill_end(struct standstill *s, struct mfd_error *err)
{
	uint64_t ns;

	s->begun = false;
	if (!freezer_thaw(s->freezer, &ns, err))
		return false;
	counter_set(&s->downtime_ns, ns);
	if (freezer_check_bound(s->freezer, err))
		return true;
	s->over = *err;
	return false;
}

bool standstill_check(struct standstill *s, struct mfd_error *err)
{
	if (freezer_holds(s->freezer))
		return true;
	/* It died, or the guardian has let it go: who thaws is told which. */
	return standstill_end(s, err) &&
	       error_set(err, MFD_BUG, "the freeze has ended for no reason");
}
