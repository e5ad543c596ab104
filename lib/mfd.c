/* SPDX-License-Identifier: MIT */
/*
 * The public API's sending half: validates what the user chose, opens the source and introduces it
 * to a session; and to another one when that was lost (--retry).
 */
#include "mfd.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "again.h"
#include "base/cpus.h"
#include "mfd_common.h"
#include "net/address.h"
#include "net/congestion.h"
#include "send/session.h"
#include "source/snapshot.h"
#include "source/source.h"

#define MIN_PACKET_BYTES (64u << 10)

/*
 * 64 pages: a sender thread's working set then stays in L2 next to the other threads of its core.
 */
#define DEFAULT_PACKET_BYTES (1u << 20)

/* More than these need more than one network path to be worth anything. */
#define DEFAULT_MAX_CHANNELS 8u

const char *mfd_version(void)
{
	return MFD_VERSION;
}

unsigned mfd_default_channels(void)
{
	unsigned cpus = cpus_usable();

	return cpus < DEFAULT_MAX_CHANNELS ? cpus : DEFAULT_MAX_CHANNELS;
}

struct mfd_send {
	const struct mfd_send_options *options;
	struct send_params params;
	struct again again;          /* its lock guards `session` */
	struct source *source;       /* NULL between two sessions, unless it can't be opened anew */
	struct send_session *session; /* NULL between two */
};

static bool send_check(const struct mfd_send_options *o, struct send_params *ret,
		       struct mfd_error *err)
{
	const uint32_t packet = o->packet_bytes ? o->packet_bytes : DEFAULT_PACKET_BYTES;
	struct address address;

	*ret = (struct send_params){
		.address = o->address, .family = o->family,
		.channels = o->channels ? o->channels : mfd_default_channels(),
		.packet_pages = packet / PAGE_BYTES,
		.method = method_by_name(o->method),
		.connect_timeout_ms = o->connect_timeout_ms, .timeout_ms = o->timeout_ms,
		.bytes_per_second = o->bytes_per_second, .congestion = o->congestion,
		.notice = o->notice ? o->notice : mfd_common_no_notice, .opaque = o->opaque,
		.wrap = channel_wrap_nothing,
	};
	if (!address_parse(o->address, false, false, &address, err))
		return false;
	if (ret->channels > MFD_MAX_CHANNELS)
		return error_set(err, MFD_USAGE, "channels: 1 to %u are allowed", MFD_MAX_CHANNELS);
	if (packet < MIN_PACKET_BYTES || packet > BATCH_MAX_BYTES)
		return error_set(err, MFD_USAGE, "packet size: 64K to 4M are allowed");
	if (!ret->method)
		return error_set(err, MFD_USAGE,
				 "method %s is unknown: auto, none, zlib and zstd are there",
				 o->method);
	ret->level = o->level == MFD_LEVEL_DEFAULT ? ret->method->level_default : o->level;
	if (o->level != MFD_LEVEL_DEFAULT && !method_check_level(ret->method, o->level, err))
		return false;
	if (o->congestion && !congestion_check(o->congestion, err))
		return false;
	return mfd_common_check_timeout(o->timeout_ms, err);
}

/* "pid:PID" names a process; a file of such a name is ./pid:PID. */
#define PROCESS_PREFIX "pid:"

static bool is_process(const char *image)
{
	return !strncmp(image, PROCESS_PREFIX, strlen(PROCESS_PREFIX));
}

/* *ret_path: what follows the ID, from its slash on, or "". */
static bool parse_process(const char *image, pid_t *ret, const char **ret_path,
			  struct mfd_error *err)
{
	const char *digits = image + strlen(PROCESS_PREFIX);
	char *end;
	long pid;

	errno = 0;
	pid = strtol(digits, &end, 10);
	if (*digits < '1' || *digits > '9' || (*end && (*end != ':' || end[1] != '/')) || errno ||
	    pid > INT_MAX)
		return error_set(err, MFD_USAGE,
				 "%s: pid:PID is a process by its ID, pid:PID:/PATH a file it has "
				 "mapped",
				 image);
	*ret_path = *end ? end + 1 : end;
	*ret = (pid_t)pid;
	return true;
}

static bool open_process(const struct mfd_send_options *o, struct source **ret,
			 struct mfd_error *err)
{
	struct source_process_options process = {
		.filter_given = o->filter_given, .filter = o->filter,
		.max_freeze_ms = o->max_freeze_ms,
		.live = o->live, .downtime_ms = o->downtime_ms, .rounds = o->rounds,
		.trackers = o->trackers,
		.notice = o->notice ? o->notice : mfd_common_no_notice, .opaque = o->opaque,
	};
	const char *path = NULL;

