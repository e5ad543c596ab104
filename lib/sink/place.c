/* SPDX-License-Identifier: MIT */
/*
 * Finding an output's place, and putting a finished file there in one step.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/io.h"
#include "sink/place.h"

#define PLACE_MAX_LINKS 40              /* as many as the kernel follows */
#define PLACE_SUFFIX 6u
#define PLACE_TRIES 100

/* The target of the symlink @at, or NULL with errno; EINVAL: it is none. */
static char *place_read_link(const char *at)
{
	char target[PATH_MAX];
	ssize_t n = readlink(at, target, sizeof(target));
	const char *slash = strrchr(at, '/');
	char *next;

	if (n < 0)
		return NULL;
	if ((size_t)n == sizeof(target)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	target[n] = '\0';
	if (target[0] == '/' || slash == NULL)
		return strdup(target);
	return asprintf(&next, "%.*s%s", (int)(slash - at + 1), at, target) < 0 ? NULL : next;
}

/* The path that @path leads to through symlinks, or NULL with errno. */
static char *place_follow(const char *path)
{
	char *at = strdup(path);
	char *next;
	int links;

	for (links = 0; at != NULL && links < PLACE_MAX_LINKS; links++) {
		next = place_read_link(at);
		if (next == NULL && (errno == EINVAL || errno == ENOENT))
			return at;
		free(at);
		at = next;
	}
	if (at != NULL) {
		free(at);
		errno = ELOOP;
	}
	return NULL;
}

/*
 * May we go where @path leads?  The kernel follows links too here, with rules that following
 * them by hand would miss: root is kept from a stranger's link in /tmp (protected_symlinks).
 */
static bool place_check_links(const char *path, struct mfd_error *err)
{
	int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0 && (errno != ENOENT || path[0] == '\0'))
		return error_set_os(err, MFD_CANT_CREATE, errno, "%s", path);
	io_close(fd);
	return true;
}

/* Fill dir and name from @target, which is cut in two. */
static bool place_open_directory(struct place *p, char *target, struct mfd_error *err)
{
	char *slash = strrchr(target, '/');
	const char *dir = slash == NULL ? "." : slash == target ? "/" : target;

	p->name = strdup(slash == NULL ? target : slash + 1);
	if (p->name == NULL)
		return error_set_os(err, MFD_OS, errno, "%s", p->path);
	if (p->name[0] == '\0')
		return error_set_os(err, MFD_CANT_CREATE, EISDIR, "%s", p->path);
	if (slash != NULL)
		*slash = '\0';
	p->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* One that we may write to but not list still does; only place_sync() will do nothing. */
	if (p->dir < 0 && errno == EACCES)
		p->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return p->dir >= 0 || error_set_os(err, MFD_CANT_CREATE, errno, "%s", p->path);
}

bool place_find(struct place *p, const char *path, struct mfd_error *err)
{
	char *target;
	bool ok;

	*p = (struct place){ .dir = -1 };
	p->path = strdup(path);
	if (p->path == NULL)
		return error_set_os(err, MFD_OS, errno, "%s", path);
	if (!place_check_links(path, err))
		return false;
	target = place_follow(path);
	if (target == NULL)
		return error_set_os(err, errno == ENOMEM ? MFD_OS : MFD_CANT_CREATE, errno, "%s",
				    path);
	ok = place_open_directory(p, target, err);
	free(target);
	if (!ok)
		return false;
	p->existed = fstatat(p->dir, p->name, &p->old, AT_SYMLINK_NOFOLLOW) == 0;
	if (!p->existed && errno != ENOENT)
		return error_set_os(err, MFD_CANT_CREATE, errno, "%s", path);
	return true;
}

/*
 * Room for ".NAME.mfd-XXXXXX", with NAME cut (between two UTF-8 characters) where the file
 * system's names end.
 */
static char *place_temp_name(const struct place *p)
{
	long max = fpathconf(p->dir, _PC_NAME_MAX);
	size_t room = (max > 32 ? (size_t)max : NAME_MAX) - strlen("..mfd-") - PLACE_SUFFIX;
	size_t keep = strlen(p->name);
	char *temp;

	if (keep > room)
		for (keep = room; keep > 0 && ((unsigned char)p->name[keep] & 0xc0) == 0x80;)
			keep--;
	return asprintf(&temp, ".%.*s.mfd-XXXXXX", (int)keep, p->name) < 0 ? NULL : temp;
}

