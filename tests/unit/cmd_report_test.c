/* SPDX-License-Identifier: MIT */
/*
 * What the programs say: sizes and times in words, the summary, progress, JSON lines.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/event.h"
#include "cmd/format.h"
#include "cmd/progress.h"
#include "cmd/summary.h"

#define GIB (UINT64_C(1) << 30)

/* Half of a 2 GiB image, a third of it zero. */
static struct mfd_stats half_way(void)
{
	return (struct mfd_stats){
		.phase = MFD_MOVING, .bytes_image = 2 * GIB, .bytes_done = GIB,
		.bytes_wire = 223696213,
		.pages_zero = 89129, .pages_data = 173015, .elapsed_ns = 455000000,
		.cpu_ns = 700000000, .channels = 8, .method = "zstd", .level = 1, .backend = "zstd",
		.hash = UINT64_C(0x0123456789abcdef), .downtime_ns = MFD_UNKNOWN, .tracker = "",
	};
}

static struct mfd_stats done(void)
{
	struct mfd_stats s = half_way();

	s.phase = MFD_FINISHED;
	s.bytes_done = s.bytes_image;
	s.bytes_wire = 445000000;
	s.pages_zero = 178258;
	s.pages_data = 346030;
	s.elapsed_ns = 910000000;
	s.flush_ns = 10000000;
	s.rounds = 1;
	s.committed = true;
	return s;
}

/* ---- Numbers. ---- */

static void sizes_have_three_digits_and_a_unit(void **state)
{
	char text[FORMAT_TEXT];

	(void)state;
	assert_string_equal(format_image_size(text, 0), "0 bytes");
	assert_string_equal(format_image_size(text, 1023), "1023 bytes");
	assert_string_equal(format_image_size(text, 1024), "1.00 KiB");
	assert_string_equal(format_image_size(text, 2 * GIB), "2.00 GiB");
	assert_string_equal(format_image_size(text, GIB - 1), "1.00 GiB");
	assert_string_equal(format_image_size(text, 40 * GIB), "40.0 GiB");
	assert_string_equal(format_image_size(text, 1000 * GIB), "1000 GiB");
	assert_string_equal(format_image_size(text, UINT64_MAX), "16.0 EiB");
	assert_string_equal(format_bytes(text, 999), "999 B");
	assert_string_equal(format_bytes(text, 1000), "1.00 kB");
	assert_string_equal(format_bytes(text, 445000000), "445 MB");
	assert_string_equal(format_bytes(text, 999999999), "1.00 GB");
	assert_string_equal(format_bytes(text, 99960000), "100 MB");
}

static void rates_and_ratios_without_a_divisor_are_a_dash(void **state)
{
	char text[FORMAT_TEXT];

	(void)state;
	assert_string_equal(format_rate(text, 1, 0), "-");
	assert_string_equal(format_rate(text, 2 * GIB, 910000000), "2.36 GB/s");
	assert_string_equal(format_ratio(text, 1, 0), "-");
	assert_string_equal(format_ratio(text, 2 * GIB, 445000000), "4.8:1");
	assert_string_equal(format_ratio(text, UINT64_C(1) << 40, 4096), "268435456:1");
}

static void clocks_have_hours_only_when_there_are_any(void **state)
{
	char text[FORMAT_TEXT];

	(void)state;
	assert_string_equal(format_clock(text, 0), "0:00");
	assert_string_equal(format_clock(text, 72), "1:12");
	assert_string_equal(format_clock(text, 3599), "59:59");
	assert_string_equal(format_clock(text, 3723), "1:02:03");
}

static void all_is_100_percent_and_nearly_all_is_not(void **state)
{
	(void)state;
	assert_int_equal(format_percent(0, 10), 0);
	assert_int_equal(format_percent(999999999, 1000000000), 99);
	assert_int_equal(format_percent(10, 10), 100);
	assert_int_equal(format_percent(0, 0), 100);
	assert_int_equal(format_share(0, 0), 0);
	assert_int_equal(format_share(178258, 524288), 34);
	assert_int_equal(format_share(524287, 524288), 99);
	assert_int_equal(format_share(524288, 524288), 100);
}

