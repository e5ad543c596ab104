/* SPDX-License-Identifier: MIT */
/*
 * Freezing by commands: whatever happens, what was begun is undone once.  The commands write what
 * they are to a file in a directory of the test's.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "process/freeze.h"
#include "unit/scratch.h"

#define PATIENCE_NS (30 * CLOCK_NS_PER_S)
#define LONG_MS 60000

static struct mfd_error err;

struct fixture {
	struct scratch scratch;
	char freeze[2 * PATH_MAX], thaw[2 * PATH_MAX];
};

/* Each writes its letter; @more and @then are what else they do. */
static void fixture_commands(struct fixture *f, const char *more, const char *then)
{
	snprintf(f->freeze, sizeof(f->freeze), "printf f >>%s/calls; %s", f->scratch.dir, more);
	snprintf(f->thaw, sizeof(f->thaw), "printf t >>%s/calls; %s", f->scratch.dir, then);
}

static struct freezer *fixture_freezer(const struct fixture *f, uint64_t max_freeze_ms)
{
	struct freezer *freezer;

	if (!freezer_new_commands(f->freeze, f->thaw, "the image", max_freeze_ms, &freezer, &err))
		fail_msg("%s", err.text);
	return freezer;
}

/* What was called, in order. */
static const char *calls(const struct fixture *f, char ret[static 16])
{
	char path[PATH_MAX];
	FILE *file;

	memset(ret, 0, 16);
	snprintf(path, sizeof(path), "%s/calls", f->scratch.dir);
	file = fopen(path, "re");
	if (file != NULL) {
		ret[fread(ret, 1, 15, file)] = '\0';
		fclose(file);
	}
	return ret;
}

static void wait_for_calls(const struct fixture *f, const char *wanted)
{
	const uint64_t until_ns = clock_ns() + PATIENCE_NS;
	char text[16];

	while (strcmp(calls(f, text), wanted) != 0) {
		if (clock_ns() > until_ns)
			fail_msg("called: %s, not %s", text, wanted);
		poll(NULL, 0, 1);
	}
}

static void assert_calls(const struct fixture *f, const char *wanted)
{
	char text[16];

	assert_string_equal(calls(f, text), wanted);
}

static void each_freeze_is_followed_by_a_thaw(void **state)
{
	struct fixture *f = *state;
	struct freezer *freezer;
	uint64_t ns;
	size_t count;

	fixture_commands(f, "test \"$MFD_IMAGE\" = 'the image'", "true");
	freezer = fixture_freezer(f, LONG_MS);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(freezer_freeze(freezer, &err));
		assert_true(freezer_holds(freezer));
		assert_true(freezer_same(freezer, &err));
		freezer_threads(freezer, &count);
		assert_int_equal(count, 0);
		assert_true(freezer_thaw(freezer, &ns, &err));
		assert_true(ns > 0);
		assert_false(freezer_holds(freezer));
		assert_true(freezer_check_bound(freezer, &err));
	}
	freezer_free(freezer);
	assert_calls(f, "ftft");
}

static void what_is_frozen_is_thawed_when_the_freezer_goes(void **state)
{
	struct fixture *f = *state;
	struct freezer *freezer;

	fixture_commands(f, "true", "true");
	freezer = fixture_freezer(f, LONG_MS);
	assert_true(freezer_freeze(freezer, &err));
	assert_calls(f, "f");
	freezer_free(freezer);
	assert_calls(f, "ft");
	/* And what is not frozen is not. */
	freezer_free(fixture_freezer(f, LONG_MS));
	assert_calls(f, "ft");
}

static void a_freeze_that_fails_is_undone_and_its_status_told(void **state)
{
	struct fixture *f = *state;
	struct freezer *freezer;

	fixture_commands(f, "exit 7", "true");
	freezer = fixture_freezer(f, LONG_MS);
	assert_false(freezer_freeze(freezer, &err));
	assert_int_equal(err.status, MFD_CONFIG);
	assert_non_null(strstr(err.text, "exit status 7"));
	assert_false(freezer_holds(freezer));
	freezer_free(freezer);
	assert_calls(f, "ft");

	fixture_commands(f, "kill -KILL $$", "true");
	freezer = fixture_freezer(f, LONG_MS);
	assert_false(freezer_freeze(freezer, &err));
	assert_non_null(strstr(err.text, "ended by signal 9"));
	freezer_free(freezer);
	assert_calls(f, "ftft");
}

