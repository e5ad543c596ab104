/* SPDX-License-Identifier: MIT */
/*
 * libmfd: move a memory image between hosts over several TCP connections, whole or not at all.
 *
 *	struct mfd_send *send;
 *	struct mfd_error err;
 *
 *	if (!mfd_send_new(&options, &send, &err) || !mfd_send_run(send, &err))
 *		return fprintf(stderr, "%s\n", err.text), err.status;
 *	mfd_send_free(send);
 *
 * The library never prints, never exits and installs no signal handler (SIGPIPE is avoided call by
 * call).  _new() and _run() belong to one thread; _stats() and _cancel() may be called by any other
 * thread while _run() runs.
 */
#ifndef MFD_H
#define MFD_H

#include "base/error.h"
#include "core/options.h"

struct mfd_send;
struct mfd_recv;

/*
 * Validate @options (they and what they point to must outlive the object) and open the source.
 * Errors: MFD_USAGE, MFD_NO_INPUT, MFD_NO_PERMISSION, MFD_OS.
 */
bool mfd_send_new(const struct mfd_send_options *options, struct mfd_send **ret,
		  struct mfd_error *err) MFD_MUST_CHECK;

/*
 * Connect and move the image, with options->retries again after a session that was lost (each time
 * a notice MFD_NOTICE_WARNING).  True only if the receiver has said that the whole image is in
 * place.  Once per object.
 */
bool mfd_send_run(struct mfd_send *send, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * Stop as soon as may be: _run() fails with MFD_TRY_AGAIN, unless the receiver has committed
 * already.
 */
void mfd_send_cancel(struct mfd_send *send);
void mfd_send_stats(struct mfd_send *send, struct mfd_stats *ret);
void mfd_send_free(struct mfd_send *send);

/*
 * Validate @options, create the output (a temporary file beside it, removed by mfd_recv_free()
 * unless committed) and listen; the notice MFD_NOTICE_LISTENING comes from mfd_recv_run().  Errors:
 * MFD_USAGE, MFD_CANT_CREATE, MFD_NO_PERMISSION, MFD_NO_HOST, MFD_UNAVAILABLE, MFD_OS.
 */
bool mfd_recv_new(const struct mfd_recv_options *options, struct mfd_recv **ret,
		  struct mfd_error *err) MFD_MUST_CHECK;

/*
 * Take one image from one sender; with options->resume listen again after a session that was lost.
 * True if the image is in place under its name.
 *
 * With options.confine the calling thread, and so every thread that the transfer has, confines
 * itself between MFD_NOTICE_LISTENING and MFD_NOTICE_CONFINED, for good: it gains no privileges
 * from a program it executes, and where the kernel has Landlock it opens, creates, renames and
 * removes nothing outside the output's directory (or the device), and makes no TCP connection.  The
 * caller's other threads stay as they are.
 */
bool mfd_recv_run(struct mfd_recv *recv, struct mfd_error *err) MFD_MUST_CHECK;
void mfd_recv_cancel(struct mfd_recv *recv);
void mfd_recv_stats(struct mfd_recv *recv, struct mfd_stats *ret);
void mfd_recv_free(struct mfd_recv *recv);

/*
 * What this machine gives a sender by default: min(8, CPUs usable by affinity and cgroup quota), at
 * least 1.
 */
unsigned mfd_default_channels(void);

/* "1.0.0" and what it was built with, one line. */
const char *mfd_version(void);

#endif
