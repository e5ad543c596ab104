/* SPDX-License-Identifier: MIT */
/*
 * Both ends in one process: see testing.h.
 */
#include "common/testing.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/address.h"

unsigned testing_sweep(unsigned normal, unsigned plenty)
{
	const char *text = getenv("MFD_TEST_LONG");

	return text && *text && *text != '0' ? plenty : normal;
}

uint64_t testing_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void testing_pause_ms(unsigned ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&t, &t) != 0 && errno == EINTR)
		;
}

/* ---- Both ends in one process. ---- */

static void *watch(void *watchdog)
{
	struct testing_watchdog *w = watchdog;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += w->seconds * (TESTING_SANITIZED ? 3 : 1);
	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		if (pthread_cond_timedwait(&w->changed, &w->lock, &until) == ETIMEDOUT &&
		    !w->stop) {
			fprintf(stderr, "%s hangs: no end after %u s\n", w->name, w->seconds);
			abort();
		}
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

void testing_watch(struct testing_watchdog *w, const char *name, unsigned seconds)
{
	pthread_condattr_t attr;

	*w = (struct testing_watchdog){ .name = name, .seconds = seconds };
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&w->thread, NULL, watch, w))
		abort();
}

void testing_unwatch(struct testing_watchdog *w)
{
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
}

void testing_pair_init(struct testing_pair *p, const char *name, struct source *source,
		       struct sink *sink)
{
	memset(p, 0, sizeof(*p));
	p->name = name;
	p->watch_s = 60;
	p->source = source;
	p->sink = sink;
	p->channels = 4;
	p->packet_pages = 16;
	p->method = &method_zstd;
	p->level = MFD_LEVEL_DEFAULT;
	p->timeout_ms = p->connect_timeout_ms = p->accept_timeout_ms = 20000;
	p->max_channels = MFD_MAX_CHANNELS;
	p->max_size = UINT64_MAX;
}

static void on_notice(void *pair, const struct mfd_notice *notice)
{
	struct testing_pair *p = pair;

	if (notice->kind == MFD_NOTICE_DROPPED)
		atomic_fetch_add(&p->dropped, 1);
}

static void *recv_main(void *end)
{
	struct testing_end *e = end;

	e->ok = recv_session_run(e->recv, &e->error);
	e->ended_ns = clock_ns();
	return NULL;
}

static void *send_main(void *end)
{
	struct testing_end *e = end;

	e->ok = send_session_run(e->send, &e->error);
	e->ended_ns = clock_ns();
	return NULL;
}

static bool start_end(struct testing_pair *p, struct testing_end *e, void *(*run)(void *end))
{
	if (!p->sender.started && !p->receiver.started)
		testing_watch(&p->watchdog, p->name, p->watch_s);
	e->started = !pthread_create(&e->thread, NULL, run, e);
	if (!e->started)
		abort();
	return true;
}

bool testing_start_receiver(struct testing_pair *p)
{
	struct recv_params params = {
		.accept_timeout_ms = p->accept_timeout_ms,
		.timeout_ms = p->recv_timeout_ms ? p->recv_timeout_ms : p->timeout_ms,
		.max_channels = p->max_channels, .max_size = p->max_size,
		.resume = p->resume, .verify = p->verify,
		.notice = on_notice, .opaque = p,
		.wrap = testing_wrap, .wrap_opaque = &p->recv_faults,
	};
	const struct address any = { .host = "127.0.0.1", .port = p->port };
	struct testing_end *e = &p->receiver;

	if (!listen_open(&any, MFD_ANY_FAMILY, &params.listener, &e->error))
		return false;
	p->port = params.listener.port;
	return recv_session_new(&params, p->sink, &e->recv, &e->error) &&
		(!p->congestion ||
		 listener_congestion(&params.listener, p->congestion, &e->error)) &&
		start_end(p, e, recv_main);
}

bool testing_start_sender(struct testing_pair *p)
{
	const struct send_params params = {
		.address = p->address, .channels = p->channels, .packet_pages = p->packet_pages,
		.method = p->method,
		.level = p->level == MFD_LEVEL_DEFAULT ? p->method->level_default : p->level,
		.connect_timeout_ms = p->connect_timeout_ms, .timeout_ms = p->timeout_ms,
		.bytes_per_second = p->bytes_per_second, .congestion = p->congestion,
		.notice = on_notice, .opaque = p,
		.wrap = testing_wrap, .wrap_opaque = &p->send_faults,
	};
	struct testing_end *e = &p->sender;

	snprintf(p->address, sizeof(p->address), "127.0.0.1:%u", p->port);
	return send_session_new(&params, p->source, &e->send, &e->error) &&
	       start_end(p, e, send_main);
}

void testing_free(struct testing_pair *p)
{
	send_session_free(p->sender.send);
	recv_session_free(p->receiver.recv);
	p->sender.send = NULL;
	p->receiver.recv = NULL;
}

void testing_join(struct testing_pair *p)
{
	const bool watched = p->sender.started || p->receiver.started;

	if (p->sender.started) {
		pthread_join(p->sender.thread, NULL);
		send_session_stats(p->sender.send, &p->sender.stats);
	}
	if (p->receiver.started) {
		pthread_join(p->receiver.thread, NULL);
		recv_session_stats(p->receiver.recv, &p->receiver.stats);
	}
	p->sender.started = p->receiver.started = false;
	if (watched)
		testing_unwatch(&p->watchdog);
	testing_free(p);
}

bool testing_start(struct testing_pair *p)
{
	return testing_start_receiver(p) && testing_start_sender(p);
}

bool testing_run(struct testing_pair *p)
{
	bool ok = testing_start(p);

	testing_join(p);
	return ok;
}

bool testing_agreed(const struct testing_pair *p)
{
	return p->sender.ok && p->receiver.ok && p->sender.stats.committed &&
	       p->receiver.stats.committed && p->sender.stats.hash == p->receiver.stats.hash &&
	       p->sender.stats.bytes_image == p->receiver.stats.bytes_image;
}

/* ---- One transfer with all that belongs to it. ---- */

void testing_scene_init(struct testing_scene *s, const char *name)
{
	s->image = (struct testing_image){
		.seed = 77, .size = TESTING_SCENE_BYTES, .kind = TESTING_RANDOM, .rounds = 1
	};
	testing_source_init(&s->source, &s->image, true);
	testing_sink_init(&s->sink, &s->image);
	testing_pair_init(&s->pair, name, &s->source.source, &s->sink.sink);
	s->pair.method = &method_none;
	s->pair.packet_pages = TESTING_SCENE_PAGES;
}

void testing_scene_destroy(struct testing_scene *s)
{
	testing_sink_destroy(&s->sink);
}

bool testing_scenes_run(struct testing_scene *s, unsigned count)
{
	bool ok = true;

	for (unsigned i = 0; i < count; i++)
		ok = testing_start(&s[i].pair) && ok;
	for (unsigned i = 0; i < count; i++)
		testing_join(&s[i].pair);
	return ok;
}

bool testing_patience(unsigned *waited, bool done)
{
	if (done)
		return false;
	if (++*waited > 20000) {
		fprintf(stderr, "what was waited for did not happen\n");
		abort();
	}
	testing_pause_ms(1);
	return true;
}
