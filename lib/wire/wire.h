/* SPDX-License-Identifier: MIT */
/*
 * Every message on the wire: structs, limits, encode and decode.  The byte tables are in
 * man/mfd-wire.7, and the functions read like them.  No I/O, no allocation.  Decoders
 * trust nothing: each field is bounded here as far as it can be without knowing the
 * session; what depends on the session (who may send what when, pages within the image)
 * the session checks.
 */
#ifndef MFD_WIRE_H
#define MFD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/batch.h"

#define WIRE_VERSION 1

/* Limits; each is checked before the value is used for anything. */
#define WIRE_MAX_CHANNELS 128u        /* MFD_MAX_CHANNELS */
#define WIRE_MAX_REGIONS 16u          /* one for now; a VM has a handful of RAM blocks */
#define WIRE_MAX_NAME 255u            /* bytes of a region's name: NAME_MAX */
#define WIRE_MAX_TEXT 480u            /* bytes of an error's text: fits mfd_error with a prefix */
#define WIRE_MAX_EXTENSIONS 32u
#define WIRE_MAX_ROUNDS 100000u
#define WIRE_MAX_IMAGE (UINT64_C(1) << 62) /* bytes; off_t is signed, sums of two fit */
#define WIRE_MAX_PAGE_INDEX (WIRE_MAX_IMAGE / PAGE_BYTES)
#define WIRE_MAX_TIMEOUT_MS 86400000u /* a day */
#define WIRE_TOKEN_BYTES 16
#define WIRE_METHOD_NONE 0u           /* ids of methods, as compress/method.h has them */
#define WIRE_MAX_METHOD 2u            /* zstd */
#define WIRE_METHOD_LZ4_RESERVED 3u

/* ---- Preamble: the first bytes of every connection, from whoever connected. ---- */

#define WIRE_PREAMBLE_BYTES 64

enum wire_role {
	WIRE_ROLE_CONTROL = 1,
	WIRE_ROLE_DATA = 2,
	WIRE_ROLE_URGENT_RESERVED = 3,
	WIRE_ROLE_HASHES = 4,
};

enum wire_transport { WIRE_TRANSPORT_CLEAR = 0, WIRE_TRANSPORT_TLS_RESERVED = 1 };

struct wire_preamble {
	uint16_t version;        /* of the preamble itself */
	uint8_t role;
	uint8_t transport;
	uint32_t channel;        /* 0 on control and hashes */
	/* 0 on control, 1 on hashes; data: from 1, higher each time it is reopened */
	uint32_t generation;
	uint8_t token[WIRE_TOKEN_BYTES]; /* zeros on control; data, hashes: from WELCOME */
};

void wire_put_preamble(const struct wire_preamble *p, uint8_t raw[static WIRE_PREAMBLE_BYTES]);

/* MFD_DATA for a wrong checksum, MFD_PROTOCOL for anything else. */
bool wire_get_preamble(const uint8_t raw[static WIRE_PREAMBLE_BYTES], struct wire_preamble *ret,
		       struct mfd_error *err) MFD_MUST_CHECK;

/* ---- Data packets. ---- */

#define WIRE_PACKET_BYTES 80

enum wire_kind { WIRE_PAGES = 1, WIRE_ZERO = 2, WIRE_SYNC = 3 };

#define WIRE_FLAG_RAW 0x0001u         /* as they are, though the session's method is another */
#define WIRE_FLAG_AGAIN 0x0002u       /* perhaps written in part before: do write zero pages */
#define WIRE_FLAG_KEPT 0x0004u        /* the receiver has some of the pages: see wire_put_kept() */

struct wire_packet {
	uint8_t kind;
	uint8_t method;          /* of the payload */
	uint16_t flags;
	uint32_t round;
	uint32_t region;
	uint64_t sequence;       /* per channel and generation, gap-free from 0 */
	uint64_t batch;          /* its id; of SYNC: how many batches the session has so far */
	uint64_t first;
	uint64_t count;
	uint32_t data_pages;
	uint32_t payload;        /* bytes behind the bitmaps */
	uint64_t sum;            /* of the data pages' hashes */
	uint64_t bitmap_hash;    /* of the bitmaps' bytes; 0 without bitmaps */
};

