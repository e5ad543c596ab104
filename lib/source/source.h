/* SPDX-License-Identifier: MIT */
/*
 * Sources: where the pages come from.  The producer walks a source once per round and gets batches;
 * sender threads read the bytes of a batch, unless the source can only be read in order and fills
 * them itself.
 */
#ifndef MFD_SOURCE_H
#define MFD_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/event.h"
#include "core/batch.h"
#include "core/options.h"

struct source;

/* What HELLO says about the image. */
struct source_info {
	const char *name;        /* the last part of the path, or "-" */
	uint64_t size;           /* bytes; UINT64_MAX: not known before the end */
	uint64_t allocated;      /* bytes that are not holes; UINT64_MAX: not known */
	/* read() may be called for any batch, again and again; otherwise next() fills the bytes */
	bool rereadable;
	bool rounds;             /* there may be more rounds than one */
	const char *warning;     /* one line for the user; NULL: none */
};

struct source_ops {
	const char *kind;

	/*
	 * Producer.  Describe the next batch of this round: first, count, region, zero_run,
	 * carried, data; at most @max_pages pages unless it is a zero_run.  *ret_end instead of a
	 * batch when the round is over.  Where the source is not rereadable @buffer has room for
	 * @max_pages pages and receives the bytes, the last page padded with zeros; it may wait
	 * for them, and returns with MFD_TRY_AGAIN when @stop is raised; called again with the
	 * same buffer it goes on where it was.  Does not set id, round, bytes.
	 */
	bool (*next)(struct source *s, uint32_t max_pages, uint8_t *buffer,
		     const struct event *stop, struct batch *ret_batch, bool *ret_end,
		     struct mfd_error *err);

	/*
	 * Any sender thread, several at once.  Read the batch's data pages to @buffer, page i at i
	 * * PAGE_BYTES; what lies between them is left alone.  The last page is padded with zeros.
	 * A source that has become shorter is MFD_NO_INPUT, a failing read MFD_IO.
	 */
	bool (*read)(struct source *s, const struct batch *batch, uint8_t *buffer,
		     struct mfd_error *err);

	/*
	 * Producer, when every batch of @round is at the receiver.  *ret_again: there is another
	 * round, next() now walks it. Otherwise the source is at its end and *ret_size is the
	 * image's final size.  What takes long gives up with MFD_TRY_AGAIN when @stop (NULL:
	 * none) is raised.
	 */
	bool (*end_round)(struct source *s, uint32_t round, const struct event *stop,
			  bool *ret_again, uint64_t *ret_size, struct mfd_error *err);

	/*
	 * Any thread, at any time: fill what this kind of source knows; the rest of *ret is the
	 * session's.
	 */
	void (*report)(const struct source *s, struct mfd_stats *ret);

	void (*free)(struct source *s);
};

/* Every source starts with this. */
struct source {
	const struct source_ops *ops;
	struct source_info info; /* set by the constructor, const afterwards */
};

/*
 * A regular file or block device at @path.  Holes (SEEK_DATA) are never read: those of at least one
 * batch become zero runs, smaller ones are pages without data inside a batch.  @cache: see
 * source/cache.h.  Errors: MFD_NO_INPUT, MFD_OS.
 */
bool source_file_new(const char *path, enum mfd_cache cache, struct source **ret,
		     struct mfd_error *err) MFD_MUST_CHECK;

/*
 * A stream whose size is known at its end: @fd, which stays the caller's.  Errors: MFD_NO_INPUT,
 * MFD_OS.
 */
bool source_stream_new(int fd, struct source **ret, struct mfd_error *err) MFD_MUST_CHECK;

struct source_process_options {
	pid_t pid;
	bool filter_given;       /* otherwise the process's own is taken */
	unsigned filter;         /* which mappings: bits of process/filter.h */
	uint64_t max_freeze_ms;  /* longer it is never frozen; 0: as long as it takes */
	/* copied while it runs (source/precopy.h), and frozen for the last round only; then: */
	bool live;
	uint64_t downtime_ms;    /* freeze it when the rest is copied within so long, */
	unsigned rounds;         /* or when only one is left of so many; 2..MFD_MAX_ROUNDS */
	/* that may be tried: enum tracker_kind of process/tracker.h, or-ed */
	unsigned trackers;
	uint64_t copy_bytes;     /* memory for the last round, whole pages */
	mfd_notice_fn *notice;   /* never NULL; called by next() and end_round() */
	void *opaque;
};

/*
 * A live process as an ELF core file; frozen from the first next() to end_round().  Errors:
 * MFD_NO_INPUT (no such process, a zombie), MFD_NO_PERMISSION (or somebody traces it), MFD_CONFIG
 * (a 32-bit one, or one without its first thread), MFD_OS.
 */
bool source_process_new(const struct source_process_options *options, struct source **ret,
			struct mfd_error *err) MFD_MUST_CHECK;

/*
 * The file at @path, which a process has mapped and shares, as a raw image of all of it; @path as
 * /proc/PID/maps has it, without " (deleted)".  The filter is not used.  Errors: as above;
 * MFD_NO_INPUT also where nothing of that name is mapped, or not shared.
 */
bool source_shared_new(const struct source_process_options *options, const char *path,
		       struct source **ret, struct mfd_error *err) MFD_MUST_CHECK;

/* Either a process is frozen for the last round, or commands freeze and thaw, or nobody is. */
struct source_changing_options {
	uint64_t until_pages;    /* the next round is the last when at most so many changed, */
	unsigned rounds;         /* or when only one is left of so many; 2..MFD_MAX_ROUNDS */
	pid_t freeze_pid;        /* 0: none */
	const char *freeze_command, *thaw_command; /* both, or NULL: none; must outlive it */
	uint64_t max_freeze_ms;  /* longer nobody is frozen; not 0 with commands */
	uint64_t copy_bytes;     /* memory for the last round, whole pages */
	mfd_notice_fn *notice;   /* never NULL; called by next() and end_round() */
	void *opaque;
};

/*
 * A regular file or block device at @path that changes while it is sent, in rounds.  Errors: as
 * source_file_new(), and as freezer_new().
 */
bool source_changing_new(const char *path, enum mfd_cache cache,
			 const struct source_changing_options *options, struct source **ret,
			 struct mfd_error *err) MFD_MUST_CHECK;

/* Shared filler for the slot `report` of sources that know nothing more. */
void source_report_nothing(const struct source *s, struct mfd_stats *ret);

/* Shared filler for the slot of sources that are not rereadable: MFD_BUG. */
bool source_read_unsupported(struct source *s, const struct batch *batch, uint8_t *buffer,
			     struct mfd_error *err);

#endif
