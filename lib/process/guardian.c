/* SPDX-License-Identifier: MIT */
/*
 * The guardian: a process of one thread that holds the target on the freezer's behalf, or has it
 * held by a command.
 *
 * Its life: forked by freezer_new(), it drops what it inherited, then waits for requests, its
 * parent's end, and, while it holds threads, for their deaths and for the bound.  It ends when the
 * socket is closed or the parent is gone, and releases what it holds first; if it is killed, the
 * kernel does, but for what commands hold.
 *
 * It is forked from a process that may have many threads, so it does system calls on memory of its
 * own and nothing else: no malloc(), no stdio, no locks.
 */
#include "process/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/kernel.h"
#include "process/commands.h"
#include "process/inject.h"
#include "process/tracees.h"

/*
 * A thread that has not stopped by then sleeps uninterruptibly; the others should not wait for it.
 */
#define GUARDIAN_STOP_NS (2 * CLOCK_NS_PER_S)

/* Three looks do for most; a program whose threads start threads is caught within a few more. */
#define GUARDIAN_LOOKS 10000

/* How long nothing may happen before a look at whether those that still run are dead. */
#define GUARDIAN_DOUBT_NS (20 * CLOCK_NS_PER_MS)

struct guardian {
	uint64_t max_freeze_ns;
	int signals; /* signalfd: SIGCHLD */
	const struct commands *commands; /* NULL: it traces */
	int thaw_status; /* the last thaw command's, of waitpid(2) */
	struct tracees tracees; /* none with commands */

	/* Of the freeze that is, or was last. */
	bool frozen;
	bool ending; /* and the freezer has been told */
	uint64_t began_ns, ended_ns, deadline_ns;
};

/* ---- Waiting and telling. ---- */

enum guardian_event { GUARDIAN_ASKED = 1, GUARDIAN_CHILD = 2, GUARDIAN_ALONE = 4 };

/* What happens first: enum guardian_event or-ed; 0 when it is @deadline_ns. */
static unsigned guardian_wait(struct guardian *g, uint64_t deadline_ns)
{
	struct pollfd at[] = {
		{ .fd = GUARDIAN_SOCKET, .events = POLLIN },
		{ .fd = g->signals, .events = POLLIN },
		{ .fd = GUARDIAN_PARENT, .events = POLLIN },
	};
	struct signalfd_siginfo ignored;
	unsigned events = 0;

	poll(at, 3, clock_poll_ms(deadline_ns));
	/* Taken before anybody looks for the deaths and stops that it stands for. */
	while (at[1].revents && read(g->signals, &ignored, sizeof(ignored)) > 0)
		events |= GUARDIAN_CHILD;
	if (at[0].revents & POLLIN)
		events |= GUARDIAN_ASKED;
	if (at[2].revents || (at[0].revents & (POLLHUP | POLLERR)))
		events |= GUARDIAN_ALONE;
	return events;
}

/*
 * Send @size bytes, and @fd unless it is -1.  A parent that does not read holds nobody up for
 * longer than the bound.
 */
