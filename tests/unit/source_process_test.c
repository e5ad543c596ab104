/* SPDX-License-Identifier: MIT */
/*
 * The process source without a session: walked by one thread, read by several.  The process is
 * tests/process/core_target, which no sanitizer has touched.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "source/source.h"
#include "unit/scratch.h"

#define READERS 4
#define PACKET_PAGES 64u
#define HUGE_WORDS ((UINT64_C(16) << 20) / 8)

/* The program to take, in its state `huge`. */
struct program {
	pid_t pid;
	int in;                  /* its standard input */
	uint64_t address;        /* of its 16 MiB */
};

static struct mfd_error err;
static struct event stop;

static void program_start(struct program *p)
{
	const char *dir = getenv("MFD_TEST_DIR");
	int in[2], out[2], pid;
	char path[512];
	FILE *says;

	if (dir == NULL)
		SCRATCH_SKIP("skipped: MFD_TEST_DIR does not say where core_target is\n");
	snprintf(path, sizeof(path), "%s/core_target", dir);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	p->pid = fork();
	if (p->pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execl(path, path, "huge", (char *)NULL);
		_exit(127);
	}
	assert_true(p->pid > 0);
	close(in[0]);
	close(out[1]);
	p->in = in[1];
	says = fdopen(out[0], "r");
	assert_non_null(says);
	assert_int_equal(fscanf(says, "ready %d\nhuge %" SCNx64, &pid, &p->address), 2);
	assert_int_equal(pid, p->pid);
	fclose(says);
}

/* It goes on and ends as it should. */
static void program_end(struct program *p)
{
	int status;

	assert_int_equal(write(p->in, "q", 1), 1);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(p->in);
}

static void quiet(void *opaque, const struct mfd_notice *notice)
{
	(void)opaque;
	assert_int_equal(notice->kind, MFD_NOTICE_DETAIL);
}

static struct source *take(const struct program *p)
{
	const struct source_process_options options = { .pid = p->pid, .notice = quiet };
	struct source *s;

	if (!source_process_new(&options, &s, &err)) {
		if (err.status == MFD_NO_PERMISSION)
			SCRATCH_SKIP("skipped: %s\n", err.text);
		fail_msg("%s", err.text);
	}
	return s;
}

static char state_of(const struct program *p)
{
	char path[64], state = '?';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)p->pid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*d (core_target) %c", &state), 1);
	fclose(file);
	return state;
}

/* ---- Reading it all. ---- */

struct reader {
	pthread_t thread;
	struct source *source;
	const struct batch *batch;
	size_t first, count;     /* every READERS-th from `first` on */
	uint8_t *image;
	bool ok;
};

static void *reader_main(void *reader)
{
	struct reader *r = reader;
	uint8_t *pages = aligned_alloc(PAGE_BYTES, PACKET_PAGES * PAGE_BYTES);
	struct mfd_error reason;

	r->ok = pages != NULL;
	for (size_t i = r->first; r->ok && i < r->count; i += READERS) {
		const struct batch *b = &r->batch[i];

		r->ok = b->zero_run || r->source->ops->read(r->source, b, pages, &reason);
		for (uint32_t p = 0; r->ok && !b->zero_run && p < b->count; p++)
			if (bitmap_test(b->data, p))
				memcpy(r->image + (b->first + p) * PAGE_BYTES,
				       pages + (size_t)p * PAGE_BYTES, PAGE_BYTES);
	}
	free(pages);
	return NULL;
}

