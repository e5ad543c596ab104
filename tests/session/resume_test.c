/* SPDX-License-Identifier: MIT */
/*
 * Coming back, through the public API: who did not hear that all is done asks again and is told,
 * and what is not done goes on from what has come.  The other end is a peer by hand, which can
 * leave at any moment.
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

#include "common/raw.h"
#include "mfd.h"
#include "unit/scratch.h"

#define PAGES 32u

struct fixture {
	struct scratch s;
	struct testing_image image;
	char image_path[PATH_MAX], out_path[PATH_MAX];

	/* A receiver of ours. */
	struct mfd_recv_options recv_options;
	struct mfd_recv *recv;
	_Atomic unsigned port;

	/* A sender of ours. */
	struct mfd_send_options send_options;
	struct mfd_send *send;
	char address[32];

	pthread_t thread;
	bool running;
	bool ok;
	struct mfd_error error;
	struct mfd_stats stats;
	struct testing_watchdog watchdog;
};

static void on_notice(void *fixture, const struct mfd_notice *notice)
{
	struct fixture *f = fixture;

	if (notice->kind == MFD_NOTICE_LISTENING)
		f->port = (unsigned)notice->number;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uint8_t page[PAGE_BYTES];
	int fd;

	*state = f;
	if (f == NULL || scratch_new(&f->s))
		return -1;
	f->image = (struct testing_image){
		.seed = 3, .size = PAGES * PAGE_BYTES, .kind = TESTING_RANDOM, .rounds = 1
	};
	snprintf(f->image_path, sizeof(f->image_path), "%s", scratch_at(&f->s, "image"));
	snprintf(f->out_path, sizeof(f->out_path), "%s", scratch_at(&f->s, "out"));
	fd = open(f->image_path, O_WRONLY | O_CREAT, 0600);
	for (uint64_t i = 0; i < PAGES; i++) {
		testing_content(&f->image, i, 0, page);
		if (pwrite(fd, page, PAGE_BYTES, (off_t)(i * PAGE_BYTES)) != PAGE_BYTES)
			return -1;
	}
	f->recv_options = (struct mfd_recv_options){
		.output = f->out_path, .listen = "127.0.0.1:0", .timeout_ms = 20000,
		.max_channels = 8, .resume = true,
		.notice = on_notice, .opaque = f,
	};
	f->send_options = (struct mfd_send_options){
		.image = f->image_path, .address = f->address, .channels = 1, .method = "none",
		.level = MFD_LEVEL_DEFAULT,
		.connect_timeout_ms = 20000, .timeout_ms = 20000, .retries = 5, .notice = on_notice,
		.opaque = f,
	};
	return close(fd);
}

static void join(struct fixture *f)
{
	pthread_join(f->thread, NULL);
	f->running = false;
	testing_unwatch(&f->watchdog);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	/* A test that failed has left it running. */
	if (f->running && f->recv)
		mfd_recv_cancel(f->recv);
	if (f->running && f->send)
		mfd_send_cancel(f->send);
	if (f->running)
		join(f);
	mfd_recv_free(f->recv);
	mfd_send_free(f->send);
	(void)scratch_free(&f->s);
	free(f);
	return 0;
}

static void *recv_main(void *fixture)
{
	struct fixture *f = fixture;

	f->ok = mfd_recv_run(f->recv, &f->error);
	mfd_recv_stats(f->recv, &f->stats);
	return NULL;
}

static void start_recv(struct fixture *f, const char *name)
{
	unsigned waited = 0;

	testing_watch(&f->watchdog, name, 60);
	if (!mfd_recv_new(&f->recv_options, &f->recv, &f->error))
		fail_msg("%s", f->error.text);
	assert_int_equal(pthread_create(&f->thread, NULL, recv_main, f), 0);
	f->running = true;
	while (testing_patience(&waited, f->port != 0))
		;
}

static void *send_main(void *fixture)
{
	struct fixture *f = fixture;

	f->ok = mfd_send_run(f->send, &f->error);
	mfd_send_stats(f->send, &f->stats);
	return NULL;
}

static void start_send(struct fixture *f, const char *name, uint16_t port)
{
	testing_watch(&f->watchdog, name, 60);
	snprintf(f->address, sizeof(f->address), "127.0.0.1:%u", port);
	if (!mfd_send_new(&f->send_options, &f->send, &f->error))
		fail_msg("%s", f->error.text);
	assert_int_equal(pthread_create(&f->thread, NULL, send_main, f), 0);
	f->running = true;
}

