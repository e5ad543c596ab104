/* SPDX-License-Identifier: MIT */
/*
 * What holds for every image: it arrives identical, and both ends name the same hash, which depends
 * on the image alone.  Sizes and contents are those at which something changes: pages, packets,
 * channels without work.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/testing.h"
#include "unit/scratch.h"

#define PACKET_PAGES 16u
#define PACKET (PACKET_PAGES * PAGE_BYTES)

static const uint64_t sizes[] = { 0, 1, 4095, 4096, 4097, PACKET - PAGE_BYTES, PACKET - 1, PACKET,
				  PACKET + 1,
				  PACKET + PAGE_BYTES, 3 * PACKET + 1 };
static const struct method_ops *const methods[] = { &method_none, &method_zlib, &method_zstd,
						    &method_auto };
static const unsigned channels[] = { 1, 2, 8, 32 };

/* Both ends count the same pages, and together they are the image. */
static void check_totals(const struct testing_pair *p, const struct testing_image *image)
{
	const struct mfd_stats *s = &p->sender.stats, *r = &p->receiver.stats;

	assert_int_equal(s->pages_data + s->pages_zero, batch_pages_of(image->size));
	assert_int_equal(s->pages_data, r->pages_data);
	assert_int_equal(s->pages_zero, r->pages_zero);
	assert_int_equal(s->bytes_wire, r->bytes_wire);
	assert_int_equal(s->bytes_image, image->size);
	assert_int_equal(r->bytes_image, image->size);
	assert_int_equal(s->bytes_done, image->size);
	assert_int_equal(r->bytes_done, image->size);
	assert_int_equal(s->phase, MFD_FINISHED);
	assert_int_equal(r->phase, MFD_FINISHED);
	assert_int_equal(s->rounds, 1);
	assert_int_equal(r->rounds, 1);
	assert_int_equal(r->channels, p->channels);
	/* What decodes it; with levels of their own the packets have no common one. */
	assert_string_equal(s->method, p->method->name);
	assert_string_equal(r->method, method_by_id(p->method->id)->name);
	if (p->method->adaptive)
		assert_int_equal(r->level, 0);
}

static void move(const struct testing_image *image, bool rereadable, bool knows_zeros,
		 const struct method_ops *method, unsigned n)
{
	struct testing_source source;
	struct testing_sink sink;
	struct testing_pair p;

	testing_source_init(&source, image, rereadable);
	source.knows_zeros = knows_zeros && rereadable;
	testing_sink_init(&sink, image);
	testing_pair_init(&p, __func__, &source.source, &sink.sink);
	p.method = method;
	p.channels = n;
	p.packet_pages = PACKET_PAGES;
	if (!testing_run(&p) || !testing_agreed(&p))
		fail_msg("size %llu, kind %d, %s, %u channels: sender %s; receiver %s",
			 (unsigned long long)image->size, image->kind, method->name, n,
			 p.sender.error.text, p.receiver.error.text);
	assert_true(testing_sink_complete(&sink));
	assert_int_equal(p.sender.stats.hash, testing_hash(image));
	check_totals(&p, image);
	testing_sink_destroy(&sink);
}

static void move_all(enum testing_kind kind, bool rereadable, bool knows_zeros)
{
	for (unsigned i = 0; i < TESTING_COUNT(sizes); i++) {
		const struct testing_image image = { .seed = 1000 + i, .size = sizes[i],
						     .kind = kind, .rounds = 1 };

		for (unsigned m = 0; m < TESTING_COUNT(methods); m++) {
			for (unsigned c = 0; c < TESTING_COUNT(channels); c++)
				move(&image, rereadable, knows_zeros, methods[m], channels[c]);
		}
	}
}

static void an_image_of_zeros_arrives_identical(void **state)
{
	(void)state;
	move_all(TESTING_ZERO, true, false);
}

static void an_image_that_cannot_be_compressed_arrives_identical(void **state)
{
	(void)state;
	move_all(TESTING_RANDOM, true, false);
}

static void an_image_of_text_arrives_identical(void **state)
{
	(void)state;
	move_all(TESTING_TEXT, true, false);
}

