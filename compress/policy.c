/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic of method auto; policy.h has the idea.
 */
#include "compress/policy.h"

#include <math.h>

#define MS 1e6

/* How long the path is remembered: a few packets of a slow link, dozens of a fast one. */
#define POLICY_MEMORY_NS (25 * MS)

/* How long a link is taken to be as slow as it was, once other things keep us from noticing. */
#define POLICY_LINK_MEMORY_NS (50 * MS)

/*
 * Not more often than this is the level changed, and not before this many samples have been
 * seen at it.
 */
#define POLICY_DWELL_NS (4 * MS)
#define POLICY_DWELL_SAMPLES 2u

/*
 * But the first level is a guess, and so many packets are enough to see that the link does not
 * make us wait at all.
 */
#define POLICY_FIRST_SAMPLES 3u
#define POLICY_FIRST_ASLEEP 0.02

/*
 * A connection that has just begun is slow because it has: until then nothing heavier than at
 * the start.
 */
#define POLICY_START_NS (15 * MS)

/* What is predicted to win less than this is left alone; as a sixth power: 1 % of the time. */
#define POLICY_HYSTERESIS 0.942

/*
 * A link that never made us wait is taken to be busy for this part of the time: how fast it
 * would be is not known.
 */
#define POLICY_LINK_FLOOR 0.2

/*
 * Who sleeps most of the time waits for a CPU at each wake, however little it then does; the
 * more it runs, the more the wait is in proportion. This part of the time is added to what it
 * ran.
 */
#define POLICY_STRETCH_BASE 0.1

/* Trials may use this part of the time. */
#define POLICY_TRIALS 0.005
#define POLICY_PURSE_NS (50 * MS)

/* Of what a packet shows, this part is believed at once; the first packets are believed more. */
#define POLICY_GAIN 0.1
#define POLICY_TRIAL_GAIN 0.3

/*
 * Leaving none has to promise more (as a sixth power: 10 % of the time); and where a thread sleeps
 * little, coding would cost more than all that sleep.
 */
#define POLICY_LEAVE 0.53
#define POLICY_LITTLE_ASLEEP 0.4

/*
 * A receiver on the same CPUs does not spend more on a byte than coding it costs, times this:
 * beyond it is somebody else's work.
 */
#define POLICY_OTHERS 2

/*
 * A path is long when acknowledgements never take less.  Then it is taken to be a little faster
 * than they come, enough to try the next lighter level, and no faster once they take longer.
 */
#define POLICY_LONG_NS (20 * MS)
#define POLICY_HEADROOM 1.25
#define POLICY_QUEUED 1.25

/*
 * None is more than twice the next level's bytes: if that did not go well, it is not tried again
 * for so long, and then twice as long.
 */
#define POLICY_BAR_NS (1000 * MS)

/* So long nothing lighter than the start is tried without any acknowledgement. */
#define POLICY_BLIND_NS (300 * MS)

struct rung {
	int level;
	double cost, ratio;
};

/*
 * Cost and ratio of packets of 256 KiB from a Linux guest's memory on a CPU of 2023.  Only how
 * they stand to each other matters for more than the first packets.
 */
static const struct rung policy_ladder[POLICY_RUNGS] = {
	{ 0, 0, 1 },
	{ -20, 0.60, 0.45 },
	{ -5, 0.95, 0.36 },
	{ -1, 1.1, 0.32 },
	{ 1, 1.3, 0.30 },
	{ 3, 2.1, 0.292 },
	{ 6, 5.8, 0.286 },
	{ 9, 14, 0.282 },
	{ 12, 60, 0.280 },
	{ 15, 90, 0.277 },
	{ 19, 250, 0.272 },
};

/*
 * Where it starts: light enough for a fast path, where few packets do no harm, and not too
 * light for a slow one.
 */
#define POLICY_START 4u

int policy_level(unsigned rung)
{
	return policy_ladder[rung].level;
}

void policy_init(struct policy *p, int max_level, unsigned cpus)
{
	*p = (struct policy){
		.rung = POLICY_START, .top = POLICY_START, .threads = 1, .cpus = cpus,
	};
	for (unsigned i = 0; i < POLICY_RUNGS; i++) {
		p->cost[i] = policy_ladder[i].cost;
		p->ratio[i] = policy_ladder[i].ratio;
		if (i > p->top && policy_ladder[i].level <= max_level)
			p->top = i;
	}
}

unsigned policy_rung(const struct policy *p)
{
	return p->rung;
}

/* ---- What the data is like. ---- */

void policy_coded(struct policy *p, const struct policy_coded *c)
{
	const double gain = fmax(POLICY_GAIN, 1.0 / (2 + p->coded)), bytes = (double)c->bytes;
	double cost = 1, ratio;

	if (!c->rung || !c->bytes)
		return;
	if (c->warm)
		cost += gain * ((double)c->ns / bytes / p->cost[c->rung] - 1);
	ratio = 1 + gain * ((double)c->coded / bytes / p->ratio[c->rung] - 1);
	/* None of them comes to more than all. */
	for (unsigned i = 1; i < POLICY_RUNGS; i++)
		ratio = fmin(ratio, 1 / p->ratio[i]);
	for (unsigned i = 1; i < POLICY_RUNGS; i++) {
		p->cost[i] = fmax(p->cost[i] * cost, 1e-3);
		p->ratio[i] = fmax(p->ratio[i] * ratio, 1e-4);
	}
	p->coded++;
}