static void ends_well(struct fixture *f)
{
	join(f);
	if (!f->ok)
		fail_msg("%d: %s", f->error.status, f->error.text);
	assert_true(f->stats.committed);
	assert_int_equal(f->stats.hash, testing_hash(&f->image));
}

static void out_is_whole(struct fixture *f)
{
	uint8_t page[PAGE_BYTES], want[PAGE_BYTES];
	int fd = open(f->out_path, O_RDONLY);

	assert_true(fd >= 0);
	for (uint64_t i = 0; i < PAGES; i++) {
		testing_content(&f->image, i, 0, want);
		assert_int_equal(pread(fd, page, PAGE_BYTES, (off_t)(i * PAGE_BYTES)), PAGE_BYTES);
		assert_memory_equal(page, want, PAGE_BYTES);
	}
	close(fd);
	mfd_recv_free(f->recv);
	f->recv = NULL;
	assert_int_equal(scratch_entries(f->s.dir), 2);
}

/* ---- Our receiver. ---- */

/* All of the image, END and COMMITTED; then the sender goes without a word. */
static void complete(struct fixture *f, struct raw_sender *sender)
{
	raw_open(sender, (uint16_t)f->port, 1, f->image.size);
	for (uint32_t i = 0; i < PAGES; i += 8)
		raw_pages(sender, 0, 0, &f->image, i, 8);
	raw_finish(sender);
}

static int ask_again(struct fixture *f, uint64_t size, uint64_t hash, struct wire_message *ret)
{
	struct wire_hello hello = raw_hello(1, f->image.size);
	int fd;

	hello.delta = true;
	hello.ended = true;
	hello.ended_size = size;
	hello.ended_hash = hash;
	fd = raw_open_control((uint16_t)f->port, &hello);
	assert_true(raw_hear(fd, ret));
	return fd;
}

static void a_sender_that_missed_the_answer_is_told(void **state)
{
	struct fixture *f = *state;
	struct raw_sender sender;
	struct wire_message m;
	int fd;

	start_recv(f, __func__);
	complete(f, &sender);
	raw_close(&sender);
	fd = ask_again(f, f->image.size, testing_hash(&f->image), &m);
	assert_int_equal(m.type, WIRE_COMMITTED);
	assert_int_equal(m.committed.size, f->image.size);
	assert_int_equal(m.committed.image_hash, testing_hash(&f->image));
	close(fd);
	ends_well(f);
	out_is_whole(f);
}

static void a_sender_that_says_it_knows_is_not_waited_for(void **state)
{
	struct wire_message m = { .type = WIRE_HEARTBEAT };
	struct fixture *f = *state;
	struct raw_sender sender;
	uint64_t began;

	start_recv(f, __func__);
	complete(f, &sender);
	began = clock_ns();
	m.heartbeat.phase = MFD_FINISHED;
	raw_say(sender.control, &m);
	ends_well(f);
	/* Not for twice the timeout. */
	assert_true(clock_ns() - began < 20 * CLOCK_NS_PER_S);
	raw_close(&sender);
	out_is_whole(f);
}

static void who_has_something_else_gets_a_session(void **state)
{
	struct fixture *f = *state;
	struct raw_sender sender;
	struct wire_message m;
	int fd;

	start_recv(f, __func__);
	complete(f, &sender);
	raw_close(&sender);
	fd = ask_again(f, f->image.size + 1, testing_hash(&f->image), &m);
	/* ENDED is not ours, but HELLO's size and name are */
	assert_int_equal(m.type, WIRE_WELCOME);
	close(fd);
	ends_well(f);
	out_is_whole(f);
}

/* In place a session would spoil what is finished; and another image is none of ours. */
static void who_can_have_no_session_is_sent_away(void **state)
{
	struct fixture *f = *state;
	struct raw_sender sender;
	struct wire_message m;
	int fd;

	f->recv_options.inplace = true;
	start_recv(f, __func__);
	complete(f, &sender);
	raw_close(&sender);
	fd = ask_again(f, f->image.size + 1, testing_hash(&f->image), &m);
	assert_int_equal(m.type, WIRE_REFUSE);
	assert_int_equal(m.problem.status, MFD_TRY_AGAIN);
	close(fd);
	fd = ask_again(f, f->image.size, testing_hash(&f->image), &m);
	assert_int_equal(m.type, WIRE_COMMITTED);
	close(fd);
	ends_well(f);
	out_is_whole(f);
}

