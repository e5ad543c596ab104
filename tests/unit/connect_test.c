/* SPDX-License-Identifier: MIT */
/*
 * Connecting over loopback: names and families, refusals that are tried again, deadlines, and
 * the stop event in every wait.
 */
#include "connect_fixture.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

/* A socket on a port of 127.0.0.1, not listening yet: connections are refused. */
static int bind_only(uint16_t *ret_port)
{
	struct sockaddr_in here = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(here);
	int fd = real_socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &size), 0);
	*ret_port = ntohs(here.sin_port);
	return fd;
}

/* A port whose backlog is full: SYNs to it are dropped, like by a host that is gone. */
static int black_hole(uint16_t *ret_port, int *ret_inside)
{
	struct sockaddr_in there = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = bind_only(ret_port);

	assert_int_equal(listen(fd, 0), 0);
	there.sin_port = htons(*ret_port);
	*ret_inside = real_socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(*ret_inside, (struct sockaddr *)&there, sizeof(there)), 0);
	assert_int_equal(event_wait_fd(&stop, fd, POLLIN, clock_deadline_ms(LONG_MS)), EVENT_READY);
	return fd;
}

/* connect_resolve() and connect_open() in a thread of its own. */
struct call {
	struct address address;
	uint64_t deadline_ns;
	bool ok;
	int fd;
	struct mfd_error err;
	pthread_t thread;
};

static void *call_main(void *arg)
{
	struct call *c = arg;
	struct connect_target target;

	c->ok = connect_resolve(&c->address, MFD_ANY_FAMILY, c->deadline_ns, &stop, &target,
				&c->err) &&
		connect_open(&target, c->deadline_ns, &stop, true, &c->fd, &c->err);
	return NULL;
}

static void call_start(struct call *c, const char *host, uint16_t port)
{
	*c = (struct call){ .address = at(host, port), .fd = -1 };
	c->deadline_ns = clock_deadline_ms(LONG_MS);
	assert_int_equal(pthread_create(&c->thread, NULL, call_main, c), 0);
}

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) != 0)
		;
}

static void cancelled(const struct call *c)
{
	assert_false(c->ok);
	assert_int_equal(c->err.status, MFD_TRY_AGAIN);
	assert_string_equal(c->err.text, "cancelled");
}

/* ---- Connecting. ---- */

static void refused_at_first_it_connects_when_somebody_listens(void **state)
{
	struct call call;
	uint16_t port;
	int fd = bind_only(&port);

	(void)state;
	call_start(&call, "127.0.0.1", port);
	for (unsigned i = 0; i < 3; i++)
		wait_for(&hook.sockets); /* with the third, two have been refused */
	assert_int_equal(listen(fd, 16), 0);
	pthread_join(call.thread, NULL);
	assert_true(call.ok);
	close(call.fd);
	close(fd);
}

static void refused_until_the_deadline_is_unavailable(void **state)
{
	const uint64_t began = clock_ns();
	struct connect_target target;
	struct mfd_error err;
	struct address a;
	char expected[100];
	uint16_t port;
	int socket_fd = bind_only(&port), fd;

	(void)state;
	a = at("127.0.0.1", port);
	assert_true(connect_resolve(&a, MFD_ANY_FAMILY, CLOCK_NEVER, &stop, &target, &err));
	assert_false(connect_open(&target, began + CLOCK_NS_PER_S / 2, &stop, true, &fd, &err));
	assert_true(clock_ns() - began >= CLOCK_NS_PER_S / 2);
	assert_int_equal(err.status, MFD_UNAVAILABLE);
	assert_int_equal(err.os_errno, ECONNREFUSED);
	snprintf(expected, sizeof(expected), "127.0.0.1:%u: Connection refused (tried for ", port);
	assert_memory_equal(err.text, expected, strlen(expected));
	/* 10, 20, 40, 80, 160, 190 ms: neither once nor in a frenzy. */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(sem_trywait(&hook.sockets), 0);
	assert_int_equal(target.found.count, 1);
	for (unsigned i = 0; i < 5 && sem_trywait(&hook.sockets) == 0; i++)
		;
	assert_int_equal(sem_trywait(&hook.sockets), -1);
	close(socket_fd);
}

