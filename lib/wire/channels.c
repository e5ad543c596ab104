/* SPDX-License-Identifier: MIT */
/*
 * What is said on control about the data channels: ACK, HEARTBEAT, CHANNEL_DOWN, FENCED.
 */
#include "wire/body.h"

#include <assert.h>

#include "core/invariant.h"
#include "core/options.h"
#include "wire/check.h"

static_assert(WIRE_MAX_CHANNELS == MFD_MAX_CHANNELS, "as many as an option can ask for");

void wire_put_ack(struct cursor *c, const struct wire_ack *m)
{
	if (m->count == 0 || m->count > WIRE_MAX_CHANNELS)
		invariant_broken("mfd: wire: an ACK for no channel or for too many\n");
	cursor_put_u16(c, m->count);
	for (unsigned i = 0; i < m->count; i++) {
		cursor_put_u32(c, m->channel[i].channel);
		cursor_put_u32(c, m->channel[i].generation);
		cursor_put_u64(c, m->channel[i].written);
	}
}

bool wire_get_ack(struct cursor *c, struct wire_ack *ret, struct mfd_error *err)
{
	ret->count = cursor_get_u16(c);
	if (!c->bad && !wire_check_range("entries", ret->count, 1, WIRE_MAX_CHANNELS, err))
		return false;
	for (unsigned i = 0; i < ret->count; i++) {
		ret->channel[i].channel = cursor_get_u32(c);
		ret->channel[i].generation = cursor_get_u32(c);
		ret->channel[i].written = cursor_get_u64(c);
	}
	if (!wire_check_ended(c, err))
		return false;
	for (unsigned i = 0; i < ret->count; i++)
		if (!wire_check_channel(ret->channel[i].channel, ret->channel[i].generation, err))
			return false;
	return true;
}

void wire_put_heartbeat(struct cursor *c, const struct wire_heartbeat *m)
{
	if (m->count > WIRE_MAX_CHANNELS)
		invariant_broken("mfd: wire: a HEARTBEAT for too many channels\n");
	cursor_put_u8(c, m->phase);
	cursor_put_zeros(c, 1);
	cursor_put_u16(c, m->count);
	for (unsigned i = 0; i < m->count; i++) {
		cursor_put_u32(c, m->channel[i].channel);
		cursor_put_u32(c, m->channel[i].generation);
		cursor_put_u64(c, m->channel[i].received);
		cursor_put_u8(c, m->channel[i].waits);
	}
}

static bool channels_check_health(const struct wire_channel_health *h, struct mfd_error *err)
{
	return wire_check_channel(h->channel, h->generation, err) &&
	       wire_check_range("waits for", h->waits, WIRE_WAITS_NETWORK, WIRE_WAITS_SINK, err);
}

bool wire_get_heartbeat(struct cursor *c, struct wire_heartbeat *ret, struct mfd_error *err)
{
	uint8_t zero;

	ret->phase = cursor_get_u8(c);
	zero = wire_get_zeros(c, 1);
	ret->count = cursor_get_u16(c);
	if (!wire_check_range("entries", ret->count, 0, WIRE_MAX_CHANNELS, err))
		return false;
	for (unsigned i = 0; i < ret->count; i++) {
		ret->channel[i].channel = cursor_get_u32(c);
		ret->channel[i].generation = cursor_get_u32(c);
		ret->channel[i].received = cursor_get_u64(c);
		ret->channel[i].waits = cursor_get_u8(c);
	}
	if (!wire_check_ended(c, err) ||
	    !wire_check_range("phase", ret->phase, MFD_CONNECTING, MFD_FINISHED, err) ||
	    !wire_check_zero("zero field", zero, err))
		return false;
	for (unsigned i = 0; i < ret->count; i++)
		if (!channels_check_health(&ret->channel[i], err))
			return false;
	return true;
}

void wire_put_channel_down(struct cursor *c, const struct wire_fence *m)
{
	cursor_put_u32(c, m->channel);
	cursor_put_u32(c, m->generation);
}

bool wire_get_channel_down(struct cursor *c, struct wire_fence *ret, struct mfd_error *err)
{
	ret->channel = cursor_get_u32(c);
	ret->generation = cursor_get_u32(c);
	ret->written = 0;
	return wire_check_ended(c, err) && wire_check_channel(ret->channel, ret->generation, err);
}

void wire_put_fenced(struct cursor *c, const struct wire_fence *m)
{
	cursor_put_u32(c, m->channel);
	cursor_put_u32(c, m->generation);
	cursor_put_u64(c, m->written);
}

bool wire_get_fenced(struct cursor *c, struct wire_fence *ret, struct mfd_error *err)
{
	ret->channel = cursor_get_u32(c);
	ret->generation = cursor_get_u32(c);
	ret->written = cursor_get_u64(c);
	return wire_check_ended(c, err) && wire_check_channel(ret->channel, ret->generation, err);
}
