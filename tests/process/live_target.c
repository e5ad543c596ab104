/* SPDX-License-Identifier: MIT */
/*
 * A program that changes its memory all the time and can be checked in a core file, whatever
 * the moment: every page it owns says what it should hold.
 *
 *	live_target MIB MB/S [churn]     until it is killed; says "ready" first
 *	live_target check CORE           exit status 0 when the core is of one moment
 *
 * One thread writes to pages of the large block, in an order of its own, at that rate.  Each
 * write is a number that grows, in the page and, behind it, in the journal: a ring of the last
 * writes.  So in a core of one moment each page holds the number that the table says (written
 * before or after the page, at most one write is under way), and its body is the function of
 * that number.
 *
 * churn: other threads map, unmap, move, discard, fork and start threads.  They keep a list of
 * what they have: slots with an address, a size and a seed, each marked while it is being
 * changed.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core_file.h"

#define PAGE 4096u
#define WORDS (PAGE / sizeof(uint64_t))
#define SLOTS 64u
#define MAGIC UINT64_C(0x6d66642d6c697665)

/* What a churning thread has mapped. */
struct slot {
	_Atomic uint64_t version; /* odd while it is being changed */
	uint64_t address, pages;
	uint64_t seed; /* page i holds what fill() makes of seed + i; 0: all zero */
	uint64_t zero_from, zero_to; /* pages that were discarded */
};

/* Found in the core by its magic number: in a mapping of its own. */
struct root {
	uint64_t magic[2];
	uint64_t block, pages; /* the large block */
	uint64_t table; /* uint64_t[pages]: the number that each page holds */
	_Atomic uint64_t writing; /* 1 + the page that is being written to; 0: none */
	_Atomic uint64_t writes;
	struct slot slot[SLOTS];
};

/* What a page holds that was written to with @number. */
static void fill(uint64_t *page, uint64_t number)
{
	for (unsigned i = 0; i < WORDS; i++)
		page[i] = number * UINT64_C(0x9e3779b97f4a7c15) + i;
}

