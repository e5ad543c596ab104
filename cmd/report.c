/* SPDX-License-Identifier: MIT */
/*
 * All that a program says about its transfer.
 */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "format.h"
#include "summary.h"

#define REPORT_BAR_MS 100
#define REPORT_JSON_MS 1000
#define REPORT_LINE_MS 10000

/* ---- Opened and closed. ---- */

static enum report_mode report_choose_mode(const struct report_options *o)
{
	if (o->verbosity == REPORT_QUIET)
		return REPORT_NONE;
	if (o->mode == REPORT_AUTO)
		return console_is_terminal() ? REPORT_BAR : REPORT_LINE;
	return o->mode;
}

bool report_open(struct report *r, const char *program, const struct event_subject *subject,
		 const struct report_options *options, struct mfd_error *err)
{
	*r = (struct report){
		.options = options, .subject = *subject, .mode = report_choose_mode(options),
		.console = { .program = program }, .json = { .fd = -1 },
		.progress = { .receiving = subject->receiving },
	};
	pthread_mutex_init(&r->lock, NULL);
	if (!options->json)
		return true;
	r->json.fd = STDOUT_FILENO;
	if (options->json_file)
		r->json.fd = open(options->json_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
				  0666);
	return r->json.fd >= 0 ||
	       error_set_os(err, MFD_CANT_CREATE, errno, "%s", options->json_file);
}

void report_close(struct report *r)
{
	pthread_mutex_destroy(&r->lock);
}

/* ---- While it runs: the watch. ---- */

int report_period_ms(const struct report *r)
{
	if (r->mode == REPORT_BAR)
		return REPORT_BAR_MS;
	if (r->options->json)
		return REPORT_JSON_MS;
	return r->mode == REPORT_LINE ? REPORT_LINE_MS : -1;
}

/* The watch does not wait for who is writing. */
static bool report_try_lock(struct report *r)
{
	if (pthread_mutex_trylock(&r->lock))
		return false;
	if (!r->ended)
		return true;
	pthread_mutex_unlock(&r->lock);
	return false;
}

static void report_bar_locked(struct report *r, const struct mfd_stats *stats)
{
	char text[PROGRESS_TEXT];

	if (!console_ready(STDERR_FILENO))
		return;
	progress_bar(&r->progress, stats, console_width(), text);
	console_bar(&r->console, text);
}

static void report_line_locked(struct report *r, const struct mfd_stats *stats)
{
	char text[PROGRESS_TEXT];

	if (!console_ready(STDERR_FILENO))
		return;
	progress_line(&r->progress, stats, text);
	console_line(&r->console, "%s", text);
}

void report_tick(struct report *r, const struct mfd_stats *stats, uint64_t now_ms)
{
	/* A receiver may wait for days: there is nothing to log before somebody comes. */
	const bool idle = r->subject.receiving && stats->phase == MFD_CONNECTING;

	if (!report_try_lock(r))
		return;
	progress_sample(&r->progress, stats);
	if (r->mode == REPORT_BAR)
		report_bar_locked(r, stats);
	if (!r->next_line_ms)
		r->next_line_ms = now_ms + (REPORT_LINE_MS - (uint64_t)report_period_ms(r));
	if (r->mode == REPORT_LINE && now_ms >= r->next_line_ms) {
		r->next_line_ms = now_ms + REPORT_LINE_MS;
		if (!idle)
			report_line_locked(r, stats);
	}
	if (now_ms >= r->next_json_ms) {
		r->next_json_ms = now_ms + REPORT_JSON_MS;
		if (!idle && console_ready(r->json.fd))
			event_progress(&r->json, stats);
	}
	pthread_mutex_unlock(&r->lock);
}

void report_now(struct report *r, const struct mfd_stats *stats)
{
	if (!report_try_lock(r))
		return;
	progress_sample(&r->progress, stats);
	report_line_locked(r, stats);
	pthread_mutex_unlock(&r->lock);
}

