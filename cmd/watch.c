/* SPDX-License-Identifier: MIT */
/*
 * The watch.  Its life: started before everything else, it sleeps in poll(2) until a signal, a
 * tick, or watch_stop().  It never waits for the transfer (cancel and stats return at once) nor for
 * a reader of what it writes (report_tick()), so it always hears the next signal.
 */
#include "watch.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static uint64_t watch_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool watch_ignored(int signal)
{
	struct sigaction action;

	return !sigaction(signal, NULL, &action) && action.sa_handler == SIG_IGN;
}

/*
 * Linux keeps a blocked signal even where it is ignored, so whom we listen to is ours to say.
 * nohup(1) ignores SIGHUP and means it.  A shell's background command ignores SIGINT and means the
 * terminal's Ctrl-C; kill(1) still stops it.
 */
static void watch_choose_signals(struct watch *w, sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGUSR1);
	if (!watch_ignored(SIGHUP))
		sigaddset(ret, SIGHUP);
	w->deaf_to_terminal = watch_ignored(SIGINT);
}

_Noreturn void watch_die(int signal)
{
	const struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t set;

	sigaction(signal, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, signal);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	raise(signal);
	/* The first process of a container is not killed by a default action. */
	_exit(128 + signal);
}

static void watch_stats_locked(struct watch *w, struct mfd_stats *ret)
{
	if (w->subject.object)
		w->subject.stats(w->subject.object, ret);
	else
		*ret = w->last;
}

/* Asked to stop.  Once the image is in place that is the verdict, whatever anybody asks. */
static void watch_stop_asked(struct watch *w, int signal)
{
	struct mfd_stats stats;
	bool again;

	pthread_mutex_lock(&w->lock);
	again = w->signal;
	if (again) {
		watch_stats_locked(w, &stats);
		if (stats.committed)
			_exit(0);
		watch_die(signal);
	}
	w->signal = signal;
	if (w->subject.object)
		w->subject.cancel(w->subject.object);
	pthread_mutex_unlock(&w->lock);
}

static void watch_hear(struct watch *w)
{
	struct signalfd_siginfo info;
	struct mfd_stats stats;

	if (read(w->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1) {
		watch_stats(w, &stats);
		report_now(w->report, &stats);
	} else if (info.ssi_signo != SIGINT || !w->deaf_to_terminal || info.ssi_code <= 0) {
		/* Codes above 0 are the kernel's own: a terminal's key. */
		watch_stop_asked(w, (int)info.ssi_signo);
	}
}

static void *watch_main(void *arg)
{
	struct watch *w = arg;
	const int period = report_period_ms(w->report);
	uint64_t now = watch_now_ms();
	uint64_t next = now + (uint64_t)(period > 0 ? period : 0);
	struct pollfd p[] = { { .fd = w->quit, .events = POLLIN },
			      { .fd = w->signals, .events = POLLIN } };
	struct mfd_stats stats;

	for (;;) {
		poll(p, 2, period < 0 ? -1 : next > now ? (int)(next - now) : 0);
		if (p[0].revents)
			return NULL;
		if (p[1].revents)
			watch_hear(w);
		now = watch_now_ms();
		if (period > 0 && now >= next) {
			watch_stats(w, &stats);
			report_tick(w->report, &stats, now);
			next = now + (uint64_t)period;
		}
	}
}

static bool watch_start_thread(struct watch *w, struct mfd_error *err)
{
	int e = pthread_create(&w->thread, NULL, watch_main, w);

	return !e || error_set_os(err, MFD_OS, e, "can't start a thread");
}

static void watch_stop_thread(struct watch *w)
{
	const uint64_t one = 1;

	if (write(w->quit, &one, sizeof(one)) != (ssize_t)sizeof(one))
		abort(); /* an eventfd takes a 1, always */
	pthread_join(w->thread, NULL);
}

bool watch_start(struct watch *w, struct report *report, struct mfd_error *err)
{
	sigset_t set;

	*w = (struct watch){ .report = report,
			     .last = { .bytes_image = MFD_UNKNOWN, .downtime_ns = MFD_UNKNOWN,
				       .tracker = "", .method = "", .backend = "" } };
	pthread_mutex_init(&w->lock, NULL);
	watch_choose_signals(w, &set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	w->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	w->quit = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->signals < 0 || w->quit < 0)
		return error_set_os(err, MFD_OS, errno, "can't watch for signals");
	return watch_start_thread(w, err);
}

bool watch_renew(struct watch *w, struct mfd_error *err)
{
	uint64_t asked;

	watch_stop_thread(w);
	if (read(w->quit, &asked, sizeof(asked)) != (ssize_t)sizeof(asked))
		abort(); /* it holds the 1 that stopped the thread */
	return watch_start_thread(w, err);
}

void watch_attach(struct watch *w, const struct watch_subject *subject)
{
	pthread_mutex_lock(&w->lock);
	w->subject = *subject;
	if (w->signal)
		w->subject.cancel(w->subject.object);
	pthread_mutex_unlock(&w->lock);
}

void watch_detach(struct watch *w)
{
	pthread_mutex_lock(&w->lock);
	watch_stats_locked(w, &w->last);
	w->subject.object = NULL;
	pthread_mutex_unlock(&w->lock);
}

void watch_stats(struct watch *w, struct mfd_stats *ret)
{
	pthread_mutex_lock(&w->lock);
	watch_stats_locked(w, ret);
	pthread_mutex_unlock(&w->lock);
}

void watch_cancel(struct watch *w)
{
	pthread_mutex_lock(&w->lock);
	if (w->subject.object)
		w->subject.cancel(w->subject.object);
	pthread_mutex_unlock(&w->lock);
}

int watch_stop(struct watch *w)
{
	watch_stop_thread(w);
	close(w->quit);
	close(w->signals);
	pthread_mutex_destroy(&w->lock);
	return w->signal;
}
