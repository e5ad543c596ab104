/* SPDX-License-Identifier: MIT */
/*
 * HELLO and WELCOME: every field at its limits, regions, extensions, and versions that
 * are not ours.
 */
#include "wire_test.h"

#include "compress/method.h"

_Static_assert(WIRE_METHOD_NONE == METHOD_NONE && WIRE_MAX_METHOD == METHOD_ZSTD &&
		       WIRE_METHOD_LZ4_RESERVED == METHOD_LZ4_RESERVED,
	       "the wire and the methods agree on their ids");

#define UNKNOWN UINT64_MAX
#define MAX_IMAGE (UINT64_C(1) << 62)

/* Where the region begins in a HELLO, and the extensions behind one region without a name. */
#define REGION 50
#define EXTENSIONS (REGION + 14)

static struct wire_message hello(void)
{
	struct wire_message m;

	memset(&m, 0, sizeof(m));
	m.type = WIRE_HELLO;
	m.hello.version_min = 1;
	m.hello.version_max = 1;
	m.hello.page_bytes = PAGE_BYTES;
	m.hello.packet_pages = 128;
	m.hello.channels = 8;
	m.hello.methods = 7;
	m.hello.method = METHOD_ZSTD;
	m.hello.level = -7;
	m.hello.timeout_ms = 30000;
	m.hello.size = UINT64_C(0x100000000);
	m.hello.allocated = UINT64_C(0x80000000);
	m.hello.regions = 1;
	m.hello.region[0].size = m.hello.size;
	return m;
}

static struct wire_message welcome(void)
{
	struct wire_message m;

	memset(&m, 0, sizeof(m));
	m.type = WIRE_WELCOME;
	m.welcome.version = 1;
	m.welcome.packet_pages = 128;
	m.welcome.methods = 7;
	m.welcome.timeout_ms = 30000;
	memcpy(m.welcome.token, "0123456789abcdef", WIRE_TOKEN_BYTES);
	return m;
}

static void check_hello(const struct wire_case *list, size_t cases)
{
	struct wire_message m = hello();

	test_body_cases(&m, list, cases);
}

static void check_welcome(const struct wire_case *list, size_t cases)
{
	struct wire_message m = welcome();

	test_body_cases(&m, list, cases);
}

/*
 * Encode @m, put @size bytes in place of its last two, the number of extensions, and seal
 * it; the frame's size.
 */
static size_t with_extensions(const struct wire_message *m, const void *extensions, size_t size,
			      uint8_t *raw)
{
	size_t end = wire_put_message(m, raw) - WIRE_FRAME_TAIL_BYTES - 2;

	memcpy(raw + end, extensions, size);
	test_poke(raw, 4, 4, end + size - WIRE_FRAME_HEAD_BYTES);
	test_seal(raw, end + size);
	return end + size + WIRE_FRAME_TAIL_BYTES;
}

static void hello_has_the_bytes_of_its_table(void **state)
{
	static const uint8_t golden[] = {
		0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x49, /* type, flags, bytes in the body */
		0x00, 0x01, 0x00, 0x01,                         /* versions */
		0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x80, /* page size, packet pages */
		0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x07, /* channels, methods */
		0x00, 0x02, 0xff, 0xf9,                         /* method, level */
		0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x75, 0x30, /* flags, timeout */
		0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, /* image size */
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* allocated: not known */
		0x00, 0x01,                                     /* regions */
		0x00, 0x00, 0x00, 0x00,                         /* id */
		0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, /* size */
		0x00, 0x07, 'r', 'a', 'm', '.', 'b', 'i', 'n',  /* name */
		0x00, 0x00,                                     /* extensions */
		0x5d, 0x63, 0x57, 0xf6, 0xbc, 0x37, 0x19, 0x2f, /* checksum */
	};
	struct wire_message m = hello();
	uint8_t raw[WIRE_MAX_FRAME];

	(void)state;
	m.hello.flags = WIRE_HELLO_ROUNDS;
	m.hello.allocated = UNKNOWN;
	m.hello.region[0].name_bytes = 7;
	memcpy(m.hello.region[0].name, "ram.bin", 7);
	assert_int_equal(wire_put_message(&m, raw), sizeof(golden));
	assert_memory_equal(raw, golden, sizeof(golden));
}

