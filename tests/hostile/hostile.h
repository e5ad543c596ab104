/* SPDX-License-Identifier: MIT */
/*
 * Sessions under attack, in one process: a seed becomes a plan (an image, an output, and the faults
 * that its sessions will meet), a scene carries it out and judges what came of it, a tally counts.
 *
 * What must hold whatever goes wrong is in hostile_judge(); nothing here asserts.
 */
#ifndef MFD_TESTS_HOSTILE_H
#define MFD_TESTS_HOSTILE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/testing.h"

/* ---- Faults. ---- */

enum hostile_kind {
	/* Bytes are damaged, by the sending side of a connection. */
	HOSTILE_FLIP,
	HOSTILE_DROP,
	HOSTILE_DUPLICATE,
	HOSTILE_SWAP,                /* what was sent later comes first, on one connection */
	HOSTILE_CROSS,               /* what belongs on one data connection comes on another */
	/* Connections are lost. */
	HOSTILE_TRUNCATE,            /* closed in the middle of what was to be sent */
	HOSTILE_FIN,                 /* closed behind it */
	HOSTILE_RST,
	HOSTILE_STALL,               /* one that takes or gives nothing more */
	HOSTILE_HOLE,                /* one that takes everything, and nothing arrives */
	/* Connections are bad. */
	HOSTILE_DELAY,
	HOSTILE_PIECES,              /* few bytes with each read and write */
	/* Disks are. */
	HOSTILE_SINK_FULL,
	HOSTILE_SINK_EIO,
	HOSTILE_SINK_BEGIN,
	HOSTILE_SINK_COMMIT,
	HOSTILE_SOURCE_EIO,
	HOSTILE_SOURCE_SHORT,
	/* Somebody presses ^C. */
	HOSTILE_CANCEL_SENDER,
	HOSTILE_CANCEL_RECEIVER,
	HOSTILE_KINDS
};

extern const char *const hostile_kind_names[HOSTILE_KINDS];

#define HOSTILE_CONTROL UINT32_MAX

struct hostile_fault {
	enum hostile_kind kind;
	/* Of connections: */
	bool receiver;               /* the receiver's end of it; else the sender's */
	bool incoming;               /* what that end receives; else what it sends */
	uint32_t channel;            /* an id, HOSTILE_CONTROL or CHANNEL_ID_HASHES */
	unsigned connections;        /* the first so many of a channel; 0: all of them */
	bool whole;                  /* all that one call sends; else bytes */
	/* Bytes of a connection that pass before; bytes written; the page that can't be read. */
	uint64_t at;
	unsigned number;             /* how many bytes, which bit, how many ms */
	_Atomic unsigned fired;
};

#define HOSTILE_MOST_FAULTS 6u

/* ---- Plans. ---- */

enum hostile_output {
	HOSTILE_MEMORY,              /* that knows what is to come: see testing_sink */
	HOSTILE_FILE,                /* a new one */
	HOSTILE_BASIS,               /* a new one, and an older image */
	HOSTILE_INPLACE,             /* written into the older image */
	HOSTILE_RESUME,              /* several sessions, each goes on from the one before */
	HOSTILE_OUTPUTS
};

extern const char *const hostile_output_names[HOSTILE_OUTPUTS];

struct hostile_plan {
	uint64_t seed;
	uint64_t state;              /* of the stream of numbers behind it */
	enum hostile_output output;
	struct testing_image image;
	bool stream;                 /* the source can be read once only */
	bool knows_zeros;
	unsigned basis_differs;      /* each so manyth page of the older image; 0: none */
	uint64_t basis_bytes;
	unsigned channels;
	uint32_t packet_pages;
	const struct method_ops *method;
	unsigned sessions;           /* that have faults; RESUME has one more that has none */

	/* Of the next session. */
	uint64_t timeout_ms;
	unsigned faults;
	struct hostile_fault fault[HOSTILE_MOST_FAULTS];
	bool survivable;             /* none of the faults is a reason not to succeed */
	int must_status;             /* what both ends say if the only fault fires; 0: whatever */
};

