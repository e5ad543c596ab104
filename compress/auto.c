/* SPDX-License-Identifier: MIT */
/*
 * Method auto: each packet raw or as zstd of some level, as what its thread measures suggests.
 * policy.h says how that is decided; here the packets are probed, coded and timed.
 *
 * It only sends.  Its packets are those of methods none and zstd, so that a session with it is
 * one of method zstd to the receiver.  An object is its thread's, but the policy is of all threads
 * of a session, with a lock.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cpu_load.h"
#include "base/cpus.h"
#include "base/io.h"
#include "base/thread_time.h"
#include "compress/policy.h"
#include "compress/probe.h"
#include "compress/zstd.h"

/* Raw packets take so little time that only one in so many is timed; coded ones all are. */
#define AUTO_TIMED 4u

/*
 * Of packets that the probe calls incompressible one in so many is coded all the same; the
 * probe is not asked for as many if that was wrong.
 */
#define AUTO_VERIFY 32u

/*
 * How often the load of the CPUs is looked at, the first time and then: it comes in ticks of
 * 10 ms, and one CPU's alone should say something.
 */
#define AUTO_LOAD_FIRST_NS (30 * CLOCK_NS_PER_MS)
#define AUTO_LOAD_NS (50 * CLOCK_NS_PER_MS)

/* Those that are not acknowledged, and the last one that is. */
#define AUTO_MARKS (2 * METHOD_UNACKNOWLEDGED_MAX)

/* Readings of clocks that only grow. */
struct auto_clocks {
	uint64_t wall, run, waited;
};

/* A packet that was sent. */
struct auto_mark {
	uint64_t wire;               /* bytes up to here */
	uint64_t ns;                 /* when; 0: not known */
};

/* What the objects of one session share; it goes with the last of them. */
struct auto_group {
	int load_fd;                 /* set before the threads start */

	/* Guards the rest; taken three times a packet, for no longer than arithmetic takes. */
	pthread_mutex_t lock;
	unsigned members;
	struct policy policy;
	struct cpu_load load;        /* as last read */
	uint64_t load_due_ns;        /* when it is to be read again */
};

struct auto_method {
	/* Set before the thread starts, never changed. */
	struct method method;
	struct method *zstd;
	struct auto_group *group;

	int level;                   /* that zstd is set to */
	unsigned warm;               /* bit i: rung i has been used, so its tables are there */
	unsigned flat;               /* packets that were called incompressible */
	unsigned doubt;              /* so many packets more are not probed */

	/* Timing. */
	bool started;
	bool prepared;               /* a packet is between send_prepare() and sent() */
	int waited_fd;
	struct auto_clocks before;   /* when the packet went to the socket */
	struct auto_clocks last;     /* when the last one that was timed had been sent */
	unsigned skip;               /* so many more are not timed */
	uint64_t bytes;              /* of this packet's pages */
	struct policy_sample sample; /* since then */

	/* What is on its way. */
	uint64_t wire;               /* bytes sent so far */
	uint64_t acknowledged;       /* packets, and as bytes: */
	uint64_t acked_wire;
	struct auto_mark sent[AUTO_MARKS];
};

static struct auto_clocks auto_read(const struct auto_method *a)
{
	return (struct auto_clocks){
		clock_ns(), thread_time_cpu_ns(), thread_time_waited_ns(a->waited_fd),
	};
}

/* ---- Objects and their group. ---- */

static void auto_leave(struct auto_group *g)
{
	bool last;

	pthread_mutex_lock(&g->lock);
	last = --g->members == 0;
	g->policy.threads = g->members;
	pthread_mutex_unlock(&g->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&g->lock);
	if (g->load_fd >= 0)
		io_close(g->load_fd);
	free(g);
}

static void auto_join(struct method *m, struct method *with)
{
	struct auto_method *a = (struct auto_method *)m;
	struct auto_group *g = ((struct auto_method *)with)->group;

	auto_leave(a->group);
	pthread_mutex_lock(&g->lock);
	g->policy.threads = ++g->members;
	pthread_mutex_unlock(&g->lock);
	a->group = g;
}

static void auto_free(struct method *m)
{
	struct auto_method *a = (struct auto_method *)m;

	auto_leave(a->group);
	a->zstd->ops->free(a->zstd);
	if (a->waited_fd >= 0)
		io_close(a->waited_fd);
	free(a);
}

static bool auto_new_receiver(struct method **ret, struct mfd_error *err)
{
	return method_zstd.new_receiver(ret, err);
}

static bool auto_new_sender(int level, size_t max_bytes, struct method **ret,
			    struct mfd_error *err)
{
	struct auto_method *a = calloc(1, sizeof(*a));
	struct auto_group *g = calloc(1, sizeof(*g));

