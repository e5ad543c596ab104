/* SPDX-License-Identifier: MIT */
/*
 * The public API: validates what the user chose, opens source or sink and introduces them to a session.
 */
#include "mfd.h"

#include <stdio.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/cpus.h"
#include "net/address.h"
#include "net/congestion.h"
#include "net/listen.h"
#include "recv/session.h"
#include "send/session.h"
#include "sink/sink.h"
#include "source/source.h"

#define MIN_PACKET_BYTES (64u << 10)
#define MIN_TIMEOUT_MS 100u

/* 64 pages: a sender thread's working set then stays in L2 next to the other threads of its core. */
#define DEFAULT_PACKET_BYTES (1u << 20)

/* More than these need more than one network path to be worth anything. */
#define DEFAULT_MAX_CHANNELS 8u

static void no_notice(void *opaque, const struct mfd_notice *notice)
{
	(void)opaque;
	(void)notice;
}

static void warn(mfd_notice_fn *notice, void *opaque, const char *text)
{
	if (notice && text)
		notice(opaque, &(struct mfd_notice){ .kind = MFD_NOTICE_WARNING, .text = text });
}

const char *mfd_version(void)
{
	return MFD_VERSION;
}

unsigned mfd_default_channels(void)
{
	unsigned cpus = cpus_usable();

	return cpus < DEFAULT_MAX_CHANNELS ? cpus : DEFAULT_MAX_CHANNELS;
}

static bool check_timeout(uint64_t timeout_ms, struct mfd_error *err)
{
	if (timeout_ms < MIN_TIMEOUT_MS || timeout_ms > WIRE_MAX_TIMEOUT_MS)
		return error_set(err, MFD_USAGE, "timeout: 100 ms to 24 h are allowed");
	return true;
}

/* ---- Sender. ---- */

struct mfd_send {
	const struct mfd_send_options *options;
	struct source *source;
	struct send_session *session;
};

static bool send_check(const struct mfd_send_options *o, struct send_params *ret, struct mfd_error *err)
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
		.notice = o->notice ? o->notice : no_notice, .opaque = o->opaque,
		.wrap = channel_wrap_nothing,
	};
	if (!address_parse(o->address, false, false, &address, err))
		return false;
	if (ret->channels > MFD_MAX_CHANNELS)
		return error_set(err, MFD_USAGE, "channels: 1 to %u are allowed", MFD_MAX_CHANNELS);
	if (packet < MIN_PACKET_BYTES || packet > BATCH_MAX_BYTES)
		return error_set(err, MFD_USAGE, "packet size: 64K to 4M are allowed");
	if (!ret->method)
		return error_set(err, MFD_USAGE, "method %s is unknown: auto, none, zlib and zstd are there", o->method);
	ret->level = o->level == MFD_LEVEL_DEFAULT ? ret->method->level_default : o->level;
	if (o->level != MFD_LEVEL_DEFAULT && !method_check_level(ret->method, o->level, err))
		return false;
	if (o->congestion && !congestion_check(o->congestion, err))
		return false;
	return check_timeout(o->timeout_ms, err);
}

/* "pid:PID" names a process; a file of such a name is ./pid:PID. */
#define PROCESS_PREFIX "pid:"

static bool is_process(const char *image)
{
	return !strncmp(image, PROCESS_PREFIX, strlen(PROCESS_PREFIX));
}

static bool parse_process(const char *image, pid_t *ret, struct mfd_error *err)
{
	const char *digits = image + strlen(PROCESS_PREFIX);
	char *end;
	long pid;

	errno = 0;
	pid = strtol(digits, &end, 10);
	if (*digits < '1' || *digits > '9' || *end || errno || pid > INT_MAX)
		return error_set(err, MFD_USAGE, "%s: pid:PID is a process by its ID", image);
	*ret = (pid_t)pid;
	return true;
}

static bool open_process(const struct mfd_send_options *o, struct source **ret, struct mfd_error *err)
{
	struct source_process_options process = {
		.filter_given = o->filter_given, .filter = o->filter, .max_freeze_ms = o->max_freeze_ms,
		.notice = o->notice ? o->notice : no_notice, .opaque = o->opaque,
	};

	if (o->filter_given && o->filter > MFD_FILTER_ALL)
		return error_set(err, MFD_USAGE, "filter: 0 to %x are allowed", MFD_FILTER_ALL);
	return parse_process(o->image, &process.pid, err) && source_process_new(&process, ret, err);
}

