/* SPDX-License-Identifier: MIT */
/*
 * A sender against receivers by hand, most of which break the rules.  It ends with the right class,
 * tells the receiver, and never takes an image for committed that is not.
 *
 * Most are rows of the table `breaches` below: a claim, which is the test's name, how the session
 * ends, how far it gets, and what the receiver says then.
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

/* A sender that has begun, of 4 pages on one channel that take one packet. */
static void begin_with(struct testing_scene *s, struct raw_receiver *r, const char *name,
		       uint64_t timeout_ms)
{
	testing_scene_init(s, name);
	s->image.size = 4 * PAGE_BYTES;
	testing_source_init(&s->source, &s->image, true);
	s->pair.channels = 1;
	s->pair.timeout_ms = timeout_ms;
	r->listening = raw_listen(&s->pair.port);
	assert_true(testing_start_sender(&s->pair));
	raw_welcome(r);
	raw_accept_data(r, 1);
}

static void begin(struct testing_scene *s, struct raw_receiver *r, const char *name)
{
	begin_with(s, r, name, RAW_PATIENCE_S * 1000);
}

/* The sender's one packet and its SYNC have been taken. */
static void take_round(struct raw_receiver *r, struct totals *ret)
{
	struct wire_packet p;

	assert_true(raw_take_packet(r, 0, &p));
	assert_int_equal(p.kind, WIRE_PAGES);
	*ret = (struct totals){ .packets = 1,
				.pages = p.count,
				.zero_pages = p.count - p.data_pages,
				.sum = p.sum };
	assert_true(raw_take_packet(r, 0, &p));
	assert_int_equal(p.kind, WIRE_SYNC);
	assert_int_equal(p.sequence, 1);
}

static void say_ack(struct raw_receiver *r, uint32_t channel, uint32_t generation, uint64_t written)
{
	struct wire_message m = {
		.type = WIRE_ACK,
		.ack = { .count = 1, .channel = { { channel, generation, written } } },
	};

	raw_say(r->control, &m);
}

static void say_sync_done(struct raw_receiver *r, uint32_t round, const struct totals *totals)
{
	struct wire_message m = { .type = WIRE_SYNC_DONE,
				  .sync_done = { .round = round, .totals = *totals } };

	raw_say(r->control, &m);
}

static void say_committed(struct raw_receiver *r, uint64_t size, uint64_t hash)
{
	struct wire_message m = { .type = WIRE_COMMITTED, .committed = { size, hash } };

	raw_say(r->control, &m);
}

static void finish(struct testing_scene *s, struct raw_receiver *r)
{
	raw_close_receiver(r);
	testing_join(&s->pair);
	testing_scene_destroy(s);
}

/* END has come. */
static void take_end(struct testing_scene *s, struct raw_receiver *r, struct wire_end *ret)
{
	struct wire_message m;
	struct totals totals;

	take_round(r, &totals);
	say_ack(r, 0, 1, 2);
	say_sync_done(r, 0, &totals);
	raw_expect(r->control, WIRE_END, &m);
	assert_int_equal(m.end.rounds, 1);
	assert_int_equal(m.end.size, s->image.size);
	assert_int_equal(m.end.image_hash, testing_hash(&s->image));
	assert_true(totals_equal(&m.end.totals, &totals));
	*ret = m.end;
}

static void until_end(struct testing_scene *s, struct raw_receiver *r, const char *name,
		      struct wire_end *ret)
{
	begin(s, r, name);
	take_end(s, r, ret);
}

/* The sender has ended with @status and told so. */
static void expect_told(struct testing_scene *s, struct raw_receiver *r, enum mfd_status status,
			const char *text)
{
	struct wire_message m;

	raw_expect(r->control, WIRE_ERROR, &m);
	raw_close_receiver(r);
	testing_join(&s->pair);
	expect_end(&s->pair.sender, status, false, text);
	assert_int_equal(m.problem.status, status);
	assert_false(s->pair.sender.stats.committed);
	testing_scene_destroy(s);
}

/* ---- The table. ---- */