/* ---- Summary. ---- */

static void the_summary_has_everything_on_one_line(void **state)
{
	struct mfd_stats s = done();
	char text[SUMMARY_TEXT];

	(void)state;
	summary_text(&s, text);
	assert_string_equal(text, "2.00 GiB, 34 % zero, 445 MB on the wire (4.8:1), 0.91 s, 2.36 "
				  "GB/s, 8 channels, zstd level 1, "
				  "hash 0123456789abcdef, committed");
}

static void a_backend_is_named_that_is_not_the_methods_own(void **state)
{
	struct mfd_stats s = done();
	char text[FORMAT_TEXT];

	(void)state;
	assert_string_equal(format_method(text, &s), "zstd level 1");
	s.method = "zlib";
	s.backend = "igzip";
	assert_string_equal(format_method(text, &s), "zlib level 1 (igzip)");
	s.level = 9;
	s.backend = "libdeflate";
	assert_string_equal(format_method(text, &s), "zlib level 9 (libdeflate)");
	s.backend = "zlib";
	assert_string_equal(format_method(text, &s), "zlib level 9");
	s.method = s.backend = "none";
	s.level = 0;
	assert_string_equal(format_method(text, &s), "none");
}

static void the_summary_of_a_process_says_how_long_it_was_frozen(void **state)
{
	struct mfd_stats s = done();
	char text[SUMMARY_TEXT];

	(void)state;
	s.downtime_ns = 123456789;
	summary_text(&s, text);
	assert_non_null(strstr(text, ", 0.91 s, downtime 0.123 s, 2.36 GB/s, "));
}

static void the_summary_of_an_empty_image_divides_by_nothing(void **state)
{
	struct mfd_stats s = {
		.bytes_image = 0, .channels = 1, .method = "none", .backend = "none",
		.committed = true,
		.downtime_ns = MFD_UNKNOWN, .tracker = "",
	};
	char text[SUMMARY_TEXT];

	(void)state;
	summary_text(&s, text);
	assert_string_equal(text, "0 bytes, 0 % zero, 0 B on the wire (-), 0.00 s, -, 1 channel, "
				  "none, hash 0000000000000000, committed");
	summary_bound(&s, text);
	assert_string_equal(text, "bound by reading the source: 0 % of the channels' time; "
				  "flushing took 0.00 s");
}

static void the_summary_counts_failovers_if_there_were_any(void **state)
{
	struct mfd_stats s = done();
	char text[SUMMARY_TEXT];

	(void)state;
	summary_text(&s, text);
	assert_null(strstr(text, "failover"));
	s.failovers = 1;
	summary_text(&s, text);
	assert_non_null(strstr(text, "zstd level 1, 1 failover, hash "));
	s.failovers = 12;
	summary_text(&s, text);
	assert_non_null(strstr(text, "zstd level 1, 12 failovers, hash "));
}

static void the_summary_fits_with_the_largest_numbers(void **state)
{
	struct mfd_stats s;
	char text[SUMMARY_TEXT];

	(void)state;
	memset(&s, 0xff, sizeof(s));
	s.method = s.backend = s.tracker = "zstd";
	s.level = -7;
	s.committed = true;
	s.bytes_image = UINT64_MAX - 1;
	summary_text(&s, text);
	assert_string_equal(text + strlen(text) - strlen(", committed"), ", committed");
	s.method = "auto";
	s.level = 19;
	summary_text(&s, text);
	assert_non_null(
		strstr(text, ", auto up to level 19, 18446744073709551615 failovers, hash "));
	assert_string_equal(text + strlen(text) - strlen(", committed"), ", committed");
	summary_channel(&s, MFD_MAX_CHANNELS - 1, text);
	assert_string_equal(text + strlen(text) - 2, " s");
}

