/* SPDX-License-Identifier: MIT */
/*
 * Channels over real TCP sockets on loopback: whole transfers in pieces of any size, ends of
 * streams, lost connections, and shutdown() as the door that wakes blocked threads.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/event.h"
#include "net/channel.h"
#include "net/connect.h"
#include "net/listen.h"

/* Two ends of one connection. */
struct pair {
	struct channel *a, *b;
};

static int pair_setup(void **state)
{
	const struct address here = { .host = "127.0.0.1" };
	struct pair *p = calloc(1, sizeof(*p));
	struct connect_target target;
	struct sockaddr_storage peer;
	struct listener l;
	struct mfd_error err;
	struct event stop;
	struct address there;
	int a, b;

	assert_non_null(p);
	assert_true(event_init(&stop, &err));
	assert_true(listen_open(&here, MFD_ANY_FAMILY, &l, &err));
	there = here;
	there.port = l.port;
	assert_true(connect_resolve(&there, MFD_ANY_FAMILY, CLOCK_NEVER, &stop, &target, &err));
	assert_true(connect_open(&target, CLOCK_NEVER, &stop, false, &a, &err));
	assert_int_equal(event_wait_fd(&stop, l.fd[0], POLLIN, clock_deadline_ms(10000)),
			 EVENT_READY);
	assert_int_equal(listen_accept(l.fd[0], &b, &peer), LISTEN_ACCEPTED);
	assert_true(channel_tcp_new(a, &p->a, &err));
	assert_true(channel_tcp_new(b, &p->b, &err));
	listener_close(&l);
	event_destroy(&stop);
	*state = p;
	return 0;
}

static int pair_teardown(void **state)
{
	struct pair *p = *state;

	if (p->a)
		p->a->ops->free(p->a);
	if (p->b)
		p->b->ops->free(p->b);
	free(p);
	return 0;
}

static void close_channel(struct channel **c)
{
	(*c)->ops->free(*c);
	*c = NULL;
}

