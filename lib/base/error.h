/* SPDX-License-Identifier: MIT */
/*
 * Errors: one caller-owned struct of fixed size, filled where a thing goes wrong and wrapped on the
 * way up.
 *
 * The convention everywhere: `bool f(..., struct mfd_error *err)`, true = done.  `err` is untouched
 * on success and may not be NULL.  The setters return false so that a failing function can end in
 * `return error_set(...)`.
 */
#ifndef MFD_BASE_ERROR_H
#define MFD_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

/*
 * What went wrong, as a sysexits(3) number: it is the exit status, and the class of an ERROR on the
 * wire.  Never renumbered.
 */
enum mfd_status {
	MFD_OK = 0,
	MFD_USAGE = 64,          /* an option or argument is wrong */
	MFD_DATA = 65,           /* bytes were damaged on the way */
	MFD_NO_INPUT = 66,       /* the source can't be opened, or shrank */
	MFD_NO_HOST = 68,        /* the host name is unknown */
	MFD_UNAVAILABLE = 69,    /* nobody answers there */
	MFD_BUG = 70,            /* a broken invariant of our own */
	MFD_OS = 71,             /* the system refused a thread, memory, ... */
	MFD_CANT_CREATE = 73,    /* the output can't be created, or can't hold the image */
	MFD_IO = 74,             /* reading the source or writing the output failed */
	/* peer or network lost, receiver busy, cancelled: nothing is wrong with the request */
	MFD_TRY_AGAIN = 75,
	MFD_PROTOCOL = 76,       /* the peer speaks something else, or another version */
	MFD_NO_PERMISSION = 77,
	MFD_CONFIG = 78,
};

#define MFD_ERROR_TEXT 480 /* what fits an ERROR on the wire is never cut */

struct mfd_error {
	enum mfd_status status;
	int os_errno;                /* 0 if the system had no part in it */
	bool remote;                 /* the peer said so */
	char text[MFD_ERROR_TEXT];   /* one line, no newline at its end, always terminated */
};

#define MFD_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define MFD_MUST_CHECK __attribute__((warn_unused_result))

/* Fill @err; always false. */
bool error_set(struct mfd_error *err, enum mfd_status status, const char *format, ...)
	MFD_PRINTF(3, 4);

/* The same with ": strerror(os_errno)" behind the text. */
bool error_set_os(struct mfd_error *err, enum mfd_status status, int os_errno, const char *format,
		  ...) MFD_PRINTF(4, 5);

/* Put "prefix: " before the text of a filled @err; always false. */
bool error_wrap(struct mfd_error *err, const char *format, ...) MFD_PRINTF(2, 3);

/* A status that came over the wire, made safe: an unknown number becomes MFD_PROTOCOL. */
enum mfd_status error_status_from_wire(unsigned number);

#endif