/* Everything about the case @seed but its faults. */
void hostile_plan_make(struct hostile_plan *p, uint64_t seed);

/* The faults of its next session; @clean: none. */
void hostile_plan_faults(struct hostile_plan *p, bool clean);

/* For who has to find out what went wrong; on standard error. */
void hostile_plan_print(const struct hostile_plan *p);

/* ---- Connections. ---- */

/* One end's connections of one session: what hostile_wrap()'s opaque points to. */
struct hostile_wires {
	struct hostile_plan *plan;
	bool receiver;
	void (*cancel)(void *opaque, bool receiver);
	void *opaque;

	pthread_mutex_t lock;        /* Guards; all zeros is a mutex: */
	unsigned made[MFD_MAX_CHANNELS]; /* connections so far */
	/* CROSS: taken from a data connection, to be sent on another one */
	uint8_t *stray;
	size_t stray_bytes;
	uint32_t stray_from;
};

/* As send_params.wrap and recv_params.wrap. */
struct channel *hostile_wrap(void *wires, uint32_t id, struct channel *inner);
void hostile_wires_destroy(struct hostile_wires *w);

/* What is about to be sent; malloced. */
struct hostile_piece {
	uint8_t *bytes;
	size_t size;
	uint64_t start;              /* position of its first byte */
};

void hostile_piece_put(struct hostile_piece *p, size_t at, const void *bytes, size_t size);

/*
 * Do @f, one of the kinds up to CROSS, to @p, which connection @id is to send.  What goes behind
 * the next piece is then in @held.
 */
void hostile_damage(struct hostile_wires *w, uint32_t id, struct hostile_fault *f,
		    struct hostile_piece *p, struct hostile_piece *held);

/* What another data connection has left goes in front of @p. */
void hostile_take_stray(struct hostile_wires *w, uint32_t id, struct hostile_piece *p);

/* ---- What came of it. ---- */

struct hostile_end {
	bool ok;
	struct mfd_error error;
};

/* One session. */
struct hostile_result {
	struct hostile_end sender, receiver;
	bool committed;              /* the sink's word for it */
	bool sound;                  /* what was committed is the image */
	/* MEMORY: pages that came although they are wrong, twice, or before their round */
	uint64_t wrong;
};

/* NULL, or what should never have happened. */
const char *hostile_judge(const struct hostile_plan *p, const struct hostile_result *r);

/*
 * All sessions of the case @seed, in the directory @dir, which is empty before and afterwards.
 * @publish is called with each session's result.  NULL, or what should never have happened.
 */
const char *hostile_scene_run(uint64_t seed, const char *dir, bool verbose,
			      void (*publish)(void *opaque, const struct hostile_plan *plan,
					      const struct hostile_result *result),
			      void *opaque);

/* ---- Counts. ---- */

/* How a session ended, for the table: both well, or what the sender said. */
enum hostile_outcome {
	HOSTILE_BOTH_OK,
	HOSTILE_DATA,
	HOSTILE_NO_INPUT,
	HOSTILE_CANT_CREATE,
	HOSTILE_IO,
	HOSTILE_TRY_AGAIN,
	HOSTILE_PROTOCOL,
	HOSTILE_OTHER,
	HOSTILE_UNKNOWN,             /* sender 75, receiver 0: COMMITTED was lost */
	HOSTILE_OUTCOMES
};

struct hostile_tally {
	pthread_mutex_t lock;        /* Guards; all zeros is a mutex: */
	uint64_t fired[HOSTILE_KINDS];
	uint64_t by_kind[HOSTILE_KINDS][HOSTILE_OUTCOMES];
	uint64_t by_output[HOSTILE_OUTPUTS][HOSTILE_OUTCOMES];
	uint64_t sessions, clean, faults;
};

void hostile_tally_add(struct hostile_tally *t, const struct hostile_plan *p,
		       const struct hostile_result *r);
uint64_t hostile_tally_faults(struct hostile_tally *t);
void hostile_tally_print(const struct hostile_tally *t);

#endif
