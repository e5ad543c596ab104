/* SPDX-License-Identifier: MIT */
/*
 * Sessions whose receiver has most of the image already: only what differs travels, both ends agree
 * on the hash of all of it, and nothing but bytes is lost when the hash lists are.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/raw.h"
#include "session/raw_scene.h"
#include "unit/scratch.h"

/* A transfer onto an older image. */
struct delta {
	struct testing_image image;
	uint64_t basis_bytes;        /* of the older image */
	unsigned differs;            /* each so manyth page of it; 0: none */
	bool rereadable;
	bool knows_zeros;
	uint32_t packet_pages;
	unsigned channels;
	/* of the sender's connections; kind PIECES with 0 bytes: none */
	struct testing_fault fault;

	/* What it came to. */
	struct mfd_stats stats;
	unsigned fired;
};

static struct delta some_delta(void)
{
	return (struct delta){
		.image = { .seed = 7, .size = (2u << 20) + 100, .kind = TESTING_MIXED,
			   .rounds = 1 },
		.basis_bytes = (2u << 20) + 100, .differs = 20, .rereadable = true,
		.packet_pages = 16, .channels = 4,
		.fault = { .kind = TESTING_PIECES },
	};
}

/* The image as it was when it was smaller or larger, with each @differs-th page another one. */
static int make_basis(const struct delta *d)
{
	char path[] = "/tmp/mfd-delta-XXXXXX";
	uint8_t page[PAGE_BYTES];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	for (uint64_t i = 0; i < batch_pages_of(d->basis_bytes); i++) {
		testing_page(d->image.seed, i, 0, d->image.kind, page);
		if (i * PAGE_BYTES < d->image.size && (i + 1) * PAGE_BYTES > d->image.size)
			testing_content(&d->image, i, 0, page);
		if (d->differs && i % d->differs == 3)
			memset(page, 0x77, 1);
		assert_int_equal(pwrite(fd, page, PAGE_BYTES, (off_t)(i * PAGE_BYTES)), PAGE_BYTES);
	}
	assert_int_equal(ftruncate(fd, (off_t)d->basis_bytes), 0);
	return fd;
}

static void move(const char *name, struct delta *d)
{
	struct sink_basis basis = { .own = -1, .old = make_basis(d), .old_bytes = d->basis_bytes };
	struct testing_source source;
	struct testing_sink sink;
	struct testing_pair p;

	testing_source_init(&source, &d->image, d->rereadable);
	source.knows_zeros = d->knows_zeros;
	testing_sink_init(&sink, &d->image);
	sink.sink.basis = &basis;
	testing_pair_init(&p, name, &source.source, &sink.sink);
	p.channels = d->channels;
	p.packet_pages = d->packet_pages;
	p.method = &method_none;
	p.timeout_ms = d->fault.kind == TESTING_STALL ? 3000 : 20000;
	p.send_faults.fault[0] = d->fault;
	p.send_faults.count = d->fault.kind != TESTING_PIECES;
	if (!testing_run(&p) || !testing_agreed(&p))
		fail_msg("sender %s; receiver %s", p.sender.error.text, p.receiver.error.text);
	assert_int_equal(p.sender.stats.hash, testing_hash(&d->image));
	assert_true(testing_sink_complete(&sink));
	/* What is sent again counts once. */
	assert_int_equal(p.sender.stats.pages_kept, p.receiver.stats.pages_kept);
	assert_int_equal(p.sender.stats.pages_data, p.receiver.stats.pages_data);
	assert_int_equal(p.sender.stats.pages_zero, p.receiver.stats.pages_zero);
	d->stats = p.receiver.stats;
	d->fired = p.send_faults.fired;
	testing_sink_destroy(&sink);
	sink_basis_destroy(&basis);
}

