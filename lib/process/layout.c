/* SPDX-License-Identifier: MIT */
/*
 * The places in a core file, and its headers.
 */
#include "process/layout.h"

#include <assert.h>
#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#define LAYOUT_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define LAYOUT_MACHINE EM_AARCH64
#else
#define LAYOUT_MACHINE EM_NONE
#endif

#if __BYTE_ORDER == __LITTLE_ENDIAN
#define LAYOUT_ORDER ELFDATA2LSB
#else
#define LAYOUT_ORDER ELFDATA2MSB
#endif

static_assert(sizeof(Elf64_Ehdr) <= LAYOUT_HEADER_BYTES, "the ELF header fits its page");

/* Behind the notes stand structs of 8-byte fields. */
#define LAYOUT_ALIGN UINT64_C(8)

static uint64_t layout_align(uint64_t bytes, uint64_t to)
{
	return (bytes + to - 1) / to * to;
}

void layout_init(struct layout *l, uint64_t page_bytes)
{
	*l = (struct layout){ .page_bytes = page_bytes,
			      .end = layout_align(LAYOUT_HEADER_BYTES, page_bytes) };
}

void layout_free(struct layout *l)
{
	free(l->room);
	free(l->by_address);
	free(l->segment);
	*l = (struct layout){ 0 };
}

/* ---- Rooms. ---- */