static void what_took_most_of_the_time_is_named(void **state)
{
	struct mfd_stats s = done();
	char text[SUMMARY_TEXT];

	(void)state;
	s.channels = 2;
	s.elapsed_ns = 1000;
	s.flush_ns = 0;
	s.channel[0] = (struct mfd_channel_stats){ .wait_codec_ns = 900, .wait_socket_ns = 100 };
	s.channel[1] = (struct mfd_channel_stats){ .wait_codec_ns = 100, .wait_socket_ns = 800 };
	summary_bound(&s, text);
	assert_string_equal(text, "bound by zero test, hash and codec: 50 % of the channels' time; "
				  "flushing took 0.00 s");
	s.channel[0].wait_sink_ns = 2000;
	summary_bound(&s, text);
	assert_string_equal(text, "bound by writing the output: 100 % of the channels' time; "
				  "flushing took 0.00 s");
	/* A flush keeps all of them waiting: more than that is their average. */
	s.elapsed_ns = 4000;
	s.flush_ns = 999;
	summary_bound(&s, text);
	assert_non_null(strstr(text, "writing the output"));
	s.flush_ns = 2000;
	summary_bound(&s, text);
	assert_string_equal(text, "bound by flushing the output: 50 % of the time");
}

/* ---- Progress. ---- */

static void a_line_says_how_much_how_fast_how_long_and_the_phase(void **state)
{
	struct mfd_stats s = half_way();
	struct progress p = { 0 };
	char text[PROGRESS_TEXT];

	(void)state;
	progress_sample(&p, &s);
	progress_line(&p, &s, text);
	assert_string_equal(text,
			    "50 %, 1.00 GiB of 2.00 GiB, 2.36 GB/s, 4.8:1, ETA 0:00, sending");
	p.receiving = true;
	progress_line(&p, &s, text);
	assert_string_equal(text,
			    "50 %, 1.00 GiB of 2.00 GiB, 2.36 GB/s, 4.8:1, ETA 0:00, receiving");
}

static void the_bar_grows_and_never_reaches_the_last_column(void **state)
{
	struct mfd_stats s = half_way();
	struct progress p = { 0 };
	char text[PROGRESS_TEXT];

	(void)state;
	progress_sample(&p, &s);
	progress_bar(&p, &s, 80, text);
	assert_string_equal(text, "[===============>              ]  50 %  2.36 GB/s  4.8:1  ETA "
				  "0:00  sending");
	progress_bar(&p, &s, 60, text);
	assert_string_equal(text, "[=======>      ]  50 %  2.36 GB/s  4.8:1  ETA 0:00  sending");
	progress_bar(&p, &s, 45, text);
	assert_string_equal(text, "50 %  2.36 GB/s  4.8:1  ETA 0:00  sending");
	for (size_t width = 1; width < 300; width++) {
		progress_bar(&p, &s, width, text);
		assert_true(strlen(text) < width);
		assert_true(strlen(text) < PROGRESS_TEXT);
	}
}

static void flushing_has_neither_a_speed_nor_a_time_left(void **state)
{
	struct mfd_stats s = done();
	struct progress p = { 0 };
	char text[PROGRESS_TEXT];

	(void)state;
	s.phase = MFD_FLUSHING;
	progress_sample(&p, &s);
	progress_line(&p, &s, text);
	assert_string_equal(text, "100 %, 2.00 GiB of 2.00 GiB, 4.8:1, flushing");
	progress_bar(&p, &s, 80, text);
	assert_string_equal(text, "[==============================] 100 %  4.8:1  flushing");
}

