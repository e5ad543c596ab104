/* SPDX-License-Identifier: MIT */
/*
 * The load of CPUs, from /proc/stat: "cpu3 user nice system idle iowait irq softirq steal ...",
 * after a line for all of them.  Time that the hypervisor gave to others (steal) is not idle.
 */
#include "base/cpu_load.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Enough for 100 CPUs and more; what is beyond is taken to be like these. */
#define CPU_LOAD_TEXT 16384

int cpu_load_open(void)
{
	return open("/proc/stat", O_RDONLY | O_CLOEXEC);
}

static void cpu_load_add(struct cpu_load *load, const char *line, const cpu_set_t *ours)
{
	unsigned long long t[8];
	unsigned cpu;

	if (sscanf(line, "cpu%u %llu %llu %llu %llu %llu %llu %llu %llu", &cpu, &t[0], &t[1],
		   &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) != 9 ||
	    cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, ours))
		return;
	load->idle += t[3] + t[4];
	for (unsigned i = 0; i < 8; i++)
		load->all += t[i];
}

bool cpu_load_read(int fd, struct cpu_load *ret)
{
	char text[CPU_LOAD_TEXT], *line, *end;
	struct cpu_load load = { 0 };
	cpu_set_t ours;
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0 || sched_getaffinity(0, sizeof(ours), &ours) != 0)
		return false;
	text[n] = '\0';
	/* A line without its end may have been cut. */
	for (line = text; (end = strchr(line, '\n')) && !strncmp(line, "cpu", 3); line = end + 1) {
		*end = '\0';
		cpu_load_add(&load, line, &ours);
	}
	*ret = load;
	return load.all > 0;
}