void wire_put_packet(const struct wire_packet *p, uint8_t raw[static WIRE_PACKET_BYTES]);

/*
 * Also checks that the fields fit each other: SYNC carries nothing, ZERO no payload,
 * PAGES at most BATCH_MAX_PAGES, a payload no larger than its pages, ...  MFD_DATA for a
 * wrong checksum, MFD_PROTOCOL for anything else.
 */
bool wire_get_packet(const uint8_t raw[static WIRE_PACKET_BYTES], struct wire_packet *ret,
		     struct mfd_error *err) MFD_MUST_CHECK;

/* Both bitmaps of a PAGES packet of @count pages: carried, then data. */
#define WIRE_BITMAPS_BYTES(count) (2 * 8 * BITMAP_WORDS(count))
#define WIRE_MAX_BITMAPS_BYTES WIRE_BITMAPS_BYTES(BATCH_MAX_PAGES)

/* Returns the bytes written; the hash over them goes into bitmap_hash. */
size_t wire_put_bitmaps(const uint64_t *carried, const uint64_t *data, uint32_t count,
			uint8_t raw[static WIRE_MAX_BITMAPS_BYTES]);

/*
 * The bitmaps of a PAGES packet that wire_get_packet() let through.  @raw holds
 * WIRE_BITMAPS_BYTES(p->count) bytes; BITMAP_WORDS(p->count) words go to each output.
 * Checks bitmap_hash (MFD_DATA); and that no bit beyond count is set, data is part of
 * carried, the first and the last page are carried, and data_pages is the number of data
 * bits (MFD_PROTOCOL).
 */
