/* SPDX-License-Identifier: MIT */
/*
 * A sending session: what its threads share, and how it begins and ends.
 *
 *	main thread     connects (open.c), walks the source (producer.c), closes the door
 *	                (session.c)
 *	sender threads  one per data channel: read, examine, code, send (thread.c); they outlive
 *	                their connections (failover.c)
 *	openers         one for each channel that has no connection: makes the next one (reopen.c)
 *	control thread  acknowledgements, heartbeats, deadlines, the peer's errors (control.c),
 *	                lost channels (failover.c)
 *
 * One door out: whoever fails reports to the verdict; the control thread decides when that ends the
 * session and raises `stop`; the main thread, which never waits without looking at it, shuts the
 * sockets, wakes and joins everybody and frees in reverse order.
 */
#ifndef MFD_SEND_SESSION_H
#define MFD_SEND_SESSION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/event.h"
#include "base/zero.h"
#include "compress/method.h"
#include "core/handoff.h"
#include "core/inflight.h"
#include "core/options.h"
#include "core/pace.h"
#include "core/pool.h"
#include "core/returned.h"
#include "core/sleeper.h"
#include "core/sparse.h"
#include "core/stats.h"
#include "core/verdict.h"
#include "net/channel.h"
#include "net/connect.h"
#include "net/control.h"
#include "send/match.h"
#include "source/replay.h"
#include "source/source.h"

/*
 * Buffers of a stream: what the slots hold, what the sender threads work on, and what waits for its
 * acknowledgement.
 */
#define SEND_BUFFERS_PER_CHANNEL 16u

/*
 * What a session is made from.  mfd.c fills it from the user's options, tests from whatever they
 * like.
 */
struct send_params {
	const char *address;         /* host:port */
	enum mfd_family family;
	unsigned channels;           /* 1..MFD_MAX_CHANNELS */
	uint32_t packet_pages;       /* 1..BATCH_MAX_PAGES */
	const struct method_ops *method;
	int level;
	uint64_t connect_timeout_ms;
	uint64_t timeout_ms;
	uint64_t bytes_per_second;   /* 0: no limit */
	const char *congestion;      /* of the data connections; NULL: the system's */
	mfd_notice_fn *notice;       /* never NULL */
	void *opaque;
	channel_wrap_fn *wrap;       /* never NULL */
	void *wrap_opaque;
	bool ended;                  /* an earlier session sent END with these, and saw no answer */
	uint64_t ended_size, ended_hash;
	struct replay *replay;       /* the source, when it is one; else NULL */
};

struct send_session;

/* What became of a channel's connection: see failover.h. */
enum send_link { SEND_LINK_UP, SEND_LINK_LOST, SEND_LINK_FENCED, SEND_LINK_DOWN, SEND_LINK_OPENED };

struct send_thread {
	/* Set before the thread starts, never changed. */
	struct send_session *session;
	uint32_t id;
	struct method *method;
	const struct zero_variant *zero;
	/* packet_pages pages; NULL where the batches bring their bytes */
	uint8_t *pages;
	pthread_t thread;
	bool running;                /* main thread only: to be joined */

	/* Shared with the producer. */
	struct handoff *inbox;

	/* Shared with the control thread. */
	struct inflight log;
	struct channel_counters counters;
	counter packets_sent;        /* of this generation, SYNCs too: the socket has them */

	/*
	 * Guarded by the session's lock; once it runs only the thread itself changes the first
	 * three, and looks at them without it.
	 */
	struct channel *channel;     /* NULL: there is none */
	uint32_t generation;         /* of the connection there is, or was last */
	uint64_t bytes_before;       /* counters.bytes when this generation began */
	enum send_link link;
	bool told;                   /* CHANNEL_DOWN has been said for this generation */
	bool proven;                 /* this generation has brought something, or is the first */
	struct channel *opened;      /* made by the opener, not yet taken */
	struct mfd_error why;        /* it was lost */
	bool lost_news, open_news;   /* for the user; */
	uint64_t lost_batches;       /* came back with the last loss */

	/* This thread only. */
	uint64_t came_back;          /* batches from the log, with this loss */
	bool down;                   /* it has let go of the connection: see failover.c */
	bool opening;                /* there is an opener to be joined */
	pthread_t opener;
	uint64_t pause_ms;           /* before the opener's first attempt; set before it starts */
	struct iovec *iov;           /* header, bitmaps, payload */
	uint8_t raw[WIRE_PACKET_BYTES + WIRE_MAX_BITMAPS_BYTES + WIRE_MAX_KEPT_BYTES];

	/*
	 * The control thread only: has the receiver stopped getting what we send on this
	 * generation?
	 */
	uint32_t health_generation;
	uint64_t health_received;
	uint64_t health_acked;
	uint64_t health_since_ns;
	/* packets that it has acknowledged, of this generation */
	uint32_t acked_generation;
	uint64_t acked;
};

/* What SYNC says. */
struct send_sync {
	uint32_t round;
	uint64_t batches;            /* of the session so far */
};

struct send_session {
	/* Set before the threads start, never changed. */
	struct send_params params;
	struct source *source;       /* not owned */
	bool many_rounds;            /* there may be more rounds than one */
	bool use_pool;               /* the source can't be read twice */
	/* what the receiver has already; NULL: nothing, or it does not say */
	struct match *match;

