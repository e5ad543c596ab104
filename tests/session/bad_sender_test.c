/* SPDX-License-Identifier: MIT */
/*
 * A receiver against a sender by hand that breaks the rules, one at a time: packets, rounds, END.
 * Both ends get the same class and text, and nothing is committed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "session/raw_scene.h"

/* ---- Packets. ---- */

/* Changes a good packet of pages 8..15 on channel 0, the second there. */
typedef void change_fn(struct raw_packet *p);

static void bad_packet(const char *name, change_fn *change, enum mfd_status status,
		       const char *text)
{
	struct raw_sender sender;
	struct raw_packet p;
	struct testing_scene s;

	scene_begin(&s, name);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	raw_pages(&sender, 0, 0, &s.image, 0, 8);
	raw_make(&sender, 0, 0, &s.image, 8, 8, &p);
	change(&p);
	raw_put(sender.data[0], &p);
	scene_end_badly(&s, &sender, status, text);
}

static void change_nothing(struct raw_packet *p)
{
	(void)p;
}

static void a_good_packet_is_no_error(void **state)
{
	struct raw_sender sender;
	struct raw_packet p;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	raw_make(&sender, 0, 0, &s.image, 8, 8, &p);
	change_nothing(&p);
	raw_put(sender.data[0], &p);
	scene_expect_ack(&sender, 0, 1);
	raw_close(&sender);
	testing_join(&s.pair);
	assert_int_equal(s.pair.receiver.error.status, MFD_TRY_AGAIN);
	testing_scene_destroy(&s);
}

static void change_to_beyond_the_end(struct raw_packet *p)
{
	p->header.first = 25;
}

static void change_to_far_beyond_the_end(struct raw_packet *p)
{
	p->header.first = WIRE_MAX_PAGE_INDEX - p->header.count;
}

static void pages_beyond_the_end_are_76(void **state)
{
	(void)state;
	bad_packet(__func__, change_to_beyond_the_end, MFD_PROTOCOL,
		   "pages 25 to 33 of an image of 32");
	bad_packet(__func__, change_to_far_beyond_the_end, MFD_PROTOCOL, "of an image of 32");
}

static void change_to_a_zero_run_beyond_the_end(struct raw_packet *p)
{
	p->header = (struct wire_packet){
		.kind = WIRE_ZERO, .sequence = p->header.sequence, .first = 8, .count = 25
	};
}

static void change_to_a_zero_run_without_end(struct raw_packet *p)
{
	p->header = (struct wire_packet){ .kind = WIRE_ZERO,
					  .sequence = p->header.sequence,
					  .count = WIRE_MAX_PAGE_INDEX };
}

static void zero_pages_beyond_the_end_are_76(void **state)
{
	(void)state;
	bad_packet(__func__, change_to_a_zero_run_beyond_the_end, MFD_PROTOCOL,
		   "pages 8 to 33 of an image of 32");
	bad_packet(__func__, change_to_a_zero_run_without_end, MFD_PROTOCOL, "of an image of 32");
}

/* HELLO agreed on 16. */
static void change_to_17_pages(struct raw_packet *p)
{
	uint64_t all[BATCH_WORDS] = { 0 };

	bitmap_fill(all, 17);
	p->header.first = 0;
	p->header.count = p->header.data_pages = 17;
	p->header.payload = 17 * PAGE_BYTES;
	p->bitmap_bytes = wire_put_bitmaps(all, all, 17, p->bitmaps);
	p->header.bitmap_hash = hash_bytes(p->bitmaps, p->bitmap_bytes);
}

static void more_pages_than_agreed_are_76(void **state)
{
	(void)state;
	bad_packet(__func__, change_to_17_pages, MFD_PROTOCOL,
		   "packet of 17 pages, agreed were 16");
}

static void change_sequence_up(struct raw_packet *p)
{
	p->header.sequence++;
}

static void change_sequence_down(struct raw_packet *p)
{
	p->header.sequence--;
}

static void a_gap_in_the_sequence_is_76(void **state)
{
	(void)state;
	bad_packet(__func__, change_sequence_up, MFD_PROTOCOL, "packet 2 where 1 was expected");
}

static void a_sequence_number_twice_is_76(void **state)
{
	(void)state;
	bad_packet(__func__, change_sequence_down, MFD_PROTOCOL, "packet 0 where 1 was expected");
}

static void change_round(struct raw_packet *p)
{
	p->header.round = 1;
}

