/* SPDX-License-Identifier: MIT */
/*
 * Copies of pages, in runs.
 */
#include "source/snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/batch.h"
#include "core/invariant.h"

#define SNAPSHOT_MIN_LIMIT (UINT64_C(64) << 20)

uint64_t snapshot_default_limit(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	uint64_t kib, half = 0;
	char line[128];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
			half = kib * 1024 / 2;
	}
	if (f != NULL)
		fclose(f);
	if (half < SNAPSHOT_MIN_LIMIT)
		half = SNAPSHOT_MIN_LIMIT;
	return half / PAGE_BYTES * PAGE_BYTES;
}

bool snapshot_init(struct snapshot *s, uint64_t limit, struct mfd_error *err)
{
	void *bytes = mmap(NULL, limit, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (bytes == MAP_FAILED)
		return error_set_os(err, MFD_OS, errno, "memory for a copy of %" PRIu64 " bytes",
				    limit);
	*s = (struct snapshot){ .bytes = bytes, .limit = limit };
	return true;
}

void snapshot_destroy(struct snapshot *s)
{
	if (s->bytes != NULL)
		munmap(s->bytes, s->limit);
	free(s->run);
	*s = (struct snapshot){ 0 };
}

void snapshot_expect(struct snapshot *s, uint64_t bytes)
{
	uint64_t i;

	if (bytes > s->limit)
		bytes = s->limit;
	for (i = 0; i < bytes; i += PAGE_BYTES)
		s->bytes[i] = 0;
}

/* One more run; the array doubles. */
static struct snapshot_run *snapshot_new_run(struct snapshot *s)
{
	const size_t allocated = s->allocated > 0 ? s->allocated * 2 : 256;
	struct snapshot_run *run;

	if (s->runs == s->allocated) {
		run = realloc(s->run, allocated * sizeof(*run));
		if (run == NULL)
			return NULL;
		s->run = run;
		s->allocated = allocated;
	}
	return &s->run[s->runs++];
}

uint64_t snapshot_room(const struct snapshot *s)
{
	return (s->limit - s->used) / PAGE_BYTES;
}

bool snapshot_add(struct snapshot *s, uint64_t first, uint64_t count, uint8_t **ret_bytes,
		  struct mfd_error *err)
{
	struct snapshot_run *run;

	if (count > snapshot_room(s))
		return error_set(err, MFD_TRY_AGAIN,
				 "more has changed than the %" PRIu64
				 " MiB that there is memory for",
				 s->limit >> 20);
	run = snapshot_new_run(s);
	if (run == NULL)
		return error_set(err, MFD_OS, "out of memory");
	*run = (struct snapshot_run){ first, count, s->used };
	*ret_bytes = s->bytes + s->used;
	s->used += count * PAGE_BYTES;
	return true;
}

/* The last run that begins at or before @page. */
static const struct snapshot_run *snapshot_find(const struct snapshot *s, uint64_t page)
{
	size_t low = 0, high = s->runs, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (s->run[middle].first <= page)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? &s->run[low - 1] : NULL;
}

void snapshot_read(const struct snapshot *s, uint64_t first, uint64_t count, uint8_t *buffer)
{
	const struct snapshot_run *run;
	uint64_t n;

	for (; count > 0; count -= n) {
		run = snapshot_find(s, first);
		if (run == NULL || first - run->first >= run->count)
			invariant_broken("mfd: bug: a page that was not copied is read\n");
		n = run->count - (first - run->first);
		if (n > count)
			n = count;
		memcpy(buffer, s->bytes + run->offset + (first - run->first) * PAGE_BYTES,
		       n * PAGE_BYTES);
		buffer += n * PAGE_BYTES;
		first += n;
	}
}