bool wire_get_bitmaps(const struct wire_packet *p, const uint8_t *raw, uint64_t *ret_carried,
		      uint64_t *ret_data, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * What a packet with WIRE_FLAG_KEPT has behind its bitmaps: a third bitmap, the sum of the kept
 * pages' hashes, and a checksum of both.  In kept.c.
 */
#define WIRE_KEPT_BYTES(count) (8 * BITMAP_WORDS(count) + 16)
#define WIRE_MAX_KEPT_BYTES WIRE_KEPT_BYTES(BATCH_MAX_PAGES)

/* Returns the bytes written. */
size_t wire_put_kept(const uint64_t *kept, uint64_t sum, uint32_t count,
		     uint8_t raw[static WIRE_MAX_KEPT_BYTES]);

/*
 * @raw holds WIRE_KEPT_BYTES(p->count) bytes; @carried and @data are the packet's, checked.
 * MFD_DATA for a wrong checksum; MFD_PROTOCOL unless some pages are kept, all of them carried and
 * without data.
 */
bool wire_get_kept(const struct wire_packet *p, const uint8_t *raw, const uint64_t *carried,
		   const uint64_t *data, uint64_t *ret_kept, uint64_t *ret_sum,
		   struct mfd_error *err) MFD_MUST_CHECK;

/* ---- Hash lists: what the receiver's basis holds, on a connection of their own. ---- */

#define WIRE_HASHES_BYTES 48          /* of a frame without its body */
#define WIRE_MAX_HASHES 1024u         /* pages in one frame: 4 MiB of the image, 16 KiB of hashes */
#define WIRE_STRONG_BYTES 16
#define WIRE_SECRET_BYTES 192
#define WIRE_MAX_HASHES_BODY \
	(8 * BITMAP_WORDS(WIRE_MAX_HASHES) + WIRE_STRONG_BYTES * WIRE_MAX_HASHES)

enum wire_hashes_kind {
	WIRE_HASHES_LIST = 1,    /* a body follows */
	WIRE_HASHES_ZERO = 2,    /* zero pages */
	WIRE_HASHES_NONE = 3,    /* nothing is known about these */
	WIRE_HASHES_BEAT = 4,
	WIRE_HASHES_END = 5,
};

struct wire_hashes {
	uint8_t kind;
	uint64_t first;
	uint64_t count;          /* 0 for BEAT and END */
	uint32_t hashes;         /* in the body */
	uint64_t body_hash;      /* 0 without a body */
};

/* The body is a bitmap of the pages that have a hash, then these hashes. */
static inline uint32_t wire_hashes_body_bytes(const struct wire_hashes *h)
{
	return h->kind == WIRE_HASHES_LIST ?
		(uint32_t)(8 * BITMAP_WORDS(h->count)) + WIRE_STRONG_BYTES * h->hashes : 0;
}

void wire_put_hashes(const struct wire_hashes *h, uint8_t raw[static WIRE_HASHES_BYTES]);

/*
 * MFD_DATA for a wrong checksum, MFD_PROTOCOL for anything else; a body fits WIRE_MAX_HASHES_BODY.
 */
bool wire_get_hashes(const uint8_t raw[static WIRE_HASHES_BYTES], struct wire_hashes *ret,
		     struct mfd_error *err) MFD_MUST_CHECK;

/*
 * The body's bitmap, and its checksum, which covers the hashes behind it too.  The put function
 * returns the bytes written, and the caller sets body_hash to the hash of all of the body.
 */
size_t wire_put_hashes_map(const uint64_t *has, uint32_t count, uint8_t *raw);
bool wire_get_hashes_map(const struct wire_hashes *h, const uint8_t *body, uint64_t *ret_has,
			 struct mfd_error *err) MFD_MUST_CHECK;

/* ---- Control messages: type, flags, length, body, checksum. ---- */

#define WIRE_FRAME_HEAD_BYTES 8
#define WIRE_FRAME_TAIL_BYTES 8
#define WIRE_MAX_BODY 8192u           /* HELLO with all regions and their names is the longest */
#define WIRE_MAX_FRAME (WIRE_FRAME_HEAD_BYTES + WIRE_MAX_BODY + WIRE_FRAME_TAIL_BYTES)

enum wire_type {
	WIRE_HELLO = 1,          /* sender, first */
	WIRE_WELCOME = 2,        /* receiver: the session begins */
	WIRE_REFUSE = 3,         /* receiver: it does not, and why */
	WIRE_ACK = 4,            /* receiver */
	WIRE_HEARTBEAT = 5,      /* both */
	WIRE_SYNC_DONE = 6,      /* receiver */
	WIRE_END = 7,            /* sender */
	WIRE_COMMITTED = 8,      /* receiver, last */
	WIRE_ERROR = 9,          /* both, last */
	WIRE_CHANNEL_DOWN = 10,  /* both */
	WIRE_FENCED = 11,        /* receiver */
	WIRE_PAGE_REQUEST_RESERVED = 12,
};

struct wire_region {
	uint32_t id;             /* below WIRE_MAX_REGIONS */
	uint64_t size;           /* UINT64_MAX: not known */
	uint16_t name_bytes;
	uint8_t name[WIRE_MAX_NAME]; /* any bytes, no 0 behind them; for people, never a path */
};

/*
 * A HELLO whose lowest version is above WIRE_VERSION is in a layout that is not ours:
 * wire_get_message() fills in the two versions, all else is 0, and returns true so that
 * the session can REFUSE it.  Otherwise each field is within its limits; methods may hold
 * bits that are not known here.
 */
struct wire_hello {
	uint16_t version_min, version_max; /* 1 <= min <= max */
	uint32_t page_bytes;
	uint32_t packet_pages;   /* the most a PAGES packet will carry */
	uint32_t channels;
	uint32_t methods;        /* mask of 1 << id: those that packets may use; bit 0 always */
	uint16_t method;         /* the session's, for the report; one of these, known to us */
	int16_t level;
	uint32_t flags;          /* WIRE_HELLO_ROUNDS */
	uint32_t timeout_ms;     /* silence that makes the sender give up */
	uint64_t size;           /* of the image; UINT64_MAX: not known */
	uint64_t allocated;      /* bytes that are not holes; UINT64_MAX: not known */
	uint16_t regions;        /* 1..16, their ids all different */
	struct wire_region region[WIRE_MAX_REGIONS];

	/* Extensions. */
	bool delta;              /* the sender compares hash lists */
	bool ended;              /* an earlier session sent END with these, and saw no answer */
	uint64_t ended_size, ended_hash;
	bool own_secret;         /* hash lists are of use to the sender when made with this one */
	uint8_t secret[WIRE_SECRET_BYTES];
};

#define WIRE_HELLO_ROUNDS 0x0001u     /* more than one may come: no page is final before END */

struct wire_welcome {
	uint16_t version;        /* 1..WIRE_VERSION */
	uint32_t packet_pages;   /* at most what HELLO said */
	uint32_t methods;
	uint32_t timeout_ms;     /* silence that makes the receiver give up */
	uint8_t token[WIRE_TOKEN_BYTES];

	/* Extensions; basis only where HELLO has delta. */
	/* what has come is kept when the session fails, and the next one goes on from there */
	bool resume;
	bool basis;              /* hash lists will come, */
	uint64_t basis_pages;    /* for at most so many pages, made with */
	uint8_t secret[WIRE_SECRET_BYTES];
};

/* REFUSE and ERROR. */
struct wire_problem {
	uint16_t status;         /* enum mfd_status; made safe when decoded */
	char text[WIRE_MAX_TEXT + 1]; /* decoded: valid UTF-8, control characters escaped, `\x1b` */
};

struct wire_channel_ack {
	uint32_t channel, generation; /* below WIRE_MAX_CHANNELS; from 1; so in all below */
	uint64_t written;        /* packets: all with a lower sequence number are written */
};

struct wire_ack {
	uint16_t count;          /* at least 1 */
	struct wire_channel_ack channel[WIRE_MAX_CHANNELS];
};

enum wire_waits { WIRE_WAITS_NETWORK = 0, WIRE_WAITS_SINK = 1 };

struct wire_channel_health {
	uint32_t channel, generation;
	uint64_t received;       /* bytes, the preamble too */
	uint8_t waits;           /* for the network, or busy with what it got */
};

struct wire_heartbeat {
	uint8_t phase;           /* enum mfd_phase */
	uint16_t count;          /* 0 from the sender */
	struct wire_channel_health channel[WIRE_MAX_CHANNELS];
};

struct wire_sync_done {
	uint32_t round;
	struct totals totals;    /* of that round */
};

struct wire_end {
	uint32_t rounds;         /* that were sent, at least 1 */
	uint64_t size;           /* of the image, now known */
	struct totals totals;    /* of all rounds */
	uint64_t image_hash;
};

struct wire_committed {
	uint64_t size;
	uint64_t image_hash;
};

/* CHANNEL_DOWN (written is not sent) and FENCED. */
struct wire_fence {
	uint32_t channel, generation;
	uint64_t written;
};

struct wire_message {
	enum wire_type type;
	union {
		struct wire_hello hello;
		struct wire_welcome welcome;
		struct wire_problem problem;
		struct wire_ack ack;
		struct wire_heartbeat heartbeat;
		struct wire_sync_done sync_done;
		struct wire_end end;
		struct wire_committed committed;
		struct wire_fence fence;
	};
};

/*
 * Encode @m as one frame; the bytes written.  Every message fits.  Counts and lengths
 * beyond their arrays abort.
 */
size_t wire_put_message(const struct wire_message *m, uint8_t raw[static WIRE_MAX_FRAME]);

/*
 * Decode the frame at the front of @raw.  True with *ret_used = 0 when the @size bytes do
 * not yet hold a whole frame; true with *ret and the frame's size in *ret_used when they
 * do.  MFD_DATA for a wrong checksum, MFD_PROTOCOL for anything that may not be said; a
 * body over WIRE_MAX_BODY as soon as its length is there.
 */
bool wire_get_message(const uint8_t *raw, size_t size, struct wire_message *ret, size_t *ret_used,
		      struct mfd_error *err) MFD_MUST_CHECK;

/* "HELLO" for messages; "message 77" is for the caller.  NULL if unknown or only reserved. */
const char *wire_type_name(unsigned type);

#endif
