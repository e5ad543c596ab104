/* SPDX-License-Identifier: MIT */
/*
 * What goes wrong while an image is moved: at the source, at the sink, on the wire.  Whatever it
 * is, both ends end, in time and with the reason, and nothing is committed; and what only looks
 * wrong (a slow disk, an idle input, single bytes) is no failure.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "common/raw.h"
#include "common/testing.h"
#include "session/scenes.h"

static const struct method_ops *const methods[] = { &method_none, &method_zlib, &method_zstd };

static void expect_failure(const struct testing_scene *s, enum mfd_status sender,
			   enum mfd_status receiver)
{
	if (s->pair.sender.ok || s->pair.receiver.ok || s->pair.sender.error.status != sender ||
	    s->pair.receiver.error.status != receiver)
		fail_msg("sender %d (%d: %s), receiver %d (%d: %s); expected %d, %d",
			 s->pair.sender.ok, s->pair.sender.error.status, s->pair.sender.error.text,
			 s->pair.receiver.ok, s->pair.receiver.error.status,
			 s->pair.receiver.error.text, sender, receiver);
	assert_false(s->sink.committed);
	assert_false(s->pair.sender.stats.committed);
	assert_false(s->pair.receiver.stats.committed);
}

static void expect_text(const struct mfd_error *err, bool remote, const char *text)
{
	assert_int_equal(err->remote, remote);
	if (!strstr(err->text, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err->text);
}

/* ---- Source and sink. ---- */

static void source_fails(enum mfd_status status, const char *text)
{
	const uint64_t pages[] = { 0, 1, 100, 254, 255 };

	for (unsigned i = 0; i < 2 * TESTING_COUNT(pages); i++) {
		struct testing_scene s;

		testing_scene_init(&s, __func__);
		testing_source_init(&s.source, &s.image, i % 2);
		s.source.fail_page = pages[i / 2];
		s.source.fail_status = status;
		s.pair.method = methods[i % 3];
		assert_true(testing_run(&s.pair));
		expect_failure(&s, status, status);
		expect_text(&s.pair.sender.error, false, text);
		expect_text(&s.pair.receiver.error, true, text);
		testing_scene_destroy(&s);
	}
}

static void a_source_that_fails_ends_both_with_74(void **state)
{
	(void)state;
	source_fails(MFD_IO, "test image: Input/output error");
}

static void a_source_that_shrinks_ends_both_with_66(void **state)
{
	(void)state;
	source_fails(MFD_NO_INPUT, "test image: has become shorter");
}

static void a_source_that_fails_in_a_later_round_ends_both_with_74(void **state)
{
	struct testing_scene s;
	uint64_t page = 0;

	(void)state;
	testing_scene_init(&s, __func__);
	testing_scene_destroy(&s);
	s.image.rounds = 3;
	while (testing_generation(&s.image, page, 2) != 2)
		page++;
	testing_source_init(&s.source, &s.image, true);
	testing_sink_init(&s.sink, &s.image);
	s.source.fail_page = page;
	s.source.fail_round = 2;
	s.source.fail_status = MFD_IO;
	assert_true(testing_run(&s.pair));
	expect_failure(&s, MFD_IO, MFD_IO);
	assert_int_equal(s.pair.sender.stats.rounds, 2);
	testing_scene_destroy(&s);
}

static void a_full_sink_ends_both_with_its_reason(void **state)
{
	const uint64_t bytes[] = { 0, 1, 500000, TESTING_SCENE_BYTES - 1 };

	(void)state;
	for (unsigned i = 0; i < TESTING_COUNT(bytes); i++) {
		struct testing_scene s;

		testing_scene_init(&s, __func__);
		s.sink.fail_bytes = bytes[i];
		s.pair.method = methods[i % 3];
		assert_true(testing_run(&s.pair));
		expect_failure(&s, MFD_IO, MFD_IO);
		expect_text(&s.pair.receiver.error, false, "test sink: No space left on device");
		expect_text(&s.pair.sender.error, true, "test sink: No space left on device");
		testing_scene_destroy(&s);
	}
}

static void a_failing_sink_ends_both_with_its_reason(void **state)
{
	struct testing_scene s;

	(void)state;
	testing_scene_init(&s, __func__);
	s.sink.fail_bytes = 300000;
	s.sink.fail_errno = EIO;
	assert_true(testing_run(&s.pair));
	expect_failure(&s, MFD_IO, MFD_IO);
	expect_text(&s.pair.receiver.error, false, "test sink: Input/output error");
	expect_text(&s.pair.sender.error, true, "test sink: Input/output error");
	testing_scene_destroy(&s);
}

