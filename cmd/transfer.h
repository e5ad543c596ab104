/* SPDX-License-Identifier: MIT */
/*
 * What both programs do around their transfer: standard streams, signals, the report, the port
 * file, the exit status.
 */
#ifndef MFD_CMD_TRANSFER_H
#define MFD_CMD_TRANSFER_H

#include <stdbool.h>

#include "mfd.h"
#include "portfile.h"
#include "report.h"
#include "watch.h"

struct transfer {
	const char *port_file;   /* NULL: none wanted */
	const char *command;     /* what to type to go on; NULL: not known */
	struct report report;
	struct watch watch;
	bool watching;

	/* The thread that runs the transfer only. */
	struct portfile portfile;
	bool failed;             /* in a notice, for the reason in err */
	struct mfd_error err;
};

/*
 * Before anything else; no thread may be there yet.  Whatever it returns, end with transfer_end().
 */
bool transfer_begin(struct transfer *t, const char *program, const struct event_subject *subject,
		    const struct report_options *options, struct mfd_error *err) MFD_MUST_CHECK;

/* An mfd_notice_fn; @transfer is a struct transfer. */
void transfer_notice(void *transfer, const struct mfd_notice *notice);

/*
 * The last word, once all that the transfer held has been freed, so that who hears it may begin the
 * next one.  @err is NULL after success.  Returns the exit status, or does not return and dies by
 * the signal that cancelled the transfer.
 */
int transfer_end(struct transfer *t, const struct mfd_error *err);

#endif
