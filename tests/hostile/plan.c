/* SPDX-License-Identifier: MIT */
/*
 * From a seed to a case: what is moved, how, and what goes wrong meanwhile.  See hostile.h.
 */
#include "hostile/hostile.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Long enough never to matter, and short enough to be waited for often. */
#define PATIENT_MS (TESTING_SANITIZED ? 60000 : 20000)
#define HASTY_MS (TESTING_SANITIZED ? 1500 : 600)

const char *const hostile_kind_names[HOSTILE_KINDS] = {
	[HOSTILE_FLIP] = "flip",
	[HOSTILE_DROP] = "drop",
	[HOSTILE_DUPLICATE] = "duplicate",
	[HOSTILE_SWAP] = "reorder",
	[HOSTILE_CROSS] = "reorder across channels",
	[HOSTILE_TRUNCATE] = "truncate",
	[HOSTILE_FIN] = "FIN",
	[HOSTILE_RST] = "RST",
	[HOSTILE_STALL] = "stall",
	[HOSTILE_HOLE] = "black hole",
	[HOSTILE_DELAY] = "delay",
	[HOSTILE_PIECES] = "short reads and writes",
	[HOSTILE_SINK_FULL] = "sink: ENOSPC",
	[HOSTILE_SINK_EIO] = "sink: EIO",
	[HOSTILE_SINK_BEGIN] = "sink: too small",
	[HOSTILE_SINK_COMMIT] = "sink: fsync fails",
	[HOSTILE_SOURCE_EIO] = "source: EIO",
	[HOSTILE_SOURCE_SHORT] = "source: shrinks",
	[HOSTILE_CANCEL_SENDER] = "sender cancelled",
	[HOSTILE_CANCEL_RECEIVER] = "receiver cancelled",
};

const char *const hostile_output_names[HOSTILE_OUTPUTS] = {
	[HOSTILE_MEMORY] = "memory",
	[HOSTILE_FILE] = "new file",
	[HOSTILE_BASIS] = "new file, basis",
	[HOSTILE_INPLACE] = "in place, delta",
	[HOSTILE_RESUME] = "resumed",
};

/* How often each kind comes, and whether sessions survive it without help. */
static const struct {
	unsigned weight;
	bool survivable;             /* on a data connection, once */
	int status;                  /* exactly, at both ends, when nothing else happens */
} kinds[HOSTILE_KINDS] = {
	[HOSTILE_FLIP] = { 12, false, 0 },
	[HOSTILE_DROP] = { 8, false, 0 },
	[HOSTILE_DUPLICATE] = { 8, false, 0 },
	[HOSTILE_SWAP] = { 8, false, 0 },
	[HOSTILE_CROSS] = { 8, false, 0 },
	[HOSTILE_TRUNCATE] = { 10, true, 0 },
	[HOSTILE_FIN] = { 8, true, 0 },
	[HOSTILE_RST] = { 12, true, 0 },
	[HOSTILE_STALL] = { 4, false, 0 },
	[HOSTILE_HOLE] = { 4, false, 0 },
	[HOSTILE_DELAY] = { 8, true, 0 },
	[HOSTILE_PIECES] = { 6, true, 0 },
	[HOSTILE_SINK_FULL] = { 4, false, MFD_IO },
	[HOSTILE_SINK_EIO] = { 3, false, MFD_IO },
	[HOSTILE_SINK_BEGIN] = { 1, false, MFD_CANT_CREATE },
	[HOSTILE_SINK_COMMIT] = { 1, false, MFD_IO },
	[HOSTILE_SOURCE_EIO] = { 3, false, MFD_IO },
	[HOSTILE_SOURCE_SHORT] = { 3, false, MFD_NO_INPUT },
	[HOSTILE_CANCEL_SENDER] = { 3, false, 0 },
	[HOSTILE_CANCEL_RECEIVER] = { 3, false, 0 },
};

