/* SPDX-License-Identifier: MIT */
/*
 * The null sink: takes everything, keeps nothing.  What it costs is nothing, so it shows what
 * the rest costs.
 */
#include <errno.h>
#include <stdlib.h>

#include "sink/backend.h"

static bool null_begin(struct sink *s, uint64_t size, uint64_t allocated, struct mfd_error *err)
{
	(void)s;
	(void)size;
	(void)allocated;
	(void)err;
	return true;
}

static bool null_write(struct sink *s, uint64_t offset, const void *bytes, size_t size,
		       struct mfd_error *err)
{
	(void)s;
	(void)offset;
	(void)bytes;
	(void)size;
	(void)err;
	return true;
}

static bool null_zero(struct sink *s, uint64_t offset, uint64_t size, bool fresh,
		      const struct event *stop, struct mfd_error *err)
{
	(void)s;
	(void)offset;
	(void)size;
	(void)fresh;
	(void)stop;
	(void)err;
	return true;
}

static bool null_commit(struct sink *s, uint64_t size, const struct event *stop,
			struct mfd_error *err)
{
	(void)s;
	(void)size;
	return sink_check_stop(stop, err);
}

static void null_free(struct sink *s)
{
	free(s);
}

static const struct sink_ops null_ops = {
	.kind = "null",
	.begin = null_begin,
	.write = null_write,
	.zero = null_zero,
	.commit = null_commit,
	.settle = sink_settle_unsupported,
	.free = null_free,
};

bool sink_null_new(struct sink **ret, struct mfd_error *err)
{
	struct sink *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return error_set_os(err, MFD_OS, errno, "null:");
	s->ops = &null_ops;
	s->directory = s->file = -1;
	*ret = s;
	return true;
}
