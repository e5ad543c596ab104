/* SPDX-License-Identifier: MIT */
/*
 * Monotonic time and deadlines.
 */
#include "base/clock.h"

#include <limits.h>
#include <time.h>

static uint64_t clock_read(clockid_t id)
{
	struct timespec now;

	/* Cannot fail: both clocks are there on every system that has them at compile time. */
	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * CLOCK_NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_ns(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

uint64_t clock_cpu_ns(void)
{
	return clock_read(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t clock_deadline_ms(uint64_t ms)
{
	uint64_t now = clock_ns();

	if (ms == 0 || ms > (CLOCK_NEVER - now) / CLOCK_NS_PER_MS)
		return CLOCK_NEVER;
	return now + ms * CLOCK_NS_PER_MS;
}

int clock_poll_ms(uint64_t deadline_ns)
{
	uint64_t now, ms;

	if (deadline_ns == CLOCK_NEVER)
		return -1;
	now = clock_ns();
	if (now >= deadline_ns)
		return 0;
	/* Up, not down: a poll that wakes just before the deadline would spin until it. */
	ms = (deadline_ns - now - 1) / CLOCK_NS_PER_MS + 1;
	return ms < INT_MAX ? (int)ms : INT_MAX;
}
