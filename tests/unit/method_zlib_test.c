/* SPDX-License-Identifier: MIT */
/*
 * The backends of the method zlib, each in turn: whatever one codes every one decodes, and plain
 * zlib too; and what zlib can write every decoder reads.  Damage is in method_damage_test.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/mman.h>
#include <zlib.h>

#include "compress/zlib_backend.h"
#include "method_fixture.h"

/* The packet is a zlib stream to whoever has zlib, and to every decoder. */
static void assert_everybody_reads(const struct packet *packet, const struct batch_pages *b)
{
	uint8_t *bytes = malloc(b->bytes);
	uLongf size = b->bytes;
	struct method *receiver;

	assert_non_null(bytes);
	assert_int_equal(uncompress(bytes, &size, packet->bytes, packet->size), Z_OK);
	assert_int_equal(size, b->bytes);
	assert_memory_equal(bytes, b->expected, b->bytes);
	free(bytes);
	for (unsigned i = 0; zlib_decoder_at(i); i++) {
		receiver = receiver_new(zlib_decoder_at(i));
		assert_decodes(receiver, packet, b);
		receiver->ops->free(receiver);
	}
}

static void send_and_read(struct method *sender, enum kind kind, uint32_t count)
{
	struct batch_pages b;
	struct packet packet;

	batch_pages_make(&b, kind, count, count * 10 + kind);
	packet = packet_make(sender, &b);
	if (kind == RANDOM) {
		assert_int_equal(packet.id, METHOD_NONE);
		assert_memory_equal(packet.bytes, b.expected, b.bytes);
	} else {
		assert_int_equal(packet.id, METHOD_ZLIB);
		assert_everybody_reads(&packet, &b);
	}
	free(packet.bytes);
	batch_pages_free(&b);
}

static void every_decoder_and_zlib_read_what_every_encoder_writes(void **state)
{
	static const uint32_t counts[] = { 1, 2, 63, 64 };
	const struct method_ops *ops;
	struct method *sender;

	(void)state;
	for (unsigned i = 0; (ops = zlib_encoder_at(i)); i++) {
		for (int level = ops->level_min; level <= ops->level_max; level++) {
			sender = sender_new(ops, level, 64 * PAGE);
			for (unsigned kind = 0; kind < KINDS; kind++)
				for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++)
					send_and_read(sender, kind, counts[n]);
			sender->ops->free(sender);
		}
	}
}

static void packets_of_1024_pages_are_read_by_all(void **state)
{
	struct method *sender;

	(void)state;
	for (unsigned i = 0; zlib_encoder_at(i); i++) {
		sender = sender_new(zlib_encoder_at(i), 1, METHOD_MAX_BYTES);
		for (unsigned kind = 0; kind < KINDS; kind++)
			send_and_read(sender, kind, MAX_PAGES);
		sender->ops->free(sender);
	}
}

/* @b as zlib writes it with these parameters, a full flush in the middle. */
static size_t zlib_stream(const struct batch_pages *b, int level, int window, int strategy,
			  uint8_t *ret, size_t room)
{
	z_stream stream = { 0 };

	assert_int_equal(deflateInit2(&stream, level, Z_DEFLATED, window, 8, strategy), Z_OK);
	stream.next_out = ret;
	stream.avail_out = (uInt)room;
	stream.next_in = b->expected;
	stream.avail_in = (uInt)b->bytes / 2 + 13;
	assert_int_equal(deflate(&stream, Z_FULL_FLUSH), Z_OK);
	stream.avail_in = (uInt)(b->bytes - b->bytes / 2 - 13);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(deflateEnd(&stream), Z_OK);
	return stream.total_out;
}

static void every_decoder_reads_all_that_zlib_can_write(void **state)
{
	static const int strategies[] = { Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE,
					  Z_FIXED };
	struct packet packet = { .id = METHOD_ZLIB };
	struct method *receiver;
	struct batch_pages b;
	uint8_t *stream;

	(void)state;
	batch_pages_make(&b, TEXT, 24, 3);
	/*
	 * A quarter of it zeros and a page of noise, so that stored blocks and long matches are in.
	 */
	memset(b.expected, 0, 6 * PAGE);
	fill_page(b.expected + 9 * PAGE, RANDOM, 1);
	stream = malloc(2 * b.bytes);
	assert_non_null(stream);
	for (unsigned i = 0; zlib_decoder_at(i); i++) {
		receiver = receiver_new(zlib_decoder_at(i));
		for (int level = 1; level <= 9; level++) {
			for (size_t s = 0; s < sizeof(strategies) / sizeof(int); s++) {
				packet.bytes = stream;
				packet.size = zlib_stream(&b, level, 9 + level % 7, strategies[s],
							  stream, 2 * b.bytes);
				assert_decodes(receiver, &packet, &b);
			}
		}
		receiver->ops->free(receiver);
	}
	free(stream);
	batch_pages_free(&b);
}

