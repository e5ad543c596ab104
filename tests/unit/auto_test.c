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

#include <pthread.h>
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
	m->ops->sent(m, &(struct method_sent){ .wire_bytes = payload.bytes + 100,
					       .socket_ns = clock_ns() - since });
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
	const struct method_sent nothing = { .wire_bytes = 80, .socket_ns = UINT64_C(1) << 40 };
	struct method *m = sender_new(&method_auto, 1, PAGES * PAGE);
	struct batch_pages b;

	(void)state;
	/* SYNC, or zero pages only: nothing was coded. */
	for (unsigned i = 0; i < 100; i++)
		m->ops->sent(m, &nothing);
	batch_pages_make(&b, TEXT, PAGES, 1);
	assert_int_equal(send_one(m, &b), METHOD_ZSTD);
	m->ops->sent(m, &nothing);
	batch_pages_free(&b);
	m->ops->free(m);
}

/* What becomes of @b now, in bytes, if it is not sent. */
static uint32_t coded_bytes(struct method *m, struct batch_pages *b)
{
	struct iovec iov[METHOD_IOVS(PAGES)];
	struct method_payload payload = { .iov = iov };
	struct mfd_error err;

	assert_true(m->ops->send_prepare(m, &b->pages, &payload, &err));
	return payload.bytes;
}

static void the_objects_of_a_session_share_what_they_learn(void **state)
{
	struct method *a = sender_new(&method_auto, 9, PAGES * PAGE);
	struct method *b = sender_new(&method_auto, 9, PAGES * PAGE);
	struct method *alone = sender_new(&method_auto, 9, PAGES * PAGE);
	struct batch_pages pages;
	uint32_t first, now;
	unsigned sent = 0;

	(void)state;
	b->ops->join(b, a);
	batch_pages_make(&pages, TEXT, PAGES, 1);
	first = coded_bytes(alone, &pages);
	do {
		assert_true(++sent < 500);
		assert_int_equal(send_one(a, &pages), METHOD_ZSTD);
		now = coded_bytes(b, &pages);
	} while (now == first);
	assert_int_equal(coded_bytes(a, &pages), now);
	assert_int_equal(coded_bytes(alone, &pages), first);
	batch_pages_free(&pages);
	alone->ops->free(alone);
	b->ops->free(b);
	a->ops->free(a);
}

static void they_may_be_freed_in_any_order(void **state)
{
	static const unsigned orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					      { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	struct batch_pages pages;
	struct method *m[3];

	(void)state;
	batch_pages_make(&pages, TEXT, PAGES, 1);
	for (unsigned i = 0; i < 6; i++) {
		for (unsigned k = 0; k < 3; k++) {
			m[k] = sender_new(&method_auto, 9, PAGES * PAGE);
			if (k)
				m[k]->ops->join(m[k], m[0]);
		}
		for (unsigned k = 0; k < 3; k++) {
			send_one(m[orders[i][k]], &pages);
			m[orders[i][k]]->ops->free(m[orders[i][k]]);
		}
	}
	batch_pages_free(&pages);
}

static void *send_some(void *method)
{
	struct batch_pages pages;

	batch_pages_make(&pages, TEXT, PAGES, 1);
	for (unsigned i = 0; i < 30; i++)
		send_one(method, &pages);
	batch_pages_free(&pages);
	return NULL;
}

static void they_work_at_the_same_time(void **state)
{
	struct method *m[3];
	pthread_t thread[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		m[i] = sender_new(&method_auto, 9, PAGES * PAGE);
		if (i)
			m[i]->ops->join(m[i], m[0]);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, send_some, m[i]), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < 3; i++)
		m[i]->ops->free(m[i]);
}

static void other_methods_ignore_how_packets_are_sent_and_by_whom(void **state)
{
	struct method *m;

	(void)state;
	for (unsigned i = 0; method_at(i); i++) {
		m = sender_new(method_at(i), method_at(i)->level_default, PAGES * PAGE);
		m->ops->join(m, m);
		m->ops->sent(m, &(struct method_sent){ UINT64_MAX, UINT64_MAX, 1, 1 });
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
		cmocka_unit_test(the_objects_of_a_session_share_what_they_learn),
		cmocka_unit_test(they_may_be_freed_in_any_order),
		cmocka_unit_test(they_work_at_the_same_time),
		cmocka_unit_test(other_methods_ignore_how_packets_are_sent_and_by_whom),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
