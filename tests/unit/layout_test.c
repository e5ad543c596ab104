/* SPDX-License-Identifier: MIT */
/*
 * Places in a core file: rooms that stay where they are, segments over them.  What the headers
 * look like from outside is for tests/process/readelf.sh.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <elf.h>

#include "process/layout.h"

#define PAGE 4096u

static struct mfd_error err;

static void add_room(struct layout *l, uint64_t address, uint64_t pages)
{
	assert_true(layout_add_room(l, address, pages * PAGE, &err));
}

static void add_segment(struct layout *l, uint64_t address, uint64_t pages, uint64_t stored)
{
	assert_true(layout_add_segment(l, address, pages * PAGE, stored * PAGE, PF_R, &err));
}

static void assert_room(const struct layout *l, uint64_t address, uint64_t offset)
{
	const struct layout_room *r = layout_room_at(l, address);

	assert_non_null(r);
	assert_true(r->address <= address);
	assert_int_equal(r->offset + (address - r->address), offset);
	assert_ptr_equal(layout_room_at_offset(l, offset), r);
}

static void assert_segment(const struct layout *l, size_t i, uint64_t address, uint64_t pages,
			   uint64_t stored, uint64_t offset)
{
	assert_true(i < l->segments);
	assert_int_equal(l->segment[i].address, address);
	assert_int_equal(l->segment[i].bytes, pages * PAGE);
	assert_int_equal(l->segment[i].stored, stored * PAGE);
	if (stored > 0)
		assert_int_equal(l->segment[i].offset, offset);
}

static void rooms_lie_behind_the_header_in_the_order_they_came(void **state)
{
	struct layout l;

	(void)state;
	layout_init(&l, PAGE);
	assert_null(layout_room_at(&l, 0));
	assert_null(layout_room_at_offset(&l, 0));
	add_room(&l, 0x50000, 2);
	add_room(&l, 0x10000, 1);
	add_room(&l, 0x90000, 3);
	assert_room(&l, 0x50000, PAGE);
	assert_room(&l, 0x51000, 2 * PAGE);
	assert_room(&l, 0x10000, 3 * PAGE);
	assert_room(&l, 0x92000, 6 * PAGE);
	assert_int_equal(l.end, 7 * PAGE);
	assert_int_equal(layout_room_at(&l, 0x20000)->address, 0x50000);
	assert_null(layout_room_at(&l, 0x93000));
	assert_int_equal(layout_room_at_offset(&l, 0)->address, 0x50000);
	assert_null(layout_room_at_offset(&l, l.end));
	layout_free(&l);
}

static void an_address_never_loses_its_place(void **state)
{
	struct layout l;

	(void)state;
	layout_init(&l, PAGE);
	add_room(&l, 0x50000, 2);
	add_room(&l, 0x10000, 1);
	add_room(&l, 0x50000, 2);
	assert_int_equal(l.end, 4 * PAGE);
	/* It has grown to both sides, and over the other one. */
	add_room(&l, 0x0f000, 0x44);
	assert_room(&l, 0x50000, PAGE);
	assert_room(&l, 0x51000, 2 * PAGE);
	assert_room(&l, 0x10000, 3 * PAGE);
	assert_room(&l, 0x0f000, 4 * PAGE);
	assert_room(&l, 0x11000, 5 * PAGE);
	assert_room(&l, 0x4f000, 0x43 * PAGE);
	assert_room(&l, 0x52000, 0x44 * PAGE);
	assert_int_equal(l.end, (1 + 0x44) * PAGE);
	layout_free(&l);
}

static void what_continues_in_memory_and_file_is_one_room(void **state)
{
	struct layout l;

	(void)state;
	layout_init(&l, PAGE);
	add_room(&l, 0x10000, 1);
	add_room(&l, 0x11000, 1);
	assert_int_equal(l.rooms, 1);
	add_room(&l, 0x0f000, 1);
	assert_int_equal(l.rooms, 2);
	add_room(&l, 0x12000, 1);
	assert_int_equal(l.rooms, 3);
	layout_free(&l);
}

static void a_segment_in_one_piece_of_the_file_is_one_segment(void **state)
{
	struct layout l;

	(void)state;
	layout_init(&l, PAGE);
	add_room(&l, 0x10000, 4);
	add_segment(&l, 0x10000, 1, 1);
	add_segment(&l, 0x11000, 3, 3);
	assert_int_equal(l.segments, 2);
	assert_segment(&l, 0, 0x10000, 1, 1, PAGE);
	assert_segment(&l, 1, 0x11000, 3, 3, 2 * PAGE);
	layout_clear_segments(&l);
	assert_int_equal(l.segments, 0);
	assert_int_equal(l.rooms, 1);
	layout_free(&l);
}

static void a_segment_in_pieces_of_the_file_is_as_many(void **state)
{
	struct layout l;

	(void)state;
	layout_init(&l, PAGE);
	add_room(&l, 0x10000, 2);
	add_room(&l, 0x80000, 1);
	add_room(&l, 0x10000, 5);
	add_segment(&l, 0x10000, 8, 5);
	assert_int_equal(l.segments, 2);
	assert_segment(&l, 0, 0x10000, 2, 2, PAGE);
	assert_segment(&l, 1, 0x12000, 6, 3, 4 * PAGE);
	layout_free(&l);
}

