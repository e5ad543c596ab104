/* SPDX-License-Identifier: MIT */
/*
 * The freezer: the guardian's employer.  It finds the words for what goes wrong, keeps what the
 * guardian says about each thread, and adds what /proc knows while nothing moves.
 *
 * The guardian speaks unasked only to say that a freeze has ended (the bound, the target's death).
 * That message is left in the socket until the thaw: any thread can see it there without taking it.
 */
#include "process/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "process/commands.h"
#include "process/frozen.h"
#include "process/guardian.h"
#include "process/target.h"

/*
 * A guardian that has been told to end and does not (somebody has stopped it) is killed, which
 * releases the target as well.
 */
#define FREEZE_END_MS 1000

struct freezer {
	struct target target; /* not opened with commands */
	struct commands commands; /* zeroed without */
	const struct event *stop; /* while waiting for them; NULL: none */
	uint64_t max_freeze_ms;

	/* The guardian; -1: none now. */
	pid_t guardian;
	int socket;

	bool frozen; /* between freeze and thaw, whatever has become of it */
	enum guardian_problem
		ended; /* what ended the freeze before the thaw, if that message has been taken */
	struct frozen_list threads;
};

static bool freezer_has_commands(const struct freezer *f)
{
	return f->commands.environment != NULL;
}

/* ---- The guardian's beginning and end. ---- */

/* What the commands say is for the user. */
static bool freezer_fork(struct freezer *f, int socket, int self, struct mfd_error *err)
{
	const uint64_t bound_ns = f->max_freeze_ms * CLOCK_NS_PER_MS;
	int output;
	bool ok;

	if (!freezer_has_commands(f))
		return guardian_fork(
			(const int[]) { socket, self, f->target.pidfd, f->target.tasks }, NULL,
			bound_ns, &f->guardian, err);
	output = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (output < 0)
		output = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ok = guardian_fork((const int[]) { socket, self, output, output }, &f->commands, bound_ns,
			   &f->guardian, err);
	io_close(output);
	return ok;
}

static bool freezer_start(struct freezer *f, struct mfd_error *err)
{
	int pair[2], self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	bool ok;

	if (self < 0)
		return error_set_os(err, MFD_OS, errno, "pidfd_open");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		error_set_os(err, MFD_OS, errno, "socketpair");
		io_close(self);
		return false;
	}
	ok = freezer_fork(f, pair[1], self, err);
	io_close(self);
	io_close(pair[1]);
	if (ok)
		f->socket = pair[0];
	else
		io_close(pair[0]);
	return ok;
}

/*
 * The closed socket tells it to end; it lets go of the target first.  One that still waits for a
 * command is left to that.
 */
static void freezer_stop(struct freezer *f)
{
	struct pollfd ended = { .fd = -1, .events = POLLIN };
	bool over;

	if (f->socket < 0)
		return;
	io_close(f->socket);
	f->socket = -1;
	ended.fd = (int)syscall(SYS_pidfd_open, f->guardian, 0);
	over = ended.fd >= 0 && poll(&ended, 1, FREEZE_END_MS) != 0;
	io_close(ended.fd);
	if (!over && freezer_has_commands(f))
		return;
	if (!over)
		kill(f->guardian, SIGKILL);
	while (waitpid(f->guardian, NULL, 0) < 0 && errno == EINTR)
		;
}

bool freezer_new(pid_t pid, uint64_t max_freeze_ms, struct freezer **ret, struct mfd_error *err)
{
	struct freezer *f = calloc(1, sizeof(*f));

	if (!f)
		return error_set_os(err, MFD_OS, ENOMEM, "freezing process %d", (int)pid);
	f->max_freeze_ms = max_freeze_ms;
	f->socket = -1;
	if (!target_open(&f->target, pid, err) || !freezer_start(f, err)) {
		freezer_free(f);
		return false;
	}
	*ret = f;
	return true;
}

bool freezer_new_commands(const char *freeze, const char *thaw, const char *image,
			  uint64_t max_freeze_ms, struct freezer **ret, struct mfd_error *err)
{
	struct freezer *f = calloc(1, sizeof(*f));

	if (!f)
		return error_set_os(err, MFD_OS, ENOMEM, "freezing by a command");
	f->max_freeze_ms = max_freeze_ms;
	f->socket = f->target.pidfd = f->target.tasks = f->target.maps = -1;
	if (!commands_init(&f->commands, freeze, thaw, image, err) || !freezer_start(f, err)) {
		freezer_free(f);
		return false;
	}
	*ret = f;
	return true;
}

void freezer_heed(struct freezer *f, const struct event *stop)
{
	f->stop = freezer_has_commands(f) ? stop : NULL;
}

void freezer_free(struct freezer *f)
{
	if (!f)
		return;
	freezer_stop(f);
	target_close(&f->target);
	commands_destroy(&f->commands);
	frozen_list_free(&f->threads);
	free(f);
}

