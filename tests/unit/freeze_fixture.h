/* SPDX-License-Identifier: MIT */
/*
 * A process to freeze (tests/process/freeze_target.c), started and ended by a test, and what /proc
 * says about it.  Needs cmocka.h before this file.
 */
#ifndef MFD_TESTS_UNIT_FREEZE_FIXTURE_H
#define MFD_TESTS_UNIT_FREEZE_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "process/freeze.h"
#include "process/freeze_scene.h"

/* Longer than anything here takes on the slowest machine. */
#define FREEZE_PATIENCE_NS (30 * CLOCK_NS_PER_S)

struct freeze_subject {
	pid_t pid;
	struct freeze_scene *scene;
};

/* Wait for a condition, looking every 200 us; fails the test when it does not come. */
#define FREEZE_UNTIL(condition)                                             \
	do {                                                                \
		const uint64_t until_ns_ = clock_ns() + FREEZE_PATIENCE_NS; \
		while (!(condition)) {                                      \
			assert_true(clock_ns() < until_ns_);                \
			usleep(200);                                        \
		}                                                           \
	} while (0)

static inline void freeze_exec(int scene, const char *mode, const char *argument)
{
	const char *dir = getenv("MFD_TEST_DIR");
	char path[4096];

	snprintf(path, sizeof(path), "%s/freeze_target", dir ? dir : ".");
	if (scene != FREEZE_SCENE_FD) {
		dup2(scene, FREEZE_SCENE_FD);
		close(scene);
	}
	execl(path, "freeze_target", mode, argument, NULL);
	perror(path);
	_exit(127);
}

static inline struct freeze_scene *freeze_scene_new(int *ret_fd)
{
	struct freeze_scene *scene;

	*ret_fd = memfd_create("scene", 0);
	assert_true(*ret_fd >= 0);
	assert_int_equal(ftruncate(*ret_fd, sizeof(*scene)), 0);
	scene = mmap(NULL, sizeof(*scene), PROT_READ | PROT_WRITE, MAP_SHARED, *ret_fd, 0);
	assert_true(scene != MAP_FAILED);
	return scene;
}

/* Start one and wait until it is where it is wanted. */
static inline struct freeze_subject freeze_subject_new(const char *mode, const char *argument)
{
	struct freeze_subject s;
	int fd;

	s.scene = freeze_scene_new(&fd);
	s.pid = fork();
	assert_true(s.pid >= 0);
	if (s.pid == 0)
		freeze_exec(fd, mode, argument);
	close(fd);
	FREEZE_UNTIL(s.scene->ready);
	return s;
}

/* It has been told to end: its wait status. */
static inline int freeze_subject_join(struct freeze_subject *s)
{
	const uint64_t until_ns = clock_ns() + FREEZE_PATIENCE_NS;
	int status;

	s->scene->stop = true;
	s->scene->go = true;
	while (waitpid(s->pid, &status, WNOHANG) == 0) {
		if (clock_ns() >= until_ns)
			kill(s->pid, SIGKILL);
		usleep(200);
	}
	munmap(s->scene, sizeof(*s->scene));
	return status;
}

/* The line of /proc/PID/status that begins with @key and a colon, without them; "" if there is
 * none. */
static inline const char *freeze_status(pid_t pid, const char *key, char value[static 256])
{
	char path[64], line[256];
	const char *text;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	value[0] = '\0';
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, strlen(key)) != 0 || line[strlen(key)] != ':')
			continue;
		text = line + strlen(key) + 1;
		text += strspn(text, "\t ");
		snprintf(value, 256, "%.*s", (int)strcspn(text, "\n"), text);
	}
	if (f)
		fclose(f);
	return value;
}

/* R, S, D, T (job control), t (traced), Z. */
static inline char freeze_state(pid_t pid)
{
	char value[256];

	return freeze_status(pid, "State", value)[0];
}

static inline bool freeze_is_traced(pid_t pid)
{
	char value[256];

	return atoi(freeze_status(pid, "TracerPid", value)) != 0;
}

/* A child of the test's that ends with it. */
static inline pid_t freeze_fork(void)
{
	const pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* The guardian that @parent has forked; 0: none. */
static inline pid_t freeze_find_guardian(pid_t parent)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	char value[256];
	pid_t pid, found = 0;

	while (proc && !found && (entry = readdir(proc))) {
		pid = (pid_t)atoi(entry->d_name);
		if (pid > 0 && !strcmp(freeze_status(pid, "Name", value), "mfd-guardian") &&
		    atoi(freeze_status(pid, "PPid", value)) == parent)
			found = pid;
	}
	if (proc)
		closedir(proc);
	return found;
}

/* Does counter[@which] go on? */
#define FREEZE_ASSERT_RUNS(s, which)                                    \
	do {                                                            \
		const uint64_t before_ = (s)->scene->counter[which];    \
		FREEZE_UNTIL((s)->scene->counter[which] > before_ + 2); \
	} while (0)

/* A deed that has to succeed, with its error in the test's output if it does not. */
#define FREEZE_MUST(deed, err)                                                         \
	do {                                                                           \
		if (!(deed))                                                           \
			fail_msg("%s: %d %s", #deed, (int)(err)->status, (err)->text); \
	} while (0)

static inline struct freezer *freeze_freezer_new(pid_t pid, uint64_t max_freeze_ms)
{
	struct freezer *f = NULL;
	struct mfd_error err;

	FREEZE_MUST(freezer_new(pid, max_freeze_ms, &f, &err), &err);
	return f;
}

#endif
