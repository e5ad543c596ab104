/* SPDX-License-Identifier: MIT */
/*
 * Thousands of sessions in one process, in each of which something goes wrong, from one seed.
 *
 *	hostile_session SECONDS [SEED [FAULTS]]    until both are reached; FAULTS: 10000
 *	hostile_session --case SEED                one case again, with all it has to say
 *
 * Several cases run side by side, because most of them wait.  What a case does depends on its seed,
 * as far as threads allow.  Exit status 1 and the line that repeats the case when something was
 * not as it should be, a hang included; otherwise the counts.
 */
#include "hostile/hostile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit/scratch.h"

#define WORKERS 12u

/* A case that takes so long hangs: it has up to five sessions. */
#define CASE_S (TESTING_SANITIZED ? 300u : 90u)

struct run;

struct worker {
	struct run *run;
	unsigned id;
	pthread_t thread;
	_Atomic uint64_t seed, began_ns; /* of the case; 0: none */
	char dir[PATH_MAX];
};

struct run {
	uint64_t seed, deadline_ns, wanted;
	const char *self;
	struct hostile_tally tally;
	struct worker worker[WORKERS];
	_Atomic uint64_t next;
	_Atomic bool failed;
	_Atomic unsigned running;
};

static void publish(void *run, const struct hostile_plan *p, const struct hostile_result *r)
{
	hostile_tally_add(&((struct run *)run)->tally, p, r);
}

static void complain(const struct run *run, uint64_t seed, const char *what)
{
	fprintf(stderr, "VIOLATION: %s\nseed %" PRIu64 "; to repeat: %s --case %#" PRIx64 "\n",
		what, run->seed, run->self, seed);
}

static bool more(struct run *run)
{
	return !run->failed && (clock_ns() < run->deadline_ns ||
				hostile_tally_faults(&run->tally) < run->wanted);
}

static void *work(void *worker)
{
	struct worker *w = worker;
	struct run *run = w->run;

	while (more(run)) {
		uint64_t state = run->seed + run->next++, seed = testing_random(&state);
		const char *wrong;

		w->seed = seed;
		w->began_ns = clock_ns();
		wrong = hostile_scene_run(seed, w->dir, false, publish, run);
		w->began_ns = 0;
		if (wrong) {
			complain(run, seed, wrong);
			run->failed = true;
		}
	}
	run->running--;
	return NULL;
}

/* Until all workers are done; a hang ends the program. */
static void watch(struct run *run)
{
	while (run->running) {
		testing_pause_ms(50);
		for (unsigned i = 0; i < WORKERS; i++) {
			const uint64_t began = run->worker[i].began_ns;

			if (!began || clock_ns() < began + CASE_S * CLOCK_NS_PER_S)
				continue;
			complain(run, run->worker[i].seed, "it hangs");
			abort();
		}
	}
}

static int run_all(struct run *run)
{
	struct scratch scratch;

	if (scratch_new(&scratch) != 0)
		return 71;
	run->running = WORKERS;
	for (unsigned i = 0; i < WORKERS; i++) {
		struct worker *w = &run->worker[i];

		w->run = run;
		snprintf(w->dir, sizeof(w->dir), "%s/%u", scratch.dir, i);
		if (mkdir(w->dir, 0700) != 0 || pthread_create(&w->thread, NULL, work, w))
			abort();
	}
	watch(run);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(run->worker[i].thread, NULL);
	hostile_tally_print(&run->tally);
	printf("seed %" PRIu64 ": %s\n", run->seed, run->failed ? "VIOLATED" : "no violation");
	return scratch_free(&scratch) != 0 || run->failed;
}

static int run_one(struct run *run, uint64_t seed)
{
	struct scratch scratch;
	const char *wrong;

	if (scratch_new(&scratch) != 0)
		return 71;
	wrong = hostile_scene_run(seed, scratch.dir, true, publish, run);
	if (wrong)
		complain(run, seed, wrong);
	return scratch_free(&scratch) != 0 || wrong;
}

int main(int argc, char **argv)
{
	struct run *run = calloc(1, sizeof(*run));
	int status;

	if (!run || argc < 2 || argc > 4 || (!strcmp(argv[1], "--case") && argc != 3)) {
		fputs("usage: hostile_session SECONDS [SEED [FAULTS]] | --case SEED\n", stderr);
		return 64;
	}
	run->self = argv[0];
	run->seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	run->wanted = argc > 3 ? strtoull(argv[3], NULL, 0) : 10000;
	run->deadline_ns = clock_deadline_ms(strtoull(argv[1], NULL, 0) * 1000);
	status = !strcmp(argv[1], "--case") ? run_one(run, run->seed) : run_all(run);
	free(run);
	return status;
}
