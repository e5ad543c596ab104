/* SPDX-License-Identifier: MIT */
/*
 * Trackers and changes on a forked child that does what it is told to a window of its memory.
 * The test keeps a copy of the window as a receiver would: only what is said to have changed is
 * read again.  After each step the copy has to equal the child's memory.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/kernel.h"
#include "core/batch.h"
#include "process/changes.h"
#include "process/maps.h"
#include "process/memory.h"
#include "process/tracker.h"
#include "common/testing.h"

/* Of the window, in pages. */
#define WINDOW 4096u
#define HALF (WINDOW / 2)

enum order {
	WRITE, /* @count pages from @page on, with @value */
	READ,
	DISCARD, /* MADV_DONTNEED */
	FREE_AND_REUSE, /* discarded, and written with the same value */
	UNMAP,
	MAP, /* new private memory, untouched */
	MAP_SHARE, /* new shared memory, untouched */
	MOVE, /* mremap(2) to page @value */
	FORK, /* a child of its own writes the pages, and so does the process afterwards */
	SHARE_AND_WRITE, /* a child of its own writes to shared pages */
	WRITE_BY_CALL, /* read(2) into them: the kernel writes */
	HUGE, /* MADV_HUGEPAGE */
	PROTECT, /* mprotect(2): read only, and back */
	QUIT,
};

struct command {
	enum order order;
	uint32_t page, count, value;
};

/* ---- The child. ---- */

static uint8_t *at(uint8_t *window, uint32_t page)
{
	return window + (size_t)page * PAGE_BYTES;
}

static void fill(uint8_t *window, const struct command *c, uint32_t value)
{
	for (uint32_t i = 0; i < c->count; i++)
		memset(at(window, c->page + i) + 100, (int)(value + i), 3);
}

