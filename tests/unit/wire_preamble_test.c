/* SPDX-License-Identifier: MIT */
/*
 * The preamble: its bytes, its limits, and that no damaged one gets in.
 */
#include "wire_test.h"

static const struct wire_preamble control = { .version = 1, .role = WIRE_ROLE_CONTROL };

static const struct wire_preamble data = {
	.version = 1,
	.role = WIRE_ROLE_DATA,
	.channel = 0x7e,
	.generation = 0x01020304,
	.token = { 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
		   0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf },
};

static const uint8_t golden[WIRE_PREAMBLE_BYTES] = {
	0x89, 0x4d, 0x46, 0x44, 0x0d, 0x0a, 0x1a, 0x0a, /* magic */
	0x00, 0x01, 0x02, 0x00,                         /* version, role, transport */
	0x00, 0x00, 0x00, 0x7e,                         /* channel */
	0x01, 0x02, 0x03, 0x04,                         /* generation */
	0x00, 0x00, 0x00, 0x00,
	0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, /* token */
	0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x4a, 0x33, 0x7a, 0xb3, 0x31, 0xf6, 0x89, 0xf2, /* checksum */
};

static bool get(const uint8_t *raw, struct wire_preamble *ret, struct mfd_error *err)
{
	uint8_t *copy = test_exact(raw, WIRE_PREAMBLE_BYTES);
	bool ok = wire_get_preamble(copy, ret, err);

	free(copy);
	return ok;
}

static void is_refused(const uint8_t *raw, enum mfd_status status, const char *text)
{
	struct wire_preamble p;
	struct mfd_error err = { 0 };

	assert_false(get(raw, &p, &err));
	test_error_is(&err, status, text);
	test_error_is(&err, status, "preamble: ");
}

static void check_cases(const struct wire_preamble *p, const struct wire_case *list, size_t cases)
{
	uint8_t raw[WIRE_PREAMBLE_BYTES];
	struct wire_preamble got;
	struct mfd_error err = { 0 };

	for (size_t i = 0; i < cases; i++) {
		wire_put_preamble(p, raw);
		test_poke(raw, list[i].offset, list[i].bytes, list[i].value);
		test_seal(raw, WIRE_PREAMBLE_BYTES - 8);
		if (list[i].refusal)
			is_refused(raw, MFD_PROTOCOL, list[i].refusal);
		else if (!get(raw, &got, &err))
			fail_msg("case %zu was refused: %s", i, err.text);
	}
}

static void preamble_has_the_bytes_of_its_table(void **state)
{
	uint8_t raw[WIRE_PREAMBLE_BYTES];

	(void)state;
	wire_put_preamble(&data, raw);
	assert_memory_equal(raw, golden, sizeof(golden));
}

static void preambles_come_back_as_they_were(void **state)
{
	const struct wire_preamble *const each[] = { &control, &data };
	uint8_t raw[WIRE_PREAMBLE_BYTES];
	struct wire_preamble got;
	struct mfd_error err = { 0 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		memset(&got, 0, sizeof(got));
		wire_put_preamble(each[i], raw);
		assert_true(get(raw, &got, &err));
		assert_memory_equal(&got, each[i], sizeof(got));
		assert_int_equal(err.status, MFD_OK);
	}
}

