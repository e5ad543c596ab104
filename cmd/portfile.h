/* SPDX-License-Identifier: MIT */
/*
 * The port file: how a script learns which port the receiver got.  It appears under its name when
 * it is complete, and goes when the program does, unless somebody has put another file there.
 */
#ifndef MFD_CMD_PORTFILE_H
#define MFD_CMD_PORTFILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "mfd.h"

/* All zero: there is none. */
struct portfile {
	const char *path;        /* the caller's */
	dev_t dev;
	ino_t ino;
};

/*
 * Write "PORT\n" to @path by way of a temporary file beside it.  MFD_CANT_CREATE; nothing is left
 * behind then.
 */
bool portfile_write(struct portfile *p, const char *path, uint64_t port,
		    struct mfd_error *err) MFD_MUST_CHECK;

/* The directory that @path is in, for portfile_remove(). */
void portfile_directory(const char *path, char ret[static PATH_MAX]);
void portfile_remove(struct portfile *p);

#endif