static void smallest_and_largest_hello_come_back_as_they_were(void **state)
{
	struct wire_message m = hello();

	(void)state;
	test_round_trip(&m, EXTENSIONS + 2);
	m.hello = (struct wire_hello){ .version_min = 1,
				       .version_max = UINT16_MAX,
				       .page_bytes = PAGE_BYTES,
				       .packet_pages = 1024,
				       .channels = 128,
				       .methods = UINT32_MAX,
				       .method = 2,
				       .level = INT16_MIN,
				       .flags = WIRE_HELLO_ROUNDS,
				       .timeout_ms = 86400000,
				       .size = UNKNOWN,
				       .allocated = UNKNOWN,
				       .regions = WIRE_MAX_REGIONS };
	for (uint32_t i = 0; i < WIRE_MAX_REGIONS; i++) {
		struct wire_region *r = &m.hello.region[i];

		r->id = WIRE_MAX_REGIONS - 1 - i;
		r->size = i % 2 ? UNKNOWN : MAX_IMAGE;
		r->name_bytes = WIRE_MAX_NAME;
		for (unsigned at = 0; at < WIRE_MAX_NAME; at++)
			r->name[at] = (uint8_t)(at + i);
	}
	test_round_trip(&m, REGION + WIRE_MAX_REGIONS * (14 + WIRE_MAX_NAME) + 2);
}

static void regions_with_names_end_where_they_end(void **state)
{
	struct wire_message m = hello();

	(void)state;
	m.hello.regions = 2;
	m.hello.region[1].id = 1;
	m.hello.region[0].name_bytes = 3;
	m.hello.region[1].name_bytes = 5;
	test_body_has_its_size(&m);
	m = welcome();
	test_body_has_its_size(&m);
}

static void versions_are_a_range(void **state)
{
	static const struct wire_case list[] = {
		{ 0, 4, 0x00000000, "versions 0..0 make no range" },
		{ 0, 4, 0x00000001, "versions 0..1 make no range" },
		{ 0, 4, 0x00010000, "versions 1..0 make no range" },
		{ 0, 4, 0x00010001, NULL },
		{ 0, 4, 0x00010002, NULL },
		{ 0, 4, 0x0001ffff, NULL },
		{ 0, 4, 0x00020001, "versions 2..1 make no range" },
		{ 0, 4, 0x00020002, NULL },
		{ 0, 4, 0xfffffffe, "versions 65535..65534 make no range" },
		{ 0, 4, 0xffffffff, NULL },
	};

	(void)state;
	check_hello(WIRE_CASES(list));
}

static void hello_of_a_later_version_shows_its_versions_only(void **state)
{
	uint8_t raw[WIRE_MAX_FRAME];
	struct wire_message got;

	(void)state;
	for (size_t body = 4; body < 200; body++) {
		memset(raw, 0xee, sizeof(raw));
		test_poke(raw, 0, 8, UINT64_C(0x0001000000000000) + body);
		test_poke(raw, 8, 4, 0x00020005);
		test_seal(raw, WIRE_FRAME_HEAD_BYTES + body);
		memset(&got, 0xdd, sizeof(got));
		test_frame_is_taken(raw, WIRE_FRAME_HEAD_BYTES + body + WIRE_FRAME_TAIL_BYTES,
				    &got);
		assert_int_equal(got.hello.version_min, 2);
		assert_int_equal(got.hello.version_max, 5);
		assert_int_equal(got.hello.channels, 0);
		assert_int_equal(got.hello.regions, 0);
	}
	test_poke(raw, 4, 4, 3);
	test_seal(raw, WIRE_FRAME_HEAD_BYTES + 3);
	test_frame_is_refused(raw, WIRE_FRAME_HEAD_BYTES + 3 + WIRE_FRAME_TAIL_BYTES,
			      MFD_PROTOCOL, "body is too short");
}

