/* SPDX-License-Identifier: MIT */
/*
 * A receiver against a sender by hand that breaks the rules, one at a time: packets, rounds, END.
 * Both ends get the same class and text, and nothing is committed.
 *
 * Most are rows of the table `breaches` below: a claim, which is the test's name, how the session
 * ends, and the one thing that the sender does wrong.
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

static void first_beyond_the_end(struct raw_packet *p)
{
	p->header.first = 25;
}

static void first_far_beyond_the_end(struct raw_packet *p)
{
	p->header.first = WIRE_MAX_PAGE_INDEX - p->header.count;
}

static void zero_run_beyond_the_end(struct raw_packet *p)
{
	p->header = (struct wire_packet){
		.kind = WIRE_ZERO, .sequence = p->header.sequence, .first = 8, .count = 25
	};
}

static void zero_run_without_end(struct raw_packet *p)
{
	p->header = (struct wire_packet){ .kind = WIRE_ZERO,
					  .sequence = p->header.sequence,
					  .count = WIRE_MAX_PAGE_INDEX };
}

/* HELLO agreed on 16. */
static void pages_17(struct raw_packet *p)
{
	uint64_t all[BATCH_WORDS] = { 0 };

	bitmap_fill(all, 17);
	p->header.first = 0;
	p->header.count = p->header.data_pages = 17;
	p->header.payload = 17 * PAGE_BYTES;
	p->bitmap_bytes = wire_put_bitmaps(all, all, 17, p->bitmaps);
	p->header.bitmap_hash = hash_bytes(p->bitmaps, p->bitmap_bytes);
}

static void sequence_up(struct raw_packet *p)
{
	p->header.sequence++;
}

static void sequence_down(struct raw_packet *p)
{
	p->header.sequence--;
}

static void round_1(struct raw_packet *p)
{
	p->header.round = 1;
}

static void region_1(struct raw_packet *p)
{
	p->header.region = 1;
}

static void method_zstd_instead_of_none(struct raw_packet *p)
{
	p->header.method = METHOD_ZSTD;
	p->header.payload--;
}

static void method_77(struct raw_packet *p)
{
	p->header.method = 77;
}

static void sum_differs(struct raw_packet *p)
{
	p->header.sum ^= 1;
}

static void pages_change_places(struct raw_packet *p)
{
	uint8_t page[PAGE_BYTES];

	memcpy(page, p->payload, PAGE_BYTES);
	memcpy(p->payload, p->payload + PAGE_BYTES, PAGE_BYTES);
	memcpy(p->payload + PAGE_BYTES, page, PAGE_BYTES);
}

/* ---- SYNC. ---- */

static void data_behind_sync(struct raw_sender *sender, const struct testing_image *image)
{
	raw_sync(sender, 0, 0);
	raw_pages(sender, 0, 1, image, 0, 8);
}

static void data_of_the_last_round(struct raw_sender *sender, const struct testing_image *image)
{
	scene_send_all(sender, image);
	scene_sync(sender, 0);
	raw_pages(sender, 0, 0, image, 0, 8);
}

static void sync_with_two_counts(struct raw_sender *sender, const struct testing_image *image)
{
	(void)image;
	raw_sync_of(sender, 0, 0, 4);
	raw_sync_of(sender, 0, 0, 5);
}

static void sync_counts_too_few(struct raw_sender *sender, const struct testing_image *image)
{
	scene_send_all(sender, image);
	raw_sync_of(sender, 0, 0, 3);
	raw_sync_of(sender, 1, 0, 3);
}

static void sync_of_the_next_round(struct raw_sender *sender, const struct testing_image *image)
{
	(void)image;
	raw_sync(sender, 0, 0);
	raw_sync(sender, 0, 1);
}

/* ---- END. ---- */

static void say_end(struct raw_sender *sender, uint32_t rounds)
{
	const struct wire_end end = raw_end_of(sender, rounds, sender->totals.sum);

	raw_say_end(sender, &end);
}