/* Pages of round 0 that are not zero; of them those that @d's basis has. */
static void count_pages(const struct delta *d, uint64_t *ret_data, uint64_t *ret_kept)
{
	uint8_t page[PAGE_BYTES], zero[PAGE_BYTES] = { 0 };

	*ret_data = *ret_kept = 0;
	for (uint64_t i = 0; i < batch_pages_of(d->image.size); i++) {
		testing_content(&d->image, i, 0, page);
		if (!memcmp(page, zero, PAGE_BYTES))
			continue;
		if (i < batch_pages_of(d->basis_bytes) && !(d->differs && i % d->differs == 3))
			++*ret_kept;
		else
			++*ret_data;
	}
}

static void moves_only_what_differs(const char *name, struct delta *d)
{
	uint64_t data, kept;

	count_pages(d, &data, &kept);
	move(name, d);
	assert_int_equal(d->stats.pages_kept, kept);
	assert_int_equal(d->stats.pages_data, data);
	assert_true(d->stats.bytes_hashes < (kept + data) * 17 + 4096);
}

static void only_pages_that_differ_travel(void **state)
{
	struct delta d = some_delta();

	(void)state;
	moves_only_what_differs(__func__, &d);
	d.image.kind = TESTING_RANDOM;
	moves_only_what_differs(__func__, &d);
	/* Payload, packets that keep everything, and the SYNCs. */
	assert_true(d.stats.bytes_wire < d.stats.pages_data * PAGE_BYTES + 40 * 140 + 4 * 200);
}

static void zero_pages_are_known_without_hashes(void **state)
{
	struct delta d = some_delta();

	(void)state;
	d.knows_zeros = true;
	moves_only_what_differs(__func__, &d);
	d.image.kind = TESTING_ALTERNATING;
	moves_only_what_differs(__func__, &d);
	d.image.kind = TESTING_ZERO;
	d.image.size = d.basis_bytes = UINT64_C(1) << 22;
	d.differs = 0;
	move(__func__, &d);
	assert_int_equal(d.stats.pages_kept, 0);
	/* the bitmap of 1024 pages */
	assert_true(d.stats.bytes_hashes <= 2 * WIRE_HASHES_BYTES + 128);
}

static void equal_images_cost_their_hashes_only(void **state)
{
	struct delta d = some_delta();

	(void)state;
	d.differs = 0;
	moves_only_what_differs(__func__, &d);
	assert_int_equal(d.stats.pages_data, 0);
}

static void a_basis_may_be_shorter_longer_or_empty(void **state)
{
	static const uint64_t sizes[] = { 0, 1, PAGE_BYTES, (1u << 20) + 3 * PAGE_BYTES, 3u << 20 };
	struct delta d = some_delta();

	(void)state;
	for (unsigned i = 0; i < TESTING_COUNT(sizes); i++) {
		d.basis_bytes = sizes[i];
		/* One byte of page 0 is another page than all of it. */
		if (sizes[i] == 1)
			move(__func__, &d);
		else
			moves_only_what_differs(__func__, &d);
	}
}

static void a_stream_of_unknown_size_is_matched_too(void **state)
{
	struct delta d = some_delta();

	(void)state;
	d.rereadable = false;
	moves_only_what_differs(__func__, &d);
}

static void packets_of_any_size_are_matched(void **state)
{
	static const uint32_t sizes[] = { 1, 7, 64, 1024 };
	struct delta d = some_delta();

	(void)state;
	for (unsigned i = 0; i < TESTING_COUNT(sizes); i++) {
		d.packet_pages = sizes[i];
		d.channels = 1 + i * 3;
		moves_only_what_differs(__func__, &d);
	}
}

/* More pages than the window and the ring together have places for. */
static void an_image_larger_than_the_window_is_matched(void **state)
{
	struct delta d = some_delta();

	(void)state;
	d.image.kind = TESTING_RANDOM;
	d.image.size = d.basis_bytes = TESTING_SANITIZED ? UINT64_C(72) << 20 : UINT64_C(160) << 20;
	d.differs = 50;
	d.packet_pages = 64;
	moves_only_what_differs(__func__, &d);
}

