/* SPDX-License-Identifier: MIT */
/*
 * The sockets of a session, as the kernel sees them: which options are set on which, and that its
 * own tuning is left to it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "common/testing.h"

/* In every kernel, and allowed to everybody. */
#define ALGORITHM "reno"

/* What was seen of the connections of one end. */
struct seen {
	unsigned control, data;      /* how many */
	unsigned delayed;            /* without TCP_NODELAY */
	unsigned tuned;              /* whose buffers are not the kernel's to tune any more */
	unsigned chosen;             /* data connections with ALGORITHM */
	char algorithm[16];          /* of control */
	bool unknown;                /* the kernel does not say what was tuned */
};

static void look(void *opaque, uint32_t id, int fd)
{
	struct seen *s = opaque;
	char algorithm[16] = "";
	int on = 0, locked = 0;
	socklen_t size = sizeof(on);

	*(id == TESTING_CONTROL ? &s->control : &s->data) += 1;
	if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size) || !on)
		s->delayed++;
	size = sizeof(locked);
	if (getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &locked, &size))
		s->unknown = true;
	else if (locked)
		s->tuned++;
	size = sizeof(algorithm) - 1;
	if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, algorithm, &size))
		return;
	if (id == TESTING_CONTROL)
		memcpy(s->algorithm, algorithm, sizeof(algorithm));
	else
		s->chosen += !strcmp(algorithm, ALGORITHM);
}

static void run(const char *name, const char *congestion, struct seen *sender,
		struct seen *receiver)
{
	struct testing_scene s;

	*sender = *receiver = (struct seen){ 0 };
	testing_scene_init(&s, name);
	s.pair.congestion = congestion;
	s.pair.send_faults.look = s.pair.recv_faults.look = look;
	s.pair.send_faults.look_opaque = sender;
	s.pair.recv_faults.look_opaque = receiver;
	assert_true(testing_run(&s.pair));
	assert_true(testing_agreed(&s.pair));
	assert_int_equal(sender->data, s.pair.channels);
	assert_int_equal(receiver->data, s.pair.channels);
	testing_scene_destroy(&s);
}

static void no_end_delays_its_packets(void **state)
{
	struct seen sender, receiver;

	(void)state;
	run(__func__, NULL, &sender, &receiver);
	assert_int_equal(sender.delayed, 0);
	assert_int_equal(receiver.delayed, 0);
	assert_int_equal(sender.control, 1);
}

static void buffers_stay_the_kernels_to_tune(void **state)
{
	struct seen sender, receiver;

	(void)state;
	run(__func__, ALGORITHM, &sender, &receiver);
	if (sender.unknown || receiver.unknown)
		skip(); /* Linux 5.14 and later say it */
	assert_int_equal(sender.tuned, 0);
	assert_int_equal(receiver.tuned, 0);
}

static void data_connections_of_both_ends_have_the_algorithm_asked_for(void **state)
{
	struct seen sender, receiver, plain, unused;

	(void)state;
	run(__func__, ALGORITHM, &sender, &receiver);
	assert_int_equal(sender.chosen, sender.data);
	assert_int_equal(receiver.chosen, receiver.data);
	/* The sender's control connection is what it is without. */
	run(__func__, NULL, &plain, &unused);
	assert_string_equal(sender.algorithm, plain.algorithm);
	if (strcmp(plain.algorithm, ALGORITHM)) {
		assert_int_equal(plain.chosen, 0);
		assert_int_equal(unused.chosen, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_end_delays_its_packets),
		cmocka_unit_test(buffers_stay_the_kernels_to_tune),
		cmocka_unit_test(data_connections_of_both_ends_have_the_algorithm_asked_for),
	};

	return cmocka_run_group_tests_name("sockets", tests, NULL, NULL);
}