/* A text, @noise of whose bytes at its end are noise, as one page. */
static void noisy_page(struct batch_pages *b, size_t noise)
{
	uint8_t random[PAGE];

	batch_pages_make(b, TEXT, 1, 8);
	fill_page(random, RANDOM, noise);
	memcpy(b->pages.bytes + PAGE - noise, random, noise);
	memcpy(b->expected, b->pages.bytes, PAGE);
}

/* The sizes around the last one that is worth sending coded. */
static void pages_that_hardly_get_smaller_come_back_too(void **state)
{
	unsigned coded, raw;
	struct method *sender;
	struct packet packet;
	struct batch_pages b;

	(void)state;
	for (unsigned i = 0; zlib_encoder_at(i); i++) {
		sender = sender_new(zlib_encoder_at(i), 1, PAGE);
		coded = raw = 0;
		for (size_t noise = PAGE - 512; noise <= PAGE; noise++) {
			noisy_page(&b, noise);
			packet = packet_make(sender, &b);
			if (packet.id == METHOD_NONE) {
				raw++;
			} else {
				coded++;
				assert_everybody_reads(&packet, &b);
			}
			free(packet.bytes);
			batch_pages_free(&b);
		}
		assert_true(raw > 0 && coded > 0);
		sender->ops->free(sender);
	}
}

static void what_was_coded_before_leaves_no_trace(void **state)
{
	static const enum kind kinds[] = { TEXT, RANDOM, ALTERNATING, TEXT };
	static const uint64_t seeds[] = { 7, 8, 9, 7 };
	const struct method_ops *ops;
	struct packet packet[4];
	struct method *sender;
	struct batch_pages b;

	(void)state;
	for (unsigned i = 0; (ops = zlib_encoder_at(i)); i++) {
		for (int level = ops->level_min; level <= ops->level_max; level++) {
			sender = sender_new(ops, level, 64 * PAGE);
			for (size_t n = 0; n < 4; n++) {
				batch_pages_make(&b, kinds[n], 64, seeds[n]);
				packet[n] = packet_make(sender, &b);
				batch_pages_free(&b);
			}
			assert_int_equal(packet[0].size, packet[3].size);
			assert_memory_equal(packet[0].bytes, packet[3].bytes, packet[0].size);
			for (size_t n = 0; n < 4; n++)
				free(packet[n].bytes);
			sender->ops->free(sender);
		}
	}
}

