/* SPDX-License-Identifier: MIT */
/*
 * What a transfer came to, in words.
 */
#include "summary.h"

#include <inttypes.h>
#include <stdio.h>

#include "format.h"

static double summary_seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

/* What a process was frozen for, and a comma; nothing where there is none. */
static const char *summary_downtime(char text[static FORMAT_TEXT], uint64_t ns)
{
	text[0] = '\0';
	if (ns != MFD_UNKNOWN)
		snprintf(text, FORMAT_TEXT, "downtime %.3f s, ", summary_seconds(ns));
	return text;
}

/* What the receiver had already, and what it cost to find that out; nothing where nobody asked. */
static const char *summary_kept(const struct mfd_stats *stats, uint64_t pages,
				char ret[static SUMMARY_TEXT / 4])
{
	char hashes[FORMAT_TEXT];

	ret[0] = '\0';
	if (stats->bytes_hashes)
		snprintf(ret, SUMMARY_TEXT / 4, "%u %% kept, %s of hashes and ",
			 format_share(stats->pages_kept, pages),
			 format_bytes(hashes, (double)stats->bytes_hashes));
	return ret;
}

void summary_text(const struct mfd_stats *stats, char ret[static SUMMARY_TEXT])
{
	char size[FORMAT_TEXT], wire[FORMAT_TEXT], ratio[FORMAT_TEXT], rate[FORMAT_TEXT];
	char channels[FORMAT_TEXT], method[FORMAT_TEXT], downtime[FORMAT_TEXT];
	char failovers[FORMAT_TEXT] = "";
	const bool known = stats->bytes_image != MFD_UNKNOWN;
	const uint64_t bytes = known ? stats->bytes_image : stats->bytes_done;
	const uint64_t pages = stats->pages_zero + stats->pages_data + stats->pages_kept;
	char kept[SUMMARY_TEXT / 4];

	if (stats->failovers)
		snprintf(failovers, sizeof(failovers), ", %" PRIu64 " failover%s", stats->failovers,
			 stats->failovers == 1 ? "" : "s");
	snprintf(ret, SUMMARY_TEXT,
		 "%s, %u %% zero, %s%s on the wire (%s), %.2f s, %s%s, %s, %s%s, hash %016" PRIx64
		 "%s",
		 format_image_size(size, bytes), format_share(stats->pages_zero, pages),
		 summary_kept(stats, pages, kept), format_bytes(wire, (double)stats->bytes_wire),
		 format_ratio(ratio, bytes, stats->bytes_wire + stats->bytes_hashes),
		 summary_seconds(stats->elapsed_ns),
		 summary_downtime(downtime, stats->downtime_ns),
		 format_rate(rate, bytes, stats->elapsed_ns),
		 format_channels(channels, stats->channels), format_method(method, stats),
		 failovers, stats->hash, stats->committed ? ", committed" : "");
}

void summary_channel(const struct mfd_stats *stats, unsigned channel, char ret[static SUMMARY_TEXT])
{
	const struct mfd_channel_stats *c = &stats->channel[channel];
	char bytes[FORMAT_TEXT];

	snprintf(ret, SUMMARY_TEXT,
		 "channel %u: %" PRIu64 " packets, %s; waits: source %.2f s, sink %.2f s, "
		 "codec %.2f s, socket %.2f s, hand-off %.2f s",
		 channel, c->packets, format_bytes(bytes, (double)c->bytes),
		 summary_seconds(c->wait_source_ns), summary_seconds(c->wait_sink_ns),
		 summary_seconds(c->wait_codec_ns), summary_seconds(c->wait_socket_ns),
		 summary_seconds(c->wait_handoff_ns));
}

void summary_bound(const struct mfd_stats *stats, char ret[static SUMMARY_TEXT])
{
	static const char *const names[] = {
		"reading the source", "writing the output", "zero test, hash and codec",
		"the network",        "waiting for work",
	};
	uint64_t total[sizeof(names) / sizeof(names[0])] = { 0 };
	unsigned most = 0;

	for (unsigned i = 0; i < stats->channels; i++) {
		total[0] += stats->channel[i].wait_source_ns;
		total[1] += stats->channel[i].wait_sink_ns;
		total[2] += stats->channel[i].wait_codec_ns;
		total[3] += stats->channel[i].wait_socket_ns;
		total[4] += stats->channel[i].wait_handoff_ns;
	}
	for (unsigned i = 1; i < sizeof(names) / sizeof(names[0]); i++)
		if (total[i] > total[most])
			most = i;
	if (stats->flush_ns > total[most] / (stats->channels ? stats->channels : 1))
		snprintf(ret, SUMMARY_TEXT, "bound by flushing the output: %u %% of the time",
			 format_share(stats->flush_ns, stats->elapsed_ns));
	else
		snprintf(ret, SUMMARY_TEXT,
			 "bound by %s: %u %% of the channels' time; flushing took %.2f s",
			 names[most],
			 format_share(total[most], stats->elapsed_ns * stats->channels),
			 summary_seconds(stats->flush_ns));
}

/* Of more rounds than these only the first and the last half are named. */
#define SUMMARY_ROUNDS 8u

/* "262150, 5120 and 98"; "1, 2, 3, 4, ... 7, 8, 9 and 10". */
static void summary_rounds(const struct mfd_stats *stats, char ret[static SUMMARY_TEXT])
{
	const unsigned n = stats->rounds < MFD_MAX_ROUNDS ? stats->rounds : MFD_MAX_ROUNDS;
	const bool many = n > SUMMARY_ROUNDS;
	size_t used = 0;

	ret[0] = '\0';
	for (unsigned i = 0; i < n && used < SUMMARY_TEXT; i++) {
		if (many && i == SUMMARY_ROUNDS / 2) {
			used += (size_t)snprintf(ret + used, SUMMARY_TEXT - used, ", ...");
			i = n - SUMMARY_ROUNDS / 2;
		}
		used += (size_t)snprintf(ret + used, SUMMARY_TEXT - used, "%s%" PRIu64,
					 i == 0 ? "" : i == n - 1 ? " and " :
					 many && i == n - SUMMARY_ROUNDS / 2 ? " " : ", ",
					 stats->round_pages[i]);
	}
}

bool summary_live(const struct mfd_stats *stats, char ret[static SUMMARY_TEXT])
{
	char rounds[SUMMARY_TEXT], rate[FORMAT_TEXT];

	if (!*stats->tracker)
		return false;
	summary_rounds(stats, rounds);
	snprintf(ret, SUMMARY_TEXT, "live: %u rounds of %.150s pages, %s/s changing, found by %s",
		 stats->rounds, rounds, format_bytes(rate, (double)stats->dirty_rate),
		 stats->tracker);
	return true;
}
