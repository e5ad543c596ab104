/* SPDX-License-Identifier: MIT */
/*
 * One stream and several receivers, through the public API: each is sent away at some point, and
 * the sender, which can read its standard input only once, goes on with the next.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/testing.h"
#include "mfd.h"
#include "unit/scratch.h"

#define PAGES 640u
#define SIZE ((uint64_t)PAGES * PAGE_BYTES - 100)

struct fixture {
	struct scratch s;
	struct testing_image image;
	char image_path[PATH_MAX], out_path[PATH_MAX];
	int stdin_before;

	struct mfd_send_options send_options;
	struct mfd_send *send;
	pthread_t send_thread;
	bool send_ok;
	struct mfd_error send_error;
	_Atomic unsigned agains;

	struct mfd_recv_options recv_options;
	struct mfd_recv *recv;
	pthread_t recv_thread;
	bool recv_ok;
	struct mfd_error recv_error;
	_Atomic unsigned port;
	char listen[32], address[32];
	struct testing_watchdog watchdog;
};

static void on_notice(void *fixture, const struct mfd_notice *notice)
{
	struct fixture *f = fixture;

	if (notice->kind == MFD_NOTICE_LISTENING)
		f->port = (unsigned)notice->number;
}

static void on_send_notice(void *fixture, const struct mfd_notice *notice)
{
	struct fixture *f = fixture;

	if (notice->kind == MFD_NOTICE_WARNING)
		f->agains++;
}

static void write_image(struct fixture *f)
{
	int fd = open(f->image_path, O_WRONLY | O_CREAT, 0600);
	uint8_t page[PAGE_BYTES];

	for (uint64_t i = 0; i < PAGES; i++) {
		testing_content(&f->image, i, 0, page);
		assert_int_equal(pwrite(fd, page, PAGE_BYTES, (off_t)(i * PAGE_BYTES)), PAGE_BYTES);
	}
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	*state = f;
	if (f == NULL || scratch_new(&f->s))
		return -1;
	f->image = (struct testing_image){
		.seed = 5, .size = SIZE, .kind = TESTING_MIXED, .rounds = 1
	};
	snprintf(f->image_path, sizeof(f->image_path), "%s", scratch_at(&f->s, "image"));
	snprintf(f->out_path, sizeof(f->out_path), "%s", scratch_at(&f->s, "out"));
	write_image(f);
	f->stdin_before = fcntl(0, F_DUPFD_CLOEXEC, 3);
	fd = open(f->image_path, O_RDONLY);
	dup2(fd, 0);
	close(fd);
	f->recv_options = (struct mfd_recv_options){
		.output = f->out_path, .listen = f->listen, .timeout_ms = 20000,
		.max_channels = 8, .resume = true, .verify = true,
		.notice = on_notice, .opaque = f,
	};
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->stdin_before >= 0) {
		dup2(f->stdin_before, 0);
		close(f->stdin_before);
	}
	mfd_recv_free(f->recv);
	mfd_send_free(f->send);
	(void)scratch_free(&f->s);
	free(f);
	return 0;
}

static void *recv_main(void *fixture)
{
	struct fixture *f = fixture;

	f->recv_ok = mfd_recv_run(f->recv, &f->recv_error);
	return NULL;
}

static void start_recv(struct fixture *f)
{
	unsigned waited = 0;

	snprintf(f->listen, sizeof(f->listen), "127.0.0.1:%u", f->port);
	f->port = 0;
	if (!mfd_recv_new(&f->recv_options, &f->recv, &f->recv_error))
		fail_msg("%s", f->recv_error.text);
	assert_int_equal(pthread_create(&f->recv_thread, NULL, recv_main, f), 0);
	while (testing_patience(&waited, f->port != 0))
		;
}

static void end_recv(struct fixture *f)
{
	pthread_join(f->recv_thread, NULL);
	mfd_recv_free(f->recv);
	f->recv = NULL;
}

static void *send_main(void *fixture)
{
	struct fixture *f = fixture;

	f->send_ok = mfd_send_run(f->send, &f->send_error);
	return NULL;
}

static void start_send(struct fixture *f, const char *method)
{
	snprintf(f->address, sizeof(f->address), "127.0.0.1:%u", f->port);
	f->send_options = (struct mfd_send_options){
		.image = "-", .address = f->address, .channels = 3, .method = method,
		.level = MFD_LEVEL_DEFAULT, .packet_bytes = 64 << 10,
		.connect_timeout_ms = 20000, .timeout_ms = 20000,
		.bytes_per_second = 2 << 20, .retries = MFD_RETRY_FOREVER,
		.notice = on_send_notice, .opaque = f,
	};
	if (!mfd_send_new(&f->send_options, &f->send, &f->send_error))
		fail_msg("%s", f->send_error.text);
	assert_int_equal(pthread_create(&f->send_thread, NULL, send_main, f), 0);
}

/* The receiver goes when it has @pages more than nothing. */
static void send_away_at(struct fixture *f, uint64_t pages)
{
	struct mfd_stats stats;
	unsigned waited = 0;

	do
		mfd_recv_stats(f->recv, &stats);
	while (testing_patience(&waited, stats.bytes_done >= pages * PAGE_BYTES));
	mfd_recv_cancel(f->recv);
	end_recv(f);
	assert_false(f->recv_ok);
}