	if (o->live && (o->rounds < 2 || o->rounds > MFD_MAX_ROUNDS))
		return error_set(err, MFD_USAGE, "rounds: 2 to %u are allowed", MFD_MAX_ROUNDS);
	if (o->live)
		process.copy_bytes = snapshot_default_limit();
	if (o->filter_given && o->filter > MFD_FILTER_ALL)
		return error_set(err, MFD_USAGE, "filter: 0 to %x are allowed", MFD_FILTER_ALL);
	if (!parse_process(o->image, &process.pid, &path, err))
		return false;
	if (!*path)
		return source_process_new(&process, ret, err);
	if (o->filter_given)
		return error_set(err, MFD_USAGE, "%s is no core file: filter is for pid:PID",
				 o->image);
	return source_shared_new(&process, path, ret, err);
}

/* Of a file that changes: what goes together. */
static bool check_changing(const struct mfd_send_options *o, struct mfd_error *err)
{
	const bool commands = o->freeze_command != NULL;

	if (!strcmp(o->image, "-"))
		return error_set(err, MFD_USAGE,
				 "standard input is read once: rounds and until are for files");
	if (o->rounds < 2 || o->rounds > MFD_MAX_ROUNDS)
		return error_set(err, MFD_USAGE, "rounds: 2 to %u are allowed", MFD_MAX_ROUNDS);
	if (commands != (o->thaw_command != NULL))
		return error_set(err, MFD_USAGE, "freeze-cmd and thaw-cmd: both are required");
	if (commands && o->freeze_pid)
		return error_set(err, MFD_USAGE, "one of freeze-pid and freeze-cmd is allowed");
	if (commands && !o->max_freeze_ms)
		return error_set(err, MFD_USAGE, "max-freeze: with freeze-cmd 0 is not allowed");
	if (o->max_freeze_ms && !commands && !o->freeze_pid)
		return error_set(err, MFD_USAGE,
				 "max-freeze: nobody is frozen without freeze-pid or freeze-cmd");
	return true;
}

static bool open_changing(const struct mfd_send_options *o, struct source **ret,
			  struct mfd_error *err)
{
	const struct source_changing_options changing = {
		.until_pages = o->until_pages, .rounds = o->rounds, .freeze_pid = o->freeze_pid,
		.freeze_command = o->freeze_command, .thaw_command = o->thaw_command,
		.max_freeze_ms = o->max_freeze_ms, .copy_bytes = snapshot_default_limit(),
		.notice = o->notice ? o->notice : mfd_common_no_notice, .opaque = o->opaque,
	};

	return check_changing(o, err) &&
	       source_changing_new(o->image, o->cache, &changing, ret, err);
}

static bool open_source(const struct mfd_send_options *o, struct source **ret,
			struct mfd_error *err)
{
	if (!o->changing && (o->freeze_pid || o->freeze_command || o->thaw_command))
		return error_set(err, MFD_USAGE,
				 "freeze-pid, freeze-cmd and thaw-cmd go with rounds or until");
	if (o->changing && is_process(o->image))
		return error_set(err, MFD_USAGE,
				 "%s is a process: rounds are for live, until is for files",
				 o->image);
	if (is_process(o->image))
		return open_process(o, ret, err);
	if (o->filter_given || o->live || (o->max_freeze_ms && !o->changing))
		return error_set(err, MFD_USAGE,
				 "%s is no process: filter, freeze and live are for pid:PID",
				 o->image);
	if (o->changing)
		return open_changing(o, ret, err);
	if (strcmp(o->image, "-"))
		return source_file_new(o->image, o->cache, ret, err);
	return source_stream_new(STDIN_FILENO, ret, err);
}

/*
 * A stream comes once.  Who wants to come back keeps what the receiver has not acknowledged, in as
 * many buffers as one session has without that.
 */
static bool keep_stream(struct mfd_send *send, struct mfd_error *err)
{
	struct send_params *p = &send->params;
	struct source *stream = send->source;

	if (stream->info.rereadable || !send->options->retries)
		return true;
	send->source = NULL;
	if (!replay_new(stream, p->packet_pages, p->channels * SEND_BUFFERS_PER_CHANNEL, &p->replay,
			err))
		return false;
	send->source = replay_source(p->replay);
	return true;
}

/* The source as it is now, and a session that will move it. */
static bool send_make(struct mfd_send *send, struct mfd_error *err)
{
	const struct mfd_send_options *o = send->options;
	struct send_session *session;

	if ((!send->source && (!open_source(o, &send->source, err) || !keep_stream(send, err))) ||
	    !send_session_new(&send->params, send->source, &session, err))
		return false;
	pthread_mutex_lock(&send->again.lock);
	send->session = session;
	if (send->again.cancel)
		send_session_cancel(session);
	pthread_mutex_unlock(&send->again.lock);
	return true;
}

