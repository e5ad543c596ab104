/* SPDX-License-Identifier: MIT */
/*
 * Addresses as users write them.
 */
#include "net/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define ADDRESS_FORMS "an address is host:port, [v6]:port or :port"

#define ADDRESS_V4_IN_V6 96 /* bits before the IPv4 address in a mapped one */

void address_name(const struct address *a, char text[static ADDRESS_NAME])
{
	bool v6 = strchr(a->host, ':');

	snprintf(text, ADDRESS_NAME, v6 ? "[%s]:%u" : "%s:%u", a->host, (unsigned)a->port);
}

static bool address_refuse(const char *text, const char *reason, struct mfd_error *err)
{
	error_set(err, MFD_USAGE, "%s", reason);
	error_wrap(err, "%s", text);
	return false;
}

/* Decimal digits only, at most @max. */
static bool address_number(const char *text, unsigned max, unsigned *ret)
{
	unsigned value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (unsigned)(*text - '0');
		if (value > max)
			return false;
	}
	*ret = value;
	return true;
}

/* Is @text[0..size) an IPv6 address?  With a zone behind it too ("fe80::1%eth0"), if @zone. */
static bool address_is_v6(const char *text, size_t size, bool zone)
{
	const char *percent = zone ? memchr(text, '%', size) : NULL;
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr ignored;

	if (percent && percent + 1 == text + size)
		return false;
	if (percent)
		size = (size_t)(percent - text);
	if (size >= sizeof(copy))
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	return inet_pton(AF_INET6, copy, &ignored) == 1;
}

/* What is wrong with several colons and no brackets, and how it should look. */
static bool address_refuse_bare(const char *text, struct mfd_error *err)
{
	const char *colon = strrchr(text, ':');
	int front = (int)(colon - text);
	unsigned port;

	if (address_is_v6(text, (size_t)front, true) &&
	    address_number(colon + 1, UINT16_MAX, &port))
		error_set(err, MFD_USAGE, "an IPv6 address needs brackets: [%.*s]:%u", front,
			  text, port);
	else if (address_is_v6(text, strlen(text), true))
		error_set(err, MFD_USAGE,
			  "an IPv6 address needs brackets and a port: [%.100s]:PORT", text);
	else
		error_set(err, MFD_USAGE, ADDRESS_FORMS);
	error_wrap(err, "%s", text);
	return false;
}

/* Find host and port in @text; *ret_port is the text behind the colon. */
static bool address_split(const char *text, const char **ret_host, size_t *ret_size,
			  const char **ret_port, struct mfd_error *err)
{
	const char *colon = strchr(text, ':'), *close;

	*ret_host = text;
	if (*text == '[') {
		close = strchr(text, ']');
		if (!close || !address_is_v6(text + 1, (size_t)(close - text - 1), true))
			return address_refuse(text, "no IPv6 address in brackets; " ADDRESS_FORMS,
					      err);
		*ret_host = text + 1;
		*ret_size = (size_t)(close - text - 1);
		colon = close[1] == ':' ? close + 1 : NULL;
		if (close[1] && !colon)
			return address_refuse(text, ADDRESS_FORMS, err);
	} else if (colon && strchr(colon + 1, ':')) {
		return address_refuse_bare(text, err);
	} else if (colon) {
		*ret_size = (size_t)(colon - text);
	}
	if (!colon || !colon[1])
		return address_refuse(text, "the port is missing; " ADDRESS_FORMS, err);
	*ret_port = colon + 1;
	return true;
}

/* Nothing that no name has: it would only come back as "unknown host". */
static bool address_host_ok(const char *host, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if ((unsigned char)host[i] <= ' ' || host[i] == 0x7f || strchr("/[]@\\", host[i]))
			return false;
	}
	return size < ADDRESS_HOST_MAX;
}

bool address_parse(const char *text, bool zero_port, bool empty_host, struct address *ret,
		   struct mfd_error *err)
{
	const char *host, *port_text;
	unsigned port;
	size_t size;

	if (!address_split(text, &host, &size, &port_text, err))
		return false;
	if (!address_number(port_text, UINT16_MAX, &port) || (!port && !zero_port)) {
		error_set(err, MFD_USAGE, "the port must be a number from %d to %d",
			  zero_port ? 0 : 1, UINT16_MAX);
		return error_wrap(err, "%s", text);
	}
	if (!size && !empty_host)
		return address_refuse(text, "the host is missing", err);
	if (!address_host_ok(host, size))
		return address_refuse(text, "not a host name; " ADDRESS_FORMS, err);
	memcpy(ret->host, host, size);
	ret->host[size] = '\0';
	ret->port = (uint16_t)port;
	return true;
}

