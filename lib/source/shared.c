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

#include "base/io.h"
#include "process/maps.h"
#include "source/extents.h"
#include "source/precopy.h"
#include "source/source.h"

struct source_shared {
	/* Set by the constructor, const afterwards. */
	struct source base;
	struct source_process_options options;
	char *path; /* as the user gave it: base.info.name points into it */
	struct freezer *freezer;
	int fd;
	struct stat st; /* of fd */

	/* Producer only. */
	struct maps maps; /* of the last look */
	bool alone; /* nobody else had the file mapped then */
	struct extents extents;
	struct precopy precopy; /* with live: instead of extents; its own rules */
	bool frozen;

	/* Any thread. */
	counter downtime_ns; /* the producer's; MFD_UNKNOWN until it continues */
};

/* ---- Whose is it? ---- */

/* A piece of the file in a process's memory. */
static bool shared_is_ours(const struct source_shared *s, const struct mapping *m)
{
	return m->shared && m->inode == s->st.st_ino &&
	       makedev(m->major, m->minor) == s->st.st_dev;
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

/* ---- Reading. ---- */

static bool shared_pread(void *source, uint64_t offset, uint8_t *buffer, size_t bytes,
			 struct mfd_error *err)
{
	const struct source_shared *s = source;
	const uint64_t left = s->base.info.size - offset;
	const size_t want = left < bytes ? (size_t)left : bytes;
	const ssize_t got = io_pread(s->fd, buffer, want, offset);

	if (got < 0)
		return error_set_os(err, MFD_IO, errno, "%s: read at %" PRIu64, s->path, offset);
	if ((size_t)got < want)
		return error_set(err, MFD_NO_INPUT, "%s: the source became shorter", s->path);
	memset(buffer + want, 0, bytes - want);
	return true;
}

/* The first data at or behind byte @at; the end of the file where there is none. */
static bool shared_data(const struct source_shared *s, uint64_t at, uint64_t *ret_first,
			uint64_t *ret_end, struct mfd_error *err)
{
	const uint64_t end = batch_pages_of(s->base.info.size) * PAGE_BYTES;
	const off_t data = lseek(s->fd, (off_t)at, SEEK_DATA);
	off_t hole;

	*ret_first = *ret_end = end;
	if (data < 0 && errno == ENXIO)
		return true;
	hole = data < 0 ? -1 : lseek(s->fd, data, SEEK_HOLE);
	if (hole < 0 && errno != EINVAL && errno != EOPNOTSUPP)
		return error_set_os(err, MFD_IO, errno, "%s: SEEK_DATA", s->path);
	/* Where nothing is known about holes, all of it is data. */
	*ret_first = hole < 0 ? at : (uint64_t)data / PAGE_BYTES * PAGE_BYTES;
	if (hole >= 0 && (uint64_t)hole < end)
		*ret_end = batch_pages_of((uint64_t)hole) * PAGE_BYTES;
	if (*ret_first > end)
		*ret_first = end;
	return true;
}

/* An extents_find_fn. */
static bool shared_find(void *source, uint64_t at, uint64_t *ret_first, uint64_t *ret_end,
			struct mfd_error *err)
{
	uint64_t first, end;

	if (!shared_data(source, at * PAGE_BYTES, &first, &end, err))
		return false;
	*ret_first = first / PAGE_BYTES;
	*ret_end = end / PAGE_BYTES;
	return true;
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

	if (!shared_data(area->opaque, from - back, ret_first, ret_end, err))
		return false;
	*ret_first = *ret_first < end - back ? *ret_first + back : end;
	*ret_end = *ret_end < end - back ? *ret_end + back : end;
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
		.opaque = s,
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
	const uint64_t pages = batch_pages_of(s->base.info.size);
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

static bool shared_finish(void *source, const struct frozen_thread *threads, size_t count,
			  struct changes *changes, struct mfd_error *err)
{
	(void)source;
	(void)threads;
	(void)count;
	(void)changes;
	(void)err;
	return true;
}

static uint64_t shared_bytes(const void *source)
{
	const struct source_shared *s = source;

	return s->base.info.size;
}

static const struct precopy_image_ops shared_image_ops = {
	.also = shared_also,
	.look = shared_look,
	.collect = shared_collect,
	.finish = shared_finish,
	.read = shared_pread,
	.bytes = shared_bytes,
};

/* ---- The slots. ---- */

static bool shared_freeze(struct source_shared *s, struct mfd_error *err)
{
	if (!freezer_freeze(s->freezer, err))
		return false;
	s->frozen = true;
	extents_init(&s->extents, shared_find, s, batch_pages_of(s->base.info.size));
	return true;
}

static bool shared_next(struct source *source, uint32_t max_pages, uint8_t *buffer,
			const struct event *stop, struct batch *ret_batch, bool *ret_end,
			struct mfd_error *err)
{
	struct source_shared *s = (struct source_shared *)source;

	(void)buffer;
	(void)stop;
	if (s->options.live)
		return precopy_next(&s->precopy, max_pages, ret_batch, ret_end, err);
	if (!s->frozen && !shared_freeze(s, err))
		return false;
	return extents_next(&s->extents, max_pages, ret_batch, ret_end, err);
}

static bool shared_read(struct source *source, const struct batch *batch, uint8_t *buffer,
			struct mfd_error *err)
{
	struct source_shared *s = (struct source_shared *)source;
	uint32_t i, n;

	if (s->options.live)
		return precopy_read(&s->precopy, batch, buffer, err);
	if (batch->zero_run)
		return true;
	for (i = 0; bitmap_next_run(batch->data, (uint32_t)batch->count, &i, &n); i += n) {
		if (!shared_pread(s, (batch->first + i) * PAGE_BYTES,
				  buffer + (size_t)i * PAGE_BYTES, (size_t)n * PAGE_BYTES, err))
			return false;
	}
	return true;
}

/* A file that grew or shrank is another image. */
static bool shared_check_size(const struct source_shared *s, struct mfd_error *err)
{
	struct stat st;

	if (fstat(s->fd, &st) < 0)
		return error_set_os(err, MFD_IO, errno, "%s", s->path);
	if ((uint64_t)st.st_size == s->base.info.size)
		return true;
	return error_set(err, MFD_NO_INPUT, "%s: the source changed its size while it was read",
			 s->path);
}

static bool shared_end_round(struct source *source, uint32_t round, bool *ret_again,
			     uint64_t *ret_size, struct mfd_error *err)
{
	struct source_shared *s = (struct source_shared *)source;
	uint64_t frozen_ns;

	if (!shared_check_size(s, err))
		return false;
	if (s->options.live)
		return precopy_end_round(&s->precopy, round, ret_again, ret_size, err);
	if (!freezer_thaw(s->freezer, &frozen_ns, err))
		return false;
	counter_set(&s->downtime_ns, frozen_ns);
	if (freezer_expired(s->freezer))
		return error_set(err, MFD_TRY_AGAIN,
				 "process %d was frozen for %" PRIu64
				 " ms, all that --max-freeze allows: "
				 "it goes on, and the copy would be a mixture",
				 (int)s->options.pid, s->options.max_freeze_ms);
	*ret_again = false;
	*ret_size = s->base.info.size;
	return true;
}

static void shared_report(const struct source *source, struct mfd_stats *ret)
{
	const struct source_shared *s = (const struct source_shared *)source;

	if (s->options.live)
		precopy_report(&s->precopy, ret);
	else
		ret->downtime_ns = counter_get(&s->downtime_ns);
}

static void shared_free(struct source *source)
{
	struct source_shared *s = (struct source_shared *)source;

	freezer_free(s->freezer);
	precopy_destroy(&s->precopy);
	maps_free(&s->maps);
	io_close(s->fd);
	free(s->path);
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
static bool shared_find_mapping(const struct source_shared *s, const struct maps *maps,
				const struct mapping **ret, struct mfd_error *err)
{
	*ret = NULL;
	for (size_t i = 0; i < maps->count; i++) {
		const struct mapping *m = &maps->mapping[i];
		const size_t n = strlen(s->path);

		if (strncmp(m->name, s->path, n) != 0 ||
		    (m->name[n] != '\0' && strcmp(m->name + n, " (deleted)") != 0))
			continue;
		if (!m->shared)
			return error_set(err, MFD_NO_INPUT,
					 "process %d has %s mapped, but does not share it: what "
					 "it wrote is "
					 "not in the file",
					 (int)s->options.pid, s->path);
		if (*ret != NULL && ((*ret)->inode != m->inode || (*ret)->major != m->major ||
				     (*ret)->minor != m->minor))
			return error_set(err, MFD_NO_INPUT,
					 "process %d has several files mapped that are called %s",
					 (int)s->options.pid, s->path);
		*ret = m;
	}
	return *ret != NULL || error_set(err, MFD_NO_INPUT, "process %d has not mapped %s",
					 (int)s->options.pid, s->path);
}

/*
 * By its mapping, which also leads to a file without a name; by its name where that is not
 * allowed.
 */
static bool shared_open_file(struct source_shared *s, const struct mapping *m,
			     struct mfd_error *err)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64,
		 (int)s->options.pid, m->start, m->end);
	s->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0)
		s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (s->fd < 0)
		return error_set_os(
			err, errno == EACCES || errno == EPERM ? MFD_NO_PERMISSION : MFD_NO_INPUT,
			errno, "%s", s->path);
	if (fstat(s->fd, &s->st) < 0)
		return error_set_os(err, MFD_NO_INPUT, errno, "%s", s->path);
	if (!S_ISREG(s->st.st_mode) || !shared_is_ours(s, m))
		return error_set(err, MFD_NO_INPUT, "%s: not the file that process %d has mapped",
				 s->path, (int)s->options.pid);
	return true;
}

