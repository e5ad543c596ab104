/* SPDX-License-Identifier: MIT */
/*
 * Images whose pages can be computed anywhere, and the source that has them: see testing.h.
 */
#include "common/testing.h"

#include <errno.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/clock.h"
#include "base/hash.h"

static uint64_t mix(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t state = a * 3 + b * 0x10001 + c * UINT64_C(0x100000001b3);

	return testing_random(&state);
}

/* ---- Images. ---- */

static void fill_random(uint64_t seed, uint8_t *page)
{
	for (unsigned i = 0; i < PAGE_BYTES; i += 8) {
		uint64_t value = testing_random(&seed);

		memcpy(page + i, &value, 8);
	}
}

static void fill_text(uint64_t seed, uint8_t *page)
{
	static const char *const words[] = { "page ", "memory ", "the ", "guest\n", "channel ",
					     "0x7f3a", "round, ", "and " };
	size_t used = 0;

	while (used < PAGE_BYTES) {
		const char *word = words[testing_random(&seed) % TESTING_COUNT(words)];
		size_t n = strlen(word);

		if (n > PAGE_BYTES - used)
			n = PAGE_BYTES - used;
		memcpy(page + used, word, n);
		used += n;
	}
}

void testing_page(uint64_t seed, uint64_t index, uint32_t generation, enum testing_kind kind,
		  uint8_t page[static PAGE_BYTES])
{
	const uint64_t own = mix(seed, index, generation);

	if (kind == TESTING_ALTERNATING)
		kind = (index + generation) % 2 ? TESTING_ZERO : TESTING_RANDOM;
	if (kind == TESTING_MIXED)
		kind = own % 3 == 0 ? TESTING_ZERO : own % 3 == 1 ? TESTING_RANDOM : TESTING_TEXT;
	if (kind == TESTING_ZERO)
		memset(page, 0, PAGE_BYTES);
	else if (kind == TESTING_RANDOM)
		fill_random(own, page);
	else
		fill_text(own, page);
}

static bool changes(const struct testing_image *image, uint64_t page, uint32_t round)
{
	return round == 0 || mix(~image->seed, page, round) % 3 == 0;
}

uint32_t testing_generation(const struct testing_image *image, uint64_t page, uint32_t round)
{
	while (!changes(image, page, round))
		round--;
	return round;
}

void testing_content(const struct testing_image *image, uint64_t page, uint32_t round,
		     uint8_t ret[static PAGE_BYTES])
{
	const uint64_t left = image->size - page * PAGE_BYTES;

	testing_page(image->seed, page, testing_generation(image, page, round), image->kind, ret);
	if (left < PAGE_BYTES)
		memset(ret + left, 0, PAGE_BYTES - left);
}

bool testing_is_zero(const uint8_t page[static PAGE_BYTES])
{
	return !page[0] && !memcmp(page, page + 1, PAGE_BYTES - 1);
}

uint64_t testing_hash(const struct testing_image *image)
{
	const uint64_t pages = batch_pages_of(image->size);
	uint8_t page[PAGE_BYTES];
	uint64_t sum = 0;

	for (uint64_t i = 0; i < pages && image->kind != TESTING_ZERO; i++) {
		testing_content(image, i, image->rounds - 1, page);
		sum += testing_is_zero(page) ? 0 : hash_page(page, PAGE_BYTES, 0, i);
	}
	return sum;
}

/* ---- A source. ---- */

static bool known_zero(const struct testing_source *s, uint64_t page)
{
	uint8_t content[PAGE_BYTES];

	if (!s->knows_zeros)
		return false;
	if (s->image.kind == TESTING_ZERO)
		return true;
	testing_content(&s->image, page, s->round, content);
	return testing_is_zero(content);
}

/* Zero pages from `at` on that this round carries, if they are worth a run of their own. */
static bool source_zero_run(struct testing_source *s, uint64_t pages, uint32_t max_pages,
			    struct batch *b)
{
	uint64_t n = 0;

	if (!s->knows_zeros || s->round)
		return false;
	if (s->image.kind == TESTING_ZERO)
		n = pages - s->at;
	while (s->at + n < pages && n < 2 * max_pages && known_zero(s, s->at + n))
		n++;
	if (n < max_pages)
		return false;
	b->first = s->at;
	b->count = n;
	b->zero_run = true;
	s->at += n;
	return true;
}

