/* SPDX-License-Identifier: MIT */
/*
 * Reading the mappings of a process.  Both files begin each mapping with the same line; smaps
 * puts a block of "Key: value" lines behind it, of which three matter.
 */
#include "process/maps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No process has more: 16 times what the kernel allows by default. */
#define MAPS_MAX (1u << 20)

static const struct {
	char letters[3];
	enum mapping_flag flag;
} maps_flags[] = {
	{ "io", MAPPING_IO }, { "pf", MAPPING_PFN }, { "dd", MAPPING_DONTDUMP },
	{ "ht", MAPPING_HUGETLB }, { "um", MAPPING_UFFD_MISSING }, { "ui", MAPPING_UFFD_MINOR },
	{ "uw", MAPPING_UFFD_WP }, { "sd", MAPPING_SOFTDIRTY }, { "ss", MAPPING_SHADOW_STACK },
};

static unsigned maps_parse_flags(const char *text)
{
	unsigned flags = 0;

	for (; *text != '\0'; text++) {
		if (*text == ' ')
			continue;
		for (size_t i = 0; i < sizeof(maps_flags) / sizeof(maps_flags[0]); i++)
			if (strncmp(text, maps_flags[i].letters, 2) == 0)
				flags |= maps_flags[i].flag;
		if (*++text == '\0')
			break;
	}
	return flags;
}

/* The kernel writes a newline in a name as \012, and nothing else so: in place. */
static void maps_unescape(char *name)
{
	char *to = name;

	for (; *name != '\0'; name++) {
		if (strncmp(name, "\\012", 4) == 0) {
			*to++ = '\n';
			name += 3;
		} else {
			*to++ = *name;
		}
	}
	*to = '\0';
}

static unsigned maps_parse_access(const char letters[static 4])
{
	return (letters[0] == 'r' ? MAPPING_READ : 0) | (letters[1] == 'w' ? MAPPING_WRITE : 0) |
	       (letters[2] == 'x' ? MAPPING_EXECUTE : 0);
}

/* "start-end rwxp offset major:minor inode   name"; false if @line is none. */
static bool maps_parse_head(const char *line, struct mapping *ret, const char **ret_name)
{
	char letters[5];
	int name = 0;

	*ret = (struct mapping){ .anonymous = UINT64_MAX };
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n",
		   &ret->start, &ret->end, letters, &ret->offset, &ret->major, &ret->minor,
		   &ret->inode, &name) < 7 || strlen(letters) != 4 || ret->end <= ret->start)
		return false;
	ret->access = maps_parse_access(letters);
	ret->shared = letters[3] == 's';
	*ret_name = line + name;
	return true;
}

/* What smaps says of the mapping whose head came before. */
static void maps_parse_detail(const char *line, struct mapping *m)
{
	uint64_t kib;

	if (sscanf(line, "Anonymous: %" SCNu64, &kib) == 1)
		m->anonymous = kib * 1024;
	else if (sscanf(line, "Swap: %" SCNu64, &kib) == 1 && m->anonymous != UINT64_MAX)
		m->anonymous += kib * 1024;
	else if (strncmp(line, "VmFlags:", 8) == 0)
		m->flags = maps_parse_flags(line + 8);
}

static bool maps_append(struct maps *m, size_t *allocated, const struct mapping *mapping,
			const char *name, struct mfd_error *err)
{
	struct mapping *grown;
	char *copy;

	if (m->count == MAPS_MAX)
		return error_set(err, MFD_OS, "more than %u mappings", MAPS_MAX);
	if (m->count == *allocated) {
		*allocated = *allocated != 0 ? *allocated * 2 : 64;
		grown = reallocarray(m->mapping, *allocated, sizeof(*grown));
		if (grown == NULL)
			return error_set_os(err, MFD_OS, errno, "list of mappings");
		m->mapping = grown;
	}
	copy = strdup(name);
	if (copy == NULL)
		return error_set_os(err, MFD_OS, errno, "list of mappings");
	maps_unescape(copy);
	m->mapping[m->count] = *mapping;
	m->mapping[m->count++].name = copy;
	return true;
}

