/* SPDX-License-Identifier: MIT */
/*
 * The process that is to be frozen: may it be, and is it still the same?
 */
#include "process/target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

#define TARGET_PATH 64

/* From /proc/PID/status and /proc/PID/task/TID/status. */
struct target_status {
	struct target_thread thread;
	char state;
	pid_t leader, tracer;
	unsigned threads;
	bool has_memory;
};

static void target_take_line(struct target_status *s, char *line)
{
	char *value = strchr(line, ':'), *last;

	if (!value)
		return;
	*value++ = '\0';
	value[strcspn(value, "\n")] = '\0';
	value += strspn(value, "\t ");
	if (!strcmp(line, "Name"))
		snprintf(s->thread.comm, sizeof(s->thread.comm), "%s", value);
	else if (!strcmp(line, "State"))
		s->state = *value;
	else if (!strcmp(line, "Tgid"))
		s->leader = (pid_t)strtol(value, NULL, 10);
	else if (!strcmp(line, "TracerPid"))
		s->tracer = (pid_t)strtol(value, NULL, 10);
	else if (!strcmp(line, "Threads"))
		s->threads = (unsigned)strtoul(value, NULL, 10);
	else if (!strcmp(line, "VmSize"))
		s->has_memory = true;
	else if (!strcmp(line, "SigPnd"))
		s->thread.pending = strtoull(value, NULL, 16);
	else if (!strcmp(line, "Seccomp"))
		s->thread.seccomp = *value != '0';
	else if (!strcmp(line, "NSpid")) {
		/* One number for each PID namespace, from ours to its own. */
		last = strrchr(value, '\t');
		s->thread.own_tid = (pid_t)strtol(last ? last : value, NULL, 10);
	}
}

static bool target_read_status(const char *path, struct target_status *ret)
{
	FILE *f = fopen(path, "re");
	char line[512];

	memset(ret, 0, sizeof(*ret));
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		target_take_line(ret, line);
	fclose(f);
	return ret->leader > 0;
}

/* The comm of a process, for messages. */
static const char *target_name(pid_t pid, char name[static 32])
{
	char path[TARGET_PATH];
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, name, 31) : 0;
	io_close(fd);
	name[n > 0 ? n : 0] = '\0';
	name[strcspn(name, "\n")] = '\0';
	return name;
}

/*
 * Yama's say: 0 nobody but the usual rules, 1 descendants only, 2 with CAP_SYS_PTRACE only, 3
 * never; 0 too where there is no Yama.
 */
static int target_ptrace_scope(void)
{
	int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC), scope = 0;
	char digit;

	if (fd >= 0 && read(fd, &digit, 1) == 1)
		scope = digit - '0';
	io_close(fd);
	return scope;
}

bool target_denied(pid_t pid, pid_t tid, int os_errno, struct mfd_error *err)
{
	const int scope = target_ptrace_scope();
	char path[TARGET_PATH], name[32];
	struct target_status status;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)pid, (int)tid);
	if (target_read_status(path, &status) && status.tracer != 0)
		return error_set(err, MFD_NO_PERMISSION,
				 "process %d is already traced, by process %d (%s)", (int)pid,
				 (int)status.tracer, target_name(status.tracer, name));
	if (scope == 3)
		return error_set(err, MFD_NO_PERMISSION,
				 "process %d may not be traced: kernel.yama.ptrace_scope is 3, "
				 "which allows it to nobody",
				 (int)pid);
	if (scope > 0)
		return error_set(err, MFD_NO_PERMISSION,
				 "process %d may not be traced: kernel.yama.ptrace_scope is %d, "
				 "so that takes the capability CAP_SYS_PTRACE (root)",
				 (int)pid, scope);
	return error_set_os(err, MFD_NO_PERMISSION, os_errno,
			    "process %d may not be traced: that takes the same user, "
			    "or the capability CAP_SYS_PTRACE (root)",
			    (int)pid);
}

/* The class in the program's ELF header; 0 if that can't be read: then the registers tell. */
static int target_class(pid_t pid)
{
	unsigned char ident[EI_NIDENT] = { 0 };
	char path[TARGET_PATH];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || io_pread(fd, ident, sizeof(ident), 0) != sizeof(ident))
		ident[EI_CLASS] = ELFCLASSNONE;
	io_close(fd);
	return ident[EI_CLASS];
}

