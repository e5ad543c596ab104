/* SPDX-License-Identifier: MIT */
/*
 * Addresses and ranges as users write them: what is understood, what is refused and with which
 * words, and whom a range holds.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "net/address.h"

static void parses_to(const char *text, const char *host, uint16_t port)
{
	struct address a;
	struct mfd_error err;

	if (!address_parse(text, true, true, &a, &err))
		fail_msg("%s: %s", text, err.text);
	assert_string_equal(a.host, host);
	assert_int_equal(a.port, port);
}

static void refused_with(const char *text, bool zero_port, bool empty_host, const char *words)
{
	struct address a = { .host = "untouched", .port = 1 };
	struct mfd_error err;

	if (address_parse(text, zero_port, empty_host, &a, &err))
		fail_msg("%s is taken for host %s, port %u", text, a.host, a.port);
	assert_int_equal(err.status, MFD_USAGE);
	if (!strstr(err.text, words))
		fail_msg("%s: no \"%s\" in \"%s\"", text, words, err.text);
	assert_string_equal(a.host, "untouched");
}

static void all_forms_are_understood(void **state)
{
	(void)state;
	parses_to("dest:7700", "dest", 7700);
	parses_to("a-b.example.org:1", "a-b.example.org", 1);
	parses_to("192.0.2.1:65535", "192.0.2.1", 65535);
	parses_to("[2001:db8::1]:7700", "2001:db8::1", 7700);
	parses_to("[::]:7700", "::", 7700);
	parses_to("[fe80::1%eth0]:7700", "fe80::1%eth0", 7700);
	parses_to("[::ffff:192.0.2.1]:7700", "::ffff:192.0.2.1", 7700);
	parses_to(":7700", "", 7700);
	parses_to(":0", "", 0);
}

static void ports_are_decimal_and_in_range(void **state)
{
	(void)state;
	parses_to("h:65535", "h", 65535);
	refused_with("h:65536", true, true, "from 0 to 65535");
	refused_with("h:99999999999999999999", true, true, "from 0 to 65535");
	refused_with("h:0x10", true, true, "from 0 to 65535");
	refused_with("h:-1", true, true, "from 0 to 65535");
	refused_with("h:+1", true, true, "from 0 to 65535");
	refused_with("h: 1", true, true, "from 0 to 65535");
	refused_with("h:1 ", true, true, "from 0 to 65535");
	refused_with("h:http", true, true, "from 0 to 65535");
	refused_with("h:", true, true, "the port is missing");
	refused_with("h", true, true, "the port is missing");
	refused_with("[::1]", true, true, "the port is missing");
	refused_with("[::1]:", true, true, "the port is missing");
	refused_with("", true, true, "the port is missing");
}

static void port_0_is_only_for_listeners(void **state)
{
	struct address a;
	struct mfd_error err;

	(void)state;
	refused_with("h:0", false, true, "from 1 to 65535");
	assert_true(address_parse("h:1", false, true, &a, &err));
	assert_true(address_parse("h:0", true, true, &a, &err));
}

static void an_empty_host_is_only_for_listeners(void **state)
{
	struct address a;
	struct mfd_error err;

	(void)state;
	refused_with(":7700", true, false, "the host is missing");
	assert_true(address_parse("h:7700", true, false, &a, &err));
	assert_true(address_parse(":7700", true, true, &a, &err));
}

static void ipv6_without_brackets_is_refused_with_the_right_form(void **state)
{
	(void)state;
	refused_with("2001:db8::1", true, true, "[2001:db8::1]:PORT");
	refused_with("::1", true, true, "[::1]:PORT");
	refused_with("::1:7700", true, true, "[::1]:7700");
	refused_with("fe80::1%eth0", true, true, "[fe80::1%eth0]:PORT");
	refused_with("1:2:3:4:5:6:7:8:7700", true, true, "[1:2:3:4:5:6:7:8]:7700");
	refused_with("1:2:3:4:5:6:7:8", true, true, "[1:2:3:4:5:6:7:8]:PORT");
	refused_with("tcp://dest:7700", true, true, "host:port, [v6]:port or :port");
	refused_with("a:b:c", true, true, "host:port, [v6]:port or :port");
}

static void brackets_hold_ipv6_and_nothing_else(void **state)
{
	(void)state;
	refused_with("[dest]:7700", true, true, "no IPv6 address in brackets");
	refused_with("[192.0.2.1]:7700", true, true, "no IPv6 address in brackets");
	refused_with("[]:7700", true, true, "no IPv6 address in brackets");
	refused_with("[::1%]:7700", true, true, "no IPv6 address in brackets");
	refused_with("[::1:7700", true, true, "no IPv6 address in brackets");
	refused_with("[::1]7700", true, true, "host:port, [v6]:port or :port");
	refused_with("[::1]x:7700", true, true, "host:port, [v6]:port or :port");
}

static void what_is_no_host_name_is_refused(void **state)
{
	(void)state;
	refused_with("a b:7700", true, true, "not a host name");
	refused_with("a/b:7700", true, true, "not a host name");
	refused_with("user@dest:7700", true, true, "not a host name");
	refused_with("a\nb:7700", true, true, "not a host name");
	refused_with("::1]:7700", true, true, "host:port");
}

static void long_host_names_are_bounded(void **state)
{
	char text[ADDRESS_HOST_MAX + 10];
	struct address a;
	struct mfd_error err;

	(void)state;
	memset(text, 'h', sizeof(text));
	strcpy(text + ADDRESS_HOST_MAX - 1, ":7700");
	assert_true(address_parse(text, true, true, &a, &err));
	assert_int_equal(strlen(a.host), ADDRESS_HOST_MAX - 1);
	memset(text, 'h', sizeof(text));
	strcpy(text + ADDRESS_HOST_MAX, ":7700");
	refused_with(text, true, true, "not a host name");
}

static void names_are_printed_as_they_are_written(void **state)
{
	static const char *const forms[] = { "dest:7700", "[2001:db8::1]:7700", ":0" };
	char text[ADDRESS_NAME];
	struct address a;
	struct mfd_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		assert_true(address_parse(forms[i], true, true, &a, &err));
		address_name(&a, text);
		assert_string_equal(text, forms[i]);
	}
}

static struct sockaddr_storage peer_of(const char *text)
{
	struct sockaddr_storage peer = {0};
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&peer;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&peer;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(7700);
		return peer;
	}
	assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(7700);
	return peer;
}

static bool holds(const char *range_text, const char *peer_text)
{
	struct sockaddr_storage peer = peer_of(peer_text);
	struct address_range range;
	struct mfd_error err;

	if (!address_range_parse(range_text, &range, &err))
		fail_msg("%s", err.text);
	return address_range_holds(&range, (struct sockaddr *)&peer);
}

static void ranges_hold_what_they_name_and_nothing_else(void **state)
{
	(void)state;
	assert_true(holds("192.0.2.1", "192.0.2.1"));
	assert_false(holds("192.0.2.1", "192.0.2.2"));
	assert_true(holds("10.0.0.0/8", "10.255.1.2"));
	assert_false(holds("10.0.0.0/8", "11.0.0.0"));
	assert_true(holds("192.0.2.128/25", "192.0.2.129"));
	assert_false(holds("192.0.2.128/25", "192.0.2.127"));
	assert_true(holds("192.0.2.4/31", "192.0.2.5"));
	assert_false(holds("192.0.2.4/32", "192.0.2.5"));
	assert_true(holds("2001:db8::/32", "2001:db8:ffff::1"));
	assert_false(holds("2001:db8::/32", "2001:db9::1"));
	assert_true(holds("2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(holds("2001:db8::/33", "2001:db8:8000::1"));
	assert_true(holds("::1", "::1"));
	assert_false(holds("::1", "::2"));
}

static void host_bits_in_a_range_do_not_matter(void **state)
{
	(void)state;
	assert_true(holds("10.1.2.3/8", "10.9.9.9"));
	assert_false(holds("10.1.2.3/8", "11.1.2.3"));
	assert_true(holds("2001:db8::17/64", "2001:db8::ffff"));
	assert_false(holds("2001:db8::17/64", "2001:db8:0:1::17"));
}

static void mapped_peers_match_ipv4_ranges(void **state)
{
	(void)state;
	assert_true(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
	assert_false(holds("10.0.0.0/8", "::ffff:11.1.2.3"));
	assert_true(holds("::ffff:10.0.0.0/104", "10.1.2.3"));
	assert_false(holds("::ffff:10.0.0.0/104", "11.1.2.3"));
}

static void each_family_s_prefix_0_holds_that_family_only(void **state)
{
	(void)state;
	assert_true(holds("0.0.0.0/0", "203.0.113.9"));
	assert_true(holds("0.0.0.0/0", "::ffff:203.0.113.9"));
	assert_false(holds("0.0.0.0/0", "2001:db8::1"));
	assert_false(holds("0.0.0.0/0", "::1"));
	assert_true(holds("::/0", "2001:db8::1"));
	assert_false(holds("::/0", "203.0.113.9"));
	assert_false(holds("::/0", "::ffff:203.0.113.9"));
}

static void other_families_are_in_no_range(void **state)
{
	const struct sockaddr peer = { .sa_family = AF_UNIX };
	struct address_range range;
	struct mfd_error err;

	(void)state;
	assert_true(address_range_parse("::/0", &range, &err));
	assert_false(address_range_holds(&range, &peer));
}

static void range_refused(const char *text, const char *words)
{
	struct address_range range;
	struct mfd_error err;

	if (address_range_parse(text, &range, &err))
		fail_msg("%s is taken", text);
	assert_int_equal(err.status, MFD_USAGE);
	if (!strstr(err.text, words) || !strstr(err.text, text))
		fail_msg("%s: \"%s\"", text, err.text);
}

static void what_is_no_range_is_refused(void **state)
{
	(void)state;
	range_refused("10.0.0.0/33", "from 0 to 32");
	range_refused("2001:db8::/129", "from 0 to 128");
	range_refused("10.0.0.0/", "from 0 to 32");
	range_refused("10.0.0.0/-1", "from 0 to 32");
	range_refused("10.0.0.0/8x", "from 0 to 32");
	range_refused("10.0.0.0/255.0.0.0", "from 0 to 32");
	range_refused("10.0.0/8", "address is needed");
	range_refused("dest", "address is needed");
	range_refused("dest/8", "address is needed");
	range_refused("", "address is needed");
	range_refused("/8", "address is needed");
	range_refused("[::1]", "address is needed");
	range_refused("fe80::1%eth0/64", "address is needed");
	range_refused("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/8",
		      "address is needed");
}

static void peer_prints_as(const char *peer_text, uint32_t scope, const char *expected)
{
	struct sockaddr_storage peer = peer_of(peer_text);
	char text[ADDRESS_TEXT];

	if (scope)
		((struct sockaddr_in6 *)&peer)->sin6_scope_id = scope;
	address_print((struct sockaddr *)&peer, text);
	assert_string_equal(text, expected);
}

static void peers_are_printed_for_messages(void **state)
{
	const struct sockaddr other = { .sa_family = AF_UNIX };
	char text[ADDRESS_TEXT];

	(void)state;
	peer_prints_as("192.0.2.1", 0, "192.0.2.1:7700");
	peer_prints_as("::ffff:192.0.2.1", 0, "192.0.2.1:7700");
	peer_prints_as("2001:db8::1", 0, "[2001:db8::1]:7700");
	peer_prints_as("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", 4294967295,
		       "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff%4294967295]:7700");
	address_print(&other, text);
	assert_string_equal(text, "unknown address");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_forms_are_understood),
		cmocka_unit_test(ports_are_decimal_and_in_range),
		cmocka_unit_test(port_0_is_only_for_listeners),
		cmocka_unit_test(an_empty_host_is_only_for_listeners),
		cmocka_unit_test(ipv6_without_brackets_is_refused_with_the_right_form),
		cmocka_unit_test(brackets_hold_ipv6_and_nothing_else),
		cmocka_unit_test(what_is_no_host_name_is_refused),
		cmocka_unit_test(long_host_names_are_bounded),
		cmocka_unit_test(names_are_printed_as_they_are_written),
		cmocka_unit_test(ranges_hold_what_they_name_and_nothing_else),
		cmocka_unit_test(host_bits_in_a_range_do_not_matter),
		cmocka_unit_test(mapped_peers_match_ipv4_ranges),
		cmocka_unit_test(each_family_s_prefix_0_holds_that_family_only),
		cmocka_unit_test(other_families_are_in_no_range),
		cmocka_unit_test(what_is_no_range_is_refused),
		cmocka_unit_test(peers_are_printed_for_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
