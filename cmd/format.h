/* SPDX-License-Identifier: MIT */
/*
 * Numbers as people read them, three digits each: sizes of images in powers of 1024, what moves in
 * powers of 1000.  Each fills a caller's buffer and returns it.
 */
#ifndef MFD_CMD_FORMAT_H
#define MFD_CMD_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "mfd.h"

#define FORMAT_TEXT 48

/* "2.00 GiB" */
char *format_image_size(char ret[static FORMAT_TEXT], uint64_t bytes);

/* "445 MB" */
char *format_bytes(char ret[static FORMAT_TEXT], double bytes);

/* "2.36 GB/s"; "-" where no time has passed. */
char *format_rate(char ret[static FORMAT_TEXT], uint64_t bytes, uint64_t ns);

/* "4.8:1", how much smaller the wire was; "-" while nothing has been sent. */
char *format_ratio(char ret[static FORMAT_TEXT], uint64_t bytes, uint64_t wire);

/* "0:12", "1:02:03" */
char *format_clock(char ret[static FORMAT_TEXT], uint64_t seconds);

/*
 * "none"; "auto up to level 9"; "zstd level 1"; "zlib level 1 (igzip)": the backend where it is not
 * the method's own library
 */
char *format_method(char ret[static FORMAT_TEXT], const struct mfd_stats *stats);

/* "1 channel", "8 channels" */
char *format_channels(char ret[static FORMAT_TEXT], unsigned channels);

/*
 * @part of @whole in percent: 100 only when nothing is missing.  For progress rounded down, for a
 * share to the nearest.
 */
unsigned format_percent(uint64_t part, uint64_t whole);
unsigned format_share(uint64_t part, uint64_t whole);

#endif