static void page_size_packet_pages_and_channels_are_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 4, 4, 0, "page size: 0 is not one of 4096..4096" },
		{ 4, 4, 4095, "page size: 4095" },
		{ 4, 4, 4096, NULL },
		{ 4, 4, 4097, "page size: 4097" },
		{ 4, 4, 0xffffffff, "page size: 4294967295" },
		{ 8, 4, 0, "packet pages: 0 is not one of 1..1024" },
		{ 8, 4, 1, NULL },
		{ 8, 4, 1023, NULL },
		{ 8, 4, 1024, NULL },
		{ 8, 4, 1025, "packet pages: 1025" },
		{ 8, 4, 0xffffffff, "packet pages: 4294967295" },
		{ 12, 4, 0, "channels: 0 is not one of 1..128" },
		{ 12, 4, 1, NULL },
		{ 12, 4, 127, NULL },
		{ 12, 4, 128, NULL },
		{ 12, 4, 129, "channels: 129" },
		{ 12, 4, 0xffffffff, "channels: 4294967295" },
	};

	(void)state;
	check_hello(WIRE_CASES(list));
}

static void methods_hold_none_and_the_sessions(void **state)
{
	static const struct wire_case list[] = {
		{ 16, 4, 0, "methods 0x0 are without method none" },
		{ 16, 4, 4, "methods 0x4 are without method none" },
		{ 16, 4, 0xfffffffe, "methods 0xfffffffe are without method none" },
		{ 16, 4, 1, "method 2 is not one of the methods 0x1" },
		{ 16, 4, 3, "method 2 is not one of the methods 0x3" },
		{ 16, 4, 5, NULL },
		{ 16, 4, 0xffffffff, NULL },
		{ 20, 2, 0, NULL },
		{ 20, 2, 1, NULL },
		{ 20, 2, 2, NULL },
		{ 20, 2, 3, "method: 3 is not one of 0..2" },
		{ 20, 2, 32, "method: 32 is not one of 0..2" },
		{ 20, 2, 0xffff, "method: 65535 is not one of 0..2" },
		{ 22, 2, 0x7fff, NULL },
		{ 22, 2, 0x8000, NULL },
	};

	(void)state;
	check_hello(WIRE_CASES(list));
}

static void flags_and_timeout_are_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 24, 4, 0, NULL },
		{ 24, 4, 1, NULL },
		{ 24, 4, 2, "flags 0x2 are unknown" },
		{ 24, 4, 0x80000000, "flags 0x80000000 are unknown" },
		{ 24, 4, 0xffffffff, "flags 0xfffffffe are unknown" },
		{ 28, 4, 0, "timeout: 0 is not one of 1..86400000" },
		{ 28, 4, 1, NULL },
		{ 28, 4, 86399999, NULL },
		{ 28, 4, 86400000, NULL },
		{ 28, 4, 86400001, "timeout: 86400001" },
		{ 28, 4, 0xffffffff, "timeout: 4294967295" },
	};

	(void)state;
	check_hello(WIRE_CASES(list));
}

static void sizes_are_bounded_or_not_known(void **state)
{
	static const struct wire_case list[] = {
		{ 32, 8, 0, NULL },
		{ 32, 8, MAX_IMAGE - 1, NULL },
		{ 32, 8, MAX_IMAGE, NULL },
		{ 32, 8, MAX_IMAGE + 1,
		  "image size: 4611686018427387905 is not one of 0..4611686018427387904" },
		{ 32, 8, UNKNOWN - 1, "image size: 18446744073709551614" },
		{ 32, 8, UNKNOWN, NULL },
		{ 40, 8, 0, NULL },
		{ 40, 8, MAX_IMAGE - 1, NULL },
		{ 40, 8, MAX_IMAGE, NULL },
		{ 40, 8, MAX_IMAGE + 1, "allocated bytes: 4611686018427387905" },
		{ 40, 8, UNKNOWN - 1, "allocated bytes: 18446744073709551614" },
		{ 40, 8, UNKNOWN, NULL },
		{ REGION + 4, 8, 0, NULL },
		{ REGION + 4, 8, MAX_IMAGE - 1, NULL },
		{ REGION + 4, 8, MAX_IMAGE, NULL },
		{ REGION + 4, 8, MAX_IMAGE + 1, "region's size: 4611686018427387905" },
		{ REGION + 4, 8, UNKNOWN - 1, "region's size: 18446744073709551614" },
		{ REGION + 4, 8, UNKNOWN, NULL },
	};

	(void)state;
	check_hello(WIRE_CASES(list));
}

