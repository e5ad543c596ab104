/* SPDX-License-Identifier: MIT */
/*
 * The threads of a frozen process.
 */
#include "process/frozen.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void frozen_list_clear(struct frozen_list *list)
{
	while (list->count)
		free(list->own[--list->count].data);
}

void frozen_list_free(struct frozen_list *list)
{
	frozen_list_clear(list);
	free(list->thread);
	free(list->own);
}

static bool frozen_list_grow(struct frozen_list *list)
{
	const size_t room = list->room ? 2 * list->room : 16;
	struct frozen_thread *thread;
	struct frozen_own *own;

	if (list->count < list->room)
		return true;
	thread = realloc(list->thread, room * sizeof(*thread));
	if (thread)
		list->thread = thread;
	own = realloc(list->own, room * sizeof(*own));
	if (own)
		list->own = own;
	if (!thread || !own)
		return false;
	list->room = room;
	return true;
}

/* Point into @data, which holds the sets of @m. */
static void frozen_place_sets(struct frozen_thread *t, const struct guardian_thread *m,
			      const uint8_t *data)
{
	unsigned i;

	for (i = 0; i < m->sets; data += m->set[i++].bytes) {
		if (m->set[i].type == NT_PRSTATUS) {
			t->regs = data;
			t->regs_bytes = m->set[i].bytes;
		} else if (m->set[i].type == NT_FPREGSET) {
			t->fpregs = data;
			t->fpregs_bytes = m->set[i].bytes;
		} else if (t->extras < FREEZE_MAX_EXTRA) {
			t->extra[t->extras++] = (struct frozen_set) { m->set[i].type,
								      m->set[i].bytes, data };
		}
	}
}

static void frozen_fill(struct frozen_thread *t, struct frozen_own *own,
			const struct guardian_thread *m, const struct target_thread *status)
{
	*t = (struct frozen_thread) {
		.tid = m->tid,
		.own_tid = status->own_tid,
		.pending = status->pending,
		.blocked = m->blocked,
	};
	memcpy(t->comm, status->comm, sizeof(t->comm));
	t->siginfo.si_signo = m->stop_signal;
	frozen_place_sets(t, m, own->data);
	memcpy(&own->regs, t->regs, sizeof(own->regs));
	own->candidate = (struct inject_candidate) {
		.tid = m->tid,
		.rseq = m->rseq,
		.dispatch = (enum guardian_dispatch)m->dispatch,
		.seccomp = status->seccomp,
	};
}

bool frozen_list_add(struct frozen_list *list, const struct target *target,
		     const struct guardian_thread *message, size_t size, struct mfd_error *err)
{
	const size_t bytes = size - offsetof(struct guardian_thread, data);
	struct target_thread status;
	struct frozen_own *own;

	if (!target_read_thread(target, message->tid, &status, err))
		return false;
	/* The guardian has looked at the size of the general registers; in between the thread did
	 * not move. */
	if (message->sets == 0 || message->set[0].bytes != sizeof(own->regs))
		return error_set(err, MFD_NO_INPUT, "thread %d of process %d shows no registers",
				 (int)message->tid, (int)target->pid);
	if (!frozen_list_grow(list))
		return error_set_os(err, MFD_OS, ENOMEM, "the threads of process %d",
				    (int)target->pid);
	own = &list->own[list->count];
	own->data = malloc(bytes);
	if (!own->data)
		return error_set_os(err, MFD_OS, ENOMEM, "the registers of process %d",
				    (int)target->pid);
	memcpy(own->data, message->data, bytes);
	frozen_fill(&list->thread[list->count], own, message, &status);
	list->count++;
	return true;
}

bool frozen_list_plan(struct frozen_list *list, const struct target *target,
		      struct guardian_request *ret, struct mfd_error *err)
{
	struct inject_candidate *candidate = calloc(list->count + 1, sizeof(*candidate));
	size_t i;
	bool ok;

	if (!candidate)
		return error_set_os(err, MFD_OS, ENOMEM, "the threads of process %d",
				    (int)target->pid);
	for (i = 0; i < list->count; i++) {
		candidate[i] = list->own[i].candidate;
		candidate[i].regs = &list->own[i].regs;
	}
	ok = inject_plan(target->pid, candidate, list->count, ret, err);
	free(candidate);
	return ok;
}
