/* SPDX-License-Identifier: MIT */
/*
 * The two bitmaps of a PAGES packet.
 */
#include "wire_test.h"

#include "aborts.h"
#include "base/bitmap.h"

/* A packet and its bitmaps, encoded as the sender does it. */
struct sample {
	struct wire_packet p;
	uint64_t carried[BATCH_WORDS], data[BATCH_WORDS];
	uint8_t raw[WIRE_MAX_BITMAPS_BYTES];
};

/* All @count pages carried, every third with data. */
static void fill(struct sample *s, uint32_t count)
{
	memset(s, 0, sizeof(*s));
	s->p.kind = WIRE_PAGES;
	s->p.count = count;
	bitmap_fill(s->carried, count);
	for (uint32_t i = 0; i < count; i += 3)
		bitmap_set(s->data, i);
	s->p.data_pages = bitmap_count(s->data, count);
}

static void encode(struct sample *s)
{
	size_t size;

	memset(s->raw, 0xee, sizeof(s->raw));
	size = wire_put_bitmaps(s->carried, s->data, (uint32_t)s->p.count, s->raw);
	for (size_t i = size; i < sizeof(s->raw); i++)
		assert_int_equal(s->raw[i], 0xee);
	assert_int_equal(size, 16 * ((s->p.count + 63) / 64));
	s->p.bitmap_hash = hash_bytes(s->raw, size);
}

static bool decode(const struct sample *s, struct sample *ret, struct mfd_error *err)
{
	const size_t half = WIRE_BITMAPS_BYTES(s->p.count) / 2;
	uint8_t *copy = test_exact(s->raw, 2 * half);
	uint64_t *carried = malloc(half);
	uint64_t *data = malloc(half);
	bool ok;

	assert_true(carried && data);
	ok = wire_get_bitmaps(&s->p, copy, carried, data, err);
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->carried, carried, half);
	memcpy(ret->data, data, half);
	free(data);
	free(carried);
	free(copy);
	return ok;
}

static void is_refused(struct sample *s, const char *text)
{
	struct sample got;
	struct mfd_error err = { 0 };

	encode(s);
	assert_false(decode(s, &got, &err));
	test_error_is(&err, MFD_PROTOCOL, text);
}

static void is_taken(struct sample *s)
{
	struct sample got;
	struct mfd_error err = { 0 };

	encode(s);
	if (!decode(s, &got, &err))
		fail_msg("refused: %s", err.text);
	assert_memory_equal(got.carried, s->carried, sizeof(got.carried));
	assert_memory_equal(got.data, s->data, sizeof(got.data));
}

static void bitmaps_have_the_bytes_of_their_description(void **state)
{
	static const uint8_t golden[32] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0x03,
		0x92, 0x49, 0x24, 0x92, 0x49, 0x24, 0x92, 0x49, 0, 0, 0, 0, 0, 0, 0, 0,
	};
	struct sample s;

	(void)state;
	fill(&s, 66);
	encode(&s);
	assert_memory_equal(s.raw, golden, sizeof(golden));
}

static void bitmaps_of_all_sizes_come_back_as_they_were(void **state)
{
	struct sample s;

	(void)state;
	for (uint32_t count = 1; count <= BATCH_MAX_PAGES; count++) {
		fill(&s, count);
		is_taken(&s);
	}
}

static void pages_between_first_and_last_need_not_be_carried(void **state)
{
	struct sample s;

	(void)state;
	fill(&s, 200);
	memset(s.carried, 0, sizeof(s.carried));
	bitmap_set(s.carried, 0);
	bitmap_set(s.carried, 199);
	memset(s.data, 0, sizeof(s.data));
	s.p.data_pages = 0;
	is_taken(&s);
}

