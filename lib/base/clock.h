/* SPDX-License-Identifier: MIT */
/*
 * Monotonic time in nanoseconds, and deadlines made from it.
 */
#ifndef MFD_BASE_CLOCK_H
#define MFD_BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_MS UINT64_C(1000000)
#define CLOCK_NS_PER_S UINT64_C(1000000000)

/* A deadline that never comes. */
#define CLOCK_NEVER UINT64_MAX

/* CLOCK_MONOTONIC now, in ns. */
uint64_t clock_ns(void);

/* User plus system CPU time of this process so far, in ns. */
uint64_t clock_cpu_ns(void);

/* @ms from now, in ns; 0 means CLOCK_NEVER. */
uint64_t clock_deadline_ms(uint64_t ms);

/* The time left as poll(2) wants it: whole ms rounded up, 0 when past, -1 for CLOCK_NEVER. */
int clock_poll_ms(uint64_t deadline_ns);

#endif
