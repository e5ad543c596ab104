/* SPDX-License-Identifier: MIT */
/*
 * What the modes of the process to be frozen share.
 */
#ifndef MFD_TESTS_PROCESS_FREEZE_TARGET_H
#define MFD_TESTS_PROCESS_FREEZE_TARGET_H

#include <stdint.h>

#include "freeze_scene.h"

/* What it shares with the test; mapped before a mode begins. */
extern struct freeze_scene *scene;

uint64_t now_ns(void);

/* A sleep that ends early is counted as misordered. */
void nap(long ns);

/* A handler that counts: SIGCONT apart from the others. */
void count_signal(int signal);

/* A mode: its exit status.  @name: of the call. */
int mode_block(const char *name);

#endif
