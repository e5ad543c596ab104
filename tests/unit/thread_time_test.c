/* SPDX-License-Identifier: MIT */
/*
 * A thread's time: running, waiting for a CPU, and neither.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread_time.h"

static void spin(uint64_t cpu_ns)
{
	const uint64_t until = thread_time_cpu_ns() + cpu_ns;

	while (thread_time_cpu_ns() < until)
		;
}

/* On the CPU that this thread may use and no other. */
static void *spin_along(void *stop)
{
	while (!atomic_load((atomic_bool *)stop))
		;
	return NULL;
}

static void sleeping_is_neither_running_nor_waiting(void **state)
{
	const struct timespec while_ns = { 0, 50000000 };
	const uint64_t ran = thread_time_cpu_ns(), began = clock_ns();
	const int fd = thread_time_open();
	const uint64_t waited = thread_time_waited_ns(fd);

	(void)state;
	nanosleep(&while_ns, NULL);
	/* It may have to wait when it wakes, but that comes on top. */
	assert_true(thread_time_cpu_ns() - ran < 25000000);
	assert_true(thread_time_waited_ns(fd) - waited < clock_ns() - began - 40000000);
	if (fd >= 0)
		close(fd);
}

static void a_shared_cpu_is_waited_for(void **state)
{
	const int fd = thread_time_open();
	atomic_bool stop = false;
	cpu_set_t all, one;
	pthread_t other;
	uint64_t waited;

	(void)state;
	if (fd < 0) {
		print_message("this kernel keeps no run queue figures\n");
		skip();
	}
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(pthread_create(&other, NULL, spin_along, &stop), 0);
	waited = thread_time_waited_ns(fd);
	spin(60000000);
	waited = thread_time_waited_ns(fd) - waited;
	atomic_store(&stop, true);
	pthread_join(other, NULL);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	close(fd);
	assert_true(waited > 15000000);
}

static void without_figures_nothing_was_waited_for(void **state)
{
	(void)state;
	assert_int_equal(thread_time_waited_ns(-1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sleeping_is_neither_running_nor_waiting),
		cmocka_unit_test(a_shared_cpu_is_waited_for),
		cmocka_unit_test(without_figures_nothing_was_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
