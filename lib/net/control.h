/* SPDX-License-Identifier: MIT */
/*
 * The control connection as both ends run it: frames in, frames out, the rhythm of heartbeats and
 * the peer's silence, all in one poll(2).  One thread owns a struct control; it never blocks
 * anywhere else.
 */
#ifndef MFD_NET_CONTROL_H
#define MFD_NET_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/event.h"
#include "net/channel.h"
#include "wire/wire.h"

/*
 * Room for some of the longest messages; a peer that does not read any more only loses
 * acknowledgements, which are cumulative.
 */
#define CONTROL_OUT_BYTES (8 * WIRE_MAX_FRAME)

struct control {
	struct channel *channel;     /* owned */
	/* the peer is gone when it has said nothing for so long; CLOCK_NEVER: wait for ever */
	uint64_t silence_ns;
	uint64_t beat_ns;            /* how often we have to speak */
	uint64_t heard_ns;           /* when the peer last did */
	uint64_t next_beat_ns;
	size_t in_used;
	size_t out_used;
	uint8_t in[WIRE_MAX_FRAME];
	uint8_t out[CONTROL_OUT_BYTES];
};

/*
 * Heap-allocated because of its buffers; owns @channel from now on, also on failure.  Until
 * control_begin() it knows no rhythm.
 */
bool control_new(struct channel *channel, struct control **ret,
		 struct mfd_error *err) MFD_MUST_CHECK;
void control_free(struct control *c);

/*
 * The session begins: our own patience, and the peer's, of which we use a quarter, at most a
 * second.
 */
void control_begin(struct control *c, uint64_t timeout_ms, uint64_t peer_timeout_ms);

/* Is there room for a message that may be left out when there is none? */
bool control_has_room(const struct control *c);

/* Queue a message; it leaves during control_wait().  False if the peer has stopped reading. */
bool control_queue(struct control *c, const struct wire_message *m) MFD_MUST_CHECK;

/* Queue raw bytes: the preamble. */
void control_queue_bytes(struct control *c, const void *bytes, size_t size);

enum control_event {
	CONTROL_MESSAGE,             /* *ret */
	CONTROL_BEAT,                /* say something now: a heartbeat is due */
	CONTROL_ATTENTION,           /* @attention is raised; the caller clears it */
	CONTROL_DEADLINE,            /* the caller's deadline has passed */
	/* *err: end of the stream, connection lost, silence, or not our protocol */
	CONTROL_LOST,
};

/*
 * Wait for the next event, sending what is queued meanwhile.  Messages that are here already come
 * before everything else, so that an ERROR is seen before the end of the stream that follows it.
 * @attention may be NULL.
 */
enum control_event control_wait(struct control *c, const struct event *attention,
				uint64_t deadline_ns, struct wire_message *ret,
				struct mfd_error *err);

/* Send what is queued, without waiting longer than until @deadline_ns; true if all of it left. */
bool control_flush(struct control *c, uint64_t deadline_ns);

/*
 * After the last message: wait for the peer to close, so that closing with unread bytes does not
 * cost it our last message.
 */
void control_linger(struct control *c, uint64_t deadline_ns);

/*
 * The last message of a session that failed: ERROR with the error's class and text, and a moment
 * for the peer to take it.  Bounded by CONTROL_TELL_MS, because a stopped peer must not keep us.
 */
#define CONTROL_TELL_MS 300
void control_tell(struct control *c, const struct mfd_error *error);

/* What a REFUSE or ERROR message says, as an error of ours marked remote. */
void control_remote_error(const struct wire_problem *problem, struct mfd_error *err);

#endif
