/* SPDX-License-Identifier: MIT */
/*
 * The ceiling: the pages of an image over TCP connections of one's own, with a zero test, a hash
 * and writes at their place, and nothing else: no hand-off, no acknowledgement, no checks, no
 * failures survived.  How close a mover comes to this is how much its protocol costs.
 *
 *	ceiling CHANNELS IMAGE OUTPUT|-
 *
 * Channel i of N takes every Nth chunk of 64 pages from the i-th on.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bitmap.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/zero.h"
#include "core/batch.h"

#define CHUNK_PAGES 64u
#define CHUNK_BYTES ((size_t)CHUNK_PAGES * PAGE_BYTES)
#define MAX_CHANNELS 64u

struct chunk {
	uint64_t data;           /* bitmap of the pages that follow */
	uint64_t hash;           /* sum over their runs */
};

struct copy {
	int source;
	int output;              /* -1: discarded */
	uint64_t size;
	unsigned channels;
};

struct end {
	pthread_t thread;
	const struct copy *copy;
	unsigned id;
	int fd;
};

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(74);
}

static void put_all(int fd, struct iovec *iov, unsigned iovs)
{
	struct msghdr message;
	ssize_t n;

	while (iovs > 0) {
		message = (struct msghdr){ .msg_iov = iov, .msg_iovlen = iovs };
		n = sendmsg(fd, &message, MSG_NOSIGNAL);
		if (n <= 0)
			die("send");
		iov = io_advance(iov, &iovs, (size_t)n);
	}
}

static void *send_chunks(void *arg)
{
	const struct end *e = arg;
	const struct zero_variant *zero = zero_best();
	uint8_t *pages = aligned_alloc(PAGE_BYTES, CHUNK_BYTES);
	struct iovec iov[1 + CHUNK_PAGES];
	struct chunk chunk;
	uint64_t at;
	uint32_t first, run;
	unsigned iovs;
	ssize_t got;

	for (at = e->id * CHUNK_BYTES; at < e->copy->size; at += e->copy->channels * CHUNK_BYTES) {
		got = io_pread(e->copy->source, pages, CHUNK_BYTES, at);
		if (got < 0)
			die("read");
		memset(pages + got, 0, CHUNK_BYTES - (size_t)got);
		chunk = (struct chunk){ .data = UINT64_MAX };
		zero_scan(zero, pages, PAGE_BYTES, &chunk.data, CHUNK_PAGES);
		iovs = 1;
		for (first = 0; bitmap_next_run(&chunk.data, CHUNK_PAGES, &first, &run);
		     first += run) {
			chunk.hash += hash_bytes(pages + first * PAGE_BYTES, run * PAGE_BYTES);
			iov[iovs++] = (struct iovec){ pages + first * PAGE_BYTES,
						      run * PAGE_BYTES };
		}
		iov[0] = (struct iovec){ &chunk, sizeof(chunk) };
		put_all(e->fd, iov, iovs);
	}
	free(pages);
	return NULL;
}

static void get_all(int fd, void *bytes, size_t size)
{
	/* Even for no bytes recv(2) waits until there are some. */
	if (size > 0 && recv(fd, bytes, size, MSG_WAITALL) != (ssize_t)size)
		die("receive");
}

static void *receive_chunks(void *arg)
{
	const struct end *e = arg;
	uint8_t *pages = aligned_alloc(PAGE_BYTES, CHUNK_BYTES);
	const uint8_t *from;
	struct chunk chunk;
	uint64_t at, hash;
	uint32_t first, run;

	for (at = e->id * CHUNK_BYTES; at < e->copy->size; at += e->copy->channels * CHUNK_BYTES) {
		get_all(e->fd, &chunk, sizeof(chunk));
		get_all(e->fd, pages, bitmap_count(&chunk.data, CHUNK_PAGES) * (size_t)PAGE_BYTES);
		hash = 0;
		from = pages;
		for (first = 0; bitmap_next_run(&chunk.data, CHUNK_PAGES, &first, &run);
		     first += run) {
			hash += hash_bytes(from, run * PAGE_BYTES);
			if (e->copy->output >= 0 &&
			    io_pwrite(e->copy->output, from, run * PAGE_BYTES,
				      at + first * PAGE_BYTES) != 0)
				die("write");
			from += run * PAGE_BYTES;
		}
		if (hash != chunk.hash)
			die("damaged");
	}
	free(pages);
	return NULL;
}

/* Both ends of a connection over loopback. */
static void connect_pair(int *ret_sending, int *ret_receiving)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret_sending = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&a, size) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&a, &size) < 0 ||
	    connect(*ret_sending, (struct sockaddr *)&a, size) < 0)
		die("connect");
	*ret_receiving = accept(listener, NULL, NULL);
	if (*ret_receiving < 0)
		die("accept");
	close(listener);
}

static void open_files(struct copy *c, const char *image, const char *output)
{
	struct stat st;

	c->source = open(image, O_RDONLY | O_CLOEXEC);
	if (c->source < 0 || fstat(c->source, &st) < 0)
		die(image);
	c->size = (uint64_t)st.st_size;
	c->output = -1;
	if (strcmp(output, "-") == 0)
		return;
	c->output = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (c->output < 0 || ftruncate(c->output, st.st_size) < 0)
		die(output);
}

int main(int argc, char **argv)
{
	static const char usage[] = "usage: ceiling CHANNELS IMAGE OUTPUT|-\n";
	struct end sending[MAX_CHANNELS], receiving[MAX_CHANNELS];
	struct copy c;
	unsigned i;

	c.channels = argc == 4 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
	if (c.channels < 1 || c.channels > MAX_CHANNELS) {
		fputs(usage, stderr);
		return 64;
	}
	open_files(&c, argv[2], argv[3]);
	for (i = 0; i < c.channels; i++) {
		sending[i] = receiving[i] = (struct end){ .copy = &c, .id = i };
		connect_pair(&sending[i].fd, &receiving[i].fd);
		if (pthread_create(&receiving[i].thread, NULL, receive_chunks, &receiving[i]) !=
			    0 ||
		    pthread_create(&sending[i].thread, NULL, send_chunks, &sending[i]) != 0)
			die("thread");
	}
	for (i = 0; i < c.channels; i++) {
		pthread_join(sending[i].thread, NULL);
		pthread_join(receiving[i].thread, NULL);
	}
	/* The last page came padded. */
	if (c.output >= 0 && ftruncate(c.output, (off_t)c.size) < 0)
		die(argv[3]);
	return 0;
}
