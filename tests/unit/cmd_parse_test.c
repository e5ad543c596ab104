/* SPDX-License-Identifier: MIT */
/*
 * Durations, sizes, rates and numbers on the command line.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cmd/parse.h"

/* What a refused text must leave alone. */
#define UNTOUCHED UINT64_C(0x1122334455667788)

typedef bool parse_fn(const char *, uint64_t *);

static void expect(parse_fn *parse, const char *text, uint64_t value)
{
	uint64_t got = UNTOUCHED;

	if (!parse(text, &got))
		fail_msg("\"%s\" is refused", text);
	if (got != value)
		fail_msg("\"%s\" is %llu instead of %llu", text, (unsigned long long)got,
			 (unsigned long long)value);
}

static void refuse(parse_fn *parse, const char *text)
{
	uint64_t got = UNTOUCHED;

	if (parse(text, &got))
		fail_msg("\"%s\" is taken for %llu", text, (unsigned long long)got);
	assert_true(got == UNTOUCHED);
}

static void a_duration_is_a_number_with_a_unit(void **state)
{
	(void)state;
	expect(parse_duration, "250ms", 250);
	expect(parse_duration, "30s", 30000);
	expect(parse_duration, "5m", 300000);
	expect(parse_duration, "24h", 86400000);
	expect(parse_duration, "0", 0);
	expect(parse_duration, "2S", 2000);
}

static void a_bare_duration_is_seconds(void **state)
{
	(void)state;
	expect(parse_duration, "10", 10000);
	expect(parse_duration, "0.25", 250);
}

static void a_duration_may_have_a_decimal_fraction(void **state)
{
	(void)state;
	expect(parse_duration, "1.5s", 1500);
	expect(parse_duration, "0.5m", 30000);
	expect(parse_duration, "1.000001h", 3600003);
	refuse(parse_duration, "1.5ms");
	expect(parse_duration, "1.0ms", 1);
}

static void a_size_counts_bytes_and_powers_of_1024(void **state)
{
	(void)state;
	expect(parse_size, "0", 0);
	expect(parse_size, "4095", 4095);
	expect(parse_size, "512B", 512);
	expect(parse_size, "64K", 65536);
	expect(parse_size, "64KiB", 65536);
	expect(parse_size, "4M", UINT64_C(4) << 20);
	expect(parse_size, "4MiB", UINT64_C(4) << 20);
	expect(parse_size, "3G", UINT64_C(3) << 30);
	expect(parse_size, "3GiB", UINT64_C(3) << 30);
	expect(parse_size, "2T", UINT64_C(2) << 40);
	expect(parse_size, "2TiB", UINT64_C(2) << 40);
}

static void a_size_in_kb_counts_powers_of_1000(void **state)
{
	(void)state;
	expect(parse_size, "64KB", 64000);
	expect(parse_size, "4MB", 4000000);
	expect(parse_size, "3GB", UINT64_C(3000000000));
	expect(parse_size, "2TB", UINT64_C(2000000000000));
}

static void units_are_the_same_in_lower_case(void **state)
{
	(void)state;
	expect(parse_size, "64k", 65536);
	expect(parse_size, "64kb", 64000);
	expect(parse_size, "1gib", UINT64_C(1) << 30);
}

static void a_size_may_have_a_decimal_fraction(void **state)
{
	(void)state;
	expect(parse_size, "1.5K", 1536);
	expect(parse_size, "0.000001T", 1099511);
	expect(parse_size, "1.0", 1);
	refuse(parse_size, "1.5");
	refuse(parse_size, "1.5B");
	refuse(parse_size, "1.0000001T");
}

static void the_largest_number_is_taken_and_one_more_is_not(void **state)
{
	(void)state;
	expect(parse_size, "18446744073709551615", UINT64_MAX);
	refuse(parse_size, "18446744073709551616");
	refuse(parse_size, "99999999999999999999999");
	expect(parse_size, "16777215T", UINT64_C(16777215) << 40);
	refuse(parse_size, "16777216T");
	expect(parse_size, "16777215.999999T",
	       (UINT64_C(16777215) << 40) + (UINT64_C(999999) << 40) / 1000000);
	expect(parse_duration, "5124095576030h", UINT64_C(18446744073708000000));
	refuse(parse_duration, "5124095576031h");
	refuse(parse_duration, "18446744073709551.616");
}

static void junk_is_refused(void **state)
{
	static const char *const junk[] = {
		"",      " ",   "K",    "s",     "-1",  "+1",   " 1",  "1 ",  "1 K",
		"1.",    ".5",  "1..5", "1.5.5", "1,5", "0x10", "1e3", "1KK", "1Ki",
		"1KiBB", "1Bi", "inf",  "nan",   "1K/", "--",   "1\n",
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
		refuse(parse_duration, junk[i]);
		refuse(parse_size, junk[i]);
		refuse(parse_rate, junk[i]);
	}
}