static void an_image_of_alternating_pages_arrives_identical(void **state)
{
	(void)state;
	move_all(TESTING_ALTERNATING, true, false);
}

static void an_image_of_mixed_pages_arrives_identical(void **state)
{
	(void)state;
	move_all(TESTING_MIXED, true, false);
}

static void zero_pages_known_to_the_source_arrive_as_zeros(void **state)
{
	(void)state;
	move_all(TESTING_ALTERNATING, true, true);
	move_all(TESTING_ZERO, true, true);
}

static void a_source_that_is_read_once_arrives_identical(void **state)
{
	(void)state;
	move_all(TESTING_MIXED, false, false);
}

/* More batches than there are buffers, slots and places in the logs. */
static void a_long_stream_goes_round_its_buffers(void **state)
{
	const struct testing_image image = { .seed = 7, .size = (24u << 20) + 5,
					     .kind = TESTING_MIXED, .rounds = 1 };

	(void)state;
	for (unsigned c = 0; c < TESTING_COUNT(channels); c++)
		move(&image, false, false, &method_none, channels[c]);
}

static void a_long_image_goes_round_its_logs(void **state)
{
	const struct testing_image image = { .seed = 8, .size = (24u << 20) + 4095,
					     .kind = TESTING_MIXED, .rounds = 1 };

	(void)state;
	move(&image, true, false, &method_zstd, 1);
	move(&image, true, true, &method_none, 8);
}

static void seeded_images_arrive_identical(void **state)
{
	uint64_t seed = 42;

	(void)state;
	for (unsigned i = 0; i < testing_sweep(20, 2000); i++) {
		const struct testing_image image = { .seed = testing_random(&seed),
						     .size = testing_random(&seed) % (2u << 20),
						     .kind = testing_random(&seed) % 5,
						     .rounds = 1 };

		move(&image, testing_random(&seed) % 2, testing_random(&seed) % 2,
		     methods[testing_random(&seed) % TESTING_COUNT(methods)],
		     1 + testing_random(&seed) % 9);
	}
}

static void a_packet_may_be_as_large_as_the_wire_allows(void **state)
{
	const struct testing_image image = { .seed = 9, .size = (9u << 20) + 1,
					     .kind = TESTING_MIXED, .rounds = 1 };
	static const uint32_t pages[] = { 1, 63, 64, 65, 1023, BATCH_MAX_PAGES };

	(void)state;
	for (unsigned i = 0; i < TESTING_COUNT(pages); i++) {
		struct testing_source source;
		struct testing_sink sink;
		struct testing_pair p;

		testing_source_init(&source, &image, i % 2);
		testing_sink_init(&sink, &image);
		testing_pair_init(&p, __func__, &source.source, &sink.sink);
		p.packet_pages = pages[i];
		assert_true(testing_run(&p));
		assert_true(testing_agreed(&p));
		assert_true(testing_sink_complete(&sink));
		assert_int_equal(p.sender.stats.hash, testing_hash(&image));
		testing_sink_destroy(&sink);
	}
}

/* ---- Real files. ---- */

/* Data at the runs, holes between them. */
struct run {
	uint64_t at, bytes;
};

static void make_file(const char *path, uint64_t size, const struct run *run, unsigned runs)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint8_t page[PAGE_BYTES];

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	for (unsigned i = 0; i < runs; i++) {
		for (uint64_t done = 0; done < run[i].bytes; done += PAGE_BYTES) {
			size_t n = run[i].bytes - done < PAGE_BYTES ? run[i].bytes - done
								    : PAGE_BYTES;

			testing_page(3, (run[i].at + done) / PAGE_BYTES, 0, TESTING_TEXT, page);
			assert_int_equal(pwrite(fd, page, n, (off_t)(run[i].at + done)), n);
		}
	}
	close(fd);
}

static void compare_at(int a, int b, uint64_t at, uint64_t bytes)
{
	uint8_t left[PAGE_BYTES], right[PAGE_BYTES];

	for (uint64_t done = 0; done < bytes; done += PAGE_BYTES) {
		size_t n = bytes - done < PAGE_BYTES ? bytes - done : PAGE_BYTES;

		assert_int_equal(pread(a, left, n, (off_t)(at + done)), n);
		assert_int_equal(pread(b, right, n, (off_t)(at + done)), n);
		assert_memory_equal(left, right, n);
	}
}

