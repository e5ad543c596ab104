/* SPDX-License-Identifier: MIT */
/*
 * What a test and the process that it freezes share: a mapping of the descriptor FREEZE_SCENE_FD.
 */
#ifndef MFD_TESTS_PROCESS_FREEZE_SCENE_H
#define MFD_TESTS_PROCESS_FREEZE_SCENE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FREEZE_SCENE_FD 3
#define FREEZE_SCENE_COUNTERS 64

/* In a callee-saved register of the mode `spin` all the time (x86-64 only). */
#define FREEZE_SCENE_MAGIC UINT64_C(0x6d66642d66726f7a)

struct freeze_scene {
	/* Written by the target. */
	atomic_bool ready; /* it is where the test wants it, or about to make the blocking call */
	atomic_bool done;  /* the call has returned, or the mode has ended */
	_Atomic int64_t result, error, elapsed_ns;       /* of that call */
	_Atomic uint64_t counter[FREEZE_SCENE_COUNTERS]; /* each thread's progress */
	_Atomic uint64_t signals;                        /* handled */
	_Atomic uint64_t misordered;                     /* of those, not the one expected */
	_Atomic uint64_t continues;                      /* SIGCONT handled */
	_Atomic int64_t descriptor_limit;                /* the lowest free descriptor at the end */

	/* Written by the test. */
	atomic_bool go;   /* let the call return */
	atomic_bool stop; /* end */
};

#endif
