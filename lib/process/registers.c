/* SPDX-License-Identifier: MIT */
/*
 * The registers of a traced, stopped thread.
 */
#include "process/registers.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#if defined(__x86_64__)
static const uint32_t registers_types[] = { NT_PRSTATUS, NT_FPREGSET, NT_X86_XSTATE };
#elif defined(__aarch64__)
#ifndef NT_ARM_TAGGED_ADDR_CTRL
#define NT_ARM_TAGGED_ADDR_CTRL 0x409
#endif
static const uint32_t registers_types[] = {
	NT_PRSTATUS, NT_FPREGSET, NT_ARM_TLS, NT_ARM_PAC_MASK, NT_ARM_SVE, NT_ARM_TAGGED_ADDR_CTRL,
};
#else
#error "the registers of this machine are not known here: x86-64 and aarch64 are"
#endif

_Static_assert(sizeof(registers_types) / sizeof(registers_types[0]) <= REGISTERS_SETS,
	       "a set has no room");

unsigned registers_read(pid_t tid, struct registers_set set[static REGISTERS_SETS],
			uint8_t buffer[static REGISTERS_BYTES])
{
	size_t used = 0;
	unsigned count = 0, i;
	struct iovec io;

	for (i = 0; i < sizeof(registers_types) / sizeof(registers_types[0]); i++) {
		io = (struct iovec) { .iov_base = buffer + used,
				      .iov_len = REGISTERS_BYTES - used };
		/*
		 * The kernel cuts a set that is too long, so one that fills all of the room may
		 * have been cut.
		 */
		if (ptrace(PTRACE_GETREGSET, tid, (void *)(uintptr_t)registers_types[i], &io) !=
			    0 ||
		    io.iov_len == 0 || io.iov_len == REGISTERS_BYTES - used)
			continue;
		set[count].type = registers_types[i];
		set[count].bytes = (uint32_t)io.iov_len;
		count++;
		used += io.iov_len;
	}
	return count;
}

bool registers_get(pid_t tid, struct user_regs_struct *ret)
{
	struct iovec io = { .iov_base = ret, .iov_len = sizeof(*ret) };

	if (ptrace(PTRACE_GETREGSET, tid, (void *)(uintptr_t)NT_PRSTATUS, &io) != 0)
		return false;
	if (io.iov_len == sizeof(*ret))
		return true;
	errno = EINVAL;
	return false;
}

bool registers_put(pid_t tid, const struct user_regs_struct *regs)
{
	struct user_regs_struct copy = *regs;
	struct iovec io = { .iov_base = &copy, .iov_len = sizeof(copy) };

	return ptrace(PTRACE_SETREGSET, tid, (void *)(uintptr_t)NT_PRSTATUS, &io) == 0;
}

#if defined(__x86_64__)

/* In the kernel since 2.6 and in gdb's hands as long, but in no header for programs. */
#define REGISTERS_RESTART_UNLESS_HANDLED (-514) /* ERESTARTNOHAND */

/*
 * Those that signal(7) names, the asynchronous I/O waits that do the same, and read and write,
 * which are receive and send on a socket with a timeout.  EINTR from any of them means that nothing
 * has been done.  Not close(2) and ioctl(2): there it may mean more.
 */
static const long registers_again[] = {
	SYS_epoll_wait,     SYS_epoll_pwait,     SYS_epoll_pwait2, SYS_semop,
	SYS_semtimedop,     SYS_rt_sigtimedwait, SYS_io_getevents, SYS_io_pgetevents,
	SYS_io_uring_enter, SYS_accept,          SYS_accept4,      SYS_connect,
	SYS_recvfrom,       SYS_recvmsg,         SYS_recvmmsg,     SYS_sendto,
	SYS_sendmsg,        SYS_sendmmsg,        SYS_read,         SYS_readv,
	SYS_write,          SYS_writev,
};

bool registers_in_call(const struct user_regs_struct *regs)
{
	return (long)regs->orig_rax >= 0;
}

uint64_t registers_address(const struct user_regs_struct *regs)
{
	return regs->rip;
}

void registers_make_call(struct user_regs_struct *regs, uint64_t instruction, long number,
			 long argument)
{
	/*
	 * -1: else the kernel would take this for the end of a call and look whether to begin it
	 * again.
	 */
	regs->orig_rax = (unsigned long long)-1;
	regs->rip = instruction;
	regs->rax = (unsigned long long)number;
	regs->rdi = (unsigned long long)argument;
}

long registers_result(const struct user_regs_struct *regs)
{
	return (long)regs->rax;
}

bool registers_begin_again(struct user_regs_struct *regs)
{
	size_t i;

	if ((long)regs->rax != -EINTR)
		return false;
	for (i = 0; i < sizeof(registers_again) / sizeof(registers_again[0]); i++) {
		if ((long)regs->orig_rax != registers_again[i])
			continue;
		/* No handler has run yet: one would have been given a zero in rax. */
		regs->rax = (unsigned long long)REGISTERS_RESTART_UNLESS_HANDLED;
		return true;
	}
	return false;
}

ssize_t registers_find_call(const uint8_t *code, size_t size)
{
	static const uint8_t syscall[] = { 0x0f, 0x05 };
	const uint8_t *found = memmem(code, size, syscall, sizeof(syscall));

	/* Also where the two bytes are the middle of a longer instruction. */
	return found ? found - code : -1;
}

#else

bool registers_in_call(const struct user_regs_struct *regs)
{
	(void)regs;
	return false;
}

uint64_t registers_address(const struct user_regs_struct *regs)
{
	return regs->pc;
}

void registers_make_call(struct user_regs_struct *regs, uint64_t instruction, long number,
			 long argument)
{
	regs->pc = instruction;
	regs->regs[8] = (unsigned long long)number;
	regs->regs[0] = (unsigned long long)argument;
}

long registers_result(const struct user_regs_struct *regs)
{
	return (long)regs->regs[0];
}

bool registers_begin_again(struct user_regs_struct *regs)
{
	(void)regs;
	return false;
}

ssize_t registers_find_call(const uint8_t *code, size_t size)
{
	static const uint8_t svc[] = { 0x01, 0x00, 0x00, 0xd4 };
	size_t at;

	for (at = 0; at + sizeof(svc) <= size; at += sizeof(svc))
		if (memcmp(code + at, svc, sizeof(svc)) == 0)
			return (ssize_t)at;
	return -1;
}

#endif
