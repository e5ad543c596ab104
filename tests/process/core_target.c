/* SPDX-License-Identifier: MIT */
/*
 * A program to take a core of.  It makes itself ready, says so with its process ID, and stands
 * still until every thread has read a 'q' from standard input.  Exit status 0: nothing was
 * strange about that; 3: a read(2) was disturbed.
 *
 *	core_target threads          8 threads, each deep in functions of its own number
 *	core_target untouched        1 GiB that nobody has written to, but for a page in its middle
 *	core_target huge             16 MiB of transparent huge pages, as far as the kernel has them
 *	core_target hugetlb          8 MiB of the pool's huge pages, the first and the last in use
 *	core_target read             nothing else: it is in read(2)
 *	core_target mappings N       N mappings, each one page that holds its number
 *	core_target odd FILE         shared, private, unreadable, discarded, dumped not at all
 *	core_target uffd             4 pages, of which it has supplied the first by a userfaultfd
 *	core_target leaderless       its first thread has ended
 *	core_target storm            a timer of 200 us, a thread that reads, one that spins
 *	core_target traced           a child, traced by its parent; its ID stands behind "ready"
 *	core_target zombie           a child that has ended; the same
 *
 * Every kind has a global and a block of the heap with known contents.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define PAGE 4096u
#define UNTOUCHED (UINT64_C(1) << 30)
#define HUGE_BYTES (UINT64_C(16) << 20)

/* What a debugger is asked for. */
struct record {
	char text[32];
	uint64_t number;
	struct record *next;
};

struct record global_record = { .text = "a global", .number = 4711 };
uint64_t *untouched, *huge_pages, *shared_words, *unreadable_words, *discarded_words;
uint64_t *excluded_words, *file_words, *many_pages, *supplied_words;

volatile uint64_t ticks;

static pthread_barrier_t ready;

static __attribute__((noinline)) void wait_here(void)
{
	char byte = 0;

	while (byte != 'q')
		if (read(STDIN_FILENO, &byte, 1) != 1)
			_exit(3);
}

static __attribute__((noinline)) uint64_t descend(uint64_t number, unsigned depth)
{
	volatile uint64_t local = number * 100 + depth;

	if (depth > 0)
		return descend(number, depth - 1) + local;
	pthread_barrier_wait(&ready);
	wait_here();
	return local;
}

static void *thread_main(void *number)
{
	return (void *)(uintptr_t)descend((uintptr_t)number, (unsigned)(uintptr_t)number);
}

static void *map(size_t bytes, int flags)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);

	if (at == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return at;
}

static void start_threads(pthread_t threads[static THREADS])
{
	pthread_barrier_init(&ready, NULL, THREADS + 1);
	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, thread_main, (void *)(i + 1)) != 0)
			exit(1);
	pthread_barrier_wait(&ready);
}

static void make_untouched(void)
{
	untouched = map(UNTOUCHED, MAP_PRIVATE | MAP_NORESERVE);
	untouched[UNTOUCHED / 2 / sizeof(*untouched)] = 0x1234567890abcdef;
}

static void make_huge(void)
{
	const uintptr_t align = 2 << 20;
	uintptr_t at = (uintptr_t)map(HUGE_BYTES + align, MAP_PRIVATE);

	huge_pages = (uint64_t *)((at + align - 1) / align * align);
	madvise(huge_pages, HUGE_BYTES, MADV_HUGEPAGE);
	for (uint64_t i = 0; i < HUGE_BYTES / sizeof(*huge_pages); i++)
		huge_pages[i] = i * 3 + 1;
}

/* Exit status 77: the pool has not enough. */
static void make_hugetlb(void)
{
	const size_t bytes = 8 << 20;

	huge_pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1, 0);
	if (huge_pages == MAP_FAILED)
		exit(77);
	huge_pages[0] = 91;
	huge_pages[bytes / sizeof(*huge_pages) - 1] = 92;
}

/* Every second page is of other access, so that none of them are joined. */
static void make_mappings(size_t count)
{
	uint8_t *at = map(count * PAGE, MAP_PRIVATE);

	many_pages = (uint64_t *)at;
	for (size_t i = 0; i < count; i++) {
		*(uint64_t *)(void *)(at + i * PAGE) = i + 1;
		if (i % 2 != 0 && mprotect(at + i * PAGE, PAGE, PROT_READ) != 0)
			exit(1);
	}
}

