/* SPDX-License-Identifier: MIT */
/*
 * Comparing pages by their hashes, in several threads.
 */
#include "process/compare.h"

#include <stdlib.h>
#include <string.h>

#include "base/cpus.h"
#include "base/hash.h"
#include "core/batch.h"

/* Taken at a time: often enough to stop soon, also with a slow disk. */
#define COMPARE_TAKE 4u

/* Fewer than these for each are not worth another thread. */
#define COMPARE_LEAST_PIECES 16u

struct compare_worker {
	struct compare *compare;
	uint8_t *buffer;
	pthread_t thread;
};

bool compare_init(struct compare *c, changes_read_fn *read, void *image, const struct sparse *hash,
		  const uint8_t *secret, struct mfd_error *err)
{
	const unsigned cpus = cpus_usable();

	*c = (struct compare){
		.read = read, .image = image, .hash = hash, .secret = secret,
		.threads = cpus < COMPARE_MAX_THREADS ? cpus : COMPARE_MAX_THREADS,
	};
	c->buffer = aligned_alloc(PAGE_BYTES, c->threads * COMPARE_PIECE_PAGES * PAGE_BYTES);
	c->piece = calloc(COMPARE_PIECES, sizeof(*c->piece));
	if (!c->buffer || !c->piece) {
		free(c->buffer);
		free(c->piece);
		*c = (struct compare){ 0 };
		return error_set(err, MFD_OS, "out of memory for comparing pages");
	}
	pthread_mutex_init(&c->lock, NULL);
	return true;
}

void compare_destroy(struct compare *c)
{
	if (!c->piece)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c->buffer);
	free(c->piece);
	*c = (struct compare){ 0 };
}

/* ---- A thread's work. ---- */

static bool compare_piece(const struct compare *c, struct compare_piece *p, uint8_t *buffer,
			  struct mfd_error *err)
{
	uint8_t now[HASH_STRONG_BYTES];

	if (!c->read(c->image, p->first * PAGE_BYTES, buffer, p->count * PAGE_BYTES, err))
		return false;
	for (uint64_t i = 0; i < p->count; i++) {
		hash_strong(buffer + i * PAGE_BYTES, PAGE_BYTES, c->secret, HASH_SECRET_MIN, now);
		if (memcmp(now, sparse_at(c->hash, p->first + i), sizeof(now)))
			p->changed |= UINT64_C(1) << i;
	}
	return true;
}

/* The next pieces nobody has, [*ret_first, *ret_end); false when there are none, or no use. */
static bool compare_take(struct compare *c, unsigned *ret_first, unsigned *ret_end)
{
	pthread_mutex_lock(&c->lock);
	*ret_first = c->failed ? c->pieces : c->taken;
	*ret_end = c->pieces - *ret_first < COMPARE_TAKE ? c->pieces : *ret_first + COMPARE_TAKE;
	c->taken = *ret_end;
	pthread_mutex_unlock(&c->lock);
	return *ret_first < *ret_end;
}

static void compare_fail(struct compare *c, const struct mfd_error *why)
{
	pthread_mutex_lock(&c->lock);
	if (!c->failed)
		c->why = *why;
	c->failed = true;
	pthread_mutex_unlock(&c->lock);
}

static void *compare_work(void *worker)
{
	const struct compare_worker *w = worker;
	struct compare *c = w->compare;
	struct mfd_error why;
	unsigned i, end;
	bool ok = true;

	while (ok && compare_take(c, &i, &end)) {
		ok = !c->go_on || c->go_on(c->opaque, &why);
		for (; ok && i < end; i++)
			ok = compare_piece(c, &c->piece[i], w->buffer, &why);
	}
	if (!ok)
		compare_fail(c, &why);
	return NULL;
}

/* ---- The collecting thread. ---- */

/* As many threads as that is worth; this one is the first of them. */
static void compare_run(struct compare *c)
{
	struct compare_worker worker[COMPARE_MAX_THREADS];
	unsigned wanted = c->pieces / COMPARE_LEAST_PIECES, n;

	if (wanted > c->threads)
		wanted = c->threads;
	c->taken = 0;
	c->failed = false;
	worker[0] = (struct compare_worker){ .compare = c, .buffer = c->buffer };
	for (n = 1; n < wanted; n++) {
		worker[n] = worker[0];
		worker[n].buffer += (size_t)n * COMPARE_PIECE_PAGES * PAGE_BYTES;
		/* Those that there are do it all. */
		if (pthread_create(&worker[n].thread, NULL, compare_work, &worker[n]))
			break;
	}
	compare_work(&worker[0]);
	while (n-- > 1)
		pthread_join(worker[n].thread, NULL);
}

bool compare_finish(struct compare *c, struct pageset *ret, struct mfd_error *err)
{
	const unsigned pieces = c->pieces;

	if (!pieces)
		return true;
	compare_run(c);
	c->pieces = 0;
	if (c->failed) {
		*err = c->why;
		return false;
	}
	for (unsigned i = 0; i < pieces; i++) {
		for (uint64_t left = c->piece[i].changed; left; left &= left - 1) {
			if (!pageset_add(ret, c->piece[i].first + (unsigned)__builtin_ctzll(left),
					 1, err))
				return false;
		}
	}
	return true;
}

bool compare_add(struct compare *c, uint64_t first, uint64_t count, struct pageset *ret,
		 struct mfd_error *err)
{
	uint64_t n;

	for (; count > 0; first += n, count -= n) {
		if (c->pieces == COMPARE_PIECES && !compare_finish(c, ret, err))
			return false;
		n = count < COMPARE_PIECE_PAGES ? count : COMPARE_PIECE_PAGES;
		c->piece[c->pieces++] = (struct compare_piece){ .first = first, .count = n };
	}
	return true;
}
