/* SPDX-License-Identifier: MIT */
/*
 * Congestion control by name: what there is and what there is not, and where a connection gets
 * it from.  "reno" is in every kernel and allowed to everybody.
 */
#include "connect_fixture.h"

#include <netinet/tcp.h>
#include <poll.h>

#include "net/congestion.h"

#define ALGORITHM "reno"

static void expect_algorithm(int fd, const char *name)
{
	char text[16] = "";
	socklen_t size = sizeof(text) - 1;

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, text, &size), 0);
	assert_string_equal(text, name);
}

static void what_the_kernel_has_is_taken(void **state)
{
	int fd = real_socket(AF_INET, SOCK_STREAM, 0);
	struct mfd_error err;

	(void)state;
	assert_true(congestion_check(ALGORITHM, &err));
	assert_int_equal(congestion_set(fd, ALGORITHM), 0);
	expect_algorithm(fd, ALGORITHM);
	close(fd);
}

static void what_it_has_not_is_a_usage_error_that_says_what_there_is(void **state)
{
	/* The kernel would take the first 15 bytes of the third for a name. */
	static const char *const names[] = { "nope", "", "reno0123456789ab", "reno " };
	struct mfd_error err;

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_false(congestion_check(names[i], &err));
		assert_int_equal(err.status, MFD_USAGE);
		assert_non_null(strstr(err.text, "not in this kernel, which has: "));
		assert_non_null(strstr(strstr(err.text, "has: "), ALGORITHM));
	}
}

static void no_socket_is_the_systems_fault(void **state)
{
	struct mfd_error err;

	(void)state;
	hook.socket_errno = EMFILE;
	assert_false(congestion_check(ALGORITHM, &err));
	assert_int_equal(err.status, MFD_OS);
	hook.socket_errno = 0;
	assert_int_equal(congestion_set(STDIN_FILENO, ALGORITHM), ENOTSOCK);
	assert_true(congestion_check(ALGORITHM, &err));
}

static void a_connection_has_its_targets_and_an_accepted_one_its_listeners(void **state)
{
	struct connect_target target;
	struct sockaddr_storage peer;
	struct mfd_error err;
	struct listener l;
	struct address a;
	int fd, accepted;

	(void)state;
	open_listener("127.0.0.1", 0, MFD_ANY_FAMILY, &l);
	assert_true(listener_congestion(&l, ALGORITHM, &err));
	a = at("127.0.0.1", l.port);
	assert_true(connect_resolve(&a, MFD_ANY_FAMILY, CLOCK_NEVER, &stop, &target, &err));
	target.congestion = ALGORITHM;
	assert_true(connect_open(&target, CLOCK_NEVER, &stop, false, &fd, &err));
	assert_int_equal(event_wait_fd(&stop, l.fd[0], POLLIN, clock_deadline_ms(LONG_MS)),
			 EVENT_READY);
	assert_int_equal(listen_accept(l.fd[0], &accepted, &peer), LISTEN_ACCEPTED);
	expect_algorithm(fd, ALGORITHM);
	expect_algorithm(accepted, ALGORITHM);
	close(fd);
	close(accepted);
	assert_false(listener_congestion(&l, "nope", &err));
	assert_int_equal(err.status, MFD_OS);
	listener_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_the_kernel_has_is_taken),
		TEST(what_it_has_not_is_a_usage_error_that_says_what_there_is),
		TEST(no_socket_is_the_systems_fault),
		TEST(a_connection_has_its_targets_and_an_accepted_one_its_listeners),
	};

	hooks_init();
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
