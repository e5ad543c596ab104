/* SPDX-License-Identifier: MIT */
/*
 * Landlock by its three system calls; no library wraps them.
 */
#include "base/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/kernel.h"

/* A kernel refuses what it does not know, so each version's own are handled from there on. */
static struct landlock_ruleset confine_handled(int abi)
{
	/* All below REFER is of version 1. */
	struct landlock_ruleset r = { .handled_access_fs = LANDLOCK_ACCESS_FS_REFER - 1 };

	if (abi >= 2)
		r.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		r.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (abi >= 4)
		r.handled_access_net = LANDLOCK_ACCESS_NET_BIND_TCP |
				       LANDLOCK_ACCESS_NET_CONNECT_TCP;
	if (abi >= 5)
		r.handled_access_fs |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	if (abi >= 6)
		r.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;
	return r;
}

/* The kernel's names for @rights; a rule for a file may not speak of what only directories have. */
static uint64_t confine_access(unsigned rights, bool directory)
{
	uint64_t access = 0;

	if (rights & CONFINE_READ)
		access |= LANDLOCK_ACCESS_FS_READ_FILE |
			  (directory ? LANDLOCK_ACCESS_FS_READ_DIR : 0);
	if (rights & CONFINE_WRITE)
		access |= LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;
	if (directory && (rights & CONFINE_CREATE))
		access |= LANDLOCK_ACCESS_FS_MAKE_REG;
	if (directory && (rights & CONFINE_REMOVE))
		access |= LANDLOCK_ACCESS_FS_REMOVE_FILE;
	return access;
}

/* 0 or an errno. */
static int confine_add(int ruleset, uint64_t handled, int fd, unsigned rights)
{
	struct landlock_path_beneath_attr beneath = { .parent_fd = fd };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return errno;
	beneath.allowed_access = confine_access(rights, S_ISDIR(st.st_mode)) & handled;
	if (!beneath.allowed_access)
		return 0;
	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0
		       ? 0
		       : errno;
}

/* 0 or an errno. */
static int confine_add_rule(int ruleset, uint64_t handled, const struct confine_rule *rule)
{
	int fd IO_AUTO_CLOSE = -1;

	if (!rule->path)
		return rule->fd < 0 ? 0 : confine_add(ruleset, handled, rule->fd, rule->rights);
	fd = open(rule->path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : errno;
	return confine_add(ruleset, handled, fd, rule->rights);
}

bool confine_thread(const struct confine_rule *rules, size_t count, int *ret_abi,
		    struct mfd_error *why)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int e = abi < 0 ? errno : 0;
	struct landlock_ruleset handled;
	int ruleset IO_AUTO_CLOSE = -1;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_os(why, MFD_OS, errno, "no_new_privs");
	if (abi < 0)
		return error_set_os(why, MFD_OS, e, "Landlock");
	handled = confine_handled((int)abi);
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);
	if (ruleset < 0)
		return error_set_os(why, MFD_OS, errno, "Landlock: rules");
	for (size_t i = 0; i < count; i++) {
		e = confine_add_rule(ruleset, handled.handled_access_fs, &rules[i]);
		if (e)
			return error_set_os(why, MFD_OS, e, "Landlock: rule %zu", i);
	}
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return error_set_os(why, MFD_OS, errno, "Landlock: confine");
	*ret_abi = (int)abi;
	return true;
}