static void an_unknown_size_has_neither_a_percentage_nor_a_time_left(void **state)
{
	struct mfd_stats s = half_way();
	struct progress p = { 0 };
	char text[PROGRESS_TEXT];

	(void)state;
	s.bytes_image = MFD_UNKNOWN;
	progress_sample(&p, &s);
	progress_line(&p, &s, text);
	assert_string_equal(text, "1.00 GiB, 2.36 GB/s, 4.8:1, sending");
	progress_bar(&p, &s, 80, text);
	assert_string_equal(text, "1.00 GiB  2.36 GB/s  4.8:1  sending");
}

static void before_the_session_there_is_only_the_phase(void **state)
{
	struct mfd_stats s = { .phase = MFD_CONNECTING, .bytes_image = MFD_UNKNOWN, .tracker = "",
			       .method = "", .backend = "" };
	struct progress p = { 0 };
	char text[PROGRESS_TEXT];

	(void)state;
	progress_sample(&p, &s);
	progress_line(&p, &s, text);
	assert_string_equal(text, "connecting");
	p.receiving = true;
	progress_bar(&p, &s, 80, text);
	assert_string_equal(text, "waiting for the sender");
}

static void the_speed_follows_the_last_seconds(void **state)
{
	struct mfd_stats s = half_way();
	struct progress p = { 0 };

	(void)state;
	s.bytes_done = 0;
	s.elapsed_ns = 0;
	for (unsigned i = 0; i < 100; i++) {
		s.elapsed_ns += 100000000;
		s.bytes_done += 1000000;
		progress_sample(&p, &s);
	}
	assert_true(p.rate > 9.9e6 && p.rate < 10.1e6);
	for (unsigned i = 0; i < 100; i++) {
		s.elapsed_ns += 100000000;
		progress_sample(&p, &s);
	}
	assert_true(p.rate < 0.2e6);
}

/* ---- JSON. ---- */

/* The line that @speak wrote; the caller's to free. */
static char *json_of(void (*speak)(struct json *j, const void *what), const void *what)
{
	struct json j = { .fd = -1 };
	char *text = calloc(1, 65536);
	int p[2];
	ssize_t n;

	assert_non_null(text);
	assert_int_equal(pipe(p), 0);
	assert_true(fcntl(p[1], F_SETPIPE_SZ, 65536) >= 65536);
	j.fd = p[1];
	speak(&j, what);
	close(p[1]);
	n = read(p[0], text, 65535);
	assert_true(n >= 0);
	text[n] = '\0';
	close(p[0]);
	assert_int_equal(j.error, 0);
	return text;
}

static void speak_text(struct json *j, const void *what)
{
	json_begin(j, "t");
	json_string(j, "x", what);
	json_end(j);
}

static void expect_text(const char *in, const char *out)
{
	char want[256];
	char *got = json_of(speak_text, in);

	snprintf(want, sizeof(want), "{\"v\":1,\"event\":\"t\",\"x\":\"%s\"}\n", out);
	assert_string_equal(got, want);
	free(got);
}

static void json_escapes_what_has_to_be(void **state)
{
	(void)state;
	expect_text("", "");
	expect_text("plain", "plain");
	expect_text("a\"b\\c", "a\\\"b\\\\c");
	expect_text("\n\r\t\033\x7f", "\\u000a\\u000d\\u0009\\u001b\\u007f");
}

static void json_keeps_utf8_and_replaces_what_is_none(void **state)
{
	(void)state;
	expect_text("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf",
		    "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf");
	expect_text("\xff", "\\ufffd");
	expect_text("\x80x", "\\ufffdx");
	expect_text("\xc3", "\\ufffd");              /* cut off */
	expect_text("\xe2\x82", "\\ufffd\\ufffd");
	expect_text("\xc0\xaf", "\\ufffd\\ufffd"); /* longer than need be */
	expect_text("\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"); /* a surrogate */
	expect_text("\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd");
	expect_text("\xc3(", "\\ufffd(");
}

static void speak_summary(struct json *j, const void *what)
{
	event_summary(j, what);
}