static void units_of_one_kind_are_refused_for_another(void **state)
{
	(void)state;
	refuse(parse_duration, "1K");
	refuse(parse_duration, "1d");
	refuse(parse_size, "1s");
	refuse(parse_size, "1ms");
	refuse(parse_size, "1Mbit");
	refuse(parse_size, "1M/s");
	refuse(parse_rate, "1s");
}

static void a_rate_is_a_size_per_second(void **state)
{
	(void)state;
	expect(parse_rate, "1000", 1000);
	expect(parse_rate, "50M", UINT64_C(50) << 20);
	expect(parse_rate, "50MB/s", 50000000);
	expect(parse_rate, "1.5MB/s", 1500000);
	refuse(parse_rate, "50MB/m");
	refuse(parse_rate, "50MB/ss");
	refuse(parse_rate, "50MB/");
	refuse(parse_rate, "50/MB");
}

static void a_rate_in_bits_is_an_eighth_of_powers_of_1000(void **state)
{
	(void)state;
	expect(parse_rate, "8bit", 1);
	expect(parse_rate, "100kbit", 12500);
	expect(parse_rate, "100Mbit", 12500000);
	expect(parse_rate, "100Mbit/s", 12500000);
	expect(parse_rate, "2.5Gbit/s", 312500000);
	refuse(parse_rate, "100Mibit");
	refuse(parse_rate, "100Mbits");
}

static void an_integer_is_taken_within_its_range_only(void **state)
{
	long got = 77;

	(void)state;
	assert_true(parse_integer("1", 1, 128, &got));
	assert_int_equal(got, 1);
	assert_true(parse_integer("128", 1, 128, &got));
	assert_int_equal(got, 128);
	assert_true(parse_integer("-7", -7, 19, &got));
	assert_int_equal(got, -7);
	assert_false(parse_integer("0", 1, 128, &got));
	assert_false(parse_integer("129", 1, 128, &got));
	assert_false(parse_integer("-1", 1, 128, &got));
	assert_false(parse_integer("99999999999999999999", 1, 128, &got));
	assert_int_equal(got, -7);
}

static void an_integer_with_junk_is_refused(void **state)
{
	static const char *const junk[] = {
		"", " 1", "+1", "1 ", "1.0", "1K", "0x1", "-", "--1", "one",
	};
	long got = 77;

	(void)state;
	for (unsigned i = 0; i < sizeof(junk) / sizeof(junk[0]); i++)
		assert_false(parse_integer(junk[i], -1000, 1000, &got));
	assert_int_equal(got, 77);
}

static void a_mask_is_hexadecimal_whatever_it_begins_with(void **state)
{
	static const char *const junk[] = { "", "0x", "x33", "-1", "+1", " 33", "33 ", "3g",
					    "0x3.0" };
	unsigned long got = 77;

	(void)state;
	for (unsigned i = 0; i < sizeof(junk) / sizeof(junk[0]); i++)
		assert_false(parse_hexadecimal(junk[i], 0x1ff, &got));
	assert_false(parse_hexadecimal("200", 0x1ff, &got));
	assert_false(parse_hexadecimal("10000000000000000", 0x1ff, &got));
	assert_int_equal(got, 77);
	assert_true(parse_hexadecimal("33", 0x1ff, &got));
	assert_int_equal(got, 0x33);
	assert_true(parse_hexadecimal("0x1FF", 0x1ff, &got));
	assert_int_equal(got, 0x1ff);
	assert_true(parse_hexadecimal("00000000000000000000033", 0x1ff, &got));
	assert_int_equal(got, 0x33);
	assert_true(parse_hexadecimal("0", 0x1ff, &got));
	assert_int_equal(got, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_duration_is_a_number_with_a_unit),
		cmocka_unit_test(a_bare_duration_is_seconds),
		cmocka_unit_test(a_duration_may_have_a_decimal_fraction),
		cmocka_unit_test(a_size_counts_bytes_and_powers_of_1024),
		cmocka_unit_test(a_size_in_kb_counts_powers_of_1000),
		cmocka_unit_test(units_are_the_same_in_lower_case),
		cmocka_unit_test(a_size_may_have_a_decimal_fraction),
		cmocka_unit_test(the_largest_number_is_taken_and_one_more_is_not),
		cmocka_unit_test(junk_is_refused),
		cmocka_unit_test(units_of_one_kind_are_refused_for_another),
		cmocka_unit_test(a_rate_is_a_size_per_second),
		cmocka_unit_test(a_rate_in_bits_is_an_eighth_of_powers_of_1000),
		cmocka_unit_test(an_integer_is_taken_within_its_range_only),
		cmocka_unit_test(an_integer_with_junk_is_refused),
		cmocka_unit_test(a_mask_is_hexadecimal_whatever_it_begins_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
