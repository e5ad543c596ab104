/* SPDX-License-Identifier: MIT */
/*
 * Counting semaphores as the core uses them: a token is waited for through signals, and posting
 * one can't fail.
 */
#ifndef MFD_CORE_TOKEN_H
#define MFD_CORE_TOKEN_H

#include <errno.h>
#include <semaphore.h>

#include "core/invariant.h"

static inline void token_wait(sem_t *tokens)
{
	while (sem_wait(tokens) != 0) {
		if (errno != EINTR)
			invariant_broken("mfd: semaphore: waiting failed\n");
	}
}

static inline void token_post(sem_t *tokens)
{
	/* EOVERFLOW: two thousand million tokens nobody took. */
	if (sem_post(tokens) != 0)
		invariant_broken("mfd: semaphore: posting failed\n");
}

#endif