static void end_before_sync_done(struct raw_sender *sender, const struct testing_image *image)
{
	scene_send_all(sender, image);
	raw_sync(sender, 0, 0);
	say_end(sender, 1);
}

static void end_in_round_1(struct raw_sender *sender, const struct testing_image *image)
{
	struct wire_end end;

	scene_send_all(sender, image);
	scene_sync(sender, 0);
	end = raw_end_of(sender, 1, sender->totals.sum);
	raw_zero(sender, 0, 1, 0, 8);
	scene_expect_ack(sender, 0, sender->sequence[0]);
	raw_say_end(sender, &end);
}

static void end_twice(struct raw_sender *sender, const struct testing_image *image)
{
	scene_send_all(sender, image);
	scene_sync(sender, 0);
	say_end(sender, 1);
	say_end(sender, 1);
}

static void end_without_the_last_pages(struct raw_sender *sender, const struct testing_image *image)
{
	for (uint32_t i = 0; i < 3; i++)
		raw_pages(sender, 0, 0, image, i * 8, 8);
	scene_sync(sender, 0);
	say_end(sender, 1);
}

static void rounds_up(struct wire_end *end)
{
	end->rounds = 2;
}

static void packets_up(struct wire_end *end)
{
	end->totals.packets++;
}

static void pages_down(struct wire_end *end)
{
	end->totals.pages--;
}

static void total_sum_differs(struct wire_end *end)
{
	end->totals.sum ^= UINT64_C(1) << 63;
}

static void size_down(struct wire_end *end)
{
	end->size--;
}

static void hash_up(struct wire_end *end)
{
	end->image_hash++;
}

/* ---- The table. ---- */

struct breach {
	const char *claim;
	enum mfd_status status;
	const char *text;            /* in the error, at both ends */

	/* One of these; the session has two channels and all of its connections. */
	/* changes a good packet of pages 8..15 on channel 0, the second there */
	void (*packet)(struct raw_packet *p);
	/* changes END after a round that was good */
	void (*end)(struct wire_end *end);
	/* is all that the sender does */
	void (*talk)(struct raw_sender *sender, const struct testing_image *image);
};

