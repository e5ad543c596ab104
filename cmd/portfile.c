/* SPDX-License-Identifier: MIT */
/*
 * The port file.
 */
#include "portfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names to try: others are those of processes that were killed and had our number. */
#define PORTFILE_TRIES 100

/* A temporary file beside @path, with the mode that the umask leaves. */
static int portfile_create(const char *path, char ret_temp[static PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	int fd = -1, size;

	for (unsigned i = 0; i < PORTFILE_TRIES && fd < 0; i++) {
		size = snprintf(ret_temp, PATH_MAX, "%.*s.%s.mfd-%ld-%u", (int)(name - path), path,
				name, (long)getpid(), i);
		if (size >= PATH_MAX) {
			errno = ENAMETOOLONG;
			return -1;
		}
		fd = open(ret_temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd < 0 && errno != EEXIST)
			return -1;
	}
	return fd;
}

static bool portfile_fill(int fd, uint64_t port)
{
	char text[32];
	int size = snprintf(text, sizeof(text), "%" PRIu64 "\n", port);
	ssize_t n = write(fd, text, (size_t)size);

	if (n >= 0 && n < size)
		errno = ENOSPC;
	return n == size;
}

bool portfile_write(struct portfile *p, const char *path, uint64_t port, struct mfd_error *err)
{
	char temp[PATH_MAX];
	struct stat st;
	int fd = portfile_create(path, temp);
	bool ok;
	int e;

	if (fd < 0)
		return error_set_os(err, MFD_CANT_CREATE, errno, "%s", path);
	ok = portfile_fill(fd, port) && !fstat(fd, &st) && !rename(temp, path);
	e = errno;
	close(fd);
	if (!ok) {
		unlink(temp);
		return error_set_os(err, MFD_CANT_CREATE, e, "%s", path);
	}
	*p = (struct portfile){ .path = path, .dev = st.st_dev, .ino = st.st_ino };
	return true;
}

void portfile_directory(const char *path, char ret[static PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	snprintf(ret, PATH_MAX, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
}

void portfile_remove(struct portfile *p)
{
	struct stat st;

	if (p->path && !lstat(p->path, &st) && st.st_dev == p->dev && st.st_ino == p->ino)
		unlink(p->path);
	p->path = NULL;
}
