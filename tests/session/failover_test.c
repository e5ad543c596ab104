/* SPDX-License-Identifier: MIT */
/*
 * Data channels die, and the transfer goes on: every page arrives once in each round, in order,
 * both ends say 0 and agree on what was moved.  Only when nothing arrives any more, on no channel,
 * both end with 75.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "common/testing.h"
#include "session/scenes.h"

static const struct method_ops *const methods[] = { &method_none, &method_zlib, &method_zstd };

/* Another image than the usual one. */
static void use_image(struct testing_scene *s, const struct testing_image *image, bool rereadable)
{
	testing_sink_destroy(&s->sink);
	s->image = *image;
	testing_source_init(&s->source, image, rereadable);
	testing_sink_init(&s->sink, image);
}

static void expect_survived(const struct testing_scene *s, uint64_t failovers)
{
	expect_complete(s);
	if (s->pair.sender.stats.failovers < failovers ||
	    s->pair.receiver.stats.failovers < failovers)
		fail_msg("failovers: %llu at the sender, %llu at the receiver",
			 (unsigned long long)s->pair.sender.stats.failovers,
			 (unsigned long long)s->pair.receiver.stats.failovers);
}

static struct testing_faults one_fault(uint32_t channel, enum testing_fault_kind kind, bool sending,
				       uint64_t at, unsigned connections)
{
	return (struct testing_faults){ { { channel, kind, sending, at, connections } },
					.count = 1 };
}

/* ---- One at a time. ---- */

static void any_channel_may_die_anywhere(void **state)
{
	struct testing_scene *s;
	unsigned struck = 0;
	uint64_t seed = 17;

	(void)state;
	for (unsigned round = 0; round < testing_sweep(12, 300); round++) {
		s = scenes_new(__func__);
		for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
			const struct testing_image image = { .seed = seed,
							     .size = TESTING_SCENE_BYTES - i * 1000,
							     .kind = TESTING_MIXED,
							     .rounds = 1 + round % 3 };
			const uint64_t most = i % 4 ? 20 * TESTING_PACKET_BYTES : 200;

			use_image(&s[i], &image, (i >> 2) % 2);
			*(i & 2 ? &s[i].pair.send_faults : &s[i].pair.recv_faults) =
				one_fault(i % 4, i & 1 ? TESTING_RST : TESTING_FIN, i & 2,
					  testing_random(&seed) % most, 1);
			s[i].pair.method = methods[testing_random(&seed) % 3];
		}
		assert_true(testing_scenes_run(s, SCENES_TOGETHER));
		for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
			struck += s[i].pair.send_faults.fired + s[i].pair.recv_faults.fired;
			expect_complete(&s[i]);
		}
		scenes_free(s);
	}
	assert_true(struck > 8 * SCENES_TOGETHER / 2);
}

/*
 * One channel carries all; the sender's bytes begin with the preamble, and each packet has the same
 * size.
 */
static void a_stream_may_be_cut_between_any_two_packets(void **state)
{
	const unsigned cuts =
		(unsigned)(TESTING_SCENE_BYTES / (TESTING_SCENE_PAGES * PAGE_BYTES)) + 1;
	struct testing_scene *s;

	(void)state;
	for (unsigned from = 0; from < cuts; from += SCENES_TOGETHER) {
		s = scenes_new(__func__);
		for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
			const uint64_t packets = (from + i) % cuts;

			s[i].pair.channels = 1;
			s[i].pair.send_faults =
				one_fault(0, i % 2 ? TESTING_FIN : TESTING_RST, true,
					  WIRE_PREAMBLE_BYTES + packets * TESTING_PACKET_BYTES, 1);
		}
		assert_true(testing_scenes_run(s, SCENES_TOGETHER));
		for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
			assert_int_equal(s[i].pair.send_faults.fired, 1);
			expect_survived(&s[i], 1);
			assert_int_equal(s[i].pair.sender.stats.failovers, 1);
			assert_int_equal(s[i].pair.receiver.stats.failovers, 1);
		}
		scenes_free(s);
	}
}

/*
 * An image of one packet, which only one channel gets: the others carry their SYNC alone, and it is
 * that which is cut.
 */
