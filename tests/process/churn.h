/* SPDX-License-Identifier: MIT */
/*
 * What the churning program (churn_target.c) says of its own memory, page by page, and whoever
 * checks a core of it believes (churn_check.c).
 *
 * Each thread has a stripe of address space to itself, and a memfd.  What it is about to do it
 * says first: which pages of the stripe and of the file it touches.  Those are not checked; for
 * all others the table holds at any moment.
 */
#ifndef MFD_TESTS_PROCESS_CHURN_H
#define MFD_TESTS_PROCESS_CHURN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHURN_MAGIC UINT64_C(0x6d66642d63687572)
#define CHURN_PAGE 4096u
#define CHURN_WORDS (CHURN_PAGE / sizeof(uint64_t))
#define CHURN_STRIPES 3u
#define CHURN_PAGES 2048u /* of a stripe: four huge pages */

enum churn_kind {
	CHURN_ABSENT,  /* not mapped */
	CHURN_PRIVATE, /* without a file */
	CHURN_SHARED,  /* the file's page */
	CHURN_COPIED,  /* a private mapping of the file; the file's page until it is written to */
};

/* All zero, or what churn_fill() makes of the number. */
struct churn_page {
	uint8_t kind;
	bool own;       /* of kind COPIED: it has been written to */
	uint16_t file;  /* which page of the file */
	bool writable;  /* as mprotect(2) has it */
	uint64_t number; /* what it holds; of kind SHARED, and COPIED and not own: see the file */
};

struct churn_stripe {
	uint64_t address;
	volatile uint32_t busy, busy_end;   /* pages of the stripe, */
	volatile uint32_t other, other_end; /* others of them, */
	volatile uint32_t file, file_end;   /* and of the file that are being changed */
	uint64_t done;                      /* deeds */
	struct churn_page page[CHURN_PAGES];
	uint64_t number[CHURN_PAGES];       /* that the file's pages hold */
};

struct churn_root {
	uint64_t magic[2]; /* core_file_find() */
	struct churn_stripe stripe[CHURN_STRIPES];
};

static inline uint64_t churn_word(uint64_t number, size_t i)
{
	return number ? number * UINT64_C(0x9e3779b97f4a7c15) + i : 0;
}

static inline void churn_fill(uint64_t *page, uint64_t number)
{
	for (size_t i = 0; i < CHURN_WORDS; i++)
		page[i] = churn_word(number, i);
}

/* The first word of a page that holds something else; -1: none. */
static inline int churn_differs(const uint64_t *page, uint64_t number)
{
	for (size_t i = 0; i < CHURN_WORDS; i++)
		if (page[i] != churn_word(number, i))
			return (int)i;
	return -1;
}

#endif
