/* SPDX-License-Identifier: MIT */
/*
 * Building notes.
 */
#include "process/notes.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>

/* Name and contents are padded to this, in every class of core file. */
#define NOTES_ALIGN 4u

static size_t notes_align(size_t bytes)
{
	return (bytes + NOTES_ALIGN - 1) / NOTES_ALIGN * NOTES_ALIGN;
}

/* Room for @bytes more, zeroed; NULL when there is no memory. */
static uint8_t *notes_extend(struct notes *n, size_t bytes, struct mfd_error *err)
{
	size_t wanted = n->allocated != 0 ? n->allocated : 4096;
	uint8_t *grown, *at;

	while (wanted - n->size < bytes)
		wanted *= 2;
	if (wanted != n->allocated) {
		grown = realloc(n->bytes, wanted);
		if (grown == NULL) {
			error_set_os(err, MFD_OS, errno, "notes of the core file");
			return NULL;
		}
		n->bytes = grown;
		n->allocated = wanted;
	}
	at = n->bytes + n->size;
	memset(at, 0, bytes);
	n->size += bytes;
	return at;
}

bool notes_add(struct notes *n, const char *owner, uint32_t type, const void *bytes, size_t size,
	       struct mfd_error *err)
{
	const Elf64_Nhdr header = { .n_namesz = (Elf64_Word)strlen(owner) + 1,
				    .n_descsz = (Elf64_Word)size, .n_type = type };
	const size_t name = notes_align(header.n_namesz);
	uint8_t *at = notes_extend(n, sizeof(header) + name + notes_align(size), err);

	if (at == NULL)
		return false;
	memcpy(at, &header, sizeof(header));
	memcpy(at + sizeof(header), owner, header.n_namesz);
	if (size > 0)
		memcpy(at + sizeof(header) + name, bytes, size);
	return true;
}

void notes_free(struct notes *n)
{
	free(n->bytes);
	*n = (struct notes){ 0 };
}

/* ---- The process. ---- */

static bool notes_add_process(struct notes *n, const struct notes_process *p, struct mfd_error *err)
{
	static const char letters[] = "RSDTZW";
	/* It is stopped because we stopped it: 't'. */
	const char letter = p->state == 't' ? 'T' : p->state;
	const char *found = letter != '\0' ? strchr(letters, letter) : NULL;
	struct elf_prpsinfo info;

	memset(&info, 0, sizeof(info));
	info.pr_state = (char)(found != NULL ? found - letters : 0);
	info.pr_sname = found != NULL ? letter : '.';
	info.pr_zomb = letter == 'Z';
	info.pr_nice = (char)p->nice;
	info.pr_flag = p->flags;
	info.pr_uid = p->uid;
	info.pr_gid = p->gid;
	info.pr_pid = p->pid;
	info.pr_ppid = p->parent;
	info.pr_pgrp = p->group;
	info.pr_sid = p->session;
	memcpy(info.pr_fname, p->name, sizeof(info.pr_fname));
	memcpy(info.pr_psargs, p->arguments, sizeof(info.pr_psargs));
	return notes_add(n, "CORE", NT_PRPSINFO, &info, sizeof(info), err);
}

/* NT_FILE: count and page size, then start, end, offset in pages for each, then the names. */
static bool notes_add_files(struct notes *n, const struct maps *maps, uint64_t page_bytes,
			    struct mfd_error *err)
{
	struct notes names = { 0 }, table = { 0 };
	uint64_t head[2] = { 0, page_bytes };
	uint8_t *at = notes_extend(&table, sizeof(head), err);
	bool ok = at != NULL;

	for (size_t i = 0; ok && i < maps->count; i++) {
		const struct mapping *m = &maps->mapping[i];
		const uint64_t row[3] = { m->start, m->end, m->offset / page_bytes };
		const size_t name = strlen(m->name) + 1;

		if (m->inode == 0)
			continue;
		head[0]++;
		at = notes_extend(&table, sizeof(row), err);
		ok = at != NULL;
		if (ok)
			memcpy(at, row, sizeof(row));
		at = ok ? notes_extend(&names, name, err) : NULL;
		ok = at != NULL;
		if (ok)
			memcpy(at, m->name, name);
	}
	if (ok && names.size > 0) {
		at = notes_extend(&table, names.size, err);
		ok = at != NULL;
		if (ok)
			memcpy(at, names.bytes, names.size);
	}
	if (ok) {
		memcpy(table.bytes, head, sizeof(head));
		ok = head[0] == 0 ||
		     notes_add(n, "CORE", NT_FILE, table.bytes, table.size, err);
	}
	notes_free(&names);
	notes_free(&table);
	return ok;
}

/* ---- Threads. ---- */

static bool notes_add_status(struct notes *n, const struct notes_process *p,
			     const struct frozen_thread *t, struct mfd_error *err)
{
	struct elf_prstatus status;
	size_t bytes = t->regs_bytes;

	memset(&status, 0, sizeof(status));
	status.pr_sigpend = t->pending;
	status.pr_sighold = t->blocked;
	status.pr_pid = t->own_tid;
	status.pr_ppid = p->parent;
	status.pr_pgrp = p->group;
	status.pr_sid = p->session;
	status.pr_fpvalid = t->fpregs_bytes > 0;
	if (bytes > sizeof(status.pr_reg))
		bytes = sizeof(status.pr_reg);
	memcpy(&status.pr_reg, t->regs, bytes);
	return notes_add(n, "CORE", NT_PRSTATUS, &status, sizeof(status), err);
}

static bool notes_add_registers(struct notes *n, const struct frozen_thread *t,
				struct mfd_error *err)
{
	if (t->fpregs_bytes > 0 &&
	    !notes_add(n, "CORE", NT_FPREGSET, t->fpregs, t->fpregs_bytes, err))
		return false;
	for (unsigned i = 0; i < t->extras; i++)
		if (!notes_add(n, "LINUX", t->extra[i].type, t->extra[i].data, t->extra[i].bytes,
			       err))
			return false;
	return true;
}

bool notes_build(struct notes *n, const struct notes_process *p,
		 const struct frozen_thread *threads, size_t count, const struct maps *maps,
		 uint64_t page_bytes, struct mfd_error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (!notes_add_status(n, p, &threads[i], err))
			return false;
		if (i == 0 &&
		    (!notes_add_process(n, p, err) ||
		     !notes_add(n, "CORE", NT_SIGINFO, &threads[0].siginfo,
				sizeof(threads[0].siginfo), err) ||
		     !notes_add(n, "CORE", NT_AUXV, p->auxv, p->auxv_bytes, err) ||
		     !notes_add_files(n, maps, page_bytes, err)))
			return false;
		if (!notes_add_registers(n, &threads[i], err))
			return false;
	}
	return true;
}