static void without_retry_one_refusal_is_enough(void **state)
{
	struct mfd_error err;
	uint16_t port;
	int fd = bind_only(&port);
	char expected[100];

	(void)state;
	assert_false(try_connect("127.0.0.1", port, MFD_ANY_FAMILY, &err));
	assert_int_equal(err.status, MFD_UNAVAILABLE);
	snprintf(expected, sizeof(expected), "127.0.0.1:%u: Connection refused", port);
	assert_string_equal(err.text, expected);
	assert_int_equal(sem_trywait(&hook.sockets), 0);
	assert_int_equal(sem_trywait(&hook.sockets), -1);
	assert_int_equal(listen(fd, 1), 0);
	assert_true(try_connect("127.0.0.1", port, MFD_ANY_FAMILY, &err));
	close(fd);
}

static void stop_ends_the_pause_between_attempts(void **state)
{
	struct call call;
	uint16_t port;
	int fd = bind_only(&port);

	(void)state;
	call_start(&call, "127.0.0.1", port);
	wait_for(&hook.sockets);
	wait_for(&hook.sockets);
	event_raise(&stop);
	pthread_join(call.thread, NULL);
	cancelled(&call);
	close(fd);
}

static void stop_ends_an_attempt_that_nobody_answers(void **state)
{
	struct call call;
	uint16_t port;
	int inside, fd = black_hole(&port, &inside);

	(void)state;
	call_start(&call, "127.0.0.1", port);
	wait_for(&hook.sockets);
	event_raise(&stop);
	pthread_join(call.thread, NULL);
	cancelled(&call);
	/* Left raised, it ends the next one at once too; cleared, all works. */
	call_start(&call, "127.0.0.1", port);
	pthread_join(call.thread, NULL);
	cancelled(&call);
	assert_true(event_clear(&stop));
	close(inside);
	close(fd);
	assert_int_equal(sem_trywait(&hook.sockets), 0);
}

static void an_attempt_that_nobody_answers_ends_at_the_deadline(void **state)
{
	const uint64_t began = clock_ns();
	struct connect_target target;
	struct mfd_error err;
	struct address a;
	uint16_t port;
	int inside, fd = black_hole(&port, &inside), none;

	(void)state;
	a = at("127.0.0.1", port);
	assert_true(connect_resolve(&a, MFD_ANY_FAMILY, CLOCK_NEVER, &stop, &target, &err));
	assert_false(connect_open(&target, began + CLOCK_NS_PER_S / 5, &stop, true, &none, &err));
	assert_true(clock_ns() - began >= CLOCK_NS_PER_S / 5);
	assert_int_equal(err.status, MFD_UNAVAILABLE);
	assert_int_equal(err.os_errno, ETIMEDOUT);
	close(inside);
	close(fd);
}

static void one_silent_address_does_not_hide_the_next(void **state)
{
	struct connect_target target = { .name = "dest:7700" }, second;
	struct mfd_error err;
	struct address a;
	struct listener l;
	uint16_t port;
	int inside, hole = black_hole(&port, &inside), fd;

	(void)state;
	open_listener("127.0.0.1", 0, MFD_ANY_FAMILY, &l);
	a = at("127.0.0.1", port);
	assert_true(connect_resolve(&a, MFD_ANY_FAMILY, CLOCK_NEVER, &stop, &target, &err));
	a = at("127.0.0.1", l.port);
	assert_true(connect_resolve(&a, MFD_ANY_FAMILY, CLOCK_NEVER, &stop, &second, &err));
	target.found.address[1] = second.found.address[0];
	target.found.count = 2;
	assert_true(connect_open(&target, clock_deadline_ms(1000), &stop, true, &fd, &err));
	take_one(&l);
	close(fd);
	/* From now on it is the one that answered. */
	assert_int_equal(target.found.count, 1);
	assert_memory_equal(&target.found.address[0], &second.found.address[0],
			    sizeof(struct sockaddr_in));
	assert_true(connect_open(&target, clock_deadline_ms(LONG_MS), &stop, false, &fd, &err));
	take_one(&l);
	close(fd);
	listener_close(&l);
	close(inside);
	close(hole);
}

static void errors_of_our_own_system_are_told_apart(void **state)
{
	static const struct {
		int os_errno;
		enum mfd_status status;
	} expected[] = {
		{ EMFILE, MFD_OS }, { ENOBUFS, MFD_OS }, { EACCES, MFD_NO_PERMISSION },
		{ EAFNOSUPPORT, MFD_UNAVAILABLE },
	};
	struct connect_target target;
	struct mfd_error err;
	struct address a = at("127.0.0.1", 7700);
	int fd;

	(void)state;
	assert_true(connect_resolve(&a, MFD_ANY_FAMILY, CLOCK_NEVER, &stop, &target, &err));
	for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		hook.socket_errno = expected[i].os_errno;
		/* Not tried again: the deadline is far. */
		assert_false(connect_open(&target, CLOCK_NEVER, &stop, true, &fd, &err));
		assert_int_equal(err.status, expected[i].status);
		assert_int_equal(err.os_errno, expected[i].os_errno);
	}
}

