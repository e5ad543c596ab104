/* SPDX-License-Identifier: MIT */
/*
 * The public API's receiving half: validates what the user chose, opens the sink and introduces it
 * to a session; and to another one when that was lost (--resume).
 */
#include "mfd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "again.h"
#include "base/confine.h"
#include "base/cpus.h"
#include "mfd_common.h"
#include "net/address.h"
#include "net/congestion.h"
#include "net/listen.h"
#include "recv/session.h"
#include "sink/sink.h"

struct mfd_recv {
	const struct mfd_recv_options *options;
	struct recv_params params; /* its listener is none: each session has a duplicate of ours */
	struct listener listener;
	struct again again;          /* its lock guards `session` and `finished` */
	struct sink *sink;
	struct address_range *allow;
	struct recv_session *session; /* NULL between two */
	bool finished;               /* the output is in place: what follows changes nothing */
	struct recv_finished image;  /* then */
};

static bool parse_allow(const struct mfd_recv_options *o, struct mfd_recv *recv,
			struct mfd_error *err)
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

static bool recv_check(const struct mfd_recv_options *o, struct mfd_error *err)
{
	struct address address;

	if (o->listen && !address_parse(o->listen, true, true, &address, err))
		return false;
	if (!strcmp(o->output, "-"))
		return error_set(err, MFD_USAGE,
				 "-: pages arrive out of order, so the output must be a file, a "
				 "block device or null:");
	if (!strcmp(o->output, "null:") && (o->verify || o->basis || o->delta || o->resume))
		return error_set(err, MFD_USAGE,
				 "null: keeps nothing, so --verify, --basis, --delta and --resume "
				 "are for files and devices");
	if (o->max_channels < 1 || o->max_channels > MFD_MAX_CHANNELS)
		return error_set(err, MFD_USAGE, "max channels: 1 to %u are allowed",
				 MFD_MAX_CHANNELS);
	if (o->congestion && !congestion_check(o->congestion, err))
		return false;
	return mfd_common_check_timeout(o->timeout_ms, err);
}

static bool open_sink(const struct mfd_recv *recv, struct sink **ret, struct mfd_error *err)
{
	const struct mfd_recv_options *o = recv->options;
	const struct sink_file_options file = {
		/*
		 * What we have put in place ourselves may be replaced, and is the basis; what fails
		 * then leaves nothing.
		 */
		.force = o->force || recv->finished,
		.resume = o->resume && !recv->finished,
		.basis = recv->finished && !o->inplace ? o->output : o->basis,
		.inplace = o->inplace,
		.no_fsync = o->no_fsync,
		.reread = o->verify,
		.cache = o->cache,
		.delta = o->delta || (o->resume && o->inplace),
	};

	return strcmp(o->output, "null:") ? sink_file_new(o->output, &file, ret, err)
					  : sink_null_new(ret, err);
}

/*
 * All that is opened, named or removed from now on; what a later feature needs is one more line
 * here.
 */
static bool confine(const struct mfd_recv *recv, int *ret_abi, struct mfd_error *why)
{
	const struct confine_rule rules[] = {
		{ NULL, recv->sink->directory,
		  CONFINE_READ | CONFINE_WRITE | CONFINE_CREATE | CONFINE_REMOVE },
		{ NULL, recv->sink->file, CONFINE_READ | CONFINE_WRITE },
		/* Opened once more by each session that resumes. */
		{ recv->options->resume ? recv->options->basis : NULL, -1, CONFINE_READ },
		{ recv->options->confine_remove, -1, CONFINE_REMOVE },
#ifdef MFD_LEAK_CHECK
		/* The sanitizer's search for leaks at exit. */
		{ "/proc", -1, CONFINE_READ },
#endif
	};

	return confine_thread(rules, sizeof(rules) / sizeof(rules[0]), ret_abi, why);
}

/*
 * Between the session and its user.  Who is told the port may write it down, so confinement comes
 * right after that; and nobody has been heard yet.
 */
