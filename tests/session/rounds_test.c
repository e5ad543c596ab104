/* SPDX-License-Identifier: MIT */
/*
 * Several rounds: pages change while they are moved, and what was sent last is what is there in the
 * end.  The test sink knows what each page has to be in each round, and that no page of a round may
 * come before the round before it is complete.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/testing.h"
#include "unit/scratch.h"

static const struct method_ops *const methods[] = { &method_none, &method_zlib, &method_zstd };

struct live {
	struct testing_image image;
	const struct method_ops *method;
	unsigned channels;
	uint32_t packet_pages;
	bool rereadable;
	bool knows_zeros;
	unsigned slow_writes;
	bool unknown_size;           /* before the end */
};

static void move(const struct live *l)
{
	struct testing_source source;
	struct testing_sink sink;
	struct testing_pair p;

	testing_source_init(&source, &l->image, l->rereadable);
	source.knows_zeros = l->knows_zeros;
	if (l->unknown_size)
		source.source.info.size = source.source.info.allocated = MFD_UNKNOWN;
	testing_sink_init(&sink, &l->image);
	sink.slow_writes = l->slow_writes;
	sink.write_ms = 5;
	testing_pair_init(&p, __func__, &source.source, &sink.sink);
	p.method = l->method;
	p.channels = l->channels;
	p.packet_pages = l->packet_pages;
	if (!testing_run(&p) || !testing_agreed(&p))
		fail_msg("%u rounds, %s, %u channels: sender %s; receiver %s", l->image.rounds,
			 l->method->name, l->channels, p.sender.error.text, p.receiver.error.text);
	assert_int_equal(sink.wrong, 0);
	assert_int_equal(sink.overtaken, 0);
	assert_true(testing_sink_complete(&sink));
	assert_int_equal(p.sender.stats.rounds, l->image.rounds);
	assert_int_equal(p.receiver.stats.rounds, l->image.rounds);
	assert_int_equal(p.sender.stats.hash, testing_hash(&l->image));
	testing_sink_destroy(&sink);
}

static void the_newest_content_wins_with_every_method(void **state)
{
	(void)state;
	for (uint32_t rounds = 3; rounds <= 10; rounds++) {
		for (unsigned m = 0; m < TESTING_COUNT(methods); m++) {
			const struct live l = {
				.image = { .seed = rounds, .size = 3u << 20, .kind = TESTING_MIXED,
					   .rounds = rounds },
				.method = methods[m], .channels = 8, .packet_pages = 16,
				.rereadable = true,
			};

			move(&l);
		}
	}
}

/*
 * The size is known at the end only, as that of a process is: also then the image hash is that of
 * the finished image.
 */
static void rounds_of_an_image_of_unknown_size_arrive(void **state)
{
	(void)state;
	for (uint64_t size = 0; size < 3 * PAGE_BYTES; size += PAGE_BYTES - 1) {
		const struct live l = {
			.image = { .seed = 3, .size = (20u << 20) + size, .kind = TESTING_MIXED,
				   .rounds = 4 },
			.method = &method_zstd, .channels = 4, .packet_pages = 64,
			.rereadable = true, .knows_zeros = true,
			.unknown_size = true,
		};

		move(&l);
	}
}

/* Every page that changes becomes zero if it was data, and data if it was zero. */
static void a_page_may_become_zero_and_data_again(void **state)
{
	(void)state;
	for (unsigned m = 0; m < TESTING_COUNT(methods); m++) {
		for (unsigned way = 0; way < 3; way++) {
			const struct live l = {
				.image = { .seed = 70 + m, .size = (1u << 20) + 100,
					   .kind = TESTING_ALTERNATING, .rounds = 9 },
				.method = methods[m], .channels = 8, .packet_pages = 16,
				.rereadable = way != 2, .knows_zeros = way == 1,
				.unknown_size = m == way,
			};

			move(&l);
		}
	}
}

