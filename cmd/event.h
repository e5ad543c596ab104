/* SPDX-License-Identifier: MIT */
/*
 * The JSON events: start, progress, and exactly one summary or error.  The same keys at both ends;
 * man/mfd-send.1 lists them.
 */
#ifndef MFD_CMD_EVENT_H
#define MFD_CMD_EVENT_H

#include "json.h"
#include "mfd.h"

/* What is moved, and where: the arguments as given. */
struct event_subject {
	bool receiving;
	const char *file;
	const char *address;
};

/* @port: where the receiver listens. */
void event_start(struct json *j, const struct event_subject *subject, uint64_t port);
void event_progress(struct json *j, const struct mfd_stats *stats);
void event_summary(struct json *j, const struct mfd_stats *stats);
void event_error(struct json *j, const struct mfd_stats *stats, const struct mfd_error *err);

#endif