static void a_sink_that_cannot_begin_ends_both_with_73(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct testing_scene s;

		testing_scene_init(&s, __func__);
		s.sink.fail_begin = true;
		s.pair.channels = 1 + i % 16;
		assert_true(testing_run(&s.pair));
		expect_failure(&s, MFD_CANT_CREATE, MFD_CANT_CREATE);
		expect_text(&s.pair.sender.error, true, "test sink: too small");
		testing_scene_destroy(&s);
	}
}

static void a_sink_that_cannot_commit_ends_both_with_74(void **state)
{
	struct testing_scene s;

	(void)state;
	testing_scene_init(&s, __func__);
	s.sink.fail_commit = true;
	assert_true(testing_run(&s.pair));
	expect_failure(&s, MFD_IO, MFD_IO);
	expect_text(&s.pair.sender.error, true, "test sink: fsync");
	testing_scene_destroy(&s);
}

/* ---- Damage. ---- */

/* Header, bitmaps and payload, of the first packet and of later ones. */
static void a_damaged_data_packet_ends_both_with_65(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (unsigned i = 0; i < testing_sweep(60, 3000); i++) {
		struct testing_scene s;
		uint64_t at = i < 20 ? i * 5 : testing_random(&seed) % (2 * TESTING_PACKET_BYTES);

		testing_scene_init(&s, __func__);
		s.pair.channels = 1;
		s.pair.method = methods[i % 3];
		s.pair.recv_faults = (struct testing_faults){ { { 0, TESTING_FLIP, false, at, 0 } },
							      .count = 1 };
		assert_true(testing_run(&s.pair));
		assert_int_equal(s.pair.recv_faults.fired, 1);
		expect_failure(&s, MFD_DATA, MFD_DATA);
		expect_text(&s.pair.receiver.error, false, "channel 0");
		expect_text(&s.pair.sender.error, true, "channel 0");
		testing_scene_destroy(&s);
	}
}

/*
 * A damaged checksum or body is 65.  A damaged length is 76 if it is beyond the limit, and a
 * silence, hence 75, if it makes the message longer than it is.
 */
static void expect_control_damage(const struct testing_scene *s, bool at_sender)
{
	const struct testing_end *e = at_sender ? &s->pair.sender : &s->pair.receiver;

	assert_false(s->sink.committed && !s->pair.receiver.ok);
	if (s->pair.receiver.ok) /* damaged behind COMMITTED, or in it */
		return;
	assert_false(s->pair.sender.ok);
	if (e->error.status == MFD_DATA || e->error.status == MFD_PROTOCOL)
		assert_int_equal(s->pair.sender.error.status, s->pair.receiver.error.status);
	else if (e->error.status != MFD_TRY_AGAIN)
		fail_msg("%d: %s", e->error.status, e->error.text);
}

static void damaged_control_ends_both_with_the_same_class(void **state)
{
	struct testing_scene *s;
	unsigned data = 0;

	(void)state;
	for (unsigned from = 0; from < testing_sweep(128, 640); from += SCENES_TOGETHER) {
		s = scenes_new(__func__);
		for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
			const unsigned at = (from + i) / 2, at_sender = (from + i) % 2;
			const struct testing_faults f = {
				{ { TESTING_CONTROL, TESTING_FLIP, false, at, 0 } }, .count = 1
			};

			s[i].source.next_ms = 400; /* heartbeats */
			s[i].pair.timeout_ms = 800;
			s[i].pair.packet_pages = 16;
			*(at_sender ? &s[i].pair.send_faults : &s[i].pair.recv_faults) = f;
		}
		assert_true(testing_scenes_run(s, SCENES_TOGETHER));
		for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
			const unsigned at_sender = (from + i) % 2;

			if (!(at_sender ? s[i].pair.send_faults.fired
					: s[i].pair.recv_faults.fired)) {
				expect_complete(&s[i]);
				continue;
			}
			expect_control_damage(&s[i], at_sender);
			data += s[i].pair.sender.error.status == MFD_DATA &&
				s[i].pair.receiver.error.status == MFD_DATA;
		}
		scenes_free(s);
	}
	/* Most bytes are neither a length nor the last ones. */
	assert_true(data > 50);
}

/* ---- Lost connections. ---- */

/*
 * Whatever happened to control: never a sender that says 0 without an image in place, and never one
 * that is in place and said to be not.
 */