static void what_is_in_place_is_the_basis_for_who_starts_anew(void **state)
{
	struct fixture *f = *state;
	struct raw_sender sender;
	struct wire_message m;
	int fd;

	start_recv(f, __func__);
	complete(f, &sender);
	raw_close(&sender);
	fd = ask_again(f, f->image.size, testing_hash(&f->image) + 1, &m);
	assert_int_equal(m.type, WIRE_WELCOME);
	assert_true(m.welcome.basis);
	assert_int_equal(m.welcome.basis_pages, PAGES);
	assert_true(m.welcome.resume);
	close(fd);
	/* That one has gone as well: what is in place stays, and our verdict with it. */
	ends_well(f);
	out_is_whole(f);
}

/*
 * It may not have noticed yet that the sender before has gone, and refuse; or be between the two
 * sessions, and close, before it has heard HELLO or after.
 */
static int open_when_free(const struct raw_sender *sender, struct wire_message *ret)
{
	unsigned waited = 0;
	bool heard;
	int fd;

	for (;;) {
		fd = raw_connect(sender->port);
		heard = raw_try_hello(fd, &sender->hello) && raw_hear(fd, ret);
		if (!testing_patience(&waited, heard && ret->type != WIRE_REFUSE))
			break;
		close(fd);
	}
	assert_int_equal(ret->type, WIRE_WELCOME);
	return fd;
}

static void what_has_come_is_the_basis_of_the_next_session(void **state)
{
	struct wire_message m, known = { .type = WIRE_HEARTBEAT };
	struct fixture *f = *state;
	struct raw_sender sender;

	start_recv(f, __func__);
	raw_open(&sender, (uint16_t)f->port, 1, f->image.size);
	raw_pages(&sender, 0, 0, &f->image, 0, 8);
	/* It has been written. */
	do
		assert_true(raw_hear(sender.control, &m));
	while (m.type != WIRE_ACK);
	raw_close(&sender);

	memset(&sender, 0, sizeof(sender));
	sender.port = (uint16_t)f->port;
	sender.hello = raw_hello(1, f->image.size);
	sender.hello.delta = true;
	sender.control = open_when_free(&sender, &m);
	assert_true(m.welcome.basis);
	memcpy(sender.token, m.welcome.token, sizeof(sender.token));
	sender.data[0] = raw_open_data(&sender, 0, 1);
	for (uint32_t i = 0; i < PAGES; i += 8)
		raw_pages(&sender, 0, 0, &f->image, i, 8);
	raw_finish(&sender);
	known.heartbeat.phase = MFD_FINISHED;
	raw_say(sender.control, &known);
	ends_well(f);
	raw_close(&sender);
	out_is_whole(f);
}

static void without_resume_nothing_is_kept(void **state)
{
	struct fixture *f = *state;
	struct raw_sender sender;
	struct wire_message m;

	f->recv_options.resume = false;
	start_recv(f, __func__);
	raw_open(&sender, (uint16_t)f->port, 1, f->image.size);
	raw_pages(&sender, 0, 0, &f->image, 0, 8);
	do
		assert_true(raw_hear(sender.control, &m));
	while (m.type != WIRE_ACK);
	raw_close(&sender);
	join(f);
	assert_false(f->ok);
	assert_int_equal(f->error.status, MFD_TRY_AGAIN);
	assert_false(f->stats.resumable);
	mfd_recv_free(f->recv);
	f->recv = NULL;
	assert_int_equal(scratch_entries(f->s.dir), 1);
}

/* ---- Our sender. ---- */

/* A session up to its END, unanswered. */
static void take_all(struct raw_receiver *r, struct wire_end *ret_end)
{
	struct wire_message m, done = { .type = WIRE_SYNC_DONE };
	struct wire_packet p;

	raw_welcome(r);
	raw_accept_data(r, 1);
	do {
		struct totals one;

		assert_true(raw_take_packet(r, 0, &p));
		one = (struct totals){ .packets = 1,
				       .pages = p.count,
				       .zero_pages = p.count - p.data_pages,
				       .sum = p.sum };
		if (p.kind != WIRE_SYNC)
			totals_add(&done.sync_done.totals, &one);
	} while (p.kind != WIRE_SYNC);
	m = (struct wire_message){ .type = WIRE_ACK };
	m.ack.count = 1;
	m.ack.channel[0] = (struct wire_channel_ack){ 0, 1, p.sequence + 1 };
	raw_say(r->control, &m);
	raw_say(r->control, &done);
	raw_expect(r->control, WIRE_END, &m);
	*ret_end = m.end;
	close(r->control);
	close(r->data[0]);
	r->data[0] = -1;
}

static void hear_hello(struct raw_receiver *r)
{
	uint8_t raw[WIRE_PREAMBLE_BYTES];
	struct wire_message m;

	r->control = raw_accept(r->listening);
	assert_true(raw_recv(r->control, raw, sizeof(raw)));
	raw_expect(r->control, WIRE_HELLO, &m);
	r->hello = m.hello;
}

