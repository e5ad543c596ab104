/* SPDX-License-Identifier: MIT */
/*
 * Method auto: each packet raw or as zstd of some level, as what its thread measures suggests.
 * policy.h says how that is decided; here the packets are probed, coded and timed.
 *
 * It only sends.  Its packets are those of methods none and zstd, so that a session with it is
 * one of method zstd to the receiver. Everything is of one thread: threads that share a link or
 * the CPUs notice each other by what is left of them.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
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

/* Readings of clocks that only grow. */
struct auto_clocks {
	uint64_t wall, run, waited;
};

struct auto_method {
	/* Set before the thread starts, never changed. */
	struct method method;
	struct method *zstd;

	struct policy policy;
	int level;                   /* that zstd is set to */
	unsigned flat;               /* packets that were called incompressible */
	bool verifies;               /* this is one of them, and coded all the same */
	unsigned doubt;              /* so many packets more are not probed */

	/* Timing. */
	bool started;
	bool prepared;               /* a packet is between send_prepare() and sent() */
	int waited_fd;
	struct auto_clocks before;   /* when the packet went to the socket */
	struct auto_clocks last;     /* when the packet before it had been sent, if this one is timed */
	uint64_t end;                /* of the last packet that was timed, in ns */
	unsigned skip;               /* so many more are not */
	struct policy_sample sample; /* of this packet, so far */
};

static struct auto_clocks auto_read(const struct auto_method *a)
{
	return (struct auto_clocks){ clock_ns(), thread_time_cpu_ns(), thread_time_waited_ns(a->waited_fd) };
}

static void auto_free(struct method *m)
{
	struct auto_method *a = (struct auto_method *)m;

	a->zstd->ops->free(a->zstd);
	if (a->waited_fd >= 0)
		io_close(a->waited_fd);
	free(a);
}

static bool auto_new_receiver(struct method **ret, struct mfd_error *err)
{
	return method_zstd.new_receiver(ret, err);
}

static bool auto_new_sender(int level, size_t max_bytes, struct method **ret, struct mfd_error *err)
{
	struct auto_method *a = calloc(1, sizeof(*a));

	if (!a)
		return error_set_os(err, MFD_OS, ENOMEM, "method auto");
	policy_init(&a->policy, level);
	a->level = policy_level(policy_rung(&a->policy));
	if (!method_zstd.new_sender(a->level, max_bytes, &a->zstd, err)) {
		free(a);
		return false;
	}
	a->method.ops = &method_auto;
	a->waited_fd = -1;
	*ret = &a->method;
	return true;
}

/* Only a thread itself can open its figures. */
static void auto_start(struct auto_method *a)
{
	a->waited_fd = thread_time_open();
	a->last = auto_read(a);
	a->end = a->last.wall;
	a->started = true;
}

/* ---- Coding. ---- */

/* What the codec made of a packet. */
struct auto_coded {
	uint64_t bytes, ns;
};

static bool auto_code(struct auto_method *a, unsigned rung, struct method_pages *pages, struct method_payload *payload,
		      struct auto_coded *ret, struct mfd_error *err)
{
	const int level = policy_level(rung);
	const uint64_t since = thread_time_cpu_ns();

	if (level != a->level && !zstd_set_level(a->zstd, level, err))
		return false;
	a->level = level;
	if (!a->zstd->ops->send_prepare(a->zstd, pages, payload, err))
		return false;
	*ret = (struct auto_coded){ payload->bytes, thread_time_cpu_ns() - since };
	a->sample.codec += ret->ns;
	return true;
}

/* Is this packet to go as it is because no level would help? */
static bool auto_is_flat(struct auto_method *a, const struct method_pages *pages)
{
	a->verifies = false;
	if (a->doubt) {
		a->doubt--;
		return false;
	}
	if (!probe_incompressible(pages)) {
		policy_probed(&a->policy, false);
		return false;
	}
	policy_probed(&a->policy, true);
	a->verifies = policy_rung(&a->policy) && ++a->flat % AUTO_VERIFY == 0;
	return !a->verifies;
}

/* A packet at the policy's level, and at another one as well if that wants to know. */
static bool auto_code_packet(struct auto_method *a, unsigned rung, struct method_pages *pages, struct method_payload *payload,
			     struct mfd_error *err)
{
	const uint64_t bytes = (uint64_t)pages->data_pages * pages->page_bytes;
	struct auto_coded trial = { 0 }, coded = { 0 };
	unsigned other;
	const bool tries = !a->verifies && policy_wants_trial(&a->policy, bytes, &other);

	if (tries && !auto_code(a, other, pages, payload, &trial, err))
		return false;
	if (rung && !auto_code(a, rung, pages, payload, &coded, err))
		return false;
	if (tries)
		policy_tried(&a->policy, other, bytes, trial.bytes, trial.ns, coded.bytes, coded.ns);
	if (!rung) {
		method_raw(pages, payload);
		return true;
	}
	if (!a->verifies)
		policy_coded(&a->policy, rung, bytes, coded.bytes, coded.ns);
	else if (coded.bytes < bytes - bytes / 8)
		a->doubt = AUTO_VERIFY;
	return true;
}

static bool auto_send_prepare(struct method *m, struct method_pages *pages, struct method_payload *payload, struct mfd_error *err)
{
	struct auto_method *a = (struct auto_method *)m;
	const uint64_t bytes = (uint64_t)pages->data_pages * pages->page_bytes;
	const unsigned rung = policy_rung(&a->policy);
	unsigned other;

	if (!a->started)
		auto_start(a);
	a->sample = (struct policy_sample){ .bytes = bytes };
	if ((!rung && !policy_wants_trial(&a->policy, bytes, &other)) || auto_is_flat(a, pages))
		method_raw(pages, payload);
	else if (!auto_code_packet(a, rung, pages, payload, err))
		return false;
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

static void auto_sent(struct method *m, uint64_t wire_bytes, uint64_t socket_ns)
{
	struct auto_method *a = (struct auto_method *)m;
	struct policy_sample *s = &a->sample;
	struct auto_clocks now;

	if (!a->prepared)
		return;
	a->prepared = false;
	if (a->skip) {
		if (--a->skip == 0)
			a->last = auto_read(a);
		return;
	}
	now = auto_read(a);
	s->wire = wire_bytes;
	s->send = now.run - a->before.run;
	s->asleep = less(socket_ns, s->send + now.waited - a->before.waited);
	s->skipped = a->last.wall - a->end;
	s->wall = now.wall - a->last.wall;
	s->run = now.run - a->last.run;
	s->waited = now.waited - a->last.waited;
	if (s->asleep > s->wall)
		s->asleep = s->wall;
	policy_sent(&a->policy, s);
	a->last = now;
	a->end = now.wall;
	if (!policy_rung(&a->policy))
		a->skip = AUTO_TIMED - 1;
}

static bool auto_recv_pages(struct method *m, const uint8_t *payload, size_t size, uint8_t *ret, size_t bytes, struct mfd_error *err)
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
	.send_prepare = auto_send_prepare,
	.sent = auto_sent,
	.recv_pages = auto_recv_pages,
	.free = auto_free,
};
