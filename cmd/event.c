/* SPDX-License-Identifier: MIT */
/*
 * The JSON events.
 */
#include "event.h"

#include <inttypes.h>
#include <stdio.h>

static void event_known(struct json *j, const char *key, uint64_t value)
{
	if (value != MFD_UNKNOWN)
		json_number(j, key, value);
	else
		json_null(j, key);
}

static void event_counters(struct json *j, const struct mfd_stats *stats)
{
	event_known(j, "bytes_image", stats->bytes_image);
	json_number(j, "bytes_done", stats->bytes_done);
	json_number(j, "bytes_wire", stats->bytes_wire);
	json_number(j, "pages_zero", stats->pages_zero);
	json_number(j, "pages_data", stats->pages_data);
	json_number(j, "pages_kept", stats->pages_kept);
	json_number(j, "bytes_hashes", stats->bytes_hashes);
	json_number(j, "rounds", stats->rounds);
	json_number(j, "failovers", stats->failovers);
	json_number(j, "elapsed_ns", stats->elapsed_ns);
	json_number(j, "flush_ns", stats->flush_ns);
	json_number(j, "cpu_ns", stats->cpu_ns);
}

static void event_channel(struct json *j, const struct mfd_channel_stats *c)
{
	json_object(j);
	json_number(j, "packets", c->packets);
	json_number(j, "bytes", c->bytes);
	json_number(j, "wait_source_ns", c->wait_source_ns);
	json_number(j, "wait_sink_ns", c->wait_sink_ns);
	json_number(j, "wait_codec_ns", c->wait_codec_ns);
	json_number(j, "wait_socket_ns", c->wait_socket_ns);
	json_number(j, "wait_handoff_ns", c->wait_handoff_ns);
	json_object_end(j);
}

/* How a process was copied while it ran. */
static void event_live(struct json *j, const struct mfd_stats *stats)
{
	if (*stats->tracker)
		json_string(j, "tracker", stats->tracker);
	else
		json_null(j, "tracker");
	json_number(j, "stopped_ns", stats->stopped_ns);
	json_number(j, "dirty_rate", stats->dirty_rate);
	json_array(j, "round_pages");
	for (unsigned i = 0; *stats->tracker && i < stats->rounds && i < MFD_MAX_ROUNDS; i++)
		json_number(j, NULL, stats->round_pages[i]);
	json_array_end(j);
}

/* What ends the transfer says besides the counters. */
static void event_outcome(struct json *j, const struct mfd_stats *stats)
{
	char hash[17];

	json_number(j, "channels", stats->channels);
	if (stats->channels) {
		json_string(j, "method", stats->method);
		json_signed(j, "level", stats->level);
		json_string(j, "backend", stats->backend);
	} else {
		json_null(j, "method");
		json_null(j, "level");
		json_null(j, "backend");
	}
	if (stats->committed) {
		snprintf(hash, sizeof(hash), "%016" PRIx64, stats->hash);
		json_string(j, "hash", hash);
	} else {
		json_null(j, "hash");
	}
	json_bool(j, "committed", stats->committed);
	event_known(j, "downtime_ns", stats->downtime_ns);
	event_live(j, stats);
	json_array(j, "per_channel");
	for (unsigned i = 0; i < stats->channels; i++)
		event_channel(j, &stats->channel[i]);
	json_array_end(j);
}

void event_start(struct json *j, const struct event_subject *subject, uint64_t port)
{
	json_begin(j, "start");
	json_string(j, "role", subject->receiving ? "recv" : "send");
	json_string(j, "version", mfd_version());
	json_string(j, subject->receiving ? "output" : "image", subject->file);
	json_string(j, subject->receiving ? "listen" : "address", subject->address);
	if (subject->receiving)
		json_number(j, "port", port);
	json_end(j);
}

void event_progress(struct json *j, const struct mfd_stats *stats)
{
	static const char *const phases[] = {
		[MFD_CONNECTING] = "connecting", [MFD_MOVING] = "moving",
		[MFD_FLUSHING] = "flushing", [MFD_FINISHED] = "finished",
	};

	json_begin(j, "progress");
	json_string(j, "phase", phases[stats->phase]);
	event_counters(j, stats);
	json_end(j);
}

void event_summary(struct json *j, const struct mfd_stats *stats)
{
	json_begin(j, "summary");
	event_counters(j, stats);
	event_outcome(j, stats);
	json_end(j);
}

void event_error(struct json *j, const struct mfd_stats *stats, const struct mfd_error *err)
{
	json_begin(j, "error");
	json_number(j, "status", (uint64_t)err->status);
	json_bool(j, "remote", err->remote);
	json_string(j, "message", err->text);
	json_bool(j, "resumable", stats->resumable);
	event_counters(j, stats);
	event_outcome(j, stats);
	json_end(j);
}
