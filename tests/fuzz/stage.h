/* SPDX-License-Identifier: MIT */
/*
 * A receiving session without a network: its connections are memory, and its lobby is this file's
 * instead of lib/recv/lobby.c.  What its peers do is a script, a list of records, each some bytes
 * more on one connection.
 *
 * A record is played only when the session has nothing left to do: every receiver thread waits for
 * bytes, the main thread for guests, the control thread for both.  So the same script always has
 * the same outcome, whatever the threads' timing, and nothing waits for a clock: when the last
 * record has been played the control connection ends, and with it the session.
 */
#ifndef MFD_TESTS_FUZZ_STAGE_H
#define MFD_TESTS_FUZZ_STAGE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/channel.h"
#include "recv/session.h"

#define STAGE_CONNECTIONS 8u
#define STAGE_RECORDS 512u

struct stage_connection {
	/* The script's; set before the session runs. */
	uint8_t *bytes;              /* all that will ever come */
	size_t size;

	/* Guarded by the stage's lock. */
	size_t played, taken;        /* bytes: that have come, of these received */
	bool ended;                  /* the peer has closed it */
	bool shut;                   /* we have */
	bool waiting;                /* a receiver thread sits in recv */
	/* the end of the stream has been delivered, or nobody listens any more */
	bool gone;
	bool introduced;             /* the lobby is done with it */
	struct control *control;     /* the lobby's, while HELLO has not come */
	bool told;                   /* our last word has left: ERROR, REFUSE or COMMITTED */
};

struct stage_record {
	uint8_t connection;
	uint16_t bytes;              /* 0: it closes */
};

struct stage {
	struct recv_session *session;
	bool repair;                 /* put WELCOME's token into preambles */
	struct stage_record record[STAGE_RECORDS];
	unsigned records;
	struct stage_connection connection[STAGE_CONNECTIONS];

	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned next;               /* record */
	struct event guests;         /* for the main thread in the lobby */
	bool lobby_waits, lobby_closed;
	const struct event *lobby_event;
};

/* All zero but for the script. */
void stage_init(struct stage *s);
void stage_destroy(struct stage *s);

/*
 * The stage is found through what lobby_new() is given: rules.allow_count is 0, rules.allow this
 * pointer.
 */
const struct address_range *stage_as_rules(struct stage *s);

#endif