static void the_summary_event_has_its_keys(void **state)
{
	struct mfd_stats s = done();
	char *got;

	(void)state;
	s.channels = 1;
	s.channel[0] = (struct mfd_channel_stats){ 1, 2, 3, 4, 5, 6, 7 };
	got = json_of(speak_summary, &s);
	assert_string_equal(got,
			    "{\"v\":1,\"event\":\"summary\",\"bytes_image\":2147483648,\"bytes_"
			    "done\":2147483648,"
			    "\"bytes_wire\":445000000,\"pages_zero\":178258,\"pages_data\":346030,"
			    "\"pages_kept\":0,\"bytes_hashes\":0,\"rounds\":1,\"failovers\":0,"
			    "\"elapsed_ns\":910000000,\"flush_ns\":10000000,\"cpu_ns\":700000000,"
			    "\"channels\":1,\"method\":\"zstd\",\"level\":1,\"backend\":\"zstd\","
			    "\"hash\":\"0123456789abcdef\",\"committed\":true,\"downtime_ns\":null,"
			    "\"tracker\":null,\"stopped_ns\":0,\"dirty_rate\":0,\"round_pages\":[],"
			    "\"per_channel\":[{\"packets\":1,\"bytes\":2,"
			    "\"wait_source_ns\":3,\"wait_sink_ns\":4,\"wait_codec_ns\":5,\"wait_"
			    "socket_ns\":6,"
			    "\"wait_handoff_ns\":7}]}\n");
	free(got);
}

static void a_summary_of_128_channels_is_one_line(void **state)
{
	struct mfd_stats s;
	char *got;

	(void)state;
	memset(&s, 0xff, sizeof(s));
	s.method = s.backend = s.tracker = "zstd";
	s.committed = true;
	s.channels = MFD_MAX_CHANNELS;
	got = json_of(speak_summary, &s);
	assert_ptr_equal(strchr(got, '\n'), got + strlen(got) - 1);
	assert_string_equal(got + strlen(got) - 4, "}]}\n");
	free(got);
}

static void a_downtime_that_is_known_is_a_number(void **state)
{
	struct mfd_stats s = done();
	char *got;

	(void)state;
	s.downtime_ns = 123456789;
	got = json_of(speak_summary, &s);
	assert_non_null(strstr(got, ",\"downtime_ns\":123456789,"));
	free(got);
}

/* A transfer of @rounds rounds, round i of 100 + i pages. */
static struct mfd_stats live(unsigned rounds)
{
	struct mfd_stats s = done();

	s.tracker = "userfaultfd";
	s.rounds = rounds;
	s.stopped_ns = 7;
	s.dirty_rate = 20100000;
	for (unsigned i = 0; i < MFD_MAX_ROUNDS; i++)
		s.round_pages[i] = 100 + i;
	return s;
}

static void a_live_copy_names_its_rounds(void **state)
{
	struct mfd_stats s = live(3);
	char text[SUMMARY_TEXT], *got;

	(void)state;
	assert_true(summary_live(&s, text));
	assert_string_equal(text, "live: 3 rounds of 100, 101 and 102 pages, 20.1 MB/s changing, "
				  "found by userfaultfd");
	got = json_of(speak_summary, &s);
	assert_non_null(
		strstr(got, "\"tracker\":\"userfaultfd\",\"stopped_ns\":7,\"dirty_rate\":20100000,"
			    "\"round_pages\":[100,101,102],"));
	free(got);
	s = live(100);
	assert_true(summary_live(&s, text));
	assert_string_equal(text, "live: 100 rounds of 100, 101, 102, 103, ... 196, 197, 198 and "
				  "199 pages, "
				  "20.1 MB/s changing, found by userfaultfd");
	s = done();
	assert_false(summary_live(&s, text));
}

