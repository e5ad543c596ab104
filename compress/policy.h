/* SPDX-License-Identifier: MIT */
/*
 * The policy of method auto: which level costs the least time for a byte of pages?  Pure
 * arithmetic: it reads no clock and knows no codec; one thread's method object owns it.
 *
 * For each level of a ladder it keeps what coding a byte costs (ns of CPU) and what is left of
 * it (the ratio).  They begin as what is typical of memory; every coded packet moves all of
 * them together, since it is mostly the data that changes, and a packet coded at two levels (a
 * trial) moves them against each other.
 *
 * What a packet took divides into x, the time its thread ran or waited for a CPU, and the time
 * it slept in the socket.  How long a CPU is waited for is the point: where sender and receiver
 * share CPUs, or with many threads, send() takes long because of that, and coding harder would
 * only make it worse.  From the sleep follows y, the time the link was busy with the packet.
 * They overlap, as the socket has buffers; the sixth root of x^6 + y^6 is close to the larger
 * of them and somewhat above where they are alike.  For each level x and y are predicted, and
 * the least sum of powers wins.
 */
#ifndef MFD_COMPRESS_POLICY_H
#define MFD_COMPRESS_POLICY_H

#include <stdbool.h>
#include <stdint.h>

/* Rungs of the ladder; 0 is none. */
#define POLICY_RUNGS 11u

/*
 * Some packets, one behind another, from the end of the packet before them to the end of the
 * last.  All times in ns, of one thread.
 */
struct policy_sample {
	uint64_t skipped;        /* before it, for packets that were not timed */
	uint64_t wall;
	uint64_t run;            /* CPU time in it */
	uint64_t waited;         /* ready to run, without a CPU */
	uint64_t asleep;         /* in the socket, neither running nor waiting for a CPU */
	uint64_t codec;          /* CPU time of coding, a part of run */
	uint64_t send;           /* CPU time of the socket, a part of run */
	uint64_t bytes;          /* of pages */
	uint64_t wire;           /* what became of them */
};

/* A check on leaving none: what a byte took before, and the sums since. */
struct policy_check {
	double raw;              /* 0: there is none going on */
	double wall, bytes;
	unsigned samples;
};

struct policy {
	/* What is known of the data. */
	double cost[POLICY_RUNGS];     /* ns of CPU for a byte, coded at that level */
	double ratio[POLICY_RUNGS];    /* coded bytes for a byte */
	double incompressible;         /* part of the bytes that goes raw whatever the level is */
	unsigned coded;                /* packets that have been learnt from */
	unsigned warm;                 /* bit i: rung i has been used, and the codec's tables are there */

	/*
	 * What is known of the path: sums over the last POLICY_MEMORY_NS or so, older ones
	 * fading.
	 */
	double wall, run, waited, asleep, codec, send, bytes, wire;

	double link;                   /* ns that the link needs for a byte */

	unsigned rung;           /* now */
	unsigned top;            /* the heaviest allowed */
	double age;              /* ns since the start */
	double since;            /* ns since the last change */
	unsigned samples;        /* since the last change */
	double purse;            /* ns that trials may use */
	bool lighter;            /* the side of the next trial */
	struct policy_check check;
	double hold;             /* ns that none is kept without asking */
};

/* The level of a rung other than 0, as zstd counts. */
int policy_level(unsigned rung);

/* No rung above @max_level, which is at least 1. */
void policy_init(struct policy *p, int max_level);

/* The rung for the next packet. */
unsigned policy_rung(const struct policy *p);

/*
 * Should the next packet, of @bytes, be coded at another level too, only to learn from it?
 * Then at which rung.
 */
bool policy_wants_trial(const struct policy *p, uint64_t bytes, unsigned *ret_rung);

/* A packet was coded at @rung: @bytes became @coded within @ns of CPU time. */
void policy_coded(struct policy *p, unsigned rung, uint64_t bytes, uint64_t coded, uint64_t ns);

/*
 * The same packet was coded at @rung before, as a trial beside @other's @other_coded and
 * @other_ns; 0 for no such thing.
 */
void policy_tried(struct policy *p, unsigned rung, uint64_t bytes, uint64_t coded, uint64_t ns, uint64_t other_coded, uint64_t other_ns);

/* The probe found @bytes of a packet to be incompressible, or not. */
void policy_probed(struct policy *p, bool incompressible);

/* Packets have been sent: learn from it and choose. */
void policy_sent(struct policy *p, const struct policy_sample *sample);

#endif
