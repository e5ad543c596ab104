/* SPDX-License-Identifier: MIT */
/*
 * Reading the memory of a forked child, which shares our addresses.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>

#include "process/memory.h"
#include "unit/child_fixture.h"

#define PAGES 16u

static uint8_t *map_pages(void)
{
	uint8_t *bytes = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(bytes, MAP_FAILED);
	for (size_t i = 0; i < PAGES * page; i++)
		bytes[i] = (uint8_t)(i / page + i * 7 + 1);
	return bytes;
}

static void memory_comes_as_it_is(void **state)
{
	uint8_t *theirs = map_pages(), ours[3 * 4096];
	uint64_t unreadable;
	struct memory m;
	pid_t child = child_start();

	(void)state;
	assert_true(memory_open(child, &m, &err));
	assert_true(memory_is_there(&m));
	assert_true(
		memory_read(&m, (uintptr_t)theirs + 100, ours, sizeof(ours), &unreadable, &err));
	assert_int_equal(unreadable, 0);
	assert_memory_equal(ours, theirs + 100, sizeof(ours));
	memory_close(&m);
	child_end(child);
	munmap(theirs, PAGES * page);
}

/* PROT_NONE is no obstacle for /proc/PID/mem; a hole in the address space is. */
static void what_cannot_be_read_is_zeros_and_the_rest_is_there(void **state)
{
	uint8_t *theirs = map_pages(), *ours = map_pages();
	uint64_t unreadable;
	struct memory m;
	pid_t child;

	(void)state;
	assert_int_equal(mprotect(theirs + 2 * page, page, PROT_NONE), 0);
	assert_int_equal(munmap(theirs + 5 * page, 2 * page), 0);
	child = child_start();
	assert_int_equal(mprotect(theirs + 2 * page, page, PROT_READ), 0);
	assert_true(memory_open(child, &m, &err));
	assert_true(memory_read(&m, (uintptr_t)theirs, ours, PAGES * page, &unreadable, &err));
	assert_int_equal(unreadable, 2 * page);
	assert_memory_equal(ours, theirs, 5 * page);
	for (size_t i = 5 * page; i < 7 * page; i++)
		assert_int_equal(ours[i], 0);
	assert_memory_equal(ours + 7 * page, theirs + 7 * page, (PAGES - 7) * page);
	memory_close(&m);
	child_end(child);
	munmap(theirs, PAGES * page);
	munmap(ours, PAGES * page);
}

static void a_process_that_ended_is_no_input(void **state)
{
	uint8_t *theirs = map_pages(), ours[4096];
	uint64_t unreadable;
	struct memory m;
	pid_t child = child_start();

	(void)state;
	assert_true(memory_open(child, &m, &err));
	child_end(child);
	assert_false(memory_is_there(&m));
	assert_false(memory_read(&m, (uintptr_t)theirs, ours, sizeof(ours), &unreadable, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	memory_close(&m);
	assert_false(memory_open(child, &m, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	munmap(theirs, PAGES * page);
}

static void a_process_that_runs_another_program_is_no_longer_there(void **state)
{
	int go[2], gone[2];
	struct memory m;
	pid_t child;
	char byte;

	(void)state;
	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe2(gone, O_CLOEXEC), 0);
	child = fork();
	if (child == 0) {
		close(go[1]);
		if (read(go[0], &byte, 1) == 1)
			execlp("sleep", "sleep", "1000", (char *)NULL);
		_exit(1);
	}
	assert_true(child > 0);
	close(go[0]);
	close(gone[1]);
	assert_true(memory_open(child, &m, &err));
	assert_true(memory_is_there(&m));
	assert_int_equal(write(go[1], "x", 1), 1);
	/* The last one to hold the other end is the child, until it becomes somebody else. */
	assert_int_equal(read(gone[0], &byte, 1), 0);
	assert_false(memory_is_there(&m));
	memory_close(&m);
	close(go[1]);
	close(gone[0]);
	child_end(child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_comes_as_it_is),
		cmocka_unit_test(what_cannot_be_read_is_zeros_and_the_rest_is_there),
		cmocka_unit_test(a_process_that_ended_is_no_input),
		cmocka_unit_test(a_process_that_runs_another_program_is_no_longer_there),
	};

	return cmocka_run_group_tests(tests, find_page, NULL);
}
