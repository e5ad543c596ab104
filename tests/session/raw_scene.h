/* SPDX-License-Identifier: MIT */
/*
 * A receiver that runs in this process, and how it ends when a sender by hand has done with it.
 */
#ifndef MFD_TESTS_SESSION_RAW_SCENE_H
#define MFD_TESTS_SESSION_RAW_SCENE_H

#include "common/raw.h"
#include "common/testing.h"

/* A receiver that runs, for a raw sender; 32 random pages. */
static inline void scene_begin(struct testing_scene *s, const char *name)
{
	testing_scene_init(s, name);
	testing_sink_destroy(&s->sink);
	s->image.size = 32 * PAGE_BYTES;
	testing_source_init(&s->source, &s->image, true);
	testing_sink_init(&s->sink, &s->image);
	assert_true(testing_start_receiver(&s->pair));
}

static inline void scene_end_well(struct testing_scene *s)
{
	testing_join(&s->pair);
	if (!s->pair.receiver.ok)
		fail_msg("%d: %s", s->pair.receiver.error.status, s->pair.receiver.error.text);
	assert_true(testing_sink_complete(&s->sink));
	testing_scene_destroy(s);
}

/* The receiver has ended with @status and @text, and told the sender the same. */
static inline void scene_end_badly(struct testing_scene *s, struct raw_sender *sender,
				   enum mfd_status status, const char *text)
{
	struct wire_message m;

	raw_expect(sender->control, WIRE_ERROR, &m);
	raw_close(sender);
	testing_join(&s->pair);
	assert_false(s->pair.receiver.ok);
	assert_false(s->sink.committed);
	if (s->pair.receiver.error.status != status || !strstr(s->pair.receiver.error.text, text))
		fail_msg("%d: %s; expected %d: %s", s->pair.receiver.error.status,
			 s->pair.receiver.error.text, status, text);
	assert_int_equal(m.problem.status, status);
	assert_string_equal(m.problem.text, s->pair.receiver.error.text);
	testing_scene_destroy(s);
}

/* All pages on the channels in turn, eight to a packet. */
static inline void scene_send_all(struct raw_sender *sender, const struct testing_image *image)
{
	for (uint32_t i = 0; i < 4; i++)
		raw_pages(sender, i % sender->hello.channels, 0, image, i * 8, 8);
}

static inline void scene_send_rest(struct testing_scene *s, struct raw_sender *sender)
{
	scene_send_all(sender, &s->image);
	raw_finish(sender);
	raw_close(sender);
	scene_end_well(s);
}

/* Until the receiver has acknowledged @written packets of the channel. */
static inline void scene_expect_ack(struct raw_sender *sender, uint32_t channel, uint64_t written)
{
	struct wire_message m;
	uint64_t acked = 0;

	while (acked < written) {
		assert_true(raw_hear(sender->control, &m));
		for (unsigned i = 0; m.type == WIRE_ACK && i < m.ack.count; i++)
			acked = m.ack.channel[i].channel == channel ? m.ack.channel[i].written
								    : acked;
	}
	assert_int_equal(acked, written);
}

#endif
