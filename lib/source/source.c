/* SPDX-License-Identifier: MIT */
/*
 * What sources share: fillers for slots that a kind of source does not have.
 */
#include "source/source.h"

bool source_read_unsupported(struct source *s, const struct batch *batch, uint8_t *buffer,
			     struct mfd_error *err)
{
	(void)batch;
	(void)buffer;
	return error_set(err, MFD_BUG, "a %s source can't be read twice", s->ops->kind);
}

void source_report_nothing(const struct source *s, struct mfd_stats *ret)
{
	(void)s;
	(void)ret;
}
