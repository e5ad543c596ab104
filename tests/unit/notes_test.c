/* SPDX-License-Identifier: MIT */
/*
 * The contents of notes; their order and sizes are for tests/process/readelf.sh.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <elf.h>
#include <sys/procfs.h>
#include <unistd.h>

#include "process/notes.h"

static struct mfd_error err;

/* The contents of the @nth note of @type, and how many bytes; NULL if there is none. */
static const uint8_t *find(const struct notes *n, uint32_t type, unsigned nth, size_t *ret_bytes)
{
	size_t at = 0;
	Elf64_Nhdr h;

	while (at + sizeof(h) <= n->size) {
		memcpy(&h, n->bytes + at, sizeof(h));
		at += sizeof(h) + (h.n_namesz + 3) / 4 * 4;
		if (h.n_type == type && nth-- == 0) {
			*ret_bytes = h.n_descsz;
			return n->bytes + at;
		}
		at += (h.n_descsz + 3) / 4 * 4;
	}
	assert_int_equal(at, n->size);
	return NULL;
}

static void names_and_contents_are_padded_to_four(void **state)
{
	static const uint8_t wanted[] = {
		2, 0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 'A', 0, 0, 0, 1, 2, 3, 0,
		5, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 'C', 'O', 'R', 'E', 0, 0, 0, 0,
	};
	struct notes n = { 0 };

	(void)state;
	assert_true(notes_add(&n, "A", 7, "\1\2\3", 3, &err));
	assert_true(notes_add(&n, "CORE", 8, NULL, 0, &err));
	assert_int_equal(n.size, sizeof(wanted));
	assert_memory_equal(n.bytes, wanted, sizeof(wanted));
	notes_free(&n);
}

static void large_notes_fit(void **state)
{
	const size_t bytes = 1 << 20;
	uint8_t *many = calloc(1, bytes);
	struct notes n = { 0 };
	size_t got;

	(void)state;
	assert_non_null(many);
	many[bytes - 1] = 9;
	for (unsigned i = 0; i < 3; i++)
		assert_true(notes_add(&n, "CORE", i, many, bytes, &err));
	assert_memory_equal(find(&n, 2, 0, &got), many, bytes);
	assert_int_equal(got, bytes);
	notes_free(&n);
	free(many);
}

static void build(struct notes *n, const struct maps *maps)
{
	static uint8_t registers[sizeof(elf_gregset_t)], floats[512];
	static uint8_t auxv[32] = { 6, 0, 0, 0, 0, 0, 0, 0, 0, 16 };
	const struct notes_process p = {
		.pid = 7, .parent = 1, .group = 7, .session = 6, .uid = 1000, .gid = 100,
		.state = 't', .nice = -5, .name = "program", .arguments = "program -x",
		.auxv = auxv, .auxv_bytes = sizeof(auxv),
	};
	struct frozen_thread t[2];

	memset(registers, 0xab, sizeof(registers));
	memset(t, 0, sizeof(t));
	for (int i = 0; i < 2; i++) {
		t[i].tid = 5000 + i;
		t[i].own_tid = 7 + i;
		t[i].pending = 0x10;
		t[i].blocked = 0x8000000000000001;
		t[i].regs = registers;
		t[i].regs_bytes = sizeof(registers);
	}
	t[0].siginfo.si_signo = SIGSTOP;
	t[1].fpregs = floats;
	t[1].fpregs_bytes = sizeof(floats);
	assert_true(notes_build(n, &p, t, 2, maps, 4096, &err));
}

