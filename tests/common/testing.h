/* SPDX-License-Identifier: MIT */
/*
 * What the session tests are made of: images whose every page can be computed again anywhere, a
 * source and a sink that know such an image and can be told to fail, a channel that goes wrong at a
 * given byte, and a sender and a receiver in one process over loopback.
 *
 * Nothing here asserts but the watchdog: most of it runs in threads that are not cmocka's.  What a
 * test wants to know is kept in the structs and looked at afterwards.
 */
#ifndef MFD_TESTS_COMMON_TESTING_H
#define MFD_TESTS_COMMON_TESTING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/event.h"
#include "net/channel.h"
#include "recv/session.h"
#include "send/session.h"
#include "sink/sink.h"
#include "source/source.h"

/* Built with a sanitizer: then everything takes longer, and sweeps are thinned out. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TESTING_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TESTING_SANITIZED 1
#endif
#endif
#ifndef TESTING_SANITIZED
#define TESTING_SANITIZED 0
#endif

/* "No such page", "no such byte". */
#define TESTING_NEVER UINT64_MAX

#define TESTING_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* @normal cases, or @plenty of them with MFD_TEST_LONG=1. */
unsigned testing_sweep(unsigned normal, unsigned plenty);

/* A seeded stream of numbers: splitmix64. */
uint64_t testing_random(uint64_t *state);

void testing_pause_ms(unsigned ms);

/* ---- Images. ---- */

enum testing_kind {
	TESTING_ZERO,
	TESTING_RANDOM,
	TESTING_TEXT,
	TESTING_MIXED,
	TESTING_ALTERNATING
};

/* Of one page.  Which generation a page has in a round: testing_generation(). */
void testing_page(uint64_t seed, uint64_t index, uint32_t generation, enum testing_kind kind,
		  uint8_t page[static PAGE_BYTES]);

struct testing_image {
	uint64_t seed;
	uint64_t size;
	enum testing_kind kind;
	/* at least 1; each later one changes about a third of the pages */
	uint32_t rounds;
};

/* The last round up to @round in which @page changed; 0 if it never did. */
uint32_t testing_generation(const struct testing_image *image, uint64_t page, uint32_t round);

/* @page as it is in @round, with zeros behind the image's end. */
void testing_content(const struct testing_image *image, uint64_t page, uint32_t round,
		     uint8_t ret[static PAGE_BYTES]);

bool testing_is_zero(const uint8_t page[static PAGE_BYTES]);

/* The image hash after the last round, computed page by page. */
uint64_t testing_hash(const struct testing_image *image);

/* ---- A source. ---- */

struct testing_source {
	struct source source;
	struct testing_image image;

	/* Set by the test before the session runs. */
	/* zero pages are left out of `data`, whole batches of them become zero runs */
	bool knows_zeros;
	uint64_t fail_page;          /* reading it fails with fail_status, */
	uint32_t fail_round;         /* from this round on */
	enum mfd_status fail_status;
	uint64_t stall_page;         /* from here on next() waits for the stop event */
	unsigned next_ms;            /* next() takes so long, once, in the middle: an idle input */

	/* The producer's. */
	uint64_t at;
	uint32_t round;
	_Atomic bool stalled;        /* next() is waiting now */
};

void testing_source_init(struct testing_source *s, const struct testing_image *image,
			 bool rereadable);

/* ---- A sink. ---- */

struct testing_sink {
	struct sink sink;
	struct testing_image image;  /* what is to come */

	/* Set by the test before the session runs. */
	uint64_t fail_bytes;         /* once so many are written: fail_errno */
	int fail_errno;
	bool fail_begin, fail_commit;
	unsigned write_ms;           /* each write takes so long, */
	unsigned slow_writes;        /* as long as there are some of these left */
	unsigned commit_ms;          /* looks at the stop event meanwhile */

	/* What happened; guarded by the lock. */
	pthread_mutex_t lock;
	bool begun, committed;
	uint64_t size;               /* as committed */
	uint64_t written;            /* bytes */
	uint64_t zeroed_fresh, zeroed; /* calls of zero() */
	/* pages written in a round before the one before it was complete */
	uint64_t overtaken;
	/*
	 * pages with another content than their round's, written twice in one, or outside the image
	 */
	uint64_t wrong;

	/* the image as written, whole pages; NULL for large ones, which are checked as they come */
	uint8_t *bytes;
	uint64_t pages;
	/* [pages] rounds in which the page has come, as 1 + the last one; 0: never */
	uint32_t *page_round;
	uint64_t *expected, *seen;   /* [rounds] pages */
};

/* Up to so many bytes are kept in memory. */
#define TESTING_KEEP_BYTES (UINT64_C(64) << 20)

void testing_sink_init(struct testing_sink *s, const struct testing_image *image);
void testing_sink_destroy(struct testing_sink *s);

/*
 * Committed, with the right size, each page in each round once, in order and right, and the bytes
 * are the last round's.
 */
bool testing_sink_complete(const struct testing_sink *s);

/* ---- A channel that goes wrong. ---- */

enum testing_fault_kind {
	TESTING_RST,                 /* reset */
	TESTING_FIN,                 /* closed */
	TESTING_STALL,               /* takes or gives nothing more until it is shut down */
	TESTING_HOLE,                /* takes everything, and it goes nowhere (sending only) */
	TESTING_FLIP,                /* one bit differs (receiving only) */
	TESTING_PIECES,              /* never more than `at` bytes per call */
	TESTING_SLOW,                /* `at` ms for each 4096 bytes (receiving only) */
};

