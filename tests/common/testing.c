/* SPDX-License-Identifier: MIT */
/*
 * See testing.h.
 */
#include "common/testing.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bitmap.h"
#include "base/clock.h"
#include "base/hash.h"
#include "net/address.h"

unsigned testing_sweep(unsigned normal, unsigned plenty)
{
	const char *text = getenv("MFD_TEST_LONG");

	return text && *text && *text != '0' ? plenty : normal;
}

uint64_t testing_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t mix(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t state = a * 3 + b * 0x10001 + c * UINT64_C(0x100000001b3);

	return testing_random(&state);
}

static void pause_ms(unsigned ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&t, &t) != 0 && errno == EINTR)
		;
}

/* ---- Images. ---- */

static void fill_random(uint64_t seed, uint8_t *page)
{
	for (unsigned i = 0; i < PAGE_BYTES; i += 8) {
		uint64_t value = testing_random(&seed);

		memcpy(page + i, &value, 8);
	}
}

static void fill_text(uint64_t seed, uint8_t *page)
{
	static const char *const words[] = { "page ", "memory ", "the ", "guest\n", "channel ", "0x7f3a", "round, ", "and " };
	size_t used = 0;

	while (used < PAGE_BYTES) {
		const char *word = words[testing_random(&seed) % TESTING_COUNT(words)];
		size_t n = strlen(word);

		if (n > PAGE_BYTES - used)
			n = PAGE_BYTES - used;
		memcpy(page + used, word, n);
		used += n;
	}
}

void testing_page(uint64_t seed, uint64_t index, uint32_t generation, enum testing_kind kind, uint8_t page[static PAGE_BYTES])
{
	const uint64_t own = mix(seed, index, generation);

	if (kind == TESTING_ALTERNATING)
		kind = (index + generation) % 2 ? TESTING_ZERO : TESTING_RANDOM;
	if (kind == TESTING_MIXED)
		kind = own % 3 == 0 ? TESTING_ZERO : own % 3 == 1 ? TESTING_RANDOM : TESTING_TEXT;
	if (kind == TESTING_ZERO)
		memset(page, 0, PAGE_BYTES);
	else if (kind == TESTING_RANDOM)
		fill_random(own, page);
	else
		fill_text(own, page);
}

static bool changes(const struct testing_image *image, uint64_t page, uint32_t round)
{
	return round == 0 || mix(~image->seed, page, round) % 3 == 0;
}

uint32_t testing_generation(const struct testing_image *image, uint64_t page, uint32_t round)
{
	while (!changes(image, page, round))
		round--;
	return round;
}

void testing_content(const struct testing_image *image, uint64_t page, uint32_t round, uint8_t ret[static PAGE_BYTES])
{
	const uint64_t left = image->size - page * PAGE_BYTES;

	testing_page(image->seed, page, testing_generation(image, page, round), image->kind, ret);
	if (left < PAGE_BYTES)
		memset(ret + left, 0, PAGE_BYTES - left);
}

static bool is_zero(const uint8_t *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE_BYTES - 1);
}

uint64_t testing_hash(const struct testing_image *image)
{
	const uint64_t pages = batch_pages_of(image->size);
	uint8_t page[PAGE_BYTES];
	uint64_t sum = 0;

	for (uint64_t i = 0; i < pages && image->kind != TESTING_ZERO; i++) {
		testing_content(image, i, image->rounds - 1, page);
		sum += is_zero(page) ? 0 : hash_page(page, PAGE_BYTES, 0, i);
	}
	return sum;
}

/* ---- A source. ---- */

static bool known_zero(const struct testing_source *s, uint64_t page)
{
	uint8_t content[PAGE_BYTES];

	if (!s->knows_zeros)
		return false;
	if (s->image.kind == TESTING_ZERO)
		return true;
	testing_content(&s->image, page, s->round, content);
	return is_zero(content);
}