/* Later rounds are not matched: by then the receiver has something else. */
static void rounds_after_the_first_are_sent(void **state)
{
	struct delta d = some_delta();
	uint64_t data, kept;

	(void)state;
	d.image.rounds = 4;
	d.image.kind = TESTING_ALTERNATING;
	count_pages(&d, &data, &kept);
	move(__func__, &d);
	assert_int_equal(d.stats.pages_kept, kept);
	assert_true(d.stats.pages_data > data);
}

static void lost_hash_lists_cost_nothing_but_bytes(void **state)
{
	static const enum testing_fault_kind kinds[] = { TESTING_RST, TESTING_FIN, TESTING_FLIP,
							 TESTING_STALL };
	static const uint64_t at[] = { 0, 1, 47, 48, 60, 3000, 20000 };
	struct delta d = some_delta();
	uint64_t data, kept;

	(void)state;
	d.image.size = d.basis_bytes = 12u << 20;
	d.image.kind = TESTING_RANDOM;
	d.packet_pages = 64;
	count_pages(&d, &data, &kept);
	for (unsigned i = 0; i < TESTING_COUNT(kinds); i++) {
		for (unsigned j = 0; j < (kinds[i] == TESTING_STALL ? 2 : TESTING_COUNT(at)); j++) {
			d.fault = (struct testing_fault){ .channel = CHANNEL_ID_HASHES,
							  .kind = kinds[i],
							  .at = at[j] };
			move(__func__, &d);
			assert_int_equal(d.fired, 1);
			assert_true(d.stats.pages_kept < kept);
			assert_int_equal(d.stats.pages_kept + d.stats.pages_data, kept + data);
		}
	}
}

/*
 * What was told to be kept is told again on another channel, exactly as it was; what nobody
 * compared yet goes as it is.
 */
static void a_data_channel_may_die_while_pages_are_kept(void **state)
{
	static const uint64_t at[] = { 64, 100, 5000, 70000, 150000, 300000 };
	static const enum testing_fault_kind kinds[] = { TESTING_RST, TESTING_FIN };
	struct delta d = some_delta();
	uint64_t data, kept;

	(void)state;
	d.image.size = d.basis_bytes = 12u << 20;
	d.image.kind = TESTING_RANDOM;
	d.differs = 7;
	count_pages(&d, &data, &kept);
	for (unsigned i = 0; i < TESTING_COUNT(kinds); i++) {
		for (unsigned j = 0; j < TESTING_COUNT(at); j++) {
			for (unsigned rereadable = 0; rereadable < 2; rereadable++) {
				d.rereadable = rereadable;
				d.fault = (struct testing_fault){ .channel = 1,
								  .kind = kinds[i],
								  .sending = j % 2,
								  .at = at[j] };
				move(__func__, &d);
				assert_true(d.stats.pages_kept > 0);
				assert_int_equal(d.stats.pages_kept + d.stats.pages_data,
						 kept + data);
			}
		}
	}
}

static void seeded_deltas_arrive_identical(void **state)
{
	uint64_t seed = 5;

	(void)state;
	for (unsigned i = 0; i < testing_sweep(25, 1000); i++) {
		struct delta d = {
			.image = { .seed = testing_random(&seed),
				   .size = testing_random(&seed) % (3u << 20),
				   .kind = testing_random(&seed) % 5,
				   .rounds = 1 + testing_random(&seed) % 3 },
			.basis_bytes = testing_random(&seed) % (3u << 20),
			.differs = testing_random(&seed) % 30,
			.rereadable = testing_random(&seed) % 2,
			.knows_zeros = testing_random(&seed) % 2,
			.packet_pages = 1 + testing_random(&seed) % 100,
			.channels = 1 + testing_random(&seed) % 8,
			.fault = { .kind = TESTING_PIECES },
		};

		move(__func__, &d);
	}
}

/* ---- A sender by hand: what it says is kept, the receiver looks up. ---- */

