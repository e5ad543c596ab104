/* SPDX-License-Identifier: MIT */
/*
 * A whole receiver that confines itself, through the public API, in a child process: from the
 * notice on nothing outside the output's directory can be written, and the transfer still arrives,
 * is flushed and gets its name.  Beside it one that did not ask to be confined.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mfd.h"

#define IMAGE_BYTES (300u * 4096u + 123u)

struct fixture {
	char dir[64];
	char image[PATH_MAX], out[PATH_MAX], port[PATH_MAX], outside[PATH_MAX];
	uint8_t bytes[IMAGE_BYTES];
};

static void make_paths(struct fixture *f)
{
	snprintf(f->image, PATH_MAX, "%s/image", f->dir);
	snprintf(f->out, PATH_MAX, "%s/in/out", f->dir);
	snprintf(f->port, PATH_MAX, "%s/ports/port", f->dir);
	snprintf(f->outside, PATH_MAX, "%s/outside", f->dir);
}

static int write_file(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && write(fd, bytes, size) == (ssize_t)size;

	if (fd >= 0)
		close(fd);
	return ok ? 0 : -1;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[PATH_MAX];

	*state = f;
	if (!f)
		return -1;
	strcpy(f->dir, "/tmp/mfd-test-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	make_paths(f);
	for (size_t i = 0; i < IMAGE_BYTES; i++)
		f->bytes[i] = (uint8_t)(i / 4096 % 5 ? i * 2654435761u >> 13 : 0);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, i ? "ports" : "in");
		if (mkdir(path, 0700) < 0)
			return -1;
	}
	return write_file(f->image, f->bytes, IMAGE_BYTES);
}

static int tear_down(void **state)
{
	static const char *const names[] = { "image", "in/out", "ports/port", "outside", "in",
					     "ports", "" };
	struct fixture *f = *state;
	char path[PATH_MAX];
	int failures = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
		failures += remove(path) < 0 && errno != ENOENT;
	}
	free(f);
	return failures;
}

/* ---- The receiver, in the child. ---- */