static void what_is_not_stored_needs_no_room(void **state)
{
	struct layout l;

	(void)state;
	layout_init(&l, PAGE);
	add_segment(&l, 0x10000, 8, 0);
	assert_int_equal(l.segments, 1);
	assert_segment(&l, 0, 0x10000, 8, 0, 0);
	assert_false(layout_add_segment(&l, 0x20000, PAGE, PAGE, PF_R, &err));
	assert_int_equal(err.status, MFD_BUG);
	layout_free(&l);
}

static void large_pages_keep_their_alignment(void **state)
{
	struct layout l;

	(void)state;
	layout_init(&l, 65536);
	assert_true(layout_add_room(&l, 0x30000, 65536, &err));
	assert_int_equal(layout_room_at(&l, 0x30000)->offset, 65536);
	assert_int_equal(l.end, 2 * 65536);
	layout_free(&l);
}

static void ten_thousand_rooms_are_found_from_both_sides(void **state)
{
	struct layout l;

	(void)state;
	layout_init(&l, PAGE);
	for (uint64_t i = 0; i < 10000; i++)
		add_room(&l, (i * 7919 % 10000 + 1) * 0x10000, 1);
	for (uint64_t i = 0; i < 10000; i++)
		assert_room(&l, (i * 7919 % 10000 + 1) * 0x10000, (i + 1) * PAGE);
	layout_free(&l);
}

/* The first header says where the others are, the others where the rooms are. */
static void tail_and_header_agree(void **state)
{
	static const char note[13] = "twelve bytes";
	uint8_t header[LAYOUT_HEADER_BYTES], *tail;
	struct layout l;
	Elf64_Ehdr h;
	Elf64_Phdr p;

	(void)state;
	layout_init(&l, PAGE);
	add_room(&l, 0x10000, 2);
	add_segment(&l, 0x10000, 3, 2);
	assert_int_equal(layout_tail_bytes(&l, 13), 16 + 2 * sizeof(p));
	tail = malloc(layout_tail_bytes(&l, 13));
	assert_non_null(tail);
	layout_put_tail(&l, note, 13, tail);
	layout_put_header(&l, 13, header);
	memcpy(&h, header, sizeof(h));
	assert_int_equal(h.e_type, ET_CORE);
	assert_int_equal(h.e_phnum, 2);
	assert_int_equal(h.e_shnum, 0);
	assert_int_equal(h.e_phoff, l.end + 16);
	assert_memory_equal(tail, note, 13);
	memcpy(&p, tail + 16, sizeof(p));
	assert_int_equal(p.p_type, PT_NOTE);
	assert_int_equal(p.p_offset, l.end);
	assert_int_equal(p.p_filesz, 13);
	memcpy(&p, tail + 16 + sizeof(p), sizeof(p));
	assert_int_equal(p.p_type, PT_LOAD);
	assert_int_equal(p.p_offset, PAGE);
	assert_int_equal(p.p_filesz, 2 * PAGE);
	assert_int_equal(p.p_memsz, 3 * PAGE);
	free(tail);
	layout_free(&l);
}

/* One header more than 16 bits can count, and one less. */
static void too_many_headers_are_counted_by_a_section(void **state)
{
	for (unsigned segments = PN_XNUM - 2; segments <= PN_XNUM - 1; segments++) {
		const bool extended = segments + 1 >= PN_XNUM;
		uint8_t header[LAYOUT_HEADER_BYTES], *tail;
		uint64_t bytes;
		struct layout l;
		Elf64_Ehdr h;
		Elf64_Shdr s;

		layout_init(&l, PAGE);
		for (uint64_t i = 0; i < segments; i++)
			add_segment(&l, (i + 1) * 0x10000, 1, 0);
		bytes = layout_tail_bytes(&l, 0);
		assert_int_equal(bytes, (segments + 1) * sizeof(Elf64_Phdr) +
				 (extended ? sizeof(Elf64_Shdr) : 0));
		tail = malloc(bytes);
		assert_non_null(tail);
		layout_put_tail(&l, "", 0, tail);
		layout_put_header(&l, 0, header);
		memcpy(&h, header, sizeof(h));
		assert_int_equal(h.e_phnum, extended ? PN_XNUM : segments + 1);
		assert_int_equal(h.e_shnum, extended ? 1 : 0);
		if (extended) {
			assert_int_equal(h.e_shoff, l.end + bytes - sizeof(s));
			memcpy(&s, tail + bytes - sizeof(s), sizeof(s));
			assert_int_equal(s.sh_info, segments + 1);
			assert_int_equal(s.sh_size, 1);
		}
		free(tail);
		layout_free(&l);
	}
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rooms_lie_behind_the_header_in_the_order_they_came),
		cmocka_unit_test(an_address_never_loses_its_place),
		cmocka_unit_test(what_continues_in_memory_and_file_is_one_room),
		cmocka_unit_test(a_segment_in_one_piece_of_the_file_is_one_segment),
		cmocka_unit_test(a_segment_in_pieces_of_the_file_is_as_many),
		cmocka_unit_test(what_is_not_stored_needs_no_room),
		cmocka_unit_test(large_pages_keep_their_alignment),
		cmocka_unit_test(ten_thousand_rooms_are_found_from_both_sides),
		cmocka_unit_test(tail_and_header_agree),
		cmocka_unit_test(too_many_headers_are_counted_by_a_section),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
