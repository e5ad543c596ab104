/* SPDX-License-Identifier: MIT */
/*
 * Evil senders: sessions that lie to mfd-recv.  Each ends with the right status at both ends and
 * leaves nothing; memory and files stay within their bounds meanwhile.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <zlib.h>
#include <zstd.h>

#include "hostile/receiver.h"

typedef void lie_fn(struct raw_sender *s, struct raw_packet *p);

static void zeros(struct raw_packet *p, uint64_t first, uint64_t count)
{
	p->header = (struct wire_packet){ .kind = WIRE_ZERO, .first = first, .count = count };
}

static void claim_2_63_zero_pages(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	zeros(p, 0, UINT64_C(1) << 63);
}

static void claim_2_63_pages(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	p->header.count = UINT64_C(1) << 63;
}

static void wrap_around_the_end(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	zeros(p, UINT64_MAX - 3, 8);
}

static void write_past_the_end(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	p->header.first = RECEIVER_PAGES;
}

static void write_across_the_end(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	p->header.first = RECEIVER_PAGES - 1;
}

static void write_far_away(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	p->header.first = WIRE_MAX_PAGE_INDEX - 8;
}

static void claim_a_large_payload(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	p->header.payload = UINT32_MAX;
}

static void claim_more_data_than_pages(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	p->header.data_pages = 9;
}

static void jump_in_the_sequence(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	p->header.sequence = UINT64_MAX;
}

static void be_in_a_later_round(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	p->header.round = 99999;
}

static void name_another_region(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	p->header.region = 15;
}

static void lie_about_the_sum(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	p->header.sum ^= 1;
}

/* Zeros, as many as @decoded, in few bytes, said to be the packet's pages. */
static void put_bomb(struct raw_packet *p, enum method_id method, size_t decoded)
{
	uint8_t *all = calloc(1, decoded);
	uLongf room = sizeof(p->payload);

	assert_non_null(all);
	if (method == METHOD_ZSTD)
		p->header.payload = (uint32_t)ZSTD_compress(p->payload, room, all, decoded, 19);
	else
		assert_int_equal(compress2(p->payload, &room, all, decoded, 9), Z_OK);
	if (method == METHOD_ZLIB)
		p->header.payload = (uint32_t)room;
	free(all);
	p->header.method = (uint8_t)method;
	assert_true(p->header.payload < p->header.data_pages * PAGE_BYTES);
}

static void be_a_zstd_bomb(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	put_bomb(p, METHOD_ZSTD, 64u << 20);
}

static void be_a_zlib_bomb(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	put_bomb(p, METHOD_ZLIB, 16u << 20);
}

static void decode_to_4_mib(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	put_bomb(p, METHOD_ZSTD, 4u << 20);
}

static void decode_to_less(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	put_bomb(p, METHOD_ZSTD, PAGE_BYTES);
}

static void say_1024_pages_of_a_bomb(struct raw_sender *s, struct raw_packet *p)
{
	(void)s;
	put_bomb(p, METHOD_ZSTD, 4u << 20);
	p->header.count = p->header.data_pages = 1024;
}

static const struct lie {
	const char *name;
	lie_fn *tell;
	uint64_t size;               /* that HELLO says; 0: the image's */
	enum mfd_status status;
} lies[] = {
	{ "2^63 zero pages", claim_2_63_zero_pages, 0, MFD_PROTOCOL },
	{ "2^63 zero pages, size unknown", claim_2_63_zero_pages, UINT64_MAX, MFD_PROTOCOL },
	{ "2^63 pages", claim_2_63_pages, 0, MFD_PROTOCOL },
	{ "zero pages around 2^64", wrap_around_the_end, 0, MFD_PROTOCOL },
	{ "pages past the end", write_past_the_end, 0, MFD_PROTOCOL },
	{ "pages across the end", write_across_the_end, 0, MFD_PROTOCOL },
	{ "pages far away", write_far_away, 0, MFD_PROTOCOL },
	{ "pages beyond --max-size, size unknown", write_far_away, UINT64_MAX, MFD_CANT_CREATE },
	{ "payload of 4 GiB", claim_a_large_payload, 0, MFD_PROTOCOL },
	{ "more data pages than pages", claim_more_data_than_pages, 0, MFD_PROTOCOL },
	{ "a jump in the sequence", jump_in_the_sequence, 0, MFD_PROTOCOL },
	{ "a later round", be_in_a_later_round, 0, MFD_PROTOCOL },
	{ "another region", name_another_region, 0, MFD_PROTOCOL },
	{ "a wrong sum", lie_about_the_sum, 0, MFD_DATA },
	{ "zstd bomb of 64 MiB", be_a_zstd_bomb, 0, MFD_DATA },
	{ "zlib bomb of 16 MiB", be_a_zlib_bomb, 0, MFD_DATA },
	{ "zstd frame of 4 MiB", decode_to_4_mib, 0, MFD_DATA },
	{ "zstd frame of one page", decode_to_less, 0, MFD_DATA },
	{ "1024 pages where 16 were agreed on", say_1024_pages_of_a_bomb, 0, MFD_PROTOCOL },
};

