/* SPDX-License-Identifier: MIT */
/*
 * The place where an output stands: its directory, its name there, what stands there already,
 * and the temporary file that will take its place.  Everything goes by the directory's
 * descriptor, so that a directory renamed meanwhile does no harm.
 */
#ifndef MFD_SINK_PLACE_H
#define MFD_SINK_PLACE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"

struct place {
	char *path;              /* as the user gave it, for messages */
	int dir;
	char *name;              /* in dir, symlinks followed */
	bool existed;            /* when we looked */
	struct stat old;         /* of what existed */
	char *temp;              /* in dir; NULL: there is none */
};

/*
 * Find the place of @path: a symlink is followed, also one that points to nothing yet.  Needs
 * place_release() also after a failure. Errors: MFD_CANT_CREATE, MFD_OS.
 */
bool place_find(struct place *p, const char *path, struct mfd_error *err) MFD_MUST_CHECK;

/* Create the temporary file, mode 0600.  Errors: MFD_CANT_CREATE, MFD_OS. */
bool place_temporary(struct place *p, int *ret_fd, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * Instead of a temporary file one with a fixed name, NAME.mfd-partial, which a session that failed
 * may have left: opened or created, mode 0600, and locked (flock(2)) for as long as *ret_fd or a
 * duplicate of it is open.  MFD_TRY_AGAIN while somebody else has it locked, MFD_CANT_CREATE when
 * it is not ours, MFD_OS.
 */
bool place_partial(struct place *p, int *ret_fd, struct mfd_error *err) MFD_MUST_CHECK;

/* What place_release() would remove stays. */
void place_keep(struct place *p);

/*
 * Give the temporary file at @fd the owner and mode of the file it will replace, as far as we
 * are allowed to.
 */
bool place_inherit(const struct place *p, int fd, struct mfd_error *err) MFD_MUST_CHECK;

/*
 * Rename the temporary file to its name; unless @replace, only if nothing stands there. 
 * Errors: MFD_CANT_CREATE, MFD_IO; after one the temporary file is still there.
 */
bool place_put(struct place *p, bool replace, struct mfd_error *err) MFD_MUST_CHECK;

/* Make what was created or renamed in the directory durable, as far as it can be. */
void place_sync(const struct place *p);

/* Remove the temporary file, unless it has been put; close and free. */
void place_release(struct place *p);

#endif
