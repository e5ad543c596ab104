/* SPDX-License-Identifier: MIT */
/*
 * A case from its plan to its result: both ends in this process over loopback, an output in memory
 * or in a file, and a look at what is there afterwards.  See hostile.h.
 */
#include "hostile/hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/address.h"

/* A sink between the session and a real one, that can fail. */
struct guard {
	struct sink sink;
	struct sink *inner;
	struct hostile_plan *plan;
	_Atomic uint64_t written;
	_Atomic bool committed;
	_Atomic unsigned late;       /* writes after that */
};

struct scene {
	struct hostile_plan plan;
	char out[512], old[512];
	bool verbose;

	/* Of one session. */
	struct testing_source source;
	struct testing_sink memory;
	struct guard guard;
	struct hostile_wires send_wires, recv_wires;
	struct send_session *send;
	struct recv_session *recv;
	struct hostile_result result;
	char address[32];

	/* From one session to the next. */
	bool ended;
	uint64_t ended_size, ended_hash;
};

/* ---- The sink. ---- */

static struct hostile_fault *find(struct hostile_plan *p, enum hostile_kind kind)
{
	for (unsigned i = 0; i < p->faults; i++) {
		if (p->fault[i].kind == kind)
			return &p->fault[i];
	}
	return NULL;
}

static bool guard_begin(struct sink *sink, uint64_t size, uint64_t allocated, struct mfd_error *err)
{
	struct guard *g = (struct guard *)sink;
	struct hostile_fault *f = find(g->plan, HOSTILE_SINK_BEGIN);

	if (!f)
		return g->inner->ops->begin(g->inner, size, allocated, err);
	f->fired++;
	return error_set(err, MFD_CANT_CREATE, "hostile sink: too small");
}

static bool guard_write(struct sink *sink, uint64_t offset, const void *bytes, size_t size,
			struct mfd_error *err)
{
	struct guard *g = (struct guard *)sink;
	struct hostile_fault *full = find(g->plan, HOSTILE_SINK_FULL),
			     *eio = find(g->plan, HOSTILE_SINK_EIO);
	const uint64_t to = g->written += size;

	g->late += g->committed;
	if (full && to > full->at) {
		full->fired = 1;
		return error_set_os(err, MFD_IO, ENOSPC, "hostile sink");
	}
	if (eio && to > eio->at) {
		eio->fired = 1;
		return error_set_os(err, MFD_IO, EIO, "hostile sink");
	}
	return g->inner->ops->write(g->inner, offset, bytes, size, err);
}

static bool guard_zero(struct sink *sink, uint64_t offset, uint64_t size, bool fresh,
		       const struct event *stop, struct mfd_error *err)
{
	struct guard *g = (struct guard *)sink;

	g->late += g->committed;
	return g->inner->ops->zero(g->inner, offset, size, fresh, stop, err);
}

static bool guard_commit(struct sink *sink, uint64_t size, const struct event *stop,
			 struct mfd_error *err)
{
	struct guard *g = (struct guard *)sink;
	struct hostile_fault *f = find(g->plan, HOSTILE_SINK_COMMIT);

	if (f) {
		f->fired++;
		return error_set_os(err, MFD_IO, EIO, "hostile sink: fsync");
	}
	if (!g->inner->ops->commit(g->inner, size, stop, err))
		return false;
	g->committed = true;
	return true;
}

static bool guard_settle(struct sink *sink, uint64_t size, int *ret_fd, struct mfd_error *err)
{
	struct guard *g = (struct guard *)sink;

	return g->inner->ops->settle(g->inner, size, ret_fd, err);
}

static void guard_free(struct sink *sink)
{
	struct guard *g = (struct guard *)sink;

	g->inner->ops->free(g->inner);
}

static const struct sink_ops guard_ops = {
	.kind = "hostile",
	.begin = guard_begin,
	.write = guard_write,
	.zero = guard_zero,
	.commit = guard_commit,
	.settle = guard_settle,
	.free = guard_free,
};

/* ---- The ends. ---- */

static void on_notice(void *opaque, const struct mfd_notice *notice)
{
	const struct scene *s = opaque;

	if (s->verbose && notice->text[0])
		fprintf(stderr, "  notice: %s\n", notice->text);
}

static void cancel(void *scene, bool receiver)
{
	struct scene *s = scene;

	if (receiver)
		recv_session_cancel(s->recv);
	else
		send_session_cancel(s->send);
}

static void *recv_main(void *scene)
{
	struct scene *s = scene;

	s->result.receiver.ok = recv_session_run(s->recv, &s->result.receiver.error);
	return NULL;
}