static const struct breach breaches[] = {
	{ "pages_beyond_the_end_are_76", MFD_PROTOCOL,
	  "pages 25 to 33 of an image of 32", .packet = first_beyond_the_end },
	{ "pages_far_beyond_the_end_are_76", MFD_PROTOCOL,
	  "of an image of 32", .packet = first_far_beyond_the_end },
	{ "zero_pages_beyond_the_end_are_76", MFD_PROTOCOL,
	  "pages 8 to 33 of an image of 32", .packet = zero_run_beyond_the_end },
	{ "zero_pages_without_end_are_76", MFD_PROTOCOL,
	  "of an image of 32", .packet = zero_run_without_end },
	{ "more_pages_than_agreed_are_76", MFD_PROTOCOL,
	  "packet of 17 pages, agreed were 16", .packet = pages_17 },
	{ "a_gap_in_the_sequence_is_76", MFD_PROTOCOL,
	  "packet 2 where 1 was expected", .packet = sequence_up },
	{ "a_sequence_number_twice_is_76", MFD_PROTOCOL,
	  "packet 0 where 1 was expected", .packet = sequence_down },
	{ "a_packet_of_a_later_round_is_76", MFD_PROTOCOL,
	  "packet of round 1 before SYNC_DONE(0)", .packet = round_1 },
	{ "another_region_is_76", MFD_PROTOCOL,
	  "region 1", .packet = region_1 },
	{ "a_method_that_was_not_agreed_on_is_76", MFD_PROTOCOL,
	  "method 2 was not agreed on", .packet = method_zstd_instead_of_none },
	{ "an_unknown_method_is_76", MFD_PROTOCOL,
	  "method 77", .packet = method_77 },
	{ "a_wrong_sum_is_65", MFD_DATA,
	  "damaged on the way", .packet = sum_differs },
	{ "pages_that_changed_places_are_65", MFD_DATA,
	  "damaged on the way", .packet = pages_change_places },

	{ "data_behind_sync_and_before_sync_done_is_76", MFD_PROTOCOL,
	  "packet of round 1 before SYNC_DONE(0)", .talk = data_behind_sync },
	{ "data_of_a_round_that_is_over_is_76", MFD_PROTOCOL,
	  "packet of round 0, which is over", .talk = data_of_the_last_round },
	{ "sync_that_counts_other_batches_than_before_is_76", MFD_PROTOCOL,
	  "SYNC(0) with 5 batches behind one with 4", .talk = sync_with_two_counts },
	{ "sync_that_counts_too_few_batches_is_76", MFD_PROTOCOL,
	  "more batches than SYNC(0) says there are", .talk = sync_counts_too_few },
	{ "sync_of_the_next_round_before_sync_done_is_76", MFD_PROTOCOL,
	  "packet of round 1 before SYNC_DONE(0)", .talk = sync_of_the_next_round },

	{ "end_before_any_round_is_complete_is_76", MFD_PROTOCOL,
	  "END before the last round was complete", .talk = end_before_sync_done },
	{ "end_in_the_middle_of_a_later_round_is_76", MFD_PROTOCOL,
	  "END in the middle of round 1", .talk = end_in_round_1 },
	{ "end_twice_is_76", MFD_PROTOCOL,
	  "END before the last round was complete", .talk = end_twice },
	{ "a_round_that_left_pages_out_is_65", MFD_DATA,
	  "the first round spoke for 24 pages of 32", .talk = end_without_the_last_pages },
	{ "end_of_more_rounds_than_there_were_is_76", MFD_PROTOCOL,
	  "END before the last round was complete", .end = rounds_up },
	{ "end_with_more_packets_than_were_written_is_65", MFD_DATA,
	  "the sender sent 32 pages in 5 packets", .end = packets_up },
	{ "end_with_fewer_pages_than_were_written_is_65", MFD_DATA,
	  "the sender sent 31 pages", .end = pages_down },
	{ "end_with_another_sum_is_65", MFD_DATA,
	  "written were 32 in 4", .end = total_sum_differs },
	{ "end_with_another_size_is_76", MFD_PROTOCOL,
	  "bytes in HELLO", .end = size_down },
	{ "end_with_another_hash_is_65", MFD_DATA,
	  "the image hash is", .end = hash_up },
};

static void send_bad_packet(struct raw_sender *sender, const struct testing_image *image,
			    const struct breach *b)
{
	struct raw_packet p;

	raw_pages(sender, 0, 0, image, 0, 8);
	raw_make(sender, 0, 0, image, 8, 8, &p);
	b->packet(&p);
	raw_put(sender->data[0], &p);
}

static void send_bad_end(struct raw_sender *sender, const struct testing_image *image,
			 const struct breach *b)
{
	struct wire_end end;

	scene_send_all(sender, image);
	scene_sync(sender, 0);
	end = raw_end_of(sender, 1, sender->totals.sum);
	b->end(&end);
	raw_say_end(sender, &end);
}

static void breach_is_refused(void **state)
{
	const struct breach *b = *state;
	struct raw_sender sender;
	struct testing_scene s;

	scene_begin(&s, b->claim);
	s.sink.commit_ms = 20000; /* what is said after END comes before the output is in place */
	raw_open(&sender, s.pair.port, 2, s.image.size);
	if (b->packet)
		send_bad_packet(&sender, &s.image, b);
	else if (b->end)
		send_bad_end(&sender, &s.image, b);
	else
		b->talk(&sender, &s.image);
	scene_end_badly(&s, &sender, b->status, b->text);
}

/* ---- What must still work. ---- */

