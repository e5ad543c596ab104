/* SPDX-License-Identifier: MIT */
/*
 * The list of batches that came back: nothing is lost, nothing comes twice, whoever puts and
 * however many.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "core/returned.h"

#define THREADS 4u
#define EACH 2000u

static void put(struct returned *r, uint64_t id)
{
	const struct batch batch = { .id = id, .first = 3 * id, .again = true };
	struct mfd_error err;

	assert_true(returned_put(r, &batch, &err));
}

static void what_came_first_goes_first(void **state)
{
	struct returned r;
	struct batch batch;

	(void)state;
	returned_init(&r);
	assert_false(returned_any(&r));
	assert_false(returned_take(&r, &batch));
	for (uint64_t id = 0; id < 3; id++)
		put(&r, id);
	assert_true(returned_take(&r, &batch));
	assert_int_equal(batch.id, 0);
	put(&r, 3);
	for (uint64_t id = 1; id < 4; id++) {
		assert_true(returned_any(&r));
		assert_true(returned_take(&r, &batch));
		assert_int_equal(batch.id, id);
		assert_int_equal(batch.first, 3 * id);
		assert_true(batch.again);
	}
	assert_false(returned_any(&r));
	assert_false(returned_take(&r, &batch));
	returned_destroy(&r);
}

/* Logs of many channels at once, several times. */
static void it_grows_with_the_loss(void **state)
{
	struct returned r;
	struct batch batch;

	(void)state;
	returned_init(&r);
	for (unsigned round = 1; round <= 3; round++) {
		for (uint64_t id = 0; id < round * 1000; id++)
			put(&r, id);
		for (uint64_t id = 0; id < round * 1000; id++) {
			assert_true(returned_take(&r, &batch));
			assert_int_equal(batch.id, id);
		}
		assert_false(returned_any(&r));
	}
	returned_destroy(&r);
}

struct putter {
	struct returned *returned;
	uint64_t from;
};

static void *put_some(void *opaque)
{
	const struct putter *p = opaque;
	struct mfd_error err;

	for (uint64_t i = 0; i < EACH; i++) {
		const struct batch batch = { .id = p->from + i };

		while (!returned_put(p->returned, &batch, &err))
			sched_yield();
	}
	return NULL;
}

static void all_that_threads_put_arrives_once(void **state)
{
	static const uint64_t total = THREADS * EACH;
	bool seen[THREADS * EACH] = { false };
	struct putter putter[THREADS];
	pthread_t thread[THREADS];
	struct returned r;
	struct batch batch;

	(void)state;
	returned_init(&r);
	for (unsigned i = 0; i < THREADS; i++) {
		putter[i] = (struct putter){ &r, i * EACH };
		assert_int_equal(pthread_create(&thread[i], NULL, put_some, &putter[i]), 0);
	}
	for (uint64_t taken = 0; taken < total;) {
		if (!returned_take(&r, &batch)) {
			sched_yield();
			continue;
		}
		assert_true(batch.id < total);
		assert_false(seen[batch.id]);
		seen[batch.id] = true;
		taken++;
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_false(returned_any(&r));
	returned_destroy(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_came_first_goes_first),
		cmocka_unit_test(it_grows_with_the_loss),
		cmocka_unit_test(all_that_threads_put_arrives_once),
	};

	return cmocka_run_group_tests_name("returned", tests, NULL, NULL);
}