static void a_round_of_the_next_content_never_overtakes(void **state)
{
	(void)state;
	for (unsigned channels = 1; channels <= 8; channels *= 2) {
		const struct live l = {
			.image = { .seed = channels, .size = 1u << 20, .kind = TESTING_RANDOM,
				   .rounds = 4 },
			.method = &method_none, .channels = channels, .packet_pages = 2,
			.rereadable = true, .slow_writes = 40,
		};

		move(&l);
	}
}

static void more_channels_than_pages_still_agree_on_each_round(void **state)
{
	const struct live l = {
		.image = { .seed = 5, .size = 3 * PAGE_BYTES + 1, .kind = TESTING_ALTERNATING,
			   .rounds = 30 },
		.method = &method_zstd, .channels = 32, .packet_pages = 16, .rereadable = true,
	};

	(void)state;
	move(&l);
}

static void rounds_of_an_empty_image_end(void **state)
{
	const struct live l = {
		.image = { .size = 0, .kind = TESTING_RANDOM, .rounds = 5 },
		.method = &method_zstd, .channels = 4, .packet_pages = 16, .rereadable = true,
	};

	(void)state;
	move(&l);
}

static void seeded_rounds_arrive_identical(void **state)
{
	uint64_t seed = 11;

	(void)state;
	for (unsigned i = 0; i < testing_sweep(15, 1000); i++) {
		const struct live l = {
			.image = { .seed = testing_random(&seed),
				   .size = testing_random(&seed) % (1u << 20),
				   .kind = testing_random(&seed) % 5,
				   .rounds = 1 + testing_random(&seed) % 12 },
			.method = methods[testing_random(&seed) % 3],
			.channels = 1 + testing_random(&seed) % 12,
			.packet_pages = 1 + testing_random(&seed) % 40,
			.rereadable = testing_random(&seed) % 2,
			.knows_zeros = testing_random(&seed) % 2,
			.unknown_size = testing_random(&seed) % 2,
		};

		move(&l);
	}
}

/* ---- Real files. ---- */

/* A file full of old data. */
static void make_old(const char *path, uint64_t size)
{
	uint8_t page[PAGE_BYTES];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	memset(page, 0xa5, sizeof(page));
	for (uint64_t at = 0; at < size; at += PAGE_BYTES)
		assert_int_equal(pwrite(fd, page, size - at < PAGE_BYTES ? size - at : PAGE_BYTES,
					(off_t)at),
				 size - at < PAGE_BYTES ? size - at : PAGE_BYTES);
	close(fd);
}

static void check_file(const char *path, const struct testing_image *image)
{
	uint8_t have[PAGE_BYTES], want[PAGE_BYTES];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), image->size);
	for (uint64_t page = 0; page < batch_pages_of(image->size); page++) {
		uint64_t left = image->size - page * PAGE_BYTES;
		size_t n = left < PAGE_BYTES ? left : PAGE_BYTES;

		testing_content(image, page, image->rounds - 1, want);
		assert_int_equal(pread(fd, have, n, (off_t)(page * PAGE_BYTES)), n);
		assert_memory_equal(have, want, n);
	}
	close(fd);
}

/* Over @old bytes of old data, if any. */
static void move_to_file(const struct testing_image *image, uint64_t old, bool inplace,
			 bool rereadable, const struct method_ops *method)
{
	const struct sink_file_options options = { .force = true, .inplace = inplace,
						   .no_fsync = true };
	struct testing_source source;
	struct testing_pair p;
	struct mfd_error err;
	struct scratch dir;
	char path[PATH_MAX];
	struct sink *sink;

	assert_int_equal(scratch_new(&dir), 0);
	snprintf(path, sizeof(path), "%s/image", dir.dir);
	if (old)
		make_old(path, old);
	assert_true(sink_file_new(path, &options, &sink, &err));
	testing_source_init(&source, image, rereadable);
	source.knows_zeros = rereadable && image->seed % 2;
	testing_pair_init(&p, __func__, &source.source, sink);
	p.method = method;
	p.channels = 8;
	assert_true(testing_run(&p));
	assert_true(testing_agreed(&p));
	sink->ops->free(sink);
	check_file(path, image);
	assert_int_equal(scratch_entries(dir.dir), 1);
	assert_int_equal(scratch_free(&dir), 0);
}

