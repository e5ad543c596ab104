/* SPDX-License-Identifier: MIT */
/*
 * The bodies of control messages, each put and got side by side in the file named here;
 * message.c wraps them in frames.  The get functions have read the body to its end and
 * checked its fields when they return true.  Private to lib/wire.
 */
#ifndef MFD_WIRE_BODY_H
#define MFD_WIRE_BODY_H

#include "base/cursor.h"
#include "wire/wire.h"

/* hello.c */
void wire_put_hello(struct cursor *c, const struct wire_hello *m);
bool wire_get_hello(struct cursor *c, struct wire_hello *ret, struct mfd_error *err) MFD_MUST_CHECK;
void wire_put_welcome(struct cursor *c, const struct wire_welcome *m);
bool wire_get_welcome(struct cursor *c, struct wire_welcome *ret,
		      struct mfd_error *err) MFD_MUST_CHECK;

/* problem.c: REFUSE and ERROR */
void wire_put_problem(struct cursor *c, const struct wire_problem *m);
bool wire_get_problem(struct cursor *c, struct wire_problem *ret,
		      struct mfd_error *err) MFD_MUST_CHECK;

/* channels.c */
void wire_put_ack(struct cursor *c, const struct wire_ack *m);
bool wire_get_ack(struct cursor *c, struct wire_ack *ret, struct mfd_error *err) MFD_MUST_CHECK;
void wire_put_heartbeat(struct cursor *c, const struct wire_heartbeat *m);
bool wire_get_heartbeat(struct cursor *c, struct wire_heartbeat *ret,
			struct mfd_error *err) MFD_MUST_CHECK;
void wire_put_channel_down(struct cursor *c, const struct wire_fence *m);
bool wire_get_channel_down(struct cursor *c, struct wire_fence *ret,
			   struct mfd_error *err) MFD_MUST_CHECK;
void wire_put_fenced(struct cursor *c, const struct wire_fence *m);
bool wire_get_fenced(struct cursor *c, struct wire_fence *ret,
		     struct mfd_error *err) MFD_MUST_CHECK;

/* rounds.c */
void wire_put_sync_done(struct cursor *c, const struct wire_sync_done *m);
bool wire_get_sync_done(struct cursor *c, struct wire_sync_done *ret,
			struct mfd_error *err) MFD_MUST_CHECK;
void wire_put_end(struct cursor *c, const struct wire_end *m);
bool wire_get_end(struct cursor *c, struct wire_end *ret, struct mfd_error *err) MFD_MUST_CHECK;
void wire_put_committed(struct cursor *c, const struct wire_committed *m);
bool wire_get_committed(struct cursor *c, struct wire_committed *ret,
			struct mfd_error *err) MFD_MUST_CHECK;

#endif