/* ---- Names. ---- */

static void unknown_names_are_no_host_at_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(failing) / sizeof(failing[0]); i++) {
		const struct address a = at(failing[i].name, 7700);
		const bool ours = failing[i].code == EAI_MEMORY || failing[i].code == EAI_SYSTEM;
		struct connect_target target;
		struct mfd_error err;

		assert_false(connect_resolve(&a, MFD_ANY_FAMILY, CLOCK_NEVER, &stop, &target,
					     &err));
		assert_int_equal(err.status, ours ? MFD_OS : MFD_NO_HOST);
		assert_non_null(strstr(err.text, failing[i].name));
		if (failing[i].code == EAI_SYSTEM)
			assert_int_equal(err.os_errno, EMFILE);
		else
			assert_non_null(strstr(err.text, gai_strerror(failing[i].code)));
	}
}

static void a_name_leads_to_all_its_addresses(void **state)
{
	const struct address a = at("both.test", 7700);
	struct connect_target target;
	struct mfd_error err;

	(void)state;
	assert_true(connect_resolve(&a, MFD_ANY_FAMILY, CLOCK_NEVER, &stop, &target, &err));
	assert_string_equal(target.name, "both.test:7700");
	assert_int_equal(target.found.count, 2);
	assert_int_equal(target.found.address[0].ss_family, AF_INET6);
	assert_int_equal(target.found.address[1].ss_family, AF_INET);
}

static void an_address_of_the_other_family_is_no_host(void **state)
{
	struct mfd_error err;

	(void)state;
	assert_false(try_connect("127.0.0.1", 7700, MFD_IPV6, &err));
	assert_int_equal(err.status, MFD_NO_HOST);
	assert_false(try_connect("::1", 7700, MFD_IPV4, &err));
	assert_int_equal(err.status, MFD_NO_HOST);
}

/* Answer, and wait until that is taken. */
static void answer(void)
{
	sem_post(&hook.answer);
	wait_for(&hook.answered);
}

static void a_slow_name_server_is_waited_for(void **state)
{
	struct listener l;
	struct call call;

	(void)state;
	open_listener("127.0.0.1", 0, MFD_ANY_FAMILY, &l);
	call_start(&call, "slow.test", l.port);
	wait_for(&hook.asked);
	answer();
	pthread_join(call.thread, NULL);
	assert_true(call.ok);
	close(call.fd);
	listener_close(&l);
}

static void stop_ends_the_wait_for_a_name_server(void **state)
{
	struct call call;

	(void)state;
	call_start(&call, "slow.test", 7700);
	wait_for(&hook.asked);
	event_raise(&stop);
	pthread_join(call.thread, NULL);
	cancelled(&call);
	/* The thread left behind ends by itself, whenever that is. */
	answer();
}

static void the_deadline_ends_the_wait_for_a_name_server(void **state)
{
	const struct address a = at("slow.test", 7700);
	struct connect_target target;
	struct mfd_error err;

	(void)state;
	assert_false(connect_resolve(&a, MFD_ANY_FAMILY, clock_deadline_ms(50), &stop, &target,
				     &err));
	assert_int_equal(err.status, MFD_UNAVAILABLE);
	wait_for(&hook.asked);
	answer();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(refused_at_first_it_connects_when_somebody_listens),
		TEST(refused_until_the_deadline_is_unavailable),
		TEST(without_retry_one_refusal_is_enough),
		TEST(stop_ends_the_pause_between_attempts),
		TEST(stop_ends_an_attempt_that_nobody_answers),
		TEST(an_attempt_that_nobody_answers_ends_at_the_deadline),
		TEST(one_silent_address_does_not_hide_the_next),
		TEST(errors_of_our_own_system_are_told_apart),
		TEST(unknown_names_are_no_host_at_once),
		TEST(a_name_leads_to_all_its_addresses),
		TEST(an_address_of_the_other_family_is_no_host),
		TEST(a_slow_name_server_is_waited_for),
		TEST(stop_ends_the_wait_for_a_name_server),
		TEST(the_deadline_ends_the_wait_for_a_name_server),
	};

	hooks_init();
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
