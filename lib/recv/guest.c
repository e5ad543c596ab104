/* SPDX-License-Identifier: MIT */
/*
 * Who comes in from the lobby: a sender that gets a session, is refused one, or only asks what
 * became of its last; a data connection; a stranger.  Until WELCOME nobody changes anything.
 */
#include "recv/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* How long a sender may take to close when it has heard that all was done before. */
#define REMIND_MS 2000

void recv_guest_dropped(struct recv_session *s, const struct lobby_guest *guest,
			const struct mfd_error *why)
{
	char text[ADDRESS_TEXT + MFD_ERROR_TEXT + 16];

	snprintf(text, sizeof(text), "%s: dropped: %s", guest->who, why->text);
	recv_notice(s, MFD_NOTICE_DROPPED, 0, text);
}

static void dismiss(struct lobby_guest *guest)
{
	control_free(guest->control);
	if (guest->channel)
		guest->channel->ops->free(guest->channel);
	guest->control = NULL;
	guest->channel = NULL;
}

/*
 * No session for this one.  A few bytes always fit the socket's buffer; nobody waits for a
 * stranger.
 */
static void refuse(struct recv_session *s, struct lobby_guest *guest, const struct mfd_error *why)
{
	struct wire_message m = { .type = WIRE_REFUSE };

	m.problem.status = (uint16_t)why->status;
	snprintf(m.problem.text, sizeof(m.problem.text), "%s", why->text);
	if (control_queue(guest->control, &m))
		control_flush(guest->control, 0);
	recv_guest_dropped(s, guest, why);
	dismiss(guest);
}

static bool make_threads(struct recv_session *s, uint32_t channels, struct mfd_error *err)
{
	const size_t bytes = channels * sizeof(*s->thread);

	s->thread = aligned_alloc(64, bytes); /* counters have cache lines of their own */
	if (!s->thread)
		return error_set(err, MFD_OS, "out of memory");
	memset(s->thread, 0, bytes);
	for (uint32_t i = 0; i < channels; i++) {
		s->thread[i].session = s;
		s->thread[i].id = i;
	}
	return true;
}

static bool start_control(struct recv_session *s, struct mfd_error *err)
{
	int e = pthread_create(&s->control_thread, NULL, recv_control_main, s);

	if (e)
		return error_set_os(err, MFD_OS, e, "can't start the control thread");
	s->control_running = true;
	return true;
}

/* WELCOME: from here on a failure ends both ends. */
static bool welcome(struct recv_session *s, struct lobby_guest *guest,
		    const struct wire_welcome *terms, struct mfd_error *err)
{
	struct wire_message m = { .type = WIRE_WELCOME, .welcome = *terms };
	const struct wire_hello *h = &guest->hello;

	if (!make_threads(s, h->channels, err))
		return false;
	s->hello = *h;
	s->page_limit = batch_pages_of(h->size != MFD_UNKNOWN                ? h->size
				       : s->params.max_size < WIRE_MAX_IMAGE ? s->params.max_size
									     : WIRE_MAX_IMAGE);
	s->control = guest->control;
	guest->control = NULL;
	s->control->channel = s->params.wrap(s->params.wrap_opaque, UINT32_MAX,
					     s->control->channel);
	control_begin(s->control, s->params.timeout_ms, h->timeout_ms);
	counter_set(&s->bytes_image, h->size);
	counter_set(&s->channels, h->channels);
	counter_set(&s->phase, MFD_MOVING);
	counter_publish(&s->began_ns, clock_ns());
	if (!control_queue(s->control, &m))
		return error_set(err, MFD_BUG, "no room for WELCOME");
	return start_control(s, err);
}

/* Can the output hold what HELLO announces? */
static bool begin_sink(struct recv_session *s, struct mfd_error *err)
{
	if (s->hello.size != MFD_UNKNOWN && s->hello.size > s->params.max_size)
		return error_set(err, MFD_CANT_CREATE,
				 "the image has %" PRIu64 " bytes, --max-size allows %" PRIu64,
				 s->hello.size, s->params.max_size);
	return s->sink->ops->begin(s->sink, s->hello.size, s->hello.allocated, err);
}

static bool has_name(const struct wire_hello *h, const struct recv_finished *f)
{
	return h->region[0].name_bytes == f->name_bytes &&
	       !memcmp(h->region[0].name, f->name, f->name_bytes);
}

/* What is in place already is what this sender did not hear of. */
static bool is_finished(const struct recv_session *s, const struct wire_hello *h)
{
	const struct recv_finished *f = s->params.finished;

	return f && h->ended && h->ended_size == f->size && h->ended_hash == f->image_hash &&
	       has_name(h, f);
}

/* A sender that was killed and started anew: it knows of no END, but it may have the same image. */
static bool may_be_finished(const struct recv_session *s, const struct wire_hello *h)
{
	const struct recv_finished *f = s->params.finished;

	return !s->params.remind_only && has_name(h, f) &&
	       (h->size == f->size || h->size == MFD_UNKNOWN);
}

/* Tell it.  Nothing else is going on here. */
static void remind(struct recv_session *s, struct lobby_guest *guest)
{
	const uint64_t deadline = clock_ns() + REMIND_MS * CLOCK_NS_PER_MS;
	struct wire_message m = { .type = WIRE_COMMITTED };

	m.committed = (struct wire_committed){ s->params.finished->size,
					       s->params.finished->image_hash };
	if (control_queue(guest->control, &m) && control_flush(guest->control, deadline)) {
		control_linger(guest->control, deadline);
		s->reminded = true;
	}
	dismiss(guest);
}

/* Someone wants a session.  False: it has begun, and failed. */
static bool on_hello(struct recv_session *s, struct lobby_guest *guest, struct mfd_error *err)
{
	struct wire_welcome terms;
	struct mfd_error why;

	if (s->control) {
		error_set(&why, MFD_TRY_AGAIN, "busy with another sender");
		refuse(s, guest, &why);
		return true;
	}
	if (is_finished(s, &guest->hello)) {
		remind(s, guest);
		return true;
	}
	if (s->params.finished && !may_be_finished(s, &guest->hello)) {
		error_set(&why, MFD_TRY_AGAIN, "another image has just been put in place here");
		refuse(s, guest, &why);
		return true;
	}
	if (!recv_hello(s, &guest->hello, &terms, &why)) {
		refuse(s, guest, &why);
		return true;
	}
	if (!welcome(s, guest, &terms, err) || !begin_sink(s, err)) {
		dismiss(guest);
		return false;
	}
	recv_notice(s, MFD_NOTICE_STARTED, 0, guest->who);
	return true;
}

bool recv_guest(struct recv_session *s, struct lobby_guest *guest, struct mfd_error *err)
{
	struct mfd_error why;

	if (guest->control)
		return on_hello(s, guest, err);
	if (!(guest->preamble.role == WIRE_ROLE_HASHES ? recv_attach_hashes(s, guest, &why)
						       : recv_attach(s, guest, &why))) {
		recv_guest_dropped(s, guest, &why);
		dismiss(guest);
	}
	return true;
}
