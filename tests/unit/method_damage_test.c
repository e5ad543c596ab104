/* SPDX-License-Identifier: MIT */
/*
 * Payloads that must not pass: cut, extended, damaged, of another method, with more or fewer
 * bytes than the packet says.  None may write beyond its pages, and after each the receiver
 * decodes a good packet as before.  All of it with every decoder for zlib streams that this build
 * has, fed by every encoder.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <zlib.h>
#include <zstd.h>

#include "compress/zlib_backend.h"
#include "method_fixture.h"

#define CODECS 2

/* Decoders; main() puts those for zlib streams into the first place, one after another. */
static const struct method_ops *codecs[CODECS] = { &method_zlib, &method_zstd };

/* What codes zlib streams; main() takes turns here too. */
static const struct method_ops *zlib_encoder = &method_zlib;

/* With what each one's texts begin. */
static const char *const says_who[CODECS] = { "zlib payload", "zstd payload" };

/* A good packet with its receiver, the start of every case. */
struct good {
	struct batch_pages b;
	struct packet packet;
	struct method *receiver;
};

static void good_make(struct good *g, const struct method_ops *ops, uint32_t pages)
{
	const struct method_ops *from = ops->id == METHOD_ZLIB ? zlib_encoder : ops;
	struct method *sender = sender_new(from, from->level_default, pages * PAGE);

	batch_pages_make(&g->b, TEXT, pages, 42);
	g->packet = packet_make(sender, &g->b);
	assert_int_equal(g->packet.id, ops->id);
	sender->ops->free(sender);
	g->receiver = receiver_new(ops);
	assert_decodes(g->receiver, &g->packet, &g->b);
}

/* Whatever the receiver has seen meanwhile, a good packet still decodes. */
static void good_free(struct good *g)
{
	assert_decodes(g->receiver, &g->packet, &g->b);
	g->receiver->ops->free(g->receiver);
	free(g->packet.bytes);
	batch_pages_free(&g->b);
}

static void a_payload_cut_anywhere_is_refused(void **state)
{
	struct good g;
	uint8_t *cut;

	(void)state;
	for (size_t c = 0; c < CODECS; c++) {
		good_make(&g, codecs[c], 1);
		assert_refused(g.receiver, g.packet.bytes, 0, g.b.bytes, "empty");
		for (size_t size = 1; size < g.packet.size; size++) {
			cut = malloc(size);
			assert_non_null(cut);
			memcpy(cut, g.packet.bytes, size);
			assert_refused(g.receiver, cut, size, g.b.bytes, says_who[c]);
			free(cut);
		}
		assert_refused(g.receiver, g.packet.bytes, g.packet.size - 1, g.b.bytes,
			       "ends early");
		good_free(&g);
	}
}

static void bytes_behind_the_end_are_refused(void **state)
{
	static const char *const says[CODECS] = { "behind its end", "behind" };
	struct good g;
	uint8_t *longer;

	(void)state;
	for (size_t c = 0; c < CODECS; c++) {
		good_make(&g, codecs[c], 16);
		longer = calloc(2, g.packet.size);
		assert_non_null(longer);
		memcpy(longer, g.packet.bytes, g.packet.size);
		assert_refused(g.receiver, longer, g.packet.size + 1, g.b.bytes, says[c]);
		assert_refused(g.receiver, longer, g.packet.size + 8, g.b.bytes, says[c]);
		memcpy(longer + g.packet.size, g.packet.bytes, g.packet.size);
		assert_refused(g.receiver, longer, 2 * g.packet.size, g.b.bytes, says[c]);
		free(longer);
		good_free(&g);
	}
}

/*
 * Any bit turned round: refused, or decoded.  zlib's own checksum lets only the right bytes
 * through (the bit was padding, or the match it moved to is the same); zstd, which we give
 * none, leaves the verdict to the page hashes.  The guards are what counts here.
 */