static void a_packet_of_a_later_round_is_76(void **state)
{
	(void)state;
	bad_packet(__func__, change_round, MFD_PROTOCOL, "packet of round 1 before SYNC_DONE(0)");
}

static void change_region(struct raw_packet *p)
{
	p->header.region = 1;
}

static void another_region_is_76(void **state)
{
	(void)state;
	bad_packet(__func__, change_region, MFD_PROTOCOL, "region 1");
}

static void change_method(struct raw_packet *p)
{
	p->header.method = METHOD_ZSTD;
	p->header.payload--;
}

static void a_method_that_was_not_agreed_on_is_76(void **state)
{
	(void)state;
	bad_packet(__func__, change_method, MFD_PROTOCOL, "method 2 was not agreed on");
}

static void change_method_to_unknown(struct raw_packet *p)
{
	p->header.method = 77;
}

static void an_unknown_method_is_76(void **state)
{
	(void)state;
	bad_packet(__func__, change_method_to_unknown, MFD_PROTOCOL, "method 77");
}

static void change_sum(struct raw_packet *p)
{
	p->header.sum ^= 1;
}

static void a_wrong_sum_is_65(void **state)
{
	(void)state;
	bad_packet(__func__, change_sum, MFD_DATA, "damaged on the way");
}

static void change_pages(struct raw_packet *p)
{
	uint8_t page[PAGE_BYTES];

	memcpy(page, p->payload, PAGE_BYTES);
	memcpy(p->payload, p->payload + PAGE_BYTES, PAGE_BYTES);
	memcpy(p->payload + PAGE_BYTES, page, PAGE_BYTES);
}

static void pages_that_changed_places_are_65(void **state)
{
	(void)state;
	bad_packet(__func__, change_pages, MFD_DATA, "damaged on the way");
}

/* A method that was agreed on, and a payload that is none of its. */
static void a_payload_that_cannot_be_decoded_is_65(void **state)
{
	(void)state;
	for (unsigned method = METHOD_ZLIB; method <= METHOD_ZSTD; method++) {
		struct wire_hello hello;
		struct raw_sender sender = { 0 };
		struct wire_message m;
		struct raw_packet p;
		struct testing_scene s;

		scene_begin(&s, __func__);
		hello = raw_hello(1, s.image.size);
		hello.methods = 7;
		hello.method = (uint16_t)method;
		sender = (struct raw_sender){ .port = s.pair.port, .hello = hello };
		sender.control = raw_open_control(s.pair.port, &hello);
		raw_expect(sender.control, WIRE_WELCOME, &m);
		memcpy(sender.token, m.welcome.token, sizeof(sender.token));
		sender.data[0] = raw_open_data(&sender, 0, 1);
		raw_make(&sender, 0, 0, &s.image, 0, 8, &p);
		p.header.method = (uint8_t)method;
		p.header.payload = 5000;
		raw_put(sender.data[0], &p);
		scene_end_badly(&s, &sender, MFD_DATA, "channel 0: pages from 0");
	}
}

/* ---- SYNC and END. ---- */

static void a_second_round_that_was_not_announced_is_76(void **state)
{
	for (unsigned announced = 0; announced < 2; announced++) {
		struct raw_sender sender = { 0 };
		struct wire_message m;
		struct testing_scene s;

		(void)state;
		scene_begin(&s, __func__);
		sender.port = s.pair.port;
		sender.hello = raw_hello(1, s.image.size);
		sender.hello.flags = announced ? WIRE_HELLO_ROUNDS : 0;
		sender.control = raw_open_control(s.pair.port, &sender.hello);
		raw_expect(sender.control, WIRE_WELCOME, &m);
		memcpy(sender.token, m.welcome.token, sizeof(sender.token));
		sender.data[0] = raw_open_data(&sender, 0, 1);
		scene_send_all(&sender, &s.image);
		raw_sync(&sender, 0, 0);
		raw_expect(sender.control, WIRE_SYNC_DONE, &m);
		raw_sync(&sender, 0, 1);
		if (!announced) {
			scene_end_badly(&s, &sender, MFD_PROTOCOL,
					"packet of round 1 in a session of one round");
			continue;
		}
		raw_expect(sender.control, WIRE_SYNC_DONE, &m);
		raw_close(&sender);
		testing_join(&s.pair);
		testing_scene_destroy(&s);
	}
}

static void data_behind_sync_and_before_sync_done_is_76(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	raw_sync(&sender, 0, 0);
	raw_pages(&sender, 0, 1, &s.image, 0, 8);
	scene_end_badly(&s, &sender, MFD_PROTOCOL, "packet of round 1 before SYNC_DONE(0)");
}

