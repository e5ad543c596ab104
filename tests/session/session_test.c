/* SPDX-License-Identifier: MIT */
/*
 * How sessions begin and end: cancelled in every phase, started again at once, without a peer; and
 * how they look from outside.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/raw.h"
#include "common/testing.h"
#include "session/scenes.h"

/* A cancel takes effect within 2 s; and slack where everything is slow. */
#define CANCEL_NS ((TESTING_SANITIZED ? 4 : 2) * CLOCK_NS_PER_S)

static enum mfd_phase send_phase(const struct testing_scene *s)
{
	struct mfd_stats stats;

	send_session_stats(s->pair.sender.send, &stats);
	return stats.phase;
}

static enum mfd_phase recv_phase(const struct testing_scene *s)
{
	struct mfd_stats stats;

	recv_session_stats(s->pair.receiver.recv, &stats);
	return stats.phase;
}

/* ---- Cancel. ---- */

/*
 * Cancel one end of a running pair; both are out in time, with their reasons, and nothing is
 * committed.
 */
static void cancel_pair(struct testing_scene *s, bool at_sender)
{
	const uint64_t now = clock_ns();

	if (at_sender)
		send_session_cancel(s->pair.sender.send);
	else
		recv_session_cancel(s->pair.receiver.recv);
	testing_join(&s->pair);
	expect_end(&s->pair.sender, MFD_TRY_AGAIN, !at_sender,
		   at_sender ? "the sender was interrupted" : "the receiver was interrupted");
	expect_end(&s->pair.receiver, MFD_TRY_AGAIN, at_sender,
		   at_sender ? "the sender was interrupted" : "the receiver was interrupted");
	assert_true(s->pair.sender.ended_ns - now < CANCEL_NS);
	assert_true(s->pair.receiver.ended_ns - now < CANCEL_NS);
	assert_false(s->sink.committed);
	testing_scene_destroy(s);
}

static void cancel_sender(struct testing_scene *s)
{
	const uint64_t now = clock_ns();

	send_session_cancel(s->pair.sender.send);
	testing_join(&s->pair);
	expect_end(&s->pair.sender, MFD_TRY_AGAIN, false, "the sender was interrupted");
	assert_true(s->pair.sender.ended_ns - now < CANCEL_NS);
	testing_scene_destroy(s);
}

static void cancel_receiver(struct testing_scene *s)
{
	const uint64_t now = clock_ns();

	recv_session_cancel(s->pair.receiver.recv);
	testing_join(&s->pair);
	expect_end(&s->pair.receiver, MFD_TRY_AGAIN, false, "the receiver was interrupted");
	assert_true(s->pair.receiver.ended_ns - now < CANCEL_NS);
	assert_false(s->sink.committed);
	testing_scene_destroy(s);
}

static void a_sender_cancelled_before_it_runs_does_not_run(void **state)
{
	const struct send_params params = {
		.address = "127.0.0.1:1", .channels = 3, .packet_pages = 16, .method = &method_none,
		.connect_timeout_ms = 20000,
		.timeout_ms = 20000, .notice = NULL, .wrap = channel_wrap_nothing,
	};
	struct send_session *session;
	struct testing_scene s;
	struct mfd_error err;

	(void)state;
	testing_scene_init(&s, __func__);
	assert_true(send_session_new(&params, &s.source.source, &session, &err));
	send_session_cancel(session);
	assert_false(send_session_run(session, &err));
	assert_int_equal(err.status, MFD_TRY_AGAIN);
	send_session_free(session);
	testing_scene_destroy(&s);
}

static void sessions_that_never_ran_are_freed(void **state)
{
	const struct send_params send = {
		.address = "127.0.0.1:1", .channels = MFD_MAX_CHANNELS, .packet_pages = 16,
		.method = &method_zstd, .wrap = channel_wrap_nothing,
	};
	struct recv_params recv = { .timeout_ms = 1000, .wrap = channel_wrap_nothing };
	const struct address any = { .host = "127.0.0.1" };
	struct send_session *sender;
	struct recv_session *receiver;
	struct testing_scene s;
	struct mfd_error err;

	(void)state;
	testing_scene_init(&s, __func__);
	assert_true(send_session_new(&send, &s.source.source, &sender, &err));
	send_session_free(sender);
	assert_true(listen_open(&any, MFD_ANY_FAMILY, &recv.listener, &err));
	assert_true(recv_session_new(&recv, &s.sink.sink, &receiver, &err));
	recv_session_free(receiver);
	testing_scene_destroy(&s);
}

