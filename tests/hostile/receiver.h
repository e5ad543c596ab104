/* SPDX-License-Identifier: MIT */
/*
 * mfd-recv, the real program, as a victim: its memory must stay within what mfd-recv(1) states
 * (MEMORY), no file grows beyond --max-size, which the kernel watches (RLIMIT_FSIZE), and what it
 * leaves is the image or nothing.  Include cmocka.h first.
 */
#ifndef MFD_TESTS_HOSTILE_RECEIVER_H
#define MFD_TESTS_HOSTILE_RECEIVER_H

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "common/raw.h"
#include "unit/scratch.h"

#define RECEIVER_MAX_SIZE "16M"
#define RECEIVER_MAX_BYTES (UINT64_C(16) << 20)
#define RECEIVER_PAGES 32u

struct receiver {
	struct scratch dir;
	char out[PATH_MAX], peak[PATH_MAX];
	pid_t pid;
	uint16_t port;
	struct testing_image image;
	unsigned channels, packet_pages; /* what memory is for */
	unsigned attacks;            /* made by this test */
	struct testing_watchdog watchdog;
};

static inline const char *receiver_directory(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value && *value ? value : otherwise;
}

static inline _Noreturn void receiver_become(const struct receiver *r, const char *port_file)
{
	const struct rlimit limit = { RECEIVER_MAX_BYTES, RECEIVER_MAX_BYTES };
	char peak[PATH_MAX], program[PATH_MAX];

	snprintf(peak, sizeof(peak), "%s/peak", receiver_directory("MFD_TEST_DIR", "build/tests"));
	snprintf(program, sizeof(program), "%s/mfd-recv",
		 receiver_directory("MFD_BIN_DIR", "build"));
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_FSIZE, &limit);
	execl(peak, peak, r->peak, program, "--listen", "127.0.0.1:0", "--port-file", port_file,
	      "--max-size", RECEIVER_MAX_SIZE, "--timeout", "5", "--quiet", r->out, (char *)NULL);
	_exit(127);
}

/* Until it has written its port. */
static inline void receiver_await_port(struct receiver *r, const char *port_file)
{
	unsigned waited = 0, port = 0;
	FILE *f;

	do {
		f = fopen(port_file, "re");
		if (f && fscanf(f, "%u", &port) != 1)
			port = 0;
		if (f)
			fclose(f);
	} while (testing_patience(&waited, port));
	r->port = (uint16_t)port;
}

static inline void receiver_begin(struct receiver *r, const char *name)
{
	char port_file[PATH_MAX];

	r->image = (struct testing_image){
		.seed = 5, .size = RECEIVER_PAGES * PAGE_BYTES, .kind = TESTING_RANDOM, .rounds = 1
	};
	r->channels = 1;
	r->packet_pages = 16;
	assert_int_equal(scratch_new(&r->dir), 0);
	snprintf(r->out, sizeof(r->out), "%s", scratch_at(&r->dir, "out"));
	snprintf(r->peak, sizeof(r->peak), "%s", scratch_at(&r->dir, "peak"));
	snprintf(port_file, sizeof(port_file), "%s", scratch_at(&r->dir, "port"));
	testing_watch(&r->watchdog, name, 60);
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (!r->pid)
		receiver_become(r, port_file);
	receiver_await_port(r, port_file);
}

/* In KiB, as the manual page has it. */
static inline void receiver_check_memory(const struct receiver *r)
{
	const unsigned long packet = r->packet_pages * 4;
	const unsigned long most = 4096 + r->channels * (2 * packet + 512);
	unsigned long peak = 0;
	FILE *f = fopen(r->peak, "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu", &peak), 1);
	fclose(f);
	if (!TESTING_SANITIZED && peak > most)
		fail_msg("%lu KiB were resident, stated are %lu", peak, most);
}

/* It has ended with @status; what is there then is the image, or nothing. */
static inline void receiver_end(struct receiver *r, int status)
{
	uint8_t page[PAGE_BYTES], want[PAGE_BYTES];
	int how, fd;

	assert_int_equal(waitpid(r->pid, &how, 0), r->pid);
	r->pid = 0;
	testing_unwatch(&r->watchdog);
	if (!WIFEXITED(how) || WEXITSTATUS(how) != status)
		fail_msg("ended with %#x instead of status %d", how, status);
	fd = open(r->out, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd >= 0, !status);
	for (uint64_t i = 0; !status && i < RECEIVER_PAGES; i++) {
		testing_content(&r->image, i, 0, want);
		assert_int_equal(pread(fd, page, PAGE_BYTES, (off_t)(i * PAGE_BYTES)), PAGE_BYTES);
		assert_memory_equal(page, want, PAGE_BYTES);
	}
	if (fd >= 0)
		close(fd);
	receiver_check_memory(r);
	/* The peak's file, and the output. */
	assert_int_equal(scratch_entries(r->dir.dir), 1 + !status);
	assert_int_equal(scratch_free(&r->dir), 0);
}

static inline int receiver_setup(void **state)
{
	*state = calloc(1, sizeof(struct receiver));
	return *state ? 0 : -1;
}

static inline int receiver_teardown(void **state)
{
	struct receiver *r = *state;

	if (r->pid > 0) { /* a test that failed has left it running */
		kill(r->pid, SIGKILL);
		waitpid(r->pid, NULL, 0);
		testing_unwatch(&r->watchdog);
		(void)scratch_free(&r->dir);
	}
	print_message("%u attacks\n", r->attacks);
	free(r);
	return 0;
}

#endif
