/* SPDX-License-Identifier: MIT */
/*
 * What /proc says about a process, for its notes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "process/notes.h"

/* Room for any of these files: status has about 1.5 KiB, an auxiliary vector 400 bytes. */
#define NOTES_FILE_BYTES 16384u

/* /proc/PID/@name into @buffer, terminated. */
static bool notes_read_file(pid_t pid, const char *name, char buffer[static NOTES_FILE_BYTES],
			    size_t *ret_bytes, struct mfd_error *err)
{
	char path[64];
	int fd IO_AUTO_CLOSE = -1;
	ssize_t n;
	int e;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : io_pread(fd, buffer, NOTES_FILE_BYTES - 1, 0);
	if (n >= 0) {
		buffer[n] = '\0';
		*ret_bytes = (size_t)n;
		return true;
	}
	e = errno;
	return error_set_os(err, e == ENOENT || e == ESRCH ? MFD_NO_INPUT :
				 e == EACCES || e == EPERM ? MFD_NO_PERMISSION : MFD_IO,
			    e == ENOENT ? ESRCH : e, "process %d: %s", (int)pid, name);
}

/* The text behind "@key:" at the beginning of a line of @status; NULL if there is no such line. */
static const char *notes_value(const char *status, const char *key)
{
	const size_t size = strlen(key);

	for (; status != NULL; status = strchr(status, '\n')) {
		status += *status == '\n';
		if (strncmp(status, key, size) == 0 && status[size] == ':')
			return status + size + 1;
		if (*status == '\0')
			break;
	}
	return NULL;
}

/*
 * The @level-th (from 1) of the IDs in a line such as "NSpid: 1234 17 1", the outermost
 * namespace's first; *ret_levels says how many there are.  0 where there is no such one.
 */
static pid_t notes_id(const char *status, const char *key, unsigned level, unsigned *ret_levels)
{
	const char *text = notes_value(status, key);
	pid_t found = 0;
	char *end;
	long id;

	*ret_levels = 0;
	while (text != NULL && *text != '\n' && *text != '\0') {
		id = strtol(text, &end, 10);
		if (end == text)
			break;
		if (++*ret_levels == level)
			found = (pid_t)id;
		for (text = end; *text == '\t' || *text == ' ';)
			text++;
	}
	return found;
}

static long notes_number(const char *status, const char *key)
{
	const char *text = notes_value(status, key);

	return text != NULL ? strtol(text, NULL, 10) : 0;
}

/* The parent as the process sees it: its ID @level namespaces down, if it is that far down. */
static pid_t notes_parent(pid_t parent, unsigned level)
{
	char status[NOTES_FILE_BYTES];
	struct mfd_error ignored;
	unsigned levels;
	size_t bytes;

	if (parent == 0 || !notes_read_file(parent, "status", status, &bytes, &ignored))
		return 0;
	return notes_id(status, "NSpid", level, &levels);
}

static void notes_take_status(struct notes_process *p, const char *status, pid_t pid)
{
	unsigned level, unused;

	notes_id(status, "NSpid", 0, &level);
	p->pid = notes_id(status, "NSpid", level, &unused);
	if (p->pid == 0)
		p->pid = pid;
	p->group = notes_id(status, "NSpgid", level, &unused);
	p->session = notes_id(status, "NSsid", level, &unused);
	p->parent = notes_parent((pid_t)notes_number(status, "PPid"), level);
	p->uid = (uid_t)notes_number(status, "Uid");
	p->gid = (gid_t)notes_number(status, "Gid");
}

/* "pid (name) state ...": the name may hold anything, so the last parenthesis ends it. */
static void notes_take_stat(struct notes_process *p, const char *stat)
{
	const char *first = strchr(stat, '('), *last = strrchr(stat, ')');
	unsigned long flags = 0;
	long nice = 0;
	size_t size;

	if (first == NULL || last == NULL || last < first)
		return;
	size = (size_t)(last - first - 1);
	if (size > sizeof(p->name) - 1)
		size = sizeof(p->name) - 1;
	memcpy(p->name, first + 1, size);
	/*
	 * Behind the name: state ppid pgrp session tty tpgid flags, eight counters, priority, nice.
	 */
	if (sscanf(last + 1, " %c %*d %*d %*d %*d %*d %lu %*u %*u %*u %*u %*u %*u %*d %*d %*d %ld",
		   &p->state, &flags, &nice) >= 1) {
		p->flags = flags;
		p->nice = (int)nice;
	}
}

static void notes_take_arguments(struct notes_process *p, const char *bytes, size_t size)
{
	size_t i;

	if (size > sizeof(p->arguments) - 1)
		size = sizeof(p->arguments) - 1;
	while (size > 0 && bytes[size - 1] == '\0')
		size--;
	for (i = 0; i < size; i++)
		p->arguments[i] = bytes[i] != '\0' ? bytes[i] : ' ';
}

bool notes_read_process(pid_t pid, struct notes_process *ret, struct mfd_error *err)
{
	char text[NOTES_FILE_BYTES];
	size_t bytes;

	*ret = (struct notes_process){ 0 };
	if (!notes_read_file(pid, "status", text, &bytes, err))
		return false;
	notes_take_status(ret, text, pid);
	if (!notes_read_file(pid, "stat", text, &bytes, err))
		return false;
	notes_take_stat(ret, text);
	if (!notes_read_file(pid, "cmdline", text, &bytes, err))
		return false;
	notes_take_arguments(ret, text, bytes);
	if (!notes_read_file(pid, "auxv", text, &bytes, err))
		return false;
	ret->auxv = malloc(bytes + 1);
	if (ret->auxv == NULL)
		return error_set_os(err, MFD_OS, errno, "process %d: auxv", (int)pid);
	memcpy(ret->auxv, text, bytes);
	ret->auxv_bytes = bytes;
	return true;
}

void notes_process_free(struct notes_process *p)
{
	free(p->auxv);
	p->auxv = NULL;
	p->auxv_bytes = 0;
}
