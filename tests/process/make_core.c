/* SPDX-License-Identifier: MIT */
/*
 * Writes a core file of invented threads and segments, and of this program's own mappings and
 * IDs, for readelf(1) to look at; and says what should be in it.  Built for every machine that
 * cores are made for, and run under emulation where it is not this one.
 *
 *	make_core FILE SEGMENTS
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#include "process/layout.h"
#include "process/notes.h"

#define THREADS 3
#define STORED 2

/* Far from each other, so that every segment is one of its own. */
static uint64_t address_of(size_t segment)
{
	return UINT64_C(0x10000000) + segment * 0x100000;
}

static bool lay_out(struct layout *l, size_t segments, struct mfd_error *err)
{
	const uint64_t page = l->page_bytes;

	for (size_t i = 0; i < segments; i++) {
		const uint64_t stored = i < STORED ? 2 * page : 0;

		if (!layout_add_room(l, address_of(i), stored, err) ||
		    !layout_add_segment(l, address_of(i), 3 * page, stored, PF_R | PF_W, err))
			return false;
	}
	return true;
}

static bool make_notes(struct notes *n, uint64_t page, struct mfd_error *err)
{
	static const uint8_t registers[sizeof(elf_gregset_t)] = { 1, 2, 3 }, floats[512] = { 4 };
	struct frozen_thread threads[THREADS];
	struct notes_process process;
	struct maps maps;
	bool ok;

	memset(threads, 0, sizeof(threads));
	for (int i = 0; i < THREADS; i++) {
		threads[i].tid = threads[i].own_tid = 100 + i;
		threads[i].regs = registers;
		threads[i].regs_bytes = sizeof(registers);
		threads[i].fpregs = floats;
		threads[i].fpregs_bytes = sizeof(floats);
		threads[i].extras = 1;
		threads[i].extra[0] = (struct frozen_set){ NT_X86_XSTATE, 512, floats };
	}
	if (!maps_read(getpid(), MAPS_PLAIN, &maps, err))
		return false;
	ok = notes_read_process(getpid(), &process, err) &&
	     notes_build(n, &process, threads, THREADS, &maps, page, err);
	notes_process_free(&process);
	maps_free(&maps);
	return ok;
}

static bool write_file(const char *path, const struct layout *l, const struct notes *n)
{
	const uint64_t bytes = layout_tail_bytes(l, n->size);
	uint8_t header[LAYOUT_HEADER_BYTES], *tail = malloc(bytes);
	FILE *file = fopen(path, "we");
	bool ok;

	if (tail == NULL || file == NULL)
		return false;
	layout_put_header(l, n->size, header);
	layout_put_tail(l, n->bytes, n->size, tail);
	ok = fwrite(header, sizeof(header), 1, file) == 1 &&
	     fseeko(file, (off_t)l->end, SEEK_SET) == 0 && fwrite(tail, bytes, 1, file) == 1;
	free(tail);
	return fclose(file) == 0 && ok;
}

int main(int argc, char **argv)
{
	struct notes notes = { 0 };
	struct mfd_error err;
	struct layout layout;
	size_t segments;
	bool ok;

	if (argc != 3)
		return 64;
	segments = strtoul(argv[2], NULL, 10);
	layout_init(&layout, (uint64_t)sysconf(_SC_PAGESIZE));
	ok = lay_out(&layout, segments, &err) && make_notes(&notes, layout.page_bytes, &err);
	if (!ok)
		fprintf(stderr, "make_core: %s\n", err.text);
	else if (!write_file(argv[1], &layout, &notes))
		fprintf(stderr, "make_core: %s: %s\n", argv[1], strerror(errno));
	else
		printf("headers %zu\nthreads %d\nprstatus 0x%08zx\nprpsinfo 0x%08zx\n",
		       segments + 1, THREADS, sizeof(struct elf_prstatus),
		       sizeof(struct elf_prpsinfo));
	notes_free(&notes);
	layout_free(&layout);
	return ok ? 0 : 1;
}