static void every_flipped_bit_of_the_bitmaps_is_damage(void **state)
{
	struct sample s, got;
	struct mfd_error err = { 0 };

	(void)state;
	fill(&s, 130);
	encode(&s);
	for (unsigned bit = 0; bit < 8 * WIRE_BITMAPS_BYTES(130); bit++) {
		s.raw[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_false(decode(&s, &got, &err));
		test_error_is(&err, MFD_DATA, "bitmaps: checksum is wrong");
		s.raw[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	assert_true(decode(&s, &got, &err));
}

static void page_beyond_the_count_is_refused(void **state)
{
	struct sample s;

	(void)state;
	fill(&s, 65);
	is_taken(&s);
	bitmap_set(s.carried, 65);
	is_refused(&s, "pages beyond the packet's 65");
	fill(&s, 65);
	bitmap_set(s.carried, 127);
	is_refused(&s, "pages beyond the packet's 65");
	fill(&s, 65);
	bitmap_set(s.data, 127);
	is_refused(&s, "data pages that are not carried");
}

static void data_page_that_is_not_carried_is_refused(void **state)
{
	struct sample s;

	(void)state;
	fill(&s, 100);
	bitmap_clear(s.carried, 4);
	is_taken(&s);
	bitmap_clear(s.carried, 3);
	is_refused(&s, "data pages that are not carried");
}

static void first_and_last_page_are_carried(void **state)
{
	struct sample s;

	(void)state;
	fill(&s, 100);
	bitmap_clear(s.carried, 1);
	is_taken(&s);
	bitmap_clear(s.data, 0);
	bitmap_clear(s.carried, 0);
	s.p.data_pages--;
	is_refused(&s, "the first or the last page is not carried");
	fill(&s, 99);
	bitmap_clear(s.carried, 97);
	is_taken(&s);
	bitmap_clear(s.carried, 98);
	is_refused(&s, "the first or the last page is not carried");
	fill(&s, 1);
	bitmap_clear(s.data, 0);
	bitmap_clear(s.carried, 0);
	s.p.data_pages = 0;
	is_refused(&s, "the first or the last page is not carried");
}

static void header_and_bitmap_agree_on_the_data_pages(void **state)
{
	struct sample s;

	(void)state;
	fill(&s, 100);
	is_taken(&s);
	s.p.data_pages--;
	is_refused(&s, "34 data pages where the header has 33");
	s.p.data_pages += 2;
	is_refused(&s, "34 data pages where the header has 35");
	s.p.data_pages = 0;
	is_refused(&s, "34 data pages where the header has 0");
}

static void put(void *sample)
{
	struct sample *s = sample;

	wire_put_bitmaps(s->carried, s->data, (uint32_t)s->p.count, s->raw);
}

static void get(void *sample)
{
	struct sample *s = sample;
	struct mfd_error err;

	if (!wire_get_bitmaps(&s->p, s->raw, s->carried, s->data, &err))
		return;
}

static void impossible_counts_abort(void **state)
{
	static const uint64_t counts[] = { 0, BATCH_MAX_PAGES + 1 };
	struct sample s;

	(void)state;
	fill(&s, BATCH_MAX_PAGES);
	put(&s);
	get(&s);
	for (size_t i = 0; i < 2; i++) {
		s.p.count = counts[i];
		assert_true(aborts_with(
			put, &s, "mfd: wire: bitmaps for a number of pages no packet has\n"));
		assert_true(aborts_with(get, &s,
					"mfd: wire: bitmaps of a packet that was not checked\n"));
	}
	s.p.count = 1;
	s.p.kind = WIRE_ZERO;
	assert_true(aborts_with(get, &s, "mfd: wire: bitmaps of a packet that was not checked\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bitmaps_have_the_bytes_of_their_description),
		cmocka_unit_test(bitmaps_of_all_sizes_come_back_as_they_were),
		cmocka_unit_test(pages_between_first_and_last_need_not_be_carried),
		cmocka_unit_test(every_flipped_bit_of_the_bitmaps_is_damage),
		cmocka_unit_test(page_beyond_the_count_is_refused),
		cmocka_unit_test(data_page_that_is_not_carried_is_refused),
		cmocka_unit_test(first_and_last_page_are_carried),
		cmocka_unit_test(header_and_bitmap_agree_on_the_data_pages),
		cmocka_unit_test(impossible_counts_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
