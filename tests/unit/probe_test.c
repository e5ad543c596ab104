/* SPDX-License-Identifier: MIT */
/*
 * The probe: what it calls incompressible, what it does not, and what it costs beside the codec it
 * saves.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/thread_time.h"
#include "compress/probe.h"
#include "method_fixture.h"

static void random_pages_are_recognised(void **state)
{
	static const uint32_t counts[] = { 1, 2, 15, 16, 17, 64, MAX_PAGES };
	struct batch_pages b;

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		batch_pages_make(&b, RANDOM, counts[seed % 7], seed * 5000);
		assert_true(probe_incompressible(&b.pages));
		batch_pages_free(&b);
	}
}

static void pages_with_an_alphabet_are_not(void **state)
{
	static const uint32_t counts[] = { 1, 2, 15, 16, 17, 64, MAX_PAGES };
	struct batch_pages b;

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		batch_pages_make(&b, TEXT, counts[seed % 7], seed * 5000);
		assert_false(probe_incompressible(&b.pages));
		batch_pages_free(&b);
	}
}

static void zero_pages_between_random_ones_do_not_count(void **state)
{
	struct batch_pages b;

	(void)state;
	for (uint32_t count = 1; count < 130; count++) {
		batch_pages_make(&b, ALTERNATING, count, count);
		for (uint32_t i = 0; i < count; i += 2)
			fill_page(b.pages.bytes + (size_t)i * PAGE, RANDOM, count * 1000 + i);
		assert_true(probe_incompressible(&b.pages));
		method_pack(&b.pages);
		assert_true(probe_incompressible(&b.pages));
		batch_pages_free(&b);
	}
}

/* A quarter of text is enough to make it worth the codec's time. */
static void random_pages_among_others_do_not_make_it_random(void **state)
{
	struct batch_pages b;

	(void)state;
	for (uint64_t seed = 0; seed < 100; seed++) {
		batch_pages_make(&b, RANDOM, 64, seed * 5000);
		for (uint32_t i = 0; i < 64; i += 4)
			fill_page(b.pages.bytes + (size_t)i * PAGE, TEXT, seed + i);
		assert_false(probe_incompressible(&b.pages));
		batch_pages_free(&b);
	}
}

/*
 * Both are CPU time of this thread on the same bytes, so that neither load nor a sanitizer matters.
 */
static void it_costs_little_beside_the_fastest_level(void **state)
{
	struct iovec iov[METHOD_IOVS(64)];
	struct method_payload payload = { .iov = iov };
	struct method *zstd = sender_new(&method_zstd, -7, 64 * PAGE);
	uint64_t since, probes, codes;
	struct batch_pages b;
	struct mfd_error err;

	(void)state;
	batch_pages_make(&b, TEXT, 64, 1);
	assert_true(zstd->ops->send_prepare(zstd, &b.pages, &payload, &err));
	since = thread_time_cpu_ns();
	for (unsigned i = 0; i < 200; i++)
		assert_false(probe_incompressible(&b.pages));
	probes = thread_time_cpu_ns() - since;
	since = thread_time_cpu_ns();
	for (unsigned i = 0; i < 200; i++)
		assert_true(zstd->ops->send_prepare(zstd, &b.pages, &payload, &err));
	codes = thread_time_cpu_ns() - since;
	print_message("probe %.1f us, zstd -7 %.1f us\n", (double)probes / 2e5,
		      (double)codes / 2e5);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	/* The probe is instrumented, libzstd is not. */
	assert_true(probes < codes);
#else
	assert_true(probes < codes / 10);
#endif
	zstd->ops->free(zstd);
	batch_pages_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_pages_are_recognised),
		cmocka_unit_test(pages_with_an_alphabet_are_not),
		cmocka_unit_test(zero_pages_between_random_ones_do_not_count),
		cmocka_unit_test(random_pages_among_others_do_not_make_it_random),
		cmocka_unit_test(it_costs_little_beside_the_fastest_level),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
