/* SPDX-License-Identifier: MIT */
/*
 * A receiver and the generations of a channel's connection, with a sender by hand: fenced and
 * opened again, nothing counted twice and nothing lost, and SYNC sent again where it has to be.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "session/raw_scene.h"

static void say_down(struct raw_sender *sender, uint32_t channel, uint32_t generation)
{
	struct wire_message m = { .type = WIRE_CHANNEL_DOWN,
				  .fence = { .channel = channel, .generation = generation } };

	raw_say(sender->control, &m);
}

static uint64_t expect_fenced(struct raw_sender *sender, uint32_t channel, uint32_t generation)
{
	struct wire_message m;

	raw_expect(sender->control, WIRE_FENCED, &m);
	assert_int_equal(m.fence.channel, channel);
	assert_int_equal(m.fence.generation, generation);
	return m.fence.written;
}

static void a_channel_given_up_is_fenced_with_its_count_and_opened_again(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;
	int old;

	(void)state;
	scene_open(&s, &sender, __func__, 2);
	raw_pages(&sender, 0, 0, &s.image, 0, 8);
	raw_pages(&sender, 1, 0, &s.image, 8, 4);
	raw_pages(&sender, 1, 0, &s.image, 12, 4);
	scene_expect_ack(&sender, 1, 2);
	say_down(&sender, 1, 1);
	assert_int_equal(expect_fenced(&sender, 1, 1), 2);
	old = sender.data[1];
	raw_expect_dropped(old);
	raw_reopen_data(&sender, 1, 2);
	raw_pages(&sender, 1, 0, &s.image, 16, 8);
	raw_pages(&sender, 0, 0, &s.image, 24, 8);
	scene_finish(&s, &sender);
}

/* A packet in part is not written, and does not count. */
static void a_fence_counts_only_what_is_written(void **state)
{
	struct raw_sender sender;
	struct raw_packet cut;
	struct testing_scene s;
	uint8_t raw[WIRE_PACKET_BYTES];

	(void)state;
	scene_open(&s, &sender, __func__, 1);
	raw_pages(&sender, 0, 0, &s.image, 0, 8);
	raw_make(&sender, 0, 0, &s.image, 8, 8, &cut);
	wire_put_packet(&cut.header, raw);
	raw_send(sender.data[0], raw, sizeof(raw));
	raw_send(sender.data[0], cut.bitmaps, cut.bitmap_bytes);
	raw_send(sender.data[0], cut.payload, 5000);
	scene_expect_ack(&sender, 0, 1);
	say_down(&sender, 0, 1);
	assert_int_equal(expect_fenced(&sender, 0, 1), 1);
	close(sender.data[0]);
	raw_reopen_data(&sender, 0, 2);
	scene_send_from(&sender, &s.image, 1);
	scene_finish(&s, &sender);
}

static void a_higher_generation_fences_the_older_one(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;
	int old;

	(void)state;
	scene_open(&s, &sender, __func__, 2);
	raw_pages(&sender, 1, 0, &s.image, 0, 8);
	scene_expect_ack(&sender, 1, 1);
	old = sender.data[1];
	raw_reopen_data(&sender, 1, 5);
	raw_expect_dropped(old);
	assert_int_equal(expect_fenced(&sender, 1, 1), 1);
	/* Asking for it afterwards gives the same answer. */
	say_down(&sender, 1, 1);
	assert_int_equal(expect_fenced(&sender, 1, 1), 1);
	scene_send_from(&sender, &s.image, 1);
	scene_finish(&s, &sender);
}

static void an_older_generation_is_dropped(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;
	int old;

	(void)state;
	scene_begin(&s, __func__);
	raw_begin(&sender, s.pair.port, 1, s.image.size);
	sender.data[0] = raw_open_data(&sender, 0, 3);
	raw_pages(&sender, 0, 0, &s.image, 0, 8);
	scene_expect_ack(&sender, 0, 1);
	old = raw_open_data(&sender, 0, 2);
	raw_expect_dropped(old);
	scene_send_from(&sender, &s.image, 1);
	scene_finish(&s, &sender);
}

/* It is given up before it was seen: then it must not be let in later. */
static void a_connection_given_up_before_it_came_stays_out(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;
	int old;

	(void)state;
	scene_begin(&s, __func__);
	raw_begin(&sender, s.pair.port, 1, s.image.size);
	say_down(&sender, 0, 1);
	assert_int_equal(expect_fenced(&sender, 0, 1), 0);
	old = raw_open_data(&sender, 0, 1);
	raw_expect_dropped(old);
	sender.data[0] = raw_open_data(&sender, 0, 2);
	scene_send_rest(&s, &sender);
}

/*
 * SYNC had been reported on the connection that is lost: it is sent again, and the round's totals
 * stay whole.
 */
