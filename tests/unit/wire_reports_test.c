/* SPDX-License-Identifier: MIT */
/*
 * ACK, HEARTBEAT, CHANNEL_DOWN, FENCED, SYNC_DONE, END and COMMITTED: what is said about
 * channels and rounds.
 */
#include "wire_test.h"

#include "core/options.h"

#define MAX_IMAGE (UINT64_C(1) << 62)

static struct wire_message message(enum wire_type type)
{
	struct wire_message m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	return m;
}

static struct wire_message ack(uint16_t count)
{
	struct wire_message m = message(WIRE_ACK);

	m.ack.count = count;
	for (uint32_t i = 0; i < count; i++)
		m.ack.channel[i] = (struct wire_channel_ack){ WIRE_MAX_CHANNELS - 1 - i,
							      UINT32_MAX - i, UINT64_MAX - i };
	return m;
}

static struct wire_message heartbeat(uint16_t count)
{
	struct wire_message m = message(WIRE_HEARTBEAT);

	m.heartbeat.phase = MFD_FINISHED;
	m.heartbeat.count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct wire_channel_health *h = &m.heartbeat.channel[i];

		h->channel = WIRE_MAX_CHANNELS - 1 - i;
		h->generation = UINT32_MAX - i;
		h->received = UINT64_MAX - i;
		h->waits = i % 2;
	}
	return m;
}

static void acks_of_all_sizes_come_back_as_they_were(void **state)
{
	struct wire_message m;

	(void)state;
	for (uint16_t count = 1; count <= WIRE_MAX_CHANNELS; count++) {
		m = ack(count);
		test_round_trip(&m, 2 + 16u * count);
	}
	m = ack(3);
	test_body_has_its_size(&m);
}

static void entries_of_ack_are_bounded(void **state)
{
	static const struct wire_case most[] = {
		{ 0, 2, 127, "body is 16 bytes too long" },
		{ 0, 2, 128, NULL },
		{ 0, 2, 129, "entries: 129 is not one of 1..128" },
		{ 0, 2, 0xffff, "entries: 65535 is not one of 1..128" },
	};
	struct wire_message m = ack(WIRE_MAX_CHANNELS);
	uint8_t none[64] = { 0, WIRE_ACK, 0, 0, 0, 0, 0, 2, 0, 0 };

	(void)state;
	test_body_cases(&m, WIRE_CASES(most));
	test_seal(none, 10);
	test_frame_is_refused(none, 18, MFD_PROTOCOL, "ACK: entries: 0 is not one of 1..128");
}

static void channel_and_generation_of_each_entry_are_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 18, 4, 126, NULL },
		{ 18, 4, 127, NULL },
		{ 18, 4, 128, "channel: 128 is not one of 0..127" },
		{ 18, 4, 0xffffffff, "channel: 4294967295" },
		{ 22, 4, 0, "generation: 0 is not one of 1..4294967295" },
		{ 22, 4, 1, NULL },
		{ 22, 4, 0xffffffff, NULL },
		{ 26, 8, 0, NULL },
		{ 26, 8, UINT64_MAX, NULL },
	};
	struct wire_message m = ack(2);

	(void)state;
	test_body_cases(&m, WIRE_CASES(list));
}

static void heartbeats_of_all_sizes_come_back_as_they_were(void **state)
{
	struct wire_message m;

	(void)state;
	for (uint16_t count = 0; count <= WIRE_MAX_CHANNELS; count++) {
		m = heartbeat(count);
		test_round_trip(&m, 4 + 17u * count);
	}
	m = heartbeat(3);
	test_body_has_its_size(&m);
}

static void fields_of_heartbeat_are_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 0, 1, 0, NULL },
		{ 0, 1, 2, NULL },
		{ 0, 1, 3, NULL },
		{ 0, 1, 4, "phase: 4 is not one of 0..3" },
		{ 0, 1, 255, "phase: 255" },
		{ 1, 1, 1, "zero field" },
		{ 1, 1, 255, "zero field" },
		{ 2, 2, 127, "body is 17 bytes too long" },
		{ 2, 2, 128, NULL },
		{ 2, 2, 129, "entries: 129 is not one of 0..128" },
		{ 2, 2, 0xffff, "entries: 65535" },
		{ 21, 4, 126, NULL },
		{ 21, 4, 127, NULL },
		{ 21, 4, 128, "channel: 128 is not one of 0..127" },
		{ 21, 4, 0xffffffff, "channel: 4294967295" },
		{ 25, 4, 0, "generation: 0 is not one of 1..4294967295" },
		{ 25, 4, 1, NULL },
		{ 29, 8, 0, NULL },
		{ 29, 8, UINT64_MAX, NULL },
		{ 37, 1, 0, NULL },
		{ 37, 1, 1, NULL },
		{ 37, 1, 2, "waits for: 2 is not one of 0..1" },
		{ 37, 1, 255, "waits for: 255" },
	};
	struct wire_message m = heartbeat(WIRE_MAX_CHANNELS);

	(void)state;
	test_body_cases(&m, WIRE_CASES(list));
}

