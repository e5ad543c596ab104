/* SPDX-License-Identifier: MIT */
/*
 * Where an output stands: what may be replaced, what it inherits, which links are followed, and
 * that nothing is replaced which appeared meanwhile, on any file system.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "scratch.h"
#include "sink/sink.h"

#define NOBODY 65534

/* File systems that can do less than ours. */
static struct {
	int rename_error;
	int link_error;
	int look_error;          /* for open(2) with O_PATH */
} fault;

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	if ((flags & O_CREAT) != 0) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	if ((flags & O_PATH) != 0 && fault.look_error != 0) {
		errno = fault.look_error;
		return -1;
	}
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	if (flags != 0 && fault.rename_error != 0) {
		errno = fault.rename_error;
		return -1;
	}
	return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	if (fault.link_error != 0) {
		errno = fault.link_error;
		return -1;
	}
	return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

struct fixture {
	struct scratch scratch;
	struct event stop;
	struct sink *sink;
	bool mounted;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct mfd_error err;

	memset(&fault, 0, sizeof(fault));
	*state = f;
	return !event_init(&f->stop, &err) ? -1 : scratch_new(&f->scratch);
}

static void drop_sink(struct fixture *f)
{
	if (f->sink != NULL)
		f->sink->ops->free(f->sink);
	f->sink = NULL;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int failed;

	/* A test may have failed as somebody else. */
	if (getuid() == 0 && seteuid(0) != 0)
		return -1;
	drop_sink(f);
	event_destroy(&f->stop);
	if (f->mounted)
		umount2(scratch_at(&f->scratch, "mounted"), MNT_DETACH);
	failed = scratch_free(&f->scratch);
	free(f);
	return failed;
}

static const struct sink_file_options plain;
static const struct sink_file_options force = { .force = true };
static const struct sink_file_options inplace = { .inplace = true };

static void open_sink(struct fixture *f, const char *path, const struct sink_file_options *options)
{
	struct mfd_error err = { .text = "" };

	if (!sink_file_new(path, options, &f->sink, &err))
		fail_msg("%s", err.text);
}

/* Write "new" and commit. */
static bool finish(struct fixture *f, struct mfd_error *err)
{
	return f->sink->ops->begin(f->sink, 3, 3, err) &&
	       f->sink->ops->write(f->sink, 0, "new", 3, err) &&
	       f->sink->ops->commit(f->sink, 3, &f->stop, err);
}

static void make(struct fixture *f, const char *path, const struct sink_file_options *options)
{
	struct mfd_error err = { .text = "" };

	open_sink(f, path, options);
	if (!finish(f, &err))
		fail_msg("%s", err.text);
	drop_sink(f);
}

static bool is_new(const char *path)
{
	return scratch_holds(path, "new", 3);
}

static void expect_refused(struct fixture *f, const char *path,
			   const struct sink_file_options *options, const char *why)
{
	unsigned entries = scratch_entries(f->scratch.dir);
	struct mfd_error err = { .text = "" };

	assert_false(sink_file_new(path, options, &f->sink, &err));
	assert_null(f->sink);
	assert_int_equal(err.status, MFD_CANT_CREATE);
	if (strncmp(err.text, path, strlen(path)) != 0 || strstr(err.text, why) == NULL)
		fail_msg("%s", err.text);
	assert_int_equal(scratch_entries(f->scratch.dir), entries);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void a_new_output_is_readable_by_its_owner_only(void **state)
{
	struct fixture *f = *state;

	make(f, scratch_at(&f->scratch, "out.bin"), &plain);
	assert_true(is_new(f->scratch.path));
	assert_int_equal(mode_of(f->scratch.path), 0600);
}

static void an_existing_output_needs_force(void **state)
{
	struct sink_file_options inplace_force = { .inplace = true, .force = true };
	struct fixture *f = *state;
	const char *path = scratch_at(&f->scratch, "out.bin");

	assert_true(scratch_put(path, "old", 3, 0600));
	expect_refused(f, path, &plain, "out.bin exists; --force replaces it");
	expect_refused(f, path, &inplace, "out.bin exists; --force overwrites it");
	assert_true(scratch_holds(path, "old", 3));
	make(f, path, &force);
	assert_true(is_new(path));
	make(f, path, &inplace_force);
	assert_true(is_new(path));
	assert_int_equal(scratch_entries(f->scratch.dir), 1);
}

static void a_replaced_output_keeps_its_mode(void **state)
{
	struct fixture *f = *state;
	const char *path = scratch_at(&f->scratch, "out.bin");

	assert_true(scratch_put(path, "old", 3, 0644));
	make(f, path, &force);
	assert_true(is_new(path));
	assert_int_equal(mode_of(path), 0644);
}

static void need_root(void)
{
	if (geteuid() != 0)
		SCRATCH_SKIP("only root can give files away\n");
}

static void a_replaced_output_keeps_its_owner(void **state)
{
	struct fixture *f = *state;
	const char *path = scratch_at(&f->scratch, "out.bin");
	struct stat st;

	need_root();
	assert_true(scratch_put(path, "old", 3, 0600));
	assert_int_equal(chown(path, 12, 34), 0);
	assert_int_equal(chmod(path, 06751), 0);
	make(f, path, &force);
	assert_true(is_new(path));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 12);
	assert_int_equal(st.st_gid, 34);
	assert_int_equal(mode_of(path), 06751);
}