/* The whole image, in memory that is the caller's; it ends at *ret_pages pages. */
static uint8_t *read_all(struct source *s, uint64_t *ret_pages)
{
	struct batch *batch = NULL, one;
	struct reader reader[READERS];
	size_t count = 0;
	uint8_t *image;
	bool end;

	for (*ret_pages = 0;; *ret_pages = one.first + one.count) {
		memset(&one, 0, sizeof(one));
		assert_true(s->ops->next(s, PACKET_PAGES, NULL, &stop, &one, &end, &err));
		if (end)
			break;
		assert_int_equal(one.first, *ret_pages);
		batch = reallocarray(batch, count + 1, sizeof(*batch));
		assert_non_null(batch);
		batch[count++] = one;
	}
	image = mmap(NULL, *ret_pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(image, MAP_FAILED);
	for (size_t i = 0; i < READERS; i++) {
		reader[i] = (struct reader){ .source = s, .batch = batch, .first = i,
					     .count = count, .image = image };
		assert_int_equal(pthread_create(&reader[i].thread, NULL, reader_main, &reader[i]),
				 0);
	}
	for (size_t i = 0; i < READERS; i++) {
		pthread_join(reader[i].thread, NULL);
		assert_true(reader[i].ok);
	}
	free(batch);
	return image;
}

/* Where in the image @address is, by its program headers. */
static const uint8_t *at_address(const uint8_t *image, uint64_t size, uint64_t address)
{
	Elf64_Ehdr h;
	Elf64_Phdr p;

	memcpy(&h, image, sizeof(h));
	assert_memory_equal(h.e_ident, ELFMAG, SELFMAG);
	assert_true(h.e_phoff + h.e_phnum * sizeof(p) <= size);
	for (unsigned i = 0; i < h.e_phnum; i++) {
		memcpy(&p, image + h.e_phoff + i * sizeof(p), sizeof(p));
		if (p.p_type == PT_LOAD && address >= p.p_vaddr &&
		    address - p.p_vaddr < p.p_filesz)
			return image + p.p_offset + (address - p.p_vaddr);
	}
	return NULL;
}

static void several_threads_read_what_one_walks(void **state)
{
	struct mfd_stats stats = { .downtime_ns = 1 };
	uint64_t pages, size = 0, word;
	const uint8_t *at;
	struct program p;
	struct source *s;
	uint8_t *image;
	bool again;

	(void)state;
	program_start(&p);
	s = take(&p);
	assert_true(s->info.size == UINT64_MAX);
	assert_true(s->info.rereadable);
	s->ops->report(s, &stats);
	assert_true(stats.downtime_ns == MFD_UNKNOWN);
	assert_int_not_equal(state_of(&p), 't');
	image = read_all(s, &pages);
	assert_int_equal(state_of(&p), 't');
	assert_true(s->ops->end_round(s, 0, NULL, &again, &size, &err));
	assert_false(again);
	assert_int_equal(batch_pages_of(size), pages);
	assert_int_not_equal(state_of(&p), 't');
	s->ops->report(s, &stats);
	assert_true(stats.downtime_ns > 0 && stats.downtime_ns != MFD_UNKNOWN);
	at = at_address(image, size, p.address);
	assert_non_null(at);
	for (uint64_t i = 0; i < HUGE_WORDS; i++) {
		memcpy(&word, at + i * 8, 8);
		if (word != i * 3 + 1)
			fail_msg("word %" PRIu64 " is %" PRIu64, i, word);
	}
	munmap(image, pages * PAGE_BYTES);
	s->ops->free(s);
	program_end(&p);
}

static void a_source_that_is_freed_lets_the_process_go(void **state)
{
	struct batch batch = { 0 };
	struct program p;
	struct source *s;
	bool end;

	(void)state;
	program_start(&p);
	s = take(&p);
	assert_true(s->ops->next(s, PACKET_PAGES, NULL, &stop, &batch, &end, &err));
	assert_int_equal(state_of(&p), 't');
	s->ops->free(s);
	assert_int_not_equal(state_of(&p), 't');
	program_end(&p);
}

static void a_process_that_is_killed_is_no_input(void **state)
{
	uint64_t pages, size;
	struct program p;
	struct source *s;
	uint8_t *image;
	bool again;

	(void)state;
	program_start(&p);
	s = take(&p);
	image = read_all(s, &pages);
	munmap(image, pages * PAGE_BYTES);
	assert_int_equal(kill(p.pid, SIGKILL), 0);
	assert_int_equal(waitpid(p.pid, NULL, 0), p.pid);
	assert_false(s->ops->end_round(s, 0, NULL, &again, &size, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	s->ops->free(s);
	close(p.in);
}

static void a_process_that_ends_before_it_is_frozen_is_no_input(void **state)
{
	struct batch batch = { 0 };
	struct program p;
	struct source *s;
	bool end;

	(void)state;
	program_start(&p);
	s = take(&p);
	program_end(&p);
	assert_false(s->ops->next(s, PACKET_PAGES, NULL, &stop, &batch, &end, &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	s->ops->free(s);
}

static int open_stop(void **state)
{
	(void)state;
	return event_init(&stop, &err) ? 0 : -1;
}

static int close_stop(void **state)
{
	(void)state;
	event_destroy(&stop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(several_threads_read_what_one_walks),
		cmocka_unit_test(a_source_that_is_freed_lets_the_process_go),
		cmocka_unit_test(a_process_that_is_killed_is_no_input),
		cmocka_unit_test(a_process_that_ends_before_it_is_frozen_is_no_input),
	};

	return scratch_result(cmocka_run_group_tests(tests, open_stop, close_stop));
}