static void source_take(struct testing_source *s, uint64_t pages, uint32_t max_pages,
			struct batch *b)
{
	b->first = s->at;
	for (uint32_t i = 0; i < max_pages && s->at < pages; i++, s->at++) {
		if (!changes(&s->image, s->at, s->round))
			continue;
		bitmap_set(b->carried, i);
		if (!known_zero(s, s->at))
			bitmap_set(b->data, i);
		b->count = i + 1;
	}
}

/* One page of a batch, or the failure that the test has put there. */
static bool source_page(const struct testing_source *s, uint64_t page, uint32_t round, uint8_t *ret,
			struct mfd_error *err)
{
	const bool fails = page == s->fail_page && round >= s->fail_round;

	if (fails && s->fail_status == MFD_NO_INPUT)
		return error_set(err, MFD_NO_INPUT, "test image: has become shorter");
	if (fails)
		return error_set_os(err, s->fail_status, EIO, "test image");
	testing_content(&s->image, page, round, ret);
	return true;
}

static bool source_read(struct source *source, const struct batch *b, uint8_t *buffer,
			struct mfd_error *err)
{
	const struct testing_source *s = (const struct testing_source *)source;

	for (uint32_t i = 0; i < b->count; i++) {
		if (bitmap_test(b->data, i) &&
		    !source_page(s, b->first + i, b->round, buffer + (size_t)i * PAGE_BYTES, err))
			return false;
	}
	return true;
}

/* An input that has nothing to say, for a while or for ever. */
static bool source_wait(struct testing_source *s, const struct event *stop, uint64_t deadline_ns,
			struct mfd_error *err)
{
	s->stalled = true;
	if (event_wait_fd(stop, -1, 0, deadline_ns) == EVENT_STOPPED)
		return error_set(err, MFD_TRY_AGAIN, "stopped");
	return true;
}

static bool source_next(struct source *source, uint32_t max_pages, uint8_t *buffer,
			const struct event *stop, struct batch *ret_batch, bool *ret_end,
			struct mfd_error *err)
{
	struct testing_source *s = (struct testing_source *)source;
	const uint64_t pages = batch_pages_of(s->image.size);

	if (s->at >= s->stall_page && !source_wait(s, stop, CLOCK_NEVER, err))
		return false;
	if (s->next_ms && s->at >= pages / 2) {
		if (!source_wait(s, stop, clock_deadline_ms(s->next_ms), err))
			return false;
		s->next_ms = 0;
	}
	while (s->at < pages && !changes(&s->image, s->at, s->round))
		s->at++;
	*ret_end = s->at == pages;
	if (*ret_end)
		return true;
	if (source_zero_run(s, pages, max_pages, ret_batch))
		return true;
	source_take(s, pages, max_pages, ret_batch);
	ret_batch->round = s->round;
	return source->info.rereadable || source_read(source, ret_batch, buffer, err);
}

static bool source_end_round(struct source *source, uint32_t round, const struct event *stop,
			     bool *ret_again, uint64_t *ret_size, struct mfd_error *err)
{
	struct testing_source *s = (struct testing_source *)source;

	(void)stop;
	(void)err;
	*ret_again = round + 1 < s->image.rounds;
	*ret_size = s->image.size;
	s->round = round + 1;
	s->at = 0;
	return true;
}

/* The test owns it. */
static void source_free(struct source *source)
{
	(void)source;
}

static const struct source_ops testing_source_ops = {
	.kind = "test",
	.next = source_next,
	.read = source_read,
	.end_round = source_end_round,
	.report = source_report_nothing,
	.free = source_free,
};

void testing_source_init(struct testing_source *s, const struct testing_image *image,
			 bool rereadable)
{
	*s = (struct testing_source){
		.source = { &testing_source_ops, {
			.name = "test image",
			.size = rereadable || image->rounds > 1 ? image->size : UINT64_MAX,
			.allocated = UINT64_MAX,
			.rereadable = rereadable,
			.rounds = image->rounds > 1,
		} },
		.image = *image,
		.fail_page = TESTING_NEVER,
		.stall_page = TESTING_NEVER,
	};
}