/* Zero pages from `at` on that this round carries, if they are worth a run of their own. */
static bool source_zero_run(struct testing_source *s, uint64_t pages, uint32_t max_pages, struct batch *b)
{
	uint64_t n = 0;

	if (!s->knows_zeros || s->round)
		return false;
	if (s->image.kind == TESTING_ZERO)
		n = pages - s->at;
	while (s->at + n < pages && n < 2 * max_pages && known_zero(s, s->at + n))
		n++;
	if (n < max_pages)
		return false;
	b->first = s->at;
	b->count = n;
	b->zero_run = true;
	s->at += n;
	return true;
}

static void source_take(struct testing_source *s, uint64_t pages, uint32_t max_pages, struct batch *b)
{
	b->first = s->at;
	for (uint32_t i = 0; i < max_pages && s->at < pages; i++, s->at++) {
		if (!changes(&s->image, s->at, s->round))
			continue;
		bitmap_set(b->carried, i);
		if (!known_zero(s, s->at))
			bitmap_set(b->data, i);
		b->count = i + 1;
	}
}

/* One page of a batch, or the failure that the test has put there. */
static bool source_page(const struct testing_source *s, uint64_t page, uint32_t round, uint8_t *ret, struct mfd_error *err)
{
	const bool fails = page == s->fail_page && round >= s->fail_round;

	if (fails && s->fail_status == MFD_NO_INPUT)
		return error_set(err, MFD_NO_INPUT, "test image: has become shorter");
	if (fails)
		return error_set_os(err, s->fail_status, EIO, "test image");
	testing_content(&s->image, page, round, ret);
	return true;
}

static bool source_read(struct source *source, const struct batch *b, uint8_t *buffer, struct mfd_error *err)
{
	const struct testing_source *s = (const struct testing_source *)source;

	for (uint32_t i = 0; i < b->count; i++) {
		if (bitmap_test(b->data, i) &&
		    !source_page(s, b->first + i, b->round, buffer + (size_t)i * PAGE_BYTES, err))
			return false;
	}
	return true;
}

/* An input that has nothing to say, for a while or for ever. */
static bool source_wait(struct testing_source *s, const struct event *stop, uint64_t deadline_ns, struct mfd_error *err)
{
	s->stalled = true;
	if (event_wait_fd(stop, -1, 0, deadline_ns) == EVENT_STOPPED)
		return error_set(err, MFD_TRY_AGAIN, "stopped");
	return true;
}

static bool source_next(struct source *source, uint32_t max_pages, uint8_t *buffer, const struct event *stop,
			struct batch *ret_batch, bool *ret_end, struct mfd_error *err)
{
	struct testing_source *s = (struct testing_source *)source;
	const uint64_t pages = batch_pages_of(s->image.size);

	if (s->at >= s->stall_page && !source_wait(s, stop, CLOCK_NEVER, err))
		return false;
	if (s->next_ms && s->at >= pages / 2) {
		if (!source_wait(s, stop, clock_deadline_ms(s->next_ms), err))
			return false;
		s->next_ms = 0;
	}
	while (s->at < pages && !changes(&s->image, s->at, s->round))
		s->at++;
	*ret_end = s->at == pages;
	if (*ret_end)
		return true;
	if (source_zero_run(s, pages, max_pages, ret_batch))
		return true;
	source_take(s, pages, max_pages, ret_batch);
	ret_batch->round = s->round;
	return source->info.rereadable || source_read(source, ret_batch, buffer, err);
}

static bool source_end_round(struct source *source, uint32_t round, bool *ret_again, uint64_t *ret_size, struct mfd_error *err)
{
	struct testing_source *s = (struct testing_source *)source;

	(void)err;
	*ret_again = round + 1 < s->image.rounds;
	*ret_size = s->image.size;
	s->round = round + 1;
	s->at = 0;
	return true;
}

/* The test owns it. */
static void source_free(struct source *source)
{
	(void)source;
}