/* mkostemp(3), but in a directory given by its descriptor. */
static int place_create(const struct place *p, char *temp)
{
	uint8_t random[PLACE_SUFFIX];
	char *suffix = temp + strlen(temp) - PLACE_SUFFIX;
	unsigned i, tries;
	int fd = -1;

	for (tries = 0; fd < 0 && tries < PLACE_TRIES; tries++) {
		if (getrandom(random, sizeof(random), 0) != sizeof(random))
			return -1;
		for (i = 0; i < PLACE_SUFFIX; i++)
			suffix[i] = "abcdefghijklmnopqrstuvwxyz234567"[random[i] % 32];
		fd = openat(p->dir, temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			    0600);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	return fd;
}

bool place_temporary(struct place *p, int *ret_fd, struct mfd_error *err)
{
	char *temp = place_temp_name(p);
	int fd;

	if (temp == NULL)
		return error_set_os(err, MFD_OS, ENOMEM, "%s", p->path);
	fd = place_create(p, temp);
	if (fd < 0) {
		free(temp);
		return error_set_os(err, MFD_CANT_CREATE, errno, "%s: no temporary file beside it",
				    p->path);
	}
	p->temp = temp;
	*ret_fd = fd;
	return true;
}

/*
 * Is the locked @fd still what stands under its name?  Whoever had it before may have renamed it.
 */
static bool place_still_there(const struct place *p, const char *name, const struct stat *mine)
{
	struct stat st;

	return fstatat(p->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == mine->st_dev &&
	       st.st_ino == mine->st_ino;
}

/* Nobody else's file, and not under a second name: what is written to it is a secret. */
static bool place_check_partial(const struct place *p, const char *name, const struct stat *st,
				struct mfd_error *err)
{
	if (S_ISREG(st->st_mode) && st->st_uid == geteuid() && st->st_nlink <= 1)
		return true;
	return error_set(err, MFD_CANT_CREATE, "%s: %s is not a file of ours", p->path, name);
}

/* One try; *ret_fd stays -1 when the name got another meaning meanwhile. */
static bool place_lock_partial(const struct place *p, const char *name, int *ret_fd,
			       struct mfd_error *err)
{
	int fd IO_AUTO_CLOSE = openat(p->dir, name,
				      O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_os(err, MFD_CANT_CREATE, errno, "%s: %s", p->path, name);
	if (!place_check_partial(p, name, &st, err))
		return false;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return error_set(err, MFD_TRY_AGAIN,
					 "%s: another receiver is at work on %s", p->path, name);
		return error_set_os(err, MFD_CANT_CREATE, errno, "%s: can't lock %s", p->path,
				    name);
	}
	if (place_still_there(p, name, &st))
		*ret_fd = io_steal(&fd);
	return true;
}

bool place_partial(struct place *p, int *ret_fd, struct mfd_error *err)
{
	unsigned tries;
	char *name;

	if (asprintf(&name, "%s.mfd-partial", p->name) < 0)
		return error_set_os(err, MFD_OS, ENOMEM, "%s", p->path);
	*ret_fd = -1;
	for (tries = 0; *ret_fd < 0 && tries < PLACE_TRIES; tries++) {
		if (place_lock_partial(p, name, ret_fd, err))
			continue;
		free(name);
		return false;
	}
	if (*ret_fd < 0) {
		error_set(err, MFD_TRY_AGAIN, "%s: other receivers are at work on %s", p->path,
			  name);
		free(name);
		return false;
	}
	p->temp = name;
	return true;
}

void place_keep(struct place *p)
{
	free(p->temp);
	p->temp = NULL;
}

/* Not root, or an owner that this user namespace or file system does not know. */
static bool place_not_permitted(int os_errno)
{
	return os_errno == EPERM || os_errno == EINVAL || os_errno == ENOSYS ||
	       os_errno == EOPNOTSUPP;
}

bool place_inherit(const struct place *p, int fd, struct mfd_error *err)
{
	mode_t mode = p->old.st_mode & 07777;

	if (!p->existed)
		return true;
	/*
	 * The owner first: a change of it takes setuid bits away, and nobody else may look in
	 * before the mode is right.
	 */
	if (fchown(fd, p->old.st_uid, p->old.st_gid) < 0) {
		if (!place_not_permitted(errno))
			return error_set_os(err, MFD_IO, errno, "%s: owner", p->path);
		/*
		 * Only root may give a file away.  The file is ours then, and its bits must not
		 * mean somebody else.
		 */
		mode &= 01777;
		if (fchown(fd, (uid_t)-1, p->old.st_gid) < 0)
			mode &= 01707 | (mode & S_IRWXO) << 3;
	}
	/* A mode that can't be set stays 0600, which is stricter: no reason to lose the image. */
	(void)fchmod(fd, mode);
	return true;
}

/*
 * A rename that replaces nothing; 0 or an errno.  Where the file system can't do that, a hard
 * link can, and where there are none either (some FUSE file systems) a look before the rename
 * leaves only a moment for somebody else.
 */
static int place_rename_new(const struct place *p)
{
	struct stat st;

	if (renameat2(p->dir, p->temp, p->dir, p->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return errno;
	if (linkat(p->dir, p->temp, p->dir, p->name, 0) == 0) {
		(void)unlinkat(p->dir, p->temp, 0);
		return 0;
	}
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
		return errno;
	if (fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return EEXIST;
	return renameat(p->dir, p->temp, p->dir, p->name) == 0 ? 0 : errno;
}

/* The disk's fault rather than the name's. */
static bool place_is_io(int os_errno)
{
	return os_errno == EIO || os_errno == ENOSPC || os_errno == EDQUOT;
}

bool place_put(struct place *p, bool replace, struct mfd_error *err)
{
	int e;

	if (!replace)
		e = place_rename_new(p);
	else
		e = renameat(p->dir, p->temp, p->dir, p->name) == 0 ? 0 : errno;
	if (e == EEXIST && !replace)
		return error_set(err, MFD_CANT_CREATE, "%s appeared meanwhile; it is left as it is",
				 p->path);
	if (e != 0)
		return error_set_os(err, place_is_io(e) ? MFD_IO : MFD_CANT_CREATE, e, "%s: rename",
				    p->path);
	free(p->temp);
	p->temp = NULL;
	return true;
}

/*
 * The rename has decided, so an error has nobody left to change anything: the old name or the
 * new one will be there after a crash, both whole.
 */
void place_sync(const struct place *p)
{
	(void)fsync(p->dir);
}

void place_release(struct place *p)
{
	if (p->temp != NULL)
		(void)unlinkat(p->dir, p->temp, 0);
	io_close(p->dir);
	free(p->temp);
	free(p->name);
	free(p->path);
}