bool policy_wants_trial(const struct policy *p, uint64_t bytes, unsigned *ret_rung)
{
	const bool lighter = p->rung == p->top || (p->lighter && p->rung > 1);
	const unsigned rung = lighter ? p->rung - 1 : p->rung + 1;

	*ret_rung = rung;
	return p->purse > p->cost[rung] * (double)bytes;
}

void policy_tried(struct policy *p, const struct policy_coded *trial,
		  const struct policy_coded *real)
{
	const unsigned rung = trial->rung, now = real->rung;

	p->purse -= (double)trial->ns;
	p->lighter = !p->lighter;
	if (!real->ns || !real->coded || !now) {
		policy_coded(p, trial);
		return;
	}
	if (trial->warm && real->warm)
		p->cost[rung] += POLICY_TRIAL_GAIN *
			(p->cost[now] * (double)trial->ns / (double)real->ns - p->cost[rung]);
	p->ratio[rung] += POLICY_TRIAL_GAIN *
		(p->ratio[now] * (double)trial->coded / (double)real->coded - p->ratio[rung]);
	p->ratio[rung] = fmin(p->ratio[rung], 1);
}

void policy_probed(struct policy *p, bool incompressible)
{
	p->incompressible += POLICY_GAIN / 2 * ((incompressible ? 1 : 0) - p->incompressible);
}

/* ---- What the path is like, and which level suits both. ---- */

static double power6(double x)
{
	return x * x * x * x * x * x;
}

/* What a byte takes a thread now: all in ns for a byte of pages. */
struct policy_now {
	double run;              /* its CPU time */
	double stretch;          /* how much longer that takes, as CPUs are shared */
	double elsewhere;        /* asleep, but not in the socket: for the source, or for work */
	double codec, send;      /* parts of run */
	double link;             /* for a byte on the wire */
	double wire;             /* bytes on the wire */
};

/*
 * If a thread spends @run on a byte: how long are the CPUs busy with what all threads and the
 * receiver have to do in the time that it has for one?
 */
static double policy_cpus(const struct policy *p, double run)
{
	return p->loaded ? (p->others + run) * p->threads / p->cpus : 0;
}

static struct policy_now policy_look(const struct policy *p)
{
	struct policy_now now = {
		.run = p->run / p->bytes, .codec = p->codec / p->bytes,
		.send = p->send / p->bytes, .wire = p->wire / p->bytes,
	};
	const double wall = p->wall / p->bytes, x = (p->wall - p->asleep) / p->bytes;
	double y;

	now.stretch = 1 + p->waited / (p->run + POLICY_STRETCH_BASE * p->wall);
	now.elsewhere = fmax(x - now.stretch * now.run, 0);
	y = power6(wall) - power6(x) - power6(policy_cpus(p, now.run));
	y = pow(fmax(y, power6(POLICY_LINK_FLOOR * wall)), 1.0 / 6);
	now.link = y / now.wire;
	return now;
}

/*
 * Who hardly sleeps in the socket learns about the link only that it is no slower than that.
 * What was known before then fades by and by: one burst of other work on the CPUs does not make
 * the link a fast one.  Raw packets say enough by themselves.
 */
static void policy_remember(struct policy *p)
{
	const double fades = POLICY_LINK_MEMORY_NS / (POLICY_LINK_MEMORY_NS + p->passed);
	const double link = policy_look(p).link;
	double acked;

	p->link = p->rung ? fmax(link, fmin(p->link * fades, p->wall / p->wire)) : link;
	/* What is acknowledged on a long path was coded as it is now only after a while. */
	if (p->latency_min < POLICY_LONG_NS || p->since < p->latency_min || !p->acked_wire)
		return;
	acked = p->acked_ns * p->threads / p->acked_wire;
	if (p->latency < POLICY_QUEUED * p->latency_min)
		acked /= POLICY_HEADROOM * (p->rung ? p->ratio[p->rung - 1] / p->ratio[p->rung] :
					    1);
	p->link = fmax(p->link, acked);
}

static double policy_predict(const struct policy *p, const struct policy_now *now, unsigned rung)
{
	const double codes = 1 - p->incompressible;
	const double wire = p->incompressible + codes * p->ratio[rung];
	const double run = fmax(now->run - now->codec + codes * p->cost[rung] +
				now->send * (wire / now->wire - 1), now->run * 0.05);

	return power6(now->elsewhere + now->stretch * run) + power6(policy_cpus(p, run)) +
	       power6(wire * p->link);
}

static void policy_change(struct policy *p, unsigned rung)
{
	p->rung = rung;
	p->since = 0;
	p->samples = 0;
}

