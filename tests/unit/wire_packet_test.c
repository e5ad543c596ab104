/* SPDX-License-Identifier: MIT */
/*
 * Packet headers: their bytes, every limit, what each kind may not carry, and that no
 * damaged one gets in.
 */
#include "wire_test.h"

#define MAX_INDEX (UINT64_C(1) << 50)

static const struct wire_packet pages = {
	.kind = WIRE_PAGES,
	.method = 2,
	.flags = WIRE_FLAG_AGAIN,
	.round = 0x00010203,
	.region = 0x0f,
	.sequence = 0x1011121314151617,
	.batch = 0x2021222324252627,
	.first = 0x0001323334353637,
	.count = 0x80,
	.data_pages = 0x40,
	.payload = 0x00030201,
	.sum = 0x5051525354555657,
	.bitmap_hash = 0x6061626364656667,
};

static const uint8_t golden[WIRE_PACKET_BYTES] = {
	0x4d, 0x46, 0x44, 0x70, 0x01, 0x02, 0x00, 0x02, /* magic, kind, method, flags */
	0x00, 0x01, 0x02, 0x03, 0x00, 0x00, 0x00, 0x0f, /* round, region */
	0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, /* sequence number */
	0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, /* batch id */
	0x00, 0x01, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, /* first page */
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, /* page count */
	0x00, 0x00, 0x00, 0x40, 0x00, 0x03, 0x02, 0x01, /* data pages, payload bytes */
	0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, /* sum */
	0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, /* checksum of the bitmaps */
	0xb2, 0x35, 0x78, 0x86, 0x64, 0xa6, 0x26, 0x6d, /* checksum */
};

/* As few pages as there can be, uncoded. */
static const struct wire_packet plain = {
	.kind = WIRE_PAGES, .count = 1, .data_pages = 1, .payload = PAGE_BYTES
};
/* Pages that are all zero, in a batch. */
static const struct wire_packet empty = { .kind = WIRE_PAGES, .count = 1024, .bitmap_hash = 1 };
static const struct wire_packet zero = { .kind = WIRE_ZERO, .count = 1 };
static const struct wire_packet sync_packet = { .kind = WIRE_SYNC,
						.round = 7,
						.sequence = UINT64_MAX };

static bool get(const uint8_t *raw, struct wire_packet *ret, struct mfd_error *err)
{
	uint8_t *copy = test_exact(raw, WIRE_PACKET_BYTES);
	bool ok = wire_get_packet(copy, ret, err);

	free(copy);
	return ok;
}

static void is_refused(const uint8_t *raw, enum mfd_status status, const char *text)
{
	struct wire_packet p;
	struct mfd_error err = { 0 };

	assert_false(get(raw, &p, &err));
	test_error_is(&err, status, text);
	test_error_is(&err, status, "packet header: ");
}

static void is_taken(const struct wire_packet *p)
{
	uint8_t raw[WIRE_PACKET_BYTES];
	struct wire_packet got;
	struct mfd_error err = { 0 };

	memset(&got, 0, sizeof(got));
	wire_put_packet(p, raw);
	if (!get(raw, &got, &err))
		fail_msg("refused: %s", err.text);
	assert_memory_equal(&got, p, sizeof(got));
}

static void check_cases(const struct wire_packet *p, const struct wire_case *list, size_t cases)
{
	uint8_t raw[WIRE_PACKET_BYTES];
	struct wire_packet got;
	struct mfd_error err = { 0 };

	for (size_t i = 0; i < cases; i++) {
		wire_put_packet(p, raw);
		test_poke(raw, list[i].offset, list[i].bytes, list[i].value);
		test_seal(raw, WIRE_PACKET_BYTES - 8);
		if (list[i].refusal)
			is_refused(raw, MFD_PROTOCOL, list[i].refusal);
		else if (!get(raw, &got, &err))
			fail_msg("case %zu was refused: %s", i, err.text);
	}
}

static void packet_has_the_bytes_of_its_table(void **state)
{
	uint8_t raw[WIRE_PACKET_BYTES];

	(void)state;
	wire_put_packet(&pages, raw);
	assert_memory_equal(raw, golden, sizeof(golden));
}