/* Packet 0..7 keeps its odd pages; @sum_off is added to the sum it claims for them. */
static void send_kept(struct raw_sender *sender, const struct testing_image *image,
		      uint64_t sum_off)
{
	uint64_t carried[BATCH_WORDS] = { 0 }, data[BATCH_WORDS] = { 0 }, kept[BATCH_WORDS] = { 0 };
	uint64_t kept_sum = 0;
	uint8_t header[WIRE_PACKET_BYTES], raw[WIRE_MAX_KEPT_BYTES], payload[4 * PAGE_BYTES];
	struct raw_packet p;
	struct totals one;
	size_t bytes;

	raw_make(sender, 0, 0, image, 0, 8, &p);
	bitmap_fill(carried, 8);
	p.header.sum = 0;
	for (uint32_t i = 0; i < 8; i++) {
		uint64_t hash = hash_page(p.payload + (size_t)i * PAGE_BYTES, PAGE_BYTES, 0, i);

		if (i % 2) {
			bitmap_set(kept, i);
			kept_sum += hash;
		} else {
			memcpy(payload + (size_t)i / 2 * PAGE_BYTES,
			       p.payload + (size_t)i * PAGE_BYTES, PAGE_BYTES);
			bitmap_set(data, i);
			p.header.sum += hash;
		}
	}
	p.header.flags = WIRE_FLAG_KEPT;
	p.header.data_pages = 4;
	p.header.payload = sizeof(payload);
	p.bitmap_bytes = wire_put_bitmaps(carried, data, 8, p.bitmaps);
	p.header.bitmap_hash = hash_bytes(p.bitmaps, p.bitmap_bytes);
	bytes = wire_put_kept(kept, kept_sum + sum_off, 8, raw);
	one = (struct totals){ .packets = 1, .pages = 8, .sum = p.header.sum + kept_sum };
	wire_put_packet(&p.header, header);
	raw_send(sender->data[0], header, sizeof(header));
	raw_send(sender->data[0], p.bitmaps, p.bitmap_bytes);
	raw_send(sender->data[0], raw, bytes);
	raw_send(sender->data[0], payload, sizeof(payload));
	totals_add(&sender->totals, &one);
}

/* A receiver with a basis (the image itself) and a sender that has offered to compare, or not. */
static void scene_with_basis(struct testing_scene *s, struct sink_basis *basis,
			     struct raw_sender *sender, const char *name, bool offer)
{
	struct delta d = some_delta();
	struct wire_message m;

	testing_scene_init(s, name);
	testing_sink_destroy(&s->sink);
	s->image.size = 32 * PAGE_BYTES;
	testing_source_init(&s->source, &s->image, true);
	testing_sink_init(&s->sink, &s->image);
	d.image = s->image;
	d.basis_bytes = s->image.size;
	d.differs = 0;
	*basis = (struct sink_basis){ .own = -1,
				      .old = make_basis(&d),
				      .old_bytes = d.basis_bytes };
	s->sink.sink.basis = basis;
	assert_true(testing_start_receiver(&s->pair));
	memset(sender, 0, sizeof(*sender));
	memset(sender->data, -1, sizeof(sender->data));
	sender->port = s->pair.port;
	sender->hello = raw_hello(1, s->image.size);
	sender->hello.delta = offer;
	sender->control = raw_open_control(s->pair.port, &sender->hello);
	raw_expect(sender->control, WIRE_WELCOME, &m);
	assert_int_equal(m.welcome.basis, offer);
	assert_int_equal(m.welcome.basis_pages, offer ? 32 : 0);
	memcpy(sender->token, m.welcome.token, sizeof(sender->token));
	sender->data[0] = raw_open_data(sender, 0, 1);
}

static void kept_pages_come_from_the_basis(void **state)
{
	struct sink_basis basis;
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_with_basis(&s, &basis, &sender, __func__, true);
	send_kept(&sender, &s.image, 0);
	scene_send_from(&sender, &s.image, 1);
	scene_finish(&s, &sender);
	sink_basis_destroy(&basis);
}