	if (!a || !g) {
		free(a);
		free(g);
		return error_set_os(err, MFD_OS, ENOMEM, "method auto");
	}
	policy_init(&g->policy, level, cpus_usable());
	a->level = policy_level(policy_rung(&g->policy));
	if (!method_zstd.new_sender(a->level, max_bytes, &a->zstd, err)) {
		free(a);
		free(g);
		return false;
	}
	pthread_mutex_init(&g->lock, NULL);
	g->load_fd = cpu_load_open();
	g->members = g->policy.threads = 1;
	a->method.ops = &method_auto;
	a->group = g;
	a->waited_fd = -1;
	*ret = &a->method;
	return true;
}

static struct policy *auto_policy(struct auto_method *a)
{
	pthread_mutex_lock(&a->group->lock);
	return &a->group->policy;
}

static void auto_policy_done(struct auto_method *a)
{
	pthread_mutex_unlock(&a->group->lock);
}

/* Only a thread itself can open its figures. */
static void auto_start(struct auto_method *a)
{
	a->waited_fd = thread_time_open();
	a->last = auto_read(a);
	a->started = true;
}

/* ---- Coding. ---- */

/* What the policy wants with a packet, and what became of that. */
struct auto_plan {
	unsigned rung;
	unsigned other;              /* another one to be tried on it */
	bool tries;
	bool probed, flat;           /* the probe was asked, and called it incompressible */
	bool verifies;               /* is coded all the same */
	struct policy_coded coded, trial;
};

static bool auto_code(struct auto_method *a, unsigned rung, struct method_pages *pages,
		      struct method_payload *payload, struct policy_coded *ret,
		      struct mfd_error *err)
{
	const int level = policy_level(rung);
	const uint64_t since = thread_time_cpu_ns();

	if (level != a->level && !zstd_set_level(a->zstd, level, err))
		return false;
	a->level = level;
	if (!a->zstd->ops->send_prepare(a->zstd, pages, payload, err))
		return false;
	*ret = (struct policy_coded){
		.rung = rung, .bytes = a->bytes, .coded = payload->bytes,
		.ns = thread_time_cpu_ns() - since, .warm = a->warm & 1u << rung,
	};
	a->warm |= 1u << rung;
	a->sample.codec += ret->ns;
	return true;
}

/* Is this packet to go as it is because no level would help? */
static bool auto_is_flat(struct auto_method *a, struct auto_plan *plan,
			 const struct method_pages *pages)
{
	if (a->doubt) {
		a->doubt--;
		return false;
	}
	plan->probed = true;
	plan->flat = probe_incompressible(pages);
	plan->verifies = plan->flat && plan->rung && ++a->flat % AUTO_VERIFY == 0;
	return plan->flat && !plan->verifies;
}

/* A packet at the policy's level, and at another one as well if that wants to know. */
static bool auto_code_packet(struct auto_method *a, struct auto_plan *plan,
			     struct method_pages *pages, struct method_payload *payload,
			     struct mfd_error *err)
{
	if (plan->tries && !plan->verifies &&
	    !auto_code(a, plan->other, pages, payload, &plan->trial, err))
		return false;
	if (!plan->rung)
		method_raw(pages, payload);
	else if (!auto_code(a, plan->rung, pages, payload, &plan->coded, err))
		return false;
	if (plan->verifies && plan->coded.coded < plan->coded.bytes - plan->coded.bytes / 8)
		a->doubt = AUTO_VERIFY;
	return true;
}

static struct auto_plan auto_ask(struct auto_method *a)
{
	const struct policy *p = auto_policy(a);
	struct auto_plan plan = { .rung = policy_rung(p) };

	a->sample.rung = plan.rung;
	plan.tries = policy_wants_trial(p, a->bytes, &plan.other);
	auto_policy_done(a);
	return plan;
}

static void auto_tell(struct auto_method *a, const struct auto_plan *plan)
{
	struct policy *p;

	if (!plan->probed && !plan->trial.ns && !plan->coded.ns)
		return;
	p = auto_policy(a);
	if (plan->probed)
		policy_probed(p, plan->flat);
	if (plan->trial.ns)
		policy_tried(p, &plan->trial, &plan->coded);
	if (plan->coded.ns && !plan->verifies)
		policy_coded(p, &plan->coded);
	auto_policy_done(a);
}

static bool auto_send_prepare(struct method *m, struct method_pages *pages,
			      struct method_payload *payload, struct mfd_error *err)
{
	struct auto_method *a = (struct auto_method *)m;
	struct auto_plan plan;

	if (!a->started)
		auto_start(a);
	a->bytes = (uint64_t)pages->data_pages * pages->page_bytes;
	a->sample.bytes += a->bytes;
	a->sample.packets++;
	plan = auto_ask(a);
	if ((!plan.rung && !plan.tries) || auto_is_flat(a, &plan, pages))
		method_raw(pages, payload);
	else if (!auto_code_packet(a, &plan, pages, payload, err))
		return false;
	auto_tell(a, &plan);
	a->prepared = true;
	if (!a->skip)
		a->before = auto_read(a);
	return true;
}