static void our_sender_asks_again_and_is_told(void **state)
{
	struct wire_message m = { .type = WIRE_COMMITTED };
	struct fixture *f = *state;
	struct raw_receiver r;
	struct wire_end end;
	uint16_t port;

	r.listening = raw_listen(&port);
	start_send(f, __func__, port);
	take_all(&r, &end);
	assert_int_equal(end.image_hash, testing_hash(&f->image));
	hear_hello(&r);
	assert_true(r.hello.ended);
	assert_int_equal(r.hello.ended_size, end.size);
	assert_int_equal(r.hello.ended_hash, end.image_hash);
	m.committed = (struct wire_committed){ end.size, end.image_hash };
	raw_say(r.control, &m);
	ends_well(f);
	raw_close_receiver(&r);
}

/* Something else than was asked for: no way to say 0. */
static void our_sender_is_not_told_about_another_image(void **state)
{
	struct wire_message m = { .type = WIRE_COMMITTED };
	struct fixture *f = *state;
	struct raw_receiver r;
	struct wire_end end;
	uint16_t port;

	r.listening = raw_listen(&port);
	start_send(f, __func__, port);
	take_all(&r, &end);
	hear_hello(&r);
	m.committed = (struct wire_committed){ end.size, end.image_hash ^ 1 };
	raw_say(r.control, &m);
	join(f);
	assert_false(f->ok);
	assert_int_equal(f->error.status, MFD_PROTOCOL);
	raw_close_receiver(&r);
}

static void committed_instead_of_welcome_is_76_for_who_did_not_ask(void **state)
{
	struct wire_message m = { .type = WIRE_COMMITTED };
	struct fixture *f = *state;
	struct raw_receiver r = { .listening = -1 };
	uint16_t port;

	memset(r.data, -1, sizeof(r.data));
	r.listening = raw_listen(&port);
	start_send(f, __func__, port);
	hear_hello(&r);
	assert_false(r.hello.ended);
	m.committed = (struct wire_committed){ f->image.size, testing_hash(&f->image) };
	raw_say(r.control, &m);
	join(f);
	assert_false(f->ok);
	assert_int_equal(f->error.status, MFD_PROTOCOL);
	raw_close_receiver(&r);
}

static void retries_without_progress_end(void **state)
{
	struct fixture *f = *state;
	struct raw_receiver r = { .listening = -1 };
	uint16_t port;

	memset(r.data, -1, sizeof(r.data));
	f->send_options.retries = 2;
	r.listening = raw_listen(&port);
	start_send(f, __func__, port);
	for (unsigned i = 0; i < 3; i++) {
		hear_hello(&r);
		close(r.control);
	}
	join(f);
	assert_false(f->ok);
	assert_int_equal(f->error.status, MFD_TRY_AGAIN);
	close(r.listening);
}

static void a_cancel_in_between_two_sessions_is_heard(void **state)
{
	struct fixture *f = *state;
	struct raw_receiver r = { .listening = -1 };
	uint16_t port;

	memset(r.data, -1, sizeof(r.data));
	f->send_options.retries = MFD_RETRY_FOREVER;
	r.listening = raw_listen(&port);
	start_send(f, __func__, port);
	for (unsigned i = 0; i < 3; i++) {
		hear_hello(&r);
		close(r.control);
	}
	mfd_send_cancel(f->send);
	join(f);
	assert_false(f->ok);
	assert_int_equal(f->error.status, MFD_TRY_AGAIN);
	close(r.listening);
}

int main(void)
{
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_FIXTURE(a_sender_that_missed_the_answer_is_told),
		WITH_FIXTURE(a_sender_that_says_it_knows_is_not_waited_for),
		WITH_FIXTURE(who_has_something_else_gets_a_session),
		WITH_FIXTURE(who_can_have_no_session_is_sent_away),
		WITH_FIXTURE(what_is_in_place_is_the_basis_for_who_starts_anew),
		WITH_FIXTURE(what_has_come_is_the_basis_of_the_next_session),
		WITH_FIXTURE(without_resume_nothing_is_kept),
		WITH_FIXTURE(our_sender_asks_again_and_is_told),
		WITH_FIXTURE(our_sender_is_not_told_about_another_image),
		WITH_FIXTURE(committed_instead_of_welcome_is_76_for_who_did_not_ask),
		WITH_FIXTURE(retries_without_progress_end),
		WITH_FIXTURE(a_cancel_in_between_two_sessions_is_heard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
