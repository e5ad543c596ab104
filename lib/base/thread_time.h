/* SPDX-License-Identifier: MIT */
/*
 * What the CPUs gave to the calling thread: how long it ran, and how long it was ready to run
 * and had to wait for a CPU.  The rest of the time it slept.
 */
#ifndef MFD_BASE_THREAD_TIME_H
#define MFD_BASE_THREAD_TIME_H

#include <stdint.h>

/* CPU time of the calling thread, in ns. */
uint64_t thread_time_cpu_ns(void);

/*
 * A descriptor for thread_time_waited_ns() of the calling thread, for the caller to close; -1
 * where the kernel keeps no such figures.
 */
int thread_time_open(void);

/* How long the thread that opened @fd has waited for a CPU so far, in ns; 0 for -1. */
uint64_t thread_time_waited_ns(int fd);

#endif
