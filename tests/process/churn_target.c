/* SPDX-License-Identifier: MIT */
/*
 * A program that maps, unmaps, replaces, moves, grows, protects, discards and writes its memory as
 * fast as it is told to, forks, and starts threads, and says at any moment what each page should
 * hold (churn.h).
 *
 *	churn_target [PAUSE-US [SEED]]     until it is killed; says "ready" first
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "churn.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define HUGE_PAGES 512u

/* What a debugger is asked for. */
struct churn_record {
	char text[32];
	uint64_t number;
	struct churn_record *next;
};

struct churn_record global_record = { .text = "a global", .number = 4711 };

static struct churn_root *root;
static unsigned pause_us = 100;

/* A thread's own. */
struct churner {
	struct churn_stripe *s;
	uint64_t seed, number;
	int file, scratch; /* memfds: its stripe's, and one page to read(2) from */
};

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint8_t *address_of(const struct churner *c, uint32_t page)
{
	return (uint8_t *)(uintptr_t)c->s->address + (size_t)page * CHURN_PAGE;
}

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static void must(bool done, const char *what)
{
	if (!done)
		die(what);
}

/* ---- Saying what is being changed. ---- */

static void begin(struct churner *c, uint32_t page, uint32_t count)
{
	c->s->busy_end = 0;
	c->s->busy = page;
	c->s->busy_end = page + count;
	__sync_synchronize();
}

static void begin_other(struct churner *c, uint32_t page, uint32_t count)
{
	c->s->other_end = 0;
	c->s->other = page;
	c->s->other_end = page + count;
	__sync_synchronize();
}

static void begin_file(struct churner *c, uint32_t page, uint32_t count)
{
	c->s->file_end = 0;
	c->s->file = page;
	c->s->file_end = page + count;
	__sync_synchronize();
}

static void end(struct churner *c)
{
	__sync_synchronize();
	c->s->busy_end = c->s->other_end = c->s->file_end = 0;
	c->s->done++;
}

/* ---- Deeds.  Each on the pages [page, page + count) of the stripe. ---- */

static void set(struct churner *c, uint32_t page, uint32_t count, enum churn_kind kind,
		uint32_t file)
{
	for (uint32_t i = 0; i < count; i++)
		c->s->page[page + i] = (struct churn_page){
			.kind = (uint8_t)kind, .file = (uint16_t)(file + i), .writable = true
		};
}

/* In one step, over whatever is there. */
static void replace(struct churner *c, uint32_t page, uint32_t count, enum churn_kind kind)
{
	const uint32_t file = (uint32_t)(next_random(&c->seed) % (CHURN_PAGES - count));
	const int how = kind == CHURN_PRIVATE  ? MAP_PRIVATE | MAP_ANONYMOUS
			: kind == CHURN_SHARED ? MAP_SHARED
					       : MAP_PRIVATE;

	must(mmap(address_of(c, page), (size_t)count * CHURN_PAGE, PROT_READ | PROT_WRITE,
		  how | MAP_FIXED, kind == CHURN_PRIVATE ? -1 : c->file,
		  (off_t)file * CHURN_PAGE) != MAP_FAILED,
	     "mmap");
	set(c, page, count, kind, file);
}

static void unmap(struct churner *c, uint32_t page, uint32_t count)
{
	must(!munmap(address_of(c, page), (size_t)count * CHURN_PAGE), "munmap");
	set(c, page, count, CHURN_ABSENT, 0);
}

static void protect(struct churner *c, uint32_t page, uint32_t count, int access)
{
	for (uint32_t i = page; i < page + count; i++) {
		if (c->s->page[i].kind == CHURN_ABSENT)
			continue;
		must(!mprotect(address_of(c, i), CHURN_PAGE, access), "mprotect");
		c->s->page[i].writable = access & PROT_WRITE;
	}
}

/* To @number, as the kernel or the program does it. */
static void write_one(struct churner *c, uint32_t page, uint64_t number, bool by_call)
{
	struct churn_page *p = &c->s->page[page];
	uint64_t *const at = (uint64_t *)(void *)address_of(c, page);
	uint64_t content[CHURN_WORDS];

	if (by_call) {
		churn_fill(content, number);
		must(pwrite(c->scratch, content, CHURN_PAGE, 0) == CHURN_PAGE, "pwrite");
		must(pread(c->scratch, at, CHURN_PAGE, 0) == CHURN_PAGE, "pread");
	} else {
		churn_fill(at, number);
	}
	if (p->kind == CHURN_SHARED) {
		c->s->number[p->file] = number;
		return;
	}
	p->number = number;
	p->own = true;
}