static void a_good_packet_is_no_error(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_open(&s, &sender, __func__, 2);
	raw_pages(&sender, 0, 0, &s.image, 8, 8);
	scene_expect_ack(&sender, 0, 1);
	raw_close(&sender);
	testing_join(&s.pair);
	assert_int_equal(s.pair.receiver.error.status, MFD_TRY_AGAIN);
	testing_scene_destroy(&s);
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
	scene_open(&s, &sender, __func__, 2);
	raw_sync_of(&sender, 0, 0, 4);
	scene_send_rest(&s, &sender);
}

/* All channels have reported, and one batch is still missing. */
static void sync_done_waits_for_all_batches(void **state)
{
	struct raw_sender sender;
	struct wire_message m;
	struct testing_scene s;

	(void)state;
	scene_open(&s, &sender, __func__, 2);
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
	scene_finish(&s, &sender);
}

static void sync_twice_is_as_good_as_once(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_open(&s, &sender, __func__, 2);
	scene_send_all(&sender, &s.image);
	raw_sync(&sender, 0, 0);
	scene_finish(&s, &sender);
}

/* ---- Sessions that begin in another way. ---- */

/* A method that was agreed on, and a payload that is none of its. */
static void a_payload_that_cannot_be_decoded_is_65(void **state)
{
	(void)state;
	for (unsigned method = METHOD_ZLIB; method <= METHOD_ZSTD; method++) {
		struct wire_hello hello = raw_hello(1, SCENE_PAGES * PAGE_BYTES);
		struct raw_sender sender;
		struct raw_packet p;
		struct testing_scene s;

		hello.methods = 7;
		hello.method = (uint16_t)method;
		scene_begin(&s, __func__);
		raw_open_hello(&sender, s.pair.port, &hello);
		raw_make(&sender, 0, 0, &s.image, 0, 8, &p);
		p.header.method = (uint8_t)method;
		p.header.payload = 5000;
		raw_put(sender.data[0], &p);
		scene_end_badly(&s, &sender, MFD_DATA, "channel 0: pages from 0");
	}
}

/* SYNC of a second round, in a session whose HELLO has these flags. */
static void sync_twice_with(const char *name, uint32_t flags, struct testing_scene *s,
			    struct raw_sender *sender)
{
	struct wire_hello hello = raw_hello(1, SCENE_PAGES * PAGE_BYTES);

	hello.flags = flags;
	scene_begin(s, name);
	raw_open_hello(sender, s->pair.port, &hello);
	scene_send_all(sender, &s->image);
	scene_sync(sender, 0);
	raw_sync(sender, 0, 1);
}

static void a_second_round_that_was_not_announced_is_76(void **state)
{
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	sync_twice_with(__func__, 0, &s, &sender);
	scene_end_badly(&s, &sender, MFD_PROTOCOL, "packet of round 1 in a session of one round");
}

static void a_second_round_that_was_announced_is_taken(void **state)
{
	struct raw_sender sender;
	struct wire_message m;
	struct testing_scene s;

	(void)state;
	sync_twice_with(__func__, WIRE_HELLO_ROUNDS, &s, &sender);
	raw_expect(sender.control, WIRE_SYNC_DONE, &m);
	raw_close(&sender);
	testing_join(&s.pair);
	testing_scene_destroy(&s);
}

/*
 * The size comes with END, and the image may have grown since the first round: but each page comes
 * once at least.
 */
static void rounds_that_left_pages_out_are_65(void **state)
{
	struct raw_sender sender;
	struct wire_end end;
	struct testing_scene s;

	(void)state;
	scene_begin(&s, __func__);
	raw_open(&sender, s.pair.port, 1, MFD_UNKNOWN);
	for (uint32_t i = 0; i < 3; i++)
		raw_pages(&sender, 0, 0, &s.image, i * 8, 8);
	scene_sync(&sender, 0);
	scene_sync(&sender, 1);
	end = raw_end_of(&sender, 2, sender.totals.sum);
	end.size = s.image.size;
	raw_say_end(&sender, &end);
	scene_end_badly(&s, &sender, MFD_DATA, "all rounds together spoke for 24 pages of 32");
}

