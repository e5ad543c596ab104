/* SPDX-License-Identifier: MIT */
/*
 * A program that writes to a file all the time, and a check whether a copy of that file is of one
 * moment.
 *
 *	file_writer FILE MIB MB/S mmap|write     until it is killed; says "ready" first
 *	file_writer check IMAGE                  exit status 0 when it is of one moment
 *
 * The file: a page with the header, a table with a number for each page of the rest, and these
 * pages, each of which holds what follows from its number; 0 is a hole.  A page is announced in the
 * header before its number and its content change, and that is taken back behind them, so at any
 * moment all pages but the one that is announced agree with the table.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define WORDS (PAGE / sizeof(uint64_t))
#define MAGIC UINT64_C(0x6d66642d66696c65)

struct header {
	uint64_t magic, pages;   /* those behind the table */
	uint64_t writing;        /* 1 + the page that is announced; 0: none */
	uint64_t writes;
};

static int file;
static uint8_t *mapped;          /* NULL: written to by write(2) */
static struct header header;

static uint64_t table_at(uint64_t page)
{
	return PAGE + page * sizeof(uint64_t);
}

static uint64_t page_at(uint64_t pages, uint64_t page)
{
	return PAGE + (pages * sizeof(uint64_t) + PAGE - 1) / PAGE * PAGE + page * PAGE;
}

static void fill(uint64_t *page, uint64_t number)
{
	for (unsigned i = 0; i < WORDS; i++)
		page[i] = number ? number * UINT64_C(0x9e3779b97f4a7c15) + i : 0;
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void put(uint64_t at, const void *bytes, size_t size)
{
	if (mapped != NULL)
		memcpy(mapped + at, bytes, size);
	else if (pwrite(file, bytes, size, (off_t)at) != (ssize_t)size)
		exit(1);
	/* In this order in memory too. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void write_page(uint64_t page, uint64_t number)
{
	uint64_t content[WORDS];

	header.writing = page + 1;
	put(0, &header, sizeof(header));
	put(table_at(page), &number, sizeof(number));
	fill(content, number);
	if (number != 0)
		put(page_at(header.pages, page), content, PAGE);
	else if (fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   (off_t)page_at(header.pages, page), PAGE) != 0)
		exit(1);
	header.writing = 0;
	header.writes++;
	put(0, &header, sizeof(header));
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int run(const char *path, uint64_t mib, uint64_t rate, bool by_mmap)
{
	uint64_t seed = 1, written = 0, began, due;
	off_t size;

	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	header = (struct header){ .magic = MAGIC, .pages = (mib << 20) / PAGE };
	size = (off_t)page_at(header.pages, header.pages);
	file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (file < 0 || ftruncate(file, size) != 0)
		return perror(path), 1;
	if (by_mmap) {
		mapped = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
		if (mapped == MAP_FAILED)
			return perror(path), 1;
	}
	for (uint64_t i = 0; i < header.pages; i++)
		write_page(i, i % 4 != 0 ? i + 1 : 0);
	printf("ready\n");
	fflush(stdout);
	for (began = now_ns();; usleep(1000)) {
		due = (uint64_t)((double)(now_ns() - began) / 1e9 * (double)rate) / PAGE;
		for (; written < due; written++)
			write_page(next_random(&seed) % header.pages,
				   written % 16 != 0 ? header.pages + written : 0);
	}
	return 0;
}

static int check(const char *path)
{
	const int fd = open(path, O_RDONLY);
	uint64_t number, want[WORDS], wrong = 0;
	const struct header *h;
	const uint8_t *image;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < (off_t)PAGE)
		return fprintf(stderr, "%s: no image\n", path), 1;
	image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (image == MAP_FAILED)
		return perror(path), 1;
	h = (const struct header *)(const void *)image;
	if (h->magic != MAGIC || (uint64_t)st.st_size < page_at(h->pages, h->pages))
		return fprintf(stderr, "%s: not of a writer, or too short\n", path), 1;
	for (uint64_t i = 0; i < h->pages; i++) {
		memcpy(&number, image + table_at(i), sizeof(number));
		fill(want, number);
		if (i + 1 == h->writing || !memcmp(image + page_at(h->pages, i), want, PAGE))
			continue;
		if (wrong++ < 5)
			fprintf(stderr, "page %" PRIu64 " does not hold %" PRIu64 "\n", i, number);
	}
	printf("%" PRIu64 " pages, %" PRIu64 " writes: %" PRIu64 " wrong\n", h->pages, h->writes,
	       wrong);
	return wrong != 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "check"))
		return check(argv[2]);
	if (argc != 5 || (strcmp(argv[4], "mmap") && strcmp(argv[4], "write")))
		return 64;
	return run(argv[1], strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10) * 1000000u,
		   !strcmp(argv[4], "mmap"));
}