static void what_we_may_not_give_away_loses_its_setuid_bits(void **state)
{
	struct fixture *f = *state;
	const char *path = scratch_at(&f->scratch, "out.bin");
	gid_t groups[64];
	int count = getgroups(64, groups);
	struct stat st;

	need_root();
	assert_true(scratch_put(path, "old", 3, 06774));
	assert_int_equal(chmod(f->scratch.dir, 0777), 0);
	assert_int_equal(setgroups(0, NULL) | setegid(NOBODY) | seteuid(NOBODY), 0);
	make(f, path, &force);
	assert_int_equal(seteuid(0) | setegid(0) | setgroups((size_t)count, groups), 0);
	assert_true(is_new(path));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, NOBODY);
	/* Another group now, so it gets what everybody gets. */
	assert_int_equal(mode_of(path), 0744);
}

static void a_group_that_may_be_kept_keeps_its_bits(void **state)
{
	struct fixture *f = *state;
	const char *path = scratch_at(&f->scratch, "out.bin");
	struct stat st;

	need_root();
	assert_true(scratch_put(path, "old", 3, 0600));
	assert_int_equal(chown(path, 0, NOBODY), 0);
	assert_int_equal(chmod(path, 06774), 0);
	assert_int_equal(chmod(f->scratch.dir, 0777), 0);
	assert_int_equal(setegid(NOBODY) | seteuid(NOBODY), 0);
	make(f, path, &force);
	assert_int_equal(seteuid(0) | setegid(0), 0);
	assert_true(is_new(path));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, NOBODY);
	assert_int_equal(st.st_gid, NOBODY);
	assert_int_equal(mode_of(path), 0774);
}

static void what_is_no_file_is_refused(void **state)
{
	struct fixture *f = *state;
	char dir[PATH_MAX];

	expect_refused(f, f->scratch.dir, &force, "Is a directory");
	snprintf(dir, sizeof(dir), "%s/", f->scratch.dir);
	expect_refused(f, dir, &force, "Is a directory");
	expect_refused(f, "", &plain, "No such file");
	expect_refused(f, "/dev/null", &force, "neither a regular file nor a block device");
	expect_refused(f, scratch_at(&f->scratch, "no/such"), &plain, "No such file or directory");
	assert_int_equal(mkfifo(scratch_at(&f->scratch, "fifo"), 0600), 0);
	expect_refused(f, f->scratch.path, &force, "neither a regular file nor a block device");
	make(f, scratch_at(&f->scratch, "file"), &plain);
	assert_true(is_new(f->scratch.path));
	expect_refused(f, scratch_at(&f->scratch, "file/below"), &plain, "Not a directory");
}

static void a_directory_that_may_not_be_written_is_refused(void **state)
{
	struct fixture *f = *state;

	need_root();
	assert_int_equal(chmod(f->scratch.dir, 0755), 0);
	assert_int_equal(seteuid(NOBODY), 0);
	expect_refused(f, scratch_at(&f->scratch, "out.bin"), &plain, "Permission denied");
	assert_int_equal(seteuid(0), 0);
}

static void a_directory_that_may_not_be_listed_is_written_to(void **state)
{
	struct fixture *f = *state;

	need_root();
	assert_int_equal(chmod(f->scratch.dir, 0733), 0);
	assert_int_equal(seteuid(NOBODY), 0);
	make(f, scratch_at(&f->scratch, "out.bin"), &plain);
	assert_int_equal(seteuid(0), 0);
	assert_true(is_new(f->scratch.path));
	assert_int_equal(scratch_entries(f->scratch.dir), 1);
}

static bool is_link(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

static void a_symlink_is_followed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(scratch_at(&f->scratch, "there"), 0700), 0);
	assert_true(scratch_put(scratch_at(&f->scratch, "there/target"), "old", 3, 0640));
	assert_int_equal(symlink("target", scratch_at(&f->scratch, "there/second")), 0);
	assert_int_equal(symlink("there/second", scratch_at(&f->scratch, "link")), 0);
	expect_refused(f, f->scratch.path, &plain, "exists");
	make(f, scratch_at(&f->scratch, "link"), &force);
	assert_true(is_link(scratch_at(&f->scratch, "link")));
	assert_true(is_link(scratch_at(&f->scratch, "there/second")));
	assert_true(is_new(scratch_at(&f->scratch, "there/target")));
	assert_int_equal(mode_of(f->scratch.path), 0640);
	assert_int_equal(scratch_entries(scratch_at(&f->scratch, "there")), 2);
}

