/* SPDX-License-Identifier: MIT */
/*
 * Methods: how the data pages of a batch become the payload of a packet and back.  One vtable, one
 * file per method; the shape of send_prepare (pages in, IOVs out) is Peter Xu's refactoring of
 * QEMU's multifd.  A method object belongs to one thread and keeps no state from one packet to the
 * next, so that any packet can be sent again, on another channel, in another order.
 */
#ifndef MFD_METHOD_H
#define MFD_METHOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

/* Ids on the wire, and bits in masks of methods. */
enum method_id { METHOD_NONE = 0, METHOD_ZLIB = 1, METHOD_ZSTD = 2, METHOD_LZ4_RESERVED = 3 };

/*
 * The most that the pages of one payload hold, decoded: 1024 pages of 4096 bytes, as a packet on
 * the wire.
 */
#define METHOD_MAX_BYTES (UINT32_C(4) << 20)

/* Pages of a batch as the sender thread holds them. */
struct method_pages {
	/* page i at i * page_bytes; or, when packed, the data pages one behind another */
	uint8_t *bytes;
	uint32_t page_bytes;
	uint32_t count;          /* pages from the first to the last */
	const uint64_t *data;    /* bitmap of those that hold data */
	uint32_t data_pages;     /* bits set in it, at least 1 */
	bool packed;
};

/* The payload: what is to follow the header on the wire. */
struct method_payload {
	/* room for METHOD_IOVS(count) given by the caller; filled in by the method */
	struct iovec *iov;
	unsigned iovs;
	uint32_t bytes;          /* in all of them; at most data_pages * page_bytes */
	/* how it is coded: METHOD_NONE too when the coded form would not have been smaller */
	enum method_id id;
};

/* What became of a packet, and of those before it. */
struct method_sent {
	uint64_t wire_bytes;     /* with its header */
	uint64_t socket_ns;      /* that the thread spent on it, waiting included */
	uint64_t packets;        /* sent so far, SYNCs not counted */
	uint64_t acknowledged;   /* of these, written by the receiver as far as is known by now */
};

/* Packets without an acknowledgement are never more than these. */
#define METHOD_UNACKNOWLEDGED_MAX 256u

/* The most IOVs @count pages can need: every other page a run of its own. */
#define METHOD_IOVS(count) (((count) + 1) / 2)

struct method;

struct method_ops {
	const char *name;
	enum method_id id;

	/* Levels allowed, and the default.  A method without levels has all three 0. */
	int level_min, level_max, level_default;
	bool level_zero;         /* is 0 a level? */

	/*
	 * The name of what does the work, coding at @level or decoding: "igzip", "zstd".  It lives
	 * for ever.  The method_own_ ones say the method's own name.
	 */
	const char *(*encoder)(const struct method_ops *ops, int level);
	const char *(*decoder)(const struct method_ops *ops);

	/* Each packet gets a level of its own, and what new_sender() is given is the heaviest. */
	bool adaptive;

	/* An object to send with, for payloads of at most @max_bytes; the caller frees it. */
	bool (*new_sender)(int level, size_t max_bytes, struct method **ret, struct mfd_error *err);

	/* An object to receive with. */
	bool (*new_receiver)(struct method **ret, struct mfd_error *err);

	/*
	 * Before its thread starts.  @m and @with send for one session, so what one of them learns
	 * is of use to the other; both may be freed first.  A method that learns nothing has
	 * method_join_ignored() here.
	 */
	void (*join)(struct method *m, struct method *with);

	/*
	 * Sender thread.  Code the data pages of @pages into @payload.  May move pages within
	 * pages->bytes so that they are packed, and then says so in pages->packed.  The IOVs stay
	 * valid until the next call or until pages->bytes changes.  Pages that do not get smaller
	 * are no error: they go as they are.
	 */
	bool (*send_prepare)(struct method *m, struct method_pages *pages,
			     struct method_payload *payload, struct mfd_error *err);

	/*
	 * Sender thread.  A packet is with the socket: that of the last send_prepare(), or one
	 * without data.  A method that learns nothing from it has method_sent_ignored() here.
	 */
	void (*sent)(struct method *m, const struct method_sent *sent);

	/*
	 * Receiver thread.  Decode @size bytes at @payload into exactly @bytes bytes at @ret;
	 * anything else is MFD_DATA.  Never writes beyond, whatever the payload says.
	 */
	bool (*recv_pages)(struct method *m, const uint8_t *payload, size_t size, uint8_t *ret,
			   size_t bytes, struct mfd_error *err);

	void (*free)(struct method *m);
};

/* Every method starts with this. */
struct method {
	const struct method_ops *ops;
};

extern const struct method_ops method_none, method_zlib, method_zstd;

/* Only sends: its packets are those of none and zstd, and its id is zstd's. */
extern const struct method_ops method_auto;

/*
 * By name ("zstd") or id; NULL if unknown.  method_at(0..) lists those with an id of their own,
 * which are what a receiver needs; NULL behind the last.
 */
const struct method_ops *method_by_name(const char *name);
const struct method_ops *method_by_id(unsigned id);
const struct method_ops *method_at(unsigned i);

/* MFD_USAGE with the range in its text unless @level is one of @ops's. */
bool method_check_level(const struct method_ops *ops, int level,
			struct mfd_error *err) MFD_MUST_CHECK;

/* The rest is for methods. */

/* For methods with nothing to choose from: @ops's name. */
const char *method_own_encoder(const struct method_ops *ops, int level);
const char *method_own_decoder(const struct method_ops *ops);

/* For methods that do not care how packets are sent, or who else sends some. */
void method_join_ignored(struct method *m, struct method *with);
void method_sent_ignored(struct method *m, const struct method_sent *sent);

/* The data pages as IOVs over their runs: the payload of a raw packet. */
void method_raw(const struct method_pages *pages, struct method_payload *payload);

/* @size coded bytes at @bytes, in the method's own buffer, as the payload. */
void method_coded(struct method_payload *payload, enum method_id id, uint8_t *bytes, size_t size);

/* Move the data pages together at the front of pages->bytes, in their order, unless packed. */
void method_pack(struct method_pages *pages);

/*
 * May @size coded bytes stand for @bytes bytes of pages?  MFD_DATA unless 0 < size < bytes <=
 * METHOD_MAX_BYTES.
 */
bool method_check_sizes(const struct method_ops *ops, size_t size, size_t bytes,
			struct mfd_error *err) MFD_MUST_CHECK;

#endif
