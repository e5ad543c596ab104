/* SPDX-License-Identifier: MIT */
/*
 * The lists of mappings in /proc: as text, and of this very process.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/maps.h"

static struct mfd_error err;

static bool parse(const char *text, struct maps *ret)
{
	FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	bool ok;

	assert_non_null(file);
	ok = maps_parse(file, ret, &err);
	fclose(file);
	return ok;
}

static void a_line_is_a_mapping(void **state)
{
	struct maps m;

	(void)state;
	assert_true(parse(
		"5581c0000000-5581c0001000 r-xp 00002000 fe:01 1234   /usr/bin/a program\n"
		"7f0000000000-7f0000010000 rw-s 00000000 00:05 9      /dev/zero (deleted)\n"
		"7f0000010000-7f0000011000 ---p 00000000 00:00 0 \n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]\n", &m));
	assert_int_equal(m.count, 4);
	assert_int_equal(m.mapping[0].start, 0x5581c0000000);
	assert_int_equal(m.mapping[0].end, 0x5581c0001000);
	assert_int_equal(m.mapping[0].offset, 0x2000);
	assert_int_equal(m.mapping[0].inode, 1234);
	assert_int_equal(m.mapping[0].major, 0xfe);
	assert_int_equal(m.mapping[0].minor, 1);
	assert_int_equal(m.mapping[0].access, MAPPING_READ | MAPPING_EXECUTE);
	assert_false(m.mapping[0].shared);
	assert_string_equal(m.mapping[0].name, "/usr/bin/a program");
	assert_true(m.mapping[0].anonymous == UINT64_MAX);
	assert_true(m.mapping[1].shared);
	assert_int_equal(m.mapping[2].access, 0);
	assert_string_equal(m.mapping[2].name, "");
	assert_true(m.mapping[3].start == UINT64_C(0xffffffffff600000));
	maps_free(&m);
	maps_free(&m);
}

static void details_belong_to_the_mapping_before_them(void **state)
{
	struct maps m;

	(void)state;
	assert_true(parse("10000-12000 rw-p 00000000 00:00 0 \n"
			  "Size:                  8 kB\n"
			  "Anonymous:             4 kB\n"
			  "AnonHugePages:         0 kB\n"
			  "Swap:                  8 kB\n"
			  "SwapPss:               2 kB\n"
			  "VmFlags: rd wr mr mw me ac dd um \n"
			  "20000-21000 r--p 00000000 00:00 0    [vvar]\n"
			  "Anonymous:             0 kB\n"
			  "VmFlags: rd mr pf io de sd \n", &m));
	assert_int_equal(m.count, 2);
	assert_int_equal(m.mapping[0].anonymous, 12 * 1024);
	assert_int_equal(m.mapping[0].flags, MAPPING_DONTDUMP | MAPPING_UFFD_MISSING);
	assert_int_equal(m.mapping[1].anonymous, 0);
	assert_int_equal(m.mapping[1].flags, MAPPING_PFN | MAPPING_IO | MAPPING_SOFTDIRTY);
	maps_free(&m);
}

static void junk_is_refused(void **state)
{
	struct maps m;

	(void)state;
	assert_false(parse("no mapping at all\n", &m));
	assert_int_equal(err.status, MFD_IO);
	assert_false(parse("20000-10000 rw-p 00000000 00:00 0 \n", &m));
	assert_false(parse("10000-20000 rw-p 00000000 00:00\n", &m));
	assert_true(parse("10000-20000 rw-p 00000000 00:00 0\n", &m));
	maps_free(&m);
}

static void a_newline_in_a_name_comes_back(void **state)
{
	struct maps m;

	(void)state;
	assert_true(parse("10000-20000 rw-p 00000000 00:01 7    /tmp/two\\012lines \\040\n", &m));
	assert_string_equal(m.mapping[0].name, "/tmp/two\nlines \\040");
	maps_free(&m);
}

static void a_mapping_that_is_listed_again_counts_once(void **state)
{
	struct maps m;

	(void)state;
	assert_true(parse("10000-20000 rw-p 00000000 00:00 0\n"
			  "10000-30000 rw-p 00000000 00:00 0\n"
			  "30000-40000 rw-p 00000000 00:00 0\n", &m));
	assert_int_equal(m.count, 2);
	maps_free(&m);
}

static void an_address_finds_its_mapping(void **state)
{
	struct maps m;

	(void)state;
	assert_true(parse("10000-20000 rw-p 00000000 00:00 0\n"
			  "20000-30000 r--p 00000000 00:00 0\n"
			  "50000-60000 rw-p 00000000 00:00 0\n", &m));
	assert_null(maps_find(&m, 0xffff));
	assert_ptr_equal(maps_find(&m, 0x10000), &m.mapping[0]);
	assert_ptr_equal(maps_find(&m, 0x20000), &m.mapping[1]);
	assert_null(maps_find(&m, 0x30000));
	assert_ptr_equal(maps_find(&m, 0x5ffff), &m.mapping[2]);
	assert_null(maps_find(&m, 0x60000));
	maps_free(&m);
}

static void kinds_are_told_by_their_names(void **state)
{
	static const struct {
		const char *line;
		bool private_anonymous, special, deleted;
	} kinds[] = {
		{ "1000-2000 rw-p 00000000 00:00 0", true, false, false },
		{ "1000-2000 rw-p 00000000 00:00 0  [heap]", true, false, false },
		{ "1000-2000 rw-p 00000000 00:00 0  [stack]", true, false, false },
		{ "1000-2000 rw-p 00000000 00:00 0  [anon:a name]", true, false, false },
		{ "1000-2000 r-xp 00000000 00:00 0  [vdso]", false, true, false },
		{ "1000-2000 r--p 00000000 00:00 0  [vvar]", false, true, false },
		{ "1000-2000 rw-p 00000000 fe:00 7  /lib/x.so", false, false, false },
		{ "1000-2000 rw-p 00000000 fe:00 7  /lib/x.so (deleted)", false, false, true },
		{ "1000-2000 rw-s 00000000 00:05 7  /dev/zero (deleted)", false, false, true },
		{ "1000-2000 rw-s 00000000 00:05 7  /memfd:ram (deleted)", false, false, true },
		{ "1000-2000 rw-s 00000000 00:05 7  [anon_shmem:a name]", false, false, true },
	};
	struct maps m;

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		assert_true(parse(kinds[i].line, &m));
		assert_int_equal(mapping_is_private_anonymous(&m.mapping[0]),
				 kinds[i].private_anonymous);
		assert_int_equal(mapping_is_special(&m.mapping[0]), kinds[i].special);
		assert_int_equal(mapping_is_deleted(&m.mapping[0]), kinds[i].deleted);
		maps_free(&m);
	}
}

static void this_process_is_read(void **state)
{
	const size_t bytes = 1 << 20;
	uint8_t *ours = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);
	const struct mapping *found;
	struct maps m;

	(void)state;
	assert_ptr_not_equal(ours, MAP_FAILED);
	assert_int_equal(madvise(ours, bytes, MADV_DONTDUMP), 0);
	memset(ours, 1, 8192);
	assert_true(maps_read(getpid(), MAPS_DETAILED, &m, &err));
	found = maps_find(&m, (uintptr_t)ours);
	assert_non_null(found);
	assert_true(found->start <= (uintptr_t)ours && found->end >= (uintptr_t)ours + bytes);
	if (found->anonymous == UINT64_MAX) {
		print_message("this kernel has no smaps\n");
	} else {
		assert_true(found->flags & MAPPING_DONTDUMP);
		assert_true(found->anonymous >= 8192);
	}
	assert_true(mapping_is_private_anonymous(found));
	maps_free(&m);
	assert_true(maps_read(getpid(), MAPS_PLAIN, &m, &err));
	found = maps_find(&m, (uintptr_t)ours);
	assert_non_null(found);
	assert_true(found->anonymous == UINT64_MAX);
	maps_free(&m);
	munmap(ours, bytes);
}

static void what_is_gone_is_no_input(void **state)
{
	pid_t child = fork();
	siginfo_t info;
	struct maps m;

	(void)state;
	if (child == 0)
		_exit(0);
	assert_true(child > 0);
	assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
	assert_false(maps_read(child, MAPS_PLAIN, &m, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_false(maps_read(child, MAPS_DETAILED, &m, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
}

/* It ends between the opening of its list and the reading. */
static void what_goes_meanwhile_is_no_input_either(void **state)
{
	pid_t child = fork();
	struct maps maps;
	char path[64];
	FILE *file;

	(void)state;
	if (child == 0)
		for (;;)
			pause();
	assert_true(child > 0);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)child);
	file = fopen(path, "re");
	assert_non_null(file);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_false(maps_parse(file, &maps, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_a_mapping),
		cmocka_unit_test(details_belong_to_the_mapping_before_them),
		cmocka_unit_test(junk_is_refused),
		cmocka_unit_test(a_newline_in_a_name_comes_back),
		cmocka_unit_test(a_mapping_that_is_listed_again_counts_once),
		cmocka_unit_test(an_address_finds_its_mapping),
		cmocka_unit_test(kinds_are_told_by_their_names),
		cmocka_unit_test(this_process_is_read),
		cmocka_unit_test(what_is_gone_is_no_input),
		cmocka_unit_test(what_goes_meanwhile_is_no_input_either),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