static void write_some(struct churner *c, uint32_t page, uint32_t count, bool by_call)
{
	protect(c, page, count, PROT_READ | PROT_WRITE);
	for (uint32_t i = page; i < page + count; i++) {
		if (c->s->page[i].kind == CHURN_ABSENT)
			continue;
		begin_file(c, c->s->page[i].file, 1);
		write_one(c, i, ++c->number, by_call);
		__sync_synchronize();
		c->s->file_end = 0;
	}
}

/* A child writes to all of them: to copies of its own, but for the shared ones. */
static void write_by_child(struct churner *c, uint32_t page, uint32_t count)
{
	pid_t child;

	protect(c, page, count, PROT_READ | PROT_WRITE);
	begin_file(c, 0, CHURN_PAGES);
	child = fork();
	for (uint32_t i = page; i < page + count; i++) {
		struct churn_page *p = &c->s->page[i];

		c->number++;
		if (child == 0 && p->kind != CHURN_ABSENT)
			churn_fill((uint64_t *)(void *)address_of(c, i), c->number);
		if (child > 0 && p->kind == CHURN_SHARED)
			c->s->number[p->file] = c->number;
	}
	if (child == 0)
		_exit(0);
	must(child > 0 && waitpid(child, NULL, 0) == child, "fork");
}

/* Private pages are zero then, copied ones the file's again; shared ones stay. */
static void discard(struct churner *c, uint32_t page, uint32_t count)
{
	for (uint32_t i = page; i < page + count; i++) {
		if (c->s->page[i].kind == CHURN_ABSENT)
			continue;
		must(!madvise(address_of(c, i), CHURN_PAGE, MADV_DONTNEED), "madvise");
		c->s->page[i].own = false;
		c->s->page[i].number = 0;
	}
}

static void punch(struct churner *c, uint32_t page, uint32_t count)
{
	begin_file(c, page, count);
	must(!fallocate(c->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)page * CHURN_PAGE, (off_t)count * CHURN_PAGE),
	     "fallocate");
	memset(&c->s->number[page], 0, count * sizeof(c->s->number[0]));
}

static bool is_mapped(const struct churner *c, uint32_t page)
{
	unsigned char there;

	return !mincore(address_of(c, page), CHURN_PAGE, &there);
}

/*
 * Where it goes is unmapped first, whatever becomes of it.  Of several mappings some may be moved
 * and some not.
 */
static void move(struct churner *c, uint32_t page, uint32_t count)
{
	const uint32_t to = (page + CHURN_PAGES / 2) % CHURN_PAGES;
	void *const target = address_of(c, to);

	if (to + count > CHURN_PAGES)
		return;
	begin_other(c, to, count);
	unmap(c, to, count);
	(void)!mremap(address_of(c, page), (size_t)count * CHURN_PAGE, (size_t)count * CHURN_PAGE,
		      MREMAP_MAYMOVE | MREMAP_FIXED, target);
	for (uint32_t i = 0; i < count; i++) {
		if (!is_mapped(c, to + i))
			continue;
		c->s->page[to + i] = c->s->page[page + i];
		set(c, page + i, 1, CHURN_ABSENT, 0);
	}
}

/* In place, over what was unmapped for it. */
static void grow(struct churner *c, uint32_t page, uint32_t count)
{
	const struct churn_page *first = &c->s->page[page];

	if (count < 2 || first->kind != CHURN_PRIVATE)
		return;
	unmap(c, page + 1, count - 1);
	if (mremap(address_of(c, page), CHURN_PAGE, (size_t)count * CHURN_PAGE, 0) == MAP_FAILED)
		return;
	set(c, page + 1, count - 1, CHURN_PRIVATE, 0);
	for (uint32_t i = page; i < page + count; i++)
		c->s->page[i].writable = first->writable;
}

