/* SPDX-License-Identifier: MIT */
/*
 * Hash lists and kept pages: their bytes, their limits, and that nothing damaged gets in.
 */
#include "wire_test.h"

#include "base/bitmap.h"

static const struct wire_hashes list = {
	.kind = WIRE_HASHES_LIST, .first = 0x400, .count = 130, .hashes = 7,
	.body_hash = UINT64_C(0x0123456789abcdef),
};

/* ---- The head of a frame. ---- */

static bool get(const uint8_t *raw, struct wire_hashes *ret, struct mfd_error *err)
{
	uint8_t *copy = test_exact(raw, WIRE_HASHES_BYTES);
	bool ok = wire_get_hashes(copy, ret, err);

	free(copy);
	return ok;
}

static void check(const struct wire_hashes *h, const struct wire_case *cases, size_t count)
{
	uint8_t raw[WIRE_HASHES_BYTES];
	struct wire_hashes got;

	for (size_t i = 0; i < count; i++) {
		struct mfd_error err = { 0 };

		wire_put_hashes(h, raw);
		test_poke(raw, cases[i].offset, cases[i].bytes, cases[i].value);
		test_seal(raw, WIRE_HASHES_BYTES - 8);
		if (!cases[i].refusal) {
			if (!get(raw, &got, &err))
				fail_msg("refused: %s", err.text);
			continue;
		}
		assert_false(get(raw, &got, &err));
		test_error_is(&err, MFD_PROTOCOL, cases[i].refusal);
	}
}

static void a_frame_has_the_bytes_of_its_table(void **state)
{
	static const uint8_t golden[WIRE_HASHES_BYTES - 8] = {
		0x4d, 0x46, 0x44, 0x68, 0x01, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0x04, 0x00,
		0, 0, 0, 0, 0, 0, 0, 130,
		0, 0, 0, 7, 0, 0, 0, 0,
		0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
	};
	uint8_t raw[WIRE_HASHES_BYTES];
	struct mfd_error err;
	struct wire_hashes got;

	(void)state;
	wire_put_hashes(&list, raw);
	assert_memory_equal(raw, golden, sizeof(golden));
	assert_true(get(raw, &got, &err));
	assert_int_equal(got.kind, list.kind);
	assert_int_equal(got.first, list.first);
	assert_int_equal(got.count, list.count);
	assert_int_equal(got.hashes, list.hashes);
	assert_int_equal(got.body_hash, list.body_hash);
	assert_int_equal(wire_hashes_body_bytes(&got), 3 * 8 + 7 * 16);
}

static void every_flipped_bit_of_a_frame_is_found(void **state)
{
	uint8_t raw[WIRE_HASHES_BYTES];
	struct wire_hashes got;

	(void)state;
	for (unsigned bit = 0; bit < 8 * WIRE_HASHES_BYTES; bit++) {
		struct mfd_error err = { 0 };

		wire_put_hashes(&list, raw);
		raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(get(raw, &got, &err));
		test_error_is(&err, MFD_DATA, "checksum is wrong");
	}
}

static void fields_of_a_list_are_bounded(void **state)
{
	static const struct wire_case cases[] = {
		{ 0, 4, 0x4d464470, "magic 0x4d464470 is wrong" },
		{ 4, 1, 0, "kind 0 is unknown" },
		{ 4, 1, 6, "kind 6 is unknown" },
		{ 5, 3, 1, "zero field" },
		{ 8, 8, (UINT64_C(1) << 50) - 130, NULL },
		{ 8, 8, (UINT64_C(1) << 50) - 129, "pages: 130 is not one of 0..129" },
		{ 8, 8, UINT64_MAX, "first page" },
		{ 16, 8, 0, "pages of a list: 0 is not one of 1..1024" },
		{ 16, 8, 1024, NULL },
		{ 16, 8, 1025, "pages of a list: 1025 is not one of 1..1024" },
		{ 16, 8, UINT64_MAX, "pages" },
		{ 24, 4, 0, NULL },
		{ 24, 4, 130, NULL },
		{ 24, 4, 131, "hashes: 131 is not one of 0..130" },
		{ 24, 4, 0xffffffff, "hashes: 4294967295 is not one of 0..130" },
		{ 28, 4, 1, "zero field" },
	};

	(void)state;
	check(&list, WIRE_CASES(cases));
}