/* Nobody listens: refused, and tried again. */
static void a_sender_is_cancelled_while_it_connects(void **state)
{
	struct testing_scene s;
	uint16_t port;

	(void)state;
	close(raw_listen(&port));
	testing_scene_init(&s, __func__);
	s.pair.port = port;
	assert_true(testing_start_sender(&s.pair));
	cancel_sender(&s);
}

/* A listener that takes no more: what else knocks is not answered at all. */
static int silent_listener(uint16_t *ret_port, int knock[static 4])
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof(at);
	int fd = raw_tune(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	*ret_port = ntohs(at.sin_port);
	for (unsigned i = 0; i < 4; i++) {
		knock[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_true(knock[i] >= 0);
		(void)!connect(knock[i], (struct sockaddr *)&at, sizeof(at));
	}
	return fd;
}

static void a_sender_is_cancelled_while_the_network_says_nothing(void **state)
{
	struct testing_scene s;
	int listening, knock[4];

	(void)state;
	testing_scene_init(&s, __func__);
	listening = silent_listener(&s.pair.port, knock);
	assert_true(testing_start_sender(&s.pair));
	cancel_sender(&s);
	for (unsigned i = 0; i < 4; i++)
		close(knock[i]);
	close(listening);
}

static void a_network_that_says_nothing_is_69_after_the_connect_timeout(void **state)
{
	struct testing_scene s;
	int listening, knock[4];

	(void)state;
	testing_scene_init(&s, __func__);
	listening = silent_listener(&s.pair.port, knock);
	s.pair.connect_timeout_ms = 300;
	assert_true(testing_start_sender(&s.pair));
	testing_join(&s.pair);
	expect_end(&s.pair.sender, MFD_UNAVAILABLE, false, "");
	for (unsigned i = 0; i < 4; i++)
		close(knock[i]);
	close(listening);
	testing_scene_destroy(&s);
}

/* Control came through, and then the listener's queue is full: the data connections hang. */
static void connecting_data_channels_is_cancelled_or_times_out(void **state)
{
	(void)state;
	for (unsigned cancelled = 0; cancelled < 2; cancelled++) {
		struct mfd_stats stats;
		struct raw_receiver r;
		struct testing_scene s;
		struct wire_message m;

		testing_scene_init(&s, __func__);
		r.listening = raw_listen(&s.pair.port);
		assert_int_equal(listen(r.listening, 0), 0);
		s.pair.channels = 16;
		s.pair.connect_timeout_ms = cancelled ? 20000 : 400;
		assert_true(testing_start_sender(&s.pair));
		raw_welcome(&r);
		do
			send_session_stats(s.pair.sender.send, &stats);
		while (!stats.channels);
		if (cancelled) {
			cancel_sender(&s);
		} else {
			raw_expect(r.control, WIRE_ERROR, &m);
			assert_int_equal(m.problem.status, MFD_TRY_AGAIN);
			raw_close_receiver(&r);
			testing_join(&s.pair);
			expect_end(&s.pair.sender, MFD_TRY_AGAIN, false, "channel ");
			testing_scene_destroy(&s);
			continue;
		}
		raw_close_receiver(&r);
	}
}

static void a_sender_is_cancelled_while_it_waits_for_welcome(void **state)
{
	struct wire_message m;
	struct testing_scene s;
	uint8_t raw[WIRE_PREAMBLE_BYTES];
	int listening, fd;

	(void)state;
	testing_scene_init(&s, __func__);
	listening = raw_listen(&s.pair.port);
	assert_true(testing_start_sender(&s.pair));
	fd = raw_accept(listening);
	assert_true(raw_recv(fd, raw, sizeof(raw)));
	raw_expect(fd, WIRE_HELLO, &m);
	cancel_sender(&s);
	close(fd);
	close(listening);
}

/*
 * A receiver that takes connections and then nothing: every thread of the sender is blocked in
 * send.
 */
static void a_sender_is_cancelled_while_its_peer_is_stopped(void **state)
{
	(void)state;
	for (unsigned stream = 0; stream < 2; stream++) {
		const struct testing_image image = { .size = 64u << 20, .kind = TESTING_RANDOM,
						     .rounds = 1 };
		struct raw_receiver r;
		struct testing_scene s;
		struct mfd_stats stats;
		uint64_t before;

		testing_scene_init(&s, __func__);
		testing_source_init(&s.source, &image, !stream);
		r.listening = raw_listen(&s.pair.port);
		assert_true(testing_start_sender(&s.pair));
		raw_welcome(&r);
		raw_accept_data(&r, 4);
		TESTING_WAIT(send_phase(&s) == MFD_MOVING);
		do {
			send_session_stats(s.pair.sender.send, &stats);
			before = stats.bytes_wire;
			usleep(100000);
			send_session_stats(s.pair.sender.send, &stats);
		} while (stats.bytes_wire != before);
		cancel_sender(&s);
		raw_close_receiver(&r);
	}
}

static void a_receiver_is_cancelled_while_nobody_has_come(void **state)
{
	struct testing_scene s;
	int fd;

	(void)state;
	testing_scene_init(&s, __func__);
	assert_true(testing_start_receiver(&s.pair));
	fd = raw_connect(s.pair.port);
	cancel_receiver(&s);
	raw_expect_closed(fd);
	close(fd);
}

static void a_receiver_is_cancelled_while_its_peer_is_stopped(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	for (unsigned channels = 0; channels < 3; channels++) {
		testing_scene_init(&s, __func__);
		assert_true(testing_start_receiver(&s.pair));
		raw_begin(&sender, s.pair.port, 3, s.image.size);
		for (unsigned i = 0; i < channels; i++)
			sender.data[i] = raw_open_data(&sender, i, 1);
		cancel_receiver(&s);
		raw_close(&sender);
	}
}

static void either_end_is_cancelled_while_the_input_has_nothing_to_say(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct testing_scene s;

		testing_scene_init(&s, __func__);
		testing_source_init(&s.source, &s.image, i & 2);
		s.source.stall_page = i & 4 ? 100 : 0;
		assert_true(testing_start(&s.pair));
		TESTING_WAIT(s.source.stalled);
		cancel_pair(&s, i & 1);
	}
}

