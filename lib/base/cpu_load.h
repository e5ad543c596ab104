/* SPDX-License-Identifier: MIT */
/*
 * How busy the CPUs are that we may use, whoever keeps them busy.
 */
#ifndef MFD_BASE_CPU_LOAD_H
#define MFD_BASE_CPU_LOAD_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Sums over the CPUs of our affinity mask, in ticks (10 ms each), since the machine started: two
 * readings some ticks apart say what was between them.
 */
struct cpu_load {
	uint64_t idle;           /* with nothing to do, or waiting for a disk */
	uint64_t all;
};

/* A descriptor for cpu_load_read(), for the caller to close; -1 where the kernel does not say. */
int cpu_load_open(void);

/* False if there are no figures. */
bool cpu_load_read(int fd, struct cpu_load *ret);

#endif
