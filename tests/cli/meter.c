/* SPDX-License-Identifier: MIT */
/*
 * A TCP proxy that only counts: for tests that kill both ends and want to know what went over the
 * wire all the same.
 *
 *	meter PORT-FILE COUNT-FILE TARGET-PORT
 *
 * It listens on a free port of 127.0.0.1, writes the number to PORT-FILE and forwards every
 * connection to TARGET-PORT there.  COUNT-FILE holds two numbers of eight bytes in the machine's
 * order: bytes forwarded from clients, and to them.  Its own buffers are small, so that little is
 * on its way when an end is killed.  It runs until it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE 16384
#define SOCKET_BUFFER 65536

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "meter: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* One connection: two threads, the last of which closes. */
struct connection {
	int fd[2];               /* client, server */
	_Atomic unsigned users;
	_Atomic uint64_t *count; /* [2] up, down */
};

struct flow {
	struct connection *connection;
	unsigned from;
};

static bool write_all(int fd, const char *bytes, size_t size)
{
	ssize_t n;

	for (; size; bytes += n, size -= (size_t)n) {
		n = send(fd, bytes, size, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return false;
	}
	return true;
}

static void *flow_main(void *arg)
{
	struct flow *f = arg;
	struct connection *c = f->connection;
	const unsigned from = f->from;
	char piece[PIECE];
	ssize_t n;

	free(f);
	while ((n = recv(c->fd[from], piece, sizeof(piece), 0)) > 0 || (n < 0 && errno == EINTR)) {
		if (n < 0)
			continue;
		if (!write_all(c->fd[!from], piece, (size_t)n))
			break;
		atomic_fetch_add(&c->count[from], (uint64_t)n);
	}
	/* An end of one direction is one of both: that is what a kill looks like. */
	shutdown(c->fd[0], SHUT_RDWR);
	shutdown(c->fd[1], SHUT_RDWR);
	if (atomic_fetch_sub(&c->users, 1) == 1) {
		close(c->fd[0]);
		close(c->fd[1]);
		free(c);
	}
	return NULL;
}

static void tune(int fd)
{
	const int size = SOCKET_BUFFER;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static void start_flow(struct connection *c, unsigned from)
{
	struct flow *f = malloc(sizeof(*f));
	pthread_t thread;

	if (!f)
		die("memory");
	*f = (struct flow){ c, from };
	if (pthread_create(&thread, NULL, flow_main, f))
		die("thread");
	pthread_detach(thread);
}

static void forward(int client, uint16_t port, _Atomic uint64_t *count)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct connection *c = malloc(sizeof(*c));
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!c || server < 0)
		die("socket");
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	tune(server);
	if (connect(server, (struct sockaddr *)&to, sizeof(to))) {
		close(server);
		close(client);
		free(c);
		return;
	}
	c->fd[0] = client;
	c->fd[1] = server;
	c->users = 2;
	c->count = count;
	start_flow(c, 0);
	start_flow(c, 1);
}

static int listen_somewhere(const char *port_file)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(at);
	char temporary[4096];
	FILE *file;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	tune(fd);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 128) ||
	    getsockname(fd, (struct sockaddr *)&at, &size))
		die("listen");
	snprintf(temporary, sizeof(temporary), "%s.new", port_file);
	file = fopen(temporary, "w");
	if (!file || fprintf(file, "%u\n", ntohs(at.sin_port)) < 0 || fclose(file) ||
	    rename(temporary, port_file))
		die(port_file);
	return fd;
}

int main(int argc, char **argv)
{
	_Atomic uint64_t *count;
	int fd, listener;

	if (argc != 4) {
		fprintf(stderr, "usage: meter PORT-FILE COUNT-FILE TARGET-PORT\n");
		return 64;
	}
	fd = open(argv[2], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0 || ftruncate(fd, 16))
		die(argv[2]);
	count = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (count == MAP_FAILED)
		die("mmap");
	listener = listen_somewhere(argv[1]);
	for (;;) {
		int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (client >= 0)
			forward(client, (uint16_t)atoi(argv[3]), count);
	}
}
