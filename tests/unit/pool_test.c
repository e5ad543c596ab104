/* SPDX-License-Identifier: MIT */
/*
 * The pool of page buffers: bounded, aligned, last in first out, and strict about what comes back.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "aborts.h"
#include "core/batch.h"
#include "core/pool.h"

#define BUFFERS 4

static void all_buffers_are_given_out_once_and_no_more(void **state)
{
	uint8_t *buffer[BUFFERS];
	struct mfd_error err;
	struct pool p;
	unsigned i;
	unsigned j;

	(void)state;
	assert_true(pool_init(&p, BUFFERS, 3 * PAGE_BYTES, &err));
	for (i = 0; i < BUFFERS; i++) {
		buffer[i] = pool_get(&p);
		assert_non_null(buffer[i]);
		assert_int_equal((uintptr_t)buffer[i] % PAGE_BYTES, 0);
		memset(buffer[i], (int)i, 3 * PAGE_BYTES);
	}
	for (i = 0; i < BUFFERS; i++)
		for (j = 0; j < 3 * PAGE_BYTES; j++)
			assert_int_equal(buffer[i][j], i);

	assert_null(pool_get(&p));
	pool_put(&p, buffer[2]);
	assert_ptr_equal(pool_get(&p), buffer[2]);
	assert_null(pool_get(&p));
	for (i = 0; i < BUFFERS; i++)
		pool_put(&p, buffer[i]);
	pool_destroy(&p);
}

static void the_last_one_in_is_the_first_one_out(void **state)
{
	struct mfd_error err;
	struct pool p;
	uint8_t *first;
	uint8_t *second;

	(void)state;
	assert_true(pool_init(&p, BUFFERS, PAGE_BYTES, &err));
	first = pool_get(&p);
	second = pool_get(&p);
	assert_ptr_not_equal(first, second);
	pool_put(&p, second);
	pool_put(&p, first);
	assert_ptr_equal(pool_get(&p), first);
	assert_ptr_equal(pool_get(&p), second);
	pool_destroy(&p);
}

static void an_odd_size_is_rounded_up_to_whole_pages(void **state)
{
	struct mfd_error err;
	struct pool p;
	uint8_t *a;
	uint8_t *b;

	(void)state;
	assert_true(pool_init(&p, 2, PAGE_BYTES + 1, &err));
	a = pool_get(&p);
	b = pool_get(&p);
	assert_int_equal((uintptr_t)b % PAGE_BYTES, 0);
	assert_true((b > a ? b - a : a - b) >= 2 * PAGE_BYTES);
	pool_destroy(&p);
}

static void null_is_nothing(void **state)
{
	struct mfd_error err;
	struct pool p;

	(void)state;
	assert_true(pool_init(&p, 1, PAGE_BYTES, &err));
	pool_put(&p, NULL);
	assert_non_null(pool_get(&p));
	assert_null(pool_get(&p));
	pool_destroy(&p);
}

static void a_pool_beyond_the_address_space_is_refused(void **state)
{
	struct mfd_error err = { 0 };
	struct pool p;

	(void)state;
	assert_false(pool_init(&p, UINT32_MAX, SIZE_MAX / 2, &err));
	assert_int_equal(err.status, MFD_OS);
	assert_false(pool_init(&p, UINT32_MAX, SIZE_MAX / UINT32_MAX / PAGE_BYTES * PAGE_BYTES,
			       &err));
	assert_false(pool_init(&p, 0, PAGE_BYTES, &err));
	assert_false(pool_init(&p, 1, 0, &err));
	assert_false(pool_init(&p, 1, SIZE_MAX, &err));
	assert_true(pool_init(&p, 1, 1, &err));
	pool_destroy(&p);
}

static void put_inside(void *arg)
{
	struct pool *p = arg;

	pool_put(p, p->memory + 1);
}

static void put_beyond(void *arg)
{
	struct pool *p = arg;

	pool_put(p, p->memory + p->buffer_bytes * p->buffers);
}

static void put_once_more(void *arg)
{
	struct pool *p = arg;

	pool_put(p, p->memory);
}

static void what_is_not_its_own_aborts(void **state)
{
	struct mfd_error err;
	struct pool p;

	(void)state;
	assert_true(pool_init(&p, 2, PAGE_BYTES, &err));
	assert_true(aborts_with(put_inside, &p,
				"mfd: buffer pool: given a buffer that is not its own\n"));
	assert_true(aborts_with(put_beyond, &p,
				"mfd: buffer pool: given a buffer that is not its own\n"));
	assert_true(aborts_with(put_once_more, &p,
				"mfd: buffer pool: given more buffers than it has\n"));
	pool_put(&p, pool_get(&p));
	pool_destroy(&p);
}

/* Takes one buffer at a time, fills it with its own byte, and finds nobody else's in it. */
struct user {
	pthread_t thread;
	struct pool *pool;
	uint8_t byte;
	bool disturbed;
};

static void *use_pool(void *arg)
{
	struct user *user = arg;
	uint8_t *buffer;
	unsigned n;

	for (n = 0; n < 20000; n++) {
		buffer = pool_get(user->pool);
		if (!buffer)
			continue;
		memset(buffer, user->byte, 64);
		if (buffer[0] != user->byte || buffer[63] != user->byte)
			user->disturbed = true;
		pool_put(user->pool, buffer);
	}
	return NULL;
}

static void threads_never_share_a_buffer(void **state)
{
	struct user user[3];
	struct mfd_error err;
	struct pool p;
	unsigned i;

	(void)state;
	assert_true(pool_init(&p, 2, PAGE_BYTES, &err));
	for (i = 0; i < 3; i++) {
		user[i] = (struct user){ .pool = &p, .byte = (uint8_t)(i + 1) };
		assert_int_equal(pthread_create(&user[i].thread, NULL, use_pool, &user[i]), 0);
	}
	for (i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(user[i].thread, NULL), 0);
		assert_false(user[i].disturbed);
	}
	assert_int_equal(p.free_count, 2);
	pool_destroy(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_buffers_are_given_out_once_and_no_more),
		cmocka_unit_test(the_last_one_in_is_the_first_one_out),
		cmocka_unit_test(an_odd_size_is_rounded_up_to_whole_pages),
		cmocka_unit_test(null_is_nothing),
		cmocka_unit_test(a_pool_beyond_the_address_space_is_refused),
		cmocka_unit_test(what_is_not_its_own_aborts),
		cmocka_unit_test(threads_never_share_a_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