static void damaged_payloads_never_write_beyond(void **state)
{
	struct good g;
	struct mfd_error err;
	uint8_t *bytes;
	size_t refused;

	(void)state;
	for (size_t c = 0; c < CODECS; c++) {
		good_make(&g, codecs[c], 2);
		refused = 0;
		for (size_t bit = 0; bit < g.packet.size * 8; bit++) {
			g.packet.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			if (!decode(g.receiver, g.packet.bytes, g.packet.size, g.b.bytes,
				    &bytes, &err)) {
				assert_int_equal(err.status, MFD_DATA);
				refused++;
			} else if (codecs[c]->id == METHOD_ZLIB) {
				assert_memory_equal(bytes, g.b.expected, g.b.bytes);
			}
			free(bytes);
			g.packet.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		assert_true(refused > (codecs[c]->id == METHOD_ZLIB ? g.packet.size * 7 : 0));
		good_free(&g);
	}
}

static void noise_is_refused(void **state)
{
	uint8_t noise[PAGE];
	struct good g;

	(void)state;
	for (size_t c = 0; c < CODECS; c++) {
		good_make(&g, codecs[c], 2);
		for (uint64_t seed = 0; seed < 200; seed++) {
			fill_page(noise, RANDOM, seed);
			/* Every other one with the right beginning, to get past the first look. */
			if (seed & 1)
				memcpy(noise, g.packet.bytes, 12);
			assert_refused(g.receiver, noise, 1 + seed * 20, g.b.bytes,
				       says_who[c]);
		}
		good_free(&g);
	}
}

static void a_payload_of_another_method_is_refused(void **state)
{
	struct good zlib, zstd;
	struct method *none = receiver_new(&method_none);

	(void)state;
	good_make(&zlib, codecs[0], 4);
	good_make(&zstd, &method_zstd, 4);
	assert_refused(zlib.receiver, zstd.packet.bytes, zstd.packet.size, zstd.b.bytes,
		       "damaged");
	assert_refused(zstd.receiver, zlib.packet.bytes, zlib.packet.size, zlib.b.bytes,
		       "no zstd frame");
	assert_refused(none, zlib.packet.bytes, zlib.packet.size, zlib.b.bytes, "payload of");
	assert_refused(zlib.receiver, zlib.b.expected, zlib.b.bytes - 1, zlib.b.bytes,
		       "damaged");
	assert_refused(zstd.receiver, zstd.b.expected, zstd.b.bytes - 1, zstd.b.bytes,
		       "no zstd frame");
	none->ops->free(none);
	good_free(&zstd);
	good_free(&zlib);
}

static void raw_pages_have_exactly_their_size(void **state)
{
	struct method *none = receiver_new(&method_none);
	uint8_t page[PAGE] = { 1, 2, 3 };
	struct mfd_error err;
	uint8_t *bytes;

	(void)state;
	assert_refused(none, page, PAGE - 1, PAGE, "4095 bytes for 4096");
	assert_refused(none, page, PAGE, PAGE - 1, "4096 bytes for 4095");
	assert_refused(none, page, 0, PAGE, "0 bytes for 4096");
	assert_true(decode(none, page, PAGE, PAGE, &bytes, &err));
	assert_memory_equal(bytes, page, PAGE);
	free(bytes);
	none->ops->free(none);
}

static void sizes_out_of_bounds_are_refused(void **state)
{
	struct good g;

	(void)state;
	for (size_t c = 0; c < CODECS; c++) {
		good_make(&g, codecs[c], 16);
		assert_refused(g.receiver, g.packet.bytes, g.packet.size, METHOD_MAX_BYTES + 1,
			       "more than 4194304");
		assert_refused(g.receiver, g.packet.bytes, g.packet.size, g.packet.size,
			       "not smaller");
		assert_refused(g.receiver, g.packet.bytes, g.packet.size, 0, "not smaller");
		assert_refused(g.receiver, g.packet.bytes, g.packet.size, METHOD_MAX_BYTES,
			       "instead of 4194304");
		good_free(&g);
	}
}

/* 4 MiB of zeros as a zlib stream. */
static size_t zlib_bomb(uint8_t *ret, size_t room)
{
	uint8_t *zeros = calloc(1, METHOD_MAX_BYTES);
	uLongf size = room;

	assert_non_null(zeros);
	assert_int_equal(compress2(ret, &size, zeros, METHOD_MAX_BYTES, 9), Z_OK);
	free(zeros);
	return size;
}

/* @bytes zeros as a zstd frame, with or without their number in its header. */
static size_t zstd_frame(uint8_t *ret, size_t room, size_t bytes, bool with_size)
{
	uint8_t *zeros = calloc(1, bytes);
	ZSTD_CCtx *cctx = ZSTD_createCCtx();
	size_t size;

	assert_non_null(zeros);
	assert_non_null(cctx);
	ZSTD_CCtx_setParameter(cctx, ZSTD_c_contentSizeFlag, with_size);
	size = ZSTD_compress2(cctx, ret, room, zeros, bytes);
	assert_false(ZSTD_isError(size));
	ZSTD_freeCCtx(cctx);
	free(zeros);
	return size;
}

static void a_decompression_bomb_stops_at_the_pages(void **state)
{
	static uint8_t bomb[8192];
	struct good zlib, zstd;
	size_t size;

	(void)state;
	good_make(&zlib, codecs[0], 4);
	good_make(&zstd, &method_zstd, 4);
	size = zlib_bomb(bomb, sizeof(bomb));
	assert_refused(zlib.receiver, bomb, size, 2 * PAGE, "holds more than 8192");
	assert_refused(zlib.receiver, bomb, size, METHOD_MAX_BYTES - 1,
		       "holds more than 4194303");
	size = zstd_frame(bomb, sizeof(bomb), METHOD_MAX_BYTES, true);
	assert_refused(zstd.receiver, bomb, size, PAGE, "states 4194304 bytes instead of 4096");
	size = zstd_frame(bomb, sizeof(bomb), METHOD_MAX_BYTES, false);
	assert_refused(zstd.receiver, bomb, size, PAGE, "holds more than 4096");
	assert_refused(zstd.receiver, bomb, size, METHOD_MAX_BYTES - 1,
		       "holds more than 4194303");
	good_free(&zstd);
	good_free(&zlib);
}

static void fewer_bytes_than_the_pages_are_refused(void **state)
{
	struct good zlib, zstd;
	uint8_t frame[1000];
	size_t size;

	(void)state;
	good_make(&zlib, codecs[0], 4);
	good_make(&zstd, &method_zstd, 4);
	assert_refused(zlib.receiver, zlib.packet.bytes, zlib.packet.size, 4 * PAGE + 1,
		       "holds 16384 bytes instead of 16385");
	assert_refused(zlib.receiver, zlib.packet.bytes, zlib.packet.size, 4 * PAGE - 1,
		       "holds more than 16383");
	assert_refused(zstd.receiver, zstd.packet.bytes, zstd.packet.size, 4 * PAGE + 1,
		       "states 16384 bytes instead of 16385");
	size = zstd_frame(frame, sizeof(frame), PAGE, false);
	assert_refused(zstd.receiver, frame, size, PAGE + 1,
		       "holds 4096 bytes instead of 4097");
	good_free(&zstd);
	good_free(&zlib);
}

static void zstd_frame_without_its_size_is_taken(void **state)
{
	struct method *receiver = receiver_new(&method_zstd);
	const uint8_t zeros[PAGE] = { 0 };
	uint8_t frame[1000];
	struct mfd_error err;
	uint8_t *bytes;
	size_t size;

	(void)state;
	size = zstd_frame(frame, sizeof(frame), PAGE, false);
	assert_true(decode(receiver, frame, size, PAGE, &bytes, &err));
	assert_memory_equal(bytes, zeros, PAGE);
	free(bytes);
	receiver->ops->free(receiver);
}

static void frames_of_other_kinds_are_refused(void **state)
{
	static const uint8_t skippable[] = { 0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4 };
	static const uint8_t version_0_7[] = { 0x27, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t reserved_bit[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x28, 0,
						1,    0,    0,	  0,	0,    0 };
	static const uint8_t gzip[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3,
					3,    0,    0, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t with_dictionary[] = { 0x78, 0xbb, 0, 0, 0, 1, 3, 0, 0, 0, 0, 1 };
	struct good zlib, zstd;

	(void)state;
	good_make(&zlib, codecs[0], 1);
	good_make(&zstd, &method_zstd, 1);
	assert_refused(zstd.receiver, skippable, sizeof(skippable), PAGE, "no zstd frame");
	assert_refused(zstd.receiver, version_0_7, sizeof(version_0_7), PAGE, "no zstd frame");
	assert_refused(zstd.receiver, reserved_bit, sizeof(reserved_bit), PAGE,
		       "damaged frame header");
	assert_refused(zlib.receiver, gzip, sizeof(gzip), PAGE, "damaged");
	assert_refused(zlib.receiver, with_dictionary, sizeof(with_dictionary), PAGE,
		       "asks for a dictionary");
	good_free(&zstd);
	good_free(&zlib);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_payload_cut_anywhere_is_refused),
		cmocka_unit_test(bytes_behind_the_end_are_refused),
		cmocka_unit_test(damaged_payloads_never_write_beyond),
		cmocka_unit_test(noise_is_refused),
		cmocka_unit_test(a_payload_of_another_method_is_refused),
		cmocka_unit_test(raw_pages_have_exactly_their_size),
		cmocka_unit_test(sizes_out_of_bounds_are_refused),
		cmocka_unit_test(a_decompression_bomb_stops_at_the_pages),
		cmocka_unit_test(fewer_bytes_than_the_pages_are_refused),
		cmocka_unit_test(zstd_frame_without_its_size_is_taken),
		cmocka_unit_test(frames_of_other_kinds_are_refused),
	};

	int failed = 0;
	char group[64];

	for (unsigned d = 0; zlib_decoder_at(d); d++) {
		for (unsigned e = 0; zlib_encoder_at(e); e++) {
			codecs[0] = zlib_decoder_at(d);
			zlib_encoder = zlib_encoder_at(e);
			snprintf(group, sizeof(group), "%s decodes, %s coded", codecs[0]->name,
				 zlib_encoder->name);
			failed += cmocka_run_group_tests_name(group, tests, NULL, NULL);
		}
	}
	return failed;
}
