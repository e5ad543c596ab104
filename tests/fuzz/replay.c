/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target over the files of the directories given: the corpus as a plain test,
 * with any compiler.  Having found no file at all is a failure, because then nothing was
 * tested.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

static void replay_file(const char *path, size_t size)
{
	uint8_t *bytes = fuzz_alloc(size);
	FILE *file = fopen(path, "rb");

	if (!file || fread(bytes, 1, size, file) != size) {
		perror(path);
		exit(1);
	}
	fclose(file);
	LLVMFuzzerTestOneInput(bytes, size);
	free(bytes);
}

/* How many files there were. */
static unsigned replay_directory(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	struct stat st;
	char name[4096];
	unsigned files = 0;

	if (!dir) {
		perror(path);
		exit(1);
	}
	while ((entry = readdir(dir))) {
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (stat(name, &st) != 0 || !S_ISREG(st.st_mode))
			continue;
		replay_file(name, (size_t)st.st_size);
		files++;
	}
	closedir(dir);
	return files;
}

int main(int argc, char **argv)
{
	unsigned files = 0;

	for (int i = 1; i < argc; i++)
		files += replay_directory(argv[i]);
	printf("%u files replayed\n", files);
	return files ? 0 : 1;
}