static void in_place_zeros_replace_an_old_image_full_of_data(void **state)
{
	(void)state;
	for (uint32_t rounds = 1; rounds <= 3; rounds += 2) {
		for (unsigned i = 0; i < 4; i++) {
			const struct testing_image image = { .seed = i, .size = (2u << 20) + 77,
							     .kind = TESTING_ZERO,
							     .rounds = rounds };

			move_to_file(&image, 3u << 20, true, i < 2, methods[i % 3]);
		}
	}
}

static void in_place_the_newest_content_wins(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		const struct testing_image image = { .seed = i, .size = (1u << 20) + i,
						     .kind = TESTING_ALTERNATING, .rounds = 1 + i };

		move_to_file(&image, (1u << 20) - 4096 * i, true, i % 2, methods[i % 3]);
	}
}

static void a_new_file_gets_the_newest_content_and_its_zeros(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		const struct testing_image image = { .seed = i, .size = (1u << 20) + i,
						     .kind = TESTING_ALTERNATING, .rounds = 1 + i };

		move_to_file(&image, i % 2 ? 5u << 20 : 0, false, i % 3, methods[i % 3]);
	}
}

/* ---- What these tests rely on. ---- */

static void deliver(struct testing_sink *s, uint64_t page, uint32_t round)
{
	uint8_t bytes[PAGE_BYTES];
	struct mfd_error err;

	testing_content(&s->image, page, round, bytes);
	assert_true(s->sink.ops->write(&s->sink, page * PAGE_BYTES, bytes, PAGE_BYTES, &err));
}

static void the_test_sink_notices_what_overtakes_or_is_wrong(void **state)
{
	const struct testing_image image = { .seed = 1, .size = 64 * PAGE_BYTES,
					     .kind = TESTING_RANDOM, .rounds = 2 };
	struct testing_sink sink;
	uint64_t changed = 0;

	(void)state;
	while (testing_generation(&image, changed, 1) != 1)
		changed++;
	testing_sink_init(&sink, &image);
	deliver(&sink, changed, 0);
	assert_int_equal(sink.overtaken + sink.wrong, 0);
	deliver(&sink, changed, 1);
	assert_int_equal(sink.overtaken, 1);
	assert_int_equal(sink.wrong, 0);
	deliver(&sink, changed + 1, testing_generation(&image, changed + 1, 1) ? 1 : 0);
	deliver(&sink, changed, 1);
	assert_true(sink.wrong > 0);
	assert_false(testing_sink_complete(&sink));
	testing_sink_destroy(&sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_content_wins_with_every_method),
		cmocka_unit_test(rounds_of_an_image_of_unknown_size_arrive),
		cmocka_unit_test(a_page_may_become_zero_and_data_again),
		cmocka_unit_test(a_round_of_the_next_content_never_overtakes),
		cmocka_unit_test(more_channels_than_pages_still_agree_on_each_round),
		cmocka_unit_test(rounds_of_an_empty_image_end),
		cmocka_unit_test(seeded_rounds_arrive_identical),
		cmocka_unit_test(in_place_zeros_replace_an_old_image_full_of_data),
		cmocka_unit_test(in_place_the_newest_content_wins),
		cmocka_unit_test(a_new_file_gets_the_newest_content_and_its_zeros),
		cmocka_unit_test(the_test_sink_notices_what_overtakes_or_is_wrong),
	};

	return cmocka_run_group_tests_name("rounds", tests, NULL, NULL);
}