static void sync_is_sent_again_on_a_new_generation(void **state)
{
	struct raw_sender sender;
	struct wire_message m;
	struct wire_end end;
	struct testing_scene s;

	(void)state;
	scene_open(&s, &sender, __func__, 2);
	scene_send_all(&sender, &s.image);
	raw_sync(&sender, 1, 0);
	scene_expect_ack(&sender, 1, 3);
	say_down(&sender, 1, 1);
	assert_int_equal(expect_fenced(&sender, 1, 1), 3);
	close(sender.data[1]);
	raw_sync(&sender, 0, 0);
	raw_reopen_data(&sender, 1, 2);
	raw_sync(&sender, 1, 0);
	raw_expect(sender.control, WIRE_SYNC_DONE, &m);
	assert_true(totals_equal(&m.sync_done.totals, &sender.totals));
	end = raw_end_of(&sender, 1, sender.totals.sum);
	raw_say_end(&sender, &end);
	raw_expect(sender.control, WIRE_COMMITTED, &m);
	raw_close(&sender);
	scene_end_well(&s);
}

/* The others go on without it. */
static void a_channel_given_up_for_good_is_not_waited_for(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	for (unsigned came = 0; came < 2; came++) {
		scene_begin(&s, __func__);
		raw_begin(&sender, s.pair.port, 2, s.image.size);
		sender.data[0] = raw_open_data(&sender, 0, 1);
		if (came) {
			sender.data[1] = raw_open_data(&sender, 1, 1);
			raw_pages(&sender, 1, 0, &s.image, 24, 8);
			scene_expect_ack(&sender, 1, 1);
		}
		say_down(&sender, 1, 1);
		assert_int_equal(expect_fenced(&sender, 1, 1), came);
		for (uint32_t i = 0; i < 4 - came; i++)
			raw_pages(&sender, 0, 0, &s.image, i * 8, 8);
		raw_close_data(&sender, 1);
		scene_finish(&s, &sender);
	}
}

/*
 * The others had closed the round when it came: its SYNC says nothing, and what comes next counts.
 */
static void sync_of_a_round_that_is_over_is_skipped(void **state)
{
	struct raw_sender sender;
	struct wire_message m;
	struct testing_scene s;

	(void)state;
	scene_open(&s, &sender, __func__, 2);
	say_down(&sender, 1, 1);
	assert_int_equal(expect_fenced(&sender, 1, 1), 0);
	raw_close_data(&sender, 1);
	for (uint32_t i = 0; i < 4; i++)
		raw_pages(&sender, 0, 0, &s.image, i * 8, 8);
	raw_sync(&sender, 0, 0);
	raw_expect(sender.control, WIRE_SYNC_DONE, &m);
	raw_reopen_data(&sender, 1, 2);
	raw_sync(&sender, 1, 0);
	raw_sync(&sender, 1, 1);
	scene_expect_ack(&sender, 1, 2);
	raw_sync(&sender, 0, 1);
	raw_expect(sender.control, WIRE_SYNC_DONE, &m);
	assert_int_equal(m.sync_done.round, 1);
	raw_close(&sender);
	testing_join(&s.pair);
	testing_scene_destroy(&s);
}

/* Who notices says so. */
static void a_receiver_that_loses_a_channel_says_so(void **state)
{
	struct raw_sender sender;
	struct wire_message m;
	struct testing_scene s;

	(void)state;
	scene_open(&s, &sender, __func__, 2);
	raw_pages(&sender, 1, 0, &s.image, 0, 8);
	raw_close_data(&sender, 1);
	raw_expect(sender.control, WIRE_CHANNEL_DOWN, &m);
	assert_int_equal(m.fence.channel, 1);
	assert_int_equal(m.fence.generation, 1);
	say_down(&sender, 1, 1);
	assert_int_equal(expect_fenced(&sender, 1, 1), 1);
	raw_reopen_data(&sender, 1, 2);
	scene_send_from(&sender, &s.image, 1);
	raw_finish(&sender);
	raw_close(&sender);
	testing_join(&s.pair);
	assert_int_equal(s.pair.receiver.stats.failovers, 1);
	assert_true(testing_sink_complete(&s.sink));
	testing_scene_destroy(&s);
}

static void channel_down_for_no_channel_is_76(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_open(&s, &sender, __func__, 2);
	say_down(&sender, 2, 1);
	scene_end_badly(&s, &sender, MFD_PROTOCOL, "channel 2 of 2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_channel_given_up_is_fenced_with_its_count_and_opened_again),
		cmocka_unit_test(a_fence_counts_only_what_is_written),
		cmocka_unit_test(a_higher_generation_fences_the_older_one),
		cmocka_unit_test(an_older_generation_is_dropped),
		cmocka_unit_test(a_connection_given_up_before_it_came_stays_out),
		cmocka_unit_test(sync_is_sent_again_on_a_new_generation),
		cmocka_unit_test(a_channel_given_up_for_good_is_not_waited_for),
		cmocka_unit_test(sync_of_a_round_that_is_over_is_skipped),
		cmocka_unit_test(a_receiver_that_loses_a_channel_says_so),
		cmocka_unit_test(channel_down_for_no_channel_is_76),
	};

	return cmocka_run_group_tests_name("generations", tests, NULL, NULL);
}