static bool shared_open(struct source_shared *s, struct mfd_error *err)
{
	const struct mapping *m;
	struct maps maps;
	bool ok;

	if (!freezer_new(s->options.pid, s->options.max_freeze_ms, &s->freezer, err) ||
	    !maps_read(s->options.pid, MAPS_PLAIN, &maps, err))
		return false;
	ok = shared_find_mapping(s, &maps, &m, err) && shared_open_file(s, m, err);
	maps_free(&maps);
	if (!ok)
		return false;
	s->base.info = (struct source_info){
		.name = strrchr(s->path, '/') + 1,
		.size = (uint64_t)s->st.st_size,
		.allocated = UINT64_MAX,
		.rereadable = true,
		.rounds = s->options.live,
	};
	return true;
}

bool source_shared_new(const struct source_process_options *options, const char *path,
		       struct source **ret, struct mfd_error *err)
{
	struct source_shared *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return error_set_os(err, MFD_OS, errno, "%s", path);
	s->base.ops = &shared_ops;
	s->options = *options;
	s->fd = -1;
	counter_set(&s->downtime_ns, MFD_UNKNOWN);
	s->path = strdup(path);
	if (s->path == NULL || !shared_open(s, err)) {
		if (s->path == NULL)
			error_set(err, MFD_OS, "out of memory");
		shared_free(&s->base);
		return false;
	}
	precopy_init(&s->precopy, &shared_image_ops, s, s->freezer, &s->options);
	*ret = &s->base;
	return true;
}