/* ---- Asking it. ---- */

/* Its end is the target's release, so nothing is lost but what it would have said. */
static bool freezer_lost(struct freezer *f, struct mfd_error *err)
{
	freezer_stop(f);
	if (f->stop && event_wait_fd(f->stop, -1, 0, 0) == EVENT_STOPPED)
		return error_set(err, MFD_TRY_AGAIN, "stopped");
	if (freezer_has_commands(f))
		return error_set(err, MFD_OS,
				 "the guardian that runs the thaw command has ended; the writer "
				 "may still be frozen");
	return target_same(&f->target, err) &&
	       error_set(err, MFD_OS, "the guardian of process %d has ended; the process runs on",
			 (int)f->target.pid);
}

static bool freezer_failed(const struct freezer *f, const struct guardian_reply *r,
			   struct mfd_error *err)
{
	const int pid = (int)f->target.pid, tid = (int)r->tid;

	if (freezer_has_commands(f))
		return commands_failed(r, f->max_freeze_ms, err);
	switch ((enum guardian_problem)r->problem) {
	case GUARDIAN_DENIED:
		return target_denied(pid, tid, r->os_errno, err);
	case GUARDIAN_STUCK:
		return error_set(err, MFD_TRY_AGAIN,
				 "thread %d of process %d did not stop in time (is it in "
				 "uninterruptible sleep?)",
				 tid, pid);
	case GUARDIAN_32BIT:
		return error_set(err, MFD_CONFIG, "thread %d of process %d runs 32-bit code", tid,
				 pid);
	case GUARDIAN_RESTLESS:
		return error_set(err, MFD_TRY_AGAIN,
				 "process %d starts threads faster than they can be stopped", pid);
	case GUARDIAN_EXPIRED:
	case GUARDIAN_ORPHANED:
		return error_set(err, MFD_TRY_AGAIN, "process %d is not frozen any more", pid);
	case GUARDIAN_CALL:
		return error_set_os(err, r->os_errno == EPERM ? MFD_NO_PERMISSION : MFD_OS,
				    r->os_errno, "userfaultfd in process %d", pid);
	case GUARDIAN_SYSTEM:
		return error_set_os(err, MFD_OS, r->os_errno, "guardian of process %d", pid);
	case GUARDIAN_COMMAND:
	case GUARDIAN_THAW_COMMAND:
	case GUARDIAN_DIED:
	case GUARDIAN_NO_PROBLEM:
		break;
	}
	return target_same(&f->target, err) &&
	       error_set(err, MFD_NO_INPUT, "process %d is exiting", pid);
}

/*
 * The guardian's next message, at most @size bytes; its size, or 0 when it is lost.  A descriptor
 * that comes along goes into *@ret_fd; if
 * @ret_fd is NULL none is expected.
 */