static void speak_error(struct json *j, const void *what)
{
	const struct mfd_stats s = { .bytes_image = MFD_UNKNOWN, .downtime_ns = MFD_UNKNOWN,
				     .tracker = "", .method = "", .backend = "" };

	event_error(j, &s, what);
}

static void an_error_before_the_session_knows_no_size_and_no_method(void **state)
{
	struct mfd_error err = { .status = MFD_IO, .remote = true, .text = "out: No space" };
	char *got = json_of(speak_error, &err);

	(void)state;
	assert_string_equal(got,
			    "{\"v\":1,\"event\":\"error\",\"status\":74,\"remote\":true,"
			    "\"message\":\"out: No space\",\"resumable\":false,"
			    "\"bytes_image\":null,\"bytes_done\":0,\"bytes_wire\":0,\"pages_zero\":"
			    "0,\"pages_data\":0,\"pages_kept\":0,\"bytes_hashes\":0,\"rounds\":0,"
			    "\"failovers\":0,"
			    "\"elapsed_ns\":0,\"flush_ns\":0,\"cpu_ns\":0,\"channels\":0,"
			    "\"method\":null,\"level\":null,\"backend\":null,\"hash\":null,"
			    "\"committed\":false,\"downtime_ns\":null,\"tracker\":null,\"stopped_"
			    "ns\":0,\"dirty_rate\":0,\"round_pages\":[],\"per_channel\":[]}\n");
	free(got);
}

static void a_lost_line_is_remembered_and_nothing_follows_it(void **state)
{
	struct json j = { .fd = open("/dev/full", O_WRONLY | O_CLOEXEC) };
	struct json none = { .fd = -1 };

	(void)state;
	assert_true(j.fd >= 0);
	speak_text(&j, "x");
	assert_int_equal(j.error, ENOSPC);
	speak_text(&j, "y");
	assert_int_equal(j.error, ENOSPC);
	close(j.fd);
	speak_text(&none, "x");
	assert_int_equal(none.error, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_have_three_digits_and_a_unit),
		cmocka_unit_test(rates_and_ratios_without_a_divisor_are_a_dash),
		cmocka_unit_test(clocks_have_hours_only_when_there_are_any),
		cmocka_unit_test(all_is_100_percent_and_nearly_all_is_not),
		cmocka_unit_test(the_summary_has_everything_on_one_line),
		cmocka_unit_test(a_backend_is_named_that_is_not_the_methods_own),
		cmocka_unit_test(the_summary_of_a_process_says_how_long_it_was_frozen),
		cmocka_unit_test(the_summary_of_an_empty_image_divides_by_nothing),
		cmocka_unit_test(the_summary_counts_failovers_if_there_were_any),
		cmocka_unit_test(the_summary_fits_with_the_largest_numbers),
		cmocka_unit_test(what_took_most_of_the_time_is_named),
		cmocka_unit_test(a_line_says_how_much_how_fast_how_long_and_the_phase),
		cmocka_unit_test(the_bar_grows_and_never_reaches_the_last_column),
		cmocka_unit_test(flushing_has_neither_a_speed_nor_a_time_left),
		cmocka_unit_test(an_unknown_size_has_neither_a_percentage_nor_a_time_left),
		cmocka_unit_test(before_the_session_there_is_only_the_phase),
		cmocka_unit_test(the_speed_follows_the_last_seconds),
		cmocka_unit_test(json_escapes_what_has_to_be),
		cmocka_unit_test(json_keeps_utf8_and_replaces_what_is_none),
		cmocka_unit_test(the_summary_event_has_its_keys),
		cmocka_unit_test(a_summary_of_128_channels_is_one_line),
		cmocka_unit_test(a_downtime_that_is_known_is_a_number),
		cmocka_unit_test(a_live_copy_names_its_rounds),
		cmocka_unit_test(an_error_before_the_session_knows_no_size_and_no_method),
		cmocka_unit_test(a_lost_line_is_remembered_and_nothing_follows_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
