/* SPDX-License-Identifier: MIT */
/*
 * What a core file takes over from one look at a process to the next, and what it looks at again:
 * a forked child changes its mappings in between.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

#include "process/corefile.h"
#include "unit/child_fixture.h"

#define PAGES 16u

struct scene {
	struct corefile file;
	uint8_t *memory; /* PAGES of them, in the child too */
	pid_t child;
	int order, done; /* pipes: a byte each */
};

/* In the child, when it is told to. */
typedef void deed_fn(uint8_t *memory);

static void be_child(deed_fn *deed, uint8_t *memory, int order, int done)
{
	char byte;

	if (read(order, &byte, 1) != 1)
		_exit(0);
	deed(memory);
	if (write(done, "d", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void ignore(void *opaque, const char *text)
{
	(void)opaque;
	(void)text;
}

/* The first look is over; then the child does its deed. */
static void scene_start(struct scene *s, int access, deed_fn *deed)
{
	int order[2], done[2];
	char byte;

	s->memory = mmap(NULL, PAGES * page, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(s->memory, MAP_FAILED);
	assert_int_equal(pipe(order), 0);
	assert_int_equal(pipe(done), 0);
	s->child = fork();
	assert_true(s->child >= 0);
	if (s->child == 0)
		be_child(deed, s->memory, order[0], done[1]);
	close(order[0]);
	close(done[1]);
	s->order = order[1];
	s->done = done[0];
	corefile_init(&s->file);
	assert_true(corefile_open(&s->file, s->child, 0x33, &err));
	assert_true(corefile_look(&s->file, ignore, NULL, &err));
	assert_int_equal(write(s->order, "o", 1), 1);
	assert_int_equal(read(s->done, &byte, 1), 1);
}

static void scene_end(struct scene *s)
{
	corefile_close(&s->file);
	child_end(s->child);
	close(s->order);
	close(s->done);
	munmap(s->memory, PAGES * page);
}

/* What becomes of the memory. */
static const struct corefile_part *scene_part(const struct scene *s)
{
	const struct mapping *m = maps_find(&s->file.maps, (uintptr_t)s->memory);

	assert_non_null(m);
	return &s->file.part[m - s->file.maps.mapping];
}

/* The first word of it, as the file has it. */
static uint64_t scene_word(const struct scene *s)
{
	const struct layout_room *r = layout_room_at(&s->file.layout, (uintptr_t)s->memory);
	uint64_t word, unreadable;

	assert_non_null(r);
	assert_true(corefile_read(&s->file, r->offset + ((uintptr_t)s->memory - r->address),
				  (uint8_t *)&word, sizeof(word), &unreadable, &err));
	return word;
}

static void nothing(uint8_t *memory)
{
	(void)memory;
}

static void open_write_and_close(uint8_t *memory)
{
	if (mprotect(memory, PAGES * page, PROT_READ | PROT_WRITE) != 0)
		_exit(1);
	memset(memory, 0x5a, page);
	if (mprotect(memory, PAGES * page, PROT_NONE) != 0)
		_exit(1);
}

static void write_to_it(uint8_t *memory)
{
	memset(memory, 0x5a, page);
}

static void memory_that_was_only_reserved_stays_out(void **state)
{
	struct scene s;

	(void)state;
	scene_start(&s, PROT_NONE, nothing);
	assert_int_equal(scene_part(&s)->pages, COREFILE_NONE);
	assert_true(corefile_look_again(&s.file, ignore, NULL, &err));
	assert_int_equal(scene_part(&s)->pages, COREFILE_NONE);
	scene_end(&s);
}

static void reserved_memory_that_was_open_for_a_moment_is_found(void **state)
{
	struct scene s;

	(void)state;
	scene_start(&s, PROT_NONE, open_write_and_close);
	assert_int_equal(scene_part(&s)->pages, COREFILE_NONE);
	assert_true(corefile_look_again(&s.file, ignore, NULL, &err));
	assert_int_equal(scene_part(&s)->pages, COREFILE_TOUCHED);
	assert_int_equal(scene_part(&s)->stored, PAGES * page);
	assert_true(scene_word(&s) == UINT64_C(0x5a5a5a5a5a5a5a5a));
	scene_end(&s);
}

static void without_pagemap_scan_it_is_found_too(void **state)
{
	struct scene s;

	(void)state;
	scene_start(&s, PROT_NONE, open_write_and_close);
	s.file.pagemap.plain = true;
	assert_true(corefile_look_again(&s.file, ignore, NULL, &err));
	assert_int_equal(scene_part(&s)->pages, COREFILE_TOUCHED);
	scene_end(&s);
}

static void memory_that_can_be_written_to_is_in_it_anyway(void **state)
{
	struct scene s;

	(void)state;
	scene_start(&s, PROT_READ | PROT_WRITE, write_to_it);
	assert_int_equal(scene_part(&s)->pages, COREFILE_TOUCHED);
	assert_true(corefile_look_again(&s.file, ignore, NULL, &err));
	assert_int_equal(scene_part(&s)->pages, COREFILE_TOUCHED);
	assert_true(scene_word(&s) == UINT64_C(0x5a5a5a5a5a5a5a5a));
	scene_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_that_was_only_reserved_stays_out),
		cmocka_unit_test(reserved_memory_that_was_open_for_a_moment_is_found),
		cmocka_unit_test(without_pagemap_scan_it_is_found_too),
		cmocka_unit_test(memory_that_can_be_written_to_is_in_it_anyway),
	};

	return cmocka_run_group_tests(tests, find_page, NULL);
}
