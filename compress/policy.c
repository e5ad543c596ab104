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

/*
 * Of what a packet shows, this part is believed at once; the first packets are believed more.
 */
#define POLICY_GAIN 0.1
#define POLICY_TRIAL_GAIN 0.3

/*
 * Raw packets wait in the socket also when the receiver is short of CPU, which coding can't
 * mend and, on the same host, makes worse.  So leaving none has to promise more (as a sixth
 * power: 10 % of the time), and is checked after a while: if a byte then takes no less, it is
 * none again, and for twice as long as last time.  Where the thread sleeps most of the time
 * there is no doubt; where it sleeps little, coding would cost more than all that sleep.
 */
#define POLICY_LEAVE 0.53
#define POLICY_LEAVE_GAIN 0.97
#define POLICY_LITTLE_ASLEEP 0.4
#define POLICY_SURE_ASLEEP 0.75
#define POLICY_CHECK_NS (8 * MS)
#define POLICY_CHECK_SAMPLES 6u
#define POLICY_HOLD_NS (40 * MS)
#define POLICY_HOLD_MAX_NS (1000 * MS)

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

void policy_init(struct policy *p, int max_level)
{
	*p = (struct policy){ .rung = POLICY_START, .top = POLICY_START };
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

/* The first packet at a level is slow: the codec gets memory for its tables. */
static bool policy_is_warm(struct policy *p, unsigned rung)
{
	const bool warm = p->warm & 1u << rung;

	p->warm |= 1u << rung;
	return warm;
}

void policy_coded(struct policy *p, unsigned rung, uint64_t bytes, uint64_t coded, uint64_t ns)
{
	const double gain = fmax(POLICY_GAIN, 1.0 / (2 + p->coded));
	double cost, ratio;

	if (!rung || !bytes)
		return;
	cost = policy_is_warm(p, rung) ? 1 + gain * ((double)ns / (double)bytes / p->cost[rung] - 1) : 1;
	ratio = 1 + gain * ((double)coded / (double)bytes / p->ratio[rung] - 1);
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

void policy_tried(struct policy *p, unsigned rung, uint64_t bytes, uint64_t coded, uint64_t ns, uint64_t other_coded, uint64_t other_ns)
{
	const unsigned now = p->rung;

	p->purse -= (double)ns;
	p->lighter = !p->lighter;
	if (!other_coded || !other_ns || !now) {
		policy_coded(p, rung, bytes, coded, ns);
		return;
	}
	if (policy_is_warm(p, rung) && policy_is_warm(p, now))
		p->cost[rung] += POLICY_TRIAL_GAIN * (p->cost[now] * (double)ns / (double)other_ns - p->cost[rung]);
	p->ratio[rung] += POLICY_TRIAL_GAIN * (p->ratio[now] * (double)coded / (double)other_coded - p->ratio[rung]);
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

/* What a byte takes now: all in ns for a byte of pages. */
struct policy_now {
	double run;              /* CPU time of this thread */
	double stretch;          /* how much longer that takes, as CPUs are shared */
	double elsewhere;        /* asleep, but not in the socket: waiting for the source, or for work */
	double codec, send;      /* parts of run */
	double link;             /* for a byte on the wire */
	double wire;             /* bytes on the wire */
};

static struct policy_now policy_look(const struct policy *p)
{
	struct policy_now now = { .run = p->run / p->bytes, .codec = p->codec / p->bytes, .send = p->send / p->bytes, .wire = p->wire / p->bytes };
	const double wall = p->wall / p->bytes, x = (p->wall - p->asleep) / p->bytes;
	double y;

	now.stretch = 1 + p->waited / (p->run + POLICY_STRETCH_BASE * p->wall);
	now.elsewhere = fmax(x - now.stretch * now.run, 0);
	y = pow(fmax(power6(wall) - power6(x), power6(POLICY_LINK_FLOOR * wall)), 1.0 / 6);
	now.link = y / now.wire;
	return now;
}

/*
 * Who hardly sleeps in the socket learns about the link only that it is no slower than that.
 * What was known before then fades by and by: one burst of other work on the CPUs does not make
 * the link a fast one.  Raw packets say enough by themselves.
 */
static void policy_remember(struct policy *p, double wall)
{
	const double link = policy_look(p).link;
	const double known = p->link * POLICY_LINK_MEMORY_NS / (POLICY_LINK_MEMORY_NS + wall);

	p->link = p->rung ? fmax(link, fmin(known, p->wall / p->wire)) : link;
}

static double policy_predict(const struct policy *p, const struct policy_now *now, unsigned rung)
{
	const double codes = 1 - p->incompressible;
	const double wire = p->incompressible + codes * p->ratio[rung];
	const double run = now->run - now->codec + codes * p->cost[rung] + now->send * (wire / now->wire - 1);

	return power6(now->elsewhere + now->stretch * fmax(run, now->run * 0.05)) + power6(wire * p->link);
}

static void policy_change(struct policy *p, unsigned rung)
{
	p->rung = rung;
	p->since = 0;
	p->samples = 0;
}

static void policy_choose(struct policy *p)
{
	const struct policy_now now = policy_look(p);
	/*
	 * Beyond the start by steps: they are dear, and by then the link has been seen at the
	 * ones before.
	 */
	const unsigned last = p->rung < POLICY_START || p->age < POLICY_START_NS ? POLICY_START : p->rung + 1;
	double best = policy_predict(p, &now, p->rung) * (p->rung ? POLICY_HYSTERESIS : POLICY_LEAVE);
	unsigned rung = p->rung;

	for (unsigned i = 0; i <= p->top && i <= last; i++) {
		const double t = i == p->rung ? INFINITY : policy_predict(p, &now, i);

		if (t < best) {
			best = t;
			rung = i;
		}
	}
	if (rung == p->rung)
		return;
	if (!p->rung && p->asleep < POLICY_SURE_ASLEEP * p->wall)
		p->check = (struct policy_check){ .raw = p->wall / p->bytes };
	else if (!rung)
		p->check.raw = 0;
	policy_change(p, rung);
}

/* Was it right to leave none?  True when that is not known yet. */
static bool policy_check(struct policy *p, const struct policy_sample *s)
{
	struct policy_check *c = &p->check;

	if (!c->raw)
		return false;
	c->wall += (double)s->wall;
	c->bytes += (double)s->bytes;
	if (c->wall < POLICY_CHECK_NS || ++c->samples < POLICY_CHECK_SAMPLES)
		return true;
	if (c->wall < POLICY_LEAVE_GAIN * c->raw * c->bytes) {
		p->hold = 0;
	} else {
		p->hold = fmin(fmax(p->hold * 2, POLICY_HOLD_NS), POLICY_HOLD_MAX_NS);
		policy_change(p, 0);
	}
	c->raw = 0;
	return false;
}

static void policy_add(struct policy *p, const struct policy_sample *s, double passed)
{
	const double keep = POLICY_MEMORY_NS / (POLICY_MEMORY_NS + passed);

	p->wall = p->wall * keep + (double)s->wall;
	p->run = p->run * keep + (double)s->run;
	p->waited = p->waited * keep + (double)s->waited;
	p->asleep = p->asleep * keep + (double)s->asleep;
	p->codec = p->codec * keep + (double)s->codec;
	p->send = p->send * keep + (double)s->send;
	p->bytes = p->bytes * keep + (double)s->bytes;
	p->wire = p->wire * keep + (double)s->wire;
	p->age += passed;
	p->since += passed;
	p->samples++;
	p->purse = fmin(p->purse + POLICY_TRIALS * passed, POLICY_PURSE_NS);
}

/* Is it time to choose? */
static bool policy_due(const struct policy *p)
{
	const bool first = p->since >= p->age;

	if (!p->rung && (p->since < p->hold || p->asleep < POLICY_LITTLE_ASLEEP * p->wall))
		return false;
	if (first && p->samples == POLICY_FIRST_SAMPLES && p->asleep < POLICY_FIRST_ASLEEP * p->wall)
		return true;
	return p->since >= POLICY_DWELL_NS && p->samples >= POLICY_DWELL_SAMPLES;
}

void policy_sent(struct policy *p, const struct policy_sample *s)
{
	const double passed = (double)(s->skipped + s->wall);

	policy_add(p, s, passed);
	if (!p->bytes || !p->wire)
		return;
	policy_remember(p, passed);
	if (!policy_check(p, s) && policy_due(p))
		policy_choose(p);
}