/* ---- Messages. ---- */

static void what_only_a_receiver_may_say_is_76(void **state)
{
	const struct wire_message said[] = {
		{ .type = WIRE_WELCOME, .welcome = { .version = 1, .packet_pages = 16,
						     .methods = 1, .timeout_ms = 1000 } },
		{ .type = WIRE_REFUSE, .problem.status = MFD_DATA },
		{ .type = WIRE_ACK, .ack = { .count = 1, .channel = { { 0, 1, 0 } } } },
		{ .type = WIRE_SYNC_DONE },
		{ .type = WIRE_COMMITTED },
		{ .type = WIRE_FENCED, .fence = { 0, 1, 0 } },
		{ .type = WIRE_HELLO, .hello = raw_hello(2, SCENE_PAGES * PAGE_BYTES) },
	};

	(void)state;
	for (unsigned i = 0; i < TESTING_COUNT(said); i++) {
		struct raw_sender sender;
		struct testing_scene s;

		scene_open(&s, &sender, __func__, 2);
		raw_say(sender.control, &said[i]);
		scene_end_badly(&s, &sender, MFD_PROTOCOL, "unexpected");
	}
}

/* The sender says that it has failed. */
static void say_error(struct testing_scene *s, const char *name, uint16_t status, const char *text)
{
	struct wire_message m = { .type = WIRE_ERROR, .problem.status = status };
	struct raw_sender sender;

	snprintf(m.problem.text, sizeof(m.problem.text), "%s", text);
	scene_open(s, &sender, name, 2);
	raw_say(sender.control, &m);
	raw_expect_closed(sender.control);
	raw_close(&sender);
	testing_join(&s->pair);
	assert_false(s->pair.receiver.ok);
}

static void what_the_sender_says_is_shown_without_control_characters(void **state)
{
	struct testing_scene s;

	(void)state;
	say_error(&s, __func__, MFD_IO, "disk\x1b[2J \n\x07 gone");
	assert_true(s.pair.receiver.error.remote);
	assert_int_equal(s.pair.receiver.error.status, MFD_IO);
	assert_string_equal(s.pair.receiver.error.text, "disk\\x1b[2J \\x0a\\x07 gone");
	testing_scene_destroy(&s);
}

static void an_error_of_an_unknown_class_is_76(void **state)
{
	struct testing_scene s;

	(void)state;
	say_error(&s, __func__, 3, "strange");
	assert_int_equal(s.pair.receiver.error.status, MFD_PROTOCOL);
	testing_scene_destroy(&s);
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(a_good_packet_is_no_error),
		cmocka_unit_test(data_may_follow_sync_until_the_round_is_complete),
		cmocka_unit_test(sync_done_waits_for_all_batches),
		cmocka_unit_test(sync_twice_is_as_good_as_once),
		cmocka_unit_test(a_payload_that_cannot_be_decoded_is_65),
		cmocka_unit_test(a_second_round_that_was_not_announced_is_76),
		cmocka_unit_test(a_second_round_that_was_announced_is_taken),
		cmocka_unit_test(rounds_that_left_pages_out_are_65),
		cmocka_unit_test(what_only_a_receiver_may_say_is_76),
		cmocka_unit_test(what_the_sender_says_is_shown_without_control_characters),
		cmocka_unit_test(an_error_of_an_unknown_class_is_76),
	};
	struct CMUnitTest tests[TESTING_COUNT(breaches) + TESTING_COUNT(others)];

	for (unsigned i = 0; i < TESTING_COUNT(breaches); i++)
		tests[i] = (struct CMUnitTest){
			.name = breaches[i].claim,
			.test_func = breach_is_refused,
			.initial_state = (void *)(uintptr_t)&breaches[i],
		};
	memcpy(tests + TESTING_COUNT(breaches), others, sizeof(others));
	return cmocka_run_group_tests_name("bad_sender", tests, NULL, NULL);
}
