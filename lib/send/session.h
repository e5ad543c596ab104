/* SPDX-License-Identifier: MIT */
/*
 * A sending session: what its threads share, and how it begins and ends.
 *
 *	main thread     connects, then walks the source (producer.c), then closes the door (session.c)
 *	sender threads  one per data channel: read, examine, code, send (thread.c)
 *	control thread  acknowledgements, heartbeats, deadlines, the peer's errors (control.c)
 *
 * One door out: whoever fails reports to the verdict; the control thread decides when that ends the session and raises `stop`; the
 * main thread, which never waits without looking at it, shuts the sockets, wakes and joins everybody and frees in reverse order.
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
#include "core/sleeper.h"
#include "core/stats.h"
#include "core/verdict.h"
#include "net/channel.h"
#include "net/connect.h"
#include "net/control.h"
#include "source/source.h"

/* What a session is made from.  mfd.c fills it from the user's options, tests from whatever they like. */
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
};

struct send_session;

struct send_thread {
	/* Set before the thread starts, never changed. */
	struct send_session *session;
	uint32_t id;
	uint32_t generation;
	struct channel *channel;
	struct method *method;
	const struct zero_variant *zero;
	uint8_t *pages;              /* packet_pages pages; NULL where the batches bring their bytes */
	pthread_t thread;
	bool running;                /* main thread only: to be joined */

	/* Shared with the producer. */
	struct handoff *inbox;

	/* Shared with the control thread. */
	struct inflight log;
	struct channel_counters counters;
	counter lost;                /* 1: the connection failed under this thread */

	/* This thread only. */
	uint32_t round;
	struct iovec *iov;           /* header, bitmaps, payload */
	uint8_t raw[WIRE_PACKET_BYTES + WIRE_MAX_BITMAPS_BYTES];

	/* The control thread only: has the receiver stopped getting what we send? */
	uint64_t health_received;
	uint64_t health_since_ns;
};

struct send_session {
	/* Set before the threads start, never changed. */
	struct send_params params;
	struct source *source;       /* not owned */
	uint64_t *page_hash;         /* each page's hash as last sent, when there may be more rounds; by the thread that sends the page */
	bool use_pool;               /* the source can't be read twice */

	/* Between the threads, each with its own rules. */
	struct send_thread *thread;  /* [params.channels] */
	struct handoff_set inboxes;
	struct sleeper producer;
	struct pool pool;
	struct pace pace;
	size_t piece;                /* bytes that take a place in it at a time; const */
	struct verdict verdict;
	struct event stop;           /* the door is open */

	pthread_mutex_t lock;        /* Guards, all rare: */
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

	/* For snapshots. */
	counter phase;               /* enum mfd_phase */
	counter bytes_image;
	counter pages_acked;
	counter rounds;
	counter began_ns, ended_ns;
	counter image_hash;

	/* The main thread only. */
	struct connect_target target;
	struct control *control;     /* the control thread's while that runs */
	pthread_t control_thread;
	bool control_running;
	uint8_t token[WIRE_TOKEN_BYTES];
	uint32_t packet_pages;       /* as agreed */
	uint64_t batches;            /* handed out so far: the next batch id */
	uint32_t round;
};

/* The source stays the caller's and must outlive the session. */
bool send_session_new(const struct send_params *params, struct source *source, struct send_session **ret, struct mfd_error *err) MFD_MUST_CHECK;

/* The whole transfer; true only when COMMITTED came. */
bool send_session_run(struct send_session *s, struct mfd_error *err) MFD_MUST_CHECK;
void send_session_cancel(struct send_session *s);
void send_session_stats(const struct send_session *s, struct mfd_stats *ret);
void send_session_free(struct send_session *s);

/* open.c.  Main thread: control connection, HELLO and WELCOME; then the data connections. */
bool send_open_control(struct send_session *s, struct mfd_error *err) MFD_MUST_CHECK;
bool send_open_data(struct send_session *s, struct mfd_error *err) MFD_MUST_CHECK;

/* producer.c.  Main thread: all rounds and END, until COMMITTED; false when the door opened, the reason is in the verdict or in *err. */
bool send_produce(struct send_session *s, struct mfd_error *err) MFD_MUST_CHECK;

/* thread.c and control.c.  Thread functions, for a struct send_thread and a struct send_session. */
void *send_thread_main(void *thread);
void *send_control_main(void *session);

/*
 * paced.c.  Sender thread: write t->iov, @bytes in all, within the bandwidth limit; the array is
 * changed.  @now_ns is clock_ns().  False if the connection failed, which has been reported, or
 * the door opened.
 */
bool send_paced(struct send_thread *t, unsigned iovs, size_t bytes, uint64_t now_ns) MFD_MUST_CHECK;

/* thread.c.  Everything the thread needs but its channel; undone by send_thread_destroy(), also after a failure half-way. */
bool send_thread_init(struct send_thread *t, struct send_session *s, uint32_t id, struct mfd_error *err) MFD_MUST_CHECK;
void send_thread_destroy(struct send_thread *t);

#endif
