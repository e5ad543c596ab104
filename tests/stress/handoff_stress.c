/* SPDX-License-Identifier: MIT */
/*
 * The hand-off under load: one producer, 1, 2, 8 and 32 sender threads, batches and SYNCs at
 * random, the sleeper in between.
 *
 *	handoff_stress [SECONDS [SEED]]
 *
 * An episode sets up a fresh set of channels, hands over some thousand batches in rounds and
 * ends in one of two ways: quietly, behind a last SYNC, or by a door thread that lets everybody
 * out while the producer goes on or sleeps. Checked are: each batch comes once, in order and as
 * it was written; what the sender thread wrote into a slot is what the producer finds there; a
 * SYNC sees exactly the batches published before it; what the door left in the slots is what
 * was published and not taken. A lost wake shows as a hang, which an alarm ends. Build it with
 * -fsanitize=thread to have the ordering checked as well.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/handoff.h"
#include "core/sleeper.h"

#define MAX_CHANNELS 32u

/* What the sender thread leaves in a slot for the producer to find. */
#define ANSWER(id) ((id) * UINT64_C(0x9e3779b97f4a7c15) + 1)

struct run;

struct channel {
	/* Set before the thread starts. */
	struct run *run;
	struct handoff *handoff;
	pthread_t thread;
	uint64_t random;
	bool slow;

	/*
	 * The producer's, but for sync_expects: the sender thread reads it while a SYNC is
	 * pending.
	 */
	uint64_t published;
	uint64_t sync_expects;
	uint64_t occupant[HANDOFF_SLOTS]; /* id of the batch last written to each slot */

	/*
	 * The sender thread's; anybody's after the join, and the producer's when no SYNC and no
	 * batch is pending.
	 */
	uint64_t taken;
	uint64_t syncs;
};

struct run {
	unsigned channels;
	struct channel channel[MAX_CHANNELS];
	struct handoff *handoff[MAX_CHANNELS];
	struct handoff_set set;
	struct sleeper sleeper;

	/* Set by the door thread before it wakes everybody. */
	_Atomic bool stop;
	sem_t door;

	/* The producer's. */
	uint64_t random;
	uint64_t slept;
};

struct tally {
	uint64_t episodes;
	uint64_t doors;
	uint64_t batches;
	uint64_t syncs;
	uint64_t slept;
};

