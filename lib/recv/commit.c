/* SPDX-License-Identifier: MIT */
/*
 * What END leads to: its totals are held against what was written, the output is verified where
 * that was asked for, and gets its name.
 */
#include "recv/session.h"

#include <inttypes.h>

/*
 * The first round speaks for every page; an image whose size was not known may have grown in later
 * ones.
 */
static bool check_pages(const struct recv_session *s, uint64_t pages, struct mfd_error *err)
{
	const uint64_t first = s->first_totals.pages;

	if (first == pages)
		return true;
	if (s->hello.size != MFD_UNKNOWN || s->end.rounds == 1 || first > pages)
		return error_set(err, MFD_DATA,
				 "the first round spoke for %" PRIu64 " pages of %" PRIu64, first,
				 pages);
	return s->all_totals.pages >= pages ||
	       error_set(err, MFD_DATA,
			 "all rounds together spoke for %" PRIu64 " pages of %" PRIu64,
			 s->all_totals.pages, pages);
}

/* Does what END says agree with what we have written? */
static bool check_end(const struct recv_session *s, struct mfd_error *err)
{
	const struct wire_end *e = &s->end;
	const struct totals *ours = &s->all_totals;

	/*
	 * The threads have been joined: what they have counted since the last SYNC is in no totals.
	 */
	for (unsigned i = 0; i < s->hello.channels; i++) {
		if (s->thread[i].totals.packets || s->thread[i].round_totals.packets)
			return error_set(err, MFD_PROTOCOL, "END in the middle of round %" PRIu32,
					 e->rounds);
	}
	if (!totals_equal(&e->totals, ours))
		return error_set(err, MFD_DATA,
				 "the sender sent %" PRIu64 " pages in %" PRIu64
				 " packets with sum %016" PRIx64 ", written were %" PRIu64
				 " in %" PRIu64 " with %016" PRIx64,
				 e->totals.pages, e->totals.packets, e->totals.sum, ours->pages,
				 ours->packets, ours->sum);
	if (s->hello.size != MFD_UNKNOWN && e->size != s->hello.size)
		return error_set(err, MFD_PROTOCOL,
				 "the image had %" PRIu64 " bytes in HELLO and has %" PRIu64
				 " in END",
				 s->hello.size, e->size);
	if (e->size > s->params.max_size)
		return error_set(err, MFD_CANT_CREATE,
				 "the image has %" PRIu64 " bytes, --max-size allows %" PRIu64,
				 e->size, s->params.max_size);
	if (!check_pages(s, batch_pages_of(e->size), err))
		return false;
	if (e->rounds == 1 && e->image_hash != ours->sum)
		return error_set(err, MFD_DATA,
				 "the image hash is %016" PRIx64 ", should be %016" PRIx64,
				 ours->sum, e->image_hash);
	return true;
}

bool recv_commit(struct recv_session *s, struct mfd_error *err)
{
	if (!check_end(s, err) || (s->params.verify && !recv_verify(s, err)) ||
	    !s->sink->ops->commit(s->sink, s->end.size, &s->stop, err))
		return false;
	counter_set(&s->bytes_image, s->end.size);
	counter_set(&s->image_hash, s->end.image_hash);
	counter_set(&s->phase, MFD_FINISHED);
	pthread_mutex_lock(&s->lock);
	s->committed = true;
	pthread_mutex_unlock(&s->lock);
	event_raise(&s->verdict.attention);
	return true;
}
