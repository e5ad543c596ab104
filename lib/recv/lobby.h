/* SPDX-License-Identifier: MIT */
/*
 * The lobby: whoever connects waits here until it has said who it is.  Strangers (junk, silence,
 * half a preamble) are dropped after ten seconds and disturb nobody; when all seats are taken the
 * one that has waited longest goes.  One thread, one poll(2).
 */
#ifndef MFD_RECV_LOBBY_H
#define MFD_RECV_LOBBY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/event.h"
#include "net/address.h"
#include "net/channel.h"
#include "net/control.h"
#include "net/listen.h"
#include "wire/wire.h"

/* The preamble arrives at once from whoever means it; the seats bound what silent ones cost. */
#define LOBBY_SEATS 128
#define LOBBY_PATIENCE_MS 10000

struct lobby_rules {
	const struct address_range *allow; /* [allow_count], none: everybody */
	size_t allow_count;
};

/* Someone who has said who it is; what it owns is the caller's. */
struct lobby_guest {
	struct wire_preamble preamble;
	struct wire_hello hello;     /* if it came for control */
	struct control *control;     /* if it came for control */
	/* if it came for data: nothing read from it but the preamble */
	struct channel *channel;
	char who[ADDRESS_TEXT];
};

struct lobby;

/* @listener and @rules stay the caller's and outlive the lobby. */
bool lobby_new(const struct listener *listener, const struct lobby_rules *rules, struct lobby **ret,
	       struct mfd_error *err) MFD_MUST_CHECK;
void lobby_free(struct lobby *l);

/*
 * Nobody is let in any more: whoever wanted a session hears REFUSE with @why, as far as it has said
 * that it does, and everybody leaves.  Nothing is waited for.
 */
void lobby_turn_away(struct lobby *l, const struct mfd_error *why);

enum lobby_event {
	LOBBY_GUEST,                 /* *ret_guest */
	LOBBY_DROPPED,               /* *err says who (ret_guest->who) was turned away and why */
	LOBBY_EVENT,                 /* the event passed in is raised; the caller clears it */
	LOBBY_DEADLINE,
};

enum lobby_event lobby_wait(struct lobby *l, const struct event *event, uint64_t deadline_ns,
			    struct lobby_guest *ret_guest, struct mfd_error *err);

#endif