static void data_of_a_round_that_is_over_is_76(void **state)
{
	struct raw_sender sender;
	struct wire_message m;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	scene_send_all(&sender, &s.image);
	raw_sync(&sender, 0, 0);
	raw_sync(&sender, 1, 0);
	raw_expect(sender.control, WIRE_SYNC_DONE, &m);
	raw_pages(&sender, 0, 0, &s.image, 0, 8);
	scene_end_badly(&s, &sender, MFD_PROTOCOL, "packet of round 0, which is over");
}

/*
 * What comes back from a lost channel goes on the others, which may have sent SYNC already; then it
 * is sent again.
 */
static void data_may_follow_sync_until_the_round_is_complete(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	raw_sync_of(&sender, 0, 0, 4);
	scene_send_all(&sender, &s.image);
	raw_finish(&sender);
	raw_close(&sender);
	scene_end_well(&s);
}

/* All channels have reported, and one batch is still missing. */
static void sync_done_waits_for_all_batches(void **state)
{
	struct raw_sender sender;
	struct wire_message m;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	for (uint32_t i = 0; i < 3; i++)
		raw_pages(&sender, 1, 0, &s.image, i * 8, 8);
	raw_sync_of(&sender, 0, 0, 4);
	raw_sync_of(&sender, 1, 0, 4);
	scene_expect_ack(&sender, 1, 4);
	do
		assert_true(raw_hear(sender.control, &m));
	while (m.type == WIRE_ACK);
	assert_int_equal(m.type, WIRE_HEARTBEAT); /* a second later it is not complete */
	raw_pages(&sender, 0, 0, &s.image, 24, 8);
	raw_finish(&sender);
	raw_close(&sender);
	scene_end_well(&s);
}

static void sync_that_counts_other_batches_is_76(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	raw_sync_of(&sender, 0, 0, 4);
	raw_sync_of(&sender, 0, 0, 5);
	scene_end_badly(&s, &sender, MFD_PROTOCOL, "SYNC(0) with 5 batches behind one with 4");
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	scene_send_all(&sender, &s.image);
	raw_sync_of(&sender, 0, 0, 3);
	raw_sync_of(&sender, 1, 0, 3);
	scene_end_badly(&s, &sender, MFD_PROTOCOL, "more batches than SYNC(0) says there are");
}

static void sync_of_the_next_round_before_sync_done_is_76(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	raw_sync(&sender, 0, 0);
	raw_sync(&sender, 0, 1);
	scene_end_badly(&s, &sender, MFD_PROTOCOL, "packet of round 1 before SYNC_DONE(0)");
}

static void sync_twice_is_as_good_as_once(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	scene_send_all(&sender, &s.image);
	raw_sync(&sender, 0, 0);
	raw_finish(&sender);
	raw_close(&sender);
	scene_end_well(&s);
}

static void end_before_any_round_is_complete_is_76(void **state)
{
	struct raw_sender sender;
	struct wire_end end;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	scene_send_all(&sender, &s.image);
	raw_sync(&sender, 0, 0);
	end = raw_end_of(&sender, 1, sender.totals.sum);
	raw_say_end(&sender, &end);
	scene_end_badly(&s, &sender, MFD_PROTOCOL, "END before the last round was complete");
}

/* END, with one thing changed after a round that was good. */
typedef void change_end_fn(struct wire_end *end);

static void bad_end(const char *name, change_end_fn *change, enum mfd_status status,
		    const char *text)
{
	struct raw_sender sender;
	struct wire_message m;
	struct wire_end end;
	struct testing_scene s;

	scene_begin(&s, name);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	scene_send_all(&sender, &s.image);
	raw_sync(&sender, 0, 0);
	raw_sync(&sender, 1, 0);
	raw_expect(sender.control, WIRE_SYNC_DONE, &m);
	end = raw_end_of(&sender, 1, sender.totals.sum);
	change(&end);
	raw_say_end(&sender, &end);
	scene_end_badly(&s, &sender, status, text);
}

static void change_rounds(struct wire_end *end)
{
	end->rounds = 2;
}

static void change_packets(struct wire_end *end)
{
	end->totals.packets++;
}

static void change_page_total(struct wire_end *end)
{
	end->totals.pages--;
}

static void change_total_sum(struct wire_end *end)
{
	end->totals.sum ^= UINT64_C(1) << 63;
}

