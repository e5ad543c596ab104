/* SPDX-License-Identifier: MIT */
/*
 * The pool of page buffers: one anonymous mapping, cut into equal buffers, and a stack of those
 * that are free. The stack gives out what came back last, so that a pool that is never short
 * touches only a part of its memory, and that part stays in the cache.
 */
#include "core/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/batch.h"
#include "core/invariant.h"

bool pool_init(struct pool *p, uint32_t buffers, size_t buffer_bytes, struct mfd_error *err)
{
	size_t bytes;
	uint32_t i;
	int e;

	if (buffers == 0 || buffer_bytes == 0 || buffer_bytes > (SIZE_MAX - PAGE_BYTES) / buffers)
		return error_set_os(err, MFD_OS, EINVAL, "buffer pool");

	/* Whole pages, so that each buffer begins on one. */
	p->buffer_bytes = (buffer_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	if (p->buffer_bytes > SIZE_MAX / buffers)
		return error_set_os(err, MFD_OS, EINVAL, "buffer pool");
	p->buffers = buffers;
	bytes = p->buffer_bytes * buffers;

	p->free = calloc(buffers, sizeof(*p->free));
	if (!p->free)
		return error_set_os(err, MFD_OS, ENOMEM, "buffer pool");
	p->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->memory == MAP_FAILED) {
		e = errno;
		free(p->free);
		return error_set_os(err, MFD_OS, e, "buffer pool of %zu bytes", bytes);
	}

	e = pthread_mutex_init(&p->lock, NULL);
	if (e != 0) {
		munmap(p->memory, bytes);
		free(p->free);
		return error_set_os(err, MFD_OS, e, "mutex");
	}

	/* Buffer 0 on top. */
	for (i = 0; i < buffers; i++)
		p->free[i] = buffers - 1 - i;
	p->free_count = buffers;
	return true;
}

void pool_destroy(struct pool *p)
{
	pthread_mutex_destroy(&p->lock);
	munmap(p->memory, p->buffer_bytes * p->buffers);
	free(p->free);
	p->memory = NULL;
	p->free = NULL;
}

uint8_t *pool_get(struct pool *p)
{
	uint8_t *buffer = NULL;

	pthread_mutex_lock(&p->lock);
	if (p->free_count > 0)
		buffer = p->memory + p->buffer_bytes * p->free[--p->free_count];
	pthread_mutex_unlock(&p->lock);
	return buffer;
}

void pool_put(struct pool *p, uint8_t *buffer)
{
	size_t offset;

	if (!buffer)
		return;
	offset = (size_t)((uintptr_t)buffer - (uintptr_t)p->memory);
	if (offset % p->buffer_bytes != 0 || offset / p->buffer_bytes >= p->buffers)
		invariant_broken("mfd: buffer pool: given a buffer that is not its own\n");

	pthread_mutex_lock(&p->lock);
	if (p->free_count == p->buffers)
		invariant_broken("mfd: buffer pool: given more buffers than it has\n");
	p->free[p->free_count++] = (uint32_t)(offset / p->buffer_bytes);
	pthread_mutex_unlock(&p->lock);
}