static const struct source_ops testing_source_ops = {
	.kind = "test",
	.next = source_next,
	.read = source_read,
	.end_round = source_end_round,
	.free = source_free,
};

void testing_source_init(struct testing_source *s, const struct testing_image *image, bool rereadable)
{
	*s = (struct testing_source){
		.source = { &testing_source_ops, {
			.name = "test image",
			.size = rereadable || image->rounds > 1 ? image->size : UINT64_MAX,
			.allocated = UINT64_MAX,
			.rereadable = rereadable,
			.rounds = image->rounds > 1,
		} },
		.image = *image,
		.fail_page = TESTING_NEVER,
		.stall_page = TESTING_NEVER,
	};
}

/* ---- A sink. ---- */

static bool sink_begin(struct sink *sink, uint64_t size, uint64_t allocated, struct mfd_error *err)
{
	struct testing_sink *s = (struct testing_sink *)sink;

	(void)size;
	(void)allocated;
	if (s->fail_begin)
		return error_set(err, MFD_CANT_CREATE, "test sink: too small");
	pthread_mutex_lock(&s->lock);
	s->begun = true;
	pthread_mutex_unlock(&s->lock);
	return true;
}

/* A page has come, with @bytes of it or as zeros.  Which round it is follows from how often it has come before. */
static void sink_page_locked(struct testing_sink *s, uint64_t page, const uint8_t *bytes, size_t size)
{
	uint8_t want[PAGE_BYTES];
	uint32_t round;

	if (page >= s->pages) {
		s->wrong++;
		return;
	}
	for (round = s->page_round[page]; round < s->image.rounds && !changes(&s->image, page, round); round++)
		;
	if (round == s->image.rounds) {
		s->wrong++;
		return;
	}
	s->page_round[page] = round + 1;
	s->seen[round]++;
	s->overtaken += round && s->seen[round - 1] != s->expected[round - 1];
	if (s->image.kind != TESTING_ZERO || bytes) {
		testing_content(&s->image, page, round, want);
		s->wrong += bytes ? memcmp(bytes, want, size) != 0 : !is_zero(want);
	}
	if (s->bytes && bytes)
		memcpy(s->bytes + page * PAGE_BYTES, bytes, size);
	else if (s->bytes)
		memset(s->bytes + page * PAGE_BYTES, 0, PAGE_BYTES);
}

static bool sink_write(struct sink *sink, uint64_t offset, const void *bytes, size_t size, struct mfd_error *err)
{
	struct testing_sink *s = (struct testing_sink *)sink;
	bool full, slow;

	pthread_mutex_lock(&s->lock);
	slow = s->slow_writes > 0;
	s->slow_writes -= slow;
	full = s->written + size > s->fail_bytes;
	if (!full)
		s->written += size;
	for (size_t done = 0; !full && done < size; done += PAGE_BYTES) {
		size_t n = size - done < PAGE_BYTES ? size - done : PAGE_BYTES;

		sink_page_locked(s, (offset + done) / PAGE_BYTES, (const uint8_t *)bytes + done, n);
	}
	pthread_mutex_unlock(&s->lock);
	if (slow)
		pause_ms(s->write_ms);
	return !full || error_set_os(err, MFD_IO, s->fail_errno, "test sink");
}

static bool sink_zero(struct sink *sink, uint64_t offset, uint64_t size, bool fresh, const struct event *stop, struct mfd_error *err)
{
	struct testing_sink *s = (struct testing_sink *)sink;

	(void)stop;
	(void)err;
	pthread_mutex_lock(&s->lock);
	s->zeroed_fresh += fresh;
	s->zeroed += !fresh;
	for (uint64_t done = 0; done < size; done += PAGE_BYTES) {
		uint64_t page = (offset + done) / PAGE_BYTES;

		/* Later rounds must not leave alone what earlier ones wrote. */
		s->wrong += fresh && page < s->pages && s->page_round[page];
		sink_page_locked(s, page, NULL, 0);
	}
	pthread_mutex_unlock(&s->lock);
	return true;
}