static void every_flipped_bit_of_a_preamble_is_refused(void **state)
{
	uint8_t raw[WIRE_PREAMBLE_BYTES];
	struct wire_preamble got;
	struct mfd_error err = { 0 };

	(void)state;
	for (unsigned bit = 0; bit < 8 * WIRE_PREAMBLE_BYTES; bit++) {
		wire_put_preamble(&data, raw);
		raw[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_false(get(raw, &got, &err));
		assert_int_equal(err.status, bit < 64 ? MFD_PROTOCOL : MFD_DATA);
	}
}

static void junk_is_said_not_to_be_mfd(void **state)
{
	uint8_t raw[WIRE_PREAMBLE_BYTES] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

	(void)state;
	is_refused(raw, MFD_PROTOCOL, "not mfd's protocol");
	memset(raw, 0, sizeof(raw));
	is_refused(raw, MFD_PROTOCOL, "not mfd's protocol");
}

static void damaged_preamble_is_damage(void **state)
{
	uint8_t raw[WIRE_PREAMBLE_BYTES];

	(void)state;
	wire_put_preamble(&data, raw);
	raw[30] ^= 0x10;
	is_refused(raw, MFD_DATA, "checksum is wrong");
}

static void version_role_and_transport_are_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 8, 2, 0, "version 0 is unknown" },
		{ 8, 2, 1, NULL },
		{ 8, 2, 2, "version 2 is unknown" },
		{ 8, 2, 0xffff, "version 65535 is unknown" },
		{ 10, 1, 0, "role 0 is unknown" },
		{ 10, 1, 2, NULL },
		{ 10, 1, 3, "role 3 is reserved" },
		{ 10, 1, 5, "role 5 is unknown" },
		{ 10, 1, 0xff, "role 255 is unknown" },
		{ 11, 1, 0, NULL },
		{ 11, 1, 1, "transport 1 is reserved" },
		{ 11, 1, 2, "transport 2 is unknown" },
		{ 11, 1, 0xff, "transport 255 is unknown" },
	};

	(void)state;
	check_cases(&data, WIRE_CASES(list));
}

static void hashes_have_one_connection_with_a_token(void **state)
{
	static const struct wire_case list[] = {
		{ 12, 4, 0, NULL },
		{ 12, 4, 1, "channel of hashes: 0x1 in place of zero" },
		{ 16, 4, 0, "generation of hashes: 0 is not one of 1..1" },
		{ 16, 4, 1, NULL },
		{ 16, 4, 2, "generation of hashes: 2 is not one of 1..1" },
	};
	struct wire_preamble hashes = data;

	(void)state;
	hashes.role = WIRE_ROLE_HASHES;
	hashes.channel = 0;
	hashes.generation = 1;
	check_cases(&hashes, WIRE_CASES(list));
}

static void channel_and_generation_of_data_are_bounded(void **state)
{
	static const struct wire_case list[] = {
		{ 12, 4, 0, NULL },
		{ 12, 4, 126, NULL },
		{ 12, 4, 127, NULL },
		{ 12, 4, 128, "channel: 128 is not one of 0..127" },
		{ 12, 4, 0xffffffff, "channel: 4294967295 is not one of 0..127" },
		{ 16, 4, 0, "generation: 0 is not one of 1..4294967295" },
		{ 16, 4, 1, NULL },
		{ 16, 4, 0xffffffff, NULL },
	};

	(void)state;
	check_cases(&data, WIRE_CASES(list));
}

static void control_has_no_channel_generation_or_token(void **state)
{
	static const struct wire_case list[] = {
		{ 12, 4, 0, NULL },
		{ 12, 4, 1, "channel of control: 0x1 in place of zero" },
		{ 12, 4, 0xffffffff, "channel of control" },
		{ 16, 4, 1, "generation of control: 0x1 in place of zero" },
		{ 16, 4, 0xffffffff, "generation of control" },
		{ 24, 1, 1, "token of control" },
		{ 39, 1, 0x80, "token of control" },
	};

	(void)state;
	check_cases(&control, WIRE_CASES(list));
}

static void zero_fields_of_a_preamble_are_zero(void **state)
{
	static const struct wire_case list[] = {
		{ 20, 4, 0, NULL },
		{ 20, 1, 0x80, "zero field" },
		{ 23, 1, 1, "zero field" },
		{ 40, 8, 0, NULL },
		{ 40, 1, 1, "zero field" },
		{ 55, 1, 0xff, "zero field" },
	};

	(void)state;
	check_cases(&data, WIRE_CASES(list));
	check_cases(&control, WIRE_CASES(list));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(preamble_has_the_bytes_of_its_table),
		cmocka_unit_test(preambles_come_back_as_they_were),
		cmocka_unit_test(every_flipped_bit_of_a_preamble_is_refused),
		cmocka_unit_test(junk_is_said_not_to_be_mfd),
		cmocka_unit_test(damaged_preamble_is_damage),
		cmocka_unit_test(version_role_and_transport_are_bounded),
		cmocka_unit_test(hashes_have_one_connection_with_a_token),
		cmocka_unit_test(channel_and_generation_of_data_are_bounded),
		cmocka_unit_test(control_has_no_channel_generation_or_token),
		cmocka_unit_test(zero_fields_of_a_preamble_are_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
