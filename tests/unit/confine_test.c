/* SPDX-License-Identifier: MIT */
/*
 * Confinement, in child processes because there is no way back: what no rule names can't be opened,
 * what one names still can. Skipped, with the reason, where the kernel has no Landlock.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/confine.h"
#include "scratch.h"

#define ALL (CONFINE_READ | CONFINE_WRITE | CONFINE_CREATE | CONFINE_REMOVE)

struct fixture {
	struct scratch scratch;
	char inside[PATH_MAX], outside[PATH_MAX];
	char name[4][PATH_MAX];  /* files in them: inside/a, inside/b, outside/a, outside/b */
	int directory;           /* inside */
};

enum { INSIDE_A, INSIDE_B, OUTSIDE_A, OUTSIDE_B };

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f || scratch_new(&f->scratch) < 0)
		return -1;
	snprintf(f->inside, sizeof(f->inside), "%s", scratch_at(&f->scratch, "inside"));
	snprintf(f->outside, sizeof(f->outside), "%s", scratch_at(&f->scratch, "outside"));
	if (mkdir(f->inside, 0700) < 0 || mkdir(f->outside, 0700) < 0)
		return -1;
	snprintf(f->name[INSIDE_A], PATH_MAX, "%s", scratch_at(&f->scratch, "inside/a"));
	snprintf(f->name[INSIDE_B], PATH_MAX, "%s", scratch_at(&f->scratch, "inside/b"));
	snprintf(f->name[OUTSIDE_A], PATH_MAX, "%s", scratch_at(&f->scratch, "outside/a"));
	snprintf(f->name[OUTSIDE_B], PATH_MAX, "%s", scratch_at(&f->scratch, "outside/b"));
	if (!scratch_put(f->name[INSIDE_A], "in", 2, 0600) ||
	    !scratch_put(f->name[OUTSIDE_A], "out", 3, 0600))
		return -1;
	f->directory = open(f->inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return f->directory < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	close(f->directory);
	scratch_free(&f->scratch);
	free(f);
	return 0;
}

/* A child's exit status: 0, 1 if an expectation did not hold, or one of these. */
enum { NO_LANDLOCK = 254, NO_VERSION = 253 };
#define EXPECT(holds) ((holds) ? (void)0 : failed(__LINE__, #holds))

static void failed(int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, line, what, strerror(errno));
	_exit(1);
}

static void confined(const struct confine_rule *rules, size_t count, int least_abi)
{
	struct mfd_error why;
	int abi;

	if (!confine_thread(rules, count, &abi, &why)) {
		fprintf(stderr, "%s\n", why.text);
		_exit(why.os_errno == ENOSYS || why.os_errno == EOPNOTSUPP || why.os_errno == EPERM
			      ? NO_LANDLOCK
			      : 1);
	}
	if (abi < least_abi)
		_exit(NO_VERSION);
}