/* ---- Timing. ---- */

static uint64_t less(uint64_t from, uint64_t what)
{
	return from > what ? from - what : 0;
}

/* Note what was sent, for when it is acknowledged. */
static void auto_remember(struct auto_method *a, const struct method_sent *sent,
			  uint64_t now_ns)
{
	a->wire += sent->wire_bytes;
	if (sent->packets)
		a->sent[(sent->packets - 1) % AUTO_MARKS] =
			(struct auto_mark){ a->wire, now_ns };
}

/* What the acknowledgements since the last time say. */
static void auto_acknowledged(struct auto_method *a, uint64_t acknowledged, uint64_t now_ns)
{
	struct policy_sample *s = &a->sample;
	const struct auto_mark *m;

	if (acknowledged == a->acknowledged)
		return;
	m = &a->sent[(acknowledged - 1) % AUTO_MARKS];
	s->acked_wire = less(m->wire, a->acked_wire);
	s->latency = m->ns ? now_ns - m->ns : 0;
	a->acked_wire = m->wire;
	a->acknowledged = acknowledged;
}

/* Is it time to look at the load?  Then it is this thread that does. */
static bool auto_load_is_due_locked(struct auto_group *g, uint64_t now_ns)
{
	if (now_ns < g->load_due_ns)
		return false;
	g->load_due_ns = now_ns + (g->load.all ? AUTO_LOAD_NS : AUTO_LOAD_FIRST_NS);
	return true;
}

/* Without the lock for the reading, which takes long on a machine with many CPUs. */
static void auto_look_at_load(struct auto_method *a)
{
	struct auto_group *g = a->group;
	struct cpu_load load, passed;

	if (!cpu_load_read(g->load_fd, &load))
		return;
	pthread_mutex_lock(&g->lock);
	passed = (struct cpu_load){ load.idle - g->load.idle, load.all - g->load.all };
	if (g->load.all && load.all > g->load.all && load.idle >= g->load.idle)
		policy_load(&g->policy, (double)passed.idle / (double)passed.all);
	g->load = load;
	pthread_mutex_unlock(&g->lock);
}

/* A packet that is not timed: its part of the next sample. */
static void auto_sent_untimed(struct auto_method *a, const struct method_sent *sent)
{
	auto_remember(a, sent, 0);
	if (!a->prepared)
		return;
	a->prepared = false;
	a->skip--;
}

static void auto_sent(struct method *m, const struct method_sent *sent)
{
	struct auto_method *a = (struct auto_method *)m;
	struct policy_sample *s = &a->sample;
	struct auto_clocks now;
	uint64_t send;
	bool load;

	s->wire += sent->wire_bytes;
	if (!a->prepared || a->skip) {
		auto_sent_untimed(a, sent);
		return;
	}
	now = auto_read(a);
	auto_remember(a, sent, now.wall);
	auto_acknowledged(a, sent->acknowledged, now.wall);
	a->prepared = false;
	send = now.run - a->before.run;
	s->now = now.wall;
	s->wall = now.wall - a->last.wall;
	s->run = now.run - a->last.run;
	s->waited = now.waited - a->last.waited;
	/* Those that were not timed are taken to be like this one. */
	s->send = send * s->packets;
	s->asleep = less(sent->socket_ns, send + now.waited - a->before.waited) * s->packets;
	if (s->asleep > s->wall)
		s->asleep = s->wall;
	policy_sent(auto_policy(a), s);
	load = auto_load_is_due_locked(a->group, now.wall);
	auto_policy_done(a);
	if (load)
		auto_look_at_load(a);
	a->last = now;
	if (!s->rung)
		a->skip = AUTO_TIMED - 1;
	*s = (struct policy_sample){ 0 };
}

static bool auto_recv_pages(struct method *m, const uint8_t *payload, size_t size, uint8_t *ret,
			    size_t bytes, struct mfd_error *err)
{
	(void)m;
	(void)payload;
	(void)size;
	(void)ret;
	(void)bytes;
	return error_set(err, MFD_BUG, "method auto only sends");
}

const struct method_ops method_auto = {
	.name = "auto",
	.id = METHOD_ZSTD,
	.level_min = 1,
	.level_max = 19,
	.level_default = 9,
	.adaptive = true,
	.encoder = method_own_encoder,
	.decoder = method_own_decoder,
	.new_sender = auto_new_sender,
	.new_receiver = auto_new_receiver,
	.join = auto_join,
	.send_prepare = auto_send_prepare,
	.sent = auto_sent,
	.recv_pages = auto_recv_pages,
	.free = auto_free,
};