#define TESTING_CONTROL UINT32_MAX
#define TESTING_EVERY (UINT32_MAX - 1)

struct testing_fault {
	uint32_t channel;            /* an id, TESTING_CONTROL or TESTING_EVERY (both kinds) */
	enum testing_fault_kind kind;
	bool sending;                /* while sending, else while receiving; PIECES is for both */
	uint64_t at;                 /* bytes that pass before */
	unsigned connections;        /* of each channel only the first so many; 0: all of them */
};

/* What a wrap's opaque points to. */
struct testing_faults {
	struct testing_fault fault[4];
	unsigned count;
	/* If not NULL: called for each connection as it is made, with its id, by one thread. */
	void (*look)(void *opaque, uint32_t id, int fd);
	void *look_opaque;
	_Atomic unsigned fired;      /* how many did go wrong */
	_Atomic uint64_t control_sent, control_received; /* bytes on the control connection */

	pthread_mutex_t lock;        /* Guards; all zeros is a mutex: */
	unsigned made[MFD_MAX_CHANNELS]; /* connections so far */
	struct channel *live[MFD_MAX_CHANNELS]; /* the last of them, if it still exists */
};

/* As send_params.wrap and recv_params.wrap. */
struct channel *testing_wrap(void *faults, uint32_t id, struct channel *inner);

/*
 * Any thread, now: the connection that a data channel has goes wrong, by RST or FIN.  False if it
 * has none.
 */
bool testing_kill(struct testing_faults *faults, uint32_t id, enum testing_fault_kind kind);

/* ---- Both ends in one process. ---- */

/*
 * Aborts with @name when it has not been stopped after @seconds (three times that under a
 * sanitizer).
 */
struct testing_watchdog {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	const char *name;
	unsigned seconds;
	bool stop;
};

void testing_watch(struct testing_watchdog *w, const char *name, unsigned seconds);
void testing_unwatch(struct testing_watchdog *w);

/* One end: a session in a thread of its own. */
struct testing_end {
	pthread_t thread;
	bool started;
	struct send_session *send;
	struct recv_session *recv;
	bool ok;
	struct mfd_error error;      /* if not ok */
	struct mfd_stats stats;      /* after the end */
	uint64_t ended_ns;           /* clock_ns() */
};

struct testing_pair {
	/* Set by testing_pair_init(), changed by the test before the start. */
	const char *name;            /* of the test, for the watchdog */
	unsigned watch_s;
	struct source *source;
	struct sink *sink;
	unsigned channels;
	uint32_t packet_pages;
	const struct method_ops *method;
	int level;                   /* MFD_LEVEL_DEFAULT */
	uint64_t timeout_ms;         /* both; */
	uint64_t recv_timeout_ms;    /* unless this is not 0 */
	uint64_t connect_timeout_ms, accept_timeout_ms;
	uint64_t bytes_per_second;
	const char *congestion;      /* NULL: the system's */
	unsigned max_channels;
	uint64_t max_size;
	bool resume;                 /* the receiver's */
	bool verify;
	struct testing_faults send_faults, recv_faults;

	/* 0: any; from testing_start_receiver() on, or the raw peer's. */
	uint16_t port;
	char address[32];            /* of it: the session keeps a pointer */
	struct testing_end sender, receiver;
	_Atomic unsigned dropped;    /* strangers that the receiver turned away */
	struct testing_watchdog watchdog;
};

/* 4 channels, packets of 16 pages, zstd, all timeouts 20 s. */
void testing_pair_init(struct testing_pair *p, const char *name, struct source *source,
		       struct sink *sink);

/* Each end alone: against a raw peer.  A sender connects to p->port. */
bool testing_start_receiver(struct testing_pair *p) MFD_MUST_CHECK;
bool testing_start_sender(struct testing_pair *p) MFD_MUST_CHECK;
void testing_join(struct testing_pair *p);

/* What testing_join() ends with, and all there is to do when nothing was started. */
void testing_free(struct testing_pair *p);

/* Both, until both have ended. */
bool testing_start(struct testing_pair *p) MFD_MUST_CHECK;
bool testing_run(struct testing_pair *p) MFD_MUST_CHECK;

/* Both ended well, with equal hashes. */
bool testing_agreed(const struct testing_pair *p);

/* ---- One transfer with all that belongs to it. ---- */

struct testing_scene {
	struct testing_image image;
	struct testing_source source;
	struct testing_sink sink;
	struct testing_pair pair;
};

/*
 * 1 MiB of random pages over 4 channels without method, in packets of 4 pages: 64 packets of
 * TESTING_PACKET_BYTES.
 */
#define TESTING_SCENE_BYTES (UINT64_C(1) << 20)
#define TESTING_SCENE_PAGES 4u
#define TESTING_PACKET_BYTES                                           \
	(WIRE_PACKET_BYTES + WIRE_BITMAPS_BYTES(TESTING_SCENE_PAGES) + \
	 TESTING_SCENE_PAGES * PAGE_BYTES)

void testing_scene_init(struct testing_scene *s, const char *name);
void testing_scene_destroy(struct testing_scene *s);

/* Run @count of them at the same time, so that those that have to wait wait together. */
bool testing_scenes_run(struct testing_scene *s, unsigned count) MFD_MUST_CHECK;

/*
 * Come back to ask until it is so, for 20 s at most:
 * `while (testing_patience(&waited, condition));`
 */
bool testing_patience(unsigned *waited, bool done);

#define TESTING_WAIT(condition)                                  \
	do {                                                     \
		unsigned waited_ = 0;                            \
		while (testing_patience(&waited_, (condition)))  \
			;                                        \
	} while (0)

#endif