static void packets_of_all_kinds_come_back_as_they_were(void **state)
{
	(void)state;
	is_taken(&pages);
	is_taken(&plain);
	is_taken(&empty);
	is_taken(&zero);
	is_taken(&sync_packet);
}

static void largest_packets_come_back_as_they_were(void **state)
{
	struct wire_packet p = {
		.kind = WIRE_PAGES,
		.flags = WIRE_FLAG_RAW | WIRE_FLAG_AGAIN,
		.round = 99999,
		.region = 15,
		.sequence = UINT64_MAX,
		.batch = UINT64_MAX,
		.first = MAX_INDEX - 1024,
		.count = 1024,
		.data_pages = 1024,
		.payload = 1024 * PAGE_BYTES,
		.sum = UINT64_MAX,
		.bitmap_hash = UINT64_MAX,
	};

	(void)state;
	is_taken(&p);
	p = (struct wire_packet){ .kind = WIRE_ZERO,
				  .flags = WIRE_FLAG_AGAIN,
				  .round = 99999,
				  .region = 15,
				  .sequence = UINT64_MAX,
				  .batch = UINT64_MAX,
				  .count = MAX_INDEX };
	is_taken(&p);
	p = (struct wire_packet){ .kind = WIRE_SYNC, .round = 99999, .sequence = UINT64_MAX };
	is_taken(&p);
}

static void every_flipped_bit_of_a_packet_header_is_damage(void **state)
{
	const struct wire_packet *const each[] = { &pages, &empty, &zero, &sync_packet };
	uint8_t raw[WIRE_PACKET_BYTES];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		for (unsigned bit = 0; bit < 8 * WIRE_PACKET_BYTES; bit++) {
			wire_put_packet(each[i], raw);
			raw[bit / 8] ^= (uint8_t)(1u << (bit % 8));
			is_refused(raw, MFD_DATA, "checksum is wrong");
		}
	}
}

static void magic_kind_method_and_flags_are_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 0, 4, 0x4d464470, NULL },
		{ 0, 4, 0x4d464471, "magic 0x4d464471 is wrong" },
		{ 4, 1, 0, "kind 0 is unknown" },
		{ 4, 1, 1, NULL },
		{ 4, 1, 4, "kind 4 is unknown" },
		{ 4, 1, 0xff, "kind 255 is unknown" },
		{ 5, 1, 1, NULL },
		{ 5, 1, 2, NULL },
		{ 5, 1, 3, "method 3 is reserved" },
		{ 5, 1, 4, "method 4 is unknown" },
		{ 5, 1, 0xff, "method 255 is unknown" },
		{ 6, 2, 0, NULL },
		{ 6, 2, 2, NULL },
		{ 6, 2, 4, NULL },
		{ 6, 2, 8, "flags 0x0008 are unknown" },
		{ 6, 2, 0x8000, "flags 0x8000 are unknown" },
		{ 6, 2, 0xffff, "flags 0xfff8 are unknown" },
	};

	(void)state;
	check_cases(&pages, WIRE_CASES(list));
}

static void round_and_region_are_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 8, 4, 99998, NULL },
		{ 8, 4, 99999, NULL },
		{ 8, 4, 100000, "round: 100000 is not one of 0..99999" },
		{ 8, 4, 0xffffffff, "round: 4294967295 is not one of" },
	};
	static const struct wire_case regions[] = {
		{ 12, 4, 14, NULL },
		{ 12, 4, 15, NULL },
		{ 12, 4, 16, "region: 16 is not one of 0..15" },
		{ 12, 4, 0xffffffff, "region: 4294967295 is not one of" },
	};

	(void)state;
	check_cases(&pages, WIRE_CASES(list));
	check_cases(&pages, WIRE_CASES(regions));
	check_cases(&zero, WIRE_CASES(list));
	check_cases(&zero, WIRE_CASES(regions));
	check_cases(&sync_packet, WIRE_CASES(list));
}

