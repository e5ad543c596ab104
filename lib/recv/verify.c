/* SPDX-License-Identifier: MIT */
/*
 * A last look (--verify): the finished output, durable and out of the page cache, is read again by
 * several threads, and its image hash has to be the sender's.  The control thread beats on
 * meanwhile.
 */
#include "recv/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/zero.h"

#define VERIFY_THREADS 8u

/* Pages that a thread reads at a time, and takes at a time. */
#define VERIFY_BLOCK 64u
#define VERIFY_RANGE UINT64_C(2048)

struct verify {
	/* Set before the threads start, never changed. */
	struct recv_session *session;
	int fd;
	uint64_t size, pages;

	pthread_mutex_t lock;        /* Guards: */
	uint64_t next;               /* page */
	uint64_t sum;
	int failed; /* errno of a read; ENODATA: the output is shorter than it should be */
};

/* The next run of pages to look at; false when there is none, or no more should be. */
static bool verify_take(struct verify *v, uint64_t *ret_first, uint64_t *ret_end)
{
	off_t data;
	bool more;

	pthread_mutex_lock(&v->lock);
	if (v->next < v->pages) {
		/*
		 * Holes are zeros, and those count nothing.  Where nobody knows of holes all is
		 * read.
		 */
		data = lseek(v->fd, (off_t)(v->next * PAGE_BYTES), SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			v->next = v->pages;
		else if (data >= 0)
			v->next = (uint64_t)data / PAGE_BYTES;
	}
	more = v->next < v->pages && !v->failed;
	*ret_first = v->next;
	*ret_end = v->pages - v->next < VERIFY_RANGE ? v->pages : v->next + VERIFY_RANGE;
	if (more)
		v->next = *ret_end;
	pthread_mutex_unlock(&v->lock);
	return more && event_wait_fd(&v->session->stop, -1, 0, 0) != EVENT_STOPPED;
}

/* 0 or an errno. */
static int verify_block(const struct verify *v, uint64_t first, uint32_t count, uint8_t *pages,
			uint64_t *sum)
{
	const uint64_t offset = first * PAGE_BYTES, left = v->size - offset;
	const size_t bytes = (size_t)count * PAGE_BYTES, want = left < bytes ? (size_t)left : bytes;
	const ssize_t got = io_pread(v->fd, pages, want, offset);
	uint64_t data[BITMAP_WORDS(VERIFY_BLOCK)];

	if (got < 0)
		return errno;
	if ((size_t)got < want)
		return ENODATA;
	memset(pages + want, 0, bytes - want);
	bitmap_fill(data, count);
	(void)zero_scan(zero_best(), pages, PAGE_BYTES, data, count);
	for (uint32_t i = 0; i < count; i++)
		if (bitmap_test(data, i))
			*sum += hash_page(pages + (size_t)i * PAGE_BYTES, PAGE_BYTES, 0, first + i);
	return 0;
}

static void *verify_main(void *verify)
{
	uint8_t *pages = aligned_alloc(PAGE_BYTES, VERIFY_BLOCK * PAGE_BYTES);
	struct verify *v = verify;
	uint64_t first, end, sum = 0;
	int e = pages ? 0 : ENOMEM;

	while (!e && verify_take(v, &first, &end)) {
		for (; !e && first < end; first += VERIFY_BLOCK) {
			const uint64_t count =
				end - first < VERIFY_BLOCK ? end - first : VERIFY_BLOCK;

			e = verify_block(v, first, (uint32_t)count, pages, &sum);
		}
	}
	pthread_mutex_lock(&v->lock);
	v->sum += sum;
	if (e && !v->failed)
		v->failed = e;
	pthread_mutex_unlock(&v->lock);
	free(pages);
	return NULL;
}

/* This thread and as many others as there are CPUs for. */
static void verify_run(struct verify *v)
{
	unsigned wanted = v->session->params.workers ? v->session->params.workers : cpus_usable(),
		 n;
	pthread_t thread[VERIFY_THREADS];

	if (wanted > VERIFY_THREADS)
		wanted = VERIFY_THREADS;
	/* One that can't be started leaves more for the others. */
	for (n = 0; n + 1 < wanted && !pthread_create(&thread[n], NULL, verify_main, v); n++)
		;
	verify_main(v);
	while (n > 0)
		pthread_join(thread[--n], NULL);
}

bool recv_verify(struct recv_session *s, struct mfd_error *err)
{
	struct verify v = { .session = s,
			    .size = s->end.size,
			    .pages = batch_pages_of(s->end.size) };

	if (!s->sink->ops->settle(s->sink, s->end.size, &v.fd, err))
		return false;
	pthread_mutex_init(&v.lock, NULL);
	verify_run(&v);
	pthread_mutex_destroy(&v.lock);
	if (event_wait_fd(&s->stop, -1, 0, 0) == EVENT_STOPPED)
		return error_set(err, MFD_TRY_AGAIN, "stopped");
	if (v.failed)
		return error_set_os(err, MFD_IO, v.failed, "reading the output again");
	if (v.sum != s->end.image_hash)
		return error_set(err, MFD_DATA,
				 "the output was read again and has hash %016" PRIx64
				 ", should be %016" PRIx64,
				 v.sum, s->end.image_hash);
	return true;
}
