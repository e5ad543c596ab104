/* SPDX-License-Identifier: MIT */
/*
 * A bounded pool of page buffers for sources that can't be read twice: a batch's bytes stay in
 * their buffer until the receiver has acknowledged them.  Memory is one mapping, touched only as
 * far as it is used (last in, first out).
 */
#ifndef MFD_CORE_POOL_H
#define MFD_CORE_POOL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct pool {
	uint8_t *memory;
	size_t buffer_bytes;
	uint32_t buffers;

	/* Guards `free` and `free_count`: one lock per batch of a stream, never for files. */
	pthread_mutex_t lock;
	uint32_t *free;          /* stack of buffer numbers */
	uint32_t free_count;
};

bool pool_init(struct pool *p, uint32_t buffers, size_t buffer_bytes,
	       struct mfd_error *err) MFD_MUST_CHECK;
void pool_destroy(struct pool *p);

/*
 * A page-aligned buffer, or NULL if all are in use: then wait for an acknowledgement.  The
 * producer.
 */
uint8_t *pool_get(struct pool *p);

/* Give one back; NULL is nothing.  Whoever retires the batch; then wake the producer. */
void pool_put(struct pool *p, uint8_t *buffer);

#endif