static bool maps_parse_lines(FILE *file, char **line, struct maps *ret, struct mfd_error *err)
{
	size_t room = 0, allocated = 0;
	struct mapping head;
	const char *name;
	ssize_t n;

	while ((n = getline(line, &room, file)) > 0) {
		if ((*line)[n - 1] == '\n')
			(*line)[n - 1] = '\0';
		/* Keys begin with a capital letter, addresses never do. */
		if ((*line)[0] >= 'A' && (*line)[0] <= 'Z') {
			if (ret->count > 0)
				maps_parse_detail(*line, &ret->mapping[ret->count - 1]);
			continue;
		}
		if (!maps_parse_head(*line, &head, &name))
			return error_set(err, MFD_IO, "not a line about a mapping: %.80s", *line);
		if (ret->count > 0 && head.start < ret->mapping[ret->count - 1].end)
			continue; /* listed twice: it grew between two reads of the kernel's */
		if (!maps_append(ret, &allocated, &head, name, err))
			return false;
	}
	/* ESRCH: it was there when its list was opened. */
	return !ferror(file) || error_set_os(err, errno == ESRCH ? MFD_NO_INPUT : MFD_IO, errno,
					     "list of mappings");
}

bool maps_parse(FILE *file, struct maps *ret, struct mfd_error *err)
{
	char *line = NULL;
	bool ok;

	*ret = (struct maps){ 0 };
	ok = maps_parse_lines(file, &line, ret, err);
	free(line);
	if (!ok)
		maps_free(ret);
	return ok;
}

/* Open /proc/PID/@name; errno says why not. */
static FILE *maps_open(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return fopen(path, "re");
}

bool maps_read(pid_t pid, enum maps_detail detail, struct maps *ret, struct mfd_error *err)
{
	FILE *file = maps_open(pid, detail == MAPS_DETAILED ? "smaps" : "maps");
	bool ok;
	int e;

	if (file == NULL && errno == ENOENT && detail == MAPS_DETAILED)
		file = maps_open(pid, "maps");
	if (file == NULL) {
		e = errno;
		return error_set_os(err, e == ENOENT || e == ESRCH ? MFD_NO_INPUT :
					 e == EACCES || e == EPERM ? MFD_NO_PERMISSION : MFD_OS,
				    e == ENOENT ? ESRCH : e, "mappings of process %d", (int)pid);
	}
	ok = maps_parse(file, ret, err);
	fclose(file);
	if (!ok)
		return error_wrap(err, "process %d", (int)pid);
	if (ret->count > 0)
		return true;
	maps_free(ret);
	return error_set(err, MFD_NO_INPUT, "process %d has no memory: it has ended", (int)pid);
}

void maps_free(struct maps *m)
{
	for (size_t i = 0; i < m->count; i++)
		free(m->mapping[i].name);
	free(m->mapping);
	*m = (struct maps){ 0 };
}

size_t maps_search(const struct maps *m, uint64_t address)
{
	size_t low = 0, high = m->count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (m->mapping[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct mapping *maps_find(const struct maps *m, uint64_t address)
{
	size_t i = maps_search(m, address);

	return i < m->count && m->mapping[i].start <= address ? &m->mapping[i] : NULL;
}

/* [heap], [stack] and [anon:...], which prctl(PR_SET_VMA_ANON_NAME) gives, are memory like any. */
static bool mapping_is_memory_name(const char *name)
{
	return name[0] == '\0' || strcmp(name, "[heap]") == 0 || strncmp(name, "[stack", 6) == 0 ||
	       strncmp(name, "[anon", 5) == 0;
}

bool mapping_is_private_anonymous(const struct mapping *m)
{
	return !m->shared && m->inode == 0 && mapping_is_memory_name(m->name);
}

bool mapping_is_special(const struct mapping *m)
{
	return m->inode == 0 && m->name[0] == '[' && !mapping_is_memory_name(m->name);
}

bool mapping_is_deleted(const struct mapping *m)
{
	static const char mark[] = " (deleted)";
	const size_t size = strlen(m->name), end = sizeof(mark) - 1;

	/* Shared memory that was given a name by prctl(2) is shown with that name alone. */
	return (size >= end && strcmp(m->name + size - end, mark) == 0) ||
	       (m->inode != 0 && strncmp(m->name, "[anon_shmem", 11) == 0);
}