/* Contents stay; the kernel may refuse. */
static void advise(struct churner *c, uint32_t page)
{
	static const int advice[] = { MADV_HUGEPAGE, MADV_COLLAPSE, MADV_NOHUGEPAGE, MADV_COLD };
	const uint32_t first = page / HUGE_PAGES * HUGE_PAGES;

	(void)!madvise(address_of(c, first), (size_t)HUGE_PAGES * CHURN_PAGE,
		       advice[next_random(&c->seed) % (sizeof(advice) / sizeof(advice[0]))]);
}

static void do_one(struct churner *c, uint32_t page, uint32_t count)
{
	begin(c, page, count);
	switch (next_random(&c->seed) % 20) {
	case 0: unmap(c, page, count); break;
	case 1: case 2: case 3: replace(c, page, count, CHURN_PRIVATE); break;
	case 4: replace(c, page, count, CHURN_SHARED); break;
	case 5: replace(c, page, count, CHURN_COPIED); break;
	case 6: case 7: discard(c, page, count); break;
	case 8: move(c, page, count); break;
	case 9: grow(c, page, count); break;
	case 10: protect(c, page, count, PROT_READ); break;
	case 11: protect(c, page, count, PROT_NONE); break;
	case 12: write_by_child(c, page, count); break;
	case 13: punch(c, page, count); break;
	case 14: advise(c, page); break;
	case 15: write_some(c, page, count, true); break;
	default: write_some(c, page, count, false); break;
	}
	end(c);
}

static void *churn(void *churner)
{
	struct churner *c = churner;

	for (;;) {
		/* Many small ones, and some that are large. */
		const uint32_t most = next_random(&c->seed) % 16 ? 12 : 600;
		const uint32_t count = 1 + (uint32_t)(next_random(&c->seed) % most);

		do_one(c, (uint32_t)(next_random(&c->seed) % (CHURN_PAGES - count)), count);
		if (pause_us)
			usleep(pause_us);
	}
	return NULL;
}

/* ---- Threads that come and go. ---- */

static void *short_life(void *nothing)
{
	volatile char page[CHURN_PAGE];

	memset((char *)(uintptr_t)page, 1, sizeof(page));
	return nothing;
}

static void *breed(void *nothing)
{
	pthread_t thread;

	for (;;) {
		if (!pthread_create(&thread, NULL, short_life, NULL))
			pthread_join(thread, NULL);
		usleep(1000);
	}
	return nothing;
}

static __attribute__((noinline)) void wait_here(void)
{
	for (;;)
		pause();
}

/* ---- Setting up. ---- */

static void start(struct churner *c, struct churn_stripe *s, uint64_t seed)
{
	const size_t align = (size_t)HUGE_PAGES * CHURN_PAGE;
	const size_t bytes = (size_t)CHURN_PAGES * CHURN_PAGE;
	uintptr_t at = (uintptr_t)mmap(NULL, bytes + align, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;

	must(at != (uintptr_t)MAP_FAILED, "mmap");
	*c = (struct churner){ .s = s, .seed = seed, .number = seed << 32 };
	s->address = (at + align - 1) / align * align;
	c->file = memfd_create("churn", MFD_CLOEXEC);
	c->scratch = memfd_create("scratch", MFD_CLOEXEC);
	must(c->file >= 0 && c->scratch >= 0 && !ftruncate(c->file, (off_t)bytes), "memfd");
	set(c, 0, CHURN_PAGES, CHURN_PRIVATE, 0);
	write_some(c, 0, CHURN_PAGES, false);
	must(!pthread_create(&thread, NULL, churn, c), "pthread_create");
}

int main(int argc, char **argv)
{
	const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)getpid();
	struct churn_record *heap = calloc(1, sizeof(*heap));
	static struct churner churner[CHURN_STRIPES];
	pthread_t thread;

	pause_us = argc > 1 ? (unsigned)atoi(argv[1]) : pause_us;
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	root = mmap(NULL, sizeof(*root), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	must(root != MAP_FAILED && heap, "memory");
	strcpy(heap->text, "on the heap");
	heap->number = 42;
	global_record.next = heap;
	for (unsigned i = 0; i < CHURN_STRIPES; i++)
		start(&churner[i], &root->stripe[i], seed * CHURN_STRIPES + i + 1);
	must(!pthread_create(&thread, NULL, breed, NULL), "pthread_create");
	root->magic[1] = ~CHURN_MAGIC;
	root->magic[0] = CHURN_MAGIC;
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	wait_here();
	return 0;
}