/* From now on this process has a kernel without Landlock. */
static bool forget_landlock(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

enum { WAS_CONFINED = 10, WAS_NOT_CONFINED, BROKE_OUT, PORT_STAYS, NO_SECCOMP };

struct receiver {
	struct fixture *f;
	int port;                /* a pipe to the parent */
	bool confined;
	bool said_why_not;
	bool broke_out;
};

static void hear(void *opaque, const struct mfd_notice *n)
{
	struct receiver *r = opaque;
	uint16_t port = (uint16_t)n->number;

	if (n->kind == MFD_NOTICE_LISTENING) {
		r->broke_out |= write_file(r->f->port, "x", 1) < 0;
		r->broke_out |= write(r->port, &port, sizeof(port)) != sizeof(port);
	}
	if (n->kind == MFD_NOTICE_CONFINED)
		r->said_why_not = !strcmp(n->text,
					  "not confined: Landlock: Function not implemented");
	if (n->kind == MFD_NOTICE_CONFINED)
		r->confined = !strncmp(n->text, "confined by Landlock", 20);
	if (n->kind == MFD_NOTICE_CONFINED && r->confined)
		r->broke_out |= !write_file(r->f->outside, "x", 1) || !access(r->f->outside, F_OK);
}

enum how { FREE, CONFINED, IN_PLACE, NO_LANDLOCK };

static int receive(struct fixture *f, enum how how, int pipe_fd)
{
	struct receiver r = { .f = f, .port = pipe_fd };
	char ports[PATH_MAX];
	const struct mfd_recv_options o = {
		.output = f->out, .listen = "127.0.0.1:0", .accept_timeout_ms = 30000,
		.timeout_ms = 30000,
		.max_channels = MFD_MAX_CHANNELS, .inplace = how == IN_PLACE, .force = true,
		.confine = how != FREE,
		.confine_remove = ports, .notice = hear, .opaque = &r,
	};
	struct mfd_recv *recv;
	struct mfd_error err;
	bool ok;

	snprintf(ports, sizeof(ports), "%s/ports", f->dir);
	if (how == NO_LANDLOCK && !forget_landlock())
		return NO_SECCOMP;
	if (!mfd_recv_new(&o, &recv, &err))
		return err.status;
	ok = mfd_recv_run(recv, &err);
	mfd_recv_free(recv);
	if (!ok)
		return err.status;
	if (unlink(f->port) < 0)
		return PORT_STAYS;
	if (r.said_why_not != (how == NO_LANDLOCK))
		return BROKE_OUT;
	if (!r.confined)
		return write_file(f->outside, "x", 1) < 0 ? BROKE_OUT : WAS_NOT_CONFINED;
	return r.broke_out ? BROKE_OUT : WAS_CONFINED;
}

/* ---- The sender, in the test. ---- */

static bool send_image(const struct fixture *f, uint16_t port, struct mfd_error *err)
{
	char address[32];
	const struct mfd_send_options o = {
		.image = f->image, .address = address, .channels = 3, .method = "zstd",
		.level = MFD_LEVEL_DEFAULT,
		.connect_timeout_ms = 30000, .timeout_ms = 30000,
	};
	struct mfd_send *send;
	bool ok;

	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	if (!mfd_send_new(&o, &send, err))
		return false;
	ok = mfd_send_run(send, err);
	mfd_send_free(send);
	return ok;
}

static void check_output(const struct fixture *f)
{
	int fd = open(f->out, O_RDONLY | O_CLOEXEC);
	uint8_t *found = malloc(IMAGE_BYTES + 1);

	assert_true(fd >= 0);
	assert_non_null(found);
	assert_int_equal(read(fd, found, IMAGE_BYTES + 1), IMAGE_BYTES);
	assert_memory_equal(found, f->bytes, IMAGE_BYTES);
	free(found);
	close(fd);
}

/* The receiver's exit status. */
static int transfer(struct fixture *f, enum how how)
{
	struct mfd_error err;
	uint16_t port;
	int fds[2], status;
	pid_t child;
	bool ok;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		alarm(100);
		_exit(receive(f, how, fds[1]));
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &port, sizeof(port)), sizeof(port));
	close(fds[0]);
	ok = send_image(f, port, &err);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (!ok)
		print_message("the sender says: %s\n", err.text);
	assert_true(ok);
	check_output(f);
	return WEXITSTATUS(status);
}

static void need_confined(int status)
{
	if (status == WAS_NOT_CONFINED) {
		print_message("skipped: this kernel has no Landlock\n");
		skip();
	}
	assert_int_equal(status, WAS_CONFINED);
}

static void a_confined_receiver_writes_nowhere_else_and_its_image_arrives(void **state)
{
	need_confined(transfer(*state, CONFINED));
}

static void a_confined_receiver_replaces_a_file(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(write_file(f->out, "old", 3), 0);
	need_confined(transfer(f, CONFINED));
}

static void a_confined_receiver_writes_in_place(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(write_file(f->out, "old", 3), 0);
	need_confined(transfer(f, IN_PLACE));
}

static void a_receiver_that_was_not_asked_to_is_not_confined(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(transfer(f, FREE), WAS_NOT_CONFINED);
	assert_int_equal(access(f->outside, F_OK), 0);
}

static void without_landlock_the_image_arrives_and_the_notice_says_so(void **state)
{
	const int status = transfer(*state, NO_LANDLOCK);

	if (status == NO_SECCOMP) {
		print_message("skipped: no seccomp here\n");
		skip();
	}
	assert_int_equal(status, WAS_NOT_CONFINED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_confined_receiver_writes_nowhere_else_and_its_image_arrives, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_confined_receiver_replaces_a_file, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_confined_receiver_writes_in_place, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_receiver_that_was_not_asked_to_is_not_confined,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			without_landlock_the_image_arrives_and_the_notice_says_so, set_up,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
