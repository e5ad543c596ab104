/* SPDX-License-Identifier: MIT */
/*
 * A TCP proxy that does to connections what networks do to them.  It listens on a free port of
 * 127.0.0.1, writes the number to a file and forwards every connection to a port there.
 *
 *	proxy PORT-FILE TARGET-PORT [RULE...]
 *
 * A rule is CONNECTION:ACTION; connections count from 0 in the order they come in, * is each of
 * them, + each but the first (which is control, where the server is mfd-recv), and N+ those from N
 * on.  Bytes count from the client (up) or, with a leading "back-", from the server (down), in one
 * direction of one connection.
 *
 *	delay=MS     each piece waits that long before it goes on
 *	cut=N        after N bytes both ends see the connection close in order (FIN)
 *	reset=N      after N bytes both ends see it reset (RST)
 *	flip=N       the lowest bit of byte N is inverted
 *	drop=N       the 100 bytes from byte N on are left out
 *	dup=N        they come twice
 *	swap=N       they and the 100 behind them change places
 *	cross=N      they come on the next other connection that has something to say
 *	hole=N       after N bytes nothing moves any more, in neither direction; the connection stays open
 *
 * SIGUSR1 makes a hole of every connection, SIGUSR2 of every second one; SIGHUP resets them all.
 * It runs until it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 1000
#define MAX_RULES 32
#define PIECE 65536
#define SCRAP 100                    /* bytes that change places */

enum action { DELAY, CUT, RESET, FLIP, DROP, DUP, SWAP, CROSS, HOLE };

static const char *const action_names[] = { "delay", "cut", "reset", "flip", "drop", "dup",
					     "swap", "cross", "hole" };

struct rule {
	int first, last;         /* the connections it is for */
	bool down;
	enum action action;
	uint64_t number;
};

/* One direction of a connection: what was read from one socket and not yet written to the other. */
struct flow {
	uint64_t forwarded;      /* up to here all bytes have been written */
	uint64_t due_ms;         /* not before */
	size_t from, to;
	bool ended;              /* FIN read */
	uint64_t taken;              /* bytes read so far */
	uint8_t piece[PIECE + 2 * SCRAP];
};

struct connection {
	int index;
	int fd[2];               /* client, server; -1: closed */
	bool silent;
	struct flow flow[2];     /* up, down */
};