static void notice_and_confine(void *opaque, const struct mfd_notice *n)
{
	const struct mfd_recv *recv = opaque;
	const struct mfd_recv_options *o = recv->options;
	mfd_notice_fn *notice = o->notice ? o->notice : mfd_common_no_notice;
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

static bool recv_open_port(struct mfd_recv *recv, struct mfd_error *err)
{
	const struct mfd_recv_options *o = recv->options;
	struct address address;

	if (!o->listen)
		return listen_inherit(o->listen_fds, o->listen_fd_count, &recv->listener, err);
	return address_parse(o->listen, true, true, &address, err) &&
	       listen_open(&address, o->family, &recv->listener, err);
}

/*
 * Who resumes listens in between sessions too; else whoever knocks when the image is there is
 * turned away.
 */
static bool recv_listen(struct mfd_recv *recv, struct listener *ret, struct mfd_error *err)
{
	const struct mfd_recv_options *o = recv->options;

	if (!recv->listener.count &&
	    (!recv_open_port(recv, err) ||
	     (o->congestion && !listener_congestion(&recv->listener, o->congestion, err))))
		return false;
	if (o->resume)
		return listener_share(&recv->listener, ret, err);
	*ret = recv->listener;
	recv->listener.count = 0;
	return true;
}

/* The output first, so that nobody connects in vain. */
static bool recv_make(struct mfd_recv *recv, struct mfd_error *err)
{
	struct recv_params params = recv->params;
	struct recv_session *session;

	if (!open_sink(recv, &recv->sink, err) || !recv_listen(recv, &params.listener, err) ||
	    !recv_session_new(&params, recv->sink, &session, err))
		return false;
	pthread_mutex_lock(&recv->again.lock);
	recv->session = session;
	if (recv->again.cancel)
		recv_session_cancel(session);
	pthread_mutex_unlock(&recv->again.lock);
	return true;
}

/* A session is over; what has come stays.  @committed: and is all there is to come. */
static void recv_unmake(struct mfd_recv *recv, bool committed)
{
	struct recv_session *session = recv->session;
	struct mfd_stats stats;

	recv_session_stats(session, &stats);
	stats.resumable = !committed;
	pthread_mutex_lock(&recv->again.lock);
	if (!recv->finished)
		again_keep_locked(&recv->again, &stats);
	recv->finished = committed;
	recv->session = NULL;
	pthread_mutex_unlock(&recv->again.lock);
	recv_session_free(session);
	recv->sink->ops->free(recv->sink);
	recv->sink = NULL;
	recv->params.again = true;
}

static bool recv_begin(struct mfd_recv *recv, const struct mfd_recv_options *o,
		       struct mfd_error *err)
{
	recv->params = (struct recv_params){
		.accept_timeout_ms = o->accept_timeout_ms,
		.timeout_ms = o->timeout_ms,
		.workers = cpus_usable(),
		.verify = o->verify,
		.forget = o->cache != MFD_CACHE_KEEP,
		.resume = o->resume,
		.max_channels = o->max_channels,
		.max_size = o->max_size ? o->max_size : UINT64_MAX,
		.notice = notice_and_confine,
		.opaque = recv,
		.wrap = channel_wrap_nothing,
	};
	if (!again_init(&recv->again, err) || !recv_check(o, err) || !parse_allow(o, recv, err))
		return false;
	recv->params.rules = (struct lobby_rules){ recv->allow, o->allow_count };
	return recv_make(recv, err);
}

bool mfd_recv_new(const struct mfd_recv_options *options, struct mfd_recv **ret,
		  struct mfd_error *err)
{
	struct mfd_recv *recv = calloc(1, sizeof(*recv));

	if (!recv)
		return error_set(err, MFD_OS, "out of memory");
	recv->options = options;
	if (!recv_begin(recv, options, err)) {
		mfd_recv_free(recv);
		return false;
	}
	*ret = recv;
	return true;
}

/*
 * After a session that was lost: another one.  False when there is to be none, for the reason in
 * *err.
 */
static bool recv_come_back(struct mfd_recv *recv, struct mfd_error *err)
{
	char text[MFD_ERROR_TEXT + 40];
	struct mfd_error why;

	if (!recv->options->resume || !recv_session_began(recv->session) || !again_is_worth(err) ||
	    again_cancelled(&recv->again))
		return false;
	snprintf(text, sizeof(text), "%s%s; listening again", err->remote ? "remote: " : "",
		 err->text);
	mfd_common_warn(recv->options->notice, recv->options->opaque, text);
	recv_unmake(recv, false);
	if (recv_make(recv, &why))
		return true;
	*err = why;
	return false;
}

/*
 * The image is in place, and the sender may not know.  For as long as it may take it to notice and
 * come back there is somebody to tell it; whatever comes of that, our verdict stands.
 */
static void recv_await_return(struct mfd_recv *recv)
{
	const uint64_t wait_ms = 2 * recv->params.timeout_ms;
	struct mfd_error ignored;

	if (recv_session_confirmed(recv->session))
		return;
	recv_session_finished(recv->session, &recv->image);
	recv->params.finished = &recv->image;
	/* In place another session would spoil what is finished. */
	recv->params.remind_only = recv->options->inplace || strcmp(recv->sink->ops->kind, "file");
	if (!recv->params.accept_timeout_ms || recv->params.accept_timeout_ms > wait_ms)
		recv->params.accept_timeout_ms = wait_ms;
	mfd_common_warn(recv->options->notice, recv->options->opaque,
		    "committed, but the sender may not know: listening for its return");
	do {
		recv_unmake(recv, true);
	} while (recv_make(recv, &ignored) && recv_session_run(recv->session, &ignored) &&
		 !recv_session_confirmed(recv->session));
}

bool mfd_recv_run(struct mfd_recv *recv, struct mfd_error *err)
{
	mfd_common_warn(recv->options->notice, recv->options->opaque, recv->sink->warning);
	do {
		if (recv_session_run(recv->session, err)) {
			if (recv->options->resume)
				recv_await_return(recv);
			return true;
		}
	} while (recv_come_back(recv, err));
	return false;
}

void mfd_recv_cancel(struct mfd_recv *recv)
{
	pthread_mutex_lock(&recv->again.lock);
	recv->again.cancel = true;
	event_raise(&recv->again.cancelled);
	if (recv->session)
		recv_session_cancel(recv->session);
	pthread_mutex_unlock(&recv->again.lock);
}

void mfd_recv_stats(struct mfd_recv *recv, struct mfd_stats *ret)
{
	pthread_mutex_lock(&recv->again.lock);
	if (recv->session && !recv->finished) {
		recv_session_stats(recv->session, ret);
		ret->resumable = recv->options->resume && !ret->committed &&
				 (ret->bytes_done || recv->params.again);
		again_add_locked(&recv->again, ret);
	} else {
		*ret = recv->again.last;
	}
	pthread_mutex_unlock(&recv->again.lock);
}

void mfd_recv_free(struct mfd_recv *recv)
{
	if (!recv)
		return;
	recv_session_free(recv->session);
	if (recv->sink)
		recv->sink->ops->free(recv->sink);
	listener_close(&recv->listener);
	again_destroy(&recv->again);
	free(recv->allow);
	free(recv);
}
