/* SPDX-License-Identifier: MIT */
/*
 * The shared-memory source: a file that a process has mapped and shares, as a raw image: the
 * memory of a virtual machine.  It is read through a descriptor of the file itself; the process
 * is frozen and tracked as for a core.
 *
 * With --live, what the process writes through its mappings is found in its page tables, as
 * long as nobody else has the file mapped; otherwise, and for what is not mapped, pages are
 * compared by their hashes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "process/maps.h"
#include "source/backing.h"
#include "source/extents.h"
#include "source/precopy.h"
#include "source/source.h"
#include "source/standstill.h"

struct source_shared {
	/* Set by the constructor, const afterwards. */
	struct source base;
	struct source_process_options options;
	struct freezer *freezer;
	struct backing file; /* its own rules; base.info.name points into its path */

	/* Producer only. */
	struct maps maps; /* of the last look */
	bool alone; /* nobody else had the file mapped then */
	struct precopy precopy; /* with live; its own rules */
	struct standstill standstill; /* without: */
	struct extents extents;
};

/* ---- Whose is it? ---- */

/* A piece of the file in a process's memory. */
static bool shared_is_ours(const struct source_shared *s, const struct mapping *m)
{
	return m->shared && m->inode == s->file.st.st_ino &&
	       makedev(m->major, m->minor) == s->file.st.st_dev;
}

static bool shared_maps_it(const struct source_shared *s, pid_t pid)
{
	struct mfd_error ignored;
	struct maps maps;
	bool found = false;

	/* Gone, or a kernel thread, or not for us to see. */
	if (!maps_read(pid, MAPS_PLAIN, &maps, &ignored))
		return false;
	for (size_t i = 0; i < maps.count && !found; i++)
		found = shared_is_ours(s, &maps.mapping[i]);
	maps_free(&maps);
	return found;
}

/* Does a process besides ours, its threads and us have the file mapped? */
static bool shared_is_alone(const struct source_shared *s)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	bool alone = proc != NULL;
	pid_t pid;

	while (alone && (d = readdir(proc)) != NULL) {
		pid = (pid_t)strtol(d->d_name, NULL, 10);
		if (pid > 0 && pid != s->options.pid && pid != getpid() && shared_maps_it(s, pid))
			alone = false;
	}
	if (proc != NULL)
		closedir(proc);
	return alone;
}

/* ---- With live: what precopy asks for. ---- */

static bool shared_look(void *source, bool last, struct mfd_error *err)
{
	struct source_shared *s = source;

	maps_free(&s->maps);
	/* All of /proc is looked through: not while the process waits for that. */
	if (!last)
		s->alone = shared_is_alone(s);
	return maps_read(s->options.pid, MAPS_PLAIN, &s->maps, err);
}

/* A changes_also_fn. */
static bool shared_also(void *source, const struct mapping *m)
{
	return shared_is_ours(source, m);
}

/* A changes_find_fn; addresses of an area lie as its pages do. */
static bool shared_find_in_area(const struct changes_area *area, uint64_t from, uint64_t end,
				uint64_t *ret_first, uint64_t *ret_end, struct mfd_error *err)
{
	const uint64_t back = area->start - area->first * PAGE_BYTES;

	*ret_first = *ret_end = (end - back) / PAGE_BYTES;
	if (!backing_find(area->opaque, (from - back) / PAGE_BYTES, ret_first, ret_end, err))
		return false;
	*ret_first = *ret_first * PAGE_BYTES + back;
	*ret_end = *ret_end * PAGE_BYTES + back;
	if (*ret_end > end)
		*ret_end = end;
	return true;
}

/* Pages [@first, @end) of the file, by way of a mapping at @address, or by no mapping. */
static bool shared_collect_area(struct source_shared *s, struct changes *changes, uint64_t first,
				uint64_t end, uint64_t address, bool own, struct mfd_error *err)
{
	const struct changes_area area = {
		.start = address,
		.end = address + (end - first) * PAGE_BYTES,
		.first = first,
		.own = own,
		.shared = true,
		.find = shared_find_in_area,
		.opaque = &s->file,
	};

	return first >= end || changes_collect(changes, &area, err);
}

