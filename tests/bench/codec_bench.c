/* SPDX-License-Identifier: MIT */
/*
 * Each method and level on the data pages of an image, in packets that know nothing of each
 * other: GB/s of pages per thread, and the ratio.
 *
 *	codec_bench IMAGE [SECONDS-PER-FIGURE [PACKET-KIB]]
 *
 * A sample of at most 64 MiB of data pages, taken evenly from the whole image.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bitmap.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/zero.h"
#include "compress/method.h"
#include "core/batch.h"

#define SAMPLE_BYTES ((size_t)64 << 20)

struct sample {
	uint8_t *bytes;
	size_t size;             /* whole packets */
	size_t packet;
};

struct coded {
	enum method_id id;
	size_t size;
	uint8_t *bytes;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "codec_bench: %s\n", what);
	exit(66);
}

/* Data pages from places all over the image until the sample is full. */
static void take_sample(const char *path, struct sample *s)
{
	const struct zero_variant *zero = zero_best();
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint64_t pages, step, at, end;

	if (fd < 0 || fstat(fd, &st) < 0)
		die(path);
	s->bytes = aligned_alloc(PAGE_BYTES, SAMPLE_BYTES);
	if (s->bytes == NULL)
		die("out of memory");
	pages = (uint64_t)st.st_size / PAGE_BYTES;
	/* Stretches of 256 pages, so that neighbours stay neighbours. */
	step = pages / (SAMPLE_BYTES / PAGE_BYTES / 128) + 256;
	for (at = 0; at < pages && s->size < SAMPLE_BYTES; at += step) {
		for (end = at; end < at + 256 && end < pages && s->size < SAMPLE_BYTES; end++) {
			if (io_pread(fd, s->bytes + s->size, PAGE_BYTES, end * PAGE_BYTES) !=
			    PAGE_BYTES)
				die("read");
			if (!zero->is_zero(s->bytes + s->size, PAGE_BYTES))
				s->size += PAGE_BYTES;
		}
	}
	close(fd);
	s->size -= s->size % s->packet;
	if (s->size == 0)
		die("no packet of data pages in this image");
}

/* Code the packet at @from; what comes out is the method's until its next call. */
static void code(struct method *m, const struct sample *s, uint8_t *from,
		 struct method_payload *payload)
{
	uint64_t data[BATCH_WORDS] = { 0 };
	const uint32_t count = (uint32_t)(s->packet / PAGE_BYTES);
	struct method_pages pages = { .bytes = from, .page_bytes = PAGE_BYTES, .count = count,
				      .data = data, .data_pages = count };
	struct mfd_error err;

	bitmap_fill(data, count);
	if (!m->ops->send_prepare(m, &pages, payload, &err))
		die(err.text);
}

/* All packets once, kept, for the ratio and for decoding. */
static size_t keep(struct method *m, const struct sample *s, struct coded *coded,
		   struct method_payload *payload)
{
	size_t at, total = 0;

	for (at = 0; at < s->size; at += s->packet, coded++) {
		code(m, s, s->bytes + at, payload);
		coded->id = payload->id;
		coded->size = payload->bytes;
		coded->bytes = malloc(payload->bytes);
		if (coded->bytes == NULL)
			die("out of memory");
		memcpy(coded->bytes, payload->iov[0].iov_base, payload->bytes);
		total += payload->bytes;
	}
	return total;
}

static double coding_rate(struct method *m, const struct sample *s, struct method_payload *payload,
			  uint64_t ns)
{
	const uint64_t begin = clock_ns();
	uint64_t now = begin, done = 0;
	size_t at = 0;

	for (; now - begin < ns; now = clock_ns()) {
		code(m, s, s->bytes + at, payload);
		done += s->packet;
		at = (at + s->packet) % s->size;
	}
	return (double)done / (double)(now - begin);
}

static double decoding_rate(struct method *m, const struct sample *s, const struct coded *coded,
			    uint8_t *pages, uint64_t ns)
{
	const size_t packets = s->size / s->packet;
	const uint64_t begin = clock_ns();
	uint64_t now = begin, done = 0;
	struct mfd_error err;
	size_t i = 0;

	for (; now - begin < ns; now = clock_ns(), i = (i + 1) % packets) {
		if (coded[i].id == METHOD_NONE)
			memcpy(pages, coded[i].bytes, coded[i].size);
		else if (!m->ops->recv_pages(m, coded[i].bytes, coded[i].size, pages, s->packet,
					     &err))
			die(err.text);
		done += s->packet;
	}
	return (double)done / (double)(now - begin);
}

static void row(const struct method_ops *ops, int level, const struct sample *s, uint64_t ns)
{
	struct coded *coded = calloc(s->size / s->packet, sizeof(*coded));
	uint8_t *pages = aligned_alloc(PAGE_BYTES, s->packet);
	struct iovec iov[METHOD_IOVS(BATCH_MAX_PAGES)];
	struct method_payload payload = { .iov = iov };
	struct method *sender, *receiver;
	struct mfd_error err;
	size_t total, i;

	if (coded == NULL || pages == NULL)
		die("out of memory");
	if (!ops->new_sender(level, s->packet, &sender, &err) ||
	    !ops->new_receiver(&receiver, &err))
		die(err.text);
	total = keep(sender, s, coded, &payload);
	/*
	 * none codes nothing: its pages go as they are, and decoding is the copy that recv(2)
	 * makes.
	 */
	printf("%-5s %3d  ", ops->name, level);
	if (ops->id == METHOD_NONE)
		printf("%10s", "-");
	else
		printf("%10.2f", coding_rate(sender, s, &payload, ns));
	printf("  %10.2f  %6.2f\n", decoding_rate(receiver, s, coded, pages, ns),
	       (double)s->size / (double)total);
	fflush(stdout);
	sender->ops->free(sender);
	receiver->ops->free(receiver);
	for (i = 0; i < s->size / s->packet; i++)
		free(coded[i].bytes);
	free(coded);
	free(pages);
}

int main(int argc, char **argv)
{
	static const int levels[] = { -7, -5, -1, 1, 3, 6, 9 };
	double seconds = argc > 2 ? strtod(argv[2], NULL) : 0.5;
	struct sample s = { .packet = argc > 3 ? strtoul(argv[3], NULL, 10) << 10 : 256u << 10 };
	const struct method_ops *ops;
	struct mfd_error err;
	unsigned i, k;

	if (argc < 2 || !(seconds > 0 && seconds < 3600) || s.packet < PAGE_BYTES ||
	    s.packet > BATCH_MAX_BYTES || s.packet % PAGE_BYTES != 0) {
		fputs("usage: codec_bench IMAGE [SECONDS-PER-FIGURE [PACKET-KIB]]\n", stderr);
		return 64;
	}
	take_sample(argv[1], &s);
	printf("%-9s  %10s  %10s  %6s   (GB/s, one thread, %zu MiB of data pages, packets of %zu "
	       "KiB)\n",
	       "method", "compress", "decompress", "ratio", s.size >> 20, s.packet >> 10);
	for (i = 0; (ops = method_at(i)) != NULL; i++) {
		if (ops->level_min == 0 && ops->level_max == 0)
			row(ops, 0, &s, (uint64_t)(seconds * 1e9));
		for (k = 0; k < sizeof(levels) / sizeof(levels[0]); k++)
			if (method_check_level(ops, levels[k], &err))
				row(ops, levels[k], &s, (uint64_t)(seconds * 1e9));
	}
	free(s.bytes);
	return 0;
}