static void a_freeze_that_takes_too_long_is_ended_with_all_it_started(void **state)
{
	struct fixture *f = *state;
	struct freezer *freezer;
	const uint64_t began_ns = clock_ns();

	fixture_commands(f, "sleep 1000 & sleep 1000", "true");
	freezer = fixture_freezer(f, 200);
	assert_false(freezer_freeze(freezer, &err));
	assert_int_equal(err.status, MFD_TRY_AGAIN);
	assert_non_null(strstr(err.text, "within 200 ms"));
	assert_in_range(clock_ns() - began_ns, 200 * CLOCK_NS_PER_MS, PATIENCE_NS);
	freezer_free(freezer);
	assert_calls(f, "ft");
}

static void the_bound_thaws_and_that_is_told(void **state)
{
	struct fixture *f = *state;
	struct freezer *freezer;
	uint64_t ns;

	fixture_commands(f, "true", "true");
	freezer = fixture_freezer(f, 1000);
	assert_true(freezer_freeze(freezer, &err));
	wait_for_calls(f, "ft");
	assert_true(freezer_thaw(freezer, &ns, &err));
	assert_true(ns >= 1000 * CLOCK_NS_PER_MS);
	assert_false(freezer_check_bound(freezer, &err));
	assert_int_equal(err.status, MFD_TRY_AGAIN);
	assert_non_null(strstr(err.text, "the writer was frozen for 1000 ms"));
	freezer_free(freezer);
	assert_calls(f, "ft");
}

static void a_thaw_that_fails_is_told(void **state)
{
	struct fixture *f = *state;
	struct freezer *freezer;

	fixture_commands(f, "true", "exit 5");
	freezer = fixture_freezer(f, LONG_MS);
	assert_true(freezer_freeze(freezer, &err));
	assert_false(freezer_thaw(freezer, NULL, &err));
	assert_int_equal(err.status, MFD_CONFIG);
	assert_non_null(strstr(err.text, "exit status 5"));
	freezer_free(freezer);
	assert_calls(f, "ft");
}

struct stopper {
	struct fixture *f;
	struct event stop;
};

/* Once the command runs. */
static void *stop_it(void *stopper)
{
	struct stopper *s = stopper;

	wait_for_calls(s->f, "f");
	event_raise(&s->stop);
	return NULL;
}

static void who_is_told_to_stop_waits_for_no_command(void **state)
{
	struct fixture *f = *state;
	struct freezer *freezer;
	struct stopper s = { .f = f };
	pthread_t thread;
	char more[PATH_MAX];

	snprintf(more, sizeof(more), "until test -e %s/go; do sleep 0.01; done", f->scratch.dir);
	fixture_commands(f, more, "true");
	assert_true(event_init(&s.stop, &err));
	freezer = fixture_freezer(f, LONG_MS);
	freezer_heed(freezer, &s.stop);
	assert_int_equal(pthread_create(&thread, NULL, stop_it, &s), 0);
	assert_false(freezer_freeze(freezer, &err));
	assert_int_equal(err.status, MFD_TRY_AGAIN);
	pthread_join(thread, NULL);
	freezer_free(freezer);
	event_destroy(&s.stop);
	/* The command goes on to its end, and then the other one comes. */
	assert_calls(f, "f");
	assert_true(scratch_put(scratch_at(&f->scratch, "go"), "", 0, 0600));
	wait_for_calls(f, "ft");
}

/* Killed with everything else as it is: only the guardian is left. */
static void the_thaw_follows_when_we_are_killed(void **state)
{
	struct fixture *f = *state;
	struct freezer *freezer;
	int status;
	pid_t pid;

	fixture_commands(f, "true", "true");
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (!freezer_new_commands(f->freeze, f->thaw, "", LONG_MS, &freezer, &err) ||
		    !freezer_freeze(freezer, &err))
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	wait_for_calls(f, "ft");
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	return f == NULL ? -1 : scratch_new(&f->scratch);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	const int removed = scratch_free(&f->scratch);

	free(f);
	return removed;
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(each_freeze_is_followed_by_a_thaw),
		WITH_DIR(what_is_frozen_is_thawed_when_the_freezer_goes),
		WITH_DIR(a_freeze_that_fails_is_undone_and_its_status_told),
		WITH_DIR(a_freeze_that_takes_too_long_is_ended_with_all_it_started),
		WITH_DIR(the_bound_thaws_and_that_is_told),
		WITH_DIR(a_thaw_that_fails_is_told),
		WITH_DIR(who_is_told_to_stop_waits_for_no_command),
		WITH_DIR(the_thaw_follows_when_we_are_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