/*
 * Each page of the file once, by the mapping with the lowest address that has it.  A part that is
 * mapped twice can be written to by either, so only the hashes tell.
 */
static bool shared_collect(void *source, struct changes *changes, struct mfd_error *err)
{
	struct source_shared *s = source;
	const uint64_t pages = backing_pages(&s->file);
	uint64_t at = 0, next;

	while (at < pages) {
		const struct mapping *here = NULL;
		unsigned count = 0;

		next = pages;
		for (size_t i = 0; i < s->maps.count; i++) {
			const struct mapping *m = &s->maps.mapping[i];
			const uint64_t first = m->offset / PAGE_BYTES;
			const uint64_t end = first + (m->end - m->start) / PAGE_BYTES;

			if (!shared_is_ours(s, m) || end <= at)
				continue;
			if (first > at) {
				next = first < next ? first : next;
				continue;
			}
			next = end < next ? end : next;
			here = m;
			count++;
		}
		if (!shared_collect_area(s, changes, at, next,
					 here != NULL
						 ? here->start + (at * PAGE_BYTES - here->offset)
						 : at * PAGE_BYTES,
					 count == 1 && s->alone, err))
			return false;
		at = next;
	}
	return true;
}

static bool shared_read_bytes(void *source, uint64_t offset, uint8_t *buffer, size_t bytes,
			      struct mfd_error *err)
{
	const struct source_shared *s = source;

	return backing_read(&s->file, offset, buffer, bytes, err);
}

static uint64_t shared_bytes(const void *source)
{
	const struct source_shared *s = source;

	return s->file.size;
}

static const struct precopy_image_ops shared_image_ops = {
	.also = shared_also,
	.look = shared_look,
	.collect = shared_collect,
	.read = shared_read_bytes,
	.bytes = shared_bytes,
};

/* ---- The slots. ---- */

static bool shared_next(struct source *source, uint32_t max_pages, uint8_t *buffer,
			const struct event *stop, struct batch *ret_batch, bool *ret_end,
			struct mfd_error *err)
{
	struct source_shared *s = (struct source_shared *)source;

	(void)buffer;
	(void)stop;
	if (s->options.live)
		return precopy_next(&s->precopy, max_pages, ret_batch, ret_end, err);
	if (!s->standstill.begun) {
		if (!standstill_begin(&s->standstill, err))
			return false;
		extents_init(&s->extents, backing_find, &s->file, backing_pages(&s->file));
	}
	return standstill_check(&s->standstill, err) &&
	       extents_next(&s->extents, max_pages, ret_batch, ret_end, err);
}

static bool shared_read(struct source *source, const struct batch *batch, uint8_t *buffer,
			struct mfd_error *err)
{
	struct source_shared *s = (struct source_shared *)source;

	if (s->options.live)
		return precopy_read(&s->precopy, batch, buffer, err);
	return backing_read_batch(&s->file, batch, buffer, err);
}

/* A file that grew or shrank is another image. */
static bool shared_check_size(const struct source_shared *s, struct mfd_error *err)
{
	struct stat st;

	if (fstat(s->file.fd, &st) < 0)
		return error_set_os(err, MFD_IO, errno, "%s", s->file.path);
	if ((uint64_t)st.st_size == s->file.size)
		return true;
	return error_set(err, MFD_NO_INPUT, "%s: the source changed its size while it was read",
			 s->file.path);
}

static bool shared_end_round(struct source *source, uint32_t round, const struct event *stop,
			     bool *ret_again, uint64_t *ret_size, struct mfd_error *err)
{
	struct source_shared *s = (struct source_shared *)source;

	if (!shared_check_size(s, err))
		return false;
	if (s->options.live)
		return precopy_end_round(&s->precopy, round, stop, ret_again, ret_size, err);
	if (!standstill_end(&s->standstill, err))
		return false;
	*ret_again = false;
	*ret_size = s->file.size;
	return true;
}

static void shared_report(const struct source *source, struct mfd_stats *ret)
{
	const struct source_shared *s = (const struct source_shared *)source;

	if (s->options.live)
		precopy_report(&s->precopy, ret);
	else
		ret->downtime_ns = counter_get(&s->standstill.downtime_ns);
}

