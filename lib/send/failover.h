/* SPDX-License-Identifier: MIT */
/*
 * A channel may die and the transfer goes on.
 *
 * What its connection (one generation of it) goes through, in send_thread.link, and who takes
 * each step:
 *
 *	UP      in use
 *	LOST    send() failed (sender thread), or the receiver or its heartbeats say so (control
 *	        thread), and CHANNEL_DOWN is said
 *	FENCED  the receiver has answered and will write no more of it; what it had written is
 *	        retired (control thread)
 *	DOWN    the rest, from the slots and from the log, is on the `returned` list (sender
 *	        thread); an opener is at work
 *	OPENED  a new connection is there (opener); the sender thread takes it: UP, with the next
 *	        generation
 *
 * The log belongs to the control thread's side while UP or LOST, to the sender thread's from
 * FENCED on.  Each side sees the other's step under the session's lock; the sender thread is told
 * by an interrupt of its hand-off, because it may be waiting for work.
 *
 * What never happens: a batch that is sent elsewhere before the fence; two of a channel's
 * connections in use; a thread that waits for a lost channel.  A corrupt packet is not a lost
 * channel: the receiver ends the session.
 */
#ifndef MFD_SEND_FAILOVER_H
#define MFD_SEND_FAILOVER_H

#include "send/session.h"

/*
 * The pause before a lost channel is opened again, and the longest one: it doubles each time that
 * came to nothing.
 */
#define SEND_REOPEN_FIRST_MS 50u
#define SEND_REOPEN_MOST_MS 1000u

/* ---- Sender thread. ---- */

/* send() failed: let go of the connection.  The main thread too, before this one runs. */
void send_failover_lost(struct send_thread *t, const struct mfd_error *why);

/* A batch that this thread can't send.  False: leave, and the reason is reported. */
bool send_failover_return(struct send_thread *t, const struct batch *batch) MFD_MUST_CHECK;

/* The hand-off was interrupted: take the next step, if it is this thread's.  False: leave. */
bool send_failover_step(struct send_thread *t) MFD_MUST_CHECK;

/* Before the thread ends: nobody works for it any more. */
void send_failover_leave(struct send_thread *t);

/* reopen.c.  The opener, for a struct send_thread; and the pause after one of @pause_ms. */
void *send_reopen_main(void *thread);
uint64_t send_reopen_pause(uint64_t pause_ms);

/* ---- Control thread. ---- */

/*
 * May the log of @t be touched for what the receiver says of @generation?  *ret_old: it speaks of
 * one that is over.
 */
bool send_failover_current(struct send_thread *t, uint32_t generation, bool *ret_old);

/* No more use of this connection of @t, which is told so. */
void send_failover_give_up(struct send_thread *t, uint32_t generation, const struct mfd_error *why);

/* FENCED has come and what was written is retired. */
bool send_failover_fenced(struct send_thread *t, uint32_t generation,
			  struct mfd_error *err) MFD_MUST_CHECK;

/* CHANNEL_DOWN for all that need it and have not had it. */
void send_failover_tell(struct send_session *s);

/*
 * Is there progress, or nothing to wait for?  MFD_TRY_AGAIN when there has been none for the
 * timeout since a channel was lost.
 */
bool send_failover_check(struct send_session *s, struct mfd_error *err) MFD_MUST_CHECK;

/* ---- Main thread. ---- */

/* Tell the user what happened to which channel, and why. */
void send_failover_news(struct send_session *s);

#endif
