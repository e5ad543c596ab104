/* SPDX-License-Identifier: MIT */
/*
 * The threads of a frozen process: what the guardian and /proc have said about each.
 */
#ifndef MFD_PROCESS_FROZEN_H
#define MFD_PROCESS_FROZEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "process/freeze.h"
#include "process/guardian.h"
#include "process/inject.h"
#include "process/target.h"

/* What a thread has beside what struct frozen_thread shows of it. */
struct frozen_own {
	uint8_t *data; /* its register sets, one behind the other */
	struct user_regs_struct regs;
	struct inject_candidate candidate;
};

/* All zero: empty. */
struct frozen_list {
	struct frozen_thread *thread;
	struct frozen_own *own; /* as many */
	size_t count, room;
};

void frozen_list_clear(struct frozen_list *list);
void frozen_list_free(struct frozen_list *list);

/* Add the thread of @message, which is @size bytes long. Errors: MFD_NO_INPUT it is gone; MFD_OS.
 */
bool frozen_list_add(struct frozen_list *list, const struct target *target,
		     const struct guardian_thread *message, size_t size,
		     struct mfd_error *err) MFD_MUST_CHECK;

/* As inject_plan(), with all threads as candidates. */
bool frozen_list_plan(struct frozen_list *list, const struct target *target,
		      struct guardian_request *ret, struct mfd_error *err) MFD_MUST_CHECK;

#endif
