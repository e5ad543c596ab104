/* SPDX-License-Identifier: MIT */
/*
 * A directory of one test's own under $TMPDIR or /tmp, and small deeds in it.  All paths are
 * made of it, so that removing it removes everything.
 */
#ifndef MFD_TESTS_UNIT_SCRATCH_H
#define MFD_TESTS_UNIT_SCRATCH_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scratch {
	char dir[PATH_MAX / 2];
	char path[PATH_MAX]; /* of scratch_at()'s last call */
};

static inline int scratch_new(struct scratch *s)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(s->dir, sizeof(s->dir), "%s/mfd-test-XXXXXX",
		 tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
	return mkdtemp(s->dir) == NULL ? -1 : 0;
}

static inline int scratch_remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static inline int scratch_free(struct scratch *s)
{
	return nftw(s->dir, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* DIR/NAME; valid until the next call. */
static inline const char *scratch_at(struct scratch *s, const char *name)
{
	snprintf(s->path, sizeof(s->path), "%s/%s", s->dir, name);
	return s->path;
}

/* Write @size bytes to @path, which is created or replaced with @mode; false on any error. */
static inline bool scratch_put(const char *path, const void *bytes, size_t size, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && write(fd, bytes, size) == (ssize_t)size && fchmod(fd, mode) == 0;

	return close(fd) == 0 && ok;
}

/* Does @path hold exactly these bytes? */
static inline bool scratch_holds(const char *path, const void *bytes, size_t size)
{
	uint8_t *found = malloc(size + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t done = 0;
	ssize_t n = 1;
	bool same;

	while (fd >= 0 && found != NULL && n > 0 && done <= size) {
		n = read(fd, found + done, size + 1 - done);
		done += n > 0 ? (size_t)n : 0;
	}
	same = fd >= 0 && found != NULL && done == size && memcmp(found, bytes, size) == 0;
	if (fd >= 0)
		close(fd);
	free(found);
	return same;
}

/* How many entries @path has, those with a dot too. */
static inline unsigned scratch_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	unsigned count = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	if (dir != NULL)
		closedir(dir);
	return count;
}

/* Bytes that differ from page to page and are never zero; the same for the same place. */
static inline void scratch_fill(uint8_t *bytes, size_t size, uint64_t offset)
{
	uint64_t at;

	for (at = offset; at < offset + size; at++)
		bytes[at - offset] = (uint8_t)(1 + (at * 131 + at / 4096 * 17) % 255);
}

/*
 * Tests that can't run here say why; a program that left one out ends with 77, which is not
 * "passed". (Needs cmocka.h before this file.)
 */
static unsigned scratch_skips;

#define SCRATCH_SKIP(...) \
	do { \
		scratch_skips++; \
		print_message(__VA_ARGS__); \
		skip(); \
	} while (0)

static inline int scratch_result(int failed)
{
	return failed != 0 ? 1 : scratch_skips != 0 ? 77 : 0;
}

#endif
