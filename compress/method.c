/* SPDX-License-Identifier: MIT */
/*
 * The table of methods, and what they share: runs of data pages as IOVs, packing, bounds.
 */
#include "compress/method.h"

#include <string.h>

#include "base/bitmap.h"

static const struct method_ops *const method_table[] = {
	&method_none,
	&method_zlib,
	&method_zstd,
};

#define METHODS (sizeof(method_table) / sizeof(method_table[0]))

const struct method_ops *method_at(unsigned i)
{
	return i < METHODS ? method_table[i] : NULL;
}

const struct method_ops *method_by_name(const char *name)
{
	for (unsigned i = 0; i < METHODS; i++)
		if (strcmp(method_table[i]->name, name) == 0)
			return method_table[i];
	return strcmp(method_auto.name, name) == 0 ? &method_auto : NULL;
}

const struct method_ops *method_by_id(unsigned id)
{
	for (unsigned i = 0; i < METHODS; i++)
		if ((unsigned)method_table[i]->id == id)
			return method_table[i];
	return NULL;
}

bool method_check_level(const struct method_ops *ops, int level, struct mfd_error *err)
{
	if (!ops->level_min && !ops->level_max)
		return error_set(err, MFD_USAGE, "%s has no levels", ops->name);
	if (level >= ops->level_min && level <= ops->level_max && (level || ops->level_zero))
		return true;
	if (ops->level_min < 0 && ops->level_max > 0 && !ops->level_zero)
		return error_set(err, MFD_USAGE, "%s levels are %d..-1 and 1..%d", ops->name,
				 ops->level_min, ops->level_max);
	return error_set(err, MFD_USAGE, "%s levels are %d..%d", ops->name, ops->level_min,
			 ops->level_max);
}

const char *method_own_encoder(const struct method_ops *ops, int level)
{
	(void)level;
	return ops->name;
}

const char *method_own_decoder(const struct method_ops *ops)
{
	return ops->name;
}

void method_join_ignored(struct method *m, struct method *with)
{
	(void)m;
	(void)with;
}

void method_sent_ignored(struct method *m, const struct method_sent *sent)
{
	(void)m;
	(void)sent;
}

void method_raw(const struct method_pages *pages, struct method_payload *payload)
{
	const size_t page = pages->page_bytes;
	uint32_t first = 0;
	uint32_t run = pages->data_pages;

	payload->id = METHOD_NONE;
	payload->bytes = pages->data_pages * pages->page_bytes;
	payload->iovs = 0;
	if (pages->packed) {
		payload->iov[payload->iovs++] = (struct iovec){ pages->bytes, run * page };
		return;
	}
	for (; bitmap_next_run(pages->data, pages->count, &first, &run); first += run)
		payload->iov[payload->iovs++] =
			(struct iovec){ pages->bytes + first * page, run * page };
}

void method_coded(struct method_payload *payload, enum method_id id, uint8_t *bytes,
		  size_t size)
{
	payload->id = id;
	payload->bytes = (uint32_t)size;
	payload->iov[0] = (struct iovec){ bytes, size };
	payload->iovs = 1;
}

void method_pack(struct method_pages *pages)
{
	const size_t page = pages->page_bytes;
	uint8_t *to = pages->bytes;
	uint32_t first = 0;
	uint32_t run;

	if (pages->packed)
		return;
	for (; bitmap_next_run(pages->data, pages->count, &first, &run); first += run) {
		if (to != pages->bytes + first * page)
			memmove(to, pages->bytes + first * page, run * page);
		to += run * page;
	}
	pages->packed = true;
}

bool method_check_sizes(const struct method_ops *ops, size_t size, size_t bytes,
			struct mfd_error *err)
{
	if (!size)
		return error_set(err, MFD_DATA, "%s payload is empty", ops->name);
	if (bytes > METHOD_MAX_BYTES)
		return error_set(err, MFD_DATA,
				 "%s payload for %zu bytes of pages, more than %u", ops->name,
				 bytes, (unsigned)METHOD_MAX_BYTES);
	if (size >= bytes)
		return error_set(err, MFD_DATA, "%s payload of %zu bytes is not smaller than %zu",
				 ops->name, size, bytes);
	return true;
}
