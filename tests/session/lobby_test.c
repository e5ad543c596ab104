/* SPDX-License-Identifier: MIT */
/*
 * Who comes to a receiver: strangers, which must not disturb anybody; senders that it refuses; data
 * connections in odd orders.  Those that come again are generations_test.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "session/raw_scene.h"

/* A real sender, for what must still work. */
static void real_sender_works(struct testing_scene *s)
{
	assert_true(testing_start_sender(&s->pair));
	testing_join(&s->pair);
	if (!testing_agreed(&s->pair))
		fail_msg("%s; %s", s->pair.sender.error.text, s->pair.receiver.error.text);
	assert_true(testing_sink_complete(&s->sink));
	testing_scene_destroy(s);
}

/* ---- Strangers. ---- */

/* What a stranger says, on a connection of its own.  Returns it, or -1 if it has hung up itself. */
typedef int stranger_fn(uint16_t port, const struct raw_sender *sender);

static int says_junk(uint16_t port, const struct raw_sender *sender)
{
	static const char junk[] = "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: somebody who "
				   "is lost here\r\n\r\n";
	int fd = raw_connect(port);

	(void)sender;
	raw_send(fd, junk, sizeof(junk));
	return fd;
}

static int says_half_a_preamble(uint16_t port, const struct raw_sender *sender)
{
	struct wire_preamble p = { .version = 1, .role = WIRE_ROLE_CONTROL };
	uint8_t raw[WIRE_PREAMBLE_BYTES];
	int fd = raw_connect(port);

	(void)sender;
	wire_put_preamble(&p, raw);
	raw_send(fd, raw, 31);
	close(fd);
	return -1;
}

static int says_nothing_and_goes(uint16_t port, const struct raw_sender *sender)
{
	(void)sender;
	close(raw_connect(port));
	return -1;
}

static int says_data_with_a_wrong_token(uint16_t port, const struct raw_sender *sender)
{
	uint8_t token[WIRE_TOKEN_BYTES] = { 0 };
	int fd = raw_connect(port);

	if (sender)
		memcpy(token, sender->token, sizeof(token));
	token[WIRE_TOKEN_BYTES - 1] ^= 1;
	raw_preamble(fd, WIRE_ROLE_DATA, 0, 7, token);
	return fd;
}

static int says_data_without_a_token(uint16_t port, const struct raw_sender *sender)
{
	int fd = raw_connect(port);

	(void)sender;
	raw_preamble(fd, WIRE_ROLE_DATA, 0, 1, NULL);
	return fd;
}

static int says_a_damaged_preamble(uint16_t port, const struct raw_sender *sender)
{
	struct wire_preamble p = { .version = 1, .role = WIRE_ROLE_CONTROL };
	uint8_t raw[WIRE_PREAMBLE_BYTES];
	int fd = raw_connect(port);

	(void)sender;
	wire_put_preamble(&p, raw);
	raw[30] ^= 4;
	raw_send(fd, raw, sizeof(raw));
	return fd;
}

static int says_something_else_than_hello(uint16_t port, const struct raw_sender *sender)
{
	struct wire_message m = { .type = WIRE_HEARTBEAT };
	int fd = raw_connect(port);

	(void)sender;
	raw_preamble(fd, WIRE_ROLE_CONTROL, 0, 0, NULL);
	raw_say(fd, &m);
	return fd;
}

static int says_a_damaged_hello(uint16_t port, const struct raw_sender *sender)
{
	struct wire_message m = { .type = WIRE_HELLO, .hello = raw_hello(1, 4096) };
	uint8_t frame[WIRE_MAX_FRAME];
	size_t size = wire_put_message(&m, frame);
	int fd = raw_connect(port);

	(void)sender;
	frame[20] ^= 1;
	raw_preamble(fd, WIRE_ROLE_CONTROL, 0, 0, NULL);
	raw_send(fd, frame, size);
	return fd;
}

/* The layout of HELLO, for fields that the encoder or the decoder would not let through. */
static int say_changed_hello(uint16_t port, size_t offset, unsigned bytes, uint64_t value)
{
	struct wire_message m = { .type = WIRE_HELLO, .hello = raw_hello(1, 4096) };
	uint8_t frame[WIRE_MAX_FRAME];
	size_t size = wire_put_message(&m, frame);
	int fd = raw_connect(port);
	uint64_t sum;

	for (unsigned i = 0; i < bytes; i++)
		frame[WIRE_FRAME_HEAD_BYTES + offset + i] = (uint8_t)(value >>
								      (8 * (bytes - 1 - i)));
	sum = hash_bytes(frame, size - WIRE_FRAME_TAIL_BYTES);
	for (unsigned i = 0; i < 8; i++)
		frame[size - WIRE_FRAME_TAIL_BYTES + i] = (uint8_t)(sum >> (56 - 8 * i));
	raw_preamble(fd, WIRE_ROLE_CONTROL, 0, 0, NULL);
	raw_send(fd, frame, size);
	return fd;
}