/* How long the threads of a process that has exited may take to go. */
#define TARGET_LEAVING_MS 50

/*
 * What it is, after waiting for one that exits: its threads go one after another, and their leader
 * is seldom the last.
 */
static bool target_read_settled(const char *path, struct target_status *ret)
{
	unsigned waited = 0;
	bool ok = target_read_status(path, ret);

	while (ok && ret->state == 'Z' && ret->threads > 1 && waited++ < TARGET_LEAVING_MS) {
		nanosleep(&(struct timespec){ .tv_nsec = CLOCK_NS_PER_MS }, NULL);
		ok = target_read_status(path, ret);
	}
	return ok;
}

/* Opening a process's memory is held to the same rules as tracing it. */
static bool target_check_access(pid_t pid, struct mfd_error *err)
{
	char path[TARGET_PATH];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return target_denied(pid, pid, errno, err);
	io_close(fd);
	return true;
}

/* Everything that can be found out without stopping it. */
static bool target_check(pid_t pid, struct mfd_error *err)
{
	struct target_status status;
	char path[TARGET_PATH];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (pid <= 0 || !target_read_settled(path, &status))
		return error_set(err, MFD_NO_INPUT, "there is no process %d", (int)pid);
	if (status.leader != pid)
		return error_set(err, MFD_NO_INPUT, "%d is a thread of process %d", (int)pid,
				 (int)status.leader);
	if (pid == getpid())
		return error_set(err, MFD_USAGE,
				 "process %d is this one, which can't freeze itself", (int)pid);
	if (status.state == 'Z' && status.threads > 1)
		return error_set(err, MFD_CONFIG,
				 "process %d (%s) has lost its main thread, "
				 "and /proc shows no memory without it",
				 (int)pid, status.thread.comm);
	if (status.state == 'Z' || status.state == 'X')
		return error_set(err, MFD_NO_INPUT, "process %d (%s) is a zombie: it has exited",
				 (int)pid, status.thread.comm);
	if (!status.has_memory)
		return error_set(err, MFD_NO_INPUT, "process %d (%s) is a kernel thread", (int)pid,
				 status.thread.comm);
	if (status.tracer != 0)
		return target_denied(pid, pid, EPERM, err);
	if (target_class(pid) == ELFCLASS32)
		return error_set(err, MFD_CONFIG, "process %d (%s) is a 32-bit process", (int)pid,
				 status.thread.comm);
	return target_check_access(pid, err);
}

bool target_open(struct target *t, pid_t pid, struct mfd_error *err)
{
	char path[TARGET_PATH];
	int os_errno;

	/*
	 * Opened before it is looked at, so that what is looked at is not somebody who got the
	 * number later.
	 */
	t->pid = pid;
	t->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	t->tasks = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	t->maps = open(path, O_RDONLY | O_CLOEXEC);
	os_errno = errno;
	if (!target_check(pid, err))
		return false;
	if (t->pidfd < 0 || t->tasks < 0 || t->maps < 0)
		return error_set_os(err, MFD_OS, os_errno, "process %d", (int)pid);
	return target_same(t, err);
}

void target_close(struct target *t)
{
	io_close(t->maps);
	io_close(t->tasks);
	io_close(t->pidfd);
	t->maps = t->tasks = t->pidfd = -1;
}

bool target_same(const struct target *t, struct mfd_error *err)
{
	struct pollfd ended = { .fd = t->pidfd, .events = POLLIN };
	char byte;

	if (poll(&ended, 1, 0) > 0)
		return error_set(err, MFD_NO_INPUT, "process %d has exited", (int)t->pid);
	if (pread(t->maps, &byte, 1, 0) == 0)
		return error_set(err, MFD_NO_INPUT,
				 "process %d has exited or executed another program", (int)t->pid);
	return true;
}

bool target_read_thread(const struct target *t, pid_t tid, struct target_thread *ret,
			struct mfd_error *err)
{
	struct target_status status;
	char path[TARGET_PATH];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)t->pid, (int)tid);
	if (!target_read_status(path, &status))
		return error_set(err, MFD_NO_INPUT, "thread %d of process %d is gone", (int)tid,
				 (int)t->pid);
	*ret = status.thread;
	return true;
}