/*
 * The lightest rung that may be had now.  What is too much for a long path shows only when an
 * acknowledgement has been there and back, and by then much of it is in buffers on the way: a
 * tunnel's or a proxy's take tens of megabytes without making us wait.  So one step at a time,
 * and none before the first acknowledgement.
 */
static unsigned policy_lightest(const struct policy *p)
{
	unsigned rung = p->rung;

	if (p->latency_min ? p->since < p->latency_min : p->age < POLICY_BLIND_NS)
		return rung;
	if (p->latency_min < POLICY_LONG_NS)
		return 0;
	if (rung <= 1)
		return p->age < p->barred ? rung : 0;
	do
		rung--;
	while (rung > 1 && p->ratio[rung - 1] < POLICY_HEADROOM * p->ratio[p->rung]);
	return rung;
}

static void policy_choose(struct policy *p)
{
	const struct policy_now now = policy_look(p);
	/*
	 * Beyond the start by steps: they are dear, and by then the link has been seen at the
	 * ones before.
	 */
	const bool starts = p->rung < POLICY_START || p->age < POLICY_START_NS;
	const unsigned last = starts ? POLICY_START : p->rung + 1;
	double best = policy_predict(p, &now, p->rung) *
		      (p->rung ? POLICY_HYSTERESIS : POLICY_LEAVE);
	unsigned rung = p->rung;

	for (unsigned i = policy_lightest(p); i <= p->top && i <= last; i++) {
		const double t = i == p->rung ? INFINITY : policy_predict(p, &now, i);

		if (t < best) {
			best = t;
			rung = i;
		}
	}
	if (rung == p->rung)
		return;
	if (!p->rung && p->latency_min >= POLICY_LONG_NS) {
		p->bar = fmax(2 * p->bar, POLICY_BAR_NS);
		p->barred = p->age + p->bar;
	}
	policy_change(p, rung);
}

void policy_load(struct policy *p, double idle)
{
	const double busy = (1 - idle) * p->cpus * (double)(p->now - p->load_now);
	double others;

	if (p->load_bytes) {
		others = fmax(busy - p->load_run, 0) / p->load_bytes;
		others = fmin(others, POLICY_OTHERS * p->cost[POLICY_START]);
		p->others = p->loaded ? (p->others + others) / 2 : others;
		p->loaded = true;
	}
	p->load_now = p->now;
	p->load_bytes = p->load_run = 0;
}

static void policy_add_acked(struct policy *p, const struct policy_sample *s, double keep)
{
	if (s->latency) {
		p->latency = (double)s->latency;
		p->latency_min = p->latency_min ? fmin(p->latency_min, p->latency) : p->latency;
	}
	/* Before the first one there is nothing to know. */
	if (!p->acked_wire && !s->acked_wire)
		return;
	p->acked_ns = p->acked_ns * keep + p->passed;
	p->acked_wire = p->acked_wire * keep + (double)s->acked_wire;
}

/*
 * Samples come when they are done, and where threads take turns on the CPUs one may be much
 * longer than another.  So time passes by the clock, for all threads.
 */
static void policy_pass(struct policy *p, const struct policy_sample *s)
{
	if (!p->now)
		p->now = p->load_now = s->now - s->wall;
	p->passed = s->now > p->now ? (double)(s->now - p->now) : 0;
	p->now = s->now > p->now ? s->now : p->now;
	p->age += p->passed;
	p->since += p->passed;
	p->purse = fmin(p->purse + POLICY_TRIALS * p->passed * p->threads, POLICY_PURSE_NS);
}

static void policy_add(struct policy *p, const struct policy_sample *s)
{
	const double keep = POLICY_MEMORY_NS / (POLICY_MEMORY_NS + p->passed);

	p->wall = p->wall * keep + p->passed * p->threads;
	p->run = p->run * keep + (double)s->run;
	p->waited = p->waited * keep + (double)s->waited;
	p->asleep = p->asleep * keep + (double)s->asleep;
	p->codec = p->codec * keep + (double)s->codec;
	p->send = p->send * keep + (double)s->send;
	p->bytes = p->bytes * keep + (double)s->bytes;
	p->wire = p->wire * keep + (double)s->wire;
	p->load_bytes += (double)s->bytes;
	p->load_run += (double)s->run;
	p->samples++;
	policy_add_acked(p, s, keep);
}

/* Is it time to choose? */
static bool policy_due(const struct policy *p)
{
	const bool first = p->since >= p->age;

	if (!p->rung && p->asleep < POLICY_LITTLE_ASLEEP * p->wall)
		return false;
	if (first && p->samples == POLICY_FIRST_SAMPLES &&
	    p->asleep < POLICY_FIRST_ASLEEP * p->wall)
		return true;
	return p->since >= POLICY_DWELL_NS && p->samples >= POLICY_DWELL_SAMPLES;
}

void policy_sent(struct policy *p, const struct policy_sample *s)
{
	policy_pass(p, s);
	policy_add(p, s);
	if (!p->bytes || !p->wire || !p->wall)
		return;
	policy_remember(p);
	if (policy_due(p))
		policy_choose(p);
}