static int says_hello_for_129_channels(uint16_t port, const struct raw_sender *sender)
{
	(void)sender;
	return say_changed_hello(port, 12, 4, 129);
}

static int says_hello_with_pages_of_8192_bytes(uint16_t port, const struct raw_sender *sender)
{
	(void)sender;
	return say_changed_hello(port, 4, 4, 8192);
}

static stranger_fn *const strangers[] = {
	says_junk,
	says_half_a_preamble,
	says_nothing_and_goes,
	says_data_with_a_wrong_token,
	says_data_without_a_token,
	says_a_damaged_preamble,
	says_something_else_than_hello,
	says_a_damaged_hello,
	says_hello_for_129_channels,
	says_hello_with_pages_of_8192_bytes,
};

static void strangers_before_a_session_are_dropped_and_disturb_nobody(void **state)
{
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	for (unsigned i = 0; i < TESTING_COUNT(strangers); i++) {
		int fd = strangers[i](s.pair.port, NULL);

		if (fd >= 0) {
			raw_expect_dropped(fd);
		}
	}
	s.pair.channels = 8;
	real_sender_works(&s);
	assert_true(s.pair.dropped >= TESTING_COUNT(strangers));
}

static void strangers_during_a_session_are_dropped_and_disturb_nobody(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_open(&s, &sender, __func__, 3);
	raw_pages(&sender, 0, 0, &s.image, 0, 8);
	for (unsigned i = 0; i < TESTING_COUNT(strangers); i++) {
		int fd = strangers[i](s.pair.port, &sender);

		if (fd >= 0) {
			raw_expect_dropped(fd);
		}
	}
	scene_send_from(&sender, &s.image, 1);
	scene_finish(&s, &sender);
	assert_true(s.pair.dropped >= TESTING_COUNT(strangers));
}

static void a_data_connection_for_no_channel_is_dropped(void **state)
{
	static const uint32_t wrong[] = { 2, 3, 127 };
	struct raw_sender sender;
	struct testing_scene s;
	int fd;

	(void)state;
	scene_open(&s, &sender, __func__, 2);
	for (unsigned i = 0; i < TESTING_COUNT(wrong); i++) {
		fd = raw_open_data(&sender, wrong[i], 1);
		raw_expect_dropped(fd);
	}
	scene_send_rest(&s, &sender);
}

/* Beyond what a preamble may say at all. */
static void a_data_connection_with_the_largest_channel_number_is_dropped(void **state)
{
	static const uint32_t wrong[] = { 128, 0x7fffffff, 0x80000000, 0xffffffff };
	struct wire_preamble p = { .version = 1, .role = WIRE_ROLE_DATA, .generation = 1 };
	uint8_t raw[WIRE_PREAMBLE_BYTES];
	struct raw_sender sender;
	struct testing_scene s;
	int fd;

	(void)state;
	scene_open(&s, &sender, __func__, 2);
	memcpy(p.token, sender.token, sizeof(p.token));
	for (unsigned i = 0; i < TESTING_COUNT(wrong); i++) {
		p.channel = wrong[i];
		wire_put_preamble(&p, raw);
		fd = raw_connect(s.pair.port);
		raw_send(fd, raw, sizeof(raw));
		raw_expect_dropped(fd);
	}
	scene_send_rest(&s, &sender);
}

static void a_second_connection_with_the_same_id_is_dropped(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;
	int fd;

	(void)state;
	scene_open(&s, &sender, __func__, 2);
	fd = raw_open_data(&sender, 1, 1);
	raw_expect_dropped(fd);
	scene_send_rest(&s, &sender);
}

static void a_second_sender_is_refused_with_75(void **state)
{
	const struct wire_hello hello = raw_hello(4, 4096);
	struct raw_sender sender;
	struct wire_message m;
	struct testing_scene s;
	int fd;

	(void)state;
	scene_open(&s, &sender, __func__, 2);
	fd = raw_open_control(s.pair.port, &hello);
	raw_expect(fd, WIRE_REFUSE, &m);
	assert_int_equal(m.problem.status, MFD_TRY_AGAIN);
	raw_expect_dropped(fd);
	scene_send_rest(&s, &sender);
}