/* Run @deed in a child; it must come to its end. */
static void in_child(struct fixture *f, void (*deed)(struct fixture *f))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		alarm(60);
		deed(f);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == NO_LANDLOCK || WEXITSTATUS(status) == NO_VERSION) {
		print_message("skipped: this kernel has no Landlock, or too old a version of it\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static bool opens(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool denied(bool worked)
{
	return !worked && errno == EACCES;
}

/* ---- Directories. ---- */

static void work_in_directory(struct fixture *f)
{
	const struct confine_rule rules[] = { { NULL, f->directory, ALL }, { NULL, -1, ALL } };

	confined(rules, 2, 1);
	EXPECT(opens(f->name[INSIDE_A], O_RDONLY));
	EXPECT(opens(f->name[INSIDE_A], O_WRONLY | O_TRUNC));
	EXPECT(opens(f->name[INSIDE_B], O_WRONLY | O_CREAT | O_EXCL));
	EXPECT(truncate(f->name[INSIDE_B], 4096) == 0);
	EXPECT(renameat2(f->directory, "b", f->directory, "c", RENAME_NOREPLACE) == 0);
	EXPECT(renameat(f->directory, "c", f->directory, "a") == 0);
	EXPECT(linkat(f->directory, "a", f->directory, "b", 0) == 0);
	EXPECT(unlinkat(f->directory, "b", 0) == 0);
	EXPECT(fsync(f->directory) == 0);
}

static void a_directory_with_a_rule_can_be_worked_in(void **state)
{
	in_child(*state, work_in_directory);
}

static void work_outside(struct fixture *f)
{
	const struct confine_rule rules[] = { { f->inside, -1, ALL } };
	int open_before = open(f->name[OUTSIDE_A], O_WRONLY | O_CLOEXEC);

	EXPECT(open_before >= 0);
	confined(rules, 1, 1);
	EXPECT(denied(opens(f->name[OUTSIDE_A], O_RDONLY)));
	EXPECT(denied(opens(f->name[OUTSIDE_A], O_WRONLY)));
	EXPECT(denied(opens(f->name[OUTSIDE_B], O_WRONLY | O_CREAT)));
	EXPECT(denied(opens("/proc/self/environ", O_RDONLY)));
	EXPECT(denied(unlink(f->name[OUTSIDE_A]) == 0));
	EXPECT(denied(mkdir(f->name[OUTSIDE_B], 0700) == 0));
	EXPECT(denied(mkdir(f->name[INSIDE_B], 0700) == 0));
	EXPECT(denied(symlink("a", f->name[INSIDE_B]) == 0));
	EXPECT(rename(f->name[INSIDE_A], f->name[OUTSIDE_B]) < 0 &&
	       (errno == EACCES || errno == EXDEV));
	EXPECT(write(open_before, "still", 5) == 5 && fsync(open_before) == 0 &&
	       ftruncate(open_before, 1) == 0);
}

static void nothing_else_can_be_opened_but_what_was_open_stays(void **state)
{
	in_child(*state, work_outside);
}

static void only_remove(struct fixture *f)
{
	const struct confine_rule rules[] = { { f->inside, -1, CONFINE_REMOVE } };

	confined(rules, 1, 1);
	EXPECT(denied(opens(f->name[INSIDE_A], O_RDONLY)));
	EXPECT(denied(opens(f->name[INSIDE_B], O_WRONLY | O_CREAT)));
	EXPECT(unlink(f->name[INSIDE_A]) == 0);
}

static void a_right_is_no_other_right(void **state)
{
	in_child(*state, only_remove);
}

/* ---- One file. ---- */

static void work_on_file(struct fixture *f)
{
	const struct confine_rule rules[] = { { f->name[INSIDE_A], -1, ALL } };

	EXPECT(scratch_put(f->name[INSIDE_B], "b", 1, 0600));
	confined(rules, 1, 1);
	EXPECT(opens(f->name[INSIDE_A], O_RDWR));
	EXPECT(denied(opens(f->name[INSIDE_B], O_RDONLY)));
	EXPECT(denied(unlink(f->name[INSIDE_A]) == 0));
}

static void a_file_with_a_rule_can_be_written_but_not_removed(void **state)
{
	in_child(*state, work_on_file);
}

static void truncate_others(struct fixture *f)
{
	const struct confine_rule rules[] = { { f->name[INSIDE_A], -1, ALL } };

	confined(rules, 1, 3);
	EXPECT(truncate(f->name[INSIDE_A], 0) == 0);
	EXPECT(denied(truncate(f->name[OUTSIDE_A], 0) == 0));
}

static void only_a_file_with_a_rule_can_be_truncated(void **state)
{
	in_child(*state, truncate_others);
}

static void rule_for_nothing(struct fixture *f)
{
	const struct confine_rule rules[] = { { f->name[INSIDE_B], -1, ALL },
					      { f->inside, -1, CONFINE_READ } };

	confined(rules, 2, 1);
	EXPECT(opens(f->name[INSIDE_A], O_RDONLY));
}

static void a_rule_for_what_is_not_there_is_skipped(void **state)
{
	in_child(*state, rule_for_nothing);
}

static void rule_for_socket(struct fixture *f)
{
	struct confine_rule rules[] = { { NULL, -1, ALL } };
	struct mfd_error why;
	int fds[2], abi;

	confined(rules, 1, 1); /* or it is skipped */
	EXPECT(pipe(fds) == 0);
	rules[0].fd = fds[0];
	EXPECT(!confine_thread(rules, 1, &abi, &why) && why.status == MFD_OS &&
	       why.os_errno == EBADFD);
	(void)f;
}

static void a_rule_that_the_kernel_does_not_take_is_an_error(void **state)
{
	in_child(*state, rule_for_socket);
}

/* ---- The rest. ---- */

/* A socket on a free port of loopback. */
static int listening(struct sockaddr_in *ret_at)
{
	socklen_t size = sizeof(*ret_at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret_at = (struct sockaddr_in){ .sin_family = AF_INET,
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	EXPECT(fd >= 0 && bind(fd, (struct sockaddr *)ret_at, size) == 0 && listen(fd, 8) == 0);
	EXPECT(getsockname(fd, (struct sockaddr *)ret_at, &size) == 0);
	return fd;
}

static void use_network(struct fixture *f)
{
	const struct confine_rule rules[] = { { f->inside, -1, ALL } };
	struct sockaddr_in at, other = { .sin_family = AF_INET,
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = listening(&at), before = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted;

	EXPECT(connect(before, (struct sockaddr *)&at, sizeof(at)) == 0);
	confined(rules, 1, 4);
	accepted = accept(listener, NULL, NULL);
	EXPECT(accepted >= 0 && write(accepted, "x", 1) == 1);
	EXPECT(denied(connect(late, (struct sockaddr *)&at, sizeof(at)) == 0));
	EXPECT(denied(bind(late, (struct sockaddr *)&other, sizeof(other)) == 0));
}

static void connections_are_accepted_but_none_is_made(void **state)
{
	in_child(*state, use_network);
}

static void *thread_opens(void *path)
{
	return denied(opens(path, O_RDONLY)) && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? path
											    : NULL;
}

static void start_thread(struct fixture *f)
{
	const struct confine_rule rules[] = { { f->inside, -1, ALL } };
	pthread_t thread;
	void *result;

	confined(rules, 1, 1);
	EXPECT(pthread_create(&thread, NULL, thread_opens, f->name[OUTSIDE_A]) == 0);
	EXPECT(pthread_join(thread, &result) == 0 && result);
}

static void a_thread_that_is_started_later_is_confined(void **state)
{
	in_child(*state, start_thread);
}

static void signal_parent(struct fixture *f)
{
	const struct confine_rule rules[] = { { f->inside, -1, ALL } };

	confined(rules, 1, 6);
	EXPECT(kill(getppid(), 0) < 0 && errno == EPERM);
	EXPECT(kill(getpid(), 0) == 0);
}

static void others_can_not_be_signalled(void **state)
{
	in_child(*state, signal_parent);
}

static void only_no_new_privs(struct fixture *f)
{
	const struct confine_rule rules[] = { { f->inside, -1, ALL } };
	struct mfd_error why;
	int abi;

	(void)!confine_thread(rules, 1, &abi, &why);
	EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
}

static void no_new_privs_is_set_with_any_kernel(void **state)
{
	in_child(*state, only_no_new_privs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_directory_with_a_rule_can_be_worked_in, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(nothing_else_can_be_opened_but_what_was_open_stays,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_right_is_no_other_right, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_with_a_rule_can_be_written_but_not_removed,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_a_file_with_a_rule_can_be_truncated, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_rule_for_what_is_not_there_is_skipped, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_rule_that_the_kernel_does_not_take_is_an_error,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(connections_are_accepted_but_none_is_made, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_thread_that_is_started_later_is_confined, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(others_can_not_be_signalled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_new_privs_is_set_with_any_kernel, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