static void a_basis_that_changed_meanwhile_is_65(void **state)
{
	struct sink_basis basis;
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_with_basis(&s, &basis, &sender, __func__, true);
	assert_int_equal(pwrite(basis.old, "changed", 7, 5 * PAGE_BYTES), 7);
	send_kept(&sender, &s.image, 0);
	scene_end_badly(&s, &sender, MFD_DATA, "pages from 0: the basis changed while it was used");
	sink_basis_destroy(&basis);
}

static void a_wrong_sum_of_kept_pages_is_65(void **state)
{
	struct sink_basis basis;
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_with_basis(&s, &basis, &sender, __func__, true);
	send_kept(&sender, &s.image, 1);
	scene_end_badly(&s, &sender, MFD_DATA, "the basis changed");
	sink_basis_destroy(&basis);
}

static void kept_pages_without_hash_lists_are_76(void **state)
{
	struct sink_basis basis;
	struct raw_sender sender;
	struct testing_scene s;

	(void)state;
	scene_with_basis(&s, &basis, &sender, __func__, false);
	send_kept(&sender, &s.image, 0);
	scene_end_badly(&s, &sender, MFD_PROTOCOL, "kept pages where there is no basis");
	sink_basis_destroy(&basis);
}

/*
 * The lists themselves: one frame with all hashes, then END; a second connection for them is a
 * stranger.
 */
static void hash_lists_have_each_page_in_order(void **state)
{
	uint8_t raw[WIRE_HASHES_BYTES], body[WIRE_MAX_HASHES_BODY];
	struct sink_basis basis;
	struct raw_sender sender;
	struct testing_scene s;
	struct wire_hashes h;
	struct mfd_error err;
	uint64_t has[BITMAP_WORDS(WIRE_MAX_HASHES)];
	int fd, stranger;

	(void)state;
	scene_with_basis(&s, &basis, &sender, __func__, true);
	fd = raw_connect(s.pair.port);
	raw_preamble(fd, WIRE_ROLE_HASHES, 0, 1, sender.token);
	assert_true(raw_recv(fd, raw, sizeof(raw)));
	assert_true(wire_get_hashes(raw, &h, &err));
	assert_int_equal(h.kind, WIRE_HASHES_LIST);
	assert_int_equal(h.first, 0);
	assert_int_equal(h.count, 32);
	assert_int_equal(h.hashes, 32);
	assert_true(raw_recv(fd, body, wire_hashes_body_bytes(&h)));
	assert_true(wire_get_hashes_map(&h, body, has, &err));
	assert_true(raw_recv(fd, raw, sizeof(raw)));
	assert_true(wire_get_hashes(raw, &h, &err));
	assert_int_equal(h.kind, WIRE_HASHES_END);
	stranger = raw_connect(s.pair.port);
	raw_preamble(stranger, WIRE_ROLE_HASHES, 0, 1, sender.token);
	raw_expect_dropped(stranger);
	close(fd);
	scene_send_rest(&s, &sender);
	sink_basis_destroy(&basis);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_pages_that_differ_travel),
		cmocka_unit_test(zero_pages_are_known_without_hashes),
		cmocka_unit_test(equal_images_cost_their_hashes_only),
		cmocka_unit_test(a_basis_may_be_shorter_longer_or_empty),
		cmocka_unit_test(a_stream_of_unknown_size_is_matched_too),
		cmocka_unit_test(packets_of_any_size_are_matched),
		cmocka_unit_test(an_image_larger_than_the_window_is_matched),
		cmocka_unit_test(rounds_after_the_first_are_sent),
		cmocka_unit_test(lost_hash_lists_cost_nothing_but_bytes),
		cmocka_unit_test(a_data_channel_may_die_while_pages_are_kept),
		cmocka_unit_test(seeded_deltas_arrive_identical),
		cmocka_unit_test(kept_pages_come_from_the_basis),
		cmocka_unit_test(a_basis_that_changed_meanwhile_is_65),
		cmocka_unit_test(a_wrong_sum_of_kept_pages_is_65),
		cmocka_unit_test(kept_pages_without_hash_lists_are_76),
		cmocka_unit_test(hash_lists_have_each_page_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
