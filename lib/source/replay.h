/* SPDX-License-Identifier: MIT */
/*
 * A stream that more than one session can send (--retry with standard input; man/mfd-wire.7, "A
 * stream that goes on").  It is a source
 * itself, around the stream: what the receiver has not acknowledged keeps its bytes, in a bounded
 * pool, so that read() gives them as often as it is asked.  Of what the receiver has, a record of
 * REPLAY_RECORD bytes per batch is kept: which of its pages are zero, the sum of their page hashes,
 * and one digest of their strong hashes.
 *
 * The next session walks the same batches again, with the same ids.  One whose bytes are gone is
 * not sent: when the strong hashes that the receiver tells of those pages have that digest, all of
 * its pages become kept ones; when they have not, the receiver has lost what nobody can give it
 * again.
 */
#ifndef MFD_SOURCE_REPLAY_H
#define MFD_SOURCE_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "core/batch.h"
#include "source/source.h"

struct replay;

/* Bytes of memory for each batch that the receiver has. */
#define REPLAY_RECORD 176u

/* As long as WELCOME's. */
#define REPLAY_SECRET_BYTES 192u

/*
 * Around @stream, which is owned from now on, also on failure.  Batches have at most @packet_pages
 * pages, and the bytes of @buffers of them are kept.  Errors: MFD_OS.
 */
bool replay_new(struct source *stream, uint32_t packet_pages, uint32_t buffers,
		struct replay **ret, struct mfd_error *err) MFD_MUST_CHECK;

/* Freed by its own free(), with the stream.  Its info.rereadable is true. */
struct source *replay_source(struct replay *r);

/* No session: the next one begins with the first batch. */
void replay_rewind(struct replay *r);

/* [REPLAY_SECRET_BYTES], random: the receiver has to make its hash lists with it. */
const uint8_t *replay_secret(const struct replay *r);

/* Producer.  The bytes of this batch of its own are with the receiver only. */
bool replay_is_gone(const struct replay *r, const struct batch *batch);

/*
 * Producer.  @batch is gone, and the receiver says that it has the pages @has (bit i: page i of the
 * batch) with strong hashes @hash (of page i at i; NULL: it has none).  True: they are what was
 * sent, and @batch is now one of kept and zero pages.  False, MFD_TRY_AGAIN: they are not, and
 * replay_is_lost() from now on.
 */
bool replay_recall(struct replay *r, struct batch *batch, const uint64_t *has,
		   const uint8_t (*hash)[HASH_STRONG_BYTES], struct mfd_error *err) MFD_MUST_CHECK;

/* No session can send all of it any more. */
bool replay_is_lost(const struct replay *r);

/* Control thread.  The receiver has written batch @id, whose page hashes add up to @sum. */
void replay_acknowledged(struct replay *r, uint64_t id, uint64_t sum);

#endif