static void either_end_is_cancelled_while_the_bandwidth_is_used_up(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct testing_scene s;

		testing_scene_init(&s, __func__);
		testing_source_init(&s.source, &s.image, i & 2);
		s.pair.bytes_per_second = 1000;
		assert_true(testing_start(&s.pair));
		TESTING_WAIT(send_phase(&s) == MFD_MOVING && recv_phase(&s) == MFD_MOVING);
		cancel_pair(&s, i & 1);
	}
}

static void either_end_is_cancelled_while_the_sink_is_slow(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct testing_scene s;

		testing_scene_init(&s, __func__);
		s.sink.write_ms = 50;
		s.sink.slow_writes = 1000;
		assert_true(testing_start(&s.pair));
		TESTING_WAIT(send_phase(&s) == MFD_MOVING && recv_phase(&s) == MFD_MOVING);
		cancel_pair(&s, i);
	}
}

static void either_end_is_cancelled_while_the_output_is_flushed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct testing_scene s;

		testing_scene_init(&s, __func__);
		s.sink.commit_ms = 20000;
		assert_true(testing_start(&s.pair));
		TESTING_WAIT(recv_phase(&s) == MFD_FLUSHING);
		assert_int_equal(send_phase(&s), MFD_FLUSHING);
		cancel_pair(&s, i);
	}
}