#define CHECK(condition) \
	do { \
		if (!(condition)) \
			fail(__LINE__, #condition); \
	} while (0)

static _Noreturn void fail(int line, const char *condition)
{
	fprintf(stderr, "handoff_stress: line %d: not true: %s\n", line, condition);
	abort();
}

static void on_alarm(int signal_number)
{
	static const char text[] = "handoff_stress: hangs: a wake was lost\n";

	(void)signal_number;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(1);
}

/* xorshift64*: seeded, so that a failing run has a name. */
static uint64_t draw(uint64_t *random)
{
	*random ^= *random >> 12;
	*random ^= *random << 25;
	*random ^= *random >> 27;
	return *random * UINT64_C(0x2545f4914f6cdd1d);
}

static bool one_in(uint64_t *random, unsigned n)
{
	return (draw(random) >> 33) % n == 0;
}

/*
 * Batch @id as the producer writes it; the last words of the slot too, so that a torn hand-off
 * shows.
 */
static void write_batch(struct batch *batch, uint64_t id)
{
	batch->id = id;
	batch->first = ~id;
	batch->count = id % BATCH_MAX_PAGES;
	batch->carried[0] = id * 3;
	batch->carried[BATCH_WORDS - 1] = id * 5;
	batch->data[BATCH_WORDS - 1] = 0;
}

static void check_batch(const struct batch *batch, uint64_t id)
{
	CHECK(batch->id == id);
	CHECK(batch->first == ~id);
	CHECK(batch->count == id % BATCH_MAX_PAGES);
	CHECK(batch->carried[0] == id * 3);
	CHECK(batch->carried[BATCH_WORDS - 1] == id * 5);
	CHECK(batch->data[BATCH_WORDS - 1] == 0);
}

static void *sender_thread(void *arg)
{
	struct channel *c = arg;
	struct batch *batch;
	enum handoff_job job;

	while ((job = handoff_take(c->handoff, &batch)) != HANDOFF_EXIT) {
		if (c->slow && one_in(&c->random, 4))
			sched_yield();
		if (job == HANDOFF_SYNC) {
			CHECK(c->taken == c->sync_expects);
			c->syncs++;
			handoff_sync_sent(c->handoff, &c->run->sleeper);
			continue;
		}
		check_batch(batch, c->taken + 1);
		c->taken++;
		batch->data[BATCH_WORDS - 1] = ANSWER(c->taken);
		handoff_give_back(c->handoff, &c->run->sleeper);
	}
	CHECK(atomic_load_explicit(&c->run->stop, memory_order_relaxed));
	return NULL;
}

/* Let everybody out: the sender threads by their hand-offs, the producer by its sleeper. */
static void open_door(struct run *run)
{
	unsigned i;

	atomic_store_explicit(&run->stop, true, memory_order_relaxed);
	for (i = 0; i < run->channels; i++)
		handoff_request_exit(run->handoff[i]);
	sleeper_wake(&run->sleeper);
}

static void *door_thread(void *arg)
{
	struct run *run = arg;

	while (sem_wait(&run->door) != 0)
		;
	open_door(run);
	return NULL;
}

static bool stopped(struct run *run)
{
	return atomic_load_explicit(&run->stop, memory_order_relaxed);
}

static bool ready_slot(struct run *run, int *ret_channel)
{
	*ret_channel = handoff_find(&run->set);
	return *ret_channel >= 0;
}

static bool ready_syncs(struct run *run, int *ret_channel)
{
	unsigned i;

	(void)ret_channel;
	for (i = 0; i < run->channels; i++)
		if (!handoff_sync_idle(run->handoff[i]))
			return false;
	return true;
}

/* Wait until @ready, by the rule of core/sleeper.h; false when the door was opened. */
static bool wait_until(struct run *run, bool (*ready)(struct run *run, int *ret_channel),
		       int *ret_channel)
{
	for (;;) {
		if (stopped(run))
			return false;
		if (ready(run, ret_channel))
			return true;
		sleeper_announce(&run->sleeper);
		if (stopped(run)) {
			sleeper_retract(&run->sleeper);
			return false;
		}
		if (ready(run, ret_channel)) {
			sleeper_retract(&run->sleeper);
			return true;
		}
		run->slept++;
		sleeper_sleep(&run->sleeper);
	}
}

static bool produce_batch(struct run *run)
{
	struct channel *c;
	struct batch *batch;
	unsigned slot;
	int channel;

	if (!wait_until(run, ready_slot, &channel))
		return false;
	c = &run->channel[channel];
	batch = handoff_slot(c->handoff);
	slot = (unsigned)(batch - c->handoff->slot);
	if (c->occupant[slot] != 0)
		CHECK(batch->data[BATCH_WORDS - 1] == ANSWER(c->occupant[slot]));
	c->occupant[slot] = ++c->published;
	write_batch(batch, c->published);
	handoff_publish(c->handoff);
	return true;
}

static void request_sync(struct channel *c)
{
	c->sync_expects = c->published;
	handoff_request_sync(c->handoff);
}

/*
 * A SYNC on all channels, as at the end of a round: afterwards everything published has been
 * taken.
 */
static bool produce_round_end(struct run *run)
{
	int unused;
	unsigned i;

	if (!wait_until(run, ready_syncs, &unused))
		return false;
	for (i = 0; i < run->channels; i++)
		request_sync(&run->channel[i]);
	if (!wait_until(run, ready_syncs, &unused))
		return false;
	for (i = 0; i < run->channels; i++)
		CHECK(run->channel[i].taken == run->channel[i].published);
	return true;
}

/* A SYNC on one channel while the others go on. */
static void produce_single_sync(struct run *run)
{
	struct channel *c = &run->channel[draw(&run->random) % run->channels];

	if (handoff_sync_idle(c->handoff))
		request_sync(c);
}

/* Hand over @batches; then, @with_door, ask for the door and go on until it is open. */
static void produce(struct run *run, uint64_t batches, bool with_door)
{
	unsigned sync_every = 20 + (unsigned)(draw(&run->random) % 400);
	uint64_t n;

	for (n = 0; n < batches || with_door; n++) {
		if (with_door && n == batches)
			sem_post(&run->door);
		if (!produce_batch(run))
			return;
		if (one_in(&run->random, sync_every))
			produce_single_sync(run);
		if (one_in(&run->random, sync_every * 4) && !produce_round_end(run))
			return;
	}
	CHECK(produce_round_end(run));
	open_door(run);
}

static void set_up(struct run *run, unsigned channels, uint64_t seed)
{
	struct mfd_error err;
	struct channel *c;
	unsigned i;

	memset(run, 0, sizeof(*run));
	run->channels = channels;
	run->random = seed | 1;
	draw(&run->random);
	CHECK(sleeper_init(&run->sleeper, &err));
	CHECK(sem_init(&run->door, 0, 0) == 0);
	run->set = (struct handoff_set){ .handoff = run->handoff, .count = channels };

	for (i = 0; i < channels; i++) {
		c = &run->channel[i];
		c->run = run;
		c->random = draw(&run->random) | 1;
		c->slow = one_in(&run->random, 3);
		c->handoff = run->handoff[i] = aligned_alloc(CACHE_LINE, sizeof(struct handoff));
		CHECK(c->handoff);
		CHECK(handoff_init(c->handoff, &err));
	}
	for (i = 0; i < channels; i++) {
		c = &run->channel[i];
		CHECK(pthread_create(&c->thread, NULL, sender_thread, c) == 0);
	}
}

/* After the join: what is left in the slots is what was published and not taken, in order. */
static void check_left_over(const struct channel *c)
{
	const struct handoff *h = c->handoff;
	uint64_t id;

	CHECK(c->taken <= c->published);
	CHECK(c->published - c->taken <= HANDOFF_SLOTS);
	for (id = c->taken + 1; id <= c->published; id++)
		check_batch(&h->slot[(id - 1) % HANDOFF_SLOTS], id);
}

static void tear_down(struct run *run, struct tally *tally)
{
	struct channel *c;
	unsigned i;

	for (i = 0; i < run->channels; i++) {
		c = &run->channel[i];
		CHECK(pthread_join(c->thread, NULL) == 0);
		check_left_over(c);
		tally->batches += c->taken;
		tally->syncs += c->syncs;
		handoff_destroy(c->handoff);
		free(c->handoff);
	}
	tally->episodes++;
	tally->slept += run->slept;
	sem_destroy(&run->door);
	sleeper_destroy(&run->sleeper);
}

static void episode(unsigned channels, uint64_t seed, struct tally *tally)
{
	struct run *run = malloc(sizeof(*run));
	bool with_door;
	pthread_t door;

	CHECK(run);
	set_up(run, channels, seed);
	with_door = one_in(&run->random, 2);
	if (with_door)
		CHECK(pthread_create(&door, NULL, door_thread, run) == 0);
	produce(run, draw(&run->random) % 20000, with_door);
	if (with_door)
		CHECK(pthread_join(door, NULL) == 0);
	tally->doors += with_door;
	tear_down(run, tally);
	free(run);
}

static void print_tally(unsigned channels, const struct tally *t)
{
	printf("%2u channels: %5llu episodes, %5llu ended by the door, %9llu batches, %7llu syncs,"
	       " slept %8llu times\n",
	       channels, (unsigned long long)t->episodes, (unsigned long long)t->doors,
	       (unsigned long long)t->batches, (unsigned long long)t->syncs,
	       (unsigned long long)t->slept);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static const unsigned channels[] = { 1, 2, 8, MAX_CHANNELS };
	unsigned seconds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 5;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	uint64_t random = seed * 2 + 1;
	uint64_t deadline;
	unsigned i;

	signal(SIGALRM, on_alarm);
	alarm(seconds + 60);
	printf("handoff_stress: %u s, seed %llu\n", seconds, (unsigned long long)seed);
	for (i = 0; i < 4; i++) {
		struct tally tally = { 0 };

		deadline = clock_ns() + seconds * CLOCK_NS_PER_S / 4;
		do
			episode(channels[i], draw(&random), &tally);
		while (clock_ns() < deadline);
		print_tally(channels[i], &tally);
	}
	return 0;
}
