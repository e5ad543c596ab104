/* SPDX-License-Identifier: MIT */
/*
 * HELLO and WELCOME: what the two ends agree on before anything moves.
 */
#include "wire/body.h"

#include <inttypes.h>
#include <string.h>

#include "core/invariant.h"
#include "wire/check.h"

/* An extension that must be understood. */
#define HELLO_EXTENSION_CRITICAL 0x8000u

/* HELLO's */
#define HELLO_DELTA 1u
#define HELLO_ENDED 2u
#define HELLO_ENDED_BYTES 16u
#define HELLO_SECRET 3u
/* WELCOME's */
#define WELCOME_BASIS 1u
#define WELCOME_BASIS_BYTES (8u + WIRE_SECRET_BYTES)
#define WELCOME_RESUME 2u

/* Take the value of an extension that we know, and say how many bytes it has to have. */
typedef bool hello_extension_fn(struct cursor *c, uint16_t type, void *message,
				uint16_t *ret_bytes);

/*
 * Those of a peer that knows more than we do are skipped where they allow it.  @take is true for a
 * type it knows; it reads the value, and is called before the length is compared, so that a wrong
 * length leaves the cursor where it is.
 */
static bool hello_get_extensions(struct cursor *c, hello_extension_fn *take, void *message,
				 struct mfd_error *err)
{
	const uint16_t count = cursor_get_u16(c);
	uint16_t type, length, want;
	uint32_t seen = 0;
	struct cursor value;

	if (!wire_check_range("extensions", count, 0, WIRE_MAX_EXTENSIONS, err))
		return false;
	for (unsigned i = 0; i < count; i++) {
		type = cursor_get_u16(c);
		length = cursor_get_u16(c);
		value = cursor_reader(c->at, c->bad || cursor_left(c) < length ? 0 : length);
		cursor_skip(c, length);
		if (c->bad)
			break;
		if (!take(&value, type, message, &want)) {
			if (type & HELLO_EXTENSION_CRITICAL)
				return error_set(err, MFD_PROTOCOL,
						 "extension 0x%04x is not understood",
						 (unsigned)type);
			continue;
		}
		if (length != want)
			return error_set(err, MFD_PROTOCOL,
					 "extension %u has %u bytes instead of %u", (unsigned)type,
					 (unsigned)length, (unsigned)want);
		if (seen & 1u << type)
			return error_set(err, MFD_PROTOCOL, "extension %u comes twice",
					 (unsigned)type);
		seen |= 1u << type;
	}
	return true;
}

static void hello_put_extensions(struct cursor *c, const struct wire_hello *m)
{
	cursor_put_u16(c, (uint16_t)(m->delta + m->ended + m->own_secret));
	if (m->delta) {
		cursor_put_u16(c, HELLO_DELTA);
		cursor_put_u16(c, 0);
	}
	if (m->ended) {
		cursor_put_u16(c, HELLO_ENDED);
		cursor_put_u16(c, HELLO_ENDED_BYTES);
		cursor_put_u64(c, m->ended_size);
		cursor_put_u64(c, m->ended_hash);
	}
	if (m->own_secret) {
		cursor_put_u16(c, HELLO_SECRET);
		cursor_put_u16(c, WIRE_SECRET_BYTES);
		cursor_put_bytes(c, m->secret, WIRE_SECRET_BYTES);
	}
}

static bool hello_take_extension(struct cursor *c, uint16_t type, void *message,
				 uint16_t *ret_bytes)
{
	struct wire_hello *m = message;

	if (type == HELLO_DELTA) {
		m->delta = true;
		*ret_bytes = 0;
		return true;
	}
	if (type == HELLO_SECRET) {
		m->own_secret = true;
		cursor_get_bytes(c, m->secret, WIRE_SECRET_BYTES);
		*ret_bytes = WIRE_SECRET_BYTES;
		return true;
	}
	if (type != HELLO_ENDED)
		return false;
	m->ended = true;
	m->ended_size = cursor_get_u64(c);
	m->ended_hash = cursor_get_u64(c);
	*ret_bytes = HELLO_ENDED_BYTES;
	return true;
}