static bool sink_commit(struct sink *sink, uint64_t size, const struct event *stop, struct mfd_error *err)
{
	struct testing_sink *s = (struct testing_sink *)sink;

	if (event_wait_fd(stop, -1, 0, clock_ns() + s->commit_ms * CLOCK_NS_PER_MS) == EVENT_STOPPED)
		return error_set(err, MFD_TRY_AGAIN, "stopped");
	if (s->fail_commit)
		return error_set_os(err, MFD_IO, EIO, "test sink: fsync");
	pthread_mutex_lock(&s->lock);
	s->committed = true;
	s->size = size;
	pthread_mutex_unlock(&s->lock);
	return true;
}

static void sink_free(struct sink *sink)
{
	(void)sink;
}

static const struct sink_ops testing_sink_ops = {
	.kind = "test",
	.begin = sink_begin,
	.write = sink_write,
	.zero = sink_zero,
	.commit = sink_commit,
	.free = sink_free,
};

void testing_sink_init(struct testing_sink *s, const struct testing_image *image)
{
	memset(s, 0, sizeof(*s));
	s->sink.ops = &testing_sink_ops;
	s->image = *image;
	s->fail_bytes = TESTING_NEVER;
	s->fail_errno = ENOSPC;
	pthread_mutex_init(&s->lock, NULL);
	s->pages = batch_pages_of(image->size);
	if (s->pages * PAGE_BYTES <= TESTING_KEEP_BYTES)
		s->bytes = malloc(s->pages * PAGE_BYTES + 1);
	s->page_round = calloc(s->pages + 1, sizeof(*s->page_round));
	s->expected = calloc(image->rounds, sizeof(*s->expected));
	s->seen = calloc(image->rounds, sizeof(*s->seen));
	if (!s->page_round || !s->expected || !s->seen)
		abort();
	if (s->bytes)
		memset(s->bytes, 0xee, s->pages * PAGE_BYTES);
	for (uint32_t round = 0; round < image->rounds; round++) {
		for (uint64_t page = 0; page < s->pages; page++)
			s->expected[round] += changes(image, page, round);
	}
}

void testing_sink_destroy(struct testing_sink *s)
{
	free(s->bytes);
	free(s->page_round);
	free(s->expected);
	free(s->seen);
	pthread_mutex_destroy(&s->lock);
}

bool testing_sink_complete(const struct testing_sink *s)
{
	uint8_t want[PAGE_BYTES];
	bool ok = s->begun && s->committed && s->size == s->image.size && !s->wrong && !s->overtaken;

	for (uint32_t round = 0; round < s->image.rounds; round++)
		ok = ok && s->seen[round] == s->expected[round];
	for (uint64_t page = 0; ok && s->bytes && page < s->pages; page++) {
		uint64_t left = s->image.size - page * PAGE_BYTES;

		testing_content(&s->image, page, s->image.rounds - 1, want);
		ok = !memcmp(s->bytes + page * PAGE_BYTES, want, left < PAGE_BYTES ? left : PAGE_BYTES);
	}
	return ok;
}

/* ---- A channel that goes wrong. ---- */

struct faulty {
	struct channel channel;
	struct channel *inner;
	struct testing_faults *faults;
	uint32_t id;
	struct event shut;           /* shutdown() was called */

	/* The thread that sends, and the one that receives: on control they are one. */
	uint64_t sent, received;
	size_t owed;                 /* SLOW: bytes received and not yet paused for */
	bool send_dead, recv_dead;   /* a fault has ended this direction */
	bool hole;
};

static const struct testing_fault *find_fault(const struct faulty *f, bool sending)
{
	for (unsigned i = 0; i < f->faults->count; i++) {
		const struct testing_fault *t = &f->faults->fault[i];

		if (t->kind != TESTING_PIECES && t->kind != TESTING_SLOW && t->sending == sending && (t->channel == f->id || t->channel == TESTING_EVERY))
			return t;
	}
	return NULL;
}