static void out_is_whole(const struct fixture *f)
{
	uint8_t page[PAGE_BYTES], want[PAGE_BYTES];
	int fd = open(f->out_path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), SIZE);
	for (uint64_t i = 0; i < PAGES; i++) {
		const size_t size = i + 1 < PAGES ? PAGE_BYTES : PAGE_BYTES - 100;

		testing_content(&f->image, i, 0, want);
		assert_int_equal(pread(fd, page, size, (off_t)(i * PAGE_BYTES)), size);
		assert_memory_equal(page, want, size);
	}
	close(fd);
}

static void goes_on(struct fixture *f, const char *name, const char *method)
{
	testing_watch(&f->watchdog, name, 60);
	start_recv(f);
	start_send(f, method);
	for (unsigned i = 1; i <= 3; i++) {
		send_away_at(f, i * 150);
		start_recv(f);
	}
	end_recv(f);
	pthread_join(f->send_thread, NULL);
	testing_unwatch(&f->watchdog);
	if (!f->recv_ok || !f->send_ok)
		fail_msg("sender: %s; receiver: %s", f->send_error.text, f->recv_error.text);
	assert_int_equal(f->agains, 3);
	out_is_whole(f);
}

static void a_stream_goes_on_with_the_next_receiver(void **state)
{
	goes_on(*state, __func__, "none");
}

static void a_compressed_stream_goes_on_with_the_next_receiver(void **state)
{
	goes_on(*state, __func__, "zstd");
}

static void a_receiver_without_the_beginning_ends_the_stream_with_75(void **state)
{
	char partial[PATH_MAX + 16];
	struct fixture *f = *state;

	testing_watch(&f->watchdog, __func__, 60);
	start_recv(f);
	start_send(f, "none");
	send_away_at(f, 200);
	snprintf(partial, sizeof(partial), "%s.mfd-partial", f->out_path);
	assert_int_equal(unlink(partial), 0);
	start_recv(f);
	pthread_join(f->send_thread, NULL);
	mfd_recv_cancel(f->recv);
	end_recv(f);
	testing_unwatch(&f->watchdog);
	assert_false(f->send_ok);
	assert_false(f->send_error.remote);
	assert_int_equal(f->send_error.status, MFD_TRY_AGAIN);
	assert_non_null(strstr(f->send_error.text, "can't be read once more"));
	assert_int_equal(access(f->out_path, F_OK), -1);
}

int main(void)
{
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_FIXTURE(a_stream_goes_on_with_the_next_receiver),
		WITH_FIXTURE(a_compressed_stream_goes_on_with_the_next_receiver),
		WITH_FIXTURE(a_receiver_without_the_beginning_ends_the_stream_with_75),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
