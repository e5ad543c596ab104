/* SPDX-License-Identifier: MIT */
/*
 * Numbers as people write them: durations, sizes, rates.  A whole text or nothing: no blanks, no
 * signs, no junk behind, no overflow; and what can't be said exactly in the smallest unit ("1.5"
 * bytes) is no number either.  All are false without touching *ret.
 */
#ifndef MFD_CMD_PARSE_H
#define MFD_CMD_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* "500ms", "30s", "1.5m", "2h"; a bare number is seconds. */
bool parse_duration(const char *text, uint64_t *ret_ms) __attribute__((warn_unused_result));

/* "4096", "64K" and "64KiB" (1024), "64KB" (1000), and so on with M, G, T; in lower case too. */
bool parse_size(const char *text, uint64_t *ret_bytes) __attribute__((warn_unused_result));

/* A size, or bits as in "100Mbit" (1000 * 1000 / 8 bytes), with or without "/s" behind it. */
bool parse_rate(const char *text, uint64_t *ret_bytes_per_second)
	__attribute__((warn_unused_result));

/* A hexadecimal number from 0 on, with or without "0x" before it. */
bool parse_hexadecimal(const char *text, unsigned long max, unsigned long *ret)
	__attribute__((warn_unused_result));

/* A whole number, with a minus sign where @min is below zero. */
bool parse_integer(const char *text, long min, long max, long *ret)
	__attribute__((warn_unused_result));

#endif
