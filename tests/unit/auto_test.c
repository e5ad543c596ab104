/* SPDX-License-Identifier: MIT */
/*
 * Method auto: what becomes of packets.  That they come back as they were is in method_test.c;
 * which level is chosen when, in policy_test.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include "base/clock.h"
#include "method_fixture.h"

#define PAGES 64u

/* One packet of @b through a slow socket: with a fast one nothing would be coded. */
static enum method_id send_one(struct method *m, struct batch_pages *b)
{
	struct iovec iov[METHOD_IOVS(PAGES)];
	struct method_payload payload = { .iov = iov };
	const struct timespec socket = { 0, 3000000 };
	struct mfd_error err;
	uint64_t since;

	assert_true(m->ops->send_prepare(m, &b->pages, &payload, &err));
	since = clock_ns();
	nanosleep(&socket, NULL);
	m->ops->sent(m, payload.bytes + 100, clock_ns() - since);
	return payload.id;
}

static void it_is_found_by_name_and_has_no_id_of_its_own(void **state)
{
	(void)state;
	assert_ptr_equal(method_by_name("auto"), &method_auto);
	assert_ptr_equal(method_by_id(method_auto.id), &method_zstd);
	for (unsigned i = 0; method_at(i); i++)
		assert_ptr_not_equal(method_at(i), &method_auto);
	assert_true(method_auto.adaptive);
	assert_false(method_zstd.adaptive || method_zlib.adaptive || method_none.adaptive);
}

static void levels_are_the_heaviest_allowed(void **state)
{
	struct mfd_error err;

	(void)state;
	assert_int_equal(method_auto.level_default, 9);
	for (int level = 1; level <= 19; level++)
		assert_true(method_check_level(&method_auto, level, &err));
	assert_false(method_check_level(&method_auto, 0, &err));
	assert_string_equal(err.text, "auto levels are 1..19");
	assert_false(method_check_level(&method_auto, 20, &err));
	assert_false(method_check_level(&method_auto, -1, &err));
}

static void its_receiver_is_zstds(void **state)
{
	struct method *m = NULL;
	struct mfd_error err;

	(void)state;
	assert_true(method_auto.new_receiver(&m, &err));
	assert_ptr_equal(m->ops, &method_zstd);
	m->ops->free(m);
}

static void incompressible_packets_go_raw_and_never_see_the_codec(void **state)
{
	struct method *m = sender_new(&method_auto, 9, PAGES * PAGE);
	struct batch_pages b;

	(void)state;
	/* The codec packs pages before it codes them. */
	for (unsigned i = 0; i < 31; i++) {
		batch_pages_make(&b, RANDOM, PAGES, i * 1000);
		assert_int_equal(send_one(m, &b), METHOD_NONE);
		assert_false(b.pages.packed);
		batch_pages_free(&b);
	}
	batch_pages_make(&b, TEXT, PAGES, 1);
	assert_int_equal(send_one(m, &b), METHOD_ZSTD);
	assert_true(b.pages.packed);
	batch_pages_free(&b);
	m->ops->free(m);
}

/*
 * One random page again and again: every byte is as frequent as the others, and still there is
 * little in it.
 */
static void what_only_a_codec_can_shrink_is_found_after_a_while(void **state)
{
	struct method *m = sender_new(&method_auto, 9, PAGES * PAGE);
	struct batch_pages b;
	unsigned raw = 0;

	(void)state;
	batch_pages_make(&b, RANDOM, PAGES, 1);
	for (uint32_t i = 1; i < PAGES; i++)
		memcpy(b.pages.bytes + (size_t)i * PAGE, b.pages.bytes, PAGE);
	while (send_one(m, &b) == METHOD_NONE)
		assert_true(++raw < 40);
	assert_true(raw > 0);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(send_one(m, &b), METHOD_ZSTD);
	batch_pages_free(&b);
	m->ops->free(m);
}

static void packets_that_it_did_not_prepare_do_not_matter(void **state)
{
	struct method *m = sender_new(&method_auto, 1, PAGES * PAGE);
	struct batch_pages b;

	(void)state;
	/* SYNC, or zero pages only: nothing was coded. */
	for (unsigned i = 0; i < 100; i++)
		m->ops->sent(m, 80, UINT64_C(1) << 40);
	batch_pages_make(&b, TEXT, PAGES, 1);
	assert_int_equal(send_one(m, &b), METHOD_ZSTD);
	m->ops->sent(m, 80, UINT64_C(1) << 40);
	batch_pages_free(&b);
	m->ops->free(m);
}

static void other_methods_ignore_how_packets_are_sent(void **state)
{
	struct method *m;

	(void)state;
	for (unsigned i = 0; method_at(i); i++) {
		m = sender_new(method_at(i), method_at(i)->level_default, PAGES * PAGE);
		m->ops->sent(m, UINT64_MAX, UINT64_MAX);
		m->ops->free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_found_by_name_and_has_no_id_of_its_own),
		cmocka_unit_test(levels_are_the_heaviest_allowed),
		cmocka_unit_test(its_receiver_is_zstds),
		cmocka_unit_test(incompressible_packets_go_raw_and_never_see_the_codec),
		cmocka_unit_test(what_only_a_codec_can_shrink_is_found_after_a_while),
		cmocka_unit_test(packets_that_it_did_not_prepare_do_not_matter),
		cmocka_unit_test(other_methods_ignore_how_packets_are_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