struct proxy {
	int listener;
	int signals;
	uint16_t target;
	unsigned rules;
	struct rule rule[MAX_RULES];
	uint8_t stray[SCRAP];        /* CROSS: taken from one connection, for another */
	size_t strays;
	int stray_of;
	int count;
	struct connection *connection[MAX_CONNECTIONS];
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "proxy: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool parse_rule(const char *text, struct rule *ret)
{
	char *end, *equals = strchr(text, '=');
	size_t i;

	*ret = (struct rule){ .first = *text == '+', .last = INT_MAX };
	if (*text == '*' || *text == '+') {
		end = (char *)(uintptr_t)text + 1;
	} else {
		ret->first = (int)strtol(text, &end, 10);
		if (*end == '+')
			end++;
		else
			ret->last = ret->first;
	}
	if (!equals || *end++ != ':')
		return false;
	ret->down = !strncmp(end, "back-", 5);
	end += ret->down ? 5 : 0;
	for (i = 0; i < sizeof(action_names) / sizeof(action_names[0]); i++) {
		if (strlen(action_names[i]) != (size_t)(equals - end) ||
		    strncmp(end, action_names[i], (size_t)(equals - end)))
			continue;
		ret->action = (enum action)i;
		ret->number = strtoull(equals + 1, &end, 10);
		return end != equals + 1 && !*end;
	}
	return false;
}

/* The rule of @action for one direction of @c, or NULL. */
static const struct rule *find_rule(const struct proxy *p, const struct connection *c, bool down,
				    enum action action)
{
	for (unsigned i = 0; i < p->rules; i++) {
		const struct rule *r = &p->rule[i];

		if (r->action == action && r->down == down && c->index >= r->first &&
		    c->index <= r->last)
			return r;
	}
	return NULL;
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port),
				     .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

static void close_both(struct connection *c, bool reset)
{
	const struct linger linger = { .l_onoff = 1 };

	for (int i = 0; i < 2; i++) {
		if (reset && c->fd[i] >= 0)
			setsockopt(c->fd[i], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		if (c->fd[i] >= 0)
			close(c->fd[i]);
		c->fd[i] = -1;
	}
}

/* A client came; whether the server takes it is seen at the first read or write. */
static void let_in(struct proxy *p)
{
	struct sockaddr_in server = loopback(p->target);
	struct connection *c;
	int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (!c || p->count == MAX_CONNECTIONS)
		die("too many connections");
	c->index = p->count;
	c->fd[0] = fd;
	c->fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd[1] < 0)
		die("socket");
	if (connect(c->fd[1], (struct sockaddr *)&server, sizeof(server)) < 0 ||
	    fcntl(c->fd[1], F_SETFL, O_NONBLOCK) < 0)
		close_both(c, true);
	p->connection[p->count++] = c;
}

/*
 * How much of @size more bytes may go on before a rule of @action strikes; *ret_now: it strikes
 * behind them.
 */
static size_t until(const struct rule *r, const struct flow *f, size_t size, bool *ret_now)
{
	*ret_now = r && f->forwarded + size >= r->number;
	return *ret_now ? (size_t)(r->number > f->forwarded ? r->number - f->forwarded : 0) : size;
}

/* Write what is due, as far as the rules and the socket allow.  False: the connection is over. */
static bool put(const struct proxy *p, struct connection *c, bool down)
{
	struct flow *f = &c->flow[down];
	bool cut, reset, hole;
	size_t left = f->to - f->from;
	ssize_t n = 0;

	left = until(find_rule(p, c, down, CUT), f, left, &cut);
	left = until(find_rule(p, c, down, RESET), f, left, &reset);
	left = until(find_rule(p, c, down, HOLE), f, left, &hole);
	if (left > 0)
		n = send(c->fd[!down], f->piece + f->from, left, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	f->from += (size_t)n;
	f->forwarded += (uint64_t)n;
	if ((size_t)n < left)
		return true;
	c->silent = hole;
	if (cut || reset)
		close_both(c, reset);
	return !cut && !reset;
}

/* Insert @size bytes at @at. */
static void insert(struct flow *f, size_t at, const uint8_t *bytes, size_t size)
{
	memmove(f->piece + at + size, f->piece + at, f->to - at);
	memcpy(f->piece + at, bytes, size);
	f->to += size;
}

/* The piece has just been read; a scrap that is not all in it is cut short. */
static void damage(struct proxy *p, struct connection *c, bool down)
{
	struct flow *f = &c->flow[down];
	const size_t read = f->to;
	uint8_t scrap[SCRAP];

	for (enum action a = FLIP; a <= CROSS; a++) {
		const struct rule *r = find_rule(p, c, down, a);
		size_t at, size;

		if (!r || r->number < f->taken || r->number - f->taken >= f->to)
			continue;
		at = (size_t)(r->number - f->taken);
		size = f->to - at < SCRAP ? f->to - at : SCRAP;
		memcpy(scrap, f->piece + at, size);
		if (a == FLIP)
			f->piece[at] ^= 1;
		if (a == DUP)
			insert(f, at, scrap, size);
		if (a == DROP || a == SWAP || a == CROSS) {
			memmove(f->piece + at, f->piece + at + size, f->to - at - size);
			f->to -= size;
		}
		if (a == SWAP)
			insert(f, at + SCRAP < f->to ? at + SCRAP : f->to, scrap, size);
		if (a == CROSS) {
			memcpy(p->stray, scrap, size);
			p->strays = size;
			p->stray_of = c->index;
		}
	}
	f->taken += read;
	if (p->strays && p->stray_of != c->index && !down) {
		insert(f, 0, p->stray, p->strays);
		p->strays = 0;
	}
}

static bool get(struct proxy *p, struct connection *c, bool down)
{
	struct flow *f = &c->flow[down];
	const struct rule *delay = find_rule(p, c, down, DELAY);
	ssize_t n = recv(c->fd[down], f->piece, PIECE, 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	f->from = 0;
	f->to = (size_t)n;
	f->ended = !n;
	if (!n)
		shutdown(c->fd[!down], SHUT_WR);
	if (n)
		damage(p, c, down);
	f->due_ms = delay ? now_ms() + delay->number : 0;
	return true;
}

/* What @c waits for, as poll(2) wants it; at most until *ret_due. */
static void wishes(const struct connection *c, struct pollfd fds[static 2], uint64_t *ret_due)
{
	fds[0] = (struct pollfd){ .fd = -1 };
	fds[1] = (struct pollfd){ .fd = -1 };
	for (int down = 0; down < 2 && !c->silent && c->fd[0] >= 0; down++) {
		const struct flow *f = &c->flow[down];
		int waits = f->to > f->from ? !down : down;

		if (f->ended)
			continue;
		if (f->to > f->from && f->due_ms > now_ms()) {
			*ret_due = f->due_ms < *ret_due ? f->due_ms : *ret_due;
			continue;
		}
		fds[waits].fd = c->fd[waits];
		fds[waits].events |= f->to > f->from ? POLLOUT : POLLIN;
	}
}

/* One step of each direction that can take one. */
static void move(struct proxy *p, struct connection *c, const struct pollfd fds[static 2])
{
	for (int down = 0; down < 2 && !c->silent && c->fd[0] >= 0; down++) {
		struct flow *f = &c->flow[down];
		bool full = f->to > f->from, ok = true;

		if (f->ended || (full && f->due_ms > now_ms()))
			continue;
		if (full && fds[!down].revents)
			ok = put(p, c, down);
		else if (!full && fds[down].revents)
			ok = get(p, c, down);
		if (!ok || (c->flow[0].ended && c->flow[1].ended))
			close_both(c, !ok);
	}
}

static void take_signal(struct proxy *p)
{
	struct signalfd_siginfo info;

	if (read(p->signals, &info, sizeof(info)) != sizeof(info))
		return;
	for (int i = 0; i < p->count; i++) {
		if (info.ssi_signo == SIGHUP)
			close_both(p->connection[i], true);
		else
			p->connection[i]->silent |= info.ssi_signo == SIGUSR1 || i % 2;
	}
}

static void serve(struct proxy *p)
{
	static const struct pollfd nothing = { .fd = -1 };
	struct pollfd fds[2 + 2 * MAX_CONNECTIONS];
	uint64_t due, now;

	for (;;) {
		due = UINT64_MAX;
		fds[0] = (struct pollfd){ .fd = p->listener, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = p->signals, .events = POLLIN };
		for (int i = 0; i < p->count; i++)
			wishes(p->connection[i], &fds[2 + 2 * i], &due);
		now = now_ms();
		if (poll(fds, 2 + 2 * (nfds_t)p->count,
			 due == UINT64_MAX ? -1
			 : due > now       ? (int)(due - now)
					   : 0) < 0)
			continue;
		for (int i = 0, known = p->count; i < known; i++)
			move(p, p->connection[i], &fds[2 + 2 * i]);
		if (fds[1].revents)
			take_signal(p);
		if (fds[0].revents)
			let_in(p);
		fds[0] = nothing;
	}
}

static void listen_somewhere(struct proxy *p, const char *port_file)
{
	struct sockaddr_in any = loopback(0);
	socklen_t size = sizeof(any);
	char temp[4096];
	FILE *f;

	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->listener < 0 || bind(p->listener, (struct sockaddr *)&any, size) < 0 ||
	    listen(p->listener, 64) < 0 ||
	    getsockname(p->listener, (struct sockaddr *)&any, &size) < 0)
		die("listen");
	snprintf(temp, sizeof(temp), "%s.new", port_file);
	f = fopen(temp, "w");
	if (!f || fprintf(f, "%u\n", ntohs(any.sin_port)) < 0 || fclose(f) != 0 ||
	    rename(temp, port_file) < 0)
		die(port_file);
}

int main(int argc, char **argv)
{
	struct proxy p = { .rules = 0 };
	sigset_t set;

	if (argc < 3 || argc - 3 > MAX_RULES)
		goto usage;
	p.target = (uint16_t)atoi(argv[2]);
	for (int i = 3; i < argc; i++) {
		if (!parse_rule(argv[i], &p.rule[p.rules++]))
			goto usage;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	p.signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (p.signals < 0)
		die("signalfd");
	listen_somewhere(&p, argv[1]);
	serve(&p);
usage:
	fprintf(stderr,
		"usage: proxy PORT-FILE TARGET-PORT [CONNECTION:[back-]ACTION=NUMBER...]\n");
	return 64;
}
