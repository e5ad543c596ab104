/* SPDX-License-Identifier: MIT */
/*
 * Listening on loopback: who reaches us in which family, ports that are taken, and what accept
 * says when it has nobody.
 */
#include "connect_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>

static void skip_without_ipv6(void)
{
	if (have_ipv6())
		return;
	print_message("this machine has no IPv6 loopback\n");
	skip();
}

static void does_not_reach(const char *host, const struct listener *l)
{
	struct mfd_error err;

	assert_false(try_connect(host, l->port, MFD_ANY_FAMILY, &err));
	assert_int_equal(err.status, MFD_UNAVAILABLE);
}

static void without_a_host_both_families_reach_us(void **state)
{
	struct listener l;

	(void)state;
	open_listener("", 0, MFD_ANY_FAMILY, &l);
	reaches("127.0.0.1", &l);
	if (have_ipv6())
		reaches("::1", &l);
	else
		print_message("this machine has no IPv6 loopback: IPv4 alone was tried\n");
	listener_close(&l);
}

static void without_ipv6_in_the_system_ipv4_is_enough(void **state)
{
	struct address a = at("", 0);
	struct listener l;
	struct mfd_error err;

	(void)state;
	hook.socket_errno = EAFNOSUPPORT;
	assert_false(listen_open(&a, MFD_ANY_FAMILY, &l, &err));
	assert_int_equal(err.status, MFD_OS);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(sem_trywait(&hook.sockets), 0); /* one of each family */
	hook.socket_errno = 0;
	open_listener("", 0, MFD_IPV4, &l);
	reaches("127.0.0.1", &l);
	listener_close(&l);
}

static void a_family_asked_for_keeps_the_other_out(void **state)
{
	struct listener l;

	(void)state;
	skip_without_ipv6();
	open_listener("", 0, MFD_IPV4, &l);
	reaches("127.0.0.1", &l);
	does_not_reach("::1", &l);
	listener_close(&l);
	open_listener("", 0, MFD_IPV6, &l);
	reaches("::1", &l);
	does_not_reach("127.0.0.1", &l);
	listener_close(&l);
	open_listener("::1", 0, MFD_ANY_FAMILY, &l);
	reaches("::1", &l);
	does_not_reach("127.0.0.1", &l);
	listener_close(&l);
}

static void a_name_with_two_families_is_listened_to_on_both(void **state)
{
	struct listener l;

	(void)state;
	skip_without_ipv6();
	open_listener("both.test", 0, MFD_ANY_FAMILY, &l);
	assert_int_equal(l.count, 2);
	reaches("127.0.0.1", &l);
	reaches("::1", &l);
	reaches("both.test", &l);
	listener_close(&l);
}

static void a_name_taken_on_one_family_is_taken(void **state)
{
	const struct address taken = at("both.test", 0);
	struct listener l, other;
	struct address a = taken;
	struct mfd_error err;

	(void)state;
	skip_without_ipv6();
	open_listener("127.0.0.1", 0, MFD_ANY_FAMILY, &l);
	a.port = l.port;
	assert_false(listen_open(&a, MFD_ANY_FAMILY, &other, &err));
	assert_int_equal(err.status, MFD_UNAVAILABLE);
	/* And what was open by then has been closed. */
	open_listener("::1", l.port, MFD_ANY_FAMILY, &other);
	listener_close(&other);
	listener_close(&l);
}

static void a_port_in_use_is_unavailable(void **state)
{
	struct listener l, other;
	struct address a;
	struct mfd_error err;
	char expected[100];

	(void)state;
	open_listener("127.0.0.1", 0, MFD_ANY_FAMILY, &l);
	a = at("127.0.0.1", l.port);
	assert_false(listen_open(&a, MFD_ANY_FAMILY, &other, &err));
	assert_int_equal(err.status, MFD_UNAVAILABLE);
	snprintf(expected, sizeof(expected), "127.0.0.1:%u: Address already in use", l.port);
	assert_string_equal(err.text, expected);
	listener_close(&l);
	assert_true(listen_open(&a, MFD_ANY_FAMILY, &other, &err));
	listener_close(&other);
}

static void a_port_is_free_again_as_soon_as_it_is_closed(void **state)
{
	struct listener l;
	uint16_t port;

	(void)state;
	open_listener("", 0, MFD_ANY_FAMILY, &l);
	port = l.port;
	for (unsigned i = 0; i < 100; i++) {
		reaches("127.0.0.1", &l);
		listener_close(&l);
		listener_close(&l);
		open_listener("", port, MFD_ANY_FAMILY, &l);
		assert_int_equal(l.port, port);
	}
	listener_close(&l);
}

