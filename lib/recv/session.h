/* SPDX-License-Identifier: MIT */
/*
 * A receiving session: what its threads share, and how it begins and ends.
 *
 *	main thread       waits in the lobby (lobby.c), lets in who has said who it is (guest.c,
 *	                  hello.c), attaches data connections and fences lost ones (attach.c), then
 *	                  commits (commit.c, verify.c); session.c is its whole life
 *	receiver threads  one per data channel: receive, decode, verify, write (thread.c, packet.c,
 *	                  keep.c)
 *	control thread    acknowledgements, rounds, heartbeats, deadlines, the peer's errors
 *	                  (control.c)
 *
 * One door out, as in a sending session: whoever fails reports to the verdict, the control thread
 * decides and raises `stop`, the main thread shuts the sockets, joins everybody and frees in
 * reverse order.
 */
#ifndef MFD_RECV_SESSION_H
#define MFD_RECV_SESSION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/event.h"
#include "compress/method.h"
#include "core/options.h"
#include "core/stats.h"
#include "core/verdict.h"
#include "net/channel.h"
#include "net/control.h"
#include "net/listen.h"
#include "recv/basis.h"
#include "recv/lobby.h"
#include "sink/sink.h"
#include "wire/wire.h"

/* An image that an earlier session has put in place, whose sender may come back to ask for it. */
struct recv_finished {
	uint64_t size, image_hash;
	uint16_t name_bytes;         /* of the region, as HELLO said */
	uint8_t name[WIRE_MAX_NAME];
};

/*
 * What a session is made from.  mfd.c fills it from the user's options, tests from whatever they
 * like.
 */
struct recv_params {
	struct listener listener;    /* the session's own from now on, also on failure */
	struct lobby_rules rules;
	uint64_t accept_timeout_ms;  /* 0: wait for ever */
	uint64_t timeout_ms;
	unsigned max_channels;
	uint64_t max_size;           /* bytes; UINT64_MAX: no limit */
	/* threads that hash, found out while that can be; 0: as many as there are CPUs */
	unsigned workers;
	bool verify;                 /* read the finished output again */
	/* what has come is kept when the session fails, says the sink */
	bool resume;
	/* not the first session: who waits for the port has been told */
	bool again;
	const struct recv_finished *finished; /* what is in place already; NULL: nothing */
	bool remind_only;            /* then: no session for anybody */
	bool forget;                 /* reading the basis leaves nothing in the page cache */
	mfd_notice_fn *notice;       /* never NULL */
	void *opaque;
	channel_wrap_fn *wrap;       /* never NULL */
	void *wrap_opaque;
};

struct recv_session;

struct recv_thread {
	/* Set before the thread starts, changed only by the main thread while none runs. */
	struct recv_session *session;
	uint32_t id;
	uint32_t generation;         /* of the connection; 0: none yet */
	struct channel *channel;
	struct method *method[METHOD_ZSTD + 1]; /* one to decode each */
	/* decoded, packet_pages pages; allocated when first attached */
	uint8_t *pages;
	uint8_t *coded;
	uint8_t *kept;               /* the same, for what the basis has; NULL without one */
	pthread_t thread;
	bool running;                /* main thread only: to be joined */

	/* Written by the thread, read by all. */
	struct channel_counters counters;
	counter received;            /* bytes on this connection, its preamble too */
	counter written;             /* packets of this connection that are written, SYNCs too */
	counter waits;               /* enum wire_waits */

	/* Guarded by the session's lock. */
	uint32_t synced;             /* rounds for which SYNC has come in on this generation */
	struct totals round_totals;  /* of the open round: what SYNC or a fence has closed */
	bool down;                   /* this generation has ended */
	bool told;                   /* and the sender has been told so */
	struct mfd_error why;        /* it ended by itself */
	/* the peer has given up the connections up to this generation; 0: none */
	uint32_t fence_wanted;
	/* main has ended the last one given up, and this is the answer; generation 0: none yet */
	struct wire_fence fence;
	bool fence_news;             /* the answer has not been given yet */

	/* This thread only. */
	uint32_t round;              /* the open one, as last seen */
	uint64_t sequence;           /* expected next */
	struct totals totals;        /* of this generation, since its last SYNC */
	uint64_t kicked;             /* `written` when the control thread was last told */
	/* the last large receive took its time: take the next in small pieces */
	bool slow;

	/* The control thread only. */
	uint64_t acked;
	uint32_t acked_generation;
};

struct recv_session {
	/* Set before the threads start, never changed. */
	struct recv_params params;
	struct sink *sink;           /* not owned */
	struct wire_hello hello;
	uint8_t token[WIRE_TOKEN_BYTES];
	bool told;                   /* WELCOME has promised hash lists, */
	uint8_t secret[WIRE_SECRET_BYTES]; /* made with this, */
	uint64_t basis_pages;        /* for so many pages */
	uint64_t page_limit;         /* pages from here on are outside the image */

	/* Between the threads. */
	struct recv_thread *thread;  /* [hello.channels] */
	struct verdict verdict;
	struct event stop;           /* the door is open */
	/* something for the main thread: fence_wanted, end_seen, stop */
	struct event main_event;

