/* SPDX-License-Identifier: MIT */
/*
 * What is done to bytes on their way: flipped, dropped, sent twice, in another order or on another
 * connection.  See hostile.h.
 */
#include "hostile/hostile.h"

#include <stdlib.h>
#include <string.h>

static void grow(struct hostile_piece *p, size_t more)
{
	p->bytes = realloc(p->bytes, p->size + more);
	if (!p->bytes)
		abort();
	p->size += more;
}

static void cut_out(struct hostile_piece *p, size_t from, size_t size)
{
	memmove(p->bytes + from, p->bytes + from + size, p->size - from - size);
	p->size -= size;
}

void hostile_piece_put(struct hostile_piece *p, size_t at, const void *bytes, size_t size)
{
	const size_t behind = p->size - at;

	if (!size)
		return;
	grow(p, size);
	memmove(p->bytes + at + size, p->bytes + at, behind);
	memcpy(p->bytes + at, bytes, size);
}

/* Malloced. */
static uint8_t *copy_of(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size + 1);

	if (!copy)
		abort();
	memcpy(copy, bytes, size);
	return copy;
}

/* Two neighbours change places, or this goes behind what is sent next. */
static void swap(struct hostile_piece *p, struct hostile_piece *held, bool whole, size_t from,
		 size_t size)
{
	uint8_t *copy;

	if (whole && !held->bytes) {
		held->bytes = copy_of(p->bytes, p->size);
		held->size = p->size;
		p->size = 0;
		return;
	}
	if (size > (p->size - from) / 2)
		size = (p->size - from) / 2;
	copy = copy_of(p->bytes + from, size);
	memmove(p->bytes + from, p->bytes + from + size, size);
	memcpy(p->bytes + from + size, copy, size);
	free(copy);
}

/* Leave it for another connection. */
static void stray(struct hostile_wires *w, uint32_t id, struct hostile_piece *p, size_t from,
		  size_t size)
{
	pthread_mutex_lock(&w->lock);
	if (!w->stray) {
		w->stray = copy_of(p->bytes + from, size);
		w->stray_bytes = size;
		w->stray_from = id;
		cut_out(p, from, size);
	}
	pthread_mutex_unlock(&w->lock);
}

void hostile_take_stray(struct hostile_wires *w, uint32_t id, struct hostile_piece *p)
{
	uint8_t *bytes = NULL;
	size_t size = 0;

	pthread_mutex_lock(&w->lock);
	if (w->stray && w->stray_from != id && id < MFD_MAX_CHANNELS) {
		bytes = w->stray;
		size = w->stray_bytes;
		w->stray = NULL;
	}
	pthread_mutex_unlock(&w->lock);
	hostile_piece_put(p, 0, bytes, size);
	free(bytes);
}

void hostile_damage(struct hostile_wires *w, uint32_t id, struct hostile_fault *f,
		    struct hostile_piece *p, struct hostile_piece *held)
{
	const uint64_t off = f->at - p->start;
	const size_t from = f->whole ? 0 : off < p->size ? (size_t)off : p->size;
	size_t size = p->size - from;
	uint8_t *copy;

	if (!f->whole && f->number < size)
		size = f->number;
	if (!size)
		return;
	f->fired++;
	switch (f->kind) {
	case HOSTILE_FLIP:
		p->bytes[from] ^= (uint8_t)(1u << f->number % 8);
		break;
	case HOSTILE_DROP:
		cut_out(p, from, size);
		break;
	case HOSTILE_DUPLICATE:
		copy = copy_of(p->bytes + from, size);
		hostile_piece_put(p, from, copy, size);
		free(copy);
		break;
	case HOSTILE_SWAP:
		swap(p, held, f->whole, from, size);
		break;
	case HOSTILE_CROSS:
		stray(w, id, p, from, size);
		break;
	default:
		break;
	}
}
