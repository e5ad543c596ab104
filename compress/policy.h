/* SPDX-License-Identifier: MIT */
/*
 * The policy of method auto: which level costs the least time for a byte of pages?  Pure
 * arithmetic: it reads no clock and knows no codec; whoever owns it calls it from one thread at a
 * time.  All threads of a session have one, as they share the CPUs and the link: what one of them
 * gains by coding less or more the others may lose.
 *
 * For each level of a ladder it keeps what coding a byte costs (ns of CPU) and what is left of
 * it (the ratio).  They begin as what is typical of memory; every coded packet moves all of
 * them together, since it is mostly the data that changes, and a packet coded at two levels (a
 * trial) moves them against each other.
 *
 * Three things bound a transfer, and the time that a thread has for a byte divides into them:
 *
 *	x  what the thread itself does, and waits for a CPU meanwhile.
 *	z  what all threads and, if it is on this machine, the receiver do, divided by the CPUs.
 *	   How busy these are says how much others do.  Without it a thread whose receiver gets no
 *	   CPU, because the senders have them, would take the link for slow and code even harder.
 *	y  how long the link is busy.  It follows from the time that a thread sleeps in the socket,
 *	   unless z explains that; and on a long path, where buffers take so much that nobody sleeps
 *	   for a long time, from how fast acknowledgements come.
 *
 * They overlap, as there are buffers everywhere; the sixth root of x^6 + y^6 + z^6 is close to
 * the largest of them and somewhat above where they are alike.  For each level all are
 * predicted, and the least sum of powers wins.
 */
#ifndef MFD_COMPRESS_POLICY_H
#define MFD_COMPRESS_POLICY_H

#include <stdbool.h>
#include <stdint.h>

/* Rungs of the ladder; 0 is none. */
#define POLICY_RUNGS 11u

/*
 * Some packets of one thread, from the end of the sample before to the end of the last.  All times
 * in ns.
 */
struct policy_sample {
	unsigned packets;
	unsigned rung;           /* they were coded at */
	uint64_t now;            /* at its end */
	uint64_t wall;
	uint64_t run;            /* CPU time in it */
	uint64_t waited;         /* ready to run, without a CPU */
	uint64_t asleep;         /* in the socket, neither running nor waiting for a CPU */
	uint64_t codec;          /* CPU time of coding, a part of run */
	uint64_t send;           /* CPU time of the socket, a part of run */
	uint64_t bytes;          /* of pages */
	uint64_t wire;           /* what became of them */
	uint64_t acked_wire;     /* what the receiver was found to have acknowledged, and */
	uint64_t latency;        /* how long ago the last of that was sent; 0: not known */
};

/* A packet that was coded. */
struct policy_coded {
	unsigned rung;
	uint64_t bytes;          /* of pages */
	uint64_t coded;          /* what became of them */
	uint64_t ns;             /* CPU time; 0: it was not coded after all */
	bool warm;               /* not the thread's first at this rung: there are tables */
};

struct policy {
	/* What is known of the data. */
	double cost[POLICY_RUNGS];     /* ns of CPU for a byte, coded at that level */
	double ratio[POLICY_RUNGS];    /* coded bytes for a byte */
	double incompressible;         /* part of the bytes that goes raw whatever the level is */
	unsigned coded;                /* packets that have been learnt from */

	/*
	 * What is known of the path: sums over the last POLICY_MEMORY_NS or so, older ones
	 * fading.
	 */
	double wall, run, waited, asleep, codec, send, bytes, wire;

	double link;                   /* ns that the link needs for a byte */

	/* The same for acknowledgements. */
	double acked_ns, acked_wire;
	double latency, latency_min;   /* ns, last and least; 0: not known */

	/* What is known of the CPUs. */
	unsigned cpus;
	bool loaded;                   /* others is known */
	double others;                 /* ns of CPU that others spend for a byte */
	double load_bytes, load_run;   /* sums since policy_load() */
	uint64_t load_now;             /* when that was */

	unsigned rung;           /* now */
	unsigned top;            /* the heaviest allowed */
	unsigned threads;        /* whose samples these are */
	uint64_t now;            /* of the last sample */
	double passed;           /* ns with it */
	double age;              /* ns since the start */
	double since;            /* ns since the last change */
	unsigned samples;        /* since the last change */
	double purse;            /* ns that trials may use */
	bool lighter;            /* the side of the next trial */
	double barred, bar;      /* on a long path: none not before that age; for so long */
};

/* The level of a rung other than 0, as zstd counts. */
int policy_level(unsigned rung);

/* No rung above @max_level, which is at least 1; @cpus are there to be used. */
void policy_init(struct policy *p, int max_level, unsigned cpus);

/* The rung for the next packet. */
unsigned policy_rung(const struct policy *p);

/*
 * Should the next packet, of @bytes, be coded at another level too, only to learn from it?
 * Then at which rung.
 */
bool policy_wants_trial(const struct policy *p, uint64_t bytes, unsigned *ret_rung);

/* A packet was coded at a rung other than 0. */
void policy_coded(struct policy *p, const struct policy_coded *c);

/* A packet was coded as a @trial, beside what was sent, @real, if that was coded. */
void policy_tried(struct policy *p, const struct policy_coded *trial,
		  const struct policy_coded *real);

/* The probe found @bytes of a packet to be incompressible, or not. */
void policy_probed(struct policy *p, bool incompressible);

/* This part of our CPUs' time was idle since the last time, or the first sample; 0..1. */
void policy_load(struct policy *p, double idle);

/* Packets have been sent: learn from it and choose. */
void policy_sent(struct policy *p, const struct policy_sample *sample);

#endif
