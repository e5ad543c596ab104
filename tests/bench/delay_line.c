/* SPDX-License-Identifier: MIT */
/*
 * A path with a long delay: forwards TCP connections to a port of 127.0.0.1, and every byte
 * goes on a fixed time after it came.  Unlike a proxy that holds one piece at a time it is a
 * line: as much is under way as fits into it.
 *
 *	delay_line PORT-FILE TARGET-PORT MS BYTES
 *
 * BYTES are under way at most, in each direction of each connection; beyond it the sender is
 * kept waiting, as by a window of that size.  It runs until it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE 65536u

struct piece {
	uint64_t due_ns;
	size_t size;             /* 0: the end */
	uint8_t bytes[PIECE];
};

/* One direction: a ring of pieces, `in` of them read so far, `out` written. */
struct line {
	int from, to;
	uint64_t delay_ns;
	unsigned pieces;
	struct piece *piece;
	pthread_mutex_t lock;    /* guards in and out */
	pthread_cond_t moved;
	uint64_t in, out;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "delay_line: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Until there is a piece to write, or room for another one. */
static struct piece *line_wait(struct line *l, int writing)
{
	struct piece *p;

	pthread_mutex_lock(&l->lock);
	while (writing ? l->in == l->out : l->in - l->out == l->pieces)
		pthread_cond_wait(&l->moved, &l->lock);
	p = &l->piece[(writing ? l->out : l->in) % l->pieces];
	pthread_mutex_unlock(&l->lock);
	return p;
}

static void line_move(struct line *l, uint64_t *count)
{
	pthread_mutex_lock(&l->lock);
	++*count;
	pthread_cond_broadcast(&l->moved);
	pthread_mutex_unlock(&l->lock);
}

static void *line_read(void *opaque)
{
	struct line *l = opaque;
	struct piece *p;
	ssize_t n;

	do {
		p = line_wait(l, 0);
		n = recv(l->from, p->bytes, PIECE, 0);
		p->size = n > 0 ? (size_t)n : 0;
		p->due_ns = now_ns() + l->delay_ns;
		line_move(l, &l->in);
	} while (n > 0);
	return NULL;
}

static void *line_write(void *opaque)
{
	struct line *l = opaque;
	struct piece *p;

	while (p = line_wait(l, 1), p->size) {
		const struct timespec due = { (time_t)(p->due_ns / 1000000000),
					      (long)(p->due_ns % 1000000000) };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
		for (size_t put = 0; put < p->size;) {
			ssize_t n = send(l->to, p->bytes + put, p->size - put, MSG_NOSIGNAL);

			if (n <= 0)
				break;
			put += (size_t)n;
		}
		line_move(l, &l->out);
	}
	shutdown(l->to, SHUT_WR);
	return NULL;
}

/* Its threads and memory live until the process ends. */
static void line_start(int from, int to, uint64_t delay_ns, unsigned pieces)
{
	struct line *l = calloc(1, sizeof(*l));
	pthread_t thread;

	if (!l || !(l->piece = calloc(pieces, sizeof(*l->piece))))
		die("memory");
	l->from = from;
	l->to = to;
	l->delay_ns = delay_ns;
	l->pieces = pieces;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->moved, NULL);
	if (pthread_create(&thread, NULL, line_read, l) ||
	    pthread_create(&thread, NULL, line_write, l))
		die("thread");
}

static struct sockaddr_in loopback(unsigned port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				     .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

static int listen_on(const char *file)
{
	struct sockaddr_in here = loopback(0);
	socklen_t size = sizeof(here);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *f;

	if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof(here)) || listen(fd, 128) ||
	    getsockname(fd, (struct sockaddr *)&here, &size))
		die("listen");
	f = fopen(file, "w");
	if (!f || fprintf(f, "%u\n", ntohs(here.sin_port)) < 0 || fclose(f))
		die(file);
	return fd;
}

int main(int argc, char **argv)
{
	const int on = 1;
	struct sockaddr_in target;
	unsigned pieces;
	uint64_t delay;
	int listener, near, far;

	if (argc != 5) {
		fprintf(stderr, "usage: delay_line PORT-FILE TARGET-PORT MS BYTES\n");
		return 64;
	}
	target = loopback((unsigned)atoi(argv[2]));
	delay = (uint64_t)atoi(argv[3]) * 1000000;
	pieces = (unsigned)(strtoul(argv[4], NULL, 10) / PIECE) + 1;
	listener = listen_on(argv[1]);
	while ((near = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (far < 0 || connect(far, (struct sockaddr *)&target, sizeof(target)))
			die("connect");
		setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		line_start(near, far, delay, pieces);
		line_start(far, near, delay, pieces);
	}
	die("accept");
}
