/* SPDX-License-Identifier: MIT */
/*
 * What both programs do around their transfer.
 */
#include "transfer.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/*
 * A program started without one of its standard streams would give that number to the next file it
 * opens, and print into it.  What stands in for them fails when used: an input that nobody gave is
 * not an empty image.
 */
static void transfer_fill_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
			return;
	}
}

bool transfer_begin(struct transfer *t, const char *program, const struct event_subject *subject,
		    const struct report_options *options, struct mfd_error *err)
{
	/* Both come back as an error of the write: a reader that left, and a file size limit. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	transfer_fill_streams();
	if (!report_open(&t->report, program, subject, options, err))
		return false;
	t->report.command = t->command;
	t->watching = watch_start(&t->watch, &t->report, err);
	return t->watching;
}

/* Who waits for the port file would wait for ever: without it the receiver does not go on. */
static void transfer_listening(struct transfer *t, uint64_t port)
{
	if (t->port_file && !portfile_write(&t->portfile, t->port_file, port, &t->err)) {
		t->failed = true;
		watch_cancel(&t->watch);
		return;
	}
	report_start(&t->report, port);
}

/* Threads that were there before are not confined, and the watch is one. */
static void transfer_confined(struct transfer *t, const char *text)
{
	report_detail(&t->report, text);
	t->watching = watch_renew(&t->watch, &t->err);
	if (!t->watching) {
		t->failed = true;
		watch_cancel(&t->watch);
	}
}

void transfer_notice(void *transfer, const struct mfd_notice *notice)
{
	struct transfer *t = transfer;
	struct mfd_stats stats;

	switch (notice->kind) {
	case MFD_NOTICE_LISTENING:
		transfer_listening(t, notice->number);
		break;
	case MFD_NOTICE_STARTED:
		watch_stats(&t->watch, &stats);
		report_session(&t->report, &stats, notice->text);
		break;
	case MFD_NOTICE_DROPPED:
	case MFD_NOTICE_CHANNEL:
	case MFD_NOTICE_DETAIL:
		report_detail(&t->report, notice->text);
		break;
	case MFD_NOTICE_WARNING:
		report_warning(&t->report, notice->text);
		break;
	case MFD_NOTICE_CONFINED:
		transfer_confined(t, notice->text);
		break;
	}
}

int transfer_end(struct transfer *t, const struct mfd_error *err)
{
	struct mfd_stats stats = { .bytes_image = MFD_UNKNOWN, .downtime_ns = MFD_UNKNOWN,
				   .tracker = "", .method = "", .backend = "" };
	int status, signal = 0;

	portfile_remove(&t->portfile);
	if (t->failed)
		err = &t->err;
	if (t->watching)
		watch_stats(&t->watch, &stats);
	status = report_end(&t->report, &stats, err);
	if (t->watching)
		signal = watch_stop(&t->watch);
	report_close(&t->report);
	/* A real reason beats the signal, and so does success. */
	if (signal && err && err->status == MFD_TRY_AGAIN)
		watch_die(signal);
	return status;
}