static void page_count_is_bounded(void **state)
{
	static const struct wire_case for_pages[] = {
		{ 40, 8, 0, "pages: 0 is not one of 1..1024" },
		{ 40, 8, 1, NULL },
		{ 40, 8, 1023, NULL },
		{ 40, 8, 1024, NULL },
		{ 40, 8, 1025, "pages: 1025 is not one of 1..1024" },
		{ 40, 8, UINT64_MAX, "pages: 18446744073709551615 is not one of" },
	};
	static const struct wire_case for_zero[] = {
		{ 40, 8, 0, "pages: 0 is not one of 1..1125899906842624" },
		{ 40, 8, 1, NULL },
		{ 40, 8, MAX_INDEX - 1, NULL },
		{ 40, 8, MAX_INDEX, NULL },
		{ 40, 8, MAX_INDEX + 1, "pages: 1125899906842625 is not one of" },
		{ 40, 8, UINT64_MAX, "pages: 18446744073709551615 is not one of" },
	};

	(void)state;
	check_cases(&empty, WIRE_CASES(for_pages));
	check_cases(&zero, WIRE_CASES(for_zero));
}

static void first_page_plus_count_is_bounded_and_does_not_wrap(void **state)
{
	static const struct wire_case for_pages[] = {
		{ 32, 8, MAX_INDEX - 1025, NULL },
		{ 32, 8, MAX_INDEX - 1024, NULL },
		{ 32, 8, MAX_INDEX - 1023,
		  "first page: 1125899906841601 is not one of 0..1125899906841600" },
		{ 32, 8, UINT64_MAX - 1023, "first page: " },
		{ 32, 8, UINT64_MAX, "first page: 18446744073709551615 is not one of" },
	};
	static const struct wire_case for_zero[] = {
		{ 32, 8, MAX_INDEX - 2, NULL },
		{ 32, 8, MAX_INDEX - 1, NULL },
		{ 32, 8, MAX_INDEX,
		  "first page: 1125899906842624 is not one of 0..1125899906842623" },
		{ 32, 8, UINT64_MAX, "first page: 18446744073709551615 is not one of" },
	};

	(void)state;
	check_cases(&empty, WIRE_CASES(for_pages));
	check_cases(&zero, WIRE_CASES(for_zero));
}

static void data_pages_are_at_most_the_count(void **state)
{
	static const struct wire_case list[] = {
		{ 48, 4, 0x7f, NULL },
		{ 48, 4, 0x80, NULL },
		{ 48, 4, 0x81, "data pages: 129 is not one of 1..128" },
		{ 48, 4, 0x00100000, "data pages: 1048576 is not one of" }, /* times 4096 it is 0 */
		{ 48, 4, 0xffffffff, "data pages: 4294967295 is not one of" },
	};

	(void)state;
	check_cases(&pages, WIRE_CASES(list));
}

static void coded_payload_is_smaller_than_its_pages(void **state)
{
	static const struct wire_case list[] = {
		{ 52, 4, 0, "coded payload: 0 is not one of 1..262143" },
		{ 52, 4, 1, NULL },
		{ 52, 4, 0x40 * PAGE_BYTES - 1, NULL },
		{ 52, 4, 0x40 * PAGE_BYTES, "coded payload: 262144 is not one of" },
		{ 52, 4, 0x40 * PAGE_BYTES + 1, "coded payload: 262145 is not one of" },
		{ 52, 4, 0xffffffff, "coded payload: 4294967295 is not one of" },
	};

	(void)state;
	check_cases(&pages, WIRE_CASES(list));
}

static void plain_payload_is_exactly_its_pages(void **state)
{
	static const struct wire_case list[] = {
		{ 52, 4, 0, "plain payload: 0 bytes for 1 pages" },
		{ 52, 4, PAGE_BYTES - 1, "plain payload: 4095 bytes for 1 pages" },
		{ 52, 4, PAGE_BYTES, NULL },
		{ 52, 4, PAGE_BYTES + 1, "plain payload: 4097 bytes for 1 pages" },
		{ 52, 4, 0xffffffff, "plain payload: 4294967295 bytes for 1 pages" },
	};
	struct wire_packet raw = plain;

	(void)state;
	check_cases(&plain, WIRE_CASES(list));
	raw.flags = WIRE_FLAG_RAW;
	check_cases(&raw, WIRE_CASES(list));
}