static void who_waits_when_the_session_ends_is_refused_with_75(void **state)
{
	static const char *const texts[] = { "the session is over", "between two sessions" };
	const struct wire_hello hello = raw_hello(4, 4096);
	struct raw_sender sender;
	struct wire_message m;
	struct testing_scene s;
	int early, late;

	(void)state;
	for (unsigned resume = 0; resume < 2; resume++) {
		testing_scene_init(&s, __func__);
		s.pair.resume = resume;
		assert_true(testing_start_receiver(&s.pair));
		raw_open(&sender, s.pair.port, 1, s.image.size);
		early = raw_connect(s.pair.port);
		raw_preamble(early, WIRE_ROLE_CONTROL, 0, 0, NULL);
		/* An answer to one that came later: the other one is in. */
		late = raw_open_control(s.pair.port, &hello);
		raw_expect(late, WIRE_REFUSE, &m);
		raw_close(&sender);
		raw_expect(early, WIRE_REFUSE, &m);
		assert_int_equal(m.problem.status, MFD_TRY_AGAIN);
		assert_non_null(strstr(m.problem.text, texts[resume]));
		raw_expect_closed(early);
		close(early);
		close(late);
		testing_join(&s.pair);
		assert_false(s.pair.receiver.ok);
		testing_scene_destroy(&s);
	}
}

/* ---- HELLO. ---- */

static void refused_hello(const char *name, const struct wire_hello *hello, enum mfd_status status,
			  const char *text)
{
	struct wire_message m;
	struct testing_scene s;
	int fd;

	testing_scene_init(&s, name);
	s.pair.max_channels = 8;
	assert_true(testing_start_receiver(&s.pair));
	fd = raw_open_control(s.pair.port, hello);
	raw_expect(fd, WIRE_REFUSE, &m);
	assert_int_equal(m.problem.status, status);
	if (!strstr(m.problem.text, text))
		fail_msg("%s", m.problem.text);
	raw_expect_dropped(fd);
	real_sender_works(&s);
}

static void a_hello_of_another_version_is_refused_with_76(void **state)
{
	struct wire_hello hello = raw_hello(4, 4096);

	(void)state;
	hello.version_min = 2;
	hello.version_max = 9;
	refused_hello(__func__, &hello, MFD_PROTOCOL, "versions 2 to 9");
}

static void a_hello_that_also_speaks_newer_versions_is_welcome(void **state)
{
	struct wire_message m;
	struct wire_hello hello = raw_hello(4, 4096);
	struct testing_scene s;
	int fd;

	(void)state;
	scene_begin(&s, __func__);
	hello.version_max = 300;
	hello.methods = 0x80000001; /* one that nobody knows */
	fd = raw_open_control(s.pair.port, &hello);
	raw_expect(fd, WIRE_WELCOME, &m);
	assert_int_equal(m.welcome.version, 1);
	assert_int_equal(m.welcome.methods, 1);
	close(fd);
	testing_join(&s.pair);
	assert_int_equal(s.pair.receiver.error.status, MFD_TRY_AGAIN);
	testing_scene_destroy(&s);
}

static void more_channels_than_allowed_are_refused_with_78(void **state)
{
	const struct wire_hello hello = raw_hello(9, 4096);

	(void)state;
	refused_hello(__func__, &hello, MFD_CONFIG, "--max-channels");
}

static void two_regions_are_refused_with_76(void **state)
{
	struct wire_hello hello = raw_hello(4, 8192);

	(void)state;
	hello.regions = 2;
	hello.region[1] = hello.region[0];
	hello.region[1].id = 1;
	refused_hello(__func__, &hello, MFD_PROTOCOL, "one region");
}

static void an_image_over_the_limit_is_73_at_both(void **state)
{
	struct testing_scene s;

	(void)state;
	for (unsigned stream = 0; stream < 2; stream++) {
		testing_scene_init(&s, __func__);
		testing_source_init(&s.source, &s.image, !stream);
		s.pair.max_size = TESTING_SCENE_BYTES - 1 - stream * PAGE_BYTES;
		assert_true(testing_run(&s.pair));
		assert_int_equal(s.pair.sender.error.status, MFD_CANT_CREATE);
		assert_int_equal(s.pair.receiver.error.status, MFD_CANT_CREATE);
		assert_true(s.pair.sender.error.remote);
		assert_false(s.sink.committed);
		testing_scene_destroy(&s);

		testing_scene_init(&s, __func__);
		testing_source_init(&s.source, &s.image, !stream);
		s.pair.max_size = TESTING_SCENE_BYTES;
		assert_true(testing_run(&s.pair));
		assert_true(testing_agreed(&s.pair));
		testing_scene_destroy(&s);
	}
}

/* ---- Orders. ---- */