static bool open_source(const struct mfd_send_options *o, struct source **ret, struct mfd_error *err)
{
	if (is_process(o->image))
		return open_process(o, ret, err);
	if (o->filter_given || o->max_freeze_ms)
		return error_set(err, MFD_USAGE, "%s is no process: filter and freeze are for pid:PID", o->image);
	if (strcmp(o->image, "-"))
		return source_file_new(o->image, o->cache, ret, err);
	return source_stream_new(STDIN_FILENO, ret, err);
}

bool mfd_send_new(const struct mfd_send_options *options, struct mfd_send **ret, struct mfd_error *err)
{
	struct send_params params;
	struct mfd_send *send;

	if (!send_check(options, &params, err))
		return false;
	send = calloc(1, sizeof(*send));
	if (!send)
		return error_set(err, MFD_OS, "out of memory");
	send->options = options;
	if (!open_source(options, &send->source, err) || !send_session_new(&params, send->source, &send->session, err)) {
		mfd_send_free(send);
		return false;
	}
	*ret = send;
	return true;
}

bool mfd_send_run(struct mfd_send *send, struct mfd_error *err)
{
	const struct mfd_send_options *o = send->options;

	warn(o->notice, o->opaque, send->source->info.warning);
	if (o->cache != MFD_CACHE_KEEP && !send->source->info.rereadable)
		warn(o->notice, o->opaque, "--cache: standard input is read as it comes");
	if (o->cache != MFD_CACHE_KEEP && is_process(o->image))
		warn(o->notice, o->opaque, "--cache: a process's memory is read as it is");
	return send_session_run(send->session, err);
}

void mfd_send_cancel(struct mfd_send *send)
{
	send_session_cancel(send->session);
}

void mfd_send_stats(const struct mfd_send *send, struct mfd_stats *ret)
{
	send_session_stats(send->session, ret);
}

void mfd_send_free(struct mfd_send *send)
{
	if (!send)
		return;
	send_session_free(send->session);
	if (send->source)
		send->source->ops->free(send->source);
	free(send);
}

/* ---- Receiver. ---- */

struct mfd_recv {
	const struct mfd_recv_options *options;
	struct sink *sink;
	struct address_range *allow;
	struct recv_session *session;
};

static bool parse_allow(const struct mfd_recv_options *o, struct mfd_recv *recv, struct mfd_error *err)
{
	recv->allow = calloc(o->allow_count + 1, sizeof(*recv->allow));
	if (!recv->allow)
		return error_set(err, MFD_OS, "out of memory");
	for (size_t i = 0; i < o->allow_count; i++) {
		if (!address_range_parse(o->allow[i], &recv->allow[i], err))
			return false;
	}
	return true;
}

static bool recv_check(const struct mfd_recv_options *o, struct address *ret_address, struct mfd_error *err)
{
	if (o->listen && !address_parse(o->listen, true, true, ret_address, err))
		return false;
	if (!strcmp(o->output, "-"))
		return error_set(err, MFD_USAGE, "-: pages arrive out of order, so the output must be a file, a block device or null:");
	if (!strcmp(o->output, "null:") && (o->verify || o->basis || o->delta))
		return error_set(err, MFD_USAGE, "null: keeps nothing, so --verify, --basis and --delta are for files and devices");
	if (o->max_channels < 1 || o->max_channels > MFD_MAX_CHANNELS)
		return error_set(err, MFD_USAGE, "max channels: 1 to %u are allowed", MFD_MAX_CHANNELS);
	if (o->congestion && !congestion_check(o->congestion, err))
		return false;
	return check_timeout(o->timeout_ms, err);
}

static bool open_sink(const struct mfd_recv_options *o, struct sink **ret, struct mfd_error *err)
{
	const struct sink_file_options file = { .force = o->force, .inplace = o->inplace, .no_fsync = o->no_fsync,
						.delta = o->delta, .reread = o->verify, .basis = o->basis, .cache = o->cache };

	return strcmp(o->output, "null:") ? sink_file_new(o->output, &file, ret, err) : sink_null_new(ret, err);
}

