/* SPDX-License-Identifier: MIT */
/*
 * Methods: the table, levels, runs as IOVs, and that what goes in comes out, for every method
 * and level. What must not come out is in method_damage_test.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <assert.h>

#include "core/batch.h"
#include "method_fixture.h"

static_assert(METHOD_MAX_BYTES == BATCH_MAX_BYTES, "a payload holds the pages of one batch");
static_assert(MAX_PAGES == BATCH_MAX_PAGES && PAGE == PAGE_BYTES,
	      "the fixture goes up to the limits");

/*
 * Every level of zlib; of zstd the ends and the levels at which its strategy changes for
 * packets of this size.
 */
static const int zlib_levels[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
static const int zstd_levels[] = { -7, -1, 1, 3, 5, 9, 19 };
static const int none_levels[] = { 0 };
static const int auto_levels[] = { 1, 9, 19 };

static const struct {
	const struct method_ops *ops;
	const int *levels;
	size_t count;
} cases[] = {
	{ &method_none, none_levels, 1 },
	{ &method_zlib, zlib_levels, sizeof(zlib_levels) / sizeof(int) },
	{ &method_zstd, zstd_levels, sizeof(zstd_levels) / sizeof(int) },
	{ &method_auto, auto_levels, sizeof(auto_levels) / sizeof(int) },
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static void methods_are_found_by_name_and_id(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; method_at(i); i++) {
		assert_ptr_equal(method_by_name(method_at(i)->name), method_at(i));
		assert_ptr_equal(method_by_id(method_at(i)->id), method_at(i));
	}
	assert_int_equal(i, 3);
	assert_ptr_equal(method_by_id(0), &method_none);
	assert_ptr_equal(method_by_id(1), &method_zlib);
	assert_ptr_equal(method_by_id(2), &method_zstd);
}

static void unknown_methods_are_not_found(void **state)
{
	(void)state;
	assert_null(method_by_name("lz4"));
	assert_null(method_by_name(""));
	assert_null(method_by_name("zst"));
	assert_null(method_by_id(METHOD_LZ4_RESERVED));
	assert_null(method_by_id(4));
	assert_null(method_by_id(UINT32_MAX));
	assert_null(method_at(UINT32_MAX));
}

static void levels_in_range_are_taken(void **state)
{
	struct mfd_error err;

	(void)state;
	for (int level = 1; level <= 9; level++)
		assert_true(method_check_level(&method_zlib, level, &err));
	for (int level = -7; level <= 19; level++)
		if (level)
			assert_true(method_check_level(&method_zstd, level, &err));
	assert_true(method_check_level(&method_zlib, method_zlib.level_default, &err));
	assert_true(method_check_level(&method_zstd, method_zstd.level_default, &err));
	assert_int_equal(method_zlib.level_default, 1);
	assert_int_equal(method_zstd.level_default, 1);
}

static void assert_level_refused(const struct method_ops *ops, int level, const char *text)
{
	struct mfd_error err;

	assert_false(method_check_level(ops, level, &err));
	assert_int_equal(err.status, MFD_USAGE);
	assert_string_equal(err.text, text);
}

static void levels_out_of_range_are_refused_with_the_range(void **state)
{
	static const int zlib_bad[] = { INT32_MIN, -1, 0, 10, INT32_MAX };
	static const int zstd_bad[] = { INT32_MIN, -8, 0, 20, INT32_MAX };

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		assert_level_refused(&method_zlib, zlib_bad[i], "zlib levels are 1..9");
		assert_level_refused(&method_zstd, zstd_bad[i],
				     "zstd levels are -7..-1 and 1..19");
		assert_level_refused(&method_none, zlib_bad[i], "none has no levels");
	}
	assert_level_refused(&method_none, 1, "none has no levels");
}

static void runs_become_iovs(void **state)
{
	struct iovec iov[METHOD_IOVS(MAX_PAGES)];
	struct method_payload payload = { .iov = iov };
	struct batch_pages b;

	(void)state;
	batch_pages_make(&b, ALTERNATING, MAX_PAGES - 1, 1);
	method_raw(&b.pages, &payload);
	assert_int_equal(payload.id, METHOD_NONE);
	assert_int_equal(payload.iovs, METHOD_IOVS(MAX_PAGES - 1));
	assert_int_equal(payload.bytes, MAX_PAGES / 2 * PAGE);
	for (unsigned i = 0; i < payload.iovs; i++) {
		assert_ptr_equal(iov[i].iov_base, b.pages.bytes + 2 * i * PAGE);
		assert_int_equal(iov[i].iov_len, PAGE);
	}
	bitmap_fill(b.data, MAX_PAGES - 1);
	b.pages.data_pages = MAX_PAGES - 1;
	method_raw(&b.pages, &payload);
	assert_int_equal(payload.iovs, 1);
	assert_int_equal(iov[0].iov_len, (MAX_PAGES - 1) * PAGE);
	batch_pages_free(&b);
}

static void packed_pages_keep_their_order(void **state)
{
	struct iovec iov[METHOD_IOVS(64)];
	struct method_payload payload = { .iov = iov };
	struct batch_pages b;

	(void)state;
	batch_pages_make(&b, ALTERNATING, 63, 2);
	method_pack(&b.pages);
	assert_true(b.pages.packed);
	assert_memory_equal(b.pages.bytes, b.expected, b.bytes);
	method_pack(&b.pages);
	assert_memory_equal(b.pages.bytes, b.expected, b.bytes);
	method_raw(&b.pages, &payload);
	assert_int_equal(payload.iovs, 1);
	assert_ptr_equal(iov[0].iov_base, b.pages.bytes);
	assert_int_equal(iov[0].iov_len, b.bytes);
	batch_pages_free(&b);
}