/* At any moment at all: whatever it was, both ends end and agree with the sink. */
static void a_cancel_at_any_moment_ends_both_honestly(void **state)
{
	uint64_t seed = 99;
	unsigned cancelled = 0;

	(void)state;
	for (unsigned i = 0; i < testing_sweep(200, 5000); i++) {
		struct testing_scene s;

		testing_scene_init(&s, __func__);
		testing_source_init(&s.source, &s.image, i & 2);
		s.pair.channels = 1 + testing_random(&seed) % 8;
		s.pair.accept_timeout_ms = s.pair.connect_timeout_ms = 300;
		assert_true(testing_start(&s.pair));
		usleep(testing_random(&seed) % 12000);
		if (i & 1)
			send_session_cancel(s.pair.sender.send);
		else
			recv_session_cancel(s.pair.receiver.recv);
		testing_join(&s.pair);
		assert_int_equal(s.pair.receiver.ok, s.sink.committed);
		assert_false(s.pair.sender.ok && !s.sink.committed);
		if (!s.pair.receiver.ok)
			assert_int_equal(s.pair.receiver.error.status, MFD_TRY_AGAIN);
		cancelled += !s.pair.receiver.ok;
		testing_scene_destroy(&s);
	}
	assert_true(cancelled > 0);
}

static void the_same_port_serves_again_at_once_after_a_cancel(void **state)
{
	struct testing_scene s;
	uint16_t port = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		testing_scene_init(&s, __func__);
		s.pair.port = port;
		s.source.stall_page = 10;
		if (!testing_start(&s.pair))
			fail_msg("%s", s.pair.receiver.error.text);
		port = s.pair.port;
		TESTING_WAIT(s.source.stalled);
		cancel_pair(&s, i % 2);
	}
	testing_scene_init(&s, __func__);
	s.pair.port = port;
	assert_true(testing_run(&s.pair));
	assert_true(testing_agreed(&s.pair));
	testing_scene_destroy(&s);
}

/* ---- No peer. ---- */

static void a_sender_that_nobody_answers_ends_with_69(void **state)
{
	struct testing_scene s;
	uint64_t began;

	(void)state;
	testing_scene_init(&s, __func__);
	close(raw_listen(&s.pair.port));
	s.pair.connect_timeout_ms = 300;
	began = clock_ns();
	assert_true(testing_start_sender(&s.pair));
	testing_join(&s.pair);
	expect_end(&s.pair.sender, MFD_UNAVAILABLE, false, "");
	assert_true(s.pair.sender.ended_ns - began >= 250 * CLOCK_NS_PER_MS);
	testing_scene_destroy(&s);
}

static void a_sender_may_start_before_its_receiver(void **state)
{
	struct testing_scene s;
	uint16_t port;

	(void)state;
	testing_scene_init(&s, __func__);
	close(raw_listen(&port));
	s.pair.port = port;
	assert_true(testing_start_sender(&s.pair));
	usleep(100000);
	assert_true(testing_start_receiver(&s.pair));
	testing_join(&s.pair);
	assert_true(testing_agreed(&s.pair));
	assert_true(testing_sink_complete(&s.sink));
	testing_scene_destroy(&s);
}

static void a_receiver_to_which_nobody_comes_ends_with_75(void **state)
{
	struct testing_scene s;

	(void)state;
	testing_scene_init(&s, __func__);
	s.pair.accept_timeout_ms = 200;
	assert_true(testing_start_receiver(&s.pair));
	testing_join(&s.pair);
	expect_end(&s.pair.receiver, MFD_TRY_AGAIN, false, "no sender came in time");
	testing_scene_destroy(&s);
}

static void a_peer_that_closes_before_welcome_is_75(void **state)
{
	struct testing_scene s;
	int listening, fd;

	(void)state;
	testing_scene_init(&s, __func__);
	listening = raw_listen(&s.pair.port);
	assert_true(testing_start_sender(&s.pair));
	fd = raw_accept(listening);
	close(fd);
	testing_join(&s.pair);
	expect_end(&s.pair.sender, MFD_TRY_AGAIN, false, "no answer to HELLO");
	close(listening);
	testing_scene_destroy(&s);
}