static void a_dangling_symlink_gets_its_target(void **state)
{
	struct fixture *f = *state;
	char target[PATH_MAX];

	strcpy(target, scratch_at(&f->scratch, "target"));
	assert_int_equal(symlink(target, scratch_at(&f->scratch, "link")), 0);
	make(f, f->scratch.path, &plain);
	assert_true(is_link(scratch_at(&f->scratch, "link")));
	assert_true(is_new(target));
	assert_false(is_link(target));

	assert_int_equal(symlink("no/such", scratch_at(&f->scratch, "lost")), 0);
	expect_refused(f, f->scratch.path, &plain, "No such file or directory");
}

static void a_circle_of_symlinks_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(symlink("b", scratch_at(&f->scratch, "a")), 0);
	assert_int_equal(symlink("a", scratch_at(&f->scratch, "b")), 0);
	expect_refused(f, f->scratch.path, &force, "Too many levels of symbolic links");
}

static void a_link_that_the_kernel_would_not_follow_is_not_followed(void **state)
{
	struct fixture *f = *state;

	/* What protected_symlinks says to root about a stranger's link in /tmp. */
	assert_int_equal(symlink("target", scratch_at(&f->scratch, "link")), 0);
	fault.look_error = EACCES;
	expect_refused(f, f->scratch.path, &plain, "Permission denied");
	fault.look_error = 0;
	make(f, f->scratch.path, &plain);
}

static void a_relative_name_without_a_directory_works(void **state)
{
	struct fixture *f = *state;
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(chdir(f->scratch.dir), 0);
	make(f, "out.bin", &plain);
	assert_true(is_new("out.bin"));
	assert_int_equal(fchdir(here), 0);
	close(here);
}

static void names_as_long_as_they_may_be_work(void **state)
{
	struct fixture *f = *state;
	char name[NAME_MAX + 2];
	unsigned i;

	memset(name, 'n', sizeof(name));
	name[NAME_MAX] = '\0';
	make(f, scratch_at(&f->scratch, name), &plain);
	assert_true(is_new(f->scratch.path));

	/* Two-byte characters, so that the cut would fall into the middle of one at some offset. */
	for (i = 0; i + 1 < NAME_MAX; i += 2)
		memcpy(name + i, "\xc3\xa4", 2);
	make(f, scratch_at(&f->scratch, name), &plain);
	assert_true(is_new(f->scratch.path));

	name[NAME_MAX] = 'n';
	name[NAME_MAX + 1] = '\0';
	expect_refused(f, scratch_at(&f->scratch, name), &plain, "File name too long");
}

static void a_temporary_name_is_cut_between_characters(void **state)
{
	struct fixture *f = *state;
	char name[NAME_MAX + 1] = "";
	struct dirent *entry;
	const char *at;
	DIR *dir;
	unsigned i;

	/* 127 characters; there is room for 121 and a half. */
	for (i = 0; i + 1 < NAME_MAX; i += 2)
		memcpy(name + i, "\xc3\xa4", 3);
	open_sink(f, scratch_at(&f->scratch, name), &plain);
	dir = opendir(f->scratch.dir);
	while ((entry = readdir(dir)) != NULL) {
		at = strstr(entry->d_name, ".mfd-");
		if (at == NULL)
			continue;
		assert_int_equal(entry->d_name[0], '.');
		assert_int_equal((unsigned char)at[-1], 0xa4);
		assert_int_equal(strlen(at), strlen(".mfd-XXXXXX"));
	}
	closedir(dir);
}

static void expect_appeared(struct fixture *f)
{
	const char *path = scratch_at(&f->scratch, "out.bin");
	struct mfd_error err = { .text = "" };

	open_sink(f, path, &plain);
	assert_true(scratch_put(path, "theirs", 6, 0600));
	assert_false(finish(f, &err));
	assert_int_equal(err.status, MFD_CANT_CREATE);
	assert_non_null(strstr(err.text, "out.bin appeared meanwhile"));
	drop_sink(f);
	assert_true(scratch_holds(path, "theirs", 6));
	assert_int_equal(scratch_entries(f->scratch.dir), 1);
	assert_int_equal(unlink(path), 0);

	make(f, path, &plain);
	assert_true(is_new(path));
	assert_int_equal(scratch_entries(f->scratch.dir), 1);
	assert_int_equal(unlink(path), 0);
}

