/* SPDX-License-Identifier: MIT */
/*
 * Telling the sender what the output has already (man/mfd-wire.7, "Delta"): hashing threads walk
 * the basis, one range of pages each at a time, and a writing thread sends their lists in order on
 * a connection that carries nothing else.
 *
 * How far they may be ahead: BASIS_RANGES ranges that are hashed and not sent; the rest is TCP's
 * flow control.  When the connection is lost they end, and the sender sends what it does not know;
 * the session does not mind.
 */
#ifndef MFD_RECV_BASIS_H
#define MFD_RECV_BASIS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/stats.h"
#include "net/channel.h"
#include "sink/basis.h"
#include "wire/wire.h"

#define BASIS_RANGES 16u
#define BASIS_MAX_WORKERS 8u

struct recv_basis;

struct basis_params {
	const struct sink_basis *basis; /* the caller's, filled */
	const uint8_t *secret;       /* [WIRE_SECRET_BYTES], the caller's */
	uint64_t pages;              /* as WELCOME said: speak for no more */
	uint64_t peer_timeout_ms;    /* the sender's: a frame at least every quarter of it */
	unsigned workers;            /* 0: as many as there are CPUs */
	bool forget;                 /* leave nothing in the page cache */
	counter *bytes;              /* sent so far; the caller's, outlives the threads */
};

/* Start the threads; @channel is owned from now on, also on failure.  MFD_OS. */
bool recv_basis_start(const struct basis_params *params, struct channel *channel,
		      struct recv_basis **ret, struct mfd_error *err) MFD_MUST_CHECK;

/* Shut the connection, join the threads, free.  NULL is nothing. */
void recv_basis_stop(struct recv_basis *b);

#endif
