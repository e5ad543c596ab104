/* SPDX-License-Identifier: MIT */
/*
 * How far it is, in words: what has been acknowledged (sender) or written (receiver), how fast, how
 * long still, and the phase.
 */
#ifndef MFD_CMD_PROGRESS_H
#define MFD_CMD_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mfd.h"

#define PROGRESS_TEXT 256

struct progress {
	bool receiving;          /* set once */

	/* The speed of the last seconds. */
	double rate;             /* bytes per second */
	uint64_t bytes, at_ns;   /* the sample before */
};

/* Take a snapshot into account, for the speed. */
void progress_sample(struct progress *p, const struct mfd_stats *stats);

/* "[====>    ]  45 %  2.36 GB/s  4.8:1  ETA 0:12  sending", of fewer than @width columns. */
void progress_bar(const struct progress *p, const struct mfd_stats *stats, size_t width,
		  char ret[static PROGRESS_TEXT]);

/* "45 %, 0.98 GiB of 2.00 GiB, 2.36 GB/s, 4.8:1, ETA 0:12, sending" */
void progress_line(const struct progress *p, const struct mfd_stats *stats,
		   char ret[static PROGRESS_TEXT]);

#endif