static void *send_main(void *scene)
{
	struct scene *s = scene;

	s->result.sender.ok = send_session_run(s->send, &s->result.sender.error);
	return NULL;
}

/* Nothing of this fails unless the machine does. */
static void need(bool ok, const struct mfd_error *err)
{
	if (ok)
		return;
	fprintf(stderr, "hostile: %s\n", err->text);
	abort();
}

static void make_receiver(struct scene *s, uint16_t *ret_port)
{
	struct recv_params params = {
		.accept_timeout_ms = s->plan.timeout_ms, .timeout_ms = s->plan.timeout_ms,
		.max_channels = MFD_MAX_CHANNELS, .max_size = UINT64_MAX, .workers = 2,
		.resume = s->plan.output == HOSTILE_RESUME,
		.notice = on_notice, .opaque = s,
		.wrap = hostile_wrap, .wrap_opaque = &s->recv_wires,
	};
	const struct address any = { .host = "127.0.0.1" };
	struct mfd_error err;

	need(listen_open(&any, MFD_ANY_FAMILY, &params.listener, &err), &err);
	*ret_port = params.listener.port;
	need(recv_session_new(&params, &s->guard.sink, &s->recv, &err), &err);
}

static void make_sender(struct scene *s, uint16_t port)
{
	const struct send_params params = {
		.address = s->address, .channels = s->plan.channels,
		.packet_pages = s->plan.packet_pages,
		.method = s->plan.method, .level = s->plan.method->level_default,
		.connect_timeout_ms = s->plan.timeout_ms, .timeout_ms = s->plan.timeout_ms,
		.notice = on_notice, .opaque = s,
		.wrap = hostile_wrap, .wrap_opaque = &s->send_wires,
		.ended = s->ended, .ended_size = s->ended_size, .ended_hash = s->ended_hash,
	};
	struct mfd_error err;

	snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", port);
	need(send_session_new(&params, &s->source.source, &s->send, &err), &err);
}

static void make_source(struct scene *s)
{
	struct hostile_fault *eio = find(&s->plan, HOSTILE_SOURCE_EIO),
			     *gone = find(&s->plan, HOSTILE_SOURCE_SHORT);

	testing_source_init(&s->source, &s->plan.image, !s->plan.stream);
	s->source.knows_zeros = s->plan.knows_zeros && !s->plan.stream;
	if (eio || gone) {
		s->source.fail_page = gone ? gone->at : eio->at;
		s->source.fail_status = gone ? MFD_NO_INPUT : MFD_IO;
	}
}

static void make_sink(struct scene *s)
{
	const enum hostile_output output = s->plan.output;
	const struct sink_file_options options = {
		.no_fsync = true, .force = output == HOSTILE_INPLACE,
		.inplace = output == HOSTILE_INPLACE,
		.delta = output == HOSTILE_INPLACE, .resume = output == HOSTILE_RESUME,
		.basis = output == HOSTILE_BASIS ? s->old : NULL,
	};
	struct mfd_error err;

	s->guard = (struct guard){ .sink = { .ops = &guard_ops, .directory = -1, .file = -1 },
				   .plan = &s->plan };
	if (output == HOSTILE_MEMORY) {
		testing_sink_init(&s->memory, &s->plan.image);
		s->guard.inner = &s->memory.sink;
	} else {
		need(sink_file_new(s->out, &options, &s->guard.inner, &err), &err);
	}
	s->guard.sink.basis = s->guard.inner->basis;
}

/* ---- What is there. ---- */

/* The image as it was when it was smaller or larger, and some of its pages others. */
static void make_old(const struct hostile_plan *p, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint8_t page[PAGE_BYTES];

	for (uint64_t i = 0; fd >= 0 && i < batch_pages_of(p->basis_bytes); i++) {
		testing_page(p->image.seed, i, 0, p->image.kind, page);
		if (p->basis_differs && i % p->basis_differs == 0)
			memset(page, 0x77, 64);
		if (pwrite(fd, page, PAGE_BYTES, (off_t)(i * PAGE_BYTES)) != PAGE_BYTES)
			abort();
	}
	if (fd < 0 || ftruncate(fd, (off_t)p->basis_bytes) != 0)
		abort();
	close(fd);
}