static void an_output_that_appeared_meanwhile_is_left_alone(void **state)
{
	expect_appeared(*state);
}

static void it_is_left_alone_by_hard_links_too(void **state)
{
	fault.rename_error = EINVAL;
	expect_appeared(*state);
}

static void it_is_left_alone_where_there_are_no_hard_links(void **state)
{
	fault.rename_error = EINVAL;
	fault.link_error = EPERM;
	expect_appeared(*state);
}

static void with_force_an_output_that_appeared_is_replaced(void **state)
{
	struct fixture *f = *state;
	const char *path = scratch_at(&f->scratch, "out.bin");
	struct mfd_error err = { .text = "" };

	open_sink(f, path, &force);
	assert_true(scratch_put(path, "theirs", 6, 0600));
	assert_true(finish(f, &err));
	assert_true(is_new(path));
}

static void a_directory_that_appeared_is_never_replaced(void **state)
{
	struct fixture *f = *state;
	const char *path = scratch_at(&f->scratch, "out.bin");
	struct mfd_error err = { .text = "" };

	open_sink(f, path, &force);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_false(finish(f, &err));
	assert_int_equal(err.status, MFD_CANT_CREATE);
	drop_sink(f);
	assert_int_equal(scratch_entries(f->scratch.dir), 1);
}

static void a_failing_rename_is_told_and_cleaned_up(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err = { .text = "" };

	open_sink(f, scratch_at(&f->scratch, "out.bin"), &plain);
	fault.rename_error = EIO;
	assert_false(finish(f, &err));
	assert_int_equal(err.status, MFD_IO);
	assert_int_equal(err.os_errno, EIO);
	drop_sink(f);
	assert_int_equal(scratch_entries(f->scratch.dir), 0);
}

static void a_directory_renamed_meanwhile_does_no_harm(void **state)
{
	struct fixture *f = *state;
	struct mfd_error err = { .text = "" };
	char before[PATH_MAX];

	strcpy(before, scratch_at(&f->scratch, "before"));
	assert_int_equal(mkdir(before, 0700), 0);
	open_sink(f, scratch_at(&f->scratch, "before/out.bin"), &plain);
	assert_int_equal(rename(before, scratch_at(&f->scratch, "after")), 0);
	assert_true(finish(f, &err));
	assert_true(is_new(scratch_at(&f->scratch, "after/out.bin")));
}

static void a_mounted_file_is_written_in_place_only(void **state)
{
	struct sink_file_options inplace_force = { .inplace = true, .force = true };
	struct fixture *f = *state;
	char file[PATH_MAX];
	const char *mounted;

	strcpy(file, scratch_at(&f->scratch, "file"));
	assert_true(scratch_put(file, "old", 3, 0600));
	mounted = scratch_at(&f->scratch, "mounted");
	assert_true(scratch_put(mounted, "", 0, 0600));
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount(file, mounted, NULL, MS_BIND, NULL) != 0)
		SCRATCH_SKIP("no private mount to be had: %s\n", strerror(errno));
	f->mounted = true;
	expect_refused(f, mounted, &force, "is a mount point; --inplace writes into it");
	make(f, mounted, &inplace_force);
	assert_true(is_new(file));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_new_output_is_readable_by_its_owner_only),
		TEST(an_existing_output_needs_force),
		TEST(a_replaced_output_keeps_its_mode),
		TEST(a_replaced_output_keeps_its_owner),
		TEST(what_we_may_not_give_away_loses_its_setuid_bits),
		TEST(a_group_that_may_be_kept_keeps_its_bits),
		TEST(what_is_no_file_is_refused),
		TEST(a_directory_that_may_not_be_written_is_refused),
		TEST(a_directory_that_may_not_be_listed_is_written_to),
		TEST(a_symlink_is_followed),
		TEST(a_dangling_symlink_gets_its_target),
		TEST(a_circle_of_symlinks_is_refused),
		TEST(a_link_that_the_kernel_would_not_follow_is_not_followed),
		TEST(a_relative_name_without_a_directory_works),
		TEST(names_as_long_as_they_may_be_work),
		TEST(a_temporary_name_is_cut_between_characters),
		TEST(an_output_that_appeared_meanwhile_is_left_alone),
		TEST(it_is_left_alone_by_hard_links_too),
		TEST(it_is_left_alone_where_there_are_no_hard_links),
		TEST(with_force_an_output_that_appeared_is_replaced),
		TEST(a_directory_that_appeared_is_never_replaced),
		TEST(a_failing_rename_is_told_and_cleaned_up),
		TEST(a_directory_renamed_meanwhile_does_no_harm),
		TEST(a_mounted_file_is_written_in_place_only),
	};

	return scratch_result(cmocka_run_group_tests(tests, NULL, NULL));
}
