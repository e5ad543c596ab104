/* SPDX-License-Identifier: MIT */
/*
 * Control messages that never arrive although the connection lives: heartbeats alone keep nobody
 * waiting for ever.  The receiver is one by hand, which says everything but one thing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>

#include "common/raw.h"
#include "common/testing.h"

#define TIMEOUT_MS 600u

struct unanswered {
	struct testing_scene scene;
	struct raw_receiver peer;
	struct wire_message done;    /* SYNC_DONE, to be said */
	struct wire_message ack;
	uint64_t bytes;              /* of the data connection */
};

/* Up to the SYNC of a session of one channel. */
static void begin(struct unanswered *u, const char *name)
{
	struct testing_pair *p = &u->scene.pair;
	struct wire_packet packet;

	memset(u, 0, sizeof(*u));
	testing_scene_init(&u->scene, name);
	u->scene.source.image.size = 8 * PAGE_BYTES;
	u->scene.source.source.info.size = 8 * PAGE_BYTES;
	p->channels = 1;
	p->timeout_ms = TIMEOUT_MS;
	u->peer.listening = raw_listen(&p->port);
	assert_true(testing_start_sender(p));
	raw_welcome(&u->peer);
	raw_accept_data(&u->peer, 1);
	u->bytes = WIRE_PREAMBLE_BYTES;
	u->done.type = WIRE_SYNC_DONE;
	u->ack.type = WIRE_ACK;
	do {
		assert_true(raw_take_packet(&u->peer, 0, &packet));
		u->bytes += WIRE_PACKET_BYTES;
		if (packet.kind == WIRE_PAGES)
			u->bytes += WIRE_BITMAPS_BYTES(packet.count) + packet.payload;
		if (packet.kind != WIRE_SYNC)
			totals_add(&u->done.sync_done.totals,
				   &(struct totals){ .packets = 1,
						     .pages = packet.count,
						     .zero_pages = packet.count - packet.data_pages,
						     .sum = packet.sum });
	} while (packet.kind != WIRE_SYNC);
	u->ack.ack.count = 1;
	u->ack.ack.channel[0] = (struct wire_channel_ack){ 0, 1, packet.sequence + 1 };
}

static void beat(struct unanswered *u, enum mfd_phase phase)
{
	struct wire_message m = { .type = WIRE_HEARTBEAT };
	uint8_t frame[WIRE_MAX_FRAME];

	m.heartbeat.phase = (uint8_t)phase;
	m.heartbeat.count = 1;
	m.heartbeat.channel[0] = (struct wire_channel_health){ 0, 1, u->bytes, WIRE_WAITS_NETWORK };
	/* It may have gone. */
	(void)raw_try_send(u->peer.control, frame, wire_put_message(&m, frame));
}

/* Beat until the sender says something else than that it lives; 0: it closed, or @until came. */
static enum wire_type beat_on(struct unanswered *u, enum mfd_phase phase, uint64_t until,
			      struct wire_message *ret)
{
	do {
		struct pollfd fd = { .fd = u->peer.control, .events = POLLIN };

		do
			beat(u, phase);
		while (!poll(&fd, 1, TIMEOUT_MS / 10) && clock_ns() < until);
		if (clock_ns() >= until || !raw_hear(u->peer.control, ret))
			return 0;
	} while (ret->type == WIRE_HEARTBEAT);
	return ret->type;
}

static void end(struct unanswered *u, bool well, const char *text)
{
	raw_close_receiver(&u->peer);
	testing_join(&u->scene.pair);
	assert_int_equal(u->scene.pair.sender.ok, well);
	if (!well) {
		assert_int_equal(u->scene.pair.sender.error.status, MFD_TRY_AGAIN);
		if (!strstr(u->scene.pair.sender.error.text, text))
			fail_msg("%s", u->scene.pair.sender.error.text);
	}
	testing_scene_destroy(&u->scene);
}

static void a_sync_that_is_never_done_ends_with_75(void **state)
{
	struct wire_message m;
	struct unanswered u;

	(void)state;
	begin(&u, __func__);
	raw_say(u.peer.control, &u.ack);
	assert_int_equal(beat_on(&u, MFD_MOVING, CLOCK_NEVER, &m), WIRE_ERROR);
	assert_int_equal(m.problem.status, MFD_TRY_AGAIN);
	end(&u, false, "does not answer SYNC");
}

static void packets_that_are_never_acknowledged_are_fenced(void **state)
{
	struct wire_message m, fenced = { .type = WIRE_FENCED };
	struct unanswered u;

	(void)state;
	begin(&u, __func__);
	assert_int_equal(beat_on(&u, MFD_MOVING, CLOCK_NEVER, &m), WIRE_CHANNEL_DOWN);
	assert_int_equal(m.fence.generation, 1);
	/* The answer is what was missed, and the rest goes on. */
	fenced.fence = (struct wire_fence){ 0, 1, u.ack.ack.channel[0].written };
	raw_say(u.peer.control, &fenced);
	raw_say(u.peer.control, &u.done);
	raw_expect(u.peer.control, WIRE_END, &m);
	m.committed = (struct wire_committed){ m.end.size, m.end.image_hash };
	m.type = WIRE_COMMITTED;
	raw_say(u.peer.control, &m);
	end(&u, true, NULL);
}

static void an_end_that_is_never_heard_ends_with_75(void **state)
{
	struct wire_message m;
	struct unanswered u;

	(void)state;
	begin(&u, __func__);
	raw_say(u.peer.control, &u.ack);
	raw_say(u.peer.control, &u.done);
	raw_expect(u.peer.control, WIRE_END, &m);
	assert_int_equal(beat_on(&u, MFD_MOVING, CLOCK_NEVER, &m), WIRE_ERROR);
	end(&u, false, "the outcome is not known");
}

static void a_flush_may_take_longer_than_the_timeout(void **state)
{
	const uint64_t until = clock_deadline_ms(3 * TIMEOUT_MS);
	struct wire_message m, committed = { .type = WIRE_COMMITTED };
	struct unanswered u;

	(void)state;
	begin(&u, __func__);
	raw_say(u.peer.control, &u.ack);
	raw_say(u.peer.control, &u.done);
	raw_expect(u.peer.control, WIRE_END, &m);
	committed.committed = (struct wire_committed){ m.end.size, m.end.image_hash };
	assert_int_equal(beat_on(&u, MFD_FLUSHING, until, &m), 0);
	assert_true(clock_ns() >= until);
	raw_say(u.peer.control, &committed);
	end(&u, true, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sync_that_is_never_done_ends_with_75),
		cmocka_unit_test(packets_that_are_never_acknowledged_are_fenced),
		cmocka_unit_test(an_end_that_is_never_heard_ends_with_75),
		cmocka_unit_test(a_flush_may_take_longer_than_the_timeout),
	};

	return cmocka_run_group_tests_name("unanswered", tests, NULL, NULL);
}
