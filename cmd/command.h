/* SPDX-License-Identifier: MIT */
/*
 * The command line as a shell would take it once more: what to type to go on.
 */
#ifndef MFD_CMD_COMMAND_H
#define MFD_CMD_COMMAND_H

/*
 * @program and the arguments behind argv[0], quoted where a shell wants that, one line; argv is not
 * looked at again.  NULL if there is no memory; free(3).
 */
char *command_line(const char *program, int argc, char *const *argv);

#endif
