/* SPDX-License-Identifier: MIT */
/*
 * A live copy that may use only some of the ways to find what changed.
 *
 *	live_send TRACKERS IMAGE HOST:PORT     1 userfaultfd, 2 soft-dirty bits, 0 neither
 *
 * Says which one was used, and the downtime in ns.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "mfd.h"

int main(int argc, char **argv)
{
	struct mfd_send_options o = {
		.method = "zstd", .level = MFD_LEVEL_DEFAULT,
		.connect_timeout_ms = 10000, .timeout_ms = 30000,
		.live = true, .downtime_ms = 300, .rounds = 10, .max_freeze_ms = 60000,
	};
	struct mfd_stats stats;
	struct mfd_send *send;
	struct mfd_error err;

	if (argc != 4)
		return 64;
	o.trackers = (unsigned)atoi(argv[1]);
	o.image = argv[2];
	o.address = argv[3];
	if (!mfd_send_new(&o, &send, &err))
		return fprintf(stderr, "%s\n", err.text), err.status;
	if (!mfd_send_run(send, &err))
		return fprintf(stderr, "%s\n", err.text), mfd_send_free(send), err.status;
	mfd_send_stats(send, &stats);
	printf("%s %" PRIu64 "\n", stats.tracker, stats.downtime_ns);
	mfd_send_free(send);
	return 0;
}