static void map(uint8_t *to, size_t bytes, int flags)
{
	if (mmap(to, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
	    to)
		_exit(3);
}

static void write_in_a_child(uint8_t *window, const struct command *c)
{
	const pid_t pid = fork();

	if (pid == 0) {
		fill(window, c, c->value + 1);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void write_by_call(uint8_t *window, const struct command *c)
{
	const int fd = open("/dev/urandom", O_RDONLY);

	if (read(fd, at(window, c->page), (size_t)c->count * PAGE_BYTES) < 0)
		_exit(4);
	close(fd);
}

static void move(uint8_t *window, const struct command *c)
{
	const size_t bytes = (size_t)c->count * PAGE_BYTES;

	if (mremap(at(window, c->page), bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
		   at(window, c->value)) == MAP_FAILED)
		_exit(5);
}

static void obey(uint8_t *window, const struct command *c)
{
	uint8_t *const p = at(window, c->page);
	const size_t bytes = (size_t)c->count * PAGE_BYTES;

	switch (c->order) {
	case WRITE: fill(window, c, c->value); break;
	case READ:
		for (uint32_t i = 0; i < c->count; i++)
			(void)*(volatile uint8_t *)at(window, c->page + i);
		break;
	case DISCARD: madvise(p, bytes, MADV_DONTNEED); break;
	case FREE_AND_REUSE:
		madvise(p, bytes, MADV_DONTNEED);
		fill(window, c, c->value);
		break;
	case UNMAP: munmap(p, bytes); break;
	case MAP: map(p, bytes, MAP_PRIVATE); break;
	case MAP_SHARE: map(p, bytes, MAP_SHARED); break;
	case MOVE: move(window, c); break;
	case FORK:
		write_in_a_child(window, c);
		fill(window, c, c->value);
		break;
	case SHARE_AND_WRITE: write_in_a_child(window, c); break;
	case WRITE_BY_CALL: write_by_call(window, c); break;
	case HUGE: madvise(p, bytes, MADV_HUGEPAGE); break;
	case PROTECT:
		mprotect(p, bytes, PROT_READ);
		mprotect(p, bytes, PROT_READ | PROT_WRITE);
		break;
	case QUIT: _exit(0);
	}
}

static void serve(int fd, uint8_t *window)
{
	struct command c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	map(window, (size_t)WINDOW * PAGE_BYTES, MAP_PRIVATE);
	while (read(fd, &c, sizeof(c)) == sizeof(c)) {
		obey(window, &c);
		if (write(fd, "", 1) != 1)
			break;
	}
	_exit(0);
}

/* ---- The test's side. ---- */

struct scene {
	uint8_t *window; /* an address that is free here and the window there */
	pid_t pid;
	int fd;
	struct memory memory;
	int pagemap;
	struct maps maps;
	struct changes changes;
	uint8_t *copy, *now;
	bool arm; /* before each collection; otherwise only at first */
	uint64_t sent; /* pages read for the copy in the last round */
};

static void order(struct scene *s, enum order what, uint32_t page, uint32_t count, uint32_t value)
{
	const struct command c = { what, page, count, value };
	char done;

	assert_int_equal(write(s->fd, &c, sizeof(c)), sizeof(c));
	assert_int_equal(read(s->fd, &done, 1), 1);
}

static bool read_image(void *scene, uint64_t offset, uint8_t *buffer, size_t bytes,
		       struct mfd_error *err)
{
	struct scene *s = scene;
	uint64_t unreadable;

	return memory_read(&s->memory, (uintptr_t)s->window + offset, buffer, bytes, &unreadable,
			   err);
}

/* A changes_find_fn: what is in the page tables, for shared memory what can be read. */
static bool find(const struct changes_area *area, uint64_t from, uint64_t end,
		 uint64_t *ret_first, uint64_t *ret_end, struct mfd_error *err)
{
	struct scene *s = area->opaque;
	uint64_t entry[WINDOW], i = 0, n = (end - from) / PAGE_BYTES;

	(void)err;
	*ret_first = from;
	*ret_end = end;
	if (!area->own)
		return true;
	assert_int_equal(io_pread(s->pagemap, entry, n * sizeof(*entry),
				  from / PAGE_BYTES * sizeof(*entry)),
			 n * sizeof(*entry));
	while (i < n && !(entry[i] >> 62))
		i++;
	*ret_first = from + i * PAGE_BYTES;
	while (i < n && entry[i] >> 62)
		i++;
	*ret_end = from + i * PAGE_BYTES;
	return true;
}

/* What of mapping @i is in the window; an empty area if nothing is. */
static struct changes_area area_of(struct scene *s, size_t i)
{
	const uint64_t base = (uintptr_t)s->window, limit = base + (uint64_t)WINDOW * PAGE_BYTES;
	const struct mapping *m = &s->maps.mapping[i];
	struct changes_area area = {
		.start = m->start < base ? base : m->start,
		.end = m->end > limit ? limit : m->end,
		.own = mapping_is_private_anonymous(m),
		.find = find,
		.opaque = s,
	};

	area.first = (area.start - base) / PAGE_BYTES;
	return area;
}

static void collect(struct scene *s)
{
	struct mfd_error err = { .text = "" };

	/* The child stands still: it waits for an order. */
	if (s->arm && !changes_arm(&s->changes, s->pid, NULL, NULL, &err))
		fail_msg("%s", err.text);
	maps_free(&s->maps);
	if (!maps_read(s->pid, MAPS_PLAIN, &s->maps, &err) || !changes_begin(&s->changes, &err))
		fail_msg("%s", err.text);
	for (size_t i = 0; i < s->maps.count; i++) {
		const struct changes_area area = area_of(s, i);

		if (area.start < area.end && !changes_collect(&s->changes, &area, &err))
			fail_msg("%s", err.text);
	}
	if (!changes_end(&s->changes, &err))
		fail_msg("%s", err.text);
}

/* Send what is dirty: a round. */
static void send_dirty(struct scene *s)
{
	struct mfd_error err = { .text = "" };
	uint64_t i, n;

	s->sent = 0;
	for (i = 0; pageset_next(&s->changes.dirty, WINDOW, &i, &n); i += n) {
		for (uint64_t p = i; p < i + n; p++) {
			uint8_t *page = s->copy + p * PAGE_BYTES;

			if (!pageset_has(&s->changes.held, p)) {
				memset(page, 0, PAGE_BYTES);
			} else if (!read_image(s, p * PAGE_BYTES, page, PAGE_BYTES, &err)) {
				fail_msg("%s", err.text);
			} else {
				s->sent++;
				changes_note(&s->changes, p, 1, page);
			}
		}
	}
	pageset_remove(&s->changes.dirty, 0, WINDOW);
}

static void expect_zero(const struct scene *s, uint64_t first, uint64_t end, const char *when)
{
	for (uint64_t i = first; i < end; i++) {
		if (s->copy[i * PAGE_BYTES] ||
		    memcmp(s->copy + i * PAGE_BYTES, s->copy + i * PAGE_BYTES + 1,
			   PAGE_BYTES - 1))
			fail_msg("%s: page %u is not zero", when, (unsigned)i);
	}
}

/* Pages that do not exist are not read: that would make them exist. */
static void expect_equal(struct scene *s, const char *when)
{
	struct mfd_error err = { .text = "" };
	uint64_t at, first, end;

	for (size_t i = 0; i < s->maps.count; i++) {
		const struct changes_area area = area_of(s, i);

		for (at = area.start; at < area.end; at = end) {
			const uint64_t page = (at - (uintptr_t)s->window) / PAGE_BYTES;

			find(&area, at, area.end, &first, &end, &err);
			expect_zero(s, page, page + (first - at) / PAGE_BYTES, when);
			if (!read_image(s, first - (uintptr_t)s->window, s->now, end - first,
					&err))
				fail_msg("%s", err.text);
			for (uint64_t a = first; a < end; a += PAGE_BYTES) {
				if (memcmp(s->now + (a - first),
					   s->copy + (a - (uintptr_t)s->window), PAGE_BYTES))
					fail_msg("%s: page %u differs", when,
						 (unsigned)((a - (uintptr_t)s->window) /
							    PAGE_BYTES));
			}
		}
	}
}

/* Collect, send, and the copy is what the child has, which does nothing now. */
static void expect_round(struct scene *s, const char *when)
{
	collect(s);
	send_dirty(s);
	expect_equal(s, when);
}

/* A userfaultfd of the child, which the kernel's interface wants to be made there. */
static int uffd_of(struct scene *s, bool *ret_refused)
{
	char byte, room[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = room,
			      .msg_controllen = sizeof(room) };
	struct cmsghdr *c;
	int fd = -1;

	assert_int_equal(recvmsg(s->fd, &msg, MSG_CMSG_CLOEXEC), 1);
	c = CMSG_FIRSTHDR(&msg);
	*ret_refused = !c;
	if (c)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void give_uffd(int to)
{
	const int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	char byte = 0, room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		msg.msg_control = room;
		msg.msg_controllen = sizeof(room);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	if (sendmsg(to, &msg, 0) != 1)
		_exit(6);
	close(fd);
}

enum kind { BY_UFFD, BY_SOFT_DIRTY, BY_HASHES };

static struct tracker *make_tracker(struct scene *s, enum kind kind, int uffd)
{
	struct tracker *t = NULL;
	struct mfd_error err = { .text = "" };

	if (kind == BY_UFFD && !tracker_uffd_new(s->pid, uffd, &t, &err)) {
		if (err.status != MFD_UNAVAILABLE)
			fail_msg("%s", err.text);
		return NULL;
	}
	if (kind == BY_SOFT_DIRTY && !tracker_soft_dirty_new(s->pid, &t, &err)) {
		if (err.status != MFD_UNAVAILABLE)
			fail_msg("%s", err.text);
		return NULL;
	}
	return t;
}

static void stop(struct scene *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	close(s->fd);
	close(s->pagemap);
	memory_close(&s->memory);
	maps_free(&s->maps);
	changes_destroy(&s->changes);
	munmap(s->window, (size_t)WINDOW * PAGE_BYTES);
	free(s->copy);
	free(s->now);
}

static void start_child(struct scene *s)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		close(pair[0]);
		give_uffd(pair[1]);
		serve(pair[1], s->window);
	}
	close(pair[1]);
	s->fd = pair[0];
}

/* False, after a word why, where the kernel has no such tracker. */
static bool start(struct scene *s, enum kind kind)
{
	struct tracker *tracker;
	struct mfd_error err;
	bool refused;
	char path[48];
	int uffd;

	*s = (struct scene){ .pagemap = -1 };
	s->window = mmap(NULL, (size_t)WINDOW * PAGE_BYTES, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(s->window != MAP_FAILED);
	start_child(s);
	uffd = uffd_of(s, &refused);
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)s->pid);
	s->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	s->copy = calloc(WINDOW, PAGE_BYTES);
	s->now = calloc(WINDOW, PAGE_BYTES);
	if (s->pagemap < 0 || !s->copy || !s->now || !memory_open(s->pid, &s->memory, &err))
		fail_msg("no child: %s", strerror(errno));
	order(s, READ, 0, 1, 0); /* it is there, and has its window */
	tracker = make_tracker(s, kind, uffd);
	if (kind != BY_UFFD)
		io_close(uffd);
	if (kind != BY_HASHES && !tracker) {
		print_message("skipped: this kernel has no %s\n",
			      kind == BY_UFFD ? "asynchronous userfaultfd" : "soft-dirty bits");
		stop(s);
		return false;
	}
	if (!changes_init(&s->changes, tracker, read_image, s, &err) ||
	    !changes_arm(&s->changes, s->pid, NULL, NULL, &err))
		fail_msg("%s", err.text);
	return true;
}

/* Each kind in turn. */
static void with_each(void (*test)(struct scene *s))
{
	struct scene s;
	unsigned ran = 0;

	for (enum kind kind = BY_UFFD; kind <= BY_HASHES; kind++) {
		for (unsigned arm = 0; arm < 2; arm++) {
			if (!start(&s, kind))
				break;
			s.arm = arm;
			test(&s);
			stop(&s);
			ran++;
		}
	}
	assert_true(ran > 0);
}

/* ---- Tests. ---- */

static void write_and_look(struct scene *s)
{
	order(s, WRITE, 0, 500, 1);
	expect_round(s, "first round");
	assert_in_range(s->sent, 500, 501);
	expect_round(s, "nothing happened");
	assert_int_equal(s->sent, 0);
	order(s, WRITE, 7, 1, 2);
	order(s, WRITE, 300, 3, 2);
	order(s, WRITE, 600, 5, 2);
	expect_round(s, "some pages");
	assert_int_equal(s->sent, 9);
	expect_round(s, "nothing happened again");
	assert_int_equal(s->sent, 0);
}

static void only_what_was_written_to_is_sent_again(void **state)
{
	(void)state;
	with_each(write_and_look);
}

static void write_after_look(struct scene *s)
{
	order(s, WRITE, 0, 100, 1);
	expect_round(s, "first round");
	order(s, WRITE, 10, 1, 2);
	collect(s);
	order(s, WRITE, 10, 1, 3);
	order(s, WRITE, 20, 1, 3);
	send_dirty(s);
	expect_round(s, "written between the look and the read");
	order(s, WRITE, 30, 1, 9);
	collect(s);
	order(s, WRITE, 30, 1, 8);
	send_dirty(s);
	order(s, WRITE, 30, 1, 9);
	expect_round(s, "there and back");
}

static void what_is_written_after_the_look_is_found_by_the_next(void **state)
{
	(void)state;
	with_each(write_after_look);
}

static void discard(struct scene *s)
{
	order(s, WRITE, 0, 100, 1);
	expect_round(s, "first round");
	order(s, DISCARD, 10, 20, 0);
	expect_round(s, "discarded");
	assert_int_equal(s->sent, 0);
	order(s, WRITE, 15, 1, 4);
	expect_round(s, "and written");
	order(s, DISCARD, 40, 20, 0);
	order(s, READ, 45, 5, 0);
	expect_round(s, "discarded and read: zero pages");
	order(s, FREE_AND_REUSE, 60, 5, 7);
	expect_round(s, "discarded and written");
	order(s, DISCARD, 0, 100, 0);
	expect_round(s, "all of it");
}

static void discarded_pages_become_zero(void **state)
{
	(void)state;
	with_each(discard);
}

static void map_again(struct scene *s)
{
	order(s, WRITE, 0, 400, 1);
	expect_round(s, "first round");
	order(s, UNMAP, 100, 100, 0);
	expect_round(s, "unmapped");
	order(s, MAP, 120, 30, 0);
	expect_round(s, "new and untouched where there was data");
	order(s, WRITE, 125, 3, 2);
	expect_round(s, "new and written");
	order(s, MAP, 200, 50, 0);
	order(s, WRITE, 210, 3, 2);
	expect_round(s, "replaced in one step");
	order(s, UNMAP, 300, 50, 0);
	order(s, MAP, 300, 50, 0);
	order(s, WRITE, 300, 50, 1);
	expect_round(s, "the same content in new memory");
}

static void new_mappings_count_as_changed(void **state)
{
	(void)state;
	with_each(map_again);
}

static void move_pages(struct scene *s)
{
	order(s, WRITE, 0, 64, 1);
	order(s, WRITE, 1000, 64, 50);
	expect_round(s, "first round");
	order(s, MOVE, 0, 64, 1000);
	expect_round(s, "moved over others");
	order(s, WRITE, 1003, 1, 9);
	expect_round(s, "and written");
	order(s, MAP, 0, 64, 0);
	order(s, WRITE, 0, 32, 3);
	expect_round(s, "mapped again where it was");
	order(s, MOVE, 1000, 64, 2000);
	order(s, WRITE, 2005, 1, 4);
	order(s, MOVE, 2000, 64, 1000);
	expect_round(s, "there and back");
}

static void moved_mappings_count_as_changed(void **state)
{
	(void)state;
	with_each(move_pages);
}

static void fork_and_write(struct scene *s)
{
	order(s, WRITE, 0, 200, 1);
	expect_round(s, "first round");
	order(s, FORK, 50, 5, 8);
	expect_round(s, "after a fork");
	assert_true(s->sent >= 5);
	order(s, SHARE_AND_WRITE, 100, 5, 9);
	expect_round(s, "a child writes to its own copy");
	order(s, WRITE, 100, 2, 9);
	expect_round(s, "and then the process");
	assert_int_equal(s->sent, 2);
}

static void a_fork_hides_nothing(void **state)
{
	(void)state;
	with_each(fork_and_write);
}

static void write_from_elsewhere(struct scene *s)
{
	order(s, MAP_SHARE, HALF, 100, 0);
	order(s, WRITE, HALF, 50, 1);
	expect_round(s, "first round");
	order(s, SHARE_AND_WRITE, HALF + 10, 4, 9);
	expect_round(s, "another process wrote");
	assert_int_equal(s->sent, 4);
	order(s, WRITE, HALF + 60, 4, 9);
	expect_round(s, "and this one");
	order(s, WRITE, HALF + 70, 1, 5);
	collect(s);
	order(s, WRITE, HALF + 70, 1, 6);
	send_dirty(s);
	order(s, WRITE, HALF + 70, 1, 5);
	expect_round(s, "there and back, sent in between");
}

static void shared_memory_that_others_write_to_is_compared(void **state)
{
	(void)state;
	with_each(write_from_elsewhere);
}

static void write_in_the_kernel(struct scene *s)
{
	order(s, WRITE, 0, 200, 1);
	expect_round(s, "first round");
	order(s, WRITE_BY_CALL, 20, 3, 0);
	expect_round(s, "read(2) into old pages");
	assert_int_equal(s->sent, 3);
	order(s, WRITE_BY_CALL, 400, 3, 0);
	expect_round(s, "and into new ones");
	order(s, PROTECT, 0, 100, 0);
	order(s, WRITE, 30, 1, 4);
	expect_round(s, "after mprotect(2) and back");
}

static void what_the_kernel_writes_is_found(void **state)
{
	(void)state;
	with_each(write_in_the_kernel);
}

static void huge_pages(struct scene *s)
{
	order(s, HUGE, 0, WINDOW, 0);
	order(s, WRITE, 0, WINDOW, 1);
	expect_round(s, "first round");
	order(s, WRITE, 700, 1, 2);
	expect_round(s, "one page of a huge one");
	assert_in_range(s->sent, 1, 512);
	order(s, DISCARD, 1000, 10, 0);
	order(s, DISCARD, 2048, 512, 0);
	expect_round(s, "a part of one, and a whole one");
	order(s, WRITE, 2050, 1, 3);
	expect_round(s, "a new one");
}

static void huge_pages_are_pages(void **state)
{
	(void)state;
	with_each(huge_pages);
}

static void random_orders(struct scene *s)
{
	static const enum order choice[] = { WRITE,	WRITE,		 WRITE,		READ,
					     DISCARD,	FREE_AND_REUSE,	 MAP,		FORK,
					     MAP_SHARE, SHARE_AND_WRITE, WRITE_BY_CALL, PROTECT };
	uint64_t seed = 42;

	for (unsigned round = 0; round < testing_sweep(25, 1000); round++) {
		for (unsigned i = 0; i < 12; i++) {
			const uint32_t page = (uint32_t)(testing_random(&seed) % (WINDOW - 300));
			const uint32_t count =
				1 + (uint32_t)(testing_random(&seed) % (i % 4 ? 10 : 300));

			order(s, choice[testing_random(&seed) % TESTING_COUNT(choice)], page,
			      count, (uint32_t)(testing_random(&seed) % 3));
			if (i == 5)
				collect(s);
			if (i == 9)
				send_dirty(s);
		}
		expect_round(s, "random orders");
	}
}

static void random_orders_leave_equal_copies(void **state)
{
	(void)state;
	with_each(random_orders);
}

static void a_dead_process_is_an_error(void **state)
{
	struct scene s;
	struct mfd_error err = { .text = "" };
	struct tracker *t;
	uint8_t page[PAGE_BYTES];

	(void)state;
	assert_true(start(&s, BY_HASHES));
	kill(s.pid, SIGKILL);
	waitpid(s.pid, NULL, 0);
	assert_false(read_image(&s, 0, page, sizeof(page), &err));
	assert_int_equal(err.status, MFD_NO_INPUT);
	assert_false(tracker_soft_dirty_new(s.pid, &t, &err));
	s.pid = fork();
	if (s.pid == 0)
		_exit(0);
	stop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_was_written_to_is_sent_again),
		cmocka_unit_test(what_is_written_after_the_look_is_found_by_the_next),
		cmocka_unit_test(discarded_pages_become_zero),
		cmocka_unit_test(new_mappings_count_as_changed),
		cmocka_unit_test(moved_mappings_count_as_changed),
		cmocka_unit_test(a_fork_hides_nothing),
		cmocka_unit_test(shared_memory_that_others_write_to_is_compared),
		cmocka_unit_test(what_the_kernel_writes_is_found),
		cmocka_unit_test(huge_pages_are_pages),
		cmocka_unit_test(random_orders_leave_equal_copies),
		cmocka_unit_test(a_dead_process_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