static void change_size(struct wire_end *end)
{
	end->size--;
}

static void change_hash(struct wire_end *end)
{
	end->image_hash++;
}

static void end_of_more_rounds_than_there_were_is_76(void **state)
{
	(void)state;
	bad_end(__func__, change_rounds, MFD_PROTOCOL, "END before the last round was complete");
}

static void end_with_wrong_totals_is_65(void **state)
{
	(void)state;
	bad_end(__func__, change_packets, MFD_DATA, "the sender sent 32 pages in 5 packets");
	bad_end(__func__, change_page_total, MFD_DATA, "the sender sent 31 pages");
	bad_end(__func__, change_total_sum, MFD_DATA, "written were 32 in 4");
}

static void end_with_another_size_is_76(void **state)
{
	(void)state;
	bad_end(__func__, change_size, MFD_PROTOCOL, "bytes in HELLO");
}

static void end_with_another_hash_is_65(void **state)
{
	(void)state;
	bad_end(__func__, change_hash, MFD_DATA, "the image hash is");
}

static void end_in_the_middle_of_a_later_round_is_76(void **state)
{
	struct raw_sender sender;
	struct wire_message m;
	struct wire_end end;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	scene_send_all(&sender, &s.image);
	raw_sync(&sender, 0, 0);
	raw_sync(&sender, 1, 0);
	raw_expect(sender.control, WIRE_SYNC_DONE, &m);
	end = raw_end_of(&sender, 1, sender.totals.sum);
	raw_zero(&sender, 0, 1, 0, 8);
	scene_expect_ack(&sender, 0, sender.sequence[0]);
	raw_say_end(&sender, &end);
	scene_end_badly(&s, &sender, MFD_PROTOCOL, "END in the middle of round 1");
}

static void a_round_that_left_pages_out_is_65(void **state)
{
	struct raw_sender sender;
	struct wire_message m;
	struct wire_end end;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 1, s.image.size);
	for (uint32_t i = 0; i < 3; i++)
		raw_pages(&sender, 0, 0, &s.image, i * 8, 8);
	raw_sync(&sender, 0, 0);
	raw_expect(sender.control, WIRE_SYNC_DONE, &m);
	end = raw_end_of(&sender, 1, sender.totals.sum);
	raw_say_end(&sender, &end);
	scene_end_badly(&s, &sender, MFD_DATA, "the first round spoke for 24 pages of 32");
}

/*
 * The size comes with END, and the image may have grown since the first round: but each page comes
 * once at least.
 */
static void rounds_that_left_pages_out_are_65(void **state)
{
	struct raw_sender sender;
	struct wire_message m;
	struct wire_end end;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 1, MFD_UNKNOWN);
	for (uint32_t i = 0; i < 3; i++)
		raw_pages(&sender, 0, 0, &s.image, i * 8, 8);
	raw_sync(&sender, 0, 0);
	raw_expect(sender.control, WIRE_SYNC_DONE, &m);
	raw_sync(&sender, 0, 1);
	raw_expect(sender.control, WIRE_SYNC_DONE, &m);
	end = raw_end_of(&sender, 2, sender.totals.sum);
	end.size = s.image.size;
	raw_say_end(&sender, &end);
	scene_end_badly(&s, &sender, MFD_DATA, "all rounds together spoke for 24 pages of 32");
}

static void end_twice_is_76(void **state)
{
	struct raw_sender sender;
	struct wire_message m;
	struct wire_end end;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	s.sink.commit_ms = 20000;
	raw_open(&sender, s.pair.port, 1, s.image.size);
	scene_send_all(&sender, &s.image);
	raw_sync(&sender, 0, 0);
	raw_expect(sender.control, WIRE_SYNC_DONE, &m);
	end = raw_end_of(&sender, 1, sender.totals.sum);
	raw_say_end(&sender, &end);
	raw_say_end(&sender, &end);
	scene_end_badly(&s, &sender, MFD_PROTOCOL, "END before the last round was complete");
}