static bool holds(const uint64_t *page, uint64_t number)
{
	for (unsigned i = 0; i < WORDS; i++) {
		if (page[i] != (number ? number * UINT64_C(0x9e3779b97f4a7c15) + i : 0))
			return false;
	}
	return true;
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* ---- The program. ---- */

static struct root *root;

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(1);
	return p;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void write_page(uint64_t page, uint64_t number)
{
	uint64_t *const table = (uint64_t *)(uintptr_t)root->table;

	atomic_store(&root->writing, page + 1);
	table[page] = number;
	fill((uint64_t *)(uintptr_t)root->block + page * WORDS, number);
	atomic_store(&root->writing, 0);
	atomic_fetch_add(&root->writes, 1);
}

/* For ever: @rate bytes per second, in steps of a millisecond. */
static void write_at_rate(uint64_t rate)
{
	const uint64_t began = now_ns();
	uint64_t seed = 1, written = 0, number = root->pages;

	for (;;) {
		const uint64_t due =
			(uint64_t)((double)(now_ns() - began) / 1e9 * (double)rate) / PAGE;

		for (; written < due; written++)
			write_page(next_random(&seed) % root->pages, ++number);
		usleep(1000);
	}
}

static void fill_slot(struct slot *s, uint64_t seed)
{
	s->seed = seed;
	for (uint64_t i = 0; seed && i < s->pages; i++)
		fill((uint64_t *)(uintptr_t)s->address + i * WORDS, seed + i);
}

static void map_slot(struct slot *s, uint64_t *seed)
{
	s->pages = 1 + next_random(seed) % 64;
	s->address = (uintptr_t)map(s->pages * PAGE);
	s->zero_from = s->zero_to = 0;
	fill_slot(s, next_random(seed) % 4 ? next_random(seed) | 1 : 0);
}

static void unmap_slot(struct slot *s)
{
	munmap((void *)(uintptr_t)s->address, s->pages * PAGE);
	s->address = s->pages = 0;
}

/* To where something else was a moment ago, or will be soon. */
static void move_slot(struct slot *s)
{
	void *const to = map(s->pages * PAGE);

	if (mremap((void *)(uintptr_t)s->address, s->pages * PAGE, s->pages * PAGE,
		   MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		exit(1);
	s->address = (uintptr_t)to;
}

static void discard_slot(struct slot *s, uint64_t *seed)
{
	s->zero_from = next_random(seed) % s->pages;
	s->zero_to = s->zero_from + next_random(seed) % (s->pages - s->zero_from) + 1;
	fill_slot(s, s->seed);
	madvise((void *)(uintptr_t)(s->address + s->zero_from * PAGE),
		(s->zero_to - s->zero_from) * PAGE, MADV_DONTNEED);
}

static void change_slot(struct slot *s, uint64_t *seed)
{
	atomic_fetch_add(&s->version, 1);
	switch (s->pages ? next_random(seed) % 5 : 4) {
	case 0: unmap_slot(s); break;
	case 1: move_slot(s); break;
	case 2: discard_slot(s, seed); break;
	case 3:
		s->zero_from = s->zero_to = 0;
		fill_slot(s, next_random(seed) | 1);
		break;
	default:
		if (s->pages)
			unmap_slot(s);
		map_slot(s, seed);
	}
	atomic_fetch_add(&s->version, 1);
}

/* Two of them, each with half of the slots. */
static void *churn(void *half)
{
	uint64_t seed = (uintptr_t)half;

	for (;;) {
		change_slot(
			&root->slot[next_random(&seed) % (SLOTS / 2) * 2 + (uintptr_t)half % 2],
			&seed);
		usleep(200);
	}
	return NULL;
}

static void *short_life(void *nothing)
{
	char page[PAGE];

	memset(page, 1, sizeof(page));
	__asm__ volatile("" : : "r"(page) : "memory");
	return nothing;
}

/* Processes and threads that come and go. */
static void *breed(void *nothing)
{
	pthread_t thread;
	pid_t pid;

	for (;;) {
		pid = fork();
		if (pid == 0)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		if (!pthread_create(&thread, NULL, short_life, NULL))
			pthread_join(thread, NULL);
		usleep(2000);
	}
	return nothing;
}

static int run(uint64_t mib, uint64_t rate, bool with_churn)
{
	pthread_t thread;

	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	root = map((sizeof(*root) + PAGE - 1) / PAGE * PAGE);
	root->pages = (mib << 20) / PAGE;
	root->block = (uintptr_t)map(root->pages * PAGE);
	root->table = (uintptr_t)map(root->pages * sizeof(uint64_t));
	for (uint64_t i = 0; i < root->pages; i++)
		write_page(i, i + 1);
	if (with_churn && (pthread_create(&thread, NULL, churn, (void *)2) ||
			   pthread_create(&thread, NULL, churn, (void *)3) ||
			   pthread_create(&thread, NULL, breed, NULL)))
		return 1;
	root->magic[0] = MAGIC;
	root->magic[1] = ~MAGIC;
	printf("ready\n");
	fflush(stdout);
	write_at_rate(rate);
	return 0;
}

/* ---- The check. ---- */

static struct core_file core;

static unsigned check_block(const struct root *r)
{
	const uint64_t *table = core_file_at(&core, r->table, r->pages * sizeof(uint64_t));
	unsigned wrong = 0;

	if (!table)
		return 1;
	for (uint64_t i = 0; i < r->pages; i++) {
		const uint64_t *page = core_file_at(&core, r->block + i * PAGE, PAGE);

		if (i + 1 == r->writing || (page && holds(page, table[i])))
			continue;
		if (wrong++ < 5)
			fprintf(stderr,
				"page %" PRIu64 " of the block does not hold %" PRIu64 "\n", i,
				table[i]);
	}
	return wrong;
}

static unsigned check_slot(const struct slot *s)
{
	unsigned wrong = 0;

	for (uint64_t i = 0; s->version % 2 == 0 && i < s->pages; i++) {
		const uint64_t *page = core_file_at(&core, s->address + i * PAGE, PAGE);
		const bool zero = !s->seed || (i >= s->zero_from && i < s->zero_to);

		if (page && holds(page, zero ? 0 : s->seed + i))
			continue;
		if (wrong++ < 5)
			fprintf(stderr, "%" PRIx64 ", page %" PRIu64 " of %" PRIu64 ": %s\n",
				s->address, i, s->pages,
				page ? "wrong content" : "not in the core");
	}
	return wrong;
}

static int check(const char *path)
{
	const struct root *r;
	unsigned wrong, whole = 0;

	if (!core_file_open(&core, path))
		return 1;
	r = core_file_find(&core, MAGIC, sizeof(*r));
	if (!r)
		return 1;
	wrong = check_block(r);
	for (unsigned i = 0; i < SLOTS; i++) {
		wrong += check_slot(&r->slot[i]);
		whole += r->slot[i].pages && r->slot[i].version % 2 == 0;
	}
	printf("%" PRIu64 " pages, %" PRIu64 " writes, %u mappings checked: %u wrong\n", r->pages,
	       r->writes, whole, wrong);
	return wrong != 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "check"))
		return check(argv[2]);
	if (argc < 3)
		return 64;
	return run(strtoull(argv[1], NULL, 10), strtoull(argv[2], NULL, 10) * 1000000u, argc > 3);
}