static void a_channel_may_die_at_its_sync(void **state)
{
	const struct testing_image image = { .seed = 3,
					     .size = TESTING_SCENE_PAGES * PAGE_BYTES,
					     .kind = TESTING_RANDOM,
					     .rounds = 3 };
	struct testing_scene *s;

	(void)state;
	for (unsigned rereadable = 0; rereadable < 2; rereadable++) {
		s = scenes_new(__func__);
		for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
			use_image(&s[i], &image, rereadable);
			*(i & 8 ? &s[i].pair.send_faults : &s[i].pair.recv_faults) =
				one_fault(i % 4, i & 4 ? TESTING_FIN : TESTING_RST, i & 8,
					  (i & 8 ? WIRE_PREAMBLE_BYTES : 0) + 40, 1);
		}
		assert_true(testing_scenes_run(s, SCENES_TOGETHER));
		for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
			assert_int_equal(s[i].pair.send_faults.fired + s[i].pair.recv_faults.fired,
					 1);
			expect_complete(&s[i]);
		}
		scenes_free(s);
	}
}

/* The preamble of the k-th data connection does not get through. */
static void a_data_connection_may_fail_at_once(void **state)
{
	struct testing_scene *s = scenes_new(__func__);

	(void)state;
	for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
		s[i].pair.channels = SCENES_TOGETHER;
		s[i].pair.send_faults =
			one_fault(i, i & 1 ? TESTING_FIN : TESTING_RST, true, i * 4, 1);
	}
	assert_true(testing_scenes_run(s, SCENES_TOGETHER));
	for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
		assert_int_equal(s[i].pair.send_faults.fired, 1);
		expect_complete(&s[i]);
	}
	scenes_free(s);
}

/* ---- Many. ---- */

/* Each set of two and three of the four, and some of one: by bits of i. */
static void several_channels_may_die_at_once(void **state)
{
	struct testing_scene *s;

	(void)state;
	for (unsigned way = 0; way < 4; way++) {
		s = scenes_new(__func__);
		for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
			const struct testing_image image = { .seed = i,
							     .size = 2 * TESTING_SCENE_BYTES,
							     .kind = TESTING_MIXED,
							     .rounds = 1 + way % 2 };
			struct testing_faults *f =
				way & 1 ? &s[i].pair.send_faults : &s[i].pair.recv_faults;

			use_image(&s[i], &image, way & 2);
			for (uint32_t c = 0; c < 4; c++)
				if (i >> c & 1)
					f->fault[f->count++] = (struct testing_fault){
						c, (c + i) & 1 ? TESTING_RST : TESTING_FIN, way & 1,
						3000, 1
					};
			s[i].sink.slow_writes = 5;
		}
		assert_true(testing_scenes_run(s, SCENES_TOGETHER));
		for (unsigned i = 0; i < SCENES_TOGETHER; i++)
			expect_complete(&s[i]);
		scenes_free(s);
	}
}

static void all_channels_may_die_at_once(void **state)
{
	struct testing_scene *s = scenes_new(__func__);
	unsigned struck = 0;

	(void)state;
	for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
		const struct testing_image image = { .seed = i,
						     .size = 2 * TESTING_SCENE_BYTES,
						     .kind = TESTING_ALTERNATING,
						     .rounds = 1 + i % 3 };

		use_image(&s[i], &image, i & 8);
		*(i & 4 ? &s[i].pair.send_faults : &s[i].pair.recv_faults) =
			one_fault(TESTING_EVERY, i & 1 ? TESTING_RST : TESTING_FIN, i & 4,
				  100 + i * 5000, 1 + i % 4);
	}
	/* That is also control's first connection, which carries less, but for the first. */
	for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
		struct testing_faults *f = i & 4 ? &s[i].pair.send_faults : &s[i].pair.recv_faults;

		for (unsigned c = 0; c < 4; c++) {
			f->fault[c] = f->fault[0];
			f->fault[c].channel = c;
		}
		f->count = 4;
	}
	assert_true(testing_scenes_run(s, SCENES_TOGETHER));
	for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
		struck += s[i].pair.send_faults.fired + s[i].pair.recv_faults.fired;
		expect_complete(&s[i]);
	}
	assert_true(struck > 3 * SCENES_TOGETHER);
	scenes_free(s);
}

