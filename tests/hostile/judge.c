/* SPDX-License-Identifier: MIT */
/*
 * What may come of a session in which this and that went wrong, and what never may; and how often
 * what did.  See hostile.h.
 */
#include "hostile/hostile.h"

#include <inttypes.h>
#include <stdio.h>

/* Sets of exit statuses, as bits. */
#define BIT(status) (UINT64_C(1) << ((status) - MFD_USAGE))
#define LOST BIT(MFD_TRY_AGAIN)
#define DAMAGED (LOST | BIT(MFD_DATA) | BIT(MFD_PROTOCOL))

/* What each end may say when a fault of this kind has fired. */
static const uint64_t allowed[HOSTILE_KINDS] = {
	[HOSTILE_FLIP] = DAMAGED,
	[HOSTILE_DROP] = DAMAGED,
	[HOSTILE_DUPLICATE] = DAMAGED,
	[HOSTILE_SWAP] = DAMAGED,
	[HOSTILE_CROSS] = DAMAGED,
	[HOSTILE_TRUNCATE] = LOST,
	[HOSTILE_FIN] = LOST,
	[HOSTILE_RST] = LOST,
	[HOSTILE_STALL] = LOST,
	[HOSTILE_HOLE] = LOST,
	[HOSTILE_DELAY] = LOST,
	[HOSTILE_PIECES] = LOST,
	[HOSTILE_SINK_FULL] = BIT(MFD_IO),
	[HOSTILE_SINK_EIO] = BIT(MFD_IO),
	[HOSTILE_SINK_BEGIN] = BIT(MFD_CANT_CREATE),
	[HOSTILE_SINK_COMMIT] = BIT(MFD_IO),
	[HOSTILE_SOURCE_EIO] = BIT(MFD_IO),
	[HOSTILE_SOURCE_SHORT] = BIT(MFD_NO_INPUT),
	[HOSTILE_CANCEL_SENDER] = LOST,
	[HOSTILE_CANCEL_RECEIVER] = LOST,
};

static unsigned fired(const struct hostile_plan *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->faults; i++)
		n += p->fault[i].fired != 0;
	return n;
}

/* A fault that was to fire may also have been seen by a session that ended before it counted. */
static bool status_allowed(const struct hostile_plan *p, const struct hostile_end *end, bool sender)
{
	uint64_t may = 0;

	if (end->ok)
		return true;
	for (unsigned i = 0; i < p->faults; i++)
		may |= p->fault[i].fired ? allowed[p->fault[i].kind] : 0;
	/* Short timeouts end sessions that only had to wait, on a busy machine. */
	if (!p->survivable && !p->must_status)
		may |= LOST;
	/* The receiver had gone when the sender's next connection came. */
	if (sender && may)
		may |= BIT(MFD_UNAVAILABLE);
	return may & BIT(end->error.status);
}

const char *hostile_judge(const struct hostile_plan *p, const struct hostile_result *r)
{
	if (r->sender.ok && !(r->receiver.ok && r->committed))
		return "the sender says 0, and the receiver has not committed";
	if (r->receiver.ok != r->committed)
		return "the receiver's verdict is not its output's";
	if (r->committed && !r->sound)
		return "an output that differs from the image was committed";
	if (r->wrong)
		return "a page was written wrong, twice, or before its round";
	if (!status_allowed(p, &r->sender, true))
		return "the sender's status does not fit the faults";
	if (!status_allowed(p, &r->receiver, false))
		return "the receiver's status does not fit the faults";
	if ((p->survivable || !fired(p)) && p->timeout_ms > 5000 &&
	    !(r->sender.ok && r->receiver.ok))
		return "a session that had no reason to failed";
	if (p->must_status && fired(p) &&
	    (r->sender.ok || r->receiver.ok || (int)r->sender.error.status != p->must_status ||
	     (int)r->receiver.error.status != p->must_status))
		return "both ends had to say why";
	return NULL;
}

/* ---- Counts. ---- */

static const char *const outcome_names[HOSTILE_OUTCOMES] = {
	[HOSTILE_BOTH_OK] = "0",	[HOSTILE_DATA] = "65",	    [HOSTILE_NO_INPUT] = "66",
	[HOSTILE_CANT_CREATE] = "73", [HOSTILE_IO] = "74",	    [HOSTILE_TRY_AGAIN] = "75",
	[HOSTILE_PROTOCOL] = "76",	[HOSTILE_OTHER] = "other", [HOSTILE_UNKNOWN] = "75/0",
};

static enum hostile_outcome outcome_of(const struct hostile_result *r)
{
	if (r->sender.ok)
		return HOSTILE_BOTH_OK;
	if (r->receiver.ok)
		return HOSTILE_UNKNOWN;
	switch (r->sender.error.status) {
	case MFD_DATA:
		return HOSTILE_DATA;
	case MFD_NO_INPUT:
		return HOSTILE_NO_INPUT;
	case MFD_CANT_CREATE:
		return HOSTILE_CANT_CREATE;
	case MFD_IO:
		return HOSTILE_IO;
	case MFD_TRY_AGAIN:
		return HOSTILE_TRY_AGAIN;
	case MFD_PROTOCOL:
		return HOSTILE_PROTOCOL;
	default:
		return HOSTILE_OTHER;
	}
}

void hostile_tally_add(struct hostile_tally *t, const struct hostile_plan *p,
		       const struct hostile_result *r)
{
	const enum hostile_outcome outcome = outcome_of(r);

	pthread_mutex_lock(&t->lock);
	t->sessions++;
	t->clean += !fired(p);
	t->by_output[p->output][outcome]++;
	for (unsigned i = 0; i < p->faults; i++) {
		const struct hostile_fault *f = &p->fault[i];

		if (!f->fired)
			continue;
		t->fired[f->kind] += f->fired;
		t->faults += f->fired;
		t->by_kind[f->kind][outcome]++;
	}
	pthread_mutex_unlock(&t->lock);
}

uint64_t hostile_tally_faults(struct hostile_tally *t)
{
	uint64_t faults;

	pthread_mutex_lock(&t->lock);
	faults = t->faults;
	pthread_mutex_unlock(&t->lock);
	return faults;
}

static void print_row(const char *name, const char *count, const uint64_t row[HOSTILE_OUTCOMES])
{
	printf("%-24s %7s", name, count);
	for (unsigned i = 0; i < HOSTILE_OUTCOMES; i++)
		printf(" %6" PRIu64, row[i]);
	putchar('\n');
}

static void print_head(const char *name, const char *count)
{
	printf("\n%-24s %7s", name, count);
	for (unsigned i = 0; i < HOSTILE_OUTCOMES; i++)
		printf(" %6s", outcome_names[i]);
	putchar('\n');
}

void hostile_tally_print(const struct hostile_tally *t)
{
	char count[24];

	print_head("sessions with a fault", "faults");
	for (unsigned i = 0; i < HOSTILE_KINDS; i++) {
		snprintf(count, sizeof(count), "%" PRIu64, t->fired[i]);
		print_row(hostile_kind_names[i], count, t->by_kind[i]);
	}
	print_head("sessions by output", "");
	for (unsigned i = 0; i < HOSTILE_OUTPUTS; i++)
		print_row(hostile_output_names[i], "", t->by_output[i]);
	printf("\n%" PRIu64 " faults in %" PRIu64 " sessions, %" PRIu64 " of them without any\n",
	       t->faults, t->sessions, t->clean);
}