static void raw_packet_has_no_method(void **state)
{
	static const struct wire_case list[] = {
		{ 6, 2, WIRE_FLAG_RAW, "flag RAW with method 2" },
		{ 6, 2, WIRE_FLAG_RAW | WIRE_FLAG_AGAIN, "flag RAW with method 2" },
		{ 6, 2, WIRE_FLAG_AGAIN, NULL },
	};

	(void)state;
	check_cases(&pages, WIRE_CASES(list));
}

static const struct wire_case no_payload[] = {
	{ 5, 1, 2, "method without payload: 0x2 in place of zero" },
	{ 6, 2, WIRE_FLAG_RAW, "flag RAW without payload" },
	{ 52, 4, 1, "payload: 0x1 in place of zero" },
	{ 52, 4, PAGE_BYTES, "payload: 0x1000 in place of zero" },
	{ 56, 8, 1, "sum: 0x1 in place of zero" },
	{ 56, 8, UINT64_MAX, "sum: " },
};

static void pages_without_data_carry_no_payload(void **state)
{
	static const struct wire_case fine[] = {
		{ 6, 2, WIRE_FLAG_AGAIN, NULL },
		{ 64, 8, 0, NULL },
		{ 64, 8, UINT64_MAX, NULL },
	};

	(void)state;
	check_cases(&empty, WIRE_CASES(no_payload));
	check_cases(&empty, WIRE_CASES(fine));
}

static void zero_packet_with_payload_is_refused(void **state)
{
	static const struct wire_case more[] = {
		{ 48, 4, 1, "data pages: 0x1 in place of zero" },
		{ 64, 8, 1, "bitmap checksum without bitmaps: 0x1 in place of zero" },
		{ 6, 2, WIRE_FLAG_AGAIN, NULL },
	};

	(void)state;
	check_cases(&zero, WIRE_CASES(no_payload));
	check_cases(&zero, WIRE_CASES(more));
}

static void sync_packet_with_pages_is_refused(void **state)
{
	static const struct wire_case list[] = {
		{ 5, 1, 1, "method without payload" },
		{ 6, 2, WIRE_FLAG_RAW, "flags of SYNC: 0x1 in place of zero" },
		{ 6, 2, WIRE_FLAG_AGAIN, "flags of SYNC: 0x2 in place of zero" },
		{ 6, 2, WIRE_FLAG_KEPT, "flags of SYNC: 0x4 in place of zero" },
		{ 12, 4, 1, "region of SYNC" },
		{ 32, 8, 1, "first page of SYNC" },
		{ 40, 8, 1, "pages of SYNC" },
		{ 48, 4, 1, "data pages: 0x1 in place of zero" },
		{ 52, 4, 1, "payload: 0x1 in place of zero" },
		{ 56, 8, 1, "sum: 0x1 in place of zero" },
		{ 64, 8, 1, "bitmap checksum without bitmaps" },
		{ 16, 8, 0, NULL },
	};

	(void)state;
	check_cases(&sync_packet, WIRE_CASES(list));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packet_has_the_bytes_of_its_table),
		cmocka_unit_test(packets_of_all_kinds_come_back_as_they_were),
		cmocka_unit_test(largest_packets_come_back_as_they_were),
		cmocka_unit_test(every_flipped_bit_of_a_packet_header_is_damage),
		cmocka_unit_test(magic_kind_method_and_flags_are_bounded),
		cmocka_unit_test(round_and_region_are_bounded),
		cmocka_unit_test(page_count_is_bounded),
		cmocka_unit_test(first_page_plus_count_is_bounded_and_does_not_wrap),
		cmocka_unit_test(data_pages_are_at_most_the_count),
		cmocka_unit_test(coded_payload_is_smaller_than_its_pages),
		cmocka_unit_test(plain_payload_is_exactly_its_pages),
		cmocka_unit_test(raw_packet_has_no_method),
		cmocka_unit_test(pages_without_data_carry_no_payload),
		cmocka_unit_test(zero_packet_with_payload_is_refused),
		cmocka_unit_test(sync_packet_with_pages_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