/* All that is opened, named or removed from now on; what a later feature needs is one more line here. */
static bool confine(const struct mfd_recv *recv, int *ret_abi, struct mfd_error *why)
{
	const struct confine_rule rules[] = {
		{ NULL, recv->sink->directory, CONFINE_READ | CONFINE_WRITE | CONFINE_CREATE | CONFINE_REMOVE },
		{ NULL, recv->sink->file, CONFINE_READ | CONFINE_WRITE },
		{ recv->options->confine_remove, -1, CONFINE_REMOVE },
#ifdef MFD_LEAK_CHECK
		/* The sanitizer's search for leaks at exit. */
		{ "/proc", -1, CONFINE_READ },
#endif
	};

	return confine_thread(rules, sizeof(rules) / sizeof(rules[0]), ret_abi, why);
}

/*
 * Between the session and its user.  Who is told the port may write it down, so confinement comes right after that; and nobody has
 * been heard yet.
 */
static void notice_and_confine(void *opaque, const struct mfd_notice *n)
{
	const struct mfd_recv *recv = opaque;
	const struct mfd_recv_options *o = recv->options;
	mfd_notice_fn *notice = o->notice ? o->notice : no_notice;
	char text[MFD_ERROR_TEXT + 64];
	struct mfd_error why;
	int abi;

	notice(o->opaque, n);
	if (n->kind != MFD_NOTICE_LISTENING || !o->confine)
		return;
	if (confine(recv, &abi, &why))
		snprintf(text, sizeof(text), "confined by Landlock (ABI %d)", abi);
	else
		snprintf(text, sizeof(text), "not confined: %s", why.text);
	notice(o->opaque, &(struct mfd_notice){ .kind = MFD_NOTICE_CONFINED, .text = text });
}

static bool recv_make(struct mfd_recv *recv, const struct mfd_recv_options *o, struct mfd_error *err)
{
	struct recv_params params = {
		.accept_timeout_ms = o->accept_timeout_ms, .timeout_ms = o->timeout_ms,
		.verify = o->verify, .forget = o->cache != MFD_CACHE_KEEP,
		.max_channels = o->max_channels, .max_size = o->max_size ? o->max_size : UINT64_MAX,
		.notice = notice_and_confine, .opaque = recv,
		.wrap = channel_wrap_nothing,
	};
	struct address address;

	if (!recv_check(o, &address, err) || !parse_allow(o, recv, err) || !open_sink(o, &recv->sink, err))
		return false;
	params.rules = (struct lobby_rules){ recv->allow, o->allow_count };
	return (o->listen ? listen_open(&address, o->family, &params.listener, err) :
		listen_inherit(o->listen_fds, o->listen_fd_count, &params.listener, err)) &&
		recv_session_new(&params, recv->sink, &recv->session, err) &&
		(!o->congestion || listener_congestion(&params.listener, o->congestion, err));
}

bool mfd_recv_new(const struct mfd_recv_options *options, struct mfd_recv **ret, struct mfd_error *err)
{
	struct mfd_recv *recv = calloc(1, sizeof(*recv));

	if (!recv)
		return error_set(err, MFD_OS, "out of memory");
	recv->options = options;
	if (!recv_make(recv, options, err)) {
		mfd_recv_free(recv);
		return false;
	}
	*ret = recv;
	return true;
}

bool mfd_recv_run(struct mfd_recv *recv, struct mfd_error *err)
{
	warn(recv->options->notice, recv->options->opaque, recv->sink->warning);
	return recv_session_run(recv->session, err);
}

void mfd_recv_cancel(struct mfd_recv *recv)
{
	recv_session_cancel(recv->session);
}

void mfd_recv_stats(const struct mfd_recv *recv, struct mfd_stats *ret)
{
	recv_session_stats(recv->session, ret);
}

void mfd_recv_free(struct mfd_recv *recv)
{
	if (!recv)
		return;
	recv_session_free(recv->session);
	if (recv->sink)
		recv->sink->ops->free(recv->sink);
	free(recv->allow);
	free(recv);
}