static const struct testing_fault *find_kind(const struct faulty *f, enum testing_fault_kind kind)
{
	for (unsigned i = 0; i < f->faults->count; i++) {
		const struct testing_fault *t = &f->faults->fault[i];

		if (t->kind == kind && (t->channel == f->id || t->channel == TESTING_EVERY))
			return t;
	}
	return NULL;
}

/* The most that one call may move. */
static size_t piece_of(const struct faulty *f)
{
	const struct testing_fault *t = find_kind(f, TESTING_PIECES);

	return t ? t->at : SIZE_MAX;
}

/* How many of @size bytes pass before the fault. */
static size_t before(const struct testing_fault *t, uint64_t moved, size_t size)
{
	if (!t || t->kind == TESTING_FLIP)
		return size;
	return t->at <= moved ? 0 : t->at - moved < size ? (size_t)(t->at - moved) : size;
}

/* Disconnecting a TCP socket resets the connection at once (connect(2), AF_UNSPEC). */
static void reset(struct channel *c)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (connect(c->ops->fd(c), &none, sizeof(none)) != 0)
		c->ops->shutdown(c);
}

/* The fault's moment has come; what the caller is to do is its business. */
static void fire(struct faulty *f, const struct testing_fault *t)
{
	atomic_fetch_add(&f->faults->fired, 1);
	if (t->kind == TESTING_RST)
		reset(f->inner);
	else if (t->kind == TESTING_FIN)
		f->inner->ops->shutdown(f->inner);
}

static bool broken(struct mfd_error *err)
{
	return error_set_os(err, MFD_TRY_AGAIN, ECONNRESET, "connection lost");
}

/* Send @size bytes in pieces. */
static bool send_run(struct faulty *f, uint8_t *bytes, size_t size, struct mfd_error *err)
{
	const size_t piece = piece_of(f);

	for (size_t done = 0; done < size;) {
		size_t n = size - done < piece ? size - done : piece;
		struct iovec iov = { bytes + done, n };

		if (!f->inner->ops->send(f->inner, &iov, 1, err))
			return false;
		done += n;
	}
	f->sent += size;
	return true;
}

static bool faulty_send(struct channel *c, struct iovec *iov, unsigned iovs, struct mfd_error *err)
{
	struct faulty *f = (struct faulty *)c;
	const struct testing_fault *t = find_fault(f, true);

	for (unsigned i = 0; i < iovs && !f->hole; i++) {
		size_t n = f->send_dead ? 0 : before(t, f->sent, iov[i].iov_len);

		if (n && !send_run(f, iov[i].iov_base, n, err))
			return false;
		if (n == iov[i].iov_len)
			continue;
		if (!f->send_dead)
			fire(f, t);
		f->send_dead = true;
		f->hole = t->kind == TESTING_HOLE;
		if (t->kind == TESTING_STALL)
			event_wait_fd(&f->shut, -1, 0, CLOCK_NEVER);
		if (!f->hole)
			return broken(err);
	}
	return true;
}

static void flip(struct faulty *f, const struct testing_fault *t, uint8_t *bytes, size_t size)
{
	if (t && t->kind == TESTING_FLIP && t->at >= f->received && t->at - f->received < size) {
		bytes[t->at - f->received] ^= 1u << (t->at % 8);
		atomic_fetch_add(&f->faults->fired, 1);
	}
	f->received += size;
}

/* Receive @size bytes in pieces; *ret_got fewer at the end of the stream. */
static bool recv_run(struct faulty *f, const struct testing_fault *t, uint8_t *bytes, size_t size, size_t *ret_got,
		     struct mfd_error *err)
{
	const struct testing_fault *slow = find_kind(f, TESTING_SLOW);
	const size_t piece = slow ? 4096 : piece_of(f);
	size_t got;