static bool guardian_send(const struct guardian *g, const void *message, size_t size, int fd)
{
	struct pollfd at[] = { { .fd = GUARDIAN_SOCKET, .events = POLLOUT },
			       { .fd = GUARDIAN_PARENT, .events = POLLIN } };
	struct iovec io = { .iov_base = (void *)(uintptr_t)message, .iov_len = size };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct msghdr header = { .msg_iov = &io, .msg_iovlen = 1 };
	struct cmsghdr *c = (struct cmsghdr *)(void *)control;

	if (fd >= 0) {
		header.msg_control = control;
		header.msg_controllen = sizeof(control);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	while (sendmsg(GUARDIAN_SOCKET, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		if (errno != EAGAIN ||
		    poll(at, 2, clock_poll_ms(g->frozen ? g->deadline_ns : CLOCK_NEVER)) <= 0 ||
		    at[1].revents)
			return false;
	}
	return true;
}

static bool guardian_reply(struct guardian *g, enum guardian_kind kind,
			   enum guardian_problem problem)
{
	struct guardian_reply reply = {
		.kind = kind,
		.problem = problem,
		.tid = g->tracees.tid,
		.os_errno = g->tracees.os_errno,
		.frozen_ns = g->ended_ns - g->began_ns,
	};

	/*
	 * Somebody is released by our end only.  The freezer forks another guardian when it needs
	 * one.
	 */
	g->ending = kind != GUARDIAN_ENDED && !g->frozen && g->tracees.untidy;
	reply.ending = g->ending;
	return guardian_send(g, &reply, sizeof(reply), -1);
}

/* ---- Commands. ---- */

static enum guardian_problem guardian_freeze_command(struct guardian *g)
{
	const struct commands_run run = { g->commands->freeze, g->deadline_ns, true };
	const int status = commands_run(g->commands, &run, g->signals, GUARDIAN_TARGET);

	g->tracees.os_errno = status;
	if (status == COMMANDS_STILL_RUNS)
		return GUARDIAN_EXPIRED;
	return status == 0 ? GUARDIAN_NO_PROBLEM : GUARDIAN_COMMAND;
}

static void guardian_thaw_command(struct guardian *g)
{
	const struct commands_run run = {
		g->commands->thaw, clock_ns() + COMMANDS_THAW_MS * CLOCK_NS_PER_MS, false,
	};

	g->thaw_status = commands_run(g->commands, &run, g->signals, GUARDIAN_TARGET);
}

/* ---- Freeze and thaw. ---- */

static void guardian_release(struct guardian *g)
{
	if (g->commands == NULL)
		tracees_release(&g->tracees);
	else if (g->frozen)
		guardian_thaw_command(g);
	g->frozen = false;
	g->ended_ns = clock_ns();
}

static void guardian_thaw(struct guardian *g)
{
	if (g->frozen)
		guardian_release(g);
	g->tracees.os_errno = g->thaw_status;
	if (g->thaw_status != 0)
		guardian_reply(g, GUARDIAN_FAILED, GUARDIAN_THAW_COMMAND);
	else
		guardian_reply(g, GUARDIAN_DONE, GUARDIAN_NO_PROBLEM);
}

/* The first thread that has not stopped. */
static enum guardian_problem guardian_stuck(struct guardian *g)
{
	size_t i = 0;

	while (i < g->tracees.count && g->tracees.tracee[i].stopped)
		i++;
	g->tracees.tid = i < g->tracees.count ? g->tracees.tracee[i].tid : 0;
	return GUARDIAN_STUCK;
}

/* Until all that are seized have stopped or died. */
static enum guardian_problem guardian_settle(struct guardian *g, uint64_t deadline_ns)
{
	uint64_t now_ns, doubt_ns;
	unsigned events;

	while (tracees_settle(&g->tracees)) {
		now_ns = clock_ns();
		if (now_ns >= deadline_ns)
			return guardian_stuck(g);
		doubt_ns = now_ns + GUARDIAN_DOUBT_NS;
		events = guardian_wait(g, doubt_ns < deadline_ns ? doubt_ns : deadline_ns);
		if (events & GUARDIAN_ALONE)
			return GUARDIAN_ORPHANED;
		if (!events)
			tracees_forget_zombies(&g->tracees, GUARDIAN_TASKS);
	}
	return GUARDIAN_NO_PROBLEM;
}

/* Stop all there are, and look again until nobody is left: those who are stopped start no more. */
static enum guardian_problem guardian_stop(struct guardian *g)
{
	enum guardian_problem problem = GUARDIAN_NO_PROBLEM;
	size_t changes, zombies = 0;
	uint64_t give_up_ns;
	bool complete = false;
	unsigned looks;

	for (looks = 0; !problem && !complete; looks++) {
		if (looks == GUARDIAN_LOOKS)
			return GUARDIAN_RESTLESS;
		problem = tracees_seize(&g->tracees, GUARDIAN_TASKS, &changes);
		give_up_ns = clock_ns() + GUARDIAN_STOP_NS;
		if (give_up_ns > g->deadline_ns)
			give_up_ns = g->deadline_ns;
		if (!problem)
			problem = guardian_settle(g, give_up_ns);
		/* Zombies on their way out blur the count until there are none, or only lasting
		 * ones. */
		complete = changes == 0 && g->tracees.zombies == zombies &&
			   tracees_are_all(&g->tracees, GUARDIAN_TASKS);
		zombies = g->tracees.zombies;
	}
	return problem || g->tracees.count ? problem : GUARDIAN_DIED;
}

/* What stands in the way of calls made in the thread's name, beside what /proc says. */
static void guardian_describe(const struct tracee *one, struct guardian_thread *message)
{
	struct kernel_rseq_config rseq = { 0 };
	struct kernel_sud_config sud = { 0 };

	if (ptrace(KERNEL_PTRACE_GET_RSEQ_CONFIGURATION, one->tid, sizeof(rseq), &rseq) ==
	    sizeof(rseq))
		message->rseq = rseq.pointer;
	if (ptrace(KERNEL_PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, one->tid, sizeof(sud), &sud) ==
	    0)
		message->dispatch = sud.mode ? GUARDIAN_DISPATCH_ON : GUARDIAN_DISPATCH_OFF;
	else /* EINVAL: the machine has no such thing; EIO: the kernel has no such question */
		message->dispatch = errno == EINVAL ? GUARDIAN_DISPATCH_OFF
						    : GUARDIAN_DISPATCH_UNKNOWN;
}

/* One thread's message, to the freezer. */
static enum guardian_problem guardian_tell(struct guardian *g, const struct tracee *one)
{
	struct guardian_thread message = { .kind = GUARDIAN_THREAD,
					   .tid = one->tid,
					   .stop_signal = one->stop_signal };
	size_t size = offsetof(struct guardian_thread, data);
	struct user_regs_struct regs;
	unsigned i;

	g->tracees.tid = one->tid;
	if (!registers_get(one->tid, &regs))
		return errno == EINVAL ? GUARDIAN_32BIT : GUARDIAN_DIED;
	message.sets = registers_read(one->tid, message.set, message.data);
	for (i = 0; i < message.sets; i++)
		size += message.set[i].bytes;
	ptrace(PTRACE_GETSIGMASK, one->tid, (void *)sizeof(message.blocked), &message.blocked);
	guardian_describe(one, &message);
	return guardian_send(g, &message, size, -1) ? GUARDIAN_NO_PROBLEM : GUARDIAN_ORPHANED;
}

static void guardian_freeze(struct guardian *g)
{
	enum guardian_problem problem;
	size_t i;

	g->frozen = true;
	g->began_ns = clock_ns();
	g->ended_ns = g->began_ns;
	g->deadline_ns = g->max_freeze_ns ? g->began_ns + g->max_freeze_ns : CLOCK_NEVER;
	g->thaw_status = 0;
	problem = g->commands != NULL ? guardian_freeze_command(g) : guardian_stop(g);
	for (i = 0; !problem && i < g->tracees.count; i++)
		problem = guardian_tell(g, &g->tracees.tracee[i]);
	if (problem)
		guardian_release(g);
	guardian_reply(g, problem ? GUARDIAN_FAILED : GUARDIAN_DONE, problem);
}

/* ---- A userfaultfd of the target's. ---- */

/*
 * Made, fetched, closed there: in one stop of all threads, so that nobody there sees it or inherits
 * it.
 */
static enum guardian_problem guardian_fetch(struct guardian *g, const struct guardian_request *r,
					    int *ret_fd)
{
	enum guardian_problem problem, closing;
	long theirs, ignored;

	*ret_fd = -1;
	problem = inject_call(r->tid, r->instruction, SYS_userfaultfd, r->flags, &theirs);
	if (problem)
		return problem;
	if (theirs < 0) {
		g->tracees.os_errno = (int)-theirs;
		return GUARDIAN_CALL;
	}
	*ret_fd = (int)syscall(SYS_pidfd_getfd, GUARDIAN_TARGET, (int)theirs, 0);
	g->tracees.os_errno = errno;
	closing = inject_call(r->tid, r->instruction, SYS_close, theirs, &ignored);
	return closing ? closing : *ret_fd < 0 ? GUARDIAN_SYSTEM : GUARDIAN_NO_PROBLEM;
}

static void guardian_userfaultfd(struct guardian *g, const struct guardian_request *r)
{
	const struct guardian_reply done = { .kind = GUARDIAN_DONE };
	enum guardian_problem problem = GUARDIAN_EXPIRED;
	int fd = -1;

	g->tracees.tid = r->tid;
	if (g->frozen)
		problem = guardian_fetch(g, r, &fd);
	if (problem)
		guardian_reply(g, GUARDIAN_FAILED, problem);
	else
		guardian_send(g, &done, sizeof(done), fd);
	io_close(fd);
}

/* ---- Life. ---- */

/* False: the freezer has closed its end. */
static bool guardian_answer(struct guardian *g)
{
	struct guardian_request request;

	if (recv(GUARDIAN_SOCKET, &request, sizeof(request), MSG_DONTWAIT) != sizeof(request))
		return errno == EAGAIN;
	switch (request.ask) {
	case GUARDIAN_FREEZE:
		guardian_freeze(g);
		break;
	case GUARDIAN_THAW:
		guardian_thaw(g);
		break;
	case GUARDIAN_USERFAULTFD:
		guardian_userfaultfd(g, &request);
		break;
	}
	return true;
}

static void guardian_live(struct guardian *g)
{
	unsigned events;
	bool alive = true;

	while (alive && !g->ending) {
		events = guardian_wait(g, g->frozen ? g->deadline_ns : CLOCK_NEVER);
		if (events & GUARDIAN_CHILD && g->commands == NULL && tracees_reap(&g->tracees) &&
		    g->frozen) {
			/* A thread that is held dies only with its process. */
			g->frozen = false;
			g->ended_ns = clock_ns();
			guardian_reply(g, GUARDIAN_ENDED, GUARDIAN_DIED);
		}
		if (g->frozen && clock_ns() >= g->deadline_ns) {
			guardian_release(g);
			guardian_reply(g, GUARDIAN_ENDED, GUARDIAN_EXPIRED);
		}
		alive = !(events & GUARDIAN_ALONE) &&
			(!(events & GUARDIAN_ASKED) || guardian_answer(g));
	}
	guardian_release(g);
}

/*
 * Only what guardian.h names stays open; 0, 1 and 2 are /dev/null, so that nobody waits for our end
 * of a pipe.
 */
static bool guardian_take_fds(const int fds[static GUARDIAN_FDS - GUARDIAN_SOCKET])
{
	int high[GUARDIAN_FDS], i;

	high[0] = high[1] = high[2] = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* Out of the way first: they may have each other's numbers. */
	for (i = 0; i < GUARDIAN_FDS; i++) {
		high[i] = fcntl(i < GUARDIAN_SOCKET ? high[i] : fds[i - GUARDIAN_SOCKET],
				F_DUPFD_CLOEXEC, GUARDIAN_FDS);
		if (high[i] < 0)
			return false;
	}
	for (i = 0; i < GUARDIAN_FDS; i++)
		if (dup2(high[i], i) != i)
			return false;
	return syscall(SYS_close_range, GUARDIAN_FDS, ~0U, 0) == 0;
}

static _Noreturn void guardian_main(const int fds[static GUARDIAN_FDS - GUARDIAN_SOCKET],
				    const struct commands *commands, uint64_t max_freeze_ns)
{
	struct guardian g = { .max_freeze_ns = max_freeze_ns, .commands = commands };
	const struct sigaction as_usual = { .sa_handler = SIG_DFL };
	sigset_t child;

	prctl(PR_SET_NAME, "mfd-guardian");
	/* Nobody of the same user traces it or has it dump its copy of our memory. */
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_TIMERSLACK, 1);
	/* Not in our terminal's reach, nor in that of a signal to our process group. */
	setsid();
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (sigaction(SIGCHLD, &as_usual, NULL) != 0 || !guardian_take_fds(fds) ||
	    (commands == NULL && chdir("/") != 0))
		_exit(1);
	g.signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (g.signals >= 0)
		guardian_live(&g);
	_exit(g.signals < 0);
}

bool guardian_fork(const int fds[static GUARDIAN_FDS - GUARDIAN_SOCKET],
		   const struct commands *commands, uint64_t max_freeze_ns, pid_t *ret_pid,
		   struct mfd_error *err)
{
	sigset_t all, before;
	int os_errno;

	sigfillset(&all);
	/* Before the fork, so that no handler of the program's ever runs in the guardian. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	*ret_pid = fork();
	os_errno = errno;
	if (*ret_pid == 0)
		guardian_main(fds, commands, max_freeze_ns);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return *ret_pid > 0 || error_set_os(err, MFD_OS, os_errno, "starting a guardian process");
}
