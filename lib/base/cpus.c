/* SPDX-License-Identifier: MIT */
/*
 * Usable CPUs: sched_getaffinity(2), and cgroup v2's cpu.max.  A container often sees all CPUs and
 * is stopped for the rest of each period once it has used its quota; threads beyond the quota only
 * wait for each other.
 */
#include "base/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

/* CPUs that the quota in @file is worth, rounded up; UINT_MAX if there is none. */
static unsigned quota_of(const char *file)
{
	unsigned long long quota, period;
	unsigned cpus = UINT_MAX;
	FILE *f = fopen(file, "re");

	if (!f)
		return cpus;
	/* "max 100000" when unlimited: no number to read. */
	if (fscanf(f, "%llu %llu", &quota, &period) == 2 && period &&
	    (quota + period - 1) / period < UINT_MAX)
		cpus = (unsigned)((quota + period - 1) / period);
	fclose(f);
	return cpus ? cpus : 1;
}

/* Our own group, "0::/a/b" in /proc/self/cgroup; empty if there is no cgroup v2. */
static void own_group(char path[static PATH_MAX])
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX];

	path[0] = '\0';
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "0::/", 4))
			snprintf(path, PATH_MAX, "%s", line + 3);
	}
	fclose(f);
}

/* The smallest quota from our group up to the root. */
static unsigned cgroup_quota(void)
{
	char group[PATH_MAX], file[PATH_MAX + sizeof(CGROUP_ROOT "/cpu.max")];
	unsigned least = UINT_MAX, quota;
	char *slash;

	own_group(group);
	for (;;) {
		snprintf(file, sizeof(file), "%s%s/cpu.max", CGROUP_ROOT,
			 strcmp(group, "/") ? group : "");
		quota = quota_of(file);
		if (quota < least)
			least = quota;
		slash = strrchr(group, '/');
		if (!slash)
			return least;
		*slash = '\0';
	}
}

unsigned cpus_usable(void)
{
	unsigned cpus = 1, quota = cgroup_quota();
	cpu_set_t set;

	if (!sched_getaffinity(0, sizeof(set), &set))
		cpus = (unsigned)CPU_COUNT(&set);
	else if (sysconf(_SC_NPROCESSORS_ONLN) > 0) /* more CPUs than the set has room for */
		cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	return quota < cpus ? quota : cpus;
}