	for (*ret_got = 0; *ret_got < size; *ret_got += got) {
		size_t n = size - *ret_got < piece ? size - *ret_got : piece;
		struct iovec iov = { bytes + *ret_got, n };

		for (f->owed += n; slow && f->owed >= piece; f->owed -= piece)
			pause_ms(slow->at);
		if (!f->inner->ops->recv(f->inner, &iov, 1, &got, err))
			return false;
		flip(f, t, bytes + *ret_got, got);
		if (got < n) {
			*ret_got += got;
			return true;
		}
	}
	return true;
}

static bool faulty_recv(struct channel *c, struct iovec *iov, unsigned iovs, size_t *ret_got, struct mfd_error *err)
{
	struct faulty *f = (struct faulty *)c;
	const struct testing_fault *t = find_fault(f, false);

	*ret_got = 0;
	for (unsigned i = 0; i < iovs; i++) {
		size_t n = f->recv_dead ? 0 : before(t, f->received, iov[i].iov_len), got = 0;

		if (n && !recv_run(f, t, iov[i].iov_base, n, &got, err))
			return false;
		*ret_got += got;
		if (got < n)
			return true;
		if (n == iov[i].iov_len)
			continue;
		if (!f->recv_dead)
			fire(f, t);
		f->recv_dead = true;
		if (t->kind == TESTING_STALL)
			event_wait_fd(&f->shut, -1, 0, CLOCK_NEVER);
		return t->kind == TESTING_FIN || broken(err);
	}
	return true;
}

static void count_control(const struct faulty *f)
{
	if (f->id != TESTING_CONTROL)
		return;
	atomic_store(&f->faults->control_sent, f->sent);
	atomic_store(&f->faults->control_received, f->received);
}

static bool faulty_send_some(struct channel *c, const void *bytes, size_t size, size_t *ret_moved, struct mfd_error *err)
{
	struct faulty *f = (struct faulty *)c;
	const struct testing_fault *t = find_fault(f, true);
	const size_t piece = piece_of(f);
	size_t n = f->send_dead ? 0 : before(t, f->sent, size);

	*ret_moved = size;
	if (f->hole)
		return true;
	if (n < size && !n) {
		if (!f->send_dead)
			fire(f, t);
		f->send_dead = true;
		f->hole = t->kind == TESTING_HOLE;
		*ret_moved = f->hole ? size : 0;
		return f->hole || t->kind == TESTING_STALL || broken(err);
	}
	if (!f->inner->ops->send_some(f->inner, bytes, n < piece ? n : piece, ret_moved, err))
		return false;
	f->sent += *ret_moved;
	count_control(f);
	return true;
}

static bool faulty_recv_some(struct channel *c, void *buffer, size_t size, size_t *ret_moved, bool *ret_end, struct mfd_error *err)
{
	struct faulty *f = (struct faulty *)c;
	const struct testing_fault *t = find_fault(f, false);
	const size_t piece = piece_of(f);
	size_t n = f->recv_dead ? 0 : before(t, f->received, size);

	if (n < size && !n) {
		if (!f->recv_dead)
			fire(f, t);
		f->recv_dead = true;
		*ret_moved = 0;
		*ret_end = t->kind == TESTING_FIN;
		return t->kind != TESTING_RST || broken(err);
	}
	if (!f->inner->ops->recv_some(f->inner, buffer, n < piece ? n : piece, ret_moved, ret_end, err))
		return false;
	flip(f, t, buffer, *ret_moved);
	count_control(f);
	return true;
}

static void faulty_shutdown(struct channel *c)
{
	struct faulty *f = (struct faulty *)c;

	event_raise(&f->shut);
	f->inner->ops->shutdown(f->inner);
}

/* poll(2) skips a negative descriptor: a stalled connection is never ready. */
static int faulty_fd(const struct channel *c)
{
	const struct faulty *f = (const struct faulty *)c;

	return f->recv_dead ? -1 : f->inner->ops->fd(f->inner);
}

