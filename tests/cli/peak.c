/* SPDX-License-Identifier: MIT */
/*
 * How much memory does a program take?  Run it, and write the most that was resident, in KiB, to
 * a file; end as it ended.
 *
 *	peak FILE COMMAND [ARGUMENT...]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(71);
}

int main(int argc, char **argv)
{
	struct rusage usage;
	FILE *file;
	int status;
	pid_t pid;

	if (argc < 3) {
		fputs("usage: peak FILE COMMAND [ARGUMENT...]\n", stderr);
		return 64;
	}
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		/* Whoever kills us means the program. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(argv[2], argv + 2);
		die(argv[2]);
	}
	if (wait4(pid, &status, 0, &usage) != pid)
		die("wait4");
	file = fopen(argv[1], "w");
	if (file == NULL || fprintf(file, "%ld\n", usage.ru_maxrss) < 0 || fclose(file) != 0)
		die(argv[1]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