/* Same size, same data, and nothing but holes where there were holes. */
static void compare_files(const char *from, const char *to, uint64_t size, const struct run *run,
			  unsigned runs)
{
	int a = open(from, O_RDONLY | O_CLOEXEC), b = open(to, O_RDONLY | O_CLOEXEC);
	uint64_t data = 0;
	struct stat st;

	assert_true(a >= 0 && b >= 0);
	assert_int_equal(fstat(b, &st), 0);
	assert_int_equal(st.st_size, size);
	for (unsigned i = 0; i < runs; i++) {
		compare_at(a, b, run[i].at, run[i].bytes);
		data += run[i].bytes + 2 * PAGE_BYTES;
	}
	if (size <= 64u << 20)
		compare_at(a, b, 0, size);
	/* A file system may round, and adds its own blocks. */
	assert_true((uint64_t)st.st_blocks * 512 <= data + (1u << 20));
	close(a);
	close(b);
}

static void move_file(uint64_t size, const struct run *run, unsigned runs,
		      const struct method_ops *method)
{
	const struct sink_file_options plain = { .no_fsync = true };
	struct source *source;
	struct testing_pair p;
	struct mfd_error err;
	struct scratch dir;
	char from[PATH_MAX], to[PATH_MAX];
	struct sink *sink;

	assert_int_equal(scratch_new(&dir), 0);
	snprintf(from, sizeof(from), "%s/from", dir.dir);
	snprintf(to, sizeof(to), "%s/to", dir.dir);
	make_file(from, size, run, runs);
	assert_true(source_file_new(from, MFD_CACHE_KEEP, &source, &err));
	assert_true(sink_file_new(to, &plain, &sink, &err));
	testing_pair_init(&p, __func__, source, sink);
	p.method = method;
	p.packet_pages = 64;
	if (!testing_run(&p) || !testing_agreed(&p))
		fail_msg("%llu bytes: sender %s; receiver %s", (unsigned long long)size,
			 p.sender.error.text, p.receiver.error.text);
	source->ops->free(source);
	sink->ops->free(sink);
	assert_int_equal(p.receiver.stats.bytes_image, size);
	compare_files(from, to, size, run, runs);
	assert_int_equal(scratch_entries(dir.dir), 2);
	assert_int_equal(scratch_free(&dir), 0);
}

static void real_files_arrive_identical(void **state)
{
	(void)state;
	for (unsigned i = 0; i < TESTING_COUNT(sizes); i++) {
		const struct run whole = { 0, sizes[i] };

		for (unsigned m = 0; m < TESTING_COUNT(methods); m++)
			move_file(sizes[i], &whole, 1, methods[m]);
	}
}

static void holes_stay_holes(void **state)
{
	const struct run runs[] = { { 0, 1 }, { 1u << 20, 300000 }, { 5u << 20, 4096 },
				    { (8u << 20) - 10, 10 } };

	(void)state;
	move_file(8u << 20, runs, TESTING_COUNT(runs), &method_none);
	move_file(8u << 20, runs, TESTING_COUNT(runs), &method_zstd);
	move_file(8u << 20, NULL, 0, &method_zlib);
}

static void five_gib_of_holes_take_no_time(void **state)
{
	const uint64_t size = UINT64_C(5) << 30, before = clock_ns();
	const struct run runs[] = { { 12345 * PAGE_BYTES, 9000 }, { size - 4097, 4097 } };

	(void)state;
	move_file(size, runs, TESTING_COUNT(runs), &method_zstd);
	assert_true(clock_ns() - before < 10 * CLOCK_NS_PER_S);
}

static void sizes_around_32_bits_are_kept(void **state)
{
	static const int64_t off[] = { -4096, -1, 0, 1, 4096 };

	(void)state;
	for (unsigned shift = 31; shift <= 32; shift++) {
		for (unsigned i = 0; i < TESTING_COUNT(off); i++) {
			const uint64_t size = (UINT64_C(1) << shift) + (uint64_t)off[i];
			const struct run runs[] = { { 0, 4096 },
						    { (UINT64_C(1) << shift) - 3 * PAGE_BYTES,
						      PAGE_BYTES },
						    { size - 2, 2 } };

			move_file(size, runs, TESTING_COUNT(runs), methods[i % 3]);
		}
	}
}