static void shared_free(struct source *source)
{
	struct source_shared *s = (struct source_shared *)source;

	freezer_free(s->freezer);
	precopy_destroy(&s->precopy);
	maps_free(&s->maps);
	backing_close(&s->file);
	free(s);
}

static const struct source_ops shared_ops = {
	.kind = "shared memory",
	.next = shared_next,
	.read = shared_read,
	.end_round = shared_end_round,
	.report = shared_report,
	.free = shared_free,
};

/* ---- Opening. ---- */

/* The mappings of that name; they must be shared, and of one file. */
static bool shared_find_mapping(const struct source_shared *s, const char *path,
				const struct maps *maps, const struct mapping **ret,
				struct mfd_error *err)
{
	const int pid = (int)s->options.pid;
	const size_t n = strlen(path);

	*ret = NULL;
	for (size_t i = 0; i < maps->count; i++) {
		const struct mapping *m = &maps->mapping[i];

		if (strncmp(m->name, path, n) != 0 ||
		    (m->name[n] != '\0' && strcmp(m->name + n, " (deleted)") != 0))
			continue;
		if (!m->shared)
			return error_set(err, MFD_NO_INPUT,
					 "process %d has %s mapped, but does not share it: what "
					 "it wrote is not in the file",
					 pid, path);
		if (*ret != NULL && ((*ret)->inode != m->inode || (*ret)->major != m->major ||
				     (*ret)->minor != m->minor))
			return error_set(err, MFD_NO_INPUT,
					 "process %d has several files mapped that are called %s",
					 pid, path);
		*ret = m;
	}
	return *ret != NULL ||
	       error_set(err, MFD_NO_INPUT, "process %d has not mapped %s", pid, path);
}

/*
 * By its mapping, which also leads to a file without a name; by its name where that is not
 * allowed.
 */
static bool shared_open_file(struct source_shared *s, const char *path, const struct mapping *m,
			     struct mfd_error *err)
{
	char link[96];
	int fd;

	snprintf(link, sizeof(link), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64,
		 (int)s->options.pid, m->start, m->end);
	fd = open(link, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return error_set_os(
			err, errno == EACCES || errno == EPERM ? MFD_NO_PERMISSION : MFD_NO_INPUT,
			errno, "%s", path);
	if (!backing_adopt(&s->file, path, fd, err))
		return false;
	return (S_ISREG(s->file.st.st_mode) && shared_is_ours(s, m)) ||
	       error_set(err, MFD_NO_INPUT, "%s: not the file that process %d has mapped", path,
			 (int)s->options.pid);
}

static bool shared_open(struct source_shared *s, const char *path, struct mfd_error *err)
{
	const struct mapping *m;
	struct maps maps;
	bool ok;

	if (!freezer_new(s->options.pid, s->options.max_freeze_ms, &s->freezer, err) ||
	    !maps_read(s->options.pid, MAPS_PLAIN, &maps, err))
		return false;
	ok = shared_find_mapping(s, path, &maps, &m, err) && shared_open_file(s, path, m, err);
	maps_free(&maps);
	if (!ok)
		return false;
	s->base.info = (struct source_info){
		.name = strrchr(s->file.path, '/') + 1,
		.size = s->file.size,
		.allocated = UINT64_MAX,
		.rereadable = true,
		.rounds = s->options.live,
	};
	return true;
}

bool source_shared_new(const struct source_process_options *options, const char *path,
		       struct source **ret, struct mfd_error *err)
{
	const struct precopy_options live = precopy_options_of(options);
	struct source_shared *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return error_set_os(err, MFD_OS, errno, "%s", path);
	s->base.ops = &shared_ops;
	s->options = *options;
	backing_init(&s->file);
	if (!shared_open(s, path, err)) {
		shared_free(&s->base);
		return false;
	}
	standstill_init(&s->standstill, s->freezer);
	precopy_init(&s->precopy, &shared_image_ops, s, s->freezer, &live);
	*ret = &s->base;
	return true;
}