static void regions_and_their_names_are_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 48, 2, 0, "regions: 0 is not one of 1..16" },
		{ 48, 2, 1, NULL },
		{ 48, 2, 16, "body is too short" },
		{ 48, 2, 17, "regions: 17 is not one of 1..16" },
		{ 48, 2, 0xffff, "regions: 65535 is not one of 1..16" },
		{ REGION, 4, 14, NULL },
		{ REGION, 4, 15, NULL },
		{ REGION, 4, 16, "region's id: 16 is not one of 0..15" },
		{ REGION, 4, 0xffffffff, "region's id: 4294967295" },
		{ REGION + 12, 2, 1, "body is too short" },
		{ REGION + 12, 2, 255, "body is too short" },
		{ REGION + 12, 2, 256, "bytes in a region's name: 256 is not one of 0..255" },
		{ REGION + 12, 2, 0xffff, "bytes in a region's name: 65535" },
	};
	struct wire_message m = hello();

	(void)state;
	check_hello(WIRE_CASES(list));
	for (uint16_t size = WIRE_MAX_NAME - 1; size <= WIRE_MAX_NAME; size++) {
		m.hello.region[0].name_bytes = size;
		memset(m.hello.region[0].name, '/', size);
		test_round_trip(&m, EXTENSIONS + size + 2u);
	}
	m.hello.region[0].name_bytes = 0;
	for (uint16_t regions = WIRE_MAX_REGIONS - 1; regions <= WIRE_MAX_REGIONS; regions++) {
		m.hello.regions = regions;
		for (uint32_t i = 0; i < regions; i++)
			m.hello.region[i].id = i;
		memset(m.hello.region[0].name, 0, sizeof(m.hello.region[0].name));
		test_round_trip(&m, REGION + 14u * regions + 2);
	}
}

static void region_that_comes_twice_is_refused(void **state)
{
	uint8_t raw[WIRE_MAX_FRAME];
	struct wire_message m = hello();
	struct wire_message got;

	(void)state;
	m.hello.regions = 3;
	m.hello.region[0].id = 15;
	m.hello.region[1].id = 0;
	m.hello.region[2].id = 15;
	test_frame_is_refused(raw, wire_put_message(&m, raw), MFD_PROTOCOL,
			      "region 15 comes twice");
	m.hello.region[2].id = 14;
	test_frame_is_taken(raw, wire_put_message(&m, raw), &got);
}

static void unknown_extensions_are_skipped(void **state)
{
	static const uint8_t two[] = { 0, 2, 0x7f, 0xff, 0, 3, 'a', 'b', 'c', 0, 17, 0, 0 };
	struct wire_message each[] = { hello(), welcome() };
	uint8_t raw[WIRE_MAX_FRAME];
	struct wire_message got;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		memset(&got, 0, sizeof(got));
		test_frame_is_taken(raw, with_extensions(&each[i], two, sizeof(two), raw), &got);
		assert_memory_equal(&got, &each[i], sizeof(got));
	}
}

static void extension_that_must_be_understood_is_refused(void **state)
{
	static const uint8_t first[] = { 0, 1, 0x80, 0x01, 0, 0 };
	static const uint8_t second[] = { 0, 2, 0x00, 0x11, 0, 1, 'x', 0xff, 0xff, 0, 0 };
	struct wire_message each[] = { hello(), welcome() };
	uint8_t raw[WIRE_MAX_FRAME];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		test_frame_is_refused(raw, with_extensions(&each[i], first, sizeof(first), raw),
				      MFD_PROTOCOL, "extension 0x8001 is not understood");
		test_frame_is_refused(raw, with_extensions(&each[i], second, sizeof(second), raw),
				      MFD_PROTOCOL, "extension 0xffff is not understood");
	}
}