static void welcome_put_extensions(struct cursor *c, const struct wire_welcome *m)
{
	cursor_put_u16(c, (uint16_t)(m->basis + m->resume));
	if (m->basis) {
		cursor_put_u16(c, WELCOME_BASIS);
		cursor_put_u16(c, WELCOME_BASIS_BYTES);
		cursor_put_u64(c, m->basis_pages);
		cursor_put_bytes(c, m->secret, WIRE_SECRET_BYTES);
	}
	if (m->resume) {
		cursor_put_u16(c, WELCOME_RESUME);
		cursor_put_u16(c, 0);
	}
}

static bool welcome_take_extension(struct cursor *c, uint16_t type, void *message,
				   uint16_t *ret_bytes)
{
	struct wire_welcome *m = message;

	if (type == WELCOME_RESUME) {
		m->resume = true;
		*ret_bytes = 0;
		return true;
	}
	if (type != WELCOME_BASIS)
		return false;
	m->basis = true;
	m->basis_pages = cursor_get_u64(c);
	cursor_get_bytes(c, m->secret, WIRE_SECRET_BYTES);
	*ret_bytes = WELCOME_BASIS_BYTES;
	return true;
}

static void hello_put_region(struct cursor *c, const struct wire_region *r)
{
	if (r->name_bytes > WIRE_MAX_NAME)
		invariant_broken("mfd: wire: the name of a region is too long\n");
	cursor_put_u32(c, r->id);
	cursor_put_u64(c, r->size);
	cursor_put_u16(c, r->name_bytes);
	cursor_put_bytes(c, r->name, r->name_bytes);
}

static bool hello_get_region(struct cursor *c, struct wire_region *ret, struct mfd_error *err)
{
	ret->id = cursor_get_u32(c);
	ret->size = cursor_get_u64(c);
	ret->name_bytes = cursor_get_u16(c);
	if (!wire_check_range("bytes in a region's name", ret->name_bytes, 0, WIRE_MAX_NAME, err))
		return false;
	cursor_get_bytes(c, ret->name, ret->name_bytes);
	return true;
}

static bool hello_check_versions(const struct wire_hello *m, struct mfd_error *err)
{
	if (m->version_min == 0 || m->version_min > m->version_max)
		return error_set(err, MFD_PROTOCOL, "versions %u..%u make no range",
				 (unsigned)m->version_min, (unsigned)m->version_max);
	return true;
}

static bool hello_check_methods(uint32_t methods, struct mfd_error *err)
{
	if (!(methods & 1u << WIRE_METHOD_NONE))
		return error_set(err, MFD_PROTOCOL,
				 "methods 0x%" PRIx32 " are without method none", methods);
	return true;
}

static bool hello_check_method(const struct wire_hello *m, struct mfd_error *err)
{
	if (!hello_check_methods(m->methods, err) ||
	    !wire_check_range("method", m->method, 0, WIRE_MAX_METHOD, err))
		return false;
	if (!(m->methods & 1u << m->method))
		return error_set(err, MFD_PROTOCOL,
				 "method %u is not one of the methods 0x%" PRIx32,
				 (unsigned)m->method, m->methods);
	return true;
}

static bool hello_check_regions(const struct wire_hello *m, struct mfd_error *err)
{
	uint32_t seen = 0;

	for (unsigned i = 0; i < m->regions; i++) {
		const struct wire_region *r = &m->region[i];

		if (!wire_check_range("region's id", r->id, 0, WIRE_MAX_REGIONS - 1, err) ||
		    !wire_check_size("region's size", r->size, err))
			return false;
		if (seen & 1u << r->id)
			return error_set(err, MFD_PROTOCOL, "region %" PRIu32 " comes twice",
					 r->id);
		seen |= 1u << r->id;
	}
	return true;
}

static bool hello_check(const struct wire_hello *m, struct mfd_error *err)
{
	if (m->flags & ~WIRE_HELLO_ROUNDS)
		return error_set(err, MFD_PROTOCOL, "flags 0x%" PRIx32 " are unknown",
				 m->flags & ~WIRE_HELLO_ROUNDS);
	return wire_check_range("page size", m->page_bytes, PAGE_BYTES, PAGE_BYTES, err) &&
	       wire_check_range("packet pages", m->packet_pages, 1, BATCH_MAX_PAGES, err) &&
	       wire_check_range("channels", m->channels, 1, WIRE_MAX_CHANNELS, err) &&
	       hello_check_method(m, err) &&
	       wire_check_range("timeout", m->timeout_ms, 1, WIRE_MAX_TIMEOUT_MS, err) &&
	       wire_check_size("image size", m->size, err) &&
	       wire_check_size("allocated bytes", m->allocated, err) &&
	       wire_check_range("size in ENDED", m->ended_size, 0, WIRE_MAX_IMAGE, err) &&
	       hello_check_regions(m, err);
}