/* What is left of a session that has failed: its figures, and whether its END was sent in vain. */
static void send_unmake(struct mfd_send *send)
{
	struct send_session *session = send->session;
	struct mfd_stats stats;
	uint64_t size, hash;

	send_session_stats(session, &stats);
	stats.resumable = send_session_resumable(session);
	if (send_session_ended(session, &size, &hash)) {
		send->params.ended = true;
		send->params.ended_size = size;
		send->params.ended_hash = hash;
	}
	pthread_mutex_lock(&send->again.lock);
	again_keep_locked(&send->again, &stats);
	send->session = NULL;
	pthread_mutex_unlock(&send->again.lock);
	send_session_free(session);
	if (send->params.replay) {
		replay_rewind(send->params.replay);
	} else {
		send->source->ops->free(send->source);
		send->source = NULL;
	}
}

bool mfd_send_new(const struct mfd_send_options *options, struct mfd_send **ret,
		  struct mfd_error *err)
{
	struct send_params params;
	struct mfd_send *send;

	if (!send_check(options, &params, err))
		return false;
	send = calloc(1, sizeof(*send));
	if (!send)
		return error_set(err, MFD_OS, "out of memory");
	send->options = options;
	send->params = params;
	if (!again_init(&send->again, err) || !send_make(send, err)) {
		mfd_send_free(send);
		return false;
	}
	*ret = send;
	return true;
}

static void send_warn_again(const struct mfd_send *send, const struct mfd_error *err, unsigned left,
			    uint64_t pause_ms)
{
	char text[MFD_ERROR_TEXT + 80], tries[40] = "";

	if (left != MFD_RETRY_FOREVER)
		snprintf(tries, sizeof(tries), ", %u %s left", left, left == 1 ? "try" : "tries");
	snprintf(text, sizeof(text), "%s%s; again in %.2f s%s", err->remote ? "remote: " : "",
		 err->text, (double)pause_ms / 1000, tries);
	mfd_common_warn(send->options->notice, send->options->opaque, text);
}

/* Is there to be another session after one that failed with @err? */
static bool send_may_come_back(struct mfd_send *send, unsigned left, const struct mfd_error *err)
{
	return left && again_is_worth(err) && !again_cancelled(&send->again) &&
	       !(send->params.replay && replay_is_lost(send->params.replay));
}

/* Something has come through that the receiver did not have. */
static bool send_progress(const struct mfd_stats *stats)
{
	return stats->bytes_done / PAGE_BYTES > stats->pages_kept + stats->pages_zero;
}

/*
 * After a session that failed: wait, and make another one.  False when there is to be none, for the
 * reason in *err.
 */
static bool send_come_back(struct mfd_send *send, unsigned *left, struct mfd_error *err)
{
	struct mfd_stats stats;
	struct mfd_error why;
	uint64_t pause_ms;

	send_session_stats(send->session, &stats);
	if (send_progress(&stats))
		*left = send->options->retries;
	if (!send_may_come_back(send, *left, err))
		return false;
	if (*left != MFD_RETRY_FOREVER)
		--*left;
	pause_ms = again_next_pause(&send->again, send_progress(&stats));
	send_warn_again(send, err, *left, pause_ms);
	send_unmake(send);
	if (!again_pause(&send->again, pause_ms))
		return error_set(err, MFD_TRY_AGAIN, "the sender was interrupted");
	if (send_make(send, &why))
		return true;
	*err = why;
	return false;
}

/* What of --cache can't be done; NULL: nothing. */
static const char *cache_warning(const struct mfd_send_options *o)
{
	if (o->cache == MFD_CACHE_KEEP)
		return NULL;
	if (!strcmp(o->image, "-"))
		return "--cache: standard input is read as it comes";
	return is_process(o->image) ? "--cache: a process's memory is read as it is" : NULL;
}

bool mfd_send_run(struct mfd_send *send, struct mfd_error *err)
{
	const struct mfd_send_options *o = send->options;
	unsigned left = o->retries;

	mfd_common_warn(o->notice, o->opaque, send->source->info.warning);
	mfd_common_warn(o->notice, o->opaque, cache_warning(o));
	do {
		if (send_session_run(send->session, err))
			return true;
	} while (send_come_back(send, &left, err));
	return false;
}

void mfd_send_cancel(struct mfd_send *send)
{
	pthread_mutex_lock(&send->again.lock);
	send->again.cancel = true;
	event_raise(&send->again.cancelled);
	if (send->session)
		send_session_cancel(send->session);
	pthread_mutex_unlock(&send->again.lock);
}

void mfd_send_stats(struct mfd_send *send, struct mfd_stats *ret)
{
	pthread_mutex_lock(&send->again.lock);
	if (send->session) {
		send_session_stats(send->session, ret);
		ret->resumable = ret->channels && !ret->committed &&
				 send_session_resumable(send->session);
		again_add_locked(&send->again, ret);
	} else {
		*ret = send->again.last;
	}
	pthread_mutex_unlock(&send->again.lock);
}

void mfd_send_free(struct mfd_send *send)
{
	if (!send)
		return;
	send_session_free(send->session);
	if (send->source)
		send->source->ops->free(send->source);
	again_destroy(&send->again);
	free(send);
}