static void a_busy_receiver_is_75_for_the_second_sender(void **state)
{
	struct testing_scene s, second;

	(void)state;
	testing_scene_init(&s, __func__);
	testing_scene_init(&second, __func__);
	s.source.stall_page = 100;
	assert_true(testing_start(&s.pair));
	TESTING_WAIT(s.source.stalled);
	second.pair.port = s.pair.port;
	assert_true(testing_start_sender(&second.pair));
	testing_join(&second.pair);
	expect_end(&second.pair.sender, MFD_TRY_AGAIN, true, "busy with another sender");
	testing_scene_destroy(&second);
	cancel_pair(&s, true);
}

/* ---- Looked at from outside. ---- */

static void a_snapshot_may_be_taken_at_any_time(void **state)
{
	struct mfd_stats send, recv;
	struct testing_scene s;
	uint64_t done = 0;

	(void)state;
	testing_scene_init(&s, __func__);
	s.pair.bytes_per_second = 4u << 20;
	assert_true(testing_start(&s.pair));
	do {
		send_session_stats(s.pair.sender.send, &send);
		recv_session_stats(s.pair.receiver.recv, &recv);
		assert_true(send.bytes_done >= done && send.bytes_done <= TESTING_SCENE_BYTES);
		assert_true(recv.bytes_done <= TESTING_SCENE_BYTES);
		assert_false(send.committed && send.phase != MFD_FINISHED);
		done = send.bytes_done;
	} while (send.phase != MFD_FINISHED);
	testing_join(&s.pair);
	assert_true(testing_agreed(&s.pair));
	assert_int_equal(s.pair.sender.stats.bytes_done, TESTING_SCENE_BYTES);
	testing_scene_destroy(&s);
}

static void acknowledgements_count_progress_not_what_was_sent(void **state)
{
	struct mfd_stats stats;
	struct testing_scene s;

	(void)state;
	testing_scene_init(&s, __func__);
	s.pair.channels = 1;
	s.sink.write_ms = 300;
	s.sink.slow_writes = 1;
	assert_true(testing_start(&s.pair));
	do
		send_session_stats(s.pair.sender.send, &stats);
	while (stats.bytes_wire < 3 * TESTING_PACKET_BYTES);
	/* The first write holds everything up. */
	assert_int_equal(stats.bytes_done, 0);
	testing_join(&s.pair);
	assert_true(testing_agreed(&s.pair));
	testing_scene_destroy(&s);
}

/* ---- Sizes of batches. ---- */

/*
 * What next() was asked for: the first, the last, and whether it ever was asked for more than
 * before.
 */
static struct {
	const struct source_ops *ops; /* the source's own */
	uint32_t first, last;
	bool grew;
} asked;

static bool ask_and_note(struct source *s, uint32_t max_pages, uint8_t *buffer,
			 const struct event *stop, struct batch *batch, bool *end,
			 struct mfd_error *err)
{
	if (!asked.first)
		asked.first = asked.last = max_pages;
	asked.grew = asked.grew || max_pages > asked.last;
	asked.last = max_pages;
	return asked.ops->next(s, max_pages, buffer, stop, batch, end, err);
}

static void run_and_note(uint64_t pages)
{
	struct testing_scene s;
	struct source_ops ops;

	testing_scene_init(&s, __func__);
	s.image.size = s.source.image.size = s.source.source.info.size = pages * PAGE_BYTES;
	testing_sink_destroy(&s.sink);
	testing_sink_init(&s.sink, &s.image);
	s.pair.packet_pages = 256;
	memset(&asked, 0, sizeof(asked));
	asked.ops = s.source.source.ops;
	ops = *asked.ops;
	ops.next = ask_and_note;
	s.source.source.ops = &ops;
	assert_true(testing_run(&s.pair));
	assert_true(testing_agreed(&s.pair) && testing_sink_complete(&s.sink));
	testing_scene_destroy(&s);
}

