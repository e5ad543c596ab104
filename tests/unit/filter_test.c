/* SPDX-License-Identifier: MIT */
/*
 * Which mappings belong into a core file, by the kernel's rules.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <unistd.h>

#include "process/filter.h"

#define DEFAULT 0x33u /* what the kernel begins with */

static struct mapping mapping(const char *name, bool shared, unsigned flags, uint64_t anonymous)
{
	return (struct mapping){
		.start = 0x10000, .end = 0x20000, .access = MAPPING_READ | MAPPING_WRITE,
		.inode = name[0] == '/', .shared = shared, .flags = flags, .anonymous = anonymous,
		.name = (char *)(uintptr_t)name,
	};
}

static enum filter_choice choose(const char *name, bool shared, unsigned flags, uint64_t anonymous,
				 unsigned mask)
{
	const struct mapping m = mapping(name, shared, flags, anonymous);

	return filter_choose(&m, mask);
}

static void each_kind_has_its_bit(void **state)
{
	static const struct {
		const char *name;
		bool shared;
		unsigned flags;
		uint64_t anonymous;
		unsigned bit;
	} kinds[] = {
		{ "", false, 0, 4096, FILTER_ANON_PRIVATE },
		{ "", false, 0, 0, FILTER_ANON_PRIVATE },
		{ "[heap]", false, 0, 4096, FILTER_ANON_PRIVATE },
		{ "[stack]", false, 0, 4096, FILTER_ANON_PRIVATE },
		{ "/dev/zero (deleted)", true, 0, 0, FILTER_ANON_SHARED },
		{ "/memfd:ram (deleted)", true, 0, 0, FILTER_ANON_SHARED },
		{ "/lib/x.so", false, 0, 0, FILTER_FILE_PRIVATE },
		{ "/dev/shm/ram", true, 0, 0, FILTER_FILE_SHARED },
		{ "/anon_hugepage (deleted)", false, MAPPING_HUGETLB, 0, FILTER_HUGE_PRIVATE },
		{ "/huge/ram", true, MAPPING_HUGETLB, 0, FILTER_HUGE_SHARED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		assert_int_equal(choose(kinds[i].name, kinds[i].shared, kinds[i].flags,
					kinds[i].anonymous, kinds[i].bit), FILTER_WHOLE);
		/* Without it, but for a first page, which has a bit of its own. */
		assert_int_equal(choose(kinds[i].name, kinds[i].shared, kinds[i].flags,
					kinds[i].anonymous,
					FILTER_ALL & ~kinds[i].bit & ~(unsigned)FILTER_ELF_HEADERS),
				 FILTER_LEFT_OUT);
	}
}

static void what_was_written_of_a_private_file_is_the_process_s_own(void **state)
{
	(void)state;
	assert_int_equal(choose("/lib/x.so", false, 0, 4096, FILTER_ANON_PRIVATE), FILTER_WHOLE);
	assert_int_equal(choose("/lib/x.so", false, 0, 0, FILTER_ANON_PRIVATE), FILTER_LEFT_OUT);
	/* Not known: what may be written to may have been. */
	assert_int_equal(choose("/lib/x.so", false, 0, UINT64_MAX, FILTER_ANON_PRIVATE),
			 FILTER_WHOLE);
}

static void text_is_left_out_but_for_a_first_page(void **state)
{
	struct mapping m = mapping("/lib/x.so", false, 0, 0);

	(void)state;
	assert_int_equal(filter_choose(&m, DEFAULT), FILTER_ELF_HEADER);
	assert_int_equal(filter_choose(&m, DEFAULT & ~(unsigned)FILTER_ELF_HEADERS),
			 FILTER_LEFT_OUT);
	assert_int_equal(filter_choose(&m, FILTER_ALL), FILTER_WHOLE);
	m.offset = 4096;
	assert_int_equal(filter_choose(&m, DEFAULT), FILTER_LEFT_OUT);
	m.offset = 0;
	m.access = MAPPING_EXECUTE;
	assert_int_equal(filter_choose(&m, DEFAULT), FILTER_LEFT_OUT);
}

static void madvise_has_the_last_word(void **state)
{
	(void)state;
	assert_int_equal(choose("", false, MAPPING_DONTDUMP, 4096, FILTER_ALL), FILTER_LEFT_OUT);
	assert_int_equal(choose("/x", true, MAPPING_DONTDUMP, 0, FILTER_ALL), FILTER_LEFT_OUT);
	assert_int_equal(choose("[vdso]", false, MAPPING_DONTDUMP, 0, 0), FILTER_WHOLE);
}

static void devices_and_reserved_addresses_hold_no_memory(void **state)
{
	struct mapping m = mapping("", false, 0, 0);

	(void)state;
	assert_int_equal(choose("/dev/mem", true, MAPPING_IO, 0, FILTER_ALL), FILTER_NO_MEMORY);
	assert_int_equal(choose("/dev/mem", true, MAPPING_PFN, 0, FILTER_ALL), FILTER_NO_MEMORY);
	assert_int_equal(choose("[vvar]", false, MAPPING_IO, 0, FILTER_ALL), FILTER_NO_MEMORY);
	m.access = 0;
	assert_int_equal(filter_choose(&m, FILTER_ALL), FILTER_NO_MEMORY);
	/* Written first, then made inaccessible: that is memory. */
	m.anonymous = 4096;
	assert_int_equal(filter_choose(&m, FILTER_ALL), FILTER_WHOLE);
}

static void a_process_s_own_mask_is_read(void **state)
{
	struct mfd_error err;
	unsigned mask = 0;
	FILE *file;

	(void)state;
	file = fopen("/proc/self/coredump_filter", "w");
	assert_non_null(file);
	fprintf(file, "0x2b");
	assert_int_equal(fclose(file), 0);
	assert_true(filter_read(getpid(), &mask, &err));
	assert_int_equal(mask & 0x7f, 0x2b);
	assert_false(filter_read(0x7ffffffe, &mask, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_has_its_bit),
		cmocka_unit_test(what_was_written_of_a_private_file_is_the_process_s_own),
		cmocka_unit_test(text_is_left_out_but_for_a_first_page),
		cmocka_unit_test(madvise_has_the_last_word),
		cmocka_unit_test(devices_and_reserved_addresses_hold_no_memory),
		cmocka_unit_test(a_process_s_own_mask_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