/* An IPv4 address as an IPv6 one: ::ffff:a.b.c.d. */
static void address_map(const struct in_addr *v4, uint8_t ret[static 16])
{
	memset(ret, 0, 10);
	memset(ret + 10, 0xff, 2);
	memcpy(ret + 12, v4, 4);
}

static bool address_is_mapped(const uint8_t bytes[static 16])
{
	struct in6_addr v6;

	memcpy(&v6, bytes, sizeof(v6));
	return IN6_IS_ADDR_V4MAPPED(&v6);
}

/* Clear the bits behind the prefix. */
static void address_mask(uint8_t bytes[static 16], unsigned prefix)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned kept = prefix > 8 * i ? prefix - 8 * i : 0;

		if (kept < 8)
			bytes[i] &= (uint8_t)(0xff00u >> kept);
	}
}

bool address_range_parse(const char *text, struct address_range *ret, struct mfd_error *err)
{
	const char *slash = strchr(text, '/');
	size_t size = slash ? (size_t)(slash - text) : strlen(text);
	struct address_range range;
	char copy[INET6_ADDRSTRLEN] = "";
	struct in_addr v4;
	unsigned max = 128;

	if (size < sizeof(copy))
		memcpy(copy, text, size);
	if (inet_pton(AF_INET, copy, &v4) == 1) {
		address_map(&v4, range.bytes);
		max = 32;
	} else if (inet_pton(AF_INET6, copy, range.bytes) != 1) {
		return address_refuse(text, "an IPv4 or IPv6 address is needed here, "
				      "with /PREFIX for a range", err);
	}
	range.prefix = max;
	if (slash && !address_number(slash + 1, max, &range.prefix)) {
		error_set(err, MFD_USAGE, "the prefix must be a number from 0 to %u", max);
		return error_wrap(err, "%s", text);
	}
	range.prefix += 128 - max;
	address_mask(range.bytes, range.prefix);
	*ret = range;
	return true;
}

bool address_range_holds(const struct address_range *range, const struct sockaddr *peer)
{
	const struct sockaddr_in6 *v6 = (const void *)peer;
	const struct sockaddr_in *v4 = (const void *)peer;
	uint8_t bytes[16];

	if (peer->sa_family == AF_INET)
		address_map(&v4->sin_addr, bytes);
	else if (peer->sa_family == AF_INET6)
		memcpy(bytes, &v6->sin6_addr, sizeof(bytes));
	else
		return false;
	/*
	 * Who writes ::/0 means IPv6: that the mapped addresses lie in it is our notation, not
	 * his wish to let IPv4 in.
	 */
	if (range->prefix < ADDRESS_V4_IN_V6 && address_is_mapped(bytes))
		return false;
	address_mask(bytes, range->prefix);
	return !memcmp(bytes, range->bytes, sizeof(bytes));
}

static void address_print_v4(const struct in_addr *v4, in_port_t port,
			     char text[static ADDRESS_TEXT])
{
	char host[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, v4, host, sizeof(host));
	snprintf(text, ADDRESS_TEXT, "%s:%u", host, (unsigned)ntohs(port));
}

static void address_print_v6(const struct sockaddr_in6 *sa, char text[static ADDRESS_TEXT])
{
	char host[INET6_ADDRSTRLEN], zone[16] = "";

	inet_ntop(AF_INET6, &sa->sin6_addr, host, sizeof(host));
	if (sa->sin6_scope_id)
		snprintf(zone, sizeof(zone), "%%%u", (unsigned)sa->sin6_scope_id);
	snprintf(text, ADDRESS_TEXT, "[%.40s%s]:%u", host, zone, (unsigned)ntohs(sa->sin6_port));
}

void address_print(const struct sockaddr *sa, char text[static ADDRESS_TEXT])
{
	const struct sockaddr_in6 *v6 = (const void *)sa;
	const struct sockaddr_in *v4 = (const void *)sa;
	struct in_addr inner;

	if (sa->sa_family == AF_INET) {
		address_print_v4(&v4->sin_addr, v4->sin_port, text);
	} else if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		memcpy(&inner, &v6->sin6_addr.s6_addr[12], sizeof(inner));
		address_print_v4(&inner, v6->sin6_port, text);
	} else if (sa->sa_family == AF_INET6) {
		address_print_v6(v6, text);
	} else {
		snprintf(text, ADDRESS_TEXT, "unknown address");
	}
}