/* Each new connection of it dies as well. */
static void a_channel_that_never_works_is_done_without(void **state)
{
	struct testing_scene *s = scenes_new(__func__);

	(void)state;
	for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
		const struct testing_image image = { .seed = i,
						     .size = TESTING_SCENE_BYTES,
						     .kind = TESTING_MIXED,
						     .rounds = 1 + i % 3 };

		use_image(&s[i], &image, i & 8);
		*(i & 4 ? &s[i].pair.send_faults : &s[i].pair.recv_faults) =
			one_fault(i % 4, i & 1 ? TESTING_RST : TESTING_FIN, i & 4, i * 10, 0);
	}
	assert_true(testing_scenes_run(s, SCENES_TOGETHER));
	for (unsigned i = 0; i < SCENES_TOGETHER; i++)
		expect_survived(&s[i], 1);
	scenes_free(s);
}

/* A channel of either end loses its connection, every @ms, until the pair has ended. */
struct killer {
	struct testing_pair *pair;
	unsigned ms;
	pthread_t thread;
	_Atomic bool stop;
	unsigned kills;
};

static void *kill_often(void *opaque)
{
	struct killer *k = opaque;
	uint64_t seed = 23;

	while (!k->stop) {
		const uint64_t r = testing_random(&seed);
		struct testing_faults *f = r & 1 ? &k->pair->send_faults : &k->pair->recv_faults;

		testing_pause_ms(k->ms);
		k->kills += testing_kill(f, (uint32_t)(r >> 8) % k->pair->channels,
					 r & 2 ? TESTING_RST : TESTING_FIN);
	}
	return NULL;
}

static void one_channel_every_100_ms_for_a_whole_transfer(void **state)
{
	struct testing_scene *s = scenes_new(__func__);
	struct killer killer[6] = { 0 };
	const unsigned count = TESTING_COUNT(killer);

	(void)state;
	for (unsigned i = 0; i < count; i++) {
		const struct testing_image image = { .seed = i,
						     .size = 3 * TESTING_SCENE_BYTES,
						     .kind = TESTING_MIXED,
						     .rounds = 1 + i % 3 };

		use_image(&s[i], &image, i & 1);
		s[i].pair.bytes_per_second = 1u << 20;
		s[i].pair.method = methods[i % 3];
		killer[i].pair = &s[i].pair;
		killer[i].ms = i < 4 ? 100 : 10;
		assert_true(testing_start(&s[i].pair));
		assert_int_equal(pthread_create(&killer[i].thread, NULL, kill_often, &killer[i]),
				 0);
	}
	for (unsigned i = 0; i < count; i++) {
		pthread_join(s[i].pair.sender.thread, NULL);
		killer[i].stop = true;
		pthread_join(killer[i].thread, NULL);
		s[i].pair.sender.started = false;
		send_session_stats(s[i].pair.sender.send, &s[i].pair.sender.stats);
		testing_join(&s[i].pair);
		assert_true(killer[i].kills > 5);
		expect_survived(&s[i], 3);
	}
	scenes_free(s);
}

/* The output is being flushed: nothing is to be done about it. */
static void channels_may_die_at_the_end(void **state)
{
	struct testing_scene s;
	struct mfd_stats stats;
	unsigned waited = 0;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		const struct testing_image image = { .seed = i,
						     .size = TESTING_SCENE_BYTES,
						     .kind = TESTING_RANDOM,
						     .rounds = 1 };

		testing_scene_init(&s, __func__);
		use_image(&s, &image, i & 4);
		s.sink.commit_ms = 1000;
		s.pair.timeout_ms = 500;
		assert_true(testing_start(&s.pair));
		do
			send_session_stats(s.pair.sender.send, &stats);
		while (testing_patience(&waited, stats.phase == MFD_FLUSHING));
		for (unsigned c = 0; c < s.pair.channels; c++)
			testing_kill(i & 1 ? &s.pair.send_faults : &s.pair.recv_faults, c,
				     i & 2 ? TESTING_RST : TESTING_FIN);
		testing_join(&s.pair);
		expect_complete(&s);
		testing_scene_destroy(&s);
	}
}

/* ---- What must hold. ---- */

