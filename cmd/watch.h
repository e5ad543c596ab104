/* SPDX-License-Identifier: MIT */
/*
 * The watch: one thread that owns signals and the clock, so that nothing has to be done in a signal
 * handler and the thread that runs the transfer can be busy.
 *
 *	SIGINT, SIGTERM, SIGHUP   the first cancels the transfer; another one ends the program
 *	SIGUSR1                   progress, now
 *	ticks                     progress, when it is due
 *
 * It is there before the transfer is: who asks to stop while files are opened is heard as soon as
 * there is something to cancel.
 */
#ifndef MFD_CMD_WATCH_H
#define MFD_CMD_WATCH_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "mfd.h"
#include "report.h"

/* The transfer: either kind. */
struct watch_subject {
	void (*cancel)(void *object);
	void (*stats)(void *object, struct mfd_stats *ret);
	void *object;            /* NULL: there is none now */
};

struct watch {
	/* Set before the thread starts, never changed. */
	struct report *report;
	int signals;             /* signalfd(2) */
	int quit;                /* eventfd(2) */
	bool deaf_to_terminal;   /* SIGINT was ignored when we started */

	/* The thread that runs the transfer only. */
	pthread_t thread;

	pthread_mutex_t lock;    /* Guards: */
	struct watch_subject subject;
	struct mfd_stats last;   /* once the subject is gone, and before there was one */
	int signal;              /* the first that asked us to stop; 0: none */
};

/*
 * Block the signals in this thread and those it will start, and start the watch.  Before any other
 * thread is there.  MFD_OS.
 */
bool watch_start(struct watch *w, struct report *report, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * A new thread in the old one's place, so that it has the confinement of this one; no signal is
 * lost. After an error (MFD_OS) there is no watch any more: no watch_stop() then.
 */
bool watch_renew(struct watch *w, struct mfd_error *err) MFD_MUST_CHECK;

/* The transfer is there, and may be cancelled from now on. */
void watch_attach(struct watch *w, const struct watch_subject *subject);

/* The transfer is over: take its last figures and leave it alone. */
void watch_detach(struct watch *w);

/* What the figures are, or were last. */
void watch_stats(struct watch *w, struct mfd_stats *ret);

/* Cancel the transfer, if there is one.  From within one of its notices too. */
void watch_cancel(struct watch *w);

/* Join the thread.  The signal that asked us to stop, or 0; the signals stay blocked. */
int watch_stop(struct watch *w);

/* End this process by @signal, as if nobody had ever caught it: that is what shells want to see. */
_Noreturn void watch_die(int signal);

#endif