static void batches_become_small_towards_the_end_and_not_before(void **state)
{
	(void)state;
	run_and_note(8192);
	assert_int_equal(asked.first, 256);
	assert_false(asked.grew);
	assert_int_equal(asked.last, 16);

	/* So small that a full packet would leave channels without any. */
	run_and_note(512);
	assert_true(asked.first < 256 && asked.first >= 16);
}

static uint64_t thread_time(const struct mfd_stats *stats, unsigned i)
{
	const struct mfd_channel_stats *c = &stats->channel[i];

	return c->wait_source_ns + c->wait_sink_ns + c->wait_codec_ns + c->wait_socket_ns +
	       c->wait_handoff_ns;
}

/* A slow sink keeps all busy, then a slow flush keeps all waiting, and is nobody's time. */
static void what_threads_waited_for_adds_up_to_the_time_without_the_flush(void **state)
{
	const uint64_t slack = (TESTING_SANITIZED ? 500 : 150) * CLOCK_NS_PER_MS;
	const struct mfd_stats *ends[2];
	struct testing_scene s;

	(void)state;
	testing_scene_init(&s, __func__);
	ends[0] = &s.pair.sender.stats;
	ends[1] = &s.pair.receiver.stats;
	s.sink.write_ms = 30;
	s.sink.slow_writes = UINT32_MAX;
	s.sink.commit_ms = 1000;
	assert_true(testing_run(&s.pair));
	assert_true(testing_agreed(&s.pair));
	for (unsigned end = 0; end < 2; end++) {
		const uint64_t moving = ends[end]->elapsed_ns - ends[end]->flush_ns;

		assert_true(ends[end]->flush_ns >= 1000 * CLOCK_NS_PER_MS);
		assert_true(moving >= 300 * CLOCK_NS_PER_MS);
		for (unsigned i = 0; i < s.pair.channels; i++) {
			assert_true(thread_time(ends[end], i) <= moving + slack);
			assert_true(thread_time(ends[end], i) + slack >= moving);
		}
	}
	testing_scene_destroy(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sender_cancelled_before_it_runs_does_not_run),
		cmocka_unit_test(sessions_that_never_ran_are_freed),
		cmocka_unit_test(a_sender_is_cancelled_while_it_connects),
		cmocka_unit_test(a_sender_is_cancelled_while_the_network_says_nothing),
		cmocka_unit_test(a_network_that_says_nothing_is_69_after_the_connect_timeout),
		cmocka_unit_test(connecting_data_channels_is_cancelled_or_times_out),
		cmocka_unit_test(a_sender_is_cancelled_while_it_waits_for_welcome),
		cmocka_unit_test(a_sender_is_cancelled_while_its_peer_is_stopped),
		cmocka_unit_test(a_receiver_is_cancelled_while_nobody_has_come),
		cmocka_unit_test(a_receiver_is_cancelled_while_its_peer_is_stopped),
		cmocka_unit_test(either_end_is_cancelled_while_the_input_has_nothing_to_say),
		cmocka_unit_test(either_end_is_cancelled_while_the_bandwidth_is_used_up),
		cmocka_unit_test(either_end_is_cancelled_while_the_sink_is_slow),
		cmocka_unit_test(either_end_is_cancelled_while_the_output_is_flushed),
		cmocka_unit_test(a_cancel_at_any_moment_ends_both_honestly),
		cmocka_unit_test(the_same_port_serves_again_at_once_after_a_cancel),
		cmocka_unit_test(a_sender_that_nobody_answers_ends_with_69),
		cmocka_unit_test(a_sender_may_start_before_its_receiver),
		cmocka_unit_test(a_receiver_to_which_nobody_comes_ends_with_75),
		cmocka_unit_test(a_peer_that_closes_before_welcome_is_75),
		cmocka_unit_test(a_busy_receiver_is_75_for_the_second_sender),
		cmocka_unit_test(a_snapshot_may_be_taken_at_any_time),
		cmocka_unit_test(acknowledgements_count_progress_not_what_was_sent),
		cmocka_unit_test(what_threads_waited_for_adds_up_to_the_time_without_the_flush),
		cmocka_unit_test(batches_become_small_towards_the_end_and_not_before),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