static void runs_beats_and_the_end_have_no_body(void **state)
{
	static const struct wire_case run[] = {
		{ 16, 8, 1, NULL },
		{ 16, 8, (UINT64_C(1) << 50) - 9, NULL },
		{ 16, 8, 0, "pages: 0 is not one of 1.." },
		{ 24, 4, 1, "hashes without a list" },
		{ 32, 8, 1, "checksum without a list" },
	};
	static const struct wire_case word[] = {
		{ 16, 8, 0, NULL },
		{ 16, 8, 1, "pages: 0x1 in place of zero" },
		{ 24, 4, 1, "hashes without a list" },
		{ 32, 8, 1, "checksum without a list" },
	};
	const struct wire_hashes zero = { .kind = WIRE_HASHES_ZERO, .first = 9, .count = 5 };
	const struct wire_hashes none = { .kind = WIRE_HASHES_NONE, .first = 9, .count = 5 };
	const struct wire_hashes beat = { .kind = WIRE_HASHES_BEAT };
	const struct wire_hashes end = { .kind = WIRE_HASHES_END };

	(void)state;
	check(&zero, WIRE_CASES(run));
	check(&none, WIRE_CASES(run));
	check(&beat, WIRE_CASES(word));
	check(&end, WIRE_CASES(word));
	assert_int_equal(wire_hashes_body_bytes(&zero), 0);
	assert_int_equal(wire_hashes_body_bytes(&end), 0);
}

/* ---- The body. ---- */

struct body {
	struct wire_hashes h;
	uint64_t has[BITMAP_WORDS(WIRE_MAX_HASHES)];
	uint8_t raw[WIRE_MAX_HASHES_BODY];
};

/* Every third of @count pages has a hash. */
static void fill(struct body *b, uint32_t count)
{
	memset(b, 0, sizeof(*b));
	b->h = (struct wire_hashes){ .kind = WIRE_HASHES_LIST, .count = count };
	for (uint32_t i = 0; i < count; i += 3)
		bitmap_set(b->has, i);
	b->h.hashes = bitmap_count(b->has, count);
	memset(b->raw, 0x5a, sizeof(b->raw));
	wire_put_hashes_map(b->has, count, b->raw);
}

static bool body_get(struct body *b, uint64_t *ret_has, struct mfd_error *err)
{
	uint8_t *copy = test_exact(b->raw, wire_hashes_body_bytes(&b->h));
	bool ok;

	b->h.body_hash = hash_bytes(copy, wire_hashes_body_bytes(&b->h));
	ok = wire_get_hashes_map(&b->h, copy, ret_has, err);
	free(copy);
	return ok;
}

static void bodies_come_back_as_they_were(void **state)
{
	static const uint32_t counts[] = { 1, 2, 63, 64, 65, 1023, 1024 };
	uint64_t got[BITMAP_WORDS(WIRE_MAX_HASHES)];
	struct mfd_error err;
	struct body b;

	(void)state;
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		fill(&b, counts[i]);
		memset(got, 0, sizeof(got));
		assert_true(body_get(&b, got, &err));
		assert_memory_equal(got, b.has, sizeof(got));
	}
}

static void a_damaged_body_is_65(void **state)
{
	uint64_t got[BITMAP_WORDS(WIRE_MAX_HASHES)];
	struct mfd_error err = { 0 };
	struct body b;

	(void)state;
	fill(&b, 100);
	assert_true(body_get(&b, got, &err));
	b.raw[40] ^= 1;
	assert_false(wire_get_hashes_map(&b.h, b.raw, got, &err));
	test_error_is(&err, MFD_DATA, "checksum of its body is wrong");
}

static void a_bitmap_has_as_many_bits_as_hashes_and_none_beyond(void **state)
{
	uint64_t got[BITMAP_WORDS(WIRE_MAX_HASHES)];
	struct mfd_error err = { 0 };
	struct body b;

	(void)state;
	fill(&b, 100);
	b.h.hashes--;
	assert_false(body_get(&b, got, &err));
	test_error_is(&err, MFD_PROTOCOL, "its bitmap has not its 33 hashes");
	fill(&b, 100);
	bitmap_clear(b.has, 3);
	bitmap_set(b.has, 100);
	wire_put_hashes_map(b.has, 128, b.raw);
	assert_false(body_get(&b, got, &err));
	test_error_is(&err, MFD_PROTOCOL, "its bitmap has not");
}