static void channels_may_come_in_any_order(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (unsigned times = 0; times < testing_sweep(20, 500); times++) {
		uint32_t order[16];
		struct raw_sender sender;
		struct testing_scene s;

		for (uint32_t i = 0; i < 16; i++) {
			uint32_t other = testing_random(&seed) % (i + 1);

			order[i] = order[other];
			order[other] = i;
		}
		scene_begin(&s, __func__);
		raw_begin(&sender, s.pair.port, 16, s.image.size);
		for (uint32_t i = 0; i < 16; i++)
			sender.data[order[i]] = raw_open_data(&sender, order[i], 1);
		scene_send_rest(&s, &sender);
	}
}

/* Packets before the others are there, a preamble in two pieces, a generation that is not 1. */
static void channels_may_come_late_and_in_pieces(void **state)
{
	struct wire_preamble p = { .version = 1,
				   .role = WIRE_ROLE_DATA,
				   .channel = 1,
				   .generation = 77 };
	uint8_t raw[WIRE_PREAMBLE_BYTES];
	struct raw_sender sender;
	struct wire_message m;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_begin(&sender, s.pair.port, 2, s.image.size);
	sender.data[0] = raw_open_data(&sender, 0, 1);
	sender.data[1] = raw_connect(s.pair.port);
	memcpy(p.token, sender.token, sizeof(p.token));
	wire_put_preamble(&p, raw);
	raw_send(sender.data[1], raw, 10);
	raw_pages(&sender, 0, 0, &s.image, 0, 8);
	raw_expect(sender.control, WIRE_ACK, &m);
	raw_send(sender.data[1], raw + 10, sizeof(raw) - 10);
	scene_send_from(&sender, &s.image, 1);
	scene_finish(&s, &sender);
}

static void channels_that_never_come_end_both_with_75(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	testing_scene_init(&s, __func__);
	s.pair.timeout_ms = 300;
	assert_true(testing_start_receiver(&s.pair));
	raw_begin(&sender, s.pair.port, 2, s.image.size);
	sender.data[0] = raw_open_data(&sender, 0, 1);
	/* Not that silence on control either is noticed: whichever comes first. */
	raw_expect_closed(sender.control);
	raw_close(&sender);
	testing_join(&s.pair);
	assert_int_equal(s.pair.receiver.error.status, MFD_TRY_AGAIN);
	assert_false(s.sink.committed);
	testing_scene_destroy(&s);
}

/* ---- Patience: the only test that waits for it. ---- */

static void silent_strangers_are_dropped_after_ten_seconds_and_disturb_nobody(void **state)
{
	const uint64_t began = clock_ns();
	struct raw_sender sender;
	struct testing_scene s;
	int silent[3];

	(void)state;
	scene_begin(&s, __func__);
	silent[0] = raw_connect(s.pair.port);
	silent[1] = raw_connect(s.pair.port);
	raw_send(silent[1], "\x89MFD", 4);
	silent[2] = raw_connect(s.pair.port);
	raw_preamble(silent[2], WIRE_ROLE_CONTROL, 0, 0, NULL);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	raw_pages(&sender, 0, 0, &s.image, 0, 8);
	for (unsigned i = 0; i < 3; i++) {
		raw_expect_dropped(silent[i]);
	}
	assert_true(clock_ns() - began > 9 * CLOCK_NS_PER_S);
	assert_true(clock_ns() - began < 15 * CLOCK_NS_PER_S);
	scene_send_from(&sender, &s.image, 1);
	scene_finish(&s, &sender);
	assert_int_equal(s.pair.dropped, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strangers_before_a_session_are_dropped_and_disturb_nobody),
		cmocka_unit_test(strangers_during_a_session_are_dropped_and_disturb_nobody),
		cmocka_unit_test(a_data_connection_for_no_channel_is_dropped),
		cmocka_unit_test(a_data_connection_with_the_largest_channel_number_is_dropped),
		cmocka_unit_test(a_second_connection_with_the_same_id_is_dropped),
		cmocka_unit_test(a_second_sender_is_refused_with_75),
		cmocka_unit_test(who_waits_when_the_session_ends_is_refused_with_75),
		cmocka_unit_test(a_hello_of_another_version_is_refused_with_76),
		cmocka_unit_test(a_hello_that_also_speaks_newer_versions_is_welcome),
		cmocka_unit_test(more_channels_than_allowed_are_refused_with_78),
		cmocka_unit_test(two_regions_are_refused_with_76),
		cmocka_unit_test(an_image_over_the_limit_is_73_at_both),
		cmocka_unit_test(channels_may_come_in_any_order),
		cmocka_unit_test(channels_may_come_late_and_in_pieces),
		cmocka_unit_test(channels_that_never_come_end_both_with_75),
		cmocka_unit_test(silent_strangers_are_dropped_after_ten_seconds_and_disturb_nobody),
	};

	return cmocka_run_group_tests_name("lobby", tests, NULL, NULL);
}