static const struct breach {
	const char *claim;
	enum mfd_status status;
	const char *text;            /* in the sender's error */

	/* What has happened: nothing, the packet and SYNC, or also END. */
	enum { BEGUN, ROUND, END } after;
	/* What the receiver says then; where it agrees with the sender but for this much. */
	enum wire_type says;
	struct wire_channel_ack ack;
	struct wire_sync_done more_done;
	struct wire_committed more_committed;
} breaches[] = {
	{ "an_acknowledgement_of_another_generation_is_76", MFD_PROTOCOL,
	  "generation that never was", BEGUN, WIRE_ACK, .ack = { 0, 2, 0 } },
	{ "an_acknowledgement_for_no_channel_is_76", MFD_PROTOCOL,
	  "channel 1 of 1", BEGUN, WIRE_ACK, .ack = { 1, 1, 0 } },
	{ "an_acknowledgement_of_a_packet_never_sent_is_76", MFD_PROTOCOL,
	  "packets that were never sent", ROUND, WIRE_ACK, .ack = { 0, 1, 3 } },
	{ "an_acknowledgement_of_very_many_packets_is_76", MFD_PROTOCOL,
	  "packets that were never sent", ROUND, WIRE_ACK, .ack = { 0, 1, UINT64_MAX } },
	{ "sync_done_of_a_later_round_is_76", MFD_PROTOCOL,
	  "SYNC_DONE out of turn", ROUND, WIRE_SYNC_DONE, .more_done.round = 1 },
	{ "more_packets_than_ours_are_65", MFD_DATA,
	  "round 0: the receiver wrote", ROUND, WIRE_SYNC_DONE, .more_done.totals.packets = 1 },
	{ "more_pages_than_ours_are_65", MFD_DATA,
	  "round 0: the receiver wrote", ROUND, WIRE_SYNC_DONE, .more_done.totals.pages = 1 },
	{ "more_zero_pages_than_ours_are_65", MFD_DATA,
	  "round 0: the receiver wrote", ROUND, WIRE_SYNC_DONE, .more_done.totals.zero_pages = 1 },
	{ "another_sum_than_ours_is_65", MFD_DATA,
	  "round 0: the receiver wrote", ROUND, WIRE_SYNC_DONE, .more_done.totals.sum = 1 },
	{ "committed_before_end_is_76", MFD_PROTOCOL,
	  "COMMITTED before END", ROUND, WIRE_COMMITTED, .more_committed = { 0 } },
	{ "committed_with_another_hash_is_65", MFD_DATA,
	  "the receiver committed", END, WIRE_COMMITTED, .more_committed.image_hash = 1 },
	{ "committed_with_another_size_is_65", MFD_DATA,
	  "the receiver committed", END, WIRE_COMMITTED, .more_committed.size = 1 },
};

static void breach_is_told(void **state)
{
	const struct breach *b = *state;
	struct totals totals = b->more_done.totals, taken = { 0 };
	struct raw_receiver r;
	struct wire_end end;
	struct testing_scene s;

	begin(&s, &r, b->claim);
	if (b->after == ROUND)
		take_round(&r, &taken);
	else if (b->after == END)
		take_end(&s, &r, &end);
	if (b->says == WIRE_ACK) {
		say_ack(&r, b->ack.channel, b->ack.generation, b->ack.written);
	} else if (b->says == WIRE_SYNC_DONE) {
		totals_add(&totals, &taken);
		say_ack(&r, 0, 1, 2);
		say_sync_done(&r, b->more_done.round, &totals);
	} else {
		say_committed(&r, s.image.size + b->more_committed.size,
			      testing_hash(&s.image) + b->more_committed.image_hash);
	}
	expect_told(&s, &r, b->status, b->text);
}

/* ---- With sessions of their own. ---- */

static void a_receiver_that_keeps_the_rules_is_believed(void **state)
{
	struct raw_receiver r;
	struct wire_end end;
	struct testing_scene s;

	(void)state;
	until_end(&s, &r, __func__, &end);
	say_committed(&r, end.size, end.image_hash);
	testing_join(&s.pair);
	assert_true(s.pair.sender.ok);
	finish(&s, &r);
}

