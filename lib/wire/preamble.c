/* SPDX-License-Identifier: MIT */
/*
 * The preamble: what a connection says first about itself.  Whoever sends one is still a
 * stranger, so the magic is looked at before the checksum: "not mfd" is the more useful
 * thing to say about junk.
 */
#include "wire/wire.h"

#include <string.h>

#include "base/cursor.h"
#include "base/hash.h"
#include "core/invariant.h"
#include "wire/check.h"

#define PREAMBLE_VERSION 1u
#define PREAMBLE_HASHED (WIRE_PREAMBLE_BYTES - 8)

static const uint8_t preamble_magic[8] = { 0x89, 'M', 'F', 'D', '\r', '\n', 0x1a, '\n' };

void wire_put_preamble(const struct wire_preamble *p, uint8_t raw[static WIRE_PREAMBLE_BYTES])
{
	struct cursor c = cursor_writer(raw, WIRE_PREAMBLE_BYTES);

	cursor_put_bytes(&c, preamble_magic, sizeof(preamble_magic));
	cursor_put_u16(&c, p->version);
	cursor_put_u8(&c, p->role);
	cursor_put_u8(&c, p->transport);
	cursor_put_u32(&c, p->channel);
	cursor_put_u32(&c, p->generation);
	cursor_put_zeros(&c, 4);
	cursor_put_bytes(&c, p->token, WIRE_TOKEN_BYTES);
	cursor_put_zeros(&c, 16);
	cursor_put_u64(&c, hash_bytes(raw, PREAMBLE_HASHED));
	if (!cursor_finished(&c))
		invariant_broken("mfd: wire: a preamble has not its size\n");
}

/* There is one, and it is never replaced. */
static bool preamble_check_hashes(const struct wire_preamble *p, struct mfd_error *err)
{
	return wire_check_zero("channel of hashes", p->channel, err) &&
	       wire_check_range("generation of hashes", p->generation, 1, 1, err);
}

static bool preamble_check_control(const struct wire_preamble *p, struct mfd_error *err)
{
	struct cursor token = cursor_reader(p->token, WIRE_TOKEN_BYTES);

	return wire_check_zero("channel of control", p->channel, err) &&
	       wire_check_zero("generation of control", p->generation, err) &&
	       wire_check_zero("token of control", wire_get_zeros(&token, WIRE_TOKEN_BYTES), err);
}

static bool preamble_check(const struct wire_preamble *p, struct mfd_error *err)
{
	if (p->version != PREAMBLE_VERSION)
		return error_set(err, MFD_PROTOCOL, "version %u is unknown", (unsigned)p->version);
	if (p->transport == WIRE_TRANSPORT_TLS_RESERVED)
		return error_set(err, MFD_PROTOCOL, "transport 1 is reserved");
	if (p->transport != WIRE_TRANSPORT_CLEAR)
		return error_set(err, MFD_PROTOCOL, "transport %u is unknown",
				 (unsigned)p->transport);
	switch (p->role) {
	case WIRE_ROLE_CONTROL:
		return preamble_check_control(p, err);
	case WIRE_ROLE_DATA:
		return wire_check_channel(p->channel, p->generation, err);
	case WIRE_ROLE_HASHES:
		return preamble_check_hashes(p, err);
	case WIRE_ROLE_URGENT_RESERVED:
		return error_set(err, MFD_PROTOCOL, "role 3 is reserved");
	default:
		return error_set(err, MFD_PROTOCOL, "role %u is unknown", (unsigned)p->role);
	}
}

bool wire_get_preamble(const uint8_t raw[static WIRE_PREAMBLE_BYTES], struct wire_preamble *ret,
		       struct mfd_error *err)
{
	struct cursor c = cursor_reader(raw, WIRE_PREAMBLE_BYTES);
	uint8_t magic[sizeof(preamble_magic)];
	uint8_t zeros;

	cursor_get_bytes(&c, magic, sizeof(magic));
	ret->version = cursor_get_u16(&c);
	ret->role = cursor_get_u8(&c);
	ret->transport = cursor_get_u8(&c);
	ret->channel = cursor_get_u32(&c);
	ret->generation = cursor_get_u32(&c);
	zeros = wire_get_zeros(&c, 4);
	cursor_get_bytes(&c, ret->token, WIRE_TOKEN_BYTES);
	zeros |= wire_get_zeros(&c, 16);

	if (memcmp(magic, preamble_magic, sizeof(magic)) != 0)
		return error_set(err, MFD_PROTOCOL, "preamble: this is not mfd's protocol");
	if (cursor_get_u64(&c) != hash_bytes(raw, PREAMBLE_HASHED))
		return error_set(err, MFD_DATA, "preamble: checksum is wrong");
	/* In this order: a later version may have given the zeros a meaning. */
	if (!preamble_check(ret, err) || !wire_check_zero("zero field", zeros, err))
		return error_wrap(err, "preamble");
	return true;
}