static void other_failures_to_listen_have_their_class(void **state)
{
	const struct address foreign = at("192.0.2.1", 0);
	const struct address unknown = at("noname.test", 0);
	const struct address here = at("127.0.0.1", 0);
	struct listener l;
	struct mfd_error err;

	(void)state;
	assert_false(listen_open(&foreign, MFD_ANY_FAMILY, &l, &err));
	assert_int_equal(err.status, MFD_OS);
	assert_false(listen_open(&unknown, MFD_ANY_FAMILY, &l, &err));
	assert_int_equal(err.status, MFD_NO_HOST);
	hook.socket_errno = EACCES;
	assert_false(listen_open(&here, MFD_ANY_FAMILY, &l, &err));
	assert_int_equal(err.status, MFD_NO_PERMISSION);
	hook.socket_errno = 0;
	assert_true(listen_open(&here, MFD_ANY_FAMILY, &l, &err));
	listener_close(&l);
}

static void nobody_and_no_descriptors_are_told_apart(void **state)
{
	struct sockaddr_storage peer;
	struct rlimit before, none;
	struct connect_target target;
	struct mfd_error err;
	struct address a;
	struct listener l;
	int fd, accepted;

	(void)state;
	open_listener("127.0.0.1", 0, MFD_ANY_FAMILY, &l);
	assert_int_equal(listen_accept(l.fd[0], &accepted, &peer), LISTEN_NOBODY);
	a = at("127.0.0.1", l.port);
	assert_true(connect_resolve(&a, MFD_ANY_FAMILY, CLOCK_NEVER, &stop, &target, &err));
	assert_true(connect_open(&target, CLOCK_NEVER, &stop, false, &fd, &err));
	assert_int_equal(event_wait_fd(&stop, l.fd[0], POLLIN, clock_deadline_ms(LONG_MS)),
			 EVENT_READY);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(listen_accept(l.fd[0], &accepted, &peer), LISTEN_LATER);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(take_one(&l), AF_INET);
	assert_int_equal(listen_accept(l.fd[0], &accepted, &peer), LISTEN_NOBODY);
	close(fd);
	listener_close(&l);
}

/* A listening socket as somebody else would have opened it. */
static int foreign(int type, bool listening, uint16_t *ret_port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(sa);
	int fd = socket(AF_INET, type, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	if (listening)
		assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

static void passed_sockets_are_listened_to(void **state)
{
	struct sockaddr_storage peer;
	struct listener l;
	struct mfd_error err;
	uint16_t port[2];
	int fds[2], accepted;

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		fds[i] = foreign(SOCK_STREAM, true, &port[i]);
	assert_true(listen_inherit(fds, 2, &l, &err));
	assert_int_equal(l.count, 2);
	assert_int_equal(l.port, port[0]);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(fcntl(l.fd[i], F_GETFD), FD_CLOEXEC);
		/* it does not block */
		assert_int_equal(listen_accept(l.fd[i], &accepted, &peer), LISTEN_NOBODY);
	}
	reaches("127.0.0.1", &l);
	listener_close(&l);
}

static void passed_descriptors_that_are_no_listening_sockets_are_refused(void **state)
{
	struct listener l = { .count = 0 };
	struct mfd_error err;
	uint16_t port;
	int fds[3] = { -1, -1, -1 };

	(void)state;
	assert_false(listen_inherit(fds, 0, &l, &err));
	for (unsigned i = 0; i < 3; i++) {
		fds[0] = foreign(SOCK_STREAM, true, &port);
		fds[1] = i == 0   ? foreign(SOCK_STREAM, false, &port)
			 : i == 1 ? foreign(SOCK_DGRAM, false, &port)
				  : open("/dev/null", O_RDONLY);
		assert_false(listen_inherit(fds, 2, &l, &err));
		assert_int_equal(err.status, MFD_USAGE);
		assert_true(fcntl(fds[0], F_GETFD) < 0 && fcntl(fds[1], F_GETFD) < 0); /* closed */
	}
	for (unsigned i = 0; i < 3; i++)
		fds[i] = foreign(SOCK_STREAM, true, &port);
	assert_false(listen_inherit(fds, 3, &l, &err));
	assert_int_equal(err.status, MFD_USAGE);
	assert_int_equal(l.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_a_host_both_families_reach_us),
		TEST(without_ipv6_in_the_system_ipv4_is_enough),
		TEST(a_family_asked_for_keeps_the_other_out),
		TEST(a_name_with_two_families_is_listened_to_on_both),
		TEST(a_name_taken_on_one_family_is_taken),
		TEST(a_port_in_use_is_unavailable),
		TEST(a_port_is_free_again_as_soon_as_it_is_closed),
		TEST(other_failures_to_listen_have_their_class),
		TEST(nobody_and_no_descriptors_are_told_apart),
		TEST(passed_sockets_are_listened_to),
		TEST(passed_descriptors_that_are_no_listening_sockets_are_refused),
	};

	hooks_init();
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
