/* SPDX-License-Identifier: MIT */
/*
 * The bandwidth limit end to end: what arrives on the data connections in a second, as the
 * receiver's kernel counts it (bytes of TCP, acknowledged and in order), is the rate asked for
 * within 2 %, however many channels share it and whatever codes the pages.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "common/testing.h"

/* Large enough never to end while it is measured; its pages are made as they are read. */
#define IMAGE_BYTES (UINT64_C(4) << 30)

/*
 * A machine that does not run us for tens of milliseconds makes a second too short and the next
 * too long.  So two in a row have to be right, and there are so many chances.  A limit that is
 * off by more has none.  Under a sanitizer programs may be too slow for any rate, and only more
 * than it is wrong.
 */
#define WINDOWS 8u
#define IN_A_ROW 2u
#define AT_LEAST (TESTING_SANITIZED ? 0 : 0.98)

/* The receiver's data connections, in the order they came. */
struct meter {
	_Atomic int fd[MFD_MAX_CHANNELS];
	_Atomic unsigned count;
};

static void look(void *opaque, uint32_t id, int fd)
{
	struct meter *m = opaque;
	const unsigned n = atomic_load(&m->count);

	if (id == TESTING_CONTROL)
		return;
	atomic_store(&m->fd[n], fd);
	atomic_store(&m->count, n + 1);
}

struct reading {
	uint64_t ns, bytes;
};

static struct reading read_meter(struct meter *m)
{
	const unsigned count = atomic_load(&m->count);
	struct reading r = { .ns = clock_ns() };

	for (unsigned i = 0; i < count; i++) {
		struct tcp_info info = { 0 };
		socklen_t size = sizeof(info);

		assert_int_equal(getsockopt(atomic_load(&m->fd[i]), IPPROTO_TCP, TCP_INFO, &info,
					    &size), 0);
		r.bytes += info.tcpi_bytes_received;
	}
	/* The middle of the time it took. */
	r.ns += (clock_ns() - r.ns) / 2;
	return r;
}

/* The next second's bytes per second. */
static double one_second(struct meter *m)
{
	const struct reading from = read_meter(m);
	struct reading to;

	poll(NULL, 0, 1000);
	to = read_meter(m);
	return (double)(to.bytes - from.bytes) / ((double)(to.ns - from.ns) / 1e9);
}

static void expect_rate(const char *name, const struct method_ops *method, unsigned channels,
			uint64_t most)
{
	/* Where programs are slower, less than they can do. */
	const uint64_t rate = TESTING_SANITIZED && most > 400000 ? 400000 : most;
	struct testing_scene s;
	struct meter meter = { 0 };
	unsigned waited = 0, good = 0;
	double got = 0;

	testing_scene_init(&s, name);
	testing_sink_destroy(&s.sink);
	s.image = (struct testing_image){ .seed = 3, .size = IMAGE_BYTES, .rounds = 1,
					  .kind = TESTING_MIXED };
	testing_source_init(&s.source, &s.image, true);
	testing_sink_init(&s.sink, &s.image);
	s.pair.packet_pages = 64;
	s.pair.channels = channels;
	s.pair.method = method;
	s.pair.bytes_per_second = rate;
	s.pair.recv_faults.look = look;
	s.pair.recv_faults.look_opaque = &meter;
	assert_true(testing_start(&s.pair));
	/* Not the first bytes, which may be a burst. */
	while (testing_patience(&waited, atomic_load(&meter.count) == channels &&
					 read_meter(&meter).bytes > rate / 10))
		;
	for (unsigned i = 0; i < WINDOWS && good < IN_A_ROW; i++) {
		got = one_second(&meter) / (double)rate;
		print_message("%.4f ", got);
		good = got >= AT_LEAST && got < 1.02 ? good + 1 : 0;
	}
	print_message("of %.0f kB/s, %u channels, %s\n", (double)rate / 1e3, channels,
		      method->name);
	send_session_cancel(s.pair.sender.send);
	testing_join(&s.pair);
	testing_scene_destroy(&s);
	assert_int_equal(good, IN_A_ROW);
}

static void one_channel_keeps_the_rate(void **state)
{
	(void)state;
	expect_rate(__func__, &method_none, 1, 32000000);
}

static void one_channel_that_compresses_keeps_the_rate(void **state)
{
	(void)state;
	expect_rate(__func__, &method_zstd, 1, 2000000);
}

static void eight_channels_share_the_rate(void **state)
{
	(void)state;
	expect_rate(__func__, &method_none, 8, 4000000);
}

static void eight_channels_that_compress_share_the_rate(void **state)
{
	(void)state;
	expect_rate(__func__, &method_zstd, 8, 1000000);
}

/* 511 runs in a packet, none of which is as long as a piece. */
static void packets_of_many_runs_arrive_in_pieces(void **state)
{
	struct testing_scene s;

	(void)state;
	testing_scene_init(&s, __func__);
	testing_sink_destroy(&s.sink);
	s.image.size = 4 << 20;
	s.image.kind = TESTING_ALTERNATING;
	testing_source_init(&s.source, &s.image, true);
	testing_sink_init(&s.sink, &s.image);
	s.pair.packet_pages = BATCH_MAX_PAGES;
	s.pair.bytes_per_second = 6000000;
	assert_true(testing_run(&s.pair));
	assert_true(testing_agreed(&s.pair));
	assert_true(testing_sink_complete(&s.sink));
	testing_scene_destroy(&s);
}

/*
 * The lowest limit at which packets are sent in pieces, and a timeout within which a channel
 * hardly gets eight of them.
 */
static void a_low_limit_does_not_make_channels_look_dead(void **state)
{
	struct testing_scene s;

	(void)state;
	testing_scene_init(&s, __func__);
	testing_sink_destroy(&s.sink);
	s.image.size = 8 * 64 << 10;
	testing_source_init(&s.source, &s.image, true);
	testing_sink_init(&s.sink, &s.image);
	s.pair.channels = 8;
	s.pair.packet_pages = 16;
	s.pair.bytes_per_second = 8 * 16 << 10;
	s.pair.timeout_ms = TESTING_SANITIZED ? 3000 : 700;
	assert_int_not_equal(pace_piece(s.pair.bytes_per_second, 8), SIZE_MAX);
	assert_true(testing_run(&s.pair));
	if (!testing_agreed(&s.pair))
		fail_msg("%s", s.pair.sender.error.text);
	testing_scene_destroy(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_channel_keeps_the_rate),
		cmocka_unit_test(one_channel_that_compresses_keeps_the_rate),
		cmocka_unit_test(eight_channels_share_the_rate),
		cmocka_unit_test(eight_channels_that_compress_share_the_rate),
		cmocka_unit_test(packets_of_many_runs_arrive_in_pieces),
		cmocka_unit_test(a_low_limit_does_not_make_channels_look_dead),
	};

	return cmocka_run_group_tests_name("bwlimit", tests, NULL, NULL);
}