/* ---- A pipe. ---- */

struct feeder {
	const struct testing_image *image;
	int fd;
	size_t piece;
	unsigned pause_us;
};

static void *feed(void *opaque)
{
	const struct feeder *f = opaque;
	uint8_t page[PAGE_BYTES];

	for (uint64_t i = 0; i < batch_pages_of(f->image->size); i++) {
		uint64_t left = f->image->size - i * PAGE_BYTES;
		size_t n = left < PAGE_BYTES ? left : PAGE_BYTES;

		testing_content(f->image, i, 0, page);
		for (size_t done = 0; done < n;) {
			ssize_t put = write(f->fd, page + done,
					    n - done < f->piece ? n - done : f->piece);

			if (put < 0)
				abort();
			done += (size_t)put;
			if (f->pause_us)
				usleep(f->pause_us);
		}
	}
	close(f->fd);
	return NULL;
}

static void move_pipe(uint64_t size, size_t piece, unsigned pause_us,
		      const struct method_ops *method)
{
	const struct testing_image image = { .seed = 5, .size = size, .kind = TESTING_MIXED,
					     .rounds = 1 };
	struct feeder f = { &image, -1, piece, pause_us };
	struct testing_sink sink;
	struct testing_pair p;
	struct source *source;
	struct mfd_error err;
	pthread_t thread;
	int fd[2];

	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	f.fd = fd[1];
	assert_true(source_stream_new(fd[0], &source, &err));
	testing_sink_init(&sink, &image);
	testing_pair_init(&p, __func__, source, &sink.sink);
	p.method = method;
	assert_int_equal(pthread_create(&thread, NULL, feed, &f), 0);
	assert_true(testing_run(&p));
	pthread_join(thread, NULL);
	assert_true(testing_agreed(&p));
	assert_true(testing_sink_complete(&sink));
	assert_int_equal(p.sender.stats.hash, testing_hash(&image));
	source->ops->free(source);
	close(fd[0]);
	testing_sink_destroy(&sink);
}

static void a_pipe_arrives_identical(void **state)
{
	(void)state;
	for (unsigned i = 0; i < TESTING_COUNT(sizes); i++)
		move_pipe(sizes[i], SIZE_MAX, 0, methods[i % 3]);
	move_pipe((6u << 20) + 77, SIZE_MAX, 0, &method_zstd);
}

static void a_slow_writer_into_the_pipe_loses_nothing(void **state)
{
	(void)state;
	move_pipe(70001, 1000, 1000, &method_zstd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_of_zeros_arrives_identical),
		cmocka_unit_test(an_image_that_cannot_be_compressed_arrives_identical),
		cmocka_unit_test(an_image_of_text_arrives_identical),
		cmocka_unit_test(an_image_of_alternating_pages_arrives_identical),
		cmocka_unit_test(an_image_of_mixed_pages_arrives_identical),
		cmocka_unit_test(zero_pages_known_to_the_source_arrive_as_zeros),
		cmocka_unit_test(a_source_that_is_read_once_arrives_identical),
		cmocka_unit_test(a_long_stream_goes_round_its_buffers),
		cmocka_unit_test(a_long_image_goes_round_its_logs),
		cmocka_unit_test(seeded_images_arrive_identical),
		cmocka_unit_test(a_packet_may_be_as_large_as_the_wire_allows),
		cmocka_unit_test(real_files_arrive_identical),
		cmocka_unit_test(holes_stay_holes),
		cmocka_unit_test(five_gib_of_holes_take_no_time),
		cmocka_unit_test(sizes_around_32_bits_are_kept),
		cmocka_unit_test(a_pipe_arrives_identical),
		cmocka_unit_test(a_slow_writer_into_the_pipe_loses_nothing),
	};

	return cmocka_run_group_tests_name("property", tests, NULL, NULL);
}