static uint64_t below(struct hostile_plan *p, uint64_t n)
{
	return testing_random(&p->state) % n;
}

static bool one_in(struct hostile_plan *p, unsigned n)
{
	return !below(p, n);
}

void hostile_plan_make(struct hostile_plan *p, uint64_t seed)
{
	static const struct method_ops *const methods[] = {
		&method_none, &method_zlib, &method_zstd, &method_auto
	};
	static const enum hostile_output outputs[] = {
		HOSTILE_MEMORY, HOSTILE_MEMORY, HOSTILE_MEMORY, HOSTILE_MEMORY, HOSTILE_MEMORY,
		HOSTILE_FILE, HOSTILE_BASIS, HOSTILE_INPLACE, HOSTILE_RESUME, HOSTILE_RESUME
	};

	memset(p, 0, sizeof(*p));
	p->seed = p->state = seed;
	p->output = outputs[below(p, TESTING_COUNT(outputs))];
	p->image = (struct testing_image){
		.seed = testing_random(&p->state),
		.size = one_in(p, 20) ? 0 : 1 + below(p, one_in(p, 4) ? 1u << 20 : 1u << 17),
		.kind = (enum testing_kind)below(p, 5),
		.rounds = one_in(p, 3) ? 2 + (uint32_t)below(p, 3) : 1,
	};
	p->stream = one_in(p, 4);
	p->knows_zeros = one_in(p, 2);
	p->basis_differs = (unsigned)below(p, 12);
	p->basis_bytes = one_in(p, 3) ? below(p, 1u << 18) : p->image.size;
	p->channels = 1 + (unsigned)below(p, 6);
	p->packet_pages = 1 + (uint32_t)below(p, 16);
	p->method = methods[below(p, TESTING_COUNT(methods))];
	p->sessions = p->output == HOSTILE_RESUME ? 1 + (unsigned)below(p, 4) : 1;
}

/* ---- Faults. ---- */

static enum hostile_kind some_kind(struct hostile_plan *p)
{
	unsigned sum = 0, pick, kind = 0;

	for (unsigned i = 0; i < HOSTILE_KINDS; i++)
		sum += kinds[i].weight;
	for (pick = (unsigned)below(p, sum); pick >= kinds[kind].weight; kind++)
		pick -= kinds[kind].weight;
	return (enum hostile_kind)kind;
}

/* Which connection, and which direction of it. */
static void place(struct hostile_plan *p, struct hostile_fault *f)
{
	const bool lists = p->output >= HOSTILE_BASIS && one_in(p, 5);
	const bool control = !lists && one_in(p, 5);

	f->channel = lists ? CHANNEL_ID_HASHES : control ? HOSTILE_CONTROL
							 : (uint32_t)below(p, p->channels);
	f->receiver = lists || (control && one_in(p, 2));
	f->connections = one_in(p, 4) ? 0 : 1 + (unsigned)below(p, 2);
	if (f->kind != HOSTILE_FIN && f->kind != HOSTILE_RST && f->kind != HOSTILE_STALL)
		return;
	/* Data flows one way: the other end of it receives. */
	f->incoming = one_in(p, 2);
	if (f->incoming && !control)
		f->receiver = !f->receiver;
}

/* Around the beginning, where everything is small, or anywhere. */
static uint64_t some_position(struct hostile_plan *p, const struct hostile_fault *f)
{
	const uint64_t each = p->image.size * p->image.rounds / p->channels;

	if (f->channel == HOSTILE_CONTROL)
		return below(p, 600);
	if (f->channel == CHANNEL_ID_HASHES)
		return below(p, 64 + p->image.size / 200);
	return below(p, one_in(p, 4) ? 300 : 300 + each);
}

