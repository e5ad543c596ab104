/* SPDX-License-Identifier: MIT */
/*
 * Negotiation: may this sender have a session, and on which terms?  Nothing here changes anything
 * but the answer: until WELCOME a peer is a stranger.
 */
#include "recv/session.h"

#include <string.h>

#include "base/random.h"

/* Everything this build can decode. */
static uint32_t our_methods(void)
{
	uint32_t mask = 0;

	for (unsigned i = 0; method_at(i); i++)
		mask |= UINT32_C(1) << method_at(i)->id;
	return mask;
}

static bool check_terms(const struct recv_session *s, const struct wire_hello *h,
			struct mfd_error *err)
{
	const uint32_t unknown = h->methods & ~our_methods();

	if (h->version_min > WIRE_VERSION || h->version_max < WIRE_VERSION)
		return error_set(err, MFD_PROTOCOL,
				 "the sender speaks protocol versions %u to %u, this receiver "
				 "speaks %d",
				 h->version_min, h->version_max, WIRE_VERSION);
	if (h->page_bytes != PAGE_BYTES)
		return error_set(err, MFD_PROTOCOL,
				 "the sender has pages of %u bytes, this receiver of %u",
				 (unsigned)h->page_bytes, PAGE_BYTES);
	if (h->channels > s->params.max_channels)
		return error_set(err, MFD_CONFIG,
				 "the sender wants %u channels, this receiver allows %u "
				 "(--max-channels)",
				 (unsigned)h->channels, s->params.max_channels);
	if (unknown & (UINT32_C(1) << h->method))
		return error_set(err, MFD_PROTOCOL, "this receiver can't decode method %u",
				 h->method);
	if (h->regions != 1 || h->region[0].id != 0 || h->region[0].size != h->size)
		return error_set(err, MFD_PROTOCOL, "this receiver takes images of one region");
	return true;
}

/* There is something in the output already, and the sender wants to hear about it. */
static bool offer_basis(struct recv_session *s, const struct wire_hello *hello,
			struct wire_welcome *ret, struct mfd_error *err)
{
	const struct sink_basis *basis = s->sink->basis;
	const uint64_t pages = hello->size == MFD_UNKNOWN ? WIRE_MAX_PAGE_INDEX
							  : batch_pages_of(hello->size);

	s->told = hello->delta && basis && sink_basis_any(basis);
	if (!s->told)
		return true;
	s->basis_pages = sink_basis_pages(basis) < pages ? sink_basis_pages(basis) : pages;
	ret->basis = true;
	ret->basis_pages = s->basis_pages;
	if (hello->own_secret)
		memcpy(s->secret, hello->secret, sizeof(s->secret));
	else if (!random_fill(s->secret, sizeof(s->secret), err))
		return false;
	memcpy(ret->secret, s->secret, sizeof(ret->secret));
	return true;
}

bool recv_hello(struct recv_session *s, const struct wire_hello *hello, struct wire_welcome *ret,
		struct mfd_error *err)
{
	if (!check_terms(s, hello, err) || !random_fill(s->token, sizeof(s->token), err))
		return false;
	*ret = (struct wire_welcome){
		.version = WIRE_VERSION,
		.packet_pages = hello->packet_pages,
		.methods = hello->methods & our_methods(),
		.timeout_ms = (uint32_t)s->params.timeout_ms,
		.resume = s->params.resume,
	};
	memcpy(ret->token, s->token, sizeof(ret->token));
	return offer_basis(s, hello, ret, err);
}
