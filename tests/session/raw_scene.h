/* SPDX-License-Identifier: MIT */
/*
 * A receiver that runs in this process, and how it ends when a sender by hand has done with it.
 */
#ifndef MFD_TESTS_SESSION_RAW_SCENE_H
#define MFD_TESTS_SESSION_RAW_SCENE_H

#include "common/raw.h"
#include "common/testing.h"

#define SCENE_PAGES 32

/* A receiver that runs, for a raw sender; SCENE_PAGES random pages. */
static inline void scene_begin(struct testing_scene *s, const char *name)
{
	testing_scene_init(s, name);
	testing_sink_destroy(&s->sink);
	s->image.size = SCENE_PAGES * PAGE_BYTES;
	testing_source_init(&s->source, &s->image, true);
	testing_sink_init(&s->sink, &s->image);
	assert_true(testing_start_receiver(&s->pair));
}

/* The same, and a session has begun, with all of its connections. */
static inline void scene_open(struct testing_scene *s, struct raw_sender *sender, const char *name,
			      uint32_t channels)
{
	scene_begin(s, name);
	raw_open(sender, s->pair.port, channels, s->image.size);
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

/* All pages from @packet on, on the channels in turn, eight to a packet. */
static inline void scene_send_from(struct raw_sender *sender, const struct testing_image *image,
				   uint32_t packet)
{
	for (uint32_t i = packet; i < SCENE_PAGES / 8; i++)
		raw_pages(sender, i % sender->hello.channels, 0, image, i * 8, 8);
}

static inline void scene_send_all(struct raw_sender *sender, const struct testing_image *image)
{
	scene_send_from(sender, image, 0);
}

/* SYNC on all channels, and the receiver's answer. */
static inline void scene_sync(struct raw_sender *sender, uint32_t round)
{
	struct wire_message m;

	for (uint32_t i = 0; i < sender->hello.channels; i++)
		raw_sync(sender, i, round);
	raw_expect(sender->control, WIRE_SYNC_DONE, &m);
}

/* All has been sent: a good end, and the sender goes. */
static inline void scene_finish(struct testing_scene *s, struct raw_sender *sender)
{
	raw_finish(sender);
	raw_close(sender);
	scene_end_well(s);
}

static inline void scene_send_rest(struct testing_scene *s, struct raw_sender *sender)
{
	scene_send_all(sender, &s->image);
	scene_finish(s, sender);
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