	pthread_mutex_t lock;        /* Guards, all rare: */
	uint32_t open_round;         /* packets of other rounds are refused */
	/* up to the open round's end, says SYNC; UINT64_MAX: none yet */
	uint64_t sync_batches;
	struct totals all_totals;    /* of all rounds that are done */
	struct totals first_totals;  /* of round 0 */
	bool stopping;               /* as `stop` */
	bool end_seen;
	struct wire_end end;
	bool committed;              /* main: the output is in place */
	bool confirmed;              /* the sender knows */

	/* For snapshots. */
	counter phase;
	counter bytes_image;
	counter channels;
	counter rounds;
	counter failovers;
	counter began_ns, flush_ns, ended_ns; /* when it did */
	counter image_hash;
	counter bytes_hashes;

	/* The main thread only. */
	struct lobby *lobby;
	bool reminded;               /* a sender asked for what is finished, and was told */
	struct recv_basis *basis;    /* once its connection has come in */
	struct control *control;     /* the control thread's while that runs */
	pthread_t control_thread;
	bool control_running;
};

/* The sink stays the caller's and must outlive the session. */
bool recv_session_new(const struct recv_params *params, struct sink *sink,
		      struct recv_session **ret, struct mfd_error *err) MFD_MUST_CHECK;

/* Wait for one sender, take the image, commit it. */
bool recv_session_run(struct recv_session *s, struct mfd_error *err) MFD_MUST_CHECK;
void recv_session_cancel(struct recv_session *s);

/*
 * After a run that was good, with params.resume: has the sender said that it knows?  And what is in
 * place.
 */
bool recv_session_confirmed(const struct recv_session *s);
void recv_session_finished(const struct recv_session *s, struct recv_finished *ret);

/* A sender has been let in. */
bool recv_session_began(const struct recv_session *s);
void recv_session_stats(const struct recv_session *s, struct mfd_stats *ret);
void recv_session_free(struct recv_session *s);

/* A notice for the user.  Main thread. */
void recv_notice(struct recv_session *s, enum mfd_notice_kind kind, uint64_t number,
		 const char *text);

/*
 * guest.c.  Main thread: give @guest, who has said who it is, what it came for, or turn it away;
 * what it owns is taken or freed.  False: a session has begun, and failed.
 */
bool recv_guest(struct recv_session *s, struct lobby_guest *guest,
		struct mfd_error *err) MFD_MUST_CHECK;

/* guest.c.  Main thread: tell the user who was turned away. */
void recv_guest_dropped(struct recv_session *s, const struct lobby_guest *guest,
			const struct mfd_error *why);

/*
 * commit.c.  Main thread, all receiver threads joined: what came agrees with END, and the output is
 * in place.  MFD_DATA, MFD_PROTOCOL, MFD_CANT_CREATE when it does not, and what the sink says.
 */
bool recv_commit(struct recv_session *s, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * attach.c.  Under the session's lock: the last connection of @t was given up and has ended, and
 * there is no other yet.
 */
bool recv_gone_locked(const struct recv_thread *t);

/* hello.c.  Main thread: may this sender have a session?  Fills in WELCOME or says why not. */
bool recv_hello(struct recv_session *s, const struct wire_hello *hello, struct wire_welcome *ret,
		struct mfd_error *err) MFD_MUST_CHECK;

/*
 * attach.c.  Main thread: a data connection has come in; false: it is a stranger after all, and the
 * caller drops it.
 */
bool recv_attach(struct recv_session *s, struct lobby_guest *guest,
		 struct mfd_error *err) MFD_MUST_CHECK;

/* attach.c.  The same for the connection for hash lists. */
bool recv_attach_hashes(struct recv_session *s, struct lobby_guest *guest,
			struct mfd_error *err) MFD_MUST_CHECK;

/*
 * attach.c.  Main thread: end the connections whose fence is wanted; the control thread then
 * answers.
 */
void recv_fence(struct recv_session *s);

/* attach.c.  Main thread: wake and join every receiver thread, and those that hash the basis. */
void recv_detach_all(struct recv_session *s);

/* thread.c and control.c.  Thread functions, for a struct recv_thread and a struct recv_session. */
void *recv_thread_main(void *thread);
void *recv_control_main(void *session);

/*
 * packet.c.  Receiver thread: take the rest of the packet whose header is @p from the channel,
 * verify it and write it.
 * *ret_lost: the failure is the connection's, not the data's.
 */
bool recv_packet(struct recv_thread *t, const struct wire_packet *p, bool *ret_lost,
		 struct mfd_error *err) MFD_MUST_CHECK;

/* packet.c.  Bytes of a run of pages that are inside the image: its last page may be short. */
uint64_t recv_clip(const struct recv_session *s, uint64_t offset, uint64_t bytes);

/*
 * keep.c.  Receiver thread: the pages @kept of packet @p are in the output from now on, and their
 * hashes add up to @sum.  MFD_DATA when they do not, MFD_IO.
 */
bool recv_keep(struct recv_thread *t, const struct wire_packet *p, const uint64_t *kept,
	       uint64_t sum, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * verify.c.  Main thread, all receiver threads joined: the output has the image hash that END said.
 * MFD_DATA when not, MFD_IO, MFD_TRY_AGAIN.
 */
bool recv_verify(struct recv_session *s, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * thread.c.  Receive exactly @iov; counts the bytes and the time.  *ret_got as in channel_ops.recv.
 */
bool recv_bytes(struct recv_thread *t, struct iovec *iov, unsigned iovs, size_t *ret_got,
		struct mfd_error *err) MFD_MUST_CHECK;

#endif