	/* Between the threads, each with its own rules. */
	struct send_thread *thread;  /* [params.channels] */
	struct handoff_set inboxes;
	struct sleeper producer;
	struct pool pool;
	struct pace pace;
	size_t piece;                /* bytes that take a place in it at a time; const */
	struct verdict verdict;
	struct event stop;           /* the door is open */
	struct returned returned;    /* batches of lost channels */
	struct event look;           /* this comes before more input: `returned`, news, the door */
	counter news;                /* 1: some channel has news for the user */
	counter changes;             /* connections lost or opened again: SYNC is sent again */
	counter failovers;           /* the first of these; both are changed under the lock */
	/* of uint64_t, with many_rounds: each page's hash as last sent */
	struct sparse page_hash;

	pthread_mutex_t lock;        /* Guards, all rare, what each thread says is guarded, and: */
	bool stopping;               /* as `stop` */
	uint64_t acked;              /* batches acknowledged, all rounds */
	struct totals round_totals;  /* of what is acknowledged in this round */
	struct totals all_totals;
	uint32_t asked_rounds;       /* rounds whose SYNC has been asked for */
	uint32_t synced_rounds;      /* SYNC_DONE so far; never more */
	struct totals peer_totals;   /* from the last SYNC_DONE */
	bool end_wanted, end_sent;
	struct wire_end end;
	bool committed;
	struct send_sync sync;       /* set by main while none is pending, read by sender threads */

	/* For snapshots. */
	counter phase;               /* enum mfd_phase */
	counter bytes_image;
	counter pages_acked;
	counter rounds;
	counter began_ns, flush_ns, ended_ns; /* when it did */
	counter image_hash;
	counter bytes_hashes;

	/* The control thread only. */
	uint64_t progress_ns;        /* when something was acknowledged, or all was well */
	uint64_t answered_ns;        /* when the receiver owed no answer */

	/* Set before the threads start, never changed, but a field of the main thread before. */
	struct connect_target target;

	/* The main thread only. */
	struct control *control;     /* the control thread's while that runs */
	pthread_t control_thread;
	bool control_running;
	uint8_t token[WIRE_TOKEN_BYTES];
	bool resumable;              /* WELCOME says that what has come is kept */
	bool told;                   /* WELCOME has promised hash lists, */
	struct match_params lists;   /* made like this */
	struct batch *awaiting;      /* the batch whose hashes the producer waits for */
	uint32_t packet_pages;       /* as agreed */
	counter batches;             /* handed out so far: the next batch id; others may look */
	uint32_t round;
	uint64_t synced_changes;     /* `changes` when SYNC was last asked for */
};

/* The source stays the caller's and must outlive the session. */
bool send_session_new(const struct send_params *params, struct source *source,
		      struct send_session **ret, struct mfd_error *err) MFD_MUST_CHECK;

/* The whole transfer; true only when COMMITTED came. */
bool send_session_run(struct send_session *s, struct mfd_error *err) MFD_MUST_CHECK;
void send_session_cancel(struct send_session *s);

/* After the run.  END has been sent and the outcome is not known; END's size and image hash. */
bool send_session_ended(const struct send_session *s, uint64_t *ret_size, uint64_t *ret_hash);

/* After the run.  The receiver keeps what it has got. */
bool send_session_resumable(const struct send_session *s);
void send_session_stats(const struct send_session *s, struct mfd_stats *ret);
void send_session_free(struct send_session *s);

/* A notice for the user.  Main thread. */
void send_notice(struct send_session *s, enum mfd_notice_kind kind, const char *text);

/* open.c.  Main thread: control connection, HELLO and WELCOME; then the data connections. */
bool send_open_control(struct send_session *s, struct mfd_error *err) MFD_MUST_CHECK;
bool send_open_data(struct send_session *s, struct mfd_error *err) MFD_MUST_CHECK;

/* open.c.  The one thread that owns @target: one more connection of @id. */
bool send_open_connection(struct send_session *s, struct connect_target *target, uint32_t id,
			  const struct event *stop, uint64_t deadline_ns, bool retry,
			  struct channel **ret, struct mfd_error *err) MFD_MUST_CHECK;

/* open.c.  The first bytes on @t's new connection. */
bool send_open_preamble(struct send_thread *t, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * producer.c.  Main thread: all rounds and END, until COMMITTED; false when the door opened, the
 * reason is in the verdict or in *err.
 */
bool send_produce(struct send_session *s, struct mfd_error *err) MFD_MUST_CHECK;

/* thread.c and control.c.  Thread functions, for a struct send_thread and a struct send_session. */
void *send_thread_main(void *thread);
void *send_control_main(void *session);

/*
 * paced.c.  Sender thread: write t->iov, @bytes in all, within the bandwidth limit; the array is
 * changed.  @now_ns is clock_ns().  False if the door opened; a connection that failed is taken
 * care of, and none of the caller's business.
 */
bool send_paced(struct send_thread *t, unsigned iovs, size_t bytes, uint64_t now_ns) MFD_MUST_CHECK;

/*
 * thread.c.  Everything the thread needs but its channel; undone by send_thread_destroy(), also
 * after a failure half-way.
 */
bool send_thread_init(struct send_thread *t, struct send_session *s, uint32_t id,
		      struct mfd_error *err) MFD_MUST_CHECK;
void send_thread_destroy(struct send_thread *t);

#endif