static void channel_down_and_fenced_are_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 0, 4, 0, NULL },
		{ 0, 4, 126, NULL },
		{ 0, 4, 127, NULL },
		{ 0, 4, 128, "channel: 128 is not one of 0..127" },
		{ 0, 4, 0xffffffff, "channel: 4294967295" },
		{ 4, 4, 0, "generation: 0 is not one of 1..4294967295" },
		{ 4, 4, 1, NULL },
		{ 4, 4, 0xffffffff, NULL },
	};
	struct wire_message m = message(WIRE_CHANNEL_DOWN);

	(void)state;
	m.fence.channel = 127;
	m.fence.generation = UINT32_MAX;
	test_round_trip(&m, 8);
	test_body_cases(&m, WIRE_CASES(list));
	m.type = WIRE_FENCED;
	m.fence.written = UINT64_MAX;
	test_round_trip(&m, 16);
	test_body_cases(&m, WIRE_CASES(list));
}

static void sync_done_is_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 0, 4, 0, NULL },
		{ 0, 4, 99998, NULL },
		{ 0, 4, 99999, NULL },
		{ 0, 4, 100000, "round: 100000 is not one of 0..99999" },
		{ 0, 4, 0xffffffff, "round: 4294967295" },
		{ 12, 8, 4, "totals: 5 zero pages of 4" },
		{ 12, 8, 5, NULL },
		{ 20, 8, 6, NULL },
		{ 20, 8, 7, "totals: 7 zero pages of 6" },
		{ 20, 8, UINT64_MAX, "totals: 18446744073709551615 zero pages of 6" },
		{ 28, 8, UINT64_MAX, NULL },
	};
	struct wire_message m = message(WIRE_SYNC_DONE);

	(void)state;
	m.sync_done.totals = (struct totals){ 3, 6, 5, 4 };
	test_round_trip(&m, 36);
	test_body_cases(&m, WIRE_CASES(list));
	m.sync_done.round = 99999;
	memset(&m.sync_done.totals, 0xff, sizeof(m.sync_done.totals));
	test_round_trip(&m, 36);
}

static void end_is_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 0, 4, 0, "rounds: 0 is not one of 1..100000" },
		{ 0, 4, 1, NULL },
		{ 0, 4, 99999, NULL },
		{ 0, 4, 100000, NULL },
		{ 0, 4, 100001, "rounds: 100001" },
		{ 0, 4, 0xffffffff, "rounds: 4294967295" },
		{ 4, 8, 0, NULL },
		{ 4, 8, MAX_IMAGE - 1, NULL },
		{ 4, 8, MAX_IMAGE, NULL },
		{ 4, 8, MAX_IMAGE + 1, "image size: 4611686018427387905" },
		{ 4, 8, UINT64_MAX, "image size: 18446744073709551615" }, /* by now it is known */
		{ 28, 8, 6, NULL },
		{ 28, 8, 7, "totals: 7 zero pages of 6" },
	};
	struct wire_message m = message(WIRE_END);

	(void)state;
	m.end.rounds = 1;
	m.end.totals.pages = 6;
	test_round_trip(&m, 52);
	test_body_cases(&m, WIRE_CASES(list));
	m.end.rounds = 100000;
	m.end.size = MAX_IMAGE;
	memset(&m.end.totals, 0xff, sizeof(m.end.totals));
	m.end.image_hash = UINT64_MAX;
	test_round_trip(&m, 52);
}

static void committed_is_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 0, 8, MAX_IMAGE - 1, NULL },
		{ 0, 8, MAX_IMAGE, NULL },
		{ 0, 8, MAX_IMAGE + 1, "image size: 4611686018427387905" },
		{ 0, 8, UINT64_MAX, "image size: 18446744073709551615" },
	};
	struct wire_message m = message(WIRE_COMMITTED);

	(void)state;
	test_round_trip(&m, 16);
	test_body_cases(&m, WIRE_CASES(list));
	m.committed.size = MAX_IMAGE;
	m.committed.image_hash = UINT64_MAX;
	test_round_trip(&m, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acks_of_all_sizes_come_back_as_they_were),
		cmocka_unit_test(entries_of_ack_are_bounded),
		cmocka_unit_test(channel_and_generation_of_each_entry_are_bounded),
		cmocka_unit_test(heartbeats_of_all_sizes_come_back_as_they_were),
		cmocka_unit_test(fields_of_heartbeat_are_bounded),
		cmocka_unit_test(channel_down_and_fenced_are_bounded),
		cmocka_unit_test(sync_done_is_bounded),
		cmocka_unit_test(end_is_bounded),
		cmocka_unit_test(committed_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