static size_t freezer_hear(const struct freezer *f, void *message, size_t size, int *ret_fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct iovec io = { .iov_base = message, .iov_len = size };
	struct msghdr header = { .msg_iov = &io,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	ssize_t got;

	if (f->stop && event_wait_fd(f->stop, f->socket, POLLIN, CLOCK_NEVER) == EVENT_STOPPED)
		return 0;
	do
		got = recvmsg(f->socket, &header, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	c = CMSG_FIRSTHDR(&header);
	if (got > 0 && ret_fd && c && c->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(c), sizeof(*ret_fd));
	return got > 0 ? (size_t)got : 0;
}

static bool freezer_ask(const struct freezer *f, const struct guardian_request *request)
{
	return f->socket >= 0 &&
	       send(f->socket, request, sizeof(*request), MSG_NOSIGNAL) == sizeof(*request);
}

/* An answer other than THREAD: what is said there of the guardian itself. */
static void freezer_note(struct freezer *f, const struct guardian_reply *reply)
{
	if (reply->kind == GUARDIAN_ENDED)
		f->ended = (enum guardian_problem)reply->problem;
	if (reply->ending)
		freezer_stop(f);
}

/* Ask, and hear DONE or FAILED. */
static bool freezer_do(struct freezer *f, const struct guardian_request *request,
		       struct guardian_reply *ret, int *ret_fd, struct mfd_error *err)
{
	if (!freezer_ask(f, request))
		return freezer_lost(f, err);
	do {
		if (!freezer_hear(f, ret, sizeof(*ret), ret_fd))
			return freezer_lost(f, err);
		freezer_note(f, ret);
	} while (ret->kind == GUARDIAN_ENDED);
	return true;
}

/* ---- Freeze. ---- */

/* A THREAD for each thread, then DONE or FAILED. */
static bool freezer_hear_threads(struct freezer *f, struct mfd_error *err)
{
	union {
		struct guardian_thread thread;
		struct guardian_reply reply;
	} *message = malloc(sizeof(*message));
	bool ok = true, more = true;
	size_t size;

	if (!message)
		return error_set_os(err, MFD_OS, ENOMEM, "the threads of process %d",
				    (int)f->target.pid);
	while (more) {
		size = freezer_hear(f, message, sizeof(*message), NULL);
		more = size && message->reply.kind == GUARDIAN_THREAD;
		/*
		 * After a failure of ours the rest is heard all the same, so that the next answer
		 * is the next question's.
		 */
		if (more)
			ok = ok &&
			     frozen_list_add(&f->threads, &f->target, &message->thread, size, err);
		else if (ok && !size)
			ok = freezer_lost(f, err);
		else if (size)
			freezer_note(f, &message->reply);
	}
	if (ok && message->reply.kind != GUARDIAN_DONE)
		ok = freezer_failed(f, &message->reply, err);
	free(message);
	return ok;
}

bool freezer_freeze(struct freezer *f, struct mfd_error *err)
{
	const struct guardian_request request = { .ask = GUARDIAN_FREEZE };
	struct mfd_error ignored;

	frozen_list_clear(&f->threads);
	f->ended = GUARDIAN_NO_PROBLEM;
	if (!freezer_same(f, err))
		return false;
	/* With another guardian, if the last one has ended or was killed. */
	if (!freezer_ask(f, &request)) {
		freezer_stop(f);
		if (!freezer_start(f, err))
			return false;
		if (!freezer_ask(f, &request))
			return freezer_lost(f, err);
	}
	f->frozen = true;
	if (freezer_hear_threads(f, err) && freezer_same(f, err))
		return true;
	/* What went wrong is known already. */
	if (!freezer_thaw(f, NULL, &ignored))
		freezer_stop(f);
	return false;
}

const struct frozen_thread *freezer_threads(const struct freezer *f, size_t *ret_count)
{
	*ret_count = f->threads.count;
	return f->threads.thread;
}

/* ---- Thaw, and what has become of the freeze. ---- */

bool freezer_thaw(struct freezer *f, uint64_t *ret_frozen_ns, struct mfd_error *err)
{
	const struct guardian_request request = { .ask = GUARDIAN_THAW };
	struct guardian_reply reply;

	f->frozen = false;
	if (!freezer_do(f, &request, &reply, NULL, err))
		return false;
	if (ret_frozen_ns)
		*ret_frozen_ns = reply.frozen_ns;
	if (reply.kind != GUARDIAN_DONE)
		return freezer_failed(f, &reply, err);
	return f->ended != GUARDIAN_DIED ||
	       error_set(err, MFD_NO_INPUT, "process %d was killed while it was frozen",
			 (int)f->target.pid);
}

/* Has the freeze ended, and how?  A guardian that is gone says nothing more. */
static bool freezer_peek(const struct freezer *f, enum guardian_problem *ret)
{
	struct guardian_reply reply;
	ssize_t got;

	*ret = f->ended;
	if (f->ended || f->socket < 0)
		return true;
	got = recv(f->socket, &reply, sizeof(reply), MSG_PEEK | MSG_DONTWAIT);
	if (got > 0)
		*ret = (enum guardian_problem)reply.problem;
	return got >= 0;
}

bool freezer_holds(const struct freezer *f)
{
	enum guardian_problem ended;

	return f->frozen && !freezer_peek(f, &ended);
}

bool freezer_expired(const struct freezer *f)
{
	enum guardian_problem ended = f->ended;

	return (!f->frozen || freezer_peek(f, &ended)) && ended == GUARDIAN_EXPIRED;
}

bool freezer_check_bound(const struct freezer *f, struct mfd_error *err)
{
	char who[32];

	if (!freezer_expired(f))
		return true;
	if (freezer_has_commands(f))
		snprintf(who, sizeof(who), "the writer");
	else
		snprintf(who, sizeof(who), "process %d", (int)f->target.pid);
	return error_set(err, MFD_TRY_AGAIN,
			 "%s was frozen for %" PRIu64
			 " ms, all that --max-freeze allows: "
			 "it goes on, and the copy would be a mixture",
			 who, f->max_freeze_ms);
}

/* ---- In the target's name. ---- */

bool freezer_userfaultfd(struct freezer *f, int flags, int *ret_fd, struct mfd_error *err)
{
	struct guardian_request request = { .ask = GUARDIAN_USERFAULTFD,
					    .flags = flags | O_CLOEXEC };
	struct guardian_reply reply;
	int fd = -1;

	if (!frozen_list_plan(&f->threads, &f->target, &request, err))
		return false;
	if (!freezer_do(f, &request, &reply, &fd, err))
		return false;
	if (reply.kind != GUARDIAN_DONE)
		return freezer_failed(f, &reply, err);
	*ret_fd = fd;
	return true;
}

bool freezer_same(const struct freezer *f, struct mfd_error *err)
{
	return freezer_has_commands(f) || target_same(&f->target, err);
}