static void make_odd(const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	shared_words = map(64 * PAGE, MAP_SHARED);
	shared_words[8 * PAGE / 8] = 81;
	unreadable_words = map(4 * PAGE, MAP_PRIVATE);
	unreadable_words[0] = 82;
	if (mprotect(unreadable_words, 4 * PAGE, PROT_NONE) != 0)
		exit(1);
	discarded_words = map(4 * PAGE, MAP_PRIVATE);
	memset(discarded_words, 0xff, 4 * PAGE);
	madvise(discarded_words, 2 * PAGE, MADV_DONTNEED);
	excluded_words = map(4 * PAGE, MAP_PRIVATE);
	excluded_words[0] = 84;
	madvise(excluded_words, 4 * PAGE, MADV_DONTDUMP);
	/* More than the file has: the rest can't be read by anybody. */
	file_words = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (fd < 0 || file_words == MAP_FAILED)
		exit(1);
	file_words[0] = 85;
	close(fd);
}

/* Exit status 77: not permitted. */
static void make_uffd(void)
{
	const size_t bytes = 4 * PAGE;
	struct uffdio_api api = { .api = UFFD_API };
	static uint64_t page[PAGE / 8] = { 86 };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_copy copy = { .src = (uintptr_t)page, .len = PAGE };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	supplied_words = map(bytes, MAP_PRIVATE);
	range.range.start = copy.dst = (uintptr_t)supplied_words;
	range.range.len = bytes;
	if (fd < 0)
		exit(77);
	if (ioctl(fd, UFFDIO_API, &api) != 0 || ioctl(fd, UFFDIO_REGISTER, &range) != 0 ||
	    ioctl(fd, UFFDIO_COPY, &copy) != 0)
		exit(1);
}

/* The one that stays. */
static void *last_thread(void *unused)
{
	(void)unused;
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	wait_here();
	exit(0);
}

static void end_leader(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, last_thread, NULL) != 0)
		exit(1);
	pthread_exit(NULL);
}

static void tick(int signal)
{
	(void)signal;
	ticks++;
}

static void *spin_here(void *nothing)
{
	for (;;)
		__asm__ volatile("");
	return nothing;
}

static void start_storm(void)
{
	struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART };
	const struct itimerval every = { { 0, 200 }, { 0, 200 } };
	pthread_t thread;

	if (pthread_create(&thread, NULL, spin_here, NULL) != 0 ||
	    sigaction(SIGALRM, &action, NULL) != 0 || setitimer(ITIMER_REAL, &every, NULL) != 0)
		exit(1);
}

/* A child in the state that @kind names. */
static pid_t start_child(const char *kind)
{
	const bool traced = strcmp(kind, "traced") == 0;
	pid_t child = fork();
	siginfo_t info;

	if (child == 0) {
		if (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
			raise(SIGSTOP);
		_exit(0);
	}
	if (child < 0 || waitid(P_PID, (id_t)child, &info,
				(traced ? WSTOPPED : WEXITED) | WNOWAIT) != 0)
		exit(1);
	return child;
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "read";
	struct record *heap = calloc(1, sizeof(*heap));
	pthread_t threads[THREADS];
	pid_t process = getpid();

	if (heap == NULL)
		return 1;
	strcpy(heap->text, "on the heap");
	heap->number = 42;
	global_record.next = heap;
	if (strcmp(kind, "threads") == 0)
		start_threads(threads);
	else if (strcmp(kind, "untouched") == 0)
		make_untouched();
	else if (strcmp(kind, "huge") == 0)
		make_huge();
	else if (strcmp(kind, "hugetlb") == 0)
		make_hugetlb();
	else if (strcmp(kind, "mappings") == 0)
		make_mappings((size_t)atoi(argv[2]));
	else if (strcmp(kind, "odd") == 0)
		make_odd(argv[2]);
	else if (strcmp(kind, "uffd") == 0)
		make_uffd();
	else if (strcmp(kind, "leaderless") == 0)
		end_leader();
	else if (strcmp(kind, "storm") == 0)
		start_storm();
	else if (strcmp(kind, "traced") == 0 || strcmp(kind, "zombie") == 0)
		process = start_child(kind);
	printf("ready %d\nhuge %" PRIxPTR "\n", (int)process, (uintptr_t)huge_pages);
	fflush(stdout);
	wait_here();
	for (int i = 0; strcmp(kind, "threads") == 0 && i < THREADS; i++)
		pthread_join(threads[i], NULL);
	if (process != getpid())
		kill(process, SIGKILL);
	return (int)global_record.next->number - 42;
}
