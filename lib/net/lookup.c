/* SPDX-License-Identifier: MIT */
/*
 * From a host name to addresses.
 *
 * The life of a lookup thread: it asks, leaves the answer in the block it shares with the
 * asker, raises `done` and lets go of the block. It is detached, and nobody ever joins it: an
 * asker that does not want to wait any longer lets go of the block too and leaves. Whoever lets
 * go last frees it.  The thread touches nothing else.
 */
#include "net/lookup.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lookup {
	/* Set before the thread starts, never changed. */
	struct address address;
	enum mfd_family family;
	struct event done;           /* the answer is there */

	pthread_mutex_t lock;        /* Guards: */
	unsigned owners;             /* asker, thread */
	bool ok;                     /* the answer: */
	struct lookup_result result;
	struct mfd_error error;
};

socklen_t lookup_size(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET6)
		return sizeof(struct sockaddr_in6);
	return sizeof(struct sockaddr_in);
}

static bool lookup_failed(const struct address *a, int code, int os_errno, struct mfd_error *err)
{
	if (code == EAI_SYSTEM)
		return error_set_os(err, MFD_OS, os_errno, "%s: name lookup", a->host);
	return error_set(err, code == EAI_MEMORY ? MFD_OS : MFD_NO_HOST, "%s: %s", a->host,
			 gai_strerror(code));
}

static int lookup_ask(const struct address *a, enum mfd_family family, int flags,
		      struct addrinfo **ret)
{
	/*
	 * No AI_ADDRCONFIG: it takes ::1 away where only the loopback has IPv6.  Addresses of a
	 * family that is not there fail quickly when they are used.
	 */
	static const int families[] = {
		[MFD_ANY_FAMILY] = AF_UNSPEC, [MFD_IPV4] = AF_INET, [MFD_IPV6] = AF_INET6,
	};
	const struct addrinfo hints = {
		.ai_flags = flags | AI_NUMERICSERV,
		.ai_family = families[family],
		.ai_socktype = SOCK_STREAM,
	};
	char port[8];

	snprintf(port, sizeof(port), "%u", (unsigned)a->port);
	return getaddrinfo(a->host, port, &hints, ret);
}

/* Takes over @list. */
static void lookup_copy(struct addrinfo *list, struct lookup_result *ret)
{
	ret->count = 0;
	for (const struct addrinfo *i = list; i && ret->count < LOOKUP_MAX; i = i->ai_next) {
		if (i->ai_family == AF_INET || i->ai_family == AF_INET6)
			memcpy(&ret->address[ret->count++], i->ai_addr, i->ai_addrlen);
	}
	freeaddrinfo(list);
}

bool lookup_now(const struct address *a, enum mfd_family family, struct lookup_result *ret,
		struct mfd_error *err)
{
	struct addrinfo *list;
	int code = lookup_ask(a, family, 0, &list);

	if (code)
		return lookup_failed(a, code, errno, err);
	lookup_copy(list, ret);
	return true;
}

static void lookup_release(struct lookup *l)
{
	unsigned owners;

	pthread_mutex_lock(&l->lock);
	owners = --l->owners;
	pthread_mutex_unlock(&l->lock);
	if (owners)
		return;
	pthread_mutex_destroy(&l->lock);
	event_destroy(&l->done);
	free(l);
}

static void *lookup_main(void *arg)
{
	struct lookup *l = arg;
	struct lookup_result result;
	struct mfd_error error;
	bool ok = lookup_now(&l->address, l->family, &result, &error);

	pthread_mutex_lock(&l->lock);
	l->ok = ok;
	if (ok)
		l->result = result;
	else
		l->error = error;
	pthread_mutex_unlock(&l->lock);
	event_raise(&l->done);
	lookup_release(l);
	return NULL;
}

/* NULL if there is no memory or descriptor left. */
static struct lookup *lookup_new(const struct address *a, enum mfd_family family,
				 struct mfd_error *err)
{
	struct lookup *l = calloc(1, sizeof(*l));
	int e;

	if (!l) {
		error_set(err, MFD_OS, "out of memory");
		return NULL;
	}
	if (!event_init(&l->done, err)) {
		free(l);
		return NULL;
	}
	e = pthread_mutex_init(&l->lock, NULL);
	if (e) {
		error_set_os(err, MFD_OS, e, "mutex");
		event_destroy(&l->done);
		free(l);
		return NULL;
	}
	l->address = *a;
	l->family = family;
	l->owners = 1;
	return l;
}

/* Give the block to a thread as its second owner. */
static bool lookup_start(struct lookup *l, struct mfd_error *err)
{
	sigset_t all, before;
	pthread_t thread;
	int e;

	/*
	 * Signals are for the threads of the program; this one may be around when its handlers'
	 * data no longer is.
	 */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	l->owners = 2;
	e = pthread_create(&thread, NULL, lookup_main, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (e) {
		l->owners = 1;
		return error_set_os(err, MFD_OS, e, "can't start the lookup thread");
	}
	pthread_detach(thread);
	return true;
}

/* The thread's answer, if it comes in time. */
static bool lookup_answer(struct lookup *l, uint64_t deadline_ns, const struct event *stop,
			  struct lookup_result *ret, struct mfd_error *err)
{
	bool ok;

	switch (event_wait_fd(stop, l->done.fd, POLLIN, deadline_ns)) {
	case EVENT_STOPPED:
		return error_set(err, MFD_TRY_AGAIN, "cancelled");
	case EVENT_TIMEOUT:
		return error_set(err, MFD_UNAVAILABLE,
				 "%s: no answer from the name server in time", l->address.host);
	case EVENT_READY:
		break;
	}
	pthread_mutex_lock(&l->lock);
	ok = l->ok;
	if (ok)
		*ret = l->result;
	else
		*err = l->error;
	pthread_mutex_unlock(&l->lock);
	return ok;
}

bool lookup_wait(const struct address *a, enum mfd_family family, uint64_t deadline_ns,
		 const struct event *stop, struct lookup_result *ret, struct mfd_error *err)
{
	struct addrinfo *list;
	struct lookup *l;
	bool ok;

	/* Addresses in numbers ask nobody. */
	if (!lookup_ask(a, family, AI_NUMERICHOST, &list)) {
		lookup_copy(list, ret);
		return true;
	}
	l = lookup_new(a, family, err);
	if (!l)
		return false;
	ok = lookup_start(l, err) && lookup_answer(l, deadline_ns, stop, ret, err);
	lookup_release(l);
	return ok;
}
