/* SPDX-License-Identifier: MIT */
/*
 * Addresses as users write them: host:port, [v6]:port, :port; and who may connect: ADDR or
 * ADDR/PREFIX.
 */
#ifndef MFD_NET_ADDRESS_H
#define MFD_NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"
#include "core/options.h"

#define ADDRESS_HOST_MAX 256 /* a DNS name has at most 253 characters */

struct address {
	char host[ADDRESS_HOST_MAX]; /* "" for :port */
	uint16_t port;
};

/* As a user would write it, for messages. */
#define ADDRESS_NAME (ADDRESS_HOST_MAX + 8)
void address_name(const struct address *a, char text[static ADDRESS_NAME]);

/*
 * Split @text; MFD_USAGE says what the forms are.  Port 0 only where @zero_port, an empty host
 * only where @empty_host.
 */
bool address_parse(const char *text, bool zero_port, bool empty_host, struct address *ret,
		   struct mfd_error *err) MFD_MUST_CHECK;

/*
 * A range of peers.  IPv4 addresses are kept mapped into IPv6, so that one comparison serves
 * both.
 */
struct address_range {
	uint8_t bytes[16];
	unsigned prefix;         /* 0..128 */
};

bool address_range_parse(const char *text, struct address_range *ret,
			 struct mfd_error *err) MFD_MUST_CHECK;
bool address_range_holds(const struct address_range *range, const struct sockaddr *peer);

/* "192.0.2.1:7700", "[2001:db8::1]:7700" for messages; a mapped IPv4 address as IPv4. */
#define ADDRESS_TEXT 64
void address_print(const struct sockaddr *sa, char text[static ADDRESS_TEXT]);

#endif