static void extensions_are_bounded(void **state)
{
	static const uint8_t beyond[] = { 0, 1, 0, 1, 0, 4, 'a', 'b', 'c' };
	static const uint8_t longest[] = { 0, 1, 0, 1, 0xff, 0xff, 'a' };
	uint8_t list[2 + 4 * (WIRE_MAX_EXTENSIONS + 1)] = { 0 };
	struct wire_message each[] = { hello(), welcome() };
	uint8_t raw[WIRE_MAX_FRAME];
	struct wire_message got;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		test_poke(list, 0, 2, WIRE_MAX_EXTENSIONS - 1);
		test_frame_is_taken(raw, with_extensions(&each[i], list, 2 + 4 * 31, raw), &got);
		test_poke(list, 0, 2, WIRE_MAX_EXTENSIONS);
		test_frame_is_taken(raw, with_extensions(&each[i], list, 2 + 4 * 32, raw), &got);
		test_poke(list, 0, 2, WIRE_MAX_EXTENSIONS + 1);
		test_frame_is_refused(raw, with_extensions(&each[i], list, 2 + 4 * 33, raw),
				      MFD_PROTOCOL, "extensions: 33 is not one of 0..32");
		test_poke(list, 0, 2, 0xffff);
		test_frame_is_refused(raw, with_extensions(&each[i], list, 2 + 4 * 33, raw),
				      MFD_PROTOCOL, "extensions: 65535 is not one of 0..32");
		test_frame_is_refused(raw, with_extensions(&each[i], beyond, sizeof(beyond), raw),
				      MFD_PROTOCOL, "body is too short");
		test_frame_is_refused(raw,
				      with_extensions(&each[i], longest, sizeof(longest), raw),
				      MFD_PROTOCOL, "body is too short");
	}
}

static void extensions_of_ours_come_back_as_they_were(void **state)
{
	struct wire_message h = hello(), w = welcome(), got;
	uint8_t raw[WIRE_MAX_FRAME];

	(void)state;
	h.hello.delta = true;
	h.hello.ended = true;
	h.hello.ended_size = MAX_IMAGE;
	h.hello.ended_hash = UINT64_C(0x0123456789abcdef);
	h.hello.own_secret = true;
	for (unsigned i = 0; i < WIRE_SECRET_BYTES; i++)
		h.hello.secret[i] = (uint8_t)(i + 2);
	memset(&got, 0, sizeof(got));
	test_frame_is_taken(raw, wire_put_message(&h, raw), &got);
	assert_memory_equal(&got, &h, sizeof(got));
	w.welcome.basis = true;
	w.welcome.basis_pages = WIRE_MAX_PAGE_INDEX;
	w.welcome.resume = true;
	for (unsigned i = 0; i < WIRE_SECRET_BYTES; i++)
		w.welcome.secret[i] = (uint8_t)(i + 1);
	memset(&got, 0, sizeof(got));
	test_frame_is_taken(raw, wire_put_message(&w, raw), &got);
	assert_memory_equal(&got, &w, sizeof(got));
}

static void extensions_of_ours_have_their_length_and_come_once(void **state)
{
	static const uint8_t delta[] = { 0, 1, 0, 1, 0, 0 };
	static const uint8_t long_delta[] = { 0, 1, 0, 1, 0, 1, 0 };
	static const uint8_t two_deltas[] = { 0, 2, 0, 1, 0, 0, 0, 1, 0, 0 };
	static const uint8_t short_ended[] = { 0, 1, 0, 2, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1 };
	static const uint8_t large_ended[] = { 0, 1, 0, 2, 0, 16, 0x40, 0, 0, 0, 0, 0, 0, 1, 0, 0,
					       0, 0, 0, 0, 0, 0 };
	static const uint8_t short_secret[] = { 0, 1, 0, 3, 0, 1, 7 };
	static const uint8_t short_basis[] = { 0, 1, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1 };
	const struct wire_message h = hello(), w = welcome();
	uint8_t raw[WIRE_MAX_FRAME];
	struct wire_message got;

	(void)state;
	test_frame_is_taken(raw, with_extensions(&h, delta, sizeof(delta), raw), &got);
	assert_true(got.hello.delta);
	test_frame_is_refused(raw, with_extensions(&h, long_delta, sizeof(long_delta), raw),
			      MFD_PROTOCOL, "extension 1 has 1 bytes instead of 0");
	test_frame_is_refused(raw, with_extensions(&h, two_deltas, sizeof(two_deltas), raw),
			      MFD_PROTOCOL, "extension 1 comes twice");
	test_frame_is_refused(raw, with_extensions(&h, short_ended, sizeof(short_ended), raw),
			      MFD_PROTOCOL, "extension 2 has 8 bytes instead of 16");
	test_frame_is_refused(raw, with_extensions(&h, large_ended, sizeof(large_ended), raw),
			      MFD_PROTOCOL, "size in ENDED");
	test_frame_is_refused(raw, with_extensions(&h, short_secret, sizeof(short_secret), raw),
			      MFD_PROTOCOL, "extension 3 has 1 bytes instead of 192");
	test_frame_is_refused(raw, with_extensions(&w, short_basis, sizeof(short_basis), raw),
			      MFD_PROTOCOL, "extension 1 has 8 bytes instead of 200");
}