static void faulty_free(struct channel *c)
{
	struct faulty *f = (struct faulty *)c;

	f->inner->ops->free(f->inner);
	event_destroy(&f->shut);
	free(f);
}

static const struct channel_ops faulty_ops = {
	.kind = "faulty",
	.send = faulty_send,
	.recv = faulty_recv,
	.send_some = faulty_send_some,
	.recv_some = faulty_recv_some,
	.shutdown = faulty_shutdown,
	.fd = faulty_fd,
	.free = faulty_free,
};

struct channel *testing_wrap(void *faults, uint32_t id, struct channel *inner)
{
	struct faulty *f = calloc(1, sizeof(*f));
	struct mfd_error err;

	if (!f || !event_init(&f->shut, &err))
		abort();
	f->channel.ops = &faulty_ops;
	f->inner = inner;
	f->faults = faults;
	f->id = id;
	if (f->faults->look)
		f->faults->look(f->faults->look_opaque, id, inner->ops->fd(inner));
	return &f->channel;
}

/* ---- Both ends in one process. ---- */

static void *watch(void *watchdog)
{
	struct testing_watchdog *w = watchdog;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += w->seconds * (TESTING_SANITIZED ? 3 : 1);
	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		if (pthread_cond_timedwait(&w->changed, &w->lock, &until) == ETIMEDOUT && !w->stop) {
			fprintf(stderr, "%s hangs: no end after %u s\n", w->name, w->seconds);
			abort();
		}
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

void testing_watch(struct testing_watchdog *w, const char *name, unsigned seconds)
{
	pthread_condattr_t attr;

	*w = (struct testing_watchdog){ .name = name, .seconds = seconds };
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&w->thread, NULL, watch, w))
		abort();
}

void testing_unwatch(struct testing_watchdog *w)
{
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
}

void testing_pair_init(struct testing_pair *p, const char *name, struct source *source, struct sink *sink)
{
	memset(p, 0, sizeof(*p));
	p->name = name;
	p->watch_s = 60;
	p->source = source;
	p->sink = sink;
	p->channels = 4;
	p->packet_pages = 16;
	p->method = &method_zstd;
	p->level = MFD_LEVEL_DEFAULT;
	p->timeout_ms = p->connect_timeout_ms = p->accept_timeout_ms = 20000;
	p->max_channels = MFD_MAX_CHANNELS;
	p->max_size = UINT64_MAX;
}

static void on_notice(void *pair, const struct mfd_notice *notice)
{
	struct testing_pair *p = pair;

	if (notice->kind == MFD_NOTICE_DROPPED)
		atomic_fetch_add(&p->dropped, 1);
}

static void *recv_main(void *end)
{
	struct testing_end *e = end;

	e->ok = recv_session_run(e->recv, &e->error);
	e->ended_ns = clock_ns();
	return NULL;
}

static void *send_main(void *end)
{
	struct testing_end *e = end;

	e->ok = send_session_run(e->send, &e->error);
	e->ended_ns = clock_ns();
	return NULL;
}

static bool start_end(struct testing_pair *p, struct testing_end *e, void *(*run)(void *end))
{
	if (!p->sender.started && !p->receiver.started)
		testing_watch(&p->watchdog, p->name, p->watch_s);
	e->started = !pthread_create(&e->thread, NULL, run, e);
	if (!e->started)
		abort();
	return true;
}