/* @size bytes that end where memory does: libraries in assembler are invisible to sanitizers. */
static uint8_t *at_the_edge(size_t size)
{
	const size_t mapped = (size + PAGE - 1) / PAGE * PAGE;
	uint8_t *map = mmap(NULL, mapped + PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(mprotect(map + mapped, PAGE, PROT_NONE), 0);
	return map + mapped - size;
}

static void edge_free(uint8_t *bytes, size_t size)
{
	const size_t mapped = (size + PAGE - 1) / PAGE * PAGE;

	munmap(bytes + size - mapped, mapped + PAGE);
}

static void assert_reads_at_the_edge(const struct packet *packet, const struct batch_pages *b)
{
	uint8_t *payload = at_the_edge(packet->size), *bytes = at_the_edge(b->bytes);
	struct method *receiver;
	struct mfd_error err;

	memcpy(payload, packet->bytes, packet->size);
	for (unsigned i = 0; zlib_decoder_at(i); i++) {
		receiver = receiver_new(zlib_decoder_at(i));
		memset(bytes, 0xff, b->bytes);
		assert_true(receiver->ops->recv_pages(receiver, payload, packet->size, bytes,
						      b->bytes, &err));
		assert_memory_equal(bytes, b->expected, b->bytes);
		/* More than there is room for, and less. */
		assert_false(receiver->ops->recv_pages(receiver, payload, packet->size, bytes + 1,
						       b->bytes - 1, &err));
		assert_int_equal(err.status, MFD_DATA);
		assert_false(receiver->ops->recv_pages(receiver, payload + 1, packet->size - 1,
						       bytes, b->bytes, &err));
		assert_int_equal(err.status, MFD_DATA);
		receiver->ops->free(receiver);
	}
	edge_free(payload, packet->size);
	edge_free(bytes, b->bytes);
}

static void nobody_reads_or_writes_beyond_his_bytes(void **state)
{
	const struct method_ops *ops;
	struct method *sender;
	struct packet packet;
	struct batch_pages b;
	uint8_t *heap;

	(void)state;
	for (unsigned i = 0; (ops = zlib_encoder_at(i)); i++) {
		for (uint32_t count = 1; count <= 64; count = count * 3 + 1) {
			batch_pages_make(&b, TEXT, count, count);
			heap = b.pages.bytes;
			b.pages.bytes = at_the_edge(b.bytes);
			memcpy(b.pages.bytes, heap, b.bytes);
			free(heap);
			sender = sender_new(ops, ops->level_max, b.bytes);
			packet = packet_make(sender, &b);
			assert_int_equal(packet.id, METHOD_ZLIB);
			assert_reads_at_the_edge(&packet, &b);
			free(packet.bytes);
			sender->ops->free(sender);
			edge_free(b.pages.bytes, b.bytes);
			b.pages.bytes = NULL;
			batch_pages_free(&b);
		}
	}
}

static void every_level_goes_to_the_first_backend_that_has_it(void **state)
{
	const struct method_ops *ops;
	unsigned i;

	(void)state;
	for (int level = method_zlib.level_min; level <= method_zlib.level_max; level++) {
		for (i = 0; (ops = zlib_encoder_at(i)); i++)
			if (level >= ops->level_min && level <= ops->level_max)
				break;
		assert_non_null(ops);
		assert_string_equal(method_zlib.encoder(&method_zlib, level), ops->name);
	}
	assert_string_equal(method_zlib.decoder(&method_zlib), zlib_decoder_at(0)->name);
}

static void zlib_itself_is_always_there_and_last(void **state)
{
	unsigned e = 0, d = 0;

	(void)state;
	while (zlib_encoder_at(e))
		e++;
	while (zlib_decoder_at(d))
		d++;
	assert_ptr_equal(zlib_encoder_at(e - 1), &zlib_plain);
	assert_ptr_equal(zlib_decoder_at(d - 1), &zlib_plain);
	assert_int_equal(zlib_plain.level_min, method_zlib.level_min);
	assert_int_equal(zlib_plain.level_max, method_zlib.level_max);
}

static void a_backend_takes_only_what_it_can_do(void **state)
{
	const struct method_ops *igzip = zlib_encoder_at(0);
	struct mfd_error err;
	struct method *m;

	(void)state;
	if (strcmp(igzip->name, "igzip") != 0)
		skip();
	assert_false(igzip->new_sender(2, PAGE, &m, &err));
	assert_int_equal(err.status, MFD_BUG);
	assert_false(igzip->new_receiver(&m, &err));
	assert_int_equal(err.status, MFD_BUG);
	assert_true(igzip->new_sender(1, PAGE, &m, &err));
	assert_false(igzip->recv_pages(m, NULL, 0, NULL, 0, &err));
	assert_int_equal(err.status, MFD_BUG);
	m->ops->free(m);
}

static void more_pages_than_agreed_are_a_bug_in_each(void **state)
{
	struct iovec iov[METHOD_IOVS(3)];
	struct method_payload payload = { .iov = iov };
	struct batch_pages b;
	struct method *sender;
	struct mfd_error err;

	(void)state;
	batch_pages_make(&b, TEXT, 3, 1);
	for (unsigned i = 0; zlib_encoder_at(i); i++) {
		sender = sender_new(zlib_encoder_at(i), 1, 3 * PAGE - 1);
		assert_false(sender->ops->send_prepare(sender, &b.pages, &payload, &err));
		assert_int_equal(err.status, MFD_BUG);
		sender->ops->free(sender);
		sender = sender_new(zlib_encoder_at(i), 1, 3 * PAGE);
		assert_true(sender->ops->send_prepare(sender, &b.pages, &payload, &err));
		sender->ops->free(sender);
	}
	batch_pages_free(&b);
}

static void only_streams_with_a_dictionary_ask_for_one(void **state)
{
	static const uint8_t asks[] = { 0x78, 0xbb }, no_dictionary[] = { 0x78, 0x9c };
	static const uint8_t no_deflate[] = { 0x77, 0x28 }, no_header[] = { 0x78, 0xbc };

	(void)state;
	assert_true(zlib_asks_for_dictionary(asks, 2));
	assert_false(zlib_asks_for_dictionary(asks, 1));
	assert_false(zlib_asks_for_dictionary(no_dictionary, 2));
	assert_false(zlib_asks_for_dictionary(no_deflate, 2));
	assert_false(zlib_asks_for_dictionary(no_header, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_decoder_and_zlib_read_what_every_encoder_writes),
		cmocka_unit_test(packets_of_1024_pages_are_read_by_all),
		cmocka_unit_test(every_decoder_reads_all_that_zlib_can_write),
		cmocka_unit_test(pages_that_hardly_get_smaller_come_back_too),
		cmocka_unit_test(what_was_coded_before_leaves_no_trace),
		cmocka_unit_test(nobody_reads_or_writes_beyond_his_bytes),
		cmocka_unit_test(every_level_goes_to_the_first_backend_that_has_it),
		cmocka_unit_test(zlib_itself_is_always_there_and_last),
		cmocka_unit_test(a_backend_takes_only_what_it_can_do),
		cmocka_unit_test(more_pages_than_agreed_are_a_bug_in_each),
		cmocka_unit_test(only_streams_with_a_dictionary_ask_for_one),
	};

	/* Named, so that a log says what this build was tested with. */
	for (unsigned i = 0; zlib_encoder_at(i); i++)
		print_message("zlib streams: %s\n", zlib_encoder_at(i)->name);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