/* ---- Kept pages. ---- */

struct kept {
	struct wire_packet p;
	uint64_t carried[BATCH_WORDS], data[BATCH_WORDS], kept[BATCH_WORDS];
	uint8_t raw[WIRE_MAX_KEPT_BYTES];
};

/* All carried; of four pages one has data and the next is kept. */
static void fill_kept(struct kept *k, uint32_t count)
{
	memset(k, 0, sizeof(*k));
	k->p = (struct wire_packet){ .kind = WIRE_PAGES, .flags = WIRE_FLAG_KEPT, .count = count };
	bitmap_fill(k->carried, count);
	for (uint32_t i = 0; i < count; i++)
		if (i % 4 < 2)
			bitmap_set(i % 4 ? k->data : k->kept, i);
}

static bool get_kept(struct kept *k, uint64_t *ret_kept, uint64_t *ret_sum, struct mfd_error *err)
{
	uint8_t *copy;
	bool ok;

	assert_int_equal(wire_put_kept(k->kept, 0x1122334455667788, (uint32_t)k->p.count, k->raw),
			 WIRE_KEPT_BYTES(k->p.count));
	copy = test_exact(k->raw, WIRE_KEPT_BYTES(k->p.count));
	ok = wire_get_kept(&k->p, copy, k->carried, k->data, ret_kept, ret_sum, err);
	free(copy);
	return ok;
}

static void kept_pages_come_back_as_they_were(void **state)
{
	static const uint32_t counts[] = { 1, 63, 64, 65, 1024 };
	uint64_t got[BATCH_WORDS], sum;
	struct mfd_error err;
	struct kept k;

	(void)state;
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		fill_kept(&k, counts[i]);
		memset(got, 0, sizeof(got));
		assert_true(get_kept(&k, got, &sum, &err));
		assert_memory_equal(got, k.kept, sizeof(got));
		assert_int_equal(sum, 0x1122334455667788);
	}
}

static void damaged_kept_pages_are_65(void **state)
{
	uint64_t got[BATCH_WORDS], sum;
	struct kept k;

	(void)state;
	for (unsigned bit = 0; bit < 8 * WIRE_KEPT_BYTES(70); bit++) {
		struct mfd_error err = { 0 };

		fill_kept(&k, 70);
		assert_true(get_kept(&k, got, &sum, &err));
		k.raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(wire_get_kept(&k.p, k.raw, k.carried, k.data, got, &sum, &err));
		test_error_is(&err, MFD_DATA, "kept pages: checksum is wrong");
	}
}

static void kept_pages_are_carried_have_no_data_and_exist(void **state)
{
	uint64_t got[BATCH_WORDS], sum;
	struct mfd_error err = { 0 };
	struct kept k;

	(void)state;
	fill_kept(&k, 70);
	bitmap_clear(k.carried, 4);
	assert_false(get_kept(&k, got, &sum, &err));
	test_error_is(&err, MFD_PROTOCOL, "kept pages that are not carried");
	fill_kept(&k, 70);
	bitmap_set(k.kept, 70);
	assert_false(get_kept(&k, got, &sum, &err));
	test_error_is(&err, MFD_PROTOCOL, "kept pages that are not carried");
	fill_kept(&k, 70);
	bitmap_set(k.data, 4);
	assert_false(get_kept(&k, got, &sum, &err));
	test_error_is(&err, MFD_PROTOCOL, "kept pages that have data");
	fill_kept(&k, 70);
	memset(k.kept, 0, sizeof(k.kept));
	assert_false(get_kept(&k, got, &sum, &err));
	test_error_is(&err, MFD_PROTOCOL, "KEPT without kept pages");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_has_the_bytes_of_its_table),
		cmocka_unit_test(every_flipped_bit_of_a_frame_is_found),
		cmocka_unit_test(fields_of_a_list_are_bounded),
		cmocka_unit_test(runs_beats_and_the_end_have_no_body),
		cmocka_unit_test(bodies_come_back_as_they_were),
		cmocka_unit_test(a_damaged_body_is_65),
		cmocka_unit_test(a_bitmap_has_as_many_bits_as_hashes_and_none_beyond),
		cmocka_unit_test(kept_pages_come_back_as_they_were),
		cmocka_unit_test(damaged_kept_pages_are_65),
		cmocka_unit_test(kept_pages_are_carried_have_no_data_and_exist),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
