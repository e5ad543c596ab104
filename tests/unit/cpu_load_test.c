/* SPDX-License-Identifier: MIT */
/*
 * How busy our CPUs are: figures that only grow, and grow as what we do.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpu_load.h"
#include "base/thread_time.h"

static void without_figures_there_are_none(void **state)
{
	struct cpu_load load;
	int fd = open("/dev/null", O_RDONLY);

	(void)state;
	assert_false(cpu_load_read(-1, &load));
	assert_false(cpu_load_read(fd, &load));
	close(fd);
}

static void lines_of_other_cpus_and_broken_ones_are_left_out(void **state)
{
	static const char text[] = "cpu  9 9 9 9 9 9 9 9 0 0\n"
				   "cpu%d 1 2 3 40 5 6 7 8 0 0\n"
				   "cpu1023 100 0 0 1000 0 0 0 0 0 0\n"
				   "cpu%d 1 2\n"
				   "intr 1 2 3\n"
				   "cpu%d 1 1 1 1 1 1 1 1 0 0\n";
	char path[] = "/tmp/cpu_load_test.XXXXXX";
	int fd = mkstemp(path), cpu = sched_getcpu();
	struct cpu_load load;

	(void)state;
	assert_true(fd >= 0 && cpu >= 0);
	unlink(path);
	assert_true(dprintf(fd, text, cpu, cpu, cpu) > 0);
	assert_true(cpu_load_read(fd, &load));
	assert_int_equal(load.idle, 45);
	assert_int_equal(load.all, 72);
	close(fd);
}

/* Ours alone, so that nobody else's idleness counts: a tick and more of work on it. */
static void work_is_not_idle(void **state)
{
	const uint64_t since = thread_time_cpu_ns();
	struct cpu_load before, after;
	cpu_set_t all, one;
	int fd = cpu_load_open();

	(void)state;
	if (fd < 0 || !cpu_load_read(fd, &before))
		skip();
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	CPU_SET((unsigned)sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_true(cpu_load_read(fd, &before));
	while (thread_time_cpu_ns() - since < CLOCK_NS_PER_S / 5)
		;
	assert_true(cpu_load_read(fd, &after));
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	close(fd);
	assert_true(after.all - before.all >= 15);
	assert_true(after.idle - before.idle <= (after.all - before.all) / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_figures_there_are_none),
		cmocka_unit_test(lines_of_other_cpus_and_broken_ones_are_left_out),
		cmocka_unit_test(work_is_not_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