/* The file is the image after its last round. */
static bool file_is_sound(const struct hostile_plan *p, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t page[PAGE_BYTES], want[PAGE_BYTES];
	struct stat st;
	bool same = fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size == p->image.size;

	for (uint64_t i = 0; same && i < batch_pages_of(p->image.size); i++) {
		const uint64_t left = p->image.size - i * PAGE_BYTES;
		const size_t size = left < PAGE_BYTES ? (size_t)left : PAGE_BYTES;

		testing_content(&p->image, i, p->image.rounds - 1, want);
		same = pread(fd, page, size, (off_t)(i * PAGE_BYTES)) == (ssize_t)size &&
		       !memcmp(page, want, size);
	}
	if (fd >= 0)
		close(fd);
	return same;
}

static void look(struct scene *s)
{
	const bool memory = s->plan.output == HOSTILE_MEMORY;
	struct hostile_fault *source = find(&s->plan, HOSTILE_SOURCE_SHORT);

	s->result.committed = s->guard.committed;
	s->result.wrong = s->guard.late;
	if (memory)
		s->result.wrong += s->memory.wrong + s->memory.overtaken;
	s->result.sound = memory ? testing_sink_complete(&s->memory)
				 : file_is_sound(&s->plan, s->out);
	/* A new file has its name when, and only when, it is the image. */
	if (!memory && s->plan.output != HOSTILE_INPLACE && !s->result.committed)
		s->result.wrong += !access(s->out, F_OK);
	/* The source does not count: its failure is what the sender says. */
	source = source ? source : find(&s->plan, HOSTILE_SOURCE_EIO);
	if (source && !s->result.sender.ok && !s->result.sender.error.remote &&
	    strstr(s->result.sender.error.text, "test image"))
		source->fired = 1;
}

/* ---- Sessions. ---- */

static void run_session(struct scene *s)
{
	pthread_t sender, receiver;
	uint16_t port;

	memset(&s->result, 0, sizeof(s->result));
	s->send_wires = (struct hostile_wires){ .plan = &s->plan, .cancel = cancel, .opaque = s };
	s->recv_wires = s->send_wires;
	s->recv_wires.receiver = true;
	make_source(s);
	make_sink(s);
	make_receiver(s, &port);
	make_sender(s, port);
	if (pthread_create(&receiver, NULL, recv_main, s) ||
	    pthread_create(&sender, NULL, send_main, s))
		abort();
	pthread_join(sender, NULL);
	pthread_join(receiver, NULL);
	if (send_session_ended(s->send, &s->ended_size, &s->ended_hash))
		s->ended = true;
	send_session_free(s->send);
	recv_session_free(s->recv);
	s->guard.sink.ops->free(&s->guard.sink);
	look(s);
	if (s->plan.output == HOSTILE_MEMORY)
		testing_sink_destroy(&s->memory);
	hostile_wires_destroy(&s->send_wires);
	hostile_wires_destroy(&s->recv_wires);
}

static void print_result(const struct scene *s)
{
	const struct hostile_end *a = &s->result.sender, *b = &s->result.receiver;

	hostile_plan_print(&s->plan);
	fprintf(stderr, "  sender %d: %s\n  receiver %d: %s\n", a->ok ? 0 : a->error.status,
		a->ok ? "done" : a->error.text, b->ok ? 0 : b->error.status,
		b->ok ? "done" : b->error.text);
}

const char *hostile_scene_run(uint64_t seed, const char *dir, bool verbose,
			      void (*publish)(void *opaque, const struct hostile_plan *plan,
					      const struct hostile_result *result),
			      void *opaque)
{
	struct scene *s = calloc(1, sizeof(*s));
	const char *wrong = NULL;
	char partial[600];

	if (!s)
		abort();
	s->verbose = verbose;
	snprintf(s->out, sizeof(s->out), "%s/out", dir);
	snprintf(s->old, sizeof(s->old), "%s/old", dir);
	snprintf(partial, sizeof(partial), "%s.mfd-partial", s->out);
	hostile_plan_make(&s->plan, seed);
	if (s->plan.output == HOSTILE_BASIS || s->plan.output == HOSTILE_INPLACE)
		make_old(&s->plan, s->plan.output == HOSTILE_BASIS ? s->old : s->out);
	for (unsigned i = 0; !wrong && i <= s->plan.sessions; i++) {
		/* What resumes gets there in the end. */
		if (i == s->plan.sessions && s->plan.output != HOSTILE_RESUME)
			break;
		hostile_plan_faults(&s->plan, i == s->plan.sessions);
		if (verbose)
			hostile_plan_print(&s->plan);
		run_session(s);
		wrong = hostile_judge(&s->plan, &s->result);
		publish(opaque, &s->plan, &s->result);
		if (verbose || wrong)
			print_result(s);
		if (s->result.committed)
			break;
	}
	unlink(s->out);
	unlink(s->old);
	unlink(partial);
	free(s);
	return wrong;
}