static void a_receiver_that_goes_after_end_leaves_the_outcome_open(void **state)
{
	struct raw_receiver r;
	struct wire_end end;
	struct testing_scene s;

	(void)state;
	until_end(&s, &r, __func__, &end);
	raw_close_receiver(&r);
	testing_join(&s.pair);
	expect_end(&s.pair.sender, MFD_TRY_AGAIN, false, "outcome is not known");
	testing_scene_destroy(&s);
}

static void a_receiver_that_is_silent_after_end_leaves_the_outcome_open(void **state)
{
	struct raw_receiver r;
	struct wire_end end;
	struct testing_scene s;

	(void)state;
	begin_with(&s, &r, __func__, 500);
	take_end(&s, &r, &end);
	testing_join(&s.pair);
	expect_end(&s.pair.sender, MFD_TRY_AGAIN, false, "outcome is not known");
	finish(&s, &r);
}

/* SYNC_DONE alone does not end a round: not before everything is acknowledged. */
static void sync_done_without_acknowledgements_is_not_enough(void **state)
{
	struct raw_receiver r;
	struct wire_message m;
	struct totals totals;
	struct testing_scene s;

	(void)state;
	begin(&s, &r, __func__);
	take_round(&r, &totals);
	say_sync_done(&r, 0, &totals);
	do
		assert_true(raw_hear(r.control, &m));
	while (m.type != WIRE_HEARTBEAT); /* a second later it has not said END */
	say_ack(&r, 0, 1, 1);
	raw_expect(r.control, WIRE_END, &m);
	say_committed(&r, m.end.size, m.end.image_hash);
	testing_join(&s.pair);
	assert_true(s.pair.sender.ok);
	finish(&s, &r);
}

static void sync_done_twice_is_76(void **state)
{
	struct raw_receiver r;
	struct totals totals;
	struct testing_scene s;

	(void)state;
	begin(&s, &r, __func__);
	take_round(&r, &totals);
	say_sync_done(&r, 0, &totals);
	say_sync_done(&r, 0, &totals);
	expect_told(&s, &r, MFD_PROTOCOL, "SYNC_DONE out of turn");
}

/* The first SYNC_DONE comes before anything was sent at all. */
static void sync_done_before_sync_is_76(void **state)
{
	const struct totals nothing = { 0 };
	struct raw_receiver r;
	struct testing_scene s;

	(void)state;
	testing_scene_init(&s, __func__);
	s.pair.channels = 1;
	s.source.stall_page = 0;
	r.listening = raw_listen(&s.pair.port);
	assert_true(testing_start_sender(&s.pair));
	raw_welcome(&r);
	raw_accept_data(&r, 1);
	TESTING_WAIT(s.source.stalled);
	say_sync_done(&r, 0, &nothing);
	expect_told(&s, &r, MFD_PROTOCOL, "SYNC_DONE out of turn");
}

static void what_only_a_sender_may_say_is_76(void **state)
{
	const struct wire_message said[] = {
		{ .type = WIRE_HELLO, .hello = raw_hello(1, 4096) },
		{ .type = WIRE_WELCOME, .welcome = { .version = 1, .packet_pages = 1,
						     .methods = 1, .timeout_ms = 1000 } },
		{ .type = WIRE_REFUSE, .problem.status = MFD_DATA },
		{ .type = WIRE_END, .end.rounds = 1 },
	};

	(void)state;
	for (unsigned i = 0; i < TESTING_COUNT(said); i++) {
		struct raw_receiver r;
		struct testing_scene s;

		begin(&s, &r, __func__);
		raw_say(r.control, &said[i]);
		expect_told(&s, &r, MFD_PROTOCOL, "unexpected");
	}
}

