/* SPDX-License-Identifier: MIT */
/*
 * A core file that is looked into by the program it is of: its memory by address, and the struct
 * that begins with that program's magic numbers.
 */
#ifndef MFD_TESTS_PROCESS_CORE_FILE_H
#define MFD_TESTS_PROCESS_CORE_FILE_H

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CORE_FILE_PAGE 4096u

struct core_file {
	const uint8_t *bytes;
	uint64_t size;
	const Elf64_Phdr *segment;
	uint64_t segments;
};

/* False, after a word why, when it is none. */
static inline bool core_file_open(struct core_file *c, const char *path)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const Elf64_Ehdr *e;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		perror(path);
		return false;
	}
	c->size = (uint64_t)st.st_size;
	c->bytes = mmap(NULL, c->size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	e = (const Elf64_Ehdr *)(const void *)c->bytes;
	if (c->bytes == MAP_FAILED || c->size < sizeof(*e) || memcmp(e, ELFMAG, SELFMAG)) {
		fprintf(stderr, "%s: no core file\n", path);
		return false;
	}
	c->segment = (const Elf64_Phdr *)(const void *)(c->bytes + e->e_phoff);
	c->segments = e->e_phnum;
	/* More than 16 bits can say stand in the first section header. */
	if (e->e_phnum == PN_XNUM)
		c->segments =
			((const Elf64_Shdr *)(const void *)(c->bytes + e->e_shoff))->sh_info;
	return true;
}

/* The segment with @address in it; NULL: none.  They stand in the order of addresses. */
static inline const Elf64_Phdr *core_file_segment(const struct core_file *c, uint64_t address)
{
	uint64_t low = 1, high = c->segments, middle; /* the first one is of notes */

	while (low < high) {
		middle = low + (high - low) / 2;
		if (c->segment[middle].p_vaddr + c->segment[middle].p_memsz <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < c->segments && c->segment[low].p_vaddr <= address ? &c->segment[low] : NULL;
}

/* What the core has of [@address, @address + @bytes); NULL when it lacks some of it. */
static inline const void *core_file_at(const struct core_file *c, uint64_t address,
				       uint64_t bytes)
{
	const Elf64_Phdr *p = core_file_segment(c, address);

	if (!p || address - p->p_vaddr >= p->p_filesz ||
	    bytes > p->p_filesz - (address - p->p_vaddr))
		return NULL;
	return c->bytes + p->p_offset + (address - p->p_vaddr);
}

/* Memory of @bytes that begins, on a page, with @magic and ~@magic; NULL: there is none. */
static inline const void *core_file_find(const struct core_file *c, uint64_t magic, uint64_t bytes)
{
	for (uint64_t i = 1; i < c->segments; i++) {
		const Elf64_Phdr *p = &c->segment[i];

		for (uint64_t at = 0; at + bytes <= p->p_filesz; at += CORE_FILE_PAGE) {
			const uint64_t *word =
				(const void *)(c->bytes + p->p_offset + at);

			if (word[0] == magic && word[1] == ~magic)
				return word;
		}
	}
	fprintf(stderr, "the core lacks what it is to be checked by\n");
	return NULL;
}

#endif
