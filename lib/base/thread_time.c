/* SPDX-License-Identifier: MIT */
/*
 * A thread's CPU time, and its time on the run queue from /proc/thread-self/schedstat: "ran
 * waited slices", of which the first is as old as the last tick but the second is exact for a
 * thread that runs.  One read costs less than a microsecond.
 */
#include "base/thread_time.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

uint64_t thread_time_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * CLOCK_NS_PER_S + (uint64_t)t.tv_nsec;
}

int thread_time_open(void)
{
	return open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
}

uint64_t thread_time_waited_ns(int fd)
{
	char text[96], *waited;
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	strtoull(text, &waited, 10);
	return strtoull(waited, NULL, 10);
}