/* A session of one channel that may use every method. */
static void open_session(struct receiver *r, struct raw_sender *s, uint64_t size)
{
	struct wire_message m;

	memset(s, 0, sizeof(*s));
	memset(s->data, -1, sizeof(s->data));
	s->port = r->port;
	s->hello = raw_hello(1, size);
	s->hello.methods = 1 | 1u << METHOD_ZLIB | 1u << METHOD_ZSTD;
	s->hello.method = METHOD_ZSTD;
	s->hello.level = 1;
	s->control = raw_open_control(r->port, &s->hello);
	raw_expect(s->control, WIRE_WELCOME, &m);
	memcpy(s->token, m.welcome.token, sizeof(s->token));
	s->data[0] = raw_open_data(s, 0, 1);
}

/* It may have heard enough before the end. */
static void put_lie(struct raw_sender *s, const struct raw_packet *p)
{
	const size_t most = sizeof(p->payload);
	uint8_t raw[WIRE_PACKET_BYTES];

	wire_put_packet(&p->header, raw);
	raw_send(s->data[0], raw, sizeof(raw));
	if (p->header.kind != WIRE_PAGES ||
	    !raw_try_send(s->data[0], p->bitmaps, p->bitmap_bytes))
		return;
	(void)raw_try_send(s->data[0], p->payload,
			   p->header.payload < most ? p->header.payload : most);
}

static void every_lie_ends_the_session_and_leaves_nothing(void **state)
{
	struct receiver *r = *state;

	for (unsigned i = 0; i < TESTING_COUNT(lies); i++) {
		struct raw_sender s;
		struct raw_packet p;
		struct wire_message m;

		receiver_begin(r, lies[i].name);
		open_session(r, &s, lies[i].size ? lies[i].size : r->image.size);
		raw_make(&s, 0, 0, &r->image, 0, 8, &p);
		p.header.sequence = 0;
		lies[i].tell(&s, &p);
		put_lie(&s, &p);
		raw_expect(s.control, WIRE_ERROR, &m);
		if (m.problem.status != lies[i].status)
			fail_msg("%s: %d: %s", lies[i].name, m.problem.status, m.problem.text);
		raw_close(&s);
		receiver_end(r, (int)lies[i].status);
		r->attacks++;
	}
}

static void a_size_over_the_limit_is_refused(void **state)
{
	static const uint64_t sizes[] = { RECEIVER_MAX_BYTES + 1, UINT64_C(1) << 40,
					  UINT64_C(1) << 62 };
	struct wire_message m;
	struct receiver *r = *state;

	for (unsigned i = 0; i < TESTING_COUNT(sizes); i++) {
		struct wire_hello hello = raw_hello(1, sizes[i]);
		int fd;

		receiver_begin(r, __func__);
		fd = raw_open_control(r->port, &hello);
		raw_expect(fd, WIRE_WELCOME, &m);
		raw_expect(fd, WIRE_ERROR, &m);
		assert_int_equal(m.problem.status, MFD_CANT_CREATE);
		close(fd);
		receiver_end(r, MFD_CANT_CREATE);
		r->attacks++;
	}
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, receiver_setup, receiver_teardown)
	const struct CMUnitTest tests[] = {
		WITH(every_lie_ends_the_session_and_leaves_nothing),
		WITH(a_size_over_the_limit_is_refused),
	};

	return scratch_result(cmocka_run_group_tests_name("hostile senders", tests, NULL, NULL));
}