static void a_thread_has_the_number_that_it_knows_itself(void **state)
{
	const struct maps none = { 0 };
	struct elf_prstatus status;
	struct elf_prpsinfo info;
	struct notes n = { 0 };
	size_t bytes;

	(void)state;
	build(&n, &none);
	memcpy(&status, find(&n, NT_PRSTATUS, 1, &bytes), sizeof(status));
	assert_int_equal(bytes, sizeof(status));
	assert_int_equal(status.pr_pid, 8);
	assert_int_equal(status.pr_ppid, 1);
	assert_int_equal(status.pr_sigpend, 0x10);
	assert_true(status.pr_sighold == 0x8000000000000001);
	assert_int_equal(((uint8_t *)&status.pr_reg)[sizeof(status.pr_reg) - 1], 0xab);
	assert_int_equal(status.pr_fpvalid, 1);
	assert_null(find(&n, NT_PRSTATUS, 2, &bytes));
	assert_non_null(find(&n, NT_FPREGSET, 0, &bytes));
	assert_null(find(&n, NT_FPREGSET, 1, &bytes));
	memcpy(&info, find(&n, NT_PRPSINFO, 0, &bytes), sizeof(info));
	assert_int_equal(info.pr_pid, 7);
	assert_int_equal(info.pr_sname, 'T');
	assert_int_equal((signed char)info.pr_nice, -5);
	assert_int_equal(info.pr_uid, 1000);
	assert_string_equal(info.pr_fname, "program");
	assert_string_equal(info.pr_psargs, "program -x");
	assert_null(find(&n, NT_FILE, 0, &bytes));
	notes_free(&n);
}

/* Two numbers, three for each file, then the names; memory without a file is not in it. */
static void files_are_listed_with_their_offsets(void **state)
{
	static char empty[] = "", one[] = "/lib/one", two[] = "/two (deleted)";
	struct mapping m[] = {
		{ .start = 0x1000, .end = 0x3000, .offset = 0x5000, .inode = 1, .name = one },
		{ .start = 0x4000, .end = 0x5000, .name = empty },
		{ .start = 0x6000, .end = 0x7000, .inode = 2, .shared = true, .name = two },
	};
	const struct maps maps = { m, 3 };
	static const uint64_t wanted[] = { 2, 4096, 0x1000, 0x3000, 5, 0x6000, 0x7000, 0 };
	struct notes n = { 0 };
	const uint8_t *got;
	size_t bytes;

	(void)state;
	build(&n, &maps);
	got = find(&n, NT_FILE, 0, &bytes);
	assert_non_null(got);
	assert_int_equal(bytes, sizeof(wanted) + sizeof(one) + sizeof(two));
	assert_memory_equal(got, wanted, sizeof(wanted));
	assert_string_equal((const char *)got + sizeof(wanted), one);
	assert_string_equal((const char *)got + sizeof(wanted) + sizeof(one), two);
	notes_free(&n);
}

static void this_process_is_described(void **state)
{
	struct notes_process p;
	uint64_t type = 0;

	(void)state;
	assert_true(notes_read_process(getpid(), &p, &err));
	/* In another PID namespace than the one of /proc they would differ. */
	assert_int_equal(p.pid, getpid());
	assert_int_equal(p.group, getpgrp());
	assert_int_equal(p.session, getsid(0));
	assert_int_equal(p.parent, getppid());
	assert_int_equal(p.uid, getuid());
	assert_int_equal(p.gid, getgid());
	assert_int_equal(p.state, 'R');
	assert_string_equal(p.name, "notes_test");
	assert_non_null(strstr(p.arguments, "notes_test"));
	assert_true(p.auxv_bytes >= 16 && p.auxv_bytes % 16 == 0);
	memcpy(&type, p.auxv + p.auxv_bytes - 16, sizeof(type));
	assert_int_equal(type, AT_NULL);
	notes_process_free(&p);
	notes_process_free(&p);
	assert_false(notes_read_process(0x7ffffffe, &p, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	notes_process_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_contents_are_padded_to_four),
		cmocka_unit_test(large_notes_fit),
		cmocka_unit_test(a_thread_has_the_number_that_it_knows_itself),
		cmocka_unit_test(files_are_listed_with_their_offsets),
		cmocka_unit_test(this_process_is_described),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
