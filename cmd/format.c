/* SPDX-License-Identifier: MIT */
/*
 * Numbers as people read them.
 */
#include "format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Three digits of @value, which is below 1024, and its unit. */
static char *format_scaled(char *ret, double value, const char *unit)
{
	int places = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;

	snprintf(ret, FORMAT_TEXT, "%.*f %s", places, value, unit);
	return ret;
}

char *format_image_size(char ret[static FORMAT_TEXT], uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes / 1024;
	unsigned i = 0;

	if (bytes < 1024) {
		snprintf(ret, FORMAT_TEXT, "%" PRIu64 " bytes", bytes);
		return ret;
	}
	for (; value >= 1023.5 && i < sizeof(units) / sizeof(units[0]) - 1; i++)
		value /= 1024;
	return format_scaled(ret, value, units[i]);
}

char *format_bytes(char ret[static FORMAT_TEXT], double bytes)
{
	static const char *const units[] = { "kB", "MB", "GB", "TB", "PB", "EB" };
	double value = bytes / 1000;
	unsigned i = 0;

	if (bytes < 1000) {
		snprintf(ret, FORMAT_TEXT, "%.0f B", bytes);
		return ret;
	}
	for (; value >= 999.5 && i < sizeof(units) / sizeof(units[0]) - 1; i++)
		value /= 1000;
	return format_scaled(ret, value, units[i]);
}

char *format_rate(char ret[static FORMAT_TEXT], uint64_t bytes, uint64_t ns)
{
	if (!ns)
		return strcpy(ret, "-");
	format_bytes(ret, (double)bytes * 1e9 / (double)ns);
	return strcat(ret, "/s");
}

char *format_ratio(char ret[static FORMAT_TEXT], uint64_t bytes, uint64_t wire)
{
	double ratio;

	if (!wire)
		return strcpy(ret, "-");
	ratio = (double)bytes / (double)wire;
	snprintf(ret, FORMAT_TEXT, ratio < 99.95 ? "%.1f:1" : "%.0f:1", ratio);
	return ret;
}

char *format_clock(char ret[static FORMAT_TEXT], uint64_t seconds)
{
	if (seconds >= 3600)
		snprintf(ret, FORMAT_TEXT, "%" PRIu64 ":%02u:%02u", seconds / 3600,
			 (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
	else
		snprintf(ret, FORMAT_TEXT, "%u:%02u", (unsigned)(seconds / 60),
			 (unsigned)(seconds % 60));
	return ret;
}

char *format_method(char ret[static FORMAT_TEXT], const struct mfd_stats *stats)
{
	const bool other = strcmp(stats->backend, stats->method) != 0;

	/*
	 * Level 0: a method without levels, or, as the receiver sees it, one that changes its
	 * level.
	 */
	if (stats->level && !strcmp(stats->method, "auto"))
		snprintf(ret, FORMAT_TEXT, "auto up to level %d", stats->level);
	else if (!stats->level)
		snprintf(ret, FORMAT_TEXT, "%.12s", stats->method);
	else
		snprintf(ret, FORMAT_TEXT, "%.12s level %d%s%.12s%s", stats->method, stats->level,
			 other ? " (" : "", other ? stats->backend : "", other ? ")" : "");
	return ret;
}

char *format_channels(char ret[static FORMAT_TEXT], unsigned channels)
{
	snprintf(ret, FORMAT_TEXT, "%u channel%s", channels, channels == 1 ? "" : "s");
	return ret;
}

static unsigned format_percent_of(uint64_t part, uint64_t whole, double plus)
{
	double percent;

	if (part >= whole)
		return 100;
	percent = (double)part / (double)whole * 100 + plus;
	return percent < 99 ? (unsigned)percent : 99;
}

unsigned format_percent(uint64_t part, uint64_t whole)
{
	return format_percent_of(part, whole, 0);
}

unsigned format_share(uint64_t part, uint64_t whole)
{
	return whole ? format_percent_of(part, whole, 0.5) : 0;
}