/* The index in by_address of the first room that ends behind @address; rooms if there is none. */
static size_t layout_search(const struct layout *l, uint64_t address)
{
	size_t low = 0, high = l->rooms, middle;
	const struct layout_room *r;

	while (low < high) {
		middle = low + (high - low) / 2;
		r = &l->room[l->by_address[middle]];
		if (r->address + r->bytes <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct layout_room *layout_room_at(const struct layout *l, uint64_t address)
{
	size_t i = layout_search(l, address);

	return i < l->rooms ? &l->room[l->by_address[i]] : NULL;
}

const struct layout_room *layout_room_at_offset(const struct layout *l, uint64_t offset)
{
	size_t low = 0, high = l->rooms, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (l->room[middle].offset + l->room[middle].bytes <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < l->rooms ? &l->room[low] : NULL;
}

static bool layout_grow_rooms(struct layout *l, struct mfd_error *err)
{
	const size_t wanted = l->rooms_allocated != 0 ? l->rooms_allocated * 2 : 64;
	struct layout_room *room;
	size_t *by_address;

	if (l->rooms < l->rooms_allocated)
		return true;
	room = reallocarray(l->room, wanted, sizeof(*room));
	if (room != NULL)
		l->room = room;
	by_address = reallocarray(l->by_address, wanted, sizeof(*by_address));
	if (by_address != NULL)
		l->by_address = by_address;
	if (room == NULL || by_address == NULL)
		return error_set_os(err, MFD_OS, ENOMEM, "layout of the core file");
	l->rooms_allocated = wanted;
	return true;
}

/* A room for addresses that have none; @at is its index in by_address. */
static bool layout_append_room(struct layout *l, size_t at, uint64_t address, uint64_t bytes,
			       struct mfd_error *err)
{
	struct layout_room *last = l->rooms > 0 ? &l->room[l->rooms - 1] : NULL;

	if (last != NULL && last->address + last->bytes == address) {
		/* What continues the last one in memory does so in the file. */
		last->bytes += bytes;
		l->end += bytes;
		return true;
	}
	if (!layout_grow_rooms(l, err))
		return false;
	memmove(&l->by_address[at + 1], &l->by_address[at],
		(l->rooms - at) * sizeof(*l->by_address));
	l->by_address[at] = l->rooms;
	l->room[l->rooms++] = (struct layout_room){ address, bytes, l->end };
	l->end += bytes;
	return true;
}

bool layout_add_room(struct layout *l, uint64_t address, uint64_t bytes, struct mfd_error *err)
{
	const uint64_t end = address + bytes;
	const struct layout_room *next;
	uint64_t until;
	size_t at;

	while (address < end) {
		at = layout_search(l, address);
		next = at < l->rooms ? &l->room[l->by_address[at]] : NULL;
		if (next != NULL && next->address <= address) {
			address = next->address + next->bytes;
			continue;
		}
		until = next != NULL && next->address < end ? next->address : end;
		if (!layout_append_room(l, at, address, until - address, err))
			return false;
		address = until;
	}
	return true;
}

/* ---- Segments. ---- */

static bool layout_append_segment(struct layout *l, const struct layout_segment *segment,
				  struct mfd_error *err)
{
	struct layout_segment *grown;
	size_t wanted;

	if (l->segments == l->segments_allocated) {
		wanted = l->segments_allocated != 0 ? l->segments_allocated * 2 : 64;
		grown = reallocarray(l->segment, wanted, sizeof(*grown));
		if (grown == NULL)
			return error_set_os(err, MFD_OS, errno, "layout of the core file");
		l->segment = grown;
		l->segments_allocated = wanted;
	}
	l->segment[l->segments++] = *segment;
	return true;
}

/* How many of the @most bytes at @address lie behind each other in the file, and where. */
static uint64_t layout_run(const struct layout *l, uint64_t address, uint64_t most,
			   uint64_t *ret_offset)
{
	size_t at = layout_search(l, address);
	const struct layout_room *r, *next;
	uint64_t end;

	if (at == l->rooms || (r = &l->room[l->by_address[at]])->address > address)
		return 0;
	*ret_offset = r->offset + (address - r->address);
	for (end = r->address + r->bytes; ++at < l->rooms && end - address < most; r = next) {
		next = &l->room[l->by_address[at]];
		if (next->address != end || next->offset != r->offset + r->bytes)
			break;
		end += next->bytes;
	}
	return end - address < most ? end - address : most;
}

bool layout_add_segment(struct layout *l, uint64_t address, uint64_t bytes, uint64_t stored,
			uint32_t flags, struct mfd_error *err)
{
	struct layout_segment s = { .address = address, .bytes = bytes, .flags = flags };

	while (stored > 0) {
		s.stored = layout_run(l, s.address, stored, &s.offset);
		if (s.stored == 0)
			return error_set(err, MFD_BUG, "memory in a segment without room for it");
		stored -= s.stored;
		s.bytes = stored > 0 ? s.stored : bytes;
		if (!layout_append_segment(l, &s, err))
			return false;
		bytes -= s.bytes;
		s.address += s.bytes;
	}
	s = (struct layout_segment){ .address = s.address, .bytes = bytes, .flags = flags };
	return bytes == 0 || layout_append_segment(l, &s, err);
}

void layout_clear_segments(struct layout *l)
{
	l->segments = 0;
}

/* ---- Headers. ---- */

/* The notes are one segment more. */
static uint64_t layout_headers(const struct layout *l)
{
	return (uint64_t)l->segments + 1;
}

/* The ELF header has 16 bits for their number; beyond that it is in the first section header. */
static bool layout_is_extended(const struct layout *l)
{
	return layout_headers(l) >= PN_XNUM;
}

uint64_t layout_tail_bytes(const struct layout *l, size_t notes)
{
	return layout_align(notes, LAYOUT_ALIGN) + layout_headers(l) * sizeof(Elf64_Phdr) +
	       (layout_is_extended(l) ? sizeof(Elf64_Shdr) : 0);
}

void layout_put_tail(const struct layout *l, const void *note, size_t notes, uint8_t *tail)
{
	const Elf64_Phdr note_header = {
		.p_type = PT_NOTE, .p_offset = l->end, .p_filesz = notes, .p_align = 4,
	};
	const uint64_t padded = layout_align(notes, LAYOUT_ALIGN);

	memcpy(tail, note, notes);
	memset(tail + notes, 0, padded - notes);
	tail += padded;
	memcpy(tail, &note_header, sizeof(note_header));
	tail += sizeof(note_header);
	for (size_t i = 0; i < l->segments; i++, tail += sizeof(Elf64_Phdr)) {
		const struct layout_segment *s = &l->segment[i];
		const Elf64_Phdr load = {
			.p_type = PT_LOAD, .p_flags = s->flags, .p_vaddr = s->address,
			.p_offset = s->stored > 0 ? s->offset : 0,
			.p_filesz = s->stored, .p_memsz = s->bytes, .p_align = l->page_bytes,
		};

		memcpy(tail, &load, sizeof(load));
	}
	if (layout_is_extended(l)) {
		const Elf64_Shdr count = { .sh_type = SHT_NULL, .sh_size = 1,
					   .sh_info = (Elf64_Word)layout_headers(l) };

		memcpy(tail, &count, sizeof(count));
	}
}

void layout_put_header(const struct layout *l, size_t notes,
		       uint8_t header[static LAYOUT_HEADER_BYTES])
{
	const bool extended = layout_is_extended(l);
	const uint64_t table = l->end + layout_align(notes, LAYOUT_ALIGN);
	const Elf64_Ehdr h = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, LAYOUT_ORDER,
			     EV_CURRENT, ELFOSABI_NONE },
		.e_type = ET_CORE, .e_machine = LAYOUT_MACHINE, .e_version = EV_CURRENT,
		.e_ehsize = sizeof(h), .e_phoff = table, .e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = extended ? PN_XNUM : (Elf64_Half)layout_headers(l),
		.e_shoff = extended ? table + layout_headers(l) * sizeof(Elf64_Phdr) : 0,
		.e_shentsize = extended ? sizeof(Elf64_Shdr) : 0,
		.e_shnum = extended ? 1 : 0, .e_shstrndx = SHN_UNDEF,
	};

	memset(header, 0, LAYOUT_HEADER_BYTES);
	memcpy(header, &h, sizeof(h));
}