/*
 * One packet of a kind through one method and level; the receiver is the one that the
 * payload's id names.
 */
static void round_trip(struct method *sender, enum kind kind, uint32_t count)
{
	struct batch_pages b;
	struct packet packet;
	struct method *receiver;

	batch_pages_make(&b, kind, count, count * 10 + kind);
	packet = packet_make(sender, &b);
	if (kind == RANDOM)
		assert_int_equal(packet.id, METHOD_NONE);
	else
		assert_int_equal(packet.id, sender->ops->id);
	receiver = receiver_new(method_by_id(packet.id));
	assert_decodes(receiver, &packet, &b);
	receiver->ops->free(receiver);
	free(packet.bytes);
	batch_pages_free(&b);
}

static void every_method_level_and_kind_comes_back_exactly(void **state)
{
	static const uint32_t counts[] = { 1, 2, 64, 65 };
	struct method *sender;

	(void)state;
	for (size_t c = 0; c < CASES; c++) {
		for (size_t l = 0; l < cases[c].count; l++) {
			sender = sender_new(cases[c].ops, cases[c].levels[l], 65 * PAGE);
			for (unsigned kind = 0; kind < KINDS; kind++)
				for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++)
					round_trip(sender, kind, counts[n]);
			sender->ops->free(sender);
		}
	}
}

static void packets_of_1024_pages_come_back_exactly(void **state)
{
	struct method *sender;

	(void)state;
	for (size_t c = 0; c < CASES; c++) {
		for (size_t l = 0; l < cases[c].count; l++) {
			/*
			 * The lowest, the default and the highest: what lies between has the
			 * same limits.
			 */
			if (l && l + 1 < cases[c].count && cases[c].levels[l] != 1)
				continue;
			sender = sender_new(cases[c].ops, cases[c].levels[l], METHOD_MAX_BYTES);
			for (unsigned kind = 0; kind < KINDS; kind++)
				round_trip(sender, kind, MAX_PAGES);
			sender->ops->free(sender);
		}
	}
}

static void packed_input_is_taken_as_it_is(void **state)
{
	struct method *sender, *receiver;
	struct batch_pages b;
	struct packet packet;

	(void)state;
	for (size_t c = 0; c < CASES; c++) {
		batch_pages_make(&b, ALTERNATING, 31, 5);
		method_pack(&b.pages);
		sender = sender_new(cases[c].ops, cases[c].ops->level_default, 16 * PAGE);
		packet = packet_make(sender, &b);
		receiver = receiver_new(method_by_id(packet.id));
		assert_decodes(receiver, &packet, &b);
		receiver->ops->free(receiver);
		sender->ops->free(sender);
		free(packet.bytes);
		batch_pages_free(&b);
	}
}

static void packets_do_not_depend_on_each_other(void **state)
{
	/*
	 * A random packet in the middle: coding it was given up half-way, which must leave no
	 * trace either.
	 */
	static const enum kind kinds[] = { TEXT, TEXT, RANDOM, TEXT, ALTERNATING, TEXT };
	struct method *sender, *receiver;
	struct batch_pages b[6];
	struct packet packet[6];

	(void)state;
	for (size_t c = 0; c < CASES; c++) {
		sender = sender_new(cases[c].ops, cases[c].ops->level_default, 64 * PAGE);
		for (size_t i = 0; i < 6; i++) {
			batch_pages_make(&b[i], kinds[i], i == 4 ? 64 : 16, 77 + i / 2);
			packet[i] = packet_make(sender, &b[i]);
		}
		sender->ops->free(sender);
		for (size_t i = 6; i-- > 0;) {
			receiver = receiver_new(method_by_id(packet[i].id));
			assert_decodes(receiver, &packet[i], &b[i]);
			assert_decodes(receiver, &packet[i], &b[i]);
			receiver->ops->free(receiver);
			free(packet[i].bytes);
			batch_pages_free(&b[i]);
		}
	}
}

static void more_pages_than_agreed_are_a_bug_not_an_overflow(void **state)
{
	struct iovec iov[METHOD_IOVS(3)];
	struct method_payload payload = { .iov = iov };
	struct batch_pages b;
	struct method *sender;
	struct mfd_error err;

	(void)state;
	batch_pages_make(&b, TEXT, 3, 1);
	for (size_t c = 1; c < CASES; c++) {
		sender = sender_new(cases[c].ops, 1, 3 * PAGE - 1);
		assert_false(sender->ops->send_prepare(sender, &b.pages, &payload, &err));
		assert_int_equal(err.status, MFD_BUG);
		sender->ops->free(sender);
		sender = sender_new(cases[c].ops, 1, 3 * PAGE);
		assert_true(sender->ops->send_prepare(sender, &b.pages, &payload, &err));
		sender->ops->free(sender);
	}
	batch_pages_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(methods_are_found_by_name_and_id),
		cmocka_unit_test(unknown_methods_are_not_found),
		cmocka_unit_test(levels_in_range_are_taken),
		cmocka_unit_test(levels_out_of_range_are_refused_with_the_range),
		cmocka_unit_test(runs_become_iovs),
		cmocka_unit_test(packed_pages_keep_their_order),
		cmocka_unit_test(every_method_level_and_kind_comes_back_exactly),
		cmocka_unit_test(packets_of_1024_pages_come_back_exactly),
		cmocka_unit_test(packed_input_is_taken_as_it_is),
		cmocka_unit_test(packets_do_not_depend_on_each_other),
		cmocka_unit_test(more_pages_than_agreed_are_a_bug_not_an_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