static void fill(struct hostile_plan *p, struct hostile_fault *f)
{
	*f = (struct hostile_fault){ .kind = some_kind(p) };
	switch (f->kind) {
	case HOSTILE_SINK_FULL:
	case HOSTILE_SINK_EIO:
		f->at = below(p, p->image.size + 1);
		return;
	case HOSTILE_SOURCE_EIO:
	case HOSTILE_SOURCE_SHORT:
		f->at = below(p, batch_pages_of(p->image.size) + 1);
		return;
	default:
		break;
	}
	place(p, f);
	f->at = some_position(p, f);
	f->whole = one_in(p, 3);
	f->number = f->kind == HOSTILE_DELAY    ? 1 + (unsigned)below(p, 20)
		    : f->kind == HOSTILE_PIECES ? 1 + (unsigned)below(p, 3000)
						: 1 + (unsigned)below(p, one_in(p, 2) ? 16 : 5000);
}

static bool survives(const struct hostile_fault *f)
{
	const bool lost = f->kind >= HOSTILE_TRUNCATE && f->kind <= HOSTILE_RST;

	return kinds[f->kind].survivable &&
	       (!lost || f->channel == CHANNEL_ID_HASHES ||
		(f->channel != HOSTILE_CONTROL && f->connections));
}

void hostile_plan_faults(struct hostile_plan *p, bool clean)
{
	p->faults = clean || one_in(p, 24) ? 0
		    : one_in(p, 2)	     ? 1
					     : 2 + (unsigned)below(p, HOSTILE_MOST_FAULTS - 1);
	p->survivable = true;
	for (unsigned i = 0; i < p->faults; i++) {
		fill(p, &p->fault[i]);
		p->survivable &= survives(&p->fault[i]);
	}
	p->must_status = p->faults == 1 ? kinds[p->fault[0].kind].status : 0;
	/* Damage to packets is found by their checksums; what is in front of them is a preamble. */
	if (p->faults == 1 && p->fault[0].kind == HOSTILE_FLIP &&
	    p->fault[0].channel < MFD_MAX_CHANNELS && p->fault[0].at >= WIRE_PREAMBLE_BYTES &&
	    !p->fault[0].whole)
		p->must_status = MFD_DATA;
	p->timeout_ms = p->survivable || p->must_status ? PATIENT_MS : HASTY_MS;
}

/* ---- To be read. ---- */

static void print_fault(const struct hostile_fault *f)
{
	fprintf(stderr, "  %s at %" PRIu64, hostile_kind_names[f->kind], f->at);
	if (f->kind >= HOSTILE_SINK_FULL && f->kind < HOSTILE_CANCEL_SENDER) {
		fprintf(stderr, ", fired %u\n", f->fired);
		return;
	}
	if (f->channel < MFD_MAX_CHANNELS)
		fprintf(stderr, " of channel %u", (unsigned)f->channel);
	else
		fprintf(stderr, " of %s", f->channel == HOSTILE_CONTROL ? "control" : "hash lists");
	fprintf(stderr, ", %s's end, %s, %s, number %u, connections %u, fired %u\n",
		f->receiver ? "receiver" : "sender", f->incoming ? "receiving" : "sending",
		f->whole ? "all of one call" : "bytes", f->number, f->connections, f->fired);
}

void hostile_plan_print(const struct hostile_plan *p)
{
	fprintf(stderr,
		"case %#" PRIx64 ": %s, %" PRIu64 " bytes of kind %u, %u rounds%s%s, %u channels, "
		"packets of %u pages, %s, timeout %" PRIu64 " ms\n",
		p->seed, hostile_output_names[p->output], p->image.size, p->image.kind,
		p->image.rounds, p->stream ? ", stream" : "", p->knows_zeros ? ", zeros known" : "",
		p->channels, p->packet_pages, p->method->name, p->timeout_ms);
	if (p->output >= HOSTILE_BASIS)
		fprintf(stderr, "  basis of %" PRIu64 " bytes, each %uth page differs\n",
			p->basis_bytes, p->basis_differs);
	for (unsigned i = 0; i < p->faults; i++)
		print_fault(&p->fault[i]);
}
