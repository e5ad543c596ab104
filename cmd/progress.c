/* SPDX-License-Identifier: MIT */
/*
 * How far it is, in words.  Bar and line are the same fields, each left out while it means nothing:
 * no percentage of an unknown size, no speed and no time left while flushing, when no byte of the
 * image moves any more.
 */
#include "progress.h"

#include <stdio.h>
#include <string.h>

#include "format.h"

/*
 * The speed is an average whose memory fades over this time; samples closer than the least say
 * nothing.
 */
#define PROGRESS_MEMORY_S 2.0
#define PROGRESS_LEAST_NS 50000000u

#define PROGRESS_BAR_MAX 30
#define PROGRESS_BAR_MIN 8

/* Beyond it a guess is worthless. */
#define PROGRESS_ETA_MAX_S (100.0 * 3600)

void progress_sample(struct progress *p, const struct mfd_stats *stats)
{
	double seconds, now;

	if (stats->elapsed_ns < p->at_ns + PROGRESS_LEAST_NS || stats->bytes_done < p->bytes)
		return;
	seconds = (double)(stats->elapsed_ns - p->at_ns) / 1e9;
	now = (double)(stats->bytes_done - p->bytes) / seconds;
	/* The first sample is all there is. */
	p->rate += p->at_ns ? (now - p->rate) * seconds / (seconds + PROGRESS_MEMORY_S) : now;
	p->bytes = stats->bytes_done;
	p->at_ns = stats->elapsed_ns;
}

static const char *progress_phase(const struct progress *p, const struct mfd_stats *stats)
{
	switch (stats->phase) {
	case MFD_CONNECTING:
		return p->receiving ? "waiting for the sender" : "connecting";
	case MFD_MOVING:
		return p->receiving ? "receiving" : "sending";
	case MFD_FLUSHING:
		return "flushing";
	case MFD_FINISHED:
		break;
	}
	return "finished";
}

static bool progress_size_known(const struct mfd_stats *stats)
{
	return stats->bytes_image != MFD_UNKNOWN;
}

/* One more field. */
static void progress_add(char ret[static PROGRESS_TEXT], const char *between, const char *before,
			 const char *text)
{
	const size_t used = strlen(ret);

	snprintf(ret + used, PROGRESS_TEXT - used, "%s%s%s", used ? between : "", before, text);
}

static void progress_add_eta(const struct progress *p, const struct mfd_stats *stats,
			     const char *between, char ret[static PROGRESS_TEXT])
{
	char text[FORMAT_TEXT];
	double seconds;

	if (!progress_size_known(stats) || stats->bytes_done > stats->bytes_image || p->rate < 1)
		return;
	seconds = (double)(stats->bytes_image - stats->bytes_done) / p->rate;
	if (seconds < PROGRESS_ETA_MAX_S)
		progress_add(ret, between, "ETA ", format_clock(text, (uint64_t)(seconds + 0.5)));
}

/* What follows how much it is. */
static void progress_add_rest(const struct progress *p, const struct mfd_stats *stats,
			      const char *between, char ret[static PROGRESS_TEXT])
{
	char text[FORMAT_TEXT];

	if (stats->phase == MFD_MOVING && p->at_ns)
		progress_add(ret, between, "", strcat(format_bytes(text, p->rate), "/s"));
	if (stats->bytes_wire)
		progress_add(ret, between, "",
			     format_ratio(text, stats->bytes_done, stats->bytes_wire));
	if (stats->phase == MFD_MOVING)
		progress_add_eta(p, stats, between, ret);
	progress_add(ret, between, "", progress_phase(p, stats));
}

static void progress_draw(const struct mfd_stats *stats, size_t columns,
			  char ret[static PROGRESS_TEXT])
{
	const unsigned percent = format_percent(stats->bytes_done, stats->bytes_image);
	const size_t filled = columns * percent / 100;

	ret[0] = '[';
	memset(ret + 1, ' ', columns);
	memset(ret + 1, '=', filled);
	if (filled < columns)
		ret[1 + filled] = '>';
	snprintf(ret + 1 + columns, PROGRESS_TEXT - 1 - columns, "] %3u %%", percent);
}

void progress_bar(const struct progress *p, const struct mfd_stats *stats, size_t width,
		  char ret[static PROGRESS_TEXT])
{
	const size_t frame = strlen("[] 100 %  ");
	char rest[PROGRESS_TEXT] = "", size[FORMAT_TEXT];
	size_t columns = 0;

	ret[0] = '\0';
	progress_add_rest(p, stats, "  ", rest);
	if (stats->phase == MFD_CONNECTING) {
		progress_add(ret, "", "", rest);
	} else if (!progress_size_known(stats)) {
		progress_add(ret, "", "", format_image_size(size, stats->bytes_done));
		progress_add(ret, "  ", "", rest);
	} else {
		if (width > strlen(rest) + frame)
			columns = width - 1 - strlen(rest) - frame;
		if (columns > PROGRESS_BAR_MAX)
			columns = PROGRESS_BAR_MAX;
		if (columns >= PROGRESS_BAR_MIN)
			progress_draw(stats, columns, ret);
		else
			snprintf(ret, PROGRESS_TEXT, "%u %%",
				 format_percent(stats->bytes_done, stats->bytes_image));
		progress_add(ret, "  ", "", rest);
	}
	/* A bar that wraps can't be erased. */
	if (width < PROGRESS_TEXT && width)
		ret[width - 1] = '\0';
}

void progress_line(const struct progress *p, const struct mfd_stats *stats,
		   char ret[static PROGRESS_TEXT])
{
	char text[FORMAT_TEXT];

	ret[0] = '\0';
	if (stats->phase != MFD_CONNECTING && !progress_size_known(stats)) {
		progress_add(ret, ", ", "", format_image_size(text, stats->bytes_done));
	} else if (stats->phase != MFD_CONNECTING) {
		snprintf(ret, PROGRESS_TEXT, "%u %%",
			 format_percent(stats->bytes_done, stats->bytes_image));
		progress_add(ret, ", ", "", format_image_size(text, stats->bytes_done));
		progress_add(ret, " of ", "", format_image_size(text, stats->bytes_image));
	}
	progress_add_rest(p, stats, ", ", ret);
}