static void welcome_comes_back_as_it_was(void **state)
{
	struct wire_message m = welcome();

	(void)state;
	test_round_trip(&m, 34);
	m.welcome.packet_pages = 1024;
	m.welcome.methods = UINT32_MAX;
	m.welcome.timeout_ms = 86400000;
	memset(m.welcome.token, 0xff, WIRE_TOKEN_BYTES);
	test_round_trip(&m, 34);
}

static void fields_of_welcome_are_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 0, 2, 0, "version: 0 is not one of 1..1" },
		{ 0, 2, 1, NULL },
		{ 0, 2, 2, "version: 2 is not one of 1..1" },
		{ 0, 2, 0xffff, "version: 65535" },
		{ 2, 2, 1, "zero field" },
		{ 2, 2, 0x8000, "zero field" },
		{ 4, 4, 0, "packet pages: 0 is not one of 1..1024" },
		{ 4, 4, 1, NULL },
		{ 4, 4, 1023, NULL },
		{ 4, 4, 1024, NULL },
		{ 4, 4, 1025, "packet pages: 1025" },
		{ 4, 4, 0xffffffff, "packet pages: 4294967295" },
		{ 8, 4, 0, "methods 0x0 are without method none" },
		{ 8, 4, 1, NULL },
		{ 8, 4, 6, "methods 0x6 are without method none" },
		{ 12, 4, 0, "timeout: 0 is not one of 1..86400000" },
		{ 12, 4, 1, NULL },
		{ 12, 4, 86399999, NULL },
		{ 12, 4, 86400000, NULL },
		{ 12, 4, 86400001, "timeout: 86400001" },
		{ 12, 4, 0xffffffff, "timeout: 4294967295" },
	};

	(void)state;
	check_welcome(WIRE_CASES(list));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_has_the_bytes_of_its_table),
		cmocka_unit_test(smallest_and_largest_hello_come_back_as_they_were),
		cmocka_unit_test(regions_with_names_end_where_they_end),
		cmocka_unit_test(versions_are_a_range),
		cmocka_unit_test(hello_of_a_later_version_shows_its_versions_only),
		cmocka_unit_test(page_size_packet_pages_and_channels_are_bounded),
		cmocka_unit_test(methods_hold_none_and_the_sessions),
		cmocka_unit_test(flags_and_timeout_are_bounded),
		cmocka_unit_test(sizes_are_bounded_or_not_known),
		cmocka_unit_test(regions_and_their_names_are_bounded),
		cmocka_unit_test(region_that_comes_twice_is_refused),
		cmocka_unit_test(unknown_extensions_are_skipped),
		cmocka_unit_test(extension_that_must_be_understood_is_refused),
		cmocka_unit_test(extensions_are_bounded),
		cmocka_unit_test(extensions_of_ours_come_back_as_they_were),
		cmocka_unit_test(extensions_of_ours_have_their_length_and_come_once),
		cmocka_unit_test(welcome_comes_back_as_it_was),
		cmocka_unit_test(fields_of_welcome_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