/* ---- While it runs: what happens. ---- */

void report_start(struct report *r, uint64_t port)
{
	pthread_mutex_lock(&r->lock);
	event_start(&r->json, &r->subject, port);
	if (r->subject.receiving && r->options->verbosity >= REPORT_NORMAL)
		console_line(&r->console, "listening on port %" PRIu64, port);
	pthread_mutex_unlock(&r->lock);
}

void report_session(struct report *r, const struct mfd_stats *stats, const char *who)
{
	char size[FORMAT_TEXT], channels[FORMAT_TEXT], method[FORMAT_TEXT];
	const bool known = stats->bytes_image != MFD_UNKNOWN;

	if (r->options->verbosity < REPORT_VERBOSE)
		return;
	pthread_mutex_lock(&r->lock);
	console_line(&r->console, "session%s%s: %s, %s, %s", *who ? " with " : "", who,
		     known ? format_image_size(size, stats->bytes_image) : "size not known yet",
		     format_channels(channels, stats->channels), format_method(method, stats));
	pthread_mutex_unlock(&r->lock);
}

static void report_text(struct report *r, enum report_verbosity least, const char *text)
{
	if (r->options->verbosity < least)
		return;
	pthread_mutex_lock(&r->lock);
	console_line(&r->console, "%s", text);
	pthread_mutex_unlock(&r->lock);
}

void report_warning(struct report *r, const char *text)
{
	report_text(r, REPORT_NORMAL, text);
}

void report_detail(struct report *r, const char *text)
{
	report_text(r, REPORT_VERBOSE, text);
}

/* ---- The end. ---- */

static void report_summary_locked(struct report *r, const struct mfd_stats *stats)
{
	char text[SUMMARY_TEXT];

	if (r->options->verbosity >= REPORT_VERBOSE) {
		for (unsigned i = 0; i < stats->channels; i++) {
			summary_channel(stats, i, text);
			console_line(&r->console, "%s", text);
		}
		summary_bound(stats, text);
		console_line(&r->console, "%s", text);
	}
	if (r->options->verbosity >= REPORT_NORMAL) {
		if (summary_live(stats, text))
			console_line(&r->console, "%s", text);
		summary_text(stats, text);
		console_line(&r->console, "%s", text);
	}
}

/* Some file systems say only now that there was no room. */
static void report_close_json_locked(struct report *r)
{
	if (r->json.fd >= 0 && close(r->json.fd) && !r->json.error)
		r->json.error = errno;
	r->json.fd = -1;
}

/*
 * What has come is kept: the same command goes on from there.  Not where it would fail for the same
 * reason, which is what the output is or may be.
 */
static void report_way_on_locked(struct report *r, const struct mfd_stats *stats,
				 const struct mfd_error *err)
{
	if (!stats->resumable || !r->command || err->status == MFD_CANT_CREATE)
		return;
	console_line(&r->console, "%s; to go on: %s",
		     r->subject.receiving ? "what has come is kept"
					  : "the receiver keeps what it has",
		     r->command);
}

int report_end(struct report *r, const struct mfd_stats *stats, const struct mfd_error *err)
{
	int status = err ? (int)err->status : 0;

	pthread_mutex_lock(&r->lock);
	r->ended = true;
	console_erase_bar(&r->console);
	if (err) {
		event_error(&r->json, stats, err);
		console_line(&r->console, "%s%s", err->remote ? "remote: " : "", err->text);
		report_way_on_locked(r, stats, err);
	} else {
		event_summary(&r->json, stats);
		report_summary_locked(r, stats);
	}
	report_close_json_locked(r);
	if (r->json.error) {
		console_line(&r->console, "%s: %s",
			     r->options->json_file ? r->options->json_file : "standard output",
			     strerror(r->json.error));
		status = status ? status : MFD_IO;
	}
	pthread_mutex_unlock(&r->lock);
	return status;
}