/* Close so that the peer gets a reset rather than an end. */
static void reset_channel(struct channel **c)
{
	const struct linger reset = { .l_onoff = 1 };

	setsockopt((*c)->ops->fd(*c), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close_channel(c);
}

/* A blocking call in a thread of its own. */
struct call {
	struct channel *channel;
	uint8_t *bytes;
	size_t size;
	unsigned pieces;
	bool ok;
	size_t got;
	struct mfd_error err;
	pthread_t thread;
};

/* call->bytes in so many pieces, of uneven sizes and with empty ones between them. */
static struct iovec *cut(const struct call *c)
{
	struct iovec *iov = calloc(c->pieces, sizeof(*iov));
	size_t at = 0;

	for (unsigned i = 0; i < c->pieces; i++) {
		size_t left = c->size - at, n = i % 3 == 1 ? 0 : left / (c->pieces - i) + i % 5;

		if (n > left || i == c->pieces - 1)
			n = left;
		iov[i] = (struct iovec){ c->bytes + at, n };
		at += n;
	}
	return iov;
}

static void *call_send(void *arg)
{
	struct call *c = arg;
	struct iovec *iov = cut(c);

	c->ok = c->channel->ops->send(c->channel, iov, c->pieces, &c->err);
	free(iov);
	return NULL;
}

static void *call_recv(void *arg)
{
	struct call *c = arg;
	struct iovec *iov = cut(c);

	c->ok = c->channel->ops->recv(c->channel, iov, c->pieces, &c->got, &c->err);
	free(iov);
	return NULL;
}

static void call_start(struct call *c, void *(*function)(void *))
{
	assert_int_equal(pthread_create(&c->thread, NULL, function, c), 0);
}

static void call_join(struct call *c)
{
	pthread_join(c->thread, NULL);
}

/*
 * Until @to's thread has taken all that was sent by @from: it is in its call, and what it waits
 * for has not come.
 */
static void wait_until_taken(struct channel *from, struct channel *to)
{
	int left;

	do {
		assert_int_equal(ioctl(from->ops->fd(from), SIOCOUTQ, &left), 0);
	} while (left);
	do {
		assert_int_equal(ioctl(to->ops->fd(to), FIONREAD, &left), 0);
	} while (left);
}

/* Until @c has more to send than leaves: its thread is in its call. */
static void wait_until_stuck(struct channel *c)
{
	struct pollfd p = { .fd = c->ops->fd(c), .events = POLLOUT };

	while (poll(&p, 1, 0) != 0)
		;
}

static void everything_arrives_however_it_is_cut(void **state)
{
	static const unsigned pieces[][2] = { { 1, 1 }, { 3000, 7 }, { 2, 5000 }, { 1024, 1025 } };
	const size_t size = 3000001;
	struct pair *p = *state;
	uint8_t *from = malloc(size), *to = malloc(size);

	for (size_t i = 0; i < size; i++)
		from[i] = (uint8_t)(i * 31 + (i >> 12));
	for (unsigned i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct call send = {
			.channel = p->a, .bytes = from, .size = size, .pieces = pieces[i][0],
		};
		struct call recv = {
			.channel = p->b, .bytes = to, .size = size, .pieces = pieces[i][1],
		};

		memset(to, 0, size);
		call_start(&send, call_send);
		call_recv(&recv);
		call_join(&send);
		assert_true(send.ok);
		assert_true(recv.ok);
		assert_int_equal(recv.got, size);
		assert_memory_equal(from, to, size);
	}
	free(from);
	free(to);
}

static void nothing_is_sent_and_received_at_once(void **state)
{
	struct pair *p = *state;
	struct iovec empty[2] = { { NULL, 0 }, { NULL, 0 } };
	struct mfd_error err;
	size_t got = 1;

	assert_true(p->a->ops->send(p->a, empty, 2, &err));
	assert_true(p->b->ops->recv(p->b, empty, 2, &got, &err));
	assert_int_equal(got, 0);
	assert_true(p->b->ops->recv(p->b, empty, 0, &got, &err));
	assert_int_equal(got, 0);
}

static void a_short_stream_reports_how_much_came(void **state)
{
	struct pair *p = *state;
	uint8_t bytes[64] = "seventeen letters";
	struct call send = { .channel = p->a, .bytes = bytes, .size = 17, .pieces = 1 };
	struct call recv = { .channel = p->b, .bytes = bytes, .size = 64, .pieces = 3 };

	call_send(&send);
	assert_true(send.ok);
	close_channel(&p->a);
	call_recv(&recv);
	assert_true(recv.ok);
	assert_int_equal(recv.got, 17);
	call_recv(&recv);
	assert_true(recv.ok);
	assert_int_equal(recv.got, 0);
}

static void a_half_closed_stream_still_carries_the_other_direction(void **state)
{
	struct pair *p = *state;
	uint8_t bytes[8] = "answer";
	struct call recv = { .channel = p->b, .bytes = bytes, .size = 8, .pieces = 1 };
	struct call send = { .channel = p->b, .bytes = bytes, .size = 8, .pieces = 1 };
	struct call back = { .channel = p->a, .bytes = bytes, .size = 8, .pieces = 1 };

	assert_int_equal(shutdown(p->a->ops->fd(p->a), SHUT_WR), 0);
	call_recv(&recv);
	assert_true(recv.ok);
	assert_int_equal(recv.got, 0);
	call_send(&send);
	assert_true(send.ok);
	call_recv(&back);
	assert_true(back.ok);
	assert_int_equal(back.got, 8);
	/* And our own direction is shut. */
	send.channel = p->a;
	call_send(&send);
	assert_false(send.ok);
	assert_int_equal(send.err.status, MFD_TRY_AGAIN);
}

static void shutdown_wakes_a_blocked_recv(void **state)
{
	struct pair *p = *state;
	uint8_t bytes[100] = {0}, buffer[100];
	struct call send = { .channel = p->a, .bytes = bytes, .size = 10, .pieces = 1 };
	struct call recv = { .channel = p->b, .bytes = buffer, .size = 100, .pieces = 1 };

	call_send(&send);
	assert_true(send.ok);
	call_start(&recv, call_recv);
	wait_until_taken(p->a, p->b);
	p->b->ops->shutdown(p->b);
	call_join(&recv);
	assert_true(!recv.ok || recv.got < 100);
}

static void shutdown_wakes_a_blocked_send(void **state)
{
	struct pair *p = *state;
	const size_t size = 64 << 20;
	const int small = 1 << 16;
	uint8_t *bytes = calloc(1, size);
	struct call send = { .channel = p->a, .bytes = bytes, .size = size, .pieces = 16 };

	assert_non_null(bytes);
	/* Some machines are tuned to take much more without anybody reading. */
	assert_int_equal(setsockopt(p->a->ops->fd(p->a), SOL_SOCKET, SO_SNDBUF, &small,
				    sizeof(small)), 0);
	assert_int_equal(setsockopt(p->b->ops->fd(p->b), SOL_SOCKET, SO_RCVBUF, &small,
				    sizeof(small)), 0);
	call_start(&send, call_send);
	wait_until_stuck(p->a);
	p->a->ops->shutdown(p->a);
	call_join(&send);
	assert_false(send.ok);
	assert_int_equal(send.err.status, MFD_TRY_AGAIN);
	assert_string_equal(send.err.text, "connection lost: Broken pipe");
	free(bytes);
}

static void *call_shutdown(void *arg)
{
	struct call *c = arg;

	c->channel->ops->shutdown(c->channel);
	return NULL;
}

static void shutdown_may_come_often_and_from_any_thread(void **state)
{
	struct pair *p = *state;
	struct call call[4];
	uint8_t bytes[8];
	struct call recv = { .channel = p->b, .bytes = bytes, .size = 8, .pieces = 1 };

	for (unsigned i = 0; i < 4; i++) {
		call[i] = (struct call){ .channel = p->b };
		call_start(&call[i], call_shutdown);
	}
	for (unsigned i = 0; i < 4; i++)
		call_join(&call[i]);
	call_recv(&recv);
	assert_true(recv.ok);
	assert_int_equal(recv.got, 0);
	reset_channel(&p->a);
	p->b->ops->shutdown(p->b);
	p->b->ops->shutdown(p->b);
}

static void a_reset_is_a_lost_connection(void **state)
{
	struct pair *p = *state;
	uint8_t bytes[100] = {0}, buffer[100];
	struct call send = { .channel = p->a, .bytes = bytes, .size = 10, .pieces = 1 };
	struct call recv = { .channel = p->b, .bytes = buffer, .size = 100, .pieces = 2 };

	call_send(&send);
	assert_true(send.ok);
	call_start(&recv, call_recv);
	wait_until_taken(p->a, p->b);
	reset_channel(&p->a);
	call_join(&recv);
	assert_false(recv.ok);
	assert_int_equal(recv.got, 10);
	assert_int_equal(recv.err.status, MFD_TRY_AGAIN);
	assert_int_equal(recv.err.os_errno, ECONNRESET);
	assert_string_equal(recv.err.text, "connection lost: Connection reset by peer");
}

static void sending_to_nobody_fails_without_a_signal(void **state)
{
	struct pair *p = *state;
	struct pollfd gone = { .fd = p->a->ops->fd(p->a) };
	uint8_t bytes[8] = {0};
	struct call send = { .channel = p->a, .bytes = bytes, .size = 8, .pieces = 1 };
	size_t moved;

	reset_channel(&p->b);
	assert_int_equal(poll(&gone, 1, 10000), 1);
	for (unsigned i = 0; i < 2; i++) {
		call_send(&send);
		assert_false(send.ok);
		assert_int_equal(send.err.status, MFD_TRY_AGAIN);
		assert_false(p->a->ops->send_some(p->a, bytes, 8, &moved, &send.err));
		assert_int_equal(send.err.status, MFD_TRY_AGAIN);
	}
}

static void send_some_and_recv_some_never_wait(void **state)
{
	struct pair *p = *state;
	struct pollfd readable = { .fd = p->b->ops->fd(p->b), .events = POLLIN };
	static uint8_t bytes[1 << 16];
	size_t moved, sent = 0, got = 0;
	struct mfd_error err;
	bool end = true;

	assert_true(p->b->ops->recv_some(p->b, bytes, sizeof(bytes), &moved, &end, &err));
	assert_int_equal(moved, 0);
	assert_false(end);
	do {
		assert_true(p->a->ops->send_some(p->a, bytes, sizeof(bytes), &moved, &err));
		sent += moved;
	} while (moved);
	close_channel(&p->a);
	do {
		assert_int_equal(poll(&readable, 1, 10000), 1);
		assert_true(p->b->ops->recv_some(p->b, bytes, sizeof(bytes), &moved, &end, &err));
		got += moved;
	} while (!end);
	assert_int_equal(got, sent);
}

static void on_signal(int number)
{
	(void)number;
}

static void signals_do_not_disturb_a_transfer(void **state)
{
	const struct sigaction action = { .sa_handler = on_signal }; /* without SA_RESTART */
	struct pair *p = *state;
	uint8_t bytes[100], buffer[100];
	struct call send = { .channel = p->a, .bytes = bytes, .size = 10, .pieces = 1 };
	struct call recv = { .channel = p->b, .bytes = buffer, .size = 100, .pieces = 2 };
	struct sigaction before;

	memset(bytes, 7, sizeof(bytes));
	assert_int_equal(sigaction(SIGUSR2, &action, &before), 0);
	call_start(&recv, call_recv);
	for (unsigned i = 0; i < 10; i++) {
		call_send(&send);
		assert_true(send.ok);
		wait_until_taken(p->a, p->b);
		if (i < 9)
			assert_int_equal(pthread_kill(recv.thread, SIGUSR2), 0);
	}
	call_join(&recv);
	sigaction(SIGUSR2, &before, NULL);
	assert_true(recv.ok);
	assert_int_equal(recv.got, 100);
	assert_memory_equal(bytes, buffer, 100);
}

static void small_packets_are_not_held_back(void **state)
{
	struct pair *p = *state;
	int on = 0;
	socklen_t size = sizeof(on);

	assert_int_equal(getsockopt(p->a->ops->fd(p->a), IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
	assert_true(on);
	assert_int_equal(getsockopt(p->b->ops->fd(p->b), IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
	assert_true(on);
}

static void what_is_no_socket_is_closed_and_refused(void **state)
{
	struct channel *c;
	struct mfd_error err;
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	assert_false(channel_tcp_new(fd[0], &c, &err));
	assert_int_equal(err.status, MFD_OS);
	assert_int_equal(fcntl(fd[0], F_GETFD), -1);
	close(fd[1]);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_true(channel_tcp_new(fd[0], &c, &err));
	assert_int_equal(c->ops->fd(c), fd[0]);
	c->ops->free(c);
	assert_int_equal(fcntl(fd[0], F_GETFD), -1);
	close(fd[1]);
}

static void wrapping_with_nothing_changes_nothing(void **state)
{
	struct pair *p = *state;

	assert_ptr_equal(channel_wrap_nothing(NULL, 0, p->a), p->a);
}

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, pair_setup, pair_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_PAIR(everything_arrives_however_it_is_cut),
		WITH_PAIR(nothing_is_sent_and_received_at_once),
		WITH_PAIR(a_short_stream_reports_how_much_came),
		WITH_PAIR(a_half_closed_stream_still_carries_the_other_direction),
		WITH_PAIR(shutdown_wakes_a_blocked_recv),
		WITH_PAIR(shutdown_wakes_a_blocked_send),
		WITH_PAIR(shutdown_may_come_often_and_from_any_thread),
		WITH_PAIR(a_reset_is_a_lost_connection),
		WITH_PAIR(sending_to_nobody_fails_without_a_signal),
		WITH_PAIR(send_some_and_recv_some_never_wait),
		WITH_PAIR(signals_do_not_disturb_a_transfer),
		WITH_PAIR(small_packets_are_not_held_back),
		cmocka_unit_test(what_is_no_socket_is_closed_and_refused),
		WITH_PAIR(wrapping_with_nothing_changes_nothing),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
