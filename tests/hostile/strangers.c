/* SPDX-License-Identifier: MIT */
/*
 * Strangers at the door of mfd-recv: they have no token, or one that was used before.  Whatever
 * they do and however many there are, the session goes on and ends well.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "hostile/receiver.h"

/* A session of two channels that has just begun, and how it goes on. */
static void start_honest(struct receiver *r, struct raw_sender *s)
{
	r->channels = 2;
	raw_open(s, r->port, 2, r->image.size);
	raw_pages(s, 0, 0, &r->image, 0, 8);
	raw_pages(s, 1, 0, &r->image, 8, 8);
	/* Both have come in. */
	for (unsigned acked = 0; acked != 3;) {
		struct wire_message m;

		assert_true(raw_hear(s->control, &m));
		for (unsigned i = 0; m.type == WIRE_ACK && i < m.ack.count; i++)
			acked |= 1u << m.ack.channel[i].channel;
	}
}

static void finish_honest(struct receiver *r, struct raw_sender *s)
{
	raw_pages(s, 0, 0, &r->image, 16, 8);
	raw_pages(s, 1, 0, &r->image, 24, 8);
	raw_finish(s);
	raw_close(s);
	receiver_end(r, 0);
}

static void expect_stranger(struct receiver *r, int fd)
{
	raw_expect_closed(fd);
	close(fd);
	r->attacks++;
}

static void wrong_and_replayed_tokens_do_not_disturb(void **state)
{
	uint8_t token[WIRE_TOKEN_BYTES];
	struct raw_sender s;
	struct receiver *r = *state;
	uint64_t seed = 9;

	receiver_begin(r, __func__);
	start_honest(r, &s);
	for (unsigned i = 0; i < 300; i++) {
		int fd = raw_connect(r->port);

		memcpy(token, s.token, sizeof(token));
		token[testing_random(&seed) % sizeof(token)] ^= (uint8_t)(1u << i % 8);
		raw_preamble(fd, i % 2 ? WIRE_ROLE_DATA : WIRE_ROLE_HASHES, i % 2, 2, token);
		expect_stranger(r, fd);
		/* The right token, a second time: the same generation, and an older one. */
		fd = raw_connect(r->port);
		raw_preamble(fd, WIRE_ROLE_DATA, i % 2, 1, s.token);
		expect_stranger(r, fd);
		fd = raw_connect(r->port);
		raw_preamble(fd, WIRE_ROLE_DATA, 2 + i, 1, s.token);
		expect_stranger(r, fd);
	}
	finish_honest(r, &s);
}

static void an_older_generation_does_not_come_back(void **state)
{
	struct wire_message m;
	struct raw_sender s;
	struct receiver *r = *state;
	int stolen;

	receiver_begin(r, __func__);
	start_honest(r, &s);
	raw_close_data(&s, 1);
	s.data[1] = raw_open_data(&s, 1, 5);
	s.sequence[1] = 0;
	/* Which is fenced the older one for, whether its end was noticed before or not. */
	do
		assert_true(raw_hear(s.control, &m));
	while (m.type != WIRE_FENCED);
	for (uint32_t generation = 1; generation <= 5; generation++) {
		stolen = raw_open_data(&s, 1, generation);
		expect_stranger(r, stolen);
	}
	finish_honest(r, &s);
}

static void second_senders_are_sent_away(void **state)
{
	struct wire_message m;
	struct raw_sender s;
	struct receiver *r = *state;

	receiver_begin(r, __func__);
	start_honest(r, &s);
	for (unsigned i = 0; i < 100; i++) {
		const struct wire_hello hello = raw_hello(1 + i, r->image.size);
		int fd = raw_open_control(r->port, &hello);

		raw_expect(fd, WIRE_REFUSE, &m);
		assert_int_equal(m.problem.status, MFD_TRY_AGAIN);
		expect_stranger(r, fd);
	}
	finish_honest(r, &s);
}

static void a_flood_of_bad_preambles_does_not_disturb(void **state)
{
	struct raw_sender s;
	struct receiver *r = *state;
	uint64_t seed = 11;

	receiver_begin(r, __func__);
	start_honest(r, &s);
	for (unsigned i = 0; i < (TESTING_SANITIZED ? 500u : 3000u); i++) {
		uint64_t junk[32];
		int fd = raw_connect(r->port);

		for (unsigned k = 0; k < TESTING_COUNT(junk); k++)
			junk[k] = testing_random(&seed);
		(void)raw_try_send(fd, junk, 1 + testing_random(&seed) % sizeof(junk));
		close(fd);
		r->attacks++;
	}
	finish_honest(r, &s);
}

/* They come before and during the session, and stay; @speak: a byte now and then. */
static void crowd(struct receiver *r, const char *name, unsigned count, bool speak)
{
	int *fd = calloc(count, sizeof(*fd));
	const uint8_t magic = 'M';
	struct raw_sender s;

	assert_non_null(fd);
	receiver_begin(r, name);
	for (unsigned i = 0; i < count / 2; i++)
		fd[i] = raw_connect(r->port);
	start_honest(r, &s);
	for (unsigned i = count / 2; i < count; i++)
		fd[i] = raw_connect(r->port);
	for (unsigned k = 0; speak && k < 20; k++) {
		for (unsigned i = 0; i < count; i++)
			(void)raw_try_send(fd[i], &magic, 1);
		testing_pause_ms(10);
	}
	finish_honest(r, &s);
	for (unsigned i = 0; i < count; i++)
		close(fd[i]);
	free(fd);
	r->attacks += count;
}

static void a_thousand_half_open_connections_do_not_disturb(void **state)
{
	struct rlimit files;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur < 1100)
		SCRATCH_SKIP("skipped: no more than %lu files may be open\n",
			     (unsigned long)files.rlim_cur);
	crowd(*state, __func__, 1000, false);
}

static void a_hundred_slow_peers_do_not_disturb(void **state)
{
	crowd(*state, __func__, 100, true);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, receiver_setup, receiver_teardown)
	const struct CMUnitTest tests[] = {
		WITH(wrong_and_replayed_tokens_do_not_disturb),
		WITH(an_older_generation_does_not_come_back),
		WITH(second_senders_are_sent_away),
		WITH(a_flood_of_bad_preambles_does_not_disturb),
		WITH(a_thousand_half_open_connections_do_not_disturb),
		WITH(a_hundred_slow_peers_do_not_disturb),
	};

	return scratch_result(cmocka_run_group_tests_name("strangers", tests, NULL, NULL));
}
