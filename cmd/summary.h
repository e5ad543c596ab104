/* SPDX-License-Identifier: MIT */
/*
 * What a transfer came to, in words: the summary, and what -v adds to it.
 */
#ifndef MFD_CMD_SUMMARY_H
#define MFD_CMD_SUMMARY_H

#include "mfd.h"

#define SUMMARY_TEXT 320

/*
 * "2.00 GiB, 34 % zero, 445 MB on the wire (4.8:1), 0.91 s, 2.36 GB/s, 8 channels, zstd level 1,
 * hash ..., committed"
 */
void summary_text(const struct mfd_stats *stats, char ret[static SUMMARY_TEXT]);

/*
 * "channel 0: 1024 packets, 55.6 MB; waits: source 0.10 s, sink 0.00 s, codec 0.40 s, socket 0.30
 * s, hand-off 0.02 s"
 */
void summary_channel(const struct mfd_stats *stats, unsigned channel,
		     char ret[static SUMMARY_TEXT]);

/*
 * "bound by the network: 62 % of the channels' time; flushing took 0.10 s", or "bound by flushing
 * the output: 70 % of the time"
 */
void summary_bound(const struct mfd_stats *stats, char ret[static SUMMARY_TEXT]);

/*
 * "live: 3 rounds of 262150, 5120 and 98 pages, 20.1 MB/s changing, found by userfaultfd"; of many
 * rounds the first and the last ones.  False where nothing was copied live.
 */
bool summary_live(const struct mfd_stats *stats, char ret[static SUMMARY_TEXT]);

#endif
