/* SPDX-License-Identifier: MIT */
/*
 * What the tests of connecting and listening share.  getaddrinfo() and socket() are this file's
 * own: they count attempts, fail on demand, and play a name server that does not answer.
 * Nobody outside is ever asked.  To be included once per program.
 */
#ifndef MFD_TESTS_CONNECT_FIXTURE_H
#define MFD_TESTS_CONNECT_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/event.h"
#include "net/connect.h"
#include "net/listen.h"

#define LONG_MS 20000 /* never reached when all is well */

/* ---- The hooks. ---- */

static struct {
	sem_t sockets;     /* posted for each socket made */
	int socket_errno;  /* not 0: socket() fails with it */
	/* For slow.test: posted when asked, waited for before the answer, posted with it. */
	sem_t asked, answer, answered;
} hook;

typedef int getaddrinfo_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);
typedef int socket_fn(int, int, int);

static getaddrinfo_fn *real_getaddrinfo;
static socket_fn *real_socket;

int socket(int domain, int type, int protocol)
{
	if (domain == AF_INET || domain == AF_INET6)
		sem_post(&hook.sockets);
	if (hook.socket_errno) {
		errno = hook.socket_errno;
		return -1;
	}
	return real_socket(domain, type, protocol);
}

static const struct {
	const char *name;
	int code;
} failing[] = {
	{ "noname.test", EAI_NONAME }, { "again.test", EAI_AGAIN }, { "fail.test", EAI_FAIL },
	{ "family.test", EAI_FAMILY }, { "memory.test", EAI_MEMORY }, { "system.test", EAI_SYSTEM },
};

/* ::1 first, then 127.0.0.1. */
static inline int both_families(const char *service, const struct addrinfo *hints,
				struct addrinfo **ret)
{
	int code = real_getaddrinfo("::1", service, hints, ret);

	return code ? code : real_getaddrinfo("127.0.0.1", service, hints, &(*ret)->ai_next);
}

int getaddrinfo(const char *restrict node, const char *restrict service,
		const struct addrinfo *restrict hints,
		struct addrinfo **restrict ret)
{
	struct addrinfo numeric = *hints;

	if (hints->ai_flags & AI_NUMERICHOST)
		return real_getaddrinfo(node, service, hints, ret);
	for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++) {
		if (!strcmp(node, failing[i].name)) {
			errno = EMFILE;
			return failing[i].code;
		}
	}
	numeric.ai_flags |= AI_NUMERICHOST;
	if (!strcmp(node, "both.test"))
		return both_families(service, &numeric, ret);
	if (!strcmp(node, "slow.test")) {
		sem_post(&hook.asked);
		while (sem_wait(&hook.answer) != 0)
			;
		sem_post(&hook.answered);
		node = "127.0.0.1";
	}
	/* Nobody outside is asked. */
	return real_getaddrinfo(node, service, &numeric, ret);
}

static inline void hooks_init(void)
{
	sem_init(&hook.sockets, 0, 0);
	sem_init(&hook.asked, 0, 0);
	sem_init(&hook.answer, 0, 0);
	sem_init(&hook.answered, 0, 0);
	real_getaddrinfo = (getaddrinfo_fn *)dlsym(RTLD_NEXT, "getaddrinfo");
	real_socket = (socket_fn *)dlsym(RTLD_NEXT, "socket");
}

/* ---- Helpers. ---- */

static struct event stop;

static inline struct address at(const char *host, uint16_t port)
{
	struct address a = { .port = port };

	strncpy(a.host, host, sizeof(a.host) - 1);
	return a;
}

static inline bool have_ipv6(void)
{
	const struct sockaddr_in6 here = {
		.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	int fd = real_socket(AF_INET6, SOCK_STREAM, 0);
	bool have = fd >= 0 && bind(fd, (const struct sockaddr *)&here, sizeof(here)) == 0;

	if (fd >= 0)
		close(fd);
	return have;
}

static inline void open_listener(const char *host, uint16_t port, enum mfd_family family,
				 struct listener *ret)
{
	const struct address a = at(host, port);
	struct mfd_error err;

	if (!listen_open(&a, family, ret, &err))
		fail_msg("%s", err.text);
	assert_int_not_equal(ret->port, 0);
}

/* Take the connection that has been made; returns its peer's family. */
static inline int take_one(const struct listener *l)
{
	struct sockaddr_storage peer;
	int fd;

	for (;;) {
		for (unsigned i = 0; i < l->count; i++) {
			if (listen_accept(l->fd[i], &fd, &peer) != LISTEN_ACCEPTED)
				continue;
			assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
			assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
			close(fd);
			return peer.ss_family;
		}
	}
}

static inline bool try_connect(const char *host, uint16_t port, enum mfd_family family,
			       struct mfd_error *err)
{
	const uint64_t deadline = clock_deadline_ms(LONG_MS);
	const struct address a = at(host, port);
	struct connect_target target;
	int fd;

	if (!connect_resolve(&a, family, deadline, &stop, &target, err) ||
	    !connect_open(&target, deadline, &stop, false, &fd, err))
		return false;
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
	return true;
}

static inline void reaches(const char *host, const struct listener *l)
{
	struct mfd_error err;

	if (!try_connect(host, l->port, MFD_ANY_FAMILY, &err))
		fail_msg("%s", err.text);
	take_one(l);
}

static inline int setup(void **state)
{
	struct mfd_error err;

	(void)state;
	hook.socket_errno = 0;
	while (sem_trywait(&hook.sockets) == 0)
		;
	assert_true(event_init(&stop, &err));
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	event_destroy(&stop);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