static void expect_honest(const struct testing_scene *s, bool fired)
{
	const struct testing_end *sender = &s->pair.sender, *receiver = &s->pair.receiver;

	assert_int_equal(receiver->ok, s->sink.committed);
	assert_false(sender->ok && !s->sink.committed);
	if (!fired)
		expect_complete(s);
	if (!sender->ok && sender->error.status != MFD_TRY_AGAIN)
		fail_msg("%d: %s", sender->error.status, sender->error.text);
	if (!receiver->ok)
		assert_int_equal(receiver->error.status, MFD_TRY_AGAIN);
	if (!sender->ok && receiver->ok)
		expect_text(&sender->error, false, "outcome is not known");
}

static void control_that_dies_anywhere_leaves_both_honest(void **state)
{
	struct testing_scene *s;
	unsigned failed = 0;

	(void)state;
	for (unsigned from = 0; from < testing_sweep(256, 1600); from += SCENES_TOGETHER) {
		s = scenes_new(__func__);
		for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
			const struct testing_fault fault = {
				.channel = TESTING_CONTROL,
				.kind = i & 1 ? TESTING_RST : TESTING_FIN,
				.sending = i & 2,
				.at = (from / SCENES_TOGETHER) * 16 + (i >> 3) * 8,
			};
			const struct testing_faults f = { { fault }, .count = 1 };

			*(i & 4 ? &s[i].pair.send_faults : &s[i].pair.recv_faults) = f;
			s[i].pair.accept_timeout_ms = 500;
		}
		assert_true(testing_scenes_run(s, SCENES_TOGETHER));
		for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
			expect_honest(&s[i],
				      s[i].pair.send_faults.fired || s[i].pair.recv_faults.fired);
			failed += !s[i].pair.sender.ok;
		}
		scenes_free(s);
	}
	assert_true(failed > 50);
}

/* ---- Silence. ---- */

static void silence_on_control_is_noticed_within_the_timeout(void **state)
{
	static const struct {
		bool at_sender;
		struct testing_fault fault;
	} silent[] = {
		{ true, { TESTING_CONTROL, TESTING_HOLE, true, 250, 0 } },
		{ true, { TESTING_CONTROL, TESTING_STALL, true, 250, 0 } },
		{ true, { TESTING_CONTROL, TESTING_STALL, false, 100, 0 } },
		{ false, { TESTING_CONTROL, TESTING_HOLE, true, 100, 0 } },
		{ false, { TESTING_CONTROL, TESTING_STALL, false, 10, 0 } },
	};
	struct testing_scene *s = scenes_new(__func__);
	uint64_t began;

	(void)state;
	for (unsigned i = 0; i < TESTING_COUNT(silent); i++) {
		struct testing_faults f = { .fault = { silent[i].fault }, .count = 1 };

		*(silent[i].at_sender ? &s[i].pair.send_faults : &s[i].pair.recv_faults) = f;
		s[i].pair.timeout_ms = 400;
		s[i].source.next_ms = 600; /* time for control to say something */
	}
	began = clock_ns();
	assert_true(testing_scenes_run(s, TESTING_COUNT(silent)));
	for (unsigned i = 0; i < TESTING_COUNT(silent); i++) {
		if (!(silent[i].at_sender ? s[i].pair.send_faults.fired
					  : s[i].pair.recv_faults.fired))
			fail_msg("case %u did not happen", i);
		expect_failure(&s[i], MFD_TRY_AGAIN, MFD_TRY_AGAIN);
		/* The timeout, the grace of a second, the farewell; and slack. */
		assert_true(s[i].pair.sender.ended_ns - began < 6 * CLOCK_NS_PER_S);
		assert_true(s[i].pair.receiver.ended_ns - began < 6 * CLOCK_NS_PER_S);
	}
	scenes_free(s);
}

static void slowness_that_outlasts_the_timeout_is_healthy(void **state)
{
	struct testing_scene *s = scenes_new(__func__);

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		s[i].pair.timeout_ms = 700;
	s[0].sink.write_ms = 2000;
	s[0].sink.slow_writes = 2;
	s[1].source.next_ms = 2000;
	s[2].sink.commit_ms = 2000;
	testing_source_init(&s[3].source, &s[3].image, false);
	s[3].source.next_ms = 2000;
	assert_true(testing_scenes_run(s, 4));
	for (unsigned i = 0; i < 4; i++)
		expect_complete(&s[i]);
	scenes_free(s);
}