/* The dying channel's last write is slow; its page is sent again in the next round, on another. */
static void a_slow_write_of_a_lost_channel_never_overtakes(void **state)
{
	struct testing_scene *s = scenes_new(__func__);

	(void)state;
	for (unsigned i = 0; i < SCENES_TOGETHER; i++) {
		const struct testing_image image = { .seed = i,
						     .size = TESTING_SCENE_BYTES / 4,
						     .kind = TESTING_RANDOM,
						     .rounds = 4 };

		use_image(&s[i], &image, true);
		s[i].sink.write_ms = 60;
		s[i].sink.slow_writes = 12;
		*(i & 1 ? &s[i].pair.send_faults : &s[i].pair.recv_faults) =
			one_fault(i % 4, i & 2 ? TESTING_RST : TESTING_FIN, i & 1,
				  3 * TESTING_PACKET_BYTES + i * 1000, 1);
	}
	assert_true(testing_scenes_run(s, SCENES_TOGETHER));
	for (unsigned i = 0; i < SCENES_TOGETHER; i++)
		expect_complete(&s[i]);
	scenes_free(s);
}

/* A packet may have been written in part: its zero pages are not skipped even in a new output. */
static void zero_pages_that_are_sent_again_are_written(void **state)
{
	const struct testing_image image = {
		.seed = 5, .size = TESTING_SCENE_BYTES, .kind = TESTING_ALTERNATING, .rounds = 1
	};
	struct testing_scene s;

	(void)state;
	for (unsigned lost = 0; lost < 2; lost++) {
		testing_scene_init(&s, __func__);
		use_image(&s, &image, true);
		s.pair.channels = 1;
		if (lost)
			s.pair.send_faults = one_fault(0, TESTING_RST, true, 100000, 1);
		assert_true(testing_run(&s.pair));
		expect_complete(&s);
		assert_true(s.sink.zeroed_fresh > 0);
		assert_int_equal(s.sink.zeroed > 0, lost);
		testing_scene_destroy(&s);
	}
}

/* What a connection has swallowed arrives although the input has nothing to say meanwhile. */
static void an_idle_input_holds_nothing_back(void **state)
{
	struct testing_scene *s = scenes_new(__func__);

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		const struct testing_image image = {
			.seed = i, .size = TESTING_SCENE_BYTES, .kind = TESTING_RANDOM, .rounds = 1
		};

		use_image(&s[i], &image, i & 1);
		s[i].pair.timeout_ms = 500;
		s[i].source.next_ms = 2500;
		s[i].pair.send_faults =
			one_fault(i & 2 ? 0 : TESTING_EVERY, TESTING_HOLE, true, 20000, 1);
		s[i].pair.send_faults.fault[0].channel = 1;
	}
	assert_true(testing_scenes_run(s, 4));
	for (unsigned i = 0; i < 4; i++)
		expect_survived(&s[i], 1);
	scenes_free(s);
}

/* ---- Silence. ---- */

static void a_silent_channel_is_replaced(void **state)
{
	static const struct {
		bool at_sender;
		struct testing_fault fault;
	} silent[] = {
		{ true, { 1, TESTING_HOLE, true, 0, 1 } },
		{ true, { 1, TESTING_HOLE, true, WIRE_PREAMBLE_BYTES, 1 } },
		{ true, { 1, TESTING_HOLE, true, WIRE_PREAMBLE_BYTES + 100, 1 } },
		{ true, { 2, TESTING_STALL, true, 10, 1 } },
		{ true, { 2, TESTING_STALL, true, WIRE_PREAMBLE_BYTES + 5000, 1 } },
		{ false, { 3, TESTING_STALL, false, 0, 1 } },
		{ false, { 3, TESTING_STALL, false, 79, 1 } },
		{ false, { 0, TESTING_STALL, false, 10000, 1 } },
	};
	struct testing_scene *s = scenes_new(__func__);

	(void)state;
	for (unsigned i = 0; i < 2 * TESTING_COUNT(silent); i++) {
		struct testing_faults f = { .fault = { silent[i / 2].fault }, .count = 1 };

		if (i % 2)
			use_image(&s[i], &s[i].image, false);
		*(silent[i / 2].at_sender ? &s[i].pair.send_faults : &s[i].pair.recv_faults) = f;
		s[i].pair.timeout_ms = 800;
		s[i].pair.bytes_per_second = 4u << 20; /* packets for all channels */
	}
	assert_true(testing_scenes_run(s, 2 * TESTING_COUNT(silent)));
	for (unsigned i = 0; i < 2 * TESTING_COUNT(silent); i++) {
		if (!s[i].pair.send_faults.fired && !s[i].pair.recv_faults.fired)
			fail_msg("case %u did not happen", i);
		expect_complete(&s[i]);
	}
	scenes_free(s);
}