static void what_only_a_receiver_may_say_is_76(void **state)
{
	static const enum wire_type types[] = { WIRE_WELCOME, WIRE_REFUSE, WIRE_ACK, WIRE_SYNC_DONE, WIRE_COMMITTED, WIRE_FENCED, WIRE_HELLO };

	(void)state;
	for (unsigned i = 0; i < TESTING_COUNT(types); i++) {
		struct wire_message m = { .type = types[i] };
		struct raw_sender sender;
		struct testing_scene s;

		scene_begin(&s, __func__);
		raw_open(&sender, s.pair.port, 2, s.image.size);
		switch (types[i]) {
		case WIRE_WELCOME:
			m.welcome = (struct wire_welcome){
				.version = 1, .packet_pages = 16, .methods = 1, .timeout_ms = 1000
			};
			break;
		case WIRE_REFUSE:
			m.problem.status = MFD_DATA;
			break;
		case WIRE_ACK:
			m.ack = (struct wire_ack){ .count = 1, .channel = { { 0, 1, 0 } } };
			break;
		case WIRE_HELLO:
			m.hello = sender.hello;
			break;
		case WIRE_FENCED:
			m.fence = (struct wire_fence){ 0, 1, 0 };
			break;
		default:
			break;
		}
		raw_say(sender.control, &m);
		scene_end_badly(&s, &sender, MFD_PROTOCOL, "unexpected");
	}
}

static void what_the_sender_says_is_shown_without_control_characters(void **state)
{
	struct wire_message m = { .type = WIRE_ERROR, .problem = { .status = MFD_IO, .text = "disk\x1b[2J \n\x07 gone" } };
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	raw_say(sender.control, &m);
	raw_expect_closed(sender.control);
	raw_close(&sender);
	testing_join(&s.pair);
	assert_false(s.pair.receiver.ok);
	assert_true(s.pair.receiver.error.remote);
	assert_int_equal(s.pair.receiver.error.status, MFD_IO);
	assert_string_equal(s.pair.receiver.error.text, "disk\\x1b[2J \\x0a\\x07 gone");
	testing_scene_destroy(&s);
}

static void an_error_of_an_unknown_class_is_76(void **state)
{
	struct wire_message m = { .type = WIRE_ERROR, .problem = { .status = 3, .text = "strange" } };
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 2, s.image.size);
	raw_say(sender.control, &m);
	raw_expect_closed(sender.control);
	raw_close(&sender);
	testing_join(&s.pair);
	assert_int_equal(s.pair.receiver.error.status, MFD_PROTOCOL);
	testing_scene_destroy(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_packet_is_no_error),
		cmocka_unit_test(pages_beyond_the_end_are_76),
		cmocka_unit_test(zero_pages_beyond_the_end_are_76),
		cmocka_unit_test(more_pages_than_agreed_are_76),
		cmocka_unit_test(a_gap_in_the_sequence_is_76),
		cmocka_unit_test(a_sequence_number_twice_is_76),
		cmocka_unit_test(a_packet_of_a_later_round_is_76),
		cmocka_unit_test(another_region_is_76),
		cmocka_unit_test(a_method_that_was_not_agreed_on_is_76),
		cmocka_unit_test(an_unknown_method_is_76),
		cmocka_unit_test(a_wrong_sum_is_65),
		cmocka_unit_test(pages_that_changed_places_are_65),
		cmocka_unit_test(a_payload_that_cannot_be_decoded_is_65),
		cmocka_unit_test(a_second_round_that_was_not_announced_is_76),
		cmocka_unit_test(data_behind_sync_and_before_sync_done_is_76),
		cmocka_unit_test(data_of_a_round_that_is_over_is_76),
		cmocka_unit_test(data_may_follow_sync_until_the_round_is_complete),
		cmocka_unit_test(sync_done_waits_for_all_batches),
		cmocka_unit_test(sync_that_counts_other_batches_is_76),
		cmocka_unit_test(sync_of_the_next_round_before_sync_done_is_76),
		cmocka_unit_test(sync_twice_is_as_good_as_once),
		cmocka_unit_test(end_before_any_round_is_complete_is_76),
		cmocka_unit_test(end_of_more_rounds_than_there_were_is_76),
		cmocka_unit_test(end_with_wrong_totals_is_65),
		cmocka_unit_test(end_with_another_size_is_76),
		cmocka_unit_test(end_with_another_hash_is_65),
		cmocka_unit_test(end_in_the_middle_of_a_later_round_is_76),
		cmocka_unit_test(a_round_that_left_pages_out_is_65),
		cmocka_unit_test(rounds_that_left_pages_out_are_65),
		cmocka_unit_test(end_twice_is_76),
		cmocka_unit_test(what_only_a_receiver_may_say_is_76),
		cmocka_unit_test(what_the_sender_says_is_shown_without_control_characters),
		cmocka_unit_test(an_error_of_an_unknown_class_is_76),
	};

	return cmocka_run_group_tests_name("bad_sender", tests, NULL, NULL);
}
