/* SPDX-License-Identifier: MIT */
/*
 * The producer's one place to sleep. `announced` goes 0 -> 1 by the sleeping thread alone, and
 * 1 -> 0 by whoever is first: a waker, who then owes exactly one post, or the sleeping thread
 * itself, which found work at its second look. Each post is taken before the next announcement,
 * so the semaphore never counts beyond 1.
 */
#include "core/sleeper.h"

#include "core/fence.h"
#include "core/token.h"

bool sleeper_init(struct sleeper *s, struct mfd_error *err)
{
	atomic_init(&s->announced, 0);
	if (sem_init(&s->wake, 0, 0) != 0)
		return error_set_os(err, MFD_OS, errno, "semaphore");
	return true;
}

void sleeper_destroy(struct sleeper *s)
{
	sem_destroy(&s->wake);
}

void sleeper_announce(struct sleeper *s)
{
	/*
	 * Permits the second look: what it misses is changed by a waker who will find the
	 * announcement. pair: SLEEPER_WAKE
	 */
	fence_store(&s->announced, 1);
}

void sleeper_retract(struct sleeper *s)
{
	/*
	 * A waker was quicker: its post is on the way and must not be left over for the next
	 * sleep.
	 */
	if (atomic_exchange_explicit(&s->announced, 0, memory_order_relaxed) == 0)
		token_wait(&s->wake);
}

void sleeper_sleep(struct sleeper *s)
{
	token_wait(&s->wake);
}

void sleeper_wake(struct sleeper *s)
{
	/*
	 * Permits to leave when nobody is announced: whoever announces himself later will see,
	 * at his second look, what the caller has changed. pair: SLEEPER_WAKE
	 */
	if (fence_load(&s->announced) == 0)
		return;

	/* Of several wakers one posts.  The order comes with the semaphore. */
	if (atomic_exchange_explicit(&s->announced, 0, memory_order_relaxed) == 1)
		token_post(&s->wake);
}
