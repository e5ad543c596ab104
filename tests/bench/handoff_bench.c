/* SPDX-License-Identifier: MIT */
/*
 * Hand-offs per second: one producer, N sender threads that do nothing with a batch but give it
 * back.
 *
 *	handoff_bench [SECONDS-PER-ROW]
 *
 * This is the price of the hand-off alone, the ceiling for batches per second; a batch of 64
 * pages is 256 KiB, so the last column says how fast the pages could go if they were free.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/handoff.h"
#include "core/sleeper.h"

#define MAX_CHANNELS 32u
#define BATCH_BYTES (64.0 * PAGE_BYTES)

struct bench {
	struct handoff *handoff[MAX_CHANNELS];
	struct sleeper sleeper;
	uint64_t slept;
};

struct sender {
	pthread_t thread;
	struct bench *bench;
	struct handoff *handoff;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "handoff_bench: %s\n", what);
	exit(71);
}

static void *sender_thread(void *arg)
{
	struct sender *s = arg;
	struct batch *batch;

	while (handoff_take(s->handoff, &batch) == HANDOFF_BATCH)
		handoff_give_back(s->handoff, &s->bench->sleeper);
	return NULL;
}

static int wait_for_slot(struct bench *b, struct handoff_set *set)
{
	int channel;

	for (;;) {
		channel = handoff_find(set);
		if (channel >= 0)
			return channel;
		sleeper_announce(&b->sleeper);
		channel = handoff_find(set);
		if (channel >= 0) {
			sleeper_retract(&b->sleeper);
			return channel;
		}
		b->slept++;
		sleeper_sleep(&b->sleeper);
	}
}

static uint64_t produce(struct bench *b, struct handoff_set *set, uint64_t deadline)
{
	struct handoff *h;
	uint64_t n = 0;

	do {
		h = b->handoff[wait_for_slot(b, set)];
		handoff_slot(h)->id = ++n;
		handoff_publish(h);
	} while (n % 1024 != 0 || clock_ns() < deadline);
	return n;
}

static void row(unsigned channels, uint64_t ns)
{
	struct bench b = { 0 };
	struct sender sender[MAX_CHANNELS];
	struct handoff_set set = { .handoff = b.handoff, .count = channels };
	struct mfd_error err;
	uint64_t begin;
	uint64_t batches;
	double seconds;
	unsigned i;

	if (!sleeper_init(&b.sleeper, &err))
		die(err.text);
	for (i = 0; i < channels; i++) {
		b.handoff[i] = aligned_alloc(CACHE_LINE, sizeof(struct handoff));
		if (!b.handoff[i])
			die("out of memory");
		if (!handoff_init(b.handoff[i], &err))
			die(err.text);
		sender[i] = (struct sender){ .bench = &b, .handoff = b.handoff[i] };
		if (pthread_create(&sender[i].thread, NULL, sender_thread, &sender[i]) != 0)
			die("cannot start a thread");
	}

	begin = clock_ns();
	batches = produce(&b, &set, begin + ns);
	seconds = (double)(clock_ns() - begin) / 1e9;
	printf("%8u  %13.0f  %12.1f  %9.2f %%  %10.0f\n", channels, (double)batches / seconds,
	       seconds * 1e9 / (double)batches, 100.0 * (double)b.slept / (double)batches,
	       (double)batches * BATCH_BYTES / seconds / 1e9);
	fflush(stdout);

	for (i = 0; i < channels; i++)
		handoff_request_exit(b.handoff[i]);
	for (i = 0; i < channels; i++) {
		pthread_join(sender[i].thread, NULL);
		handoff_destroy(b.handoff[i]);
		free(b.handoff[i]);
	}
	sleeper_destroy(&b.sleeper);
}

int main(int argc, char **argv)
{
	static const unsigned channels[] = { 1, 2, 8, MAX_CHANNELS };
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 1.0;
	unsigned i;

	if (!(seconds > 0 && seconds < 3600))
		die("the time of a row is more than 0 and less than 3600 seconds");
	printf("%8s  %13s  %12s  %11s  %10s\n", "channels", "hand-offs/s", "ns/hand-off", "slept",
	       "GB/s");
	for (i = 0; i < 4; i++)
		row(channels[i], (uint64_t)(seconds * 1e9));
	return 0;
}