bool testing_start_receiver(struct testing_pair *p)
{
	struct recv_params params = {
		.accept_timeout_ms = p->accept_timeout_ms,
		.timeout_ms = p->recv_timeout_ms ? p->recv_timeout_ms : p->timeout_ms,
		.max_channels = p->max_channels, .max_size = p->max_size,
		.notice = on_notice, .opaque = p,
		.wrap = testing_wrap, .wrap_opaque = &p->recv_faults,
	};
	const struct address any = { .host = "127.0.0.1", .port = p->port };
	struct testing_end *e = &p->receiver;

	if (!listen_open(&any, MFD_ANY_FAMILY, &params.listener, &e->error))
		return false;
	p->port = params.listener.port;
	return recv_session_new(&params, p->sink, &e->recv, &e->error) &&
		(!p->congestion ||
		 listener_congestion(&params.listener, p->congestion, &e->error)) &&
		start_end(p, e, recv_main);
}

bool testing_start_sender(struct testing_pair *p)
{
	const struct send_params params = {
		.address = p->address, .channels = p->channels, .packet_pages = p->packet_pages,
		.method = p->method, .level = p->level == MFD_LEVEL_DEFAULT ? p->method->level_default : p->level,
		.connect_timeout_ms = p->connect_timeout_ms, .timeout_ms = p->timeout_ms,
		.bytes_per_second = p->bytes_per_second, .congestion = p->congestion,
		.notice = on_notice, .opaque = p,
		.wrap = testing_wrap, .wrap_opaque = &p->send_faults,
	};
	struct testing_end *e = &p->sender;

	snprintf(p->address, sizeof(p->address), "127.0.0.1:%u", p->port);
	return send_session_new(&params, p->source, &e->send, &e->error) && start_end(p, e, send_main);
}

void testing_free(struct testing_pair *p)
{
	send_session_free(p->sender.send);
	recv_session_free(p->receiver.recv);
	p->sender.send = NULL;
	p->receiver.recv = NULL;
}

void testing_join(struct testing_pair *p)
{
	const bool watched = p->sender.started || p->receiver.started;

	if (p->sender.started) {
		pthread_join(p->sender.thread, NULL);
		send_session_stats(p->sender.send, &p->sender.stats);
	}
	if (p->receiver.started) {
		pthread_join(p->receiver.thread, NULL);
		recv_session_stats(p->receiver.recv, &p->receiver.stats);
	}
	p->sender.started = p->receiver.started = false;
	if (watched)
		testing_unwatch(&p->watchdog);
	testing_free(p);
}

bool testing_start(struct testing_pair *p)
{
	return testing_start_receiver(p) && testing_start_sender(p);
}

bool testing_run(struct testing_pair *p)
{
	bool ok = testing_start(p);

	testing_join(p);
	return ok;
}

bool testing_agreed(const struct testing_pair *p)
{
	return p->sender.ok && p->receiver.ok && p->sender.stats.committed && p->receiver.stats.committed &&
		p->sender.stats.hash == p->receiver.stats.hash && p->sender.stats.bytes_image == p->receiver.stats.bytes_image;
}

/* ---- One transfer with all that belongs to it. ---- */

void testing_scene_init(struct testing_scene *s, const char *name)
{
	s->image = (struct testing_image){ .seed = 77, .size = TESTING_SCENE_BYTES, .kind = TESTING_RANDOM, .rounds = 1 };
	testing_source_init(&s->source, &s->image, true);
	testing_sink_init(&s->sink, &s->image);
	testing_pair_init(&s->pair, name, &s->source.source, &s->sink.sink);
	s->pair.method = &method_none;
	s->pair.packet_pages = TESTING_SCENE_PAGES;
}

void testing_scene_destroy(struct testing_scene *s)
{
	testing_sink_destroy(&s->sink);
}

bool testing_scenes_run(struct testing_scene *s, unsigned count)
{
	bool ok = true;

	for (unsigned i = 0; i < count; i++)
		ok = testing_start(&s[i].pair) && ok;
	for (unsigned i = 0; i < count; i++)
		testing_join(&s[i].pair);
	return ok;
}

bool testing_patience(unsigned *waited, bool done)
{
	if (done)
		return false;
	if (++*waited > 20000) {
		fprintf(stderr, "what was waited for did not happen\n");
		abort();
	}
	pause_ms(1);
	return true;
}
