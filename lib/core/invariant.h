/* SPDX-License-Identifier: MIT */
/*
 * What the core does when one of its own rules has been broken: say so and abort. Release
 * builds too, because what would follow is a deadlock or a damaged copy, and both are harder to
 * find than a core dump.
 */
#ifndef MFD_CORE_INVARIANT_H
#define MFD_CORE_INVARIANT_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * @message is one whole line. write(2): stdio's locks may be held by whoever is about to die
 * with us.
 */
static inline _Noreturn void invariant_broken(const char *message)
{
	ssize_t ignored = write(STDERR_FILENO, message, strlen(message));

	(void)ignored;
	abort();
}

#endif