void wire_put_hello(struct cursor *c, const struct wire_hello *m)
{
	if (m->regions > WIRE_MAX_REGIONS)
		invariant_broken("mfd: wire: too many regions\n");
	cursor_put_u16(c, m->version_min);
	cursor_put_u16(c, m->version_max);
	cursor_put_u32(c, m->page_bytes);
	cursor_put_u32(c, m->packet_pages);
	cursor_put_u32(c, m->channels);
	cursor_put_u32(c, m->methods);
	cursor_put_u16(c, m->method);
	cursor_put_u16(c, (uint16_t)m->level);
	cursor_put_u32(c, m->flags);
	cursor_put_u32(c, m->timeout_ms);
	cursor_put_u64(c, m->size);
	cursor_put_u64(c, m->allocated);
	cursor_put_u16(c, m->regions);
	for (unsigned i = 0; i < m->regions; i++)
		hello_put_region(c, &m->region[i]);
	hello_put_extensions(c, m);
}

bool wire_get_hello(struct cursor *c, struct wire_hello *ret, struct mfd_error *err)
{
	memset(ret, 0, sizeof(*ret));
	ret->version_min = cursor_get_u16(c);
	ret->version_max = cursor_get_u16(c);
	if (!c->bad && !hello_check_versions(ret, err))
		return false;
	if (ret->version_min > WIRE_VERSION) {
		/* What follows is in a layout that is not ours. */
		cursor_skip(c, cursor_left(c));
		return wire_check_ended(c, err);
	}
	ret->page_bytes = cursor_get_u32(c);
	ret->packet_pages = cursor_get_u32(c);
	ret->channels = cursor_get_u32(c);
	ret->methods = cursor_get_u32(c);
	ret->method = cursor_get_u16(c);
	ret->level = (int16_t)cursor_get_u16(c);
	ret->flags = cursor_get_u32(c);
	ret->timeout_ms = cursor_get_u32(c);
	ret->size = cursor_get_u64(c);
	ret->allocated = cursor_get_u64(c);
	ret->regions = cursor_get_u16(c);
	if (!c->bad && !wire_check_range("regions", ret->regions, 1, WIRE_MAX_REGIONS, err))
		return false;
	for (unsigned i = 0; i < ret->regions; i++)
		if (!hello_get_region(c, &ret->region[i], err))
			return false;
	return hello_get_extensions(c, hello_take_extension, ret, err) &&
	       wire_check_ended(c, err) && hello_check(ret, err);
}

void wire_put_welcome(struct cursor *c, const struct wire_welcome *m)
{
	cursor_put_u16(c, m->version);
	cursor_put_zeros(c, 2);
	cursor_put_u32(c, m->packet_pages);
	cursor_put_u32(c, m->methods);
	cursor_put_u32(c, m->timeout_ms);
	cursor_put_bytes(c, m->token, WIRE_TOKEN_BYTES);
	welcome_put_extensions(c, m);
}

bool wire_get_welcome(struct cursor *c, struct wire_welcome *ret, struct mfd_error *err)
{
	uint8_t zeros;

	memset(ret, 0, sizeof(*ret));
	ret->version = cursor_get_u16(c);
	zeros = wire_get_zeros(c, 2);
	ret->packet_pages = cursor_get_u32(c);
	ret->methods = cursor_get_u32(c);
	ret->timeout_ms = cursor_get_u32(c);
	cursor_get_bytes(c, ret->token, WIRE_TOKEN_BYTES);
	return hello_get_extensions(c, welcome_take_extension, ret, err) &&
	       wire_check_ended(c, err) &&
	       wire_check_range("version", ret->version, 1, WIRE_VERSION, err) &&
	       wire_check_zero("zero field", zeros, err) &&
	       wire_check_range("packet pages", ret->packet_pages, 1, BATCH_MAX_PAGES, err) &&
	       hello_check_methods(ret->methods, err) &&
	       wire_check_range("timeout", ret->timeout_ms, 1, WIRE_MAX_TIMEOUT_MS, err) &&
	       wire_check_range("basis", ret->basis_pages, 0, WIRE_MAX_PAGE_INDEX, err);
}