/* One packet takes longer than the timeout, but its bytes keep coming. */
static void a_slow_network_is_healthy(void **state)
{
	struct testing_scene s;

	(void)state;
	testing_scene_init(&s, __func__);
	s.image.size = 600 * PAGE_BYTES;
	s.image.kind = TESTING_TEXT;
	testing_sink_destroy(&s.sink);
	testing_sink_init(&s.sink, &s.image);
	testing_source_init(&s.source, &s.image, true);
	s.pair.packet_pages = 300;
	s.pair.timeout_ms = 700;
	s.pair.channels = 2;
	s.pair.recv_faults = (struct testing_faults){
		{ { .channel = TESTING_EVERY, .kind = TESTING_SLOW, .at = 8 } }, .count = 1
	};
	assert_true(testing_run(&s.pair));
	expect_complete(&s);
	assert_true(s.pair.sender.stats.elapsed_ns > 1400 * CLOCK_NS_PER_MS);
	testing_scene_destroy(&s);
}

static void a_limited_bandwidth_is_kept_and_healthy(void **state)
{
	struct testing_scene s;

	(void)state;
	testing_scene_init(&s, __func__);
	s.pair.timeout_ms = 700;
	s.pair.bytes_per_second = 1u << 20;
	assert_true(testing_run(&s.pair));
	expect_complete(&s);
	assert_true(s.pair.sender.stats.elapsed_ns > 800 * CLOCK_NS_PER_MS);
	testing_scene_destroy(&s);
}

static void single_bytes_and_odd_pieces_arrive_identical(void **state)
{
	static const uint64_t pieces[] = { 1, 3, 79, 4097 };

	(void)state;
	for (unsigned i = 0; i < TESTING_COUNT(pieces); i++) {
		const struct testing_fault fault = { .channel = TESTING_EVERY,
						     .kind = TESTING_PIECES, .at = pieces[i] };
		const struct testing_faults f = { { fault }, .count = 1 };
		const struct testing_image image = {
			.seed = i, .kind = TESTING_MIXED, .rounds = 2,
			.size = 40000 * pieces[i] > 500000 ? 500000 : 40000 * pieces[i],
		};
		struct testing_source source;
		struct testing_sink sink;
		struct testing_pair p;

		testing_source_init(&source, &image, true);
		testing_sink_init(&sink, &image);
		testing_pair_init(&p, __func__, &source.source, &sink.sink);
		p.send_faults = p.recv_faults = f;
		p.method = methods[i % 3];
		assert_true(testing_run(&p));
		assert_true(testing_agreed(&p));
		assert_true(testing_sink_complete(&sink));
		testing_sink_destroy(&sink);
	}
}

/* ---- Setting up. ---- */

/* A receiver that goes away after k data connections; hundreds of times, each freed cleanly. */
static void a_data_connection_that_is_refused_ends_the_sender_with_75(void **state)
{
	const unsigned channels = 8, times = testing_sweep(25, 200);

	(void)state;
	for (unsigned i = 0; i < times * channels; i++) {
		struct raw_receiver r;
		struct testing_scene s;

		testing_scene_init(&s, __func__);
		r.listening = raw_listen(&s.pair.port);
		s.pair.channels = channels;
		assert_true(testing_start_sender(&s.pair));
		raw_welcome(&r);
		raw_accept_data(&r, i % channels);
		close(r.listening);
		r.listening = -1;
		raw_close_receiver(&r);
		testing_join(&s.pair);
		assert_false(s.pair.sender.ok);
		if (s.pair.sender.error.status != MFD_TRY_AGAIN)
			fail_msg("%d: %s", s.pair.sender.error.status, s.pair.sender.error.text);
		testing_scene_destroy(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_that_fails_ends_both_with_74),
		cmocka_unit_test(a_source_that_shrinks_ends_both_with_66),
		cmocka_unit_test(a_source_that_fails_in_a_later_round_ends_both_with_74),
		cmocka_unit_test(a_full_sink_ends_both_with_its_reason),
		cmocka_unit_test(a_failing_sink_ends_both_with_its_reason),
		cmocka_unit_test(a_sink_that_cannot_begin_ends_both_with_73),
		cmocka_unit_test(a_sink_that_cannot_commit_ends_both_with_74),
		cmocka_unit_test(a_damaged_data_packet_ends_both_with_65),
		cmocka_unit_test(damaged_control_ends_both_with_the_same_class),
		cmocka_unit_test(control_that_dies_anywhere_leaves_both_honest),
		cmocka_unit_test(silence_on_control_is_noticed_within_the_timeout),
		cmocka_unit_test(slowness_that_outlasts_the_timeout_is_healthy),
		cmocka_unit_test(a_slow_network_is_healthy),
		cmocka_unit_test(a_limited_bandwidth_is_kept_and_healthy),
		cmocka_unit_test(single_bytes_and_odd_pieces_arrive_identical),
		cmocka_unit_test(a_data_connection_that_is_refused_ends_the_sender_with_75),
	};

	return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
