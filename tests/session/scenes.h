/* SPDX-License-Identifier: MIT */
/*
 * Transfers between two sessions of this process, many at the same time, and what is said of their
 * ends.  For cmocka's thread: what is not as expected fails the test.
 */
#ifndef MFD_TESTS_SESSION_SCENES_H
#define MFD_TESTS_SESSION_SCENES_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/testing.h"

/* Sessions that fail wait for each other's reasons, lost channels to be opened again: together. */
#define SCENES_TOGETHER 16

static inline struct testing_scene *scenes_new(const char *name)
{
	struct testing_scene *scene = calloc(SCENES_TOGETHER, sizeof(*scene));

	assert_non_null(scene);
	for (unsigned i = 0; i < SCENES_TOGETHER; i++)
		testing_scene_init(&scene[i], name);
	return scene;
}

static inline void scenes_free(struct testing_scene *s)
{
	for (unsigned i = 0; i < SCENES_TOGETHER; i++)
		testing_scene_destroy(&s[i]);
	free(s);
}

/* One end has failed like this; @remote: for the peer's reason. */
static inline void expect_end(const struct testing_end *e, enum mfd_status status, bool remote,
			      const char *text)
{
	assert_false(e->ok);
	if (e->error.status != status || e->error.remote != remote || !strstr(e->error.text, text))
		fail_msg("%d%s: %s; expected %d%s: %s", e->error.status,
			 e->error.remote ? " remote" : "", e->error.text, status,
			 remote ? " remote" : "", text);
}

/* Both ends are content, and so is the sink. */
static inline void expect_complete(const struct testing_scene *s)
{
	const struct mfd_stats *sent = &s->pair.sender.stats, *got = &s->pair.receiver.stats;

	if (!testing_agreed(&s->pair))
		fail_msg("sender: %s; receiver: %s",
			 s->pair.sender.ok ? "ok" : s->pair.sender.error.text,
			 s->pair.receiver.ok ? "ok" : s->pair.receiver.error.text);
	assert_int_equal(s->sink.wrong, 0);
	assert_int_equal(s->sink.overtaken, 0);
	assert_true(testing_sink_complete(&s->sink));
	assert_int_equal(sent->hash, testing_hash(&s->image));
	/* Each batch counts once, however often it was sent. */
	assert_int_equal(sent->pages_data, got->pages_data);
	assert_int_equal(sent->pages_zero, got->pages_zero);
}

#endif