/* No channel brings anything any more, in one way or another, while control is well. */
static void when_nothing_arrives_any_more_both_end_with_75_within_the_timeout(void **state)
{
	static const enum testing_fault_kind kinds[] = { TESTING_RST, TESTING_FIN, TESTING_HOLE,
							 TESTING_STALL };
	struct testing_scene *s = scenes_new(__func__);
	const uint64_t began = clock_ns();

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct testing_faults f = { .count = 4 };

		for (unsigned c = 0; c < 4; c++)
			f.fault[c] = (struct testing_fault){ c, kinds[i / 2], true,
							     WIRE_PREAMBLE_BYTES + 100, 0 };
		if (i % 2)
			use_image(&s[i], &s[i].image, false);
		s[i].pair.send_faults = f;
		s[i].pair.timeout_ms = 800;
	}
	assert_true(testing_scenes_run(s, 8));
	for (unsigned i = 0; i < 8; i++) {
		const struct testing_end *sender = &s[i].pair.sender,
					 *receiver = &s[i].pair.receiver;

		if (sender->ok || receiver->ok || sender->error.status != MFD_TRY_AGAIN ||
		    receiver->error.status != MFD_TRY_AGAIN)
			fail_msg("case %u: sender %d: %s; receiver %d: %s", i, sender->error.status,
				 sender->error.text, receiver->error.status, receiver->error.text);
		assert_non_null(
			strstr(sender->error.text, "nothing has arrived on any channel for 0.8 s"));
		assert_false(s[i].sink.committed);
		/*
		 * A silent channel takes a timeout to be noticed, then the one without progress,
		 * and the grace; and slack.
		 */
		assert_true(sender->ended_ns - began < 8 * CLOCK_NS_PER_S);
		assert_true(receiver->ended_ns - began < 8 * CLOCK_NS_PER_S);
	}
	scenes_free(s);
}

/*
 * All channels but one are lost again and again; that one waits for a slow disk, which is healthy.
 */
static void a_slow_sink_beside_a_lost_channel_is_healthy(void **state)
{
	struct testing_scene s;

	(void)state;
	testing_scene_init(&s, __func__);
	s.pair.timeout_ms = 500;
	s.pair.channels = 2;
	s.sink.write_ms = 1500;
	s.sink.slow_writes = 2;
	s.pair.send_faults = one_fault(1, TESTING_RST, true, WIRE_PREAMBLE_BYTES, 0);
	assert_true(testing_run(&s.pair));
	expect_survived(&s, 1);
	testing_scene_destroy(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_channel_may_die_anywhere),
		cmocka_unit_test(a_stream_may_be_cut_between_any_two_packets),
		cmocka_unit_test(a_channel_may_die_at_its_sync),
		cmocka_unit_test(a_data_connection_may_fail_at_once),
		cmocka_unit_test(several_channels_may_die_at_once),
		cmocka_unit_test(all_channels_may_die_at_once),
		cmocka_unit_test(a_channel_that_never_works_is_done_without),
		cmocka_unit_test(one_channel_every_100_ms_for_a_whole_transfer),
		cmocka_unit_test(channels_may_die_at_the_end),
		cmocka_unit_test(a_slow_write_of_a_lost_channel_never_overtakes),
		cmocka_unit_test(zero_pages_that_are_sent_again_are_written),
		cmocka_unit_test(an_idle_input_holds_nothing_back),
		cmocka_unit_test(a_silent_channel_is_replaced),
		cmocka_unit_test(when_nothing_arrives_any_more_both_end_with_75_within_the_timeout),
		cmocka_unit_test(a_slow_sink_beside_a_lost_channel_is_healthy),
	};

	return cmocka_run_group_tests_name("failover", tests, NULL, NULL);
}
