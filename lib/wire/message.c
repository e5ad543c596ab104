/* SPDX-License-Identifier: MIT */
/*
 * Control messages: the frame around a body, and which body belongs to which type.  Only
 * the length is looked at before the whole frame is there; type and flags wait for the
 * checksum, so that a damaged one is called damage.
 */
#include "wire/wire.h"

#include <assert.h>
#include <inttypes.h>

#include "base/hash.h"
#include "core/invariant.h"
#include "wire/body.h"
#include "wire/check.h"

static_assert(50 + WIRE_MAX_REGIONS * (14 + WIRE_MAX_NAME) + 2 + 4 + 20 <= WIRE_MAX_BODY,
	      "HELLO fits");
static_assert(4 + WIRE_MAX_CHANNELS * 17 <= WIRE_MAX_BODY, "HEARTBEAT fits");

const char *wire_type_name(unsigned type)
{
	switch (type) {
	case WIRE_HELLO:
		return "HELLO";
	case WIRE_WELCOME:
		return "WELCOME";
	case WIRE_REFUSE:
		return "REFUSE";
	case WIRE_ACK:
		return "ACK";
	case WIRE_HEARTBEAT:
		return "HEARTBEAT";
	case WIRE_SYNC_DONE:
		return "SYNC_DONE";
	case WIRE_END:
		return "END";
	case WIRE_COMMITTED:
		return "COMMITTED";
	case WIRE_ERROR:
		return "ERROR";
	case WIRE_CHANNEL_DOWN:
		return "CHANNEL_DOWN";
	case WIRE_FENCED:
		return "FENCED";
	default:
		return NULL;
	}
}

static void message_put_body(struct cursor *c, const struct wire_message *m)
{
	switch (m->type) {
	case WIRE_HELLO:
		wire_put_hello(c, &m->hello);
		break;
	case WIRE_WELCOME:
		wire_put_welcome(c, &m->welcome);
		break;
	case WIRE_REFUSE:
	case WIRE_ERROR:
		wire_put_problem(c, &m->problem);
		break;
	case WIRE_ACK:
		wire_put_ack(c, &m->ack);
		break;
	case WIRE_HEARTBEAT:
		wire_put_heartbeat(c, &m->heartbeat);
		break;
	case WIRE_SYNC_DONE:
		wire_put_sync_done(c, &m->sync_done);
		break;
	case WIRE_END:
		wire_put_end(c, &m->end);
		break;
	case WIRE_COMMITTED:
		wire_put_committed(c, &m->committed);
		break;
	case WIRE_CHANNEL_DOWN:
		wire_put_channel_down(c, &m->fence);
		break;
	case WIRE_FENCED:
		wire_put_fenced(c, &m->fence);
		break;
	default:
		invariant_broken("mfd: wire: a message of no known type is to be sent\n");
	}
}

static bool message_get_body(struct cursor *c, struct wire_message *ret, struct mfd_error *err)
{
	switch (ret->type) {
	case WIRE_HELLO:
		return wire_get_hello(c, &ret->hello, err);
	case WIRE_WELCOME:
		return wire_get_welcome(c, &ret->welcome, err);
	case WIRE_REFUSE:
	case WIRE_ERROR:
		return wire_get_problem(c, &ret->problem, err);
	case WIRE_ACK:
		return wire_get_ack(c, &ret->ack, err);
	case WIRE_HEARTBEAT:
		return wire_get_heartbeat(c, &ret->heartbeat, err);
	case WIRE_SYNC_DONE:
		return wire_get_sync_done(c, &ret->sync_done, err);
	case WIRE_END:
		return wire_get_end(c, &ret->end, err);
	case WIRE_COMMITTED:
		return wire_get_committed(c, &ret->committed, err);
	case WIRE_CHANNEL_DOWN:
		return wire_get_channel_down(c, &ret->fence, err);
	case WIRE_FENCED:
		return wire_get_fenced(c, &ret->fence, err);
	case WIRE_PAGE_REQUEST_RESERVED:
		return error_set(err, MFD_PROTOCOL, "message type %u is reserved",
				 (unsigned)ret->type);
	}
	return error_set(err, MFD_PROTOCOL, "message type %u is unknown", (unsigned)ret->type);
}

size_t wire_put_message(const struct wire_message *m, uint8_t raw[static WIRE_MAX_FRAME])
{
	struct cursor head = cursor_writer(raw, WIRE_FRAME_HEAD_BYTES);
	struct cursor body = cursor_writer(raw + WIRE_FRAME_HEAD_BYTES, WIRE_MAX_BODY);
	struct cursor tail;
	size_t hashed;

	message_put_body(&body, m);
	if (body.bad)
		invariant_broken("mfd: wire: a message does not fit its frame\n");
	hashed = (size_t)(body.at - raw);
	cursor_put_u16(&head, (uint16_t)m->type);
	cursor_put_zeros(&head, 2);
	cursor_put_u32(&head, (uint32_t)(hashed - WIRE_FRAME_HEAD_BYTES));
	tail = cursor_writer(raw + hashed, WIRE_FRAME_TAIL_BYTES);
	cursor_put_u64(&tail, hash_bytes(raw, hashed));
	return hashed + WIRE_FRAME_TAIL_BYTES;
}

/* A whole frame whose checksum is right; @c is at its body. */
static bool message_get(struct cursor *c, unsigned type, unsigned flags, struct wire_message *ret,
			struct mfd_error *err)
{
	const char *name = wire_type_name(type);

	ret->type = (enum wire_type)type;
	if (!name)
		return message_get_body(c, ret, err);
	if (!wire_check_zero("flags", flags, err) || !message_get_body(c, ret, err))
		return error_wrap(err, "%s", name);
	return true;
}

bool wire_get_message(const uint8_t *raw, size_t size, struct wire_message *ret, size_t *ret_used,
		      struct mfd_error *err)
{
	struct cursor head = cursor_reader(raw, size);
	const uint16_t type = cursor_get_u16(&head);
	const uint16_t flags = cursor_get_u16(&head);
	const uint32_t length = cursor_get_u32(&head);
	struct cursor body, tail;

	*ret_used = 0;
	if (head.bad)
		return true;
	if (length > WIRE_MAX_BODY)
		return error_set(err, MFD_PROTOCOL, "message: a body of %" PRIu32 " bytes, over %u",
				 length, WIRE_MAX_BODY);
	if (cursor_left(&head) < length + WIRE_FRAME_TAIL_BYTES)
		return true;
	body = cursor_reader(head.at, length);
	tail = cursor_reader(head.at + length, WIRE_FRAME_TAIL_BYTES);
	if (cursor_get_u64(&tail) != hash_bytes(raw, WIRE_FRAME_HEAD_BYTES + length))
		return error_set(err, MFD_DATA, "message: checksum is wrong");
	if (!message_get(&body, type, flags, ret, err))
		return false;
	*ret_used = WIRE_FRAME_HEAD_BYTES + length + WIRE_FRAME_TAIL_BYTES;
	return true;
}