static void terms_that_were_not_offered_are_76(void **state)
{
	static const struct wire_welcome wrong[] = {
		{ .version = 1, .packet_pages = 5, .methods = 1, .timeout_ms = 1000 },
		{ .version = 1, .packet_pages = 4, .methods = 1, .timeout_ms = 1000 },
	};

	(void)state;
	for (unsigned i = 0; i < TESTING_COUNT(wrong); i++) {
		struct wire_message m = { .type = WIRE_WELCOME, .welcome = wrong[i] }, hello;
		uint8_t raw[WIRE_PREAMBLE_BYTES];
		struct testing_scene s;
		int listening, fd;

		testing_scene_init(&s, __func__);
		s.pair.method = &method_zstd; /* which the second answer does not allow */
		listening = raw_listen(&s.pair.port);
		assert_true(testing_start_sender(&s.pair));
		fd = raw_accept(listening);
		assert_true(raw_recv(fd, raw, sizeof(raw)));
		raw_expect(fd, WIRE_HELLO, &hello);
		raw_say(fd, &m);
		raw_expect(fd, WIRE_ERROR, &m);
		assert_int_equal(m.problem.status, MFD_PROTOCOL);
		close(fd);
		close(listening);
		testing_join(&s.pair);
		expect_end(&s.pair.sender, MFD_PROTOCOL, false,
			   i ? "can't decode zstd" : "packets of 5 pages, offered were 4");
		testing_scene_destroy(&s);
	}
}

static void smaller_packets_than_offered_are_kept_to(void **state)
{
	struct wire_message m, hello;
	uint8_t raw[WIRE_PREAMBLE_BYTES];
	struct raw_receiver r;
	struct wire_packet p;
	struct testing_scene s;
	uint64_t pages = 0;

	(void)state;
	memset(r.data, -1, sizeof(r.data));
	testing_scene_init(&s, __func__);
	s.pair.channels = 1;
	r.listening = raw_listen(&s.pair.port);
	assert_true(testing_start_sender(&s.pair));
	r.control = raw_accept(r.listening);
	assert_true(raw_recv(r.control, raw, sizeof(raw)));
	raw_expect(r.control, WIRE_HELLO, &hello);
	m = (struct wire_message){ .type = WIRE_WELCOME,
				   .welcome = { .version = 1, .packet_pages = 3, .methods = 1,
						.timeout_ms = 20000 } };
	raw_say(r.control, &m);
	raw_accept_data(&r, 1);
	while (pages < 60 && raw_take_packet(&r, 0, &p)) {
		assert_true(p.count <= 3);
		pages += p.count;
	}
	assert_int_equal(pages, 60);
	finish(&s, &r);
}

static void what_the_receiver_says_is_shown_without_control_characters(void **state)
{
	struct wire_message m = { .type = WIRE_ERROR,
				  .problem = { .status = MFD_IO,
					       .text = "full\x1b]0;x\x07\r\n" } };
	struct raw_receiver r;
	struct testing_scene s;

	(void)state;
	begin(&s, &r, __func__);
	raw_say(r.control, &m);
	raw_expect_closed(r.control);
	testing_join(&s.pair);
	expect_end(&s.pair.sender, MFD_IO, true, "full\\x1b]0;x\\x07\\x0d\\x0a");
	finish(&s, &r);
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(a_receiver_that_keeps_the_rules_is_believed),
		cmocka_unit_test(a_receiver_that_goes_after_end_leaves_the_outcome_open),
		cmocka_unit_test(a_receiver_that_is_silent_after_end_leaves_the_outcome_open),
		cmocka_unit_test(sync_done_without_acknowledgements_is_not_enough),
		cmocka_unit_test(sync_done_twice_is_76),
		cmocka_unit_test(sync_done_before_sync_is_76),
		cmocka_unit_test(what_only_a_sender_may_say_is_76),
		cmocka_unit_test(terms_that_were_not_offered_are_76),
		cmocka_unit_test(smaller_packets_than_offered_are_kept_to),
		cmocka_unit_test(what_the_receiver_says_is_shown_without_control_characters),
	};
	struct CMUnitTest tests[TESTING_COUNT(breaches) + TESTING_COUNT(others)];

	for (unsigned i = 0; i < TESTING_COUNT(breaches); i++)
		tests[i] = (struct CMUnitTest){
			.name = breaches[i].claim,
			.test_func = breach_is_told,
			.initial_state = (void *)(uintptr_t)&breaches[i],
		};
	memcpy(tests + TESTING_COUNT(breaches), others, sizeof(others));
	return cmocka_run_group_tests_name("bad_receiver", tests, NULL, NULL);
}
