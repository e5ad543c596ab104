/* SPDX-License-Identifier: MIT */
/*
 * Which pages exist, asked about a forked child that shares our addresses; in the kernel's new
 * way and in its old one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/mman.h>

#include "process/pagemap.h"
#include "unit/child_fixture.h"

#define PAGES 20000u

/* Touched are runs of i % 3 + 1 pages with i % 5 + 1 pages between them, and then nothing. */
static bool touched(size_t i)
{
	const size_t round = 3 * 5 * 4; /* larger than any period of both */
	size_t at = 0, n = 0;

	if (i >= PAGES / 2)
		return false;
	for (i %= round;; n++) {
		at += n % 3 + 1;
		if (i < at)
			return true;
		at += n % 5 + 1;
		if (i < at)
			return false;
	}
}

static uint8_t *map_pattern(int flags, int fd)
{
	uint8_t *at = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd,
			   0);

	assert_ptr_not_equal(at, MAP_FAILED);
	madvise(at, PAGES * page, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < PAGES; i++)
		if (touched(i))
			at[i * page] = 1;
	return at;
}

/* Every page of [@from, @end) is found or not as it was touched, whatever the runs look like. */
static void assert_pattern(struct pagemap *p, const struct mapping *object, const uint8_t *at,
			   size_t from, size_t end)
{
	const uint64_t base = (uintptr_t)at, limit = base + end * page;
	uint64_t i = base + from * page, first, last;

	while (i < limit) {
		if (object != NULL)
			assert_true(pagemap_find_object(p, object, i, limit, &first, &last, &err));
		else
			assert_true(pagemap_find(p, i, limit, &first, &last, &err));
		assert_true(first >= i && last >= first && last <= limit);
		for (; i < first; i += page)
			assert_false(touched((i - base) / page));
		for (; i < last; i += page)
			assert_true(touched((i - base) / page));
		if (first == last)
			assert_int_equal(first, limit);
	}
}

static void assert_own_pages(bool plain)
{
	uint8_t *at = map_pattern(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	pid_t child = child_start();
	struct pagemap p;

	pagemap_init(&p);
	assert_true(pagemap_open(&p, child, &err));
	p.plain = plain;
	assert_pattern(&p, NULL, at, 0, PAGES);
	assert_pattern(&p, NULL, at, 17, 4321);
	assert_pattern(&p, NULL, at, PAGES / 2, PAGES);
	if (!plain && p.plain)
		print_message("this kernel has no PAGEMAP_SCAN\n");
	child_end(child);
	pagemap_forget(&p);
	pagemap_close(&p);
	pagemap_close(&p);
	munmap(at, PAGES * page);
}

static void pages_that_were_touched_are_found(void **state)
{
	(void)state;
	assert_own_pages(false);
}

static void without_pagemap_scan_the_same_ones_are(void **state)
{
	(void)state;
	assert_own_pages(true);
}

/* The child has none of them in its page tables: they are the object's. */
static void pages_of_a_shared_object_are_found_whoever_put_them_there(void **state)
{
	int fd = memfd_create("mfd-test", MFD_CLOEXEC);
	const struct mapping *m;
	struct pagemap p;
	struct maps maps;
	uint8_t *at;
	pid_t child;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(PAGES * page)), 0);
	at = map_pattern(MAP_SHARED, fd);
	child = child_start();
	assert_true(maps_read(child, MAPS_PLAIN, &maps, &err));
	m = maps_find(&maps, (uintptr_t)at);
	assert_non_null(m);
	pagemap_init(&p);
	assert_true(pagemap_open(&p, child, &err));
	assert_pattern(&p, m, at, PAGES, PAGES);
	if (geteuid() != 0) {
		print_message("not root: the object can't be asked\n");
	} else {
		assert_pattern(&p, m, at, 0, PAGES);
		assert_pattern(&p, m, at, 17, 4321);
	}
	child_end(child);
	pagemap_close(&p);
	maps_free(&maps);
	munmap(at, PAGES * page);
	close(fd);
}

static void an_object_that_cannot_be_asked_is_all_data(void **state)
{
	const struct mapping m = { .start = 0x10000, .end = 0x20000, .shared = true };
	uint64_t first, last;
	struct pagemap p;

	(void)state;
	pagemap_init(&p);
	assert_true(pagemap_open(&p, getpid(), &err));
	assert_true(pagemap_find_object(&p, &m, 0x11000, 0x18000, &first, &last, &err));
	assert_int_equal(first, 0x11000);
	assert_int_equal(last, 0x18000);
	pagemap_close(&p);
}

static void a_process_that_ended_has_no_pages(void **state)
{
	pid_t child = child_start();
	uint64_t first, last;
	struct pagemap p;

	(void)state;
	pagemap_init(&p);
	assert_true(pagemap_open(&p, child, &err));
	child_end(child);
	if (pagemap_find(&p, 0x10000, 0x20000, &first, &last, &err))
		assert_int_equal(first, last);
	else
		assert_int_equal(err.status, MFD_NO_INPUT);
	p.plain = true;
	assert_false(pagemap_find(&p, 0x10000, 0x20000, &first, &last, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	pagemap_close(&p);
	assert_false(pagemap_open(&p, child, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_that_were_touched_are_found),
		cmocka_unit_test(without_pagemap_scan_the_same_ones_are),
		cmocka_unit_test(pages_of_a_shared_object_are_found_whoever_put_them_there),
		cmocka_unit_test(an_object_that_cannot_be_asked_is_all_data),
		cmocka_unit_test(a_process_that_ended_has_no_pages),
	};

	return cmocka_run_group_tests(tests, find_page, NULL);
}
