/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What only x86-64 has this way: where a system call saves the user's registers, which of them hold what, and the numbers
 * of system calls. Another architecture has another file with the same functions. struct pt_regs is in kernel/.
 */

#define THREAD_SIZE 16384 /* of a kernel stack, arch/x86/include/asm/page_64_types.h, without KASAN */
#define USER_CS 0x33	  /* segments of a 64-bit process, arch/x86/include/asm/segment.h */
#define USER_SS 0x2b

/* System calls, arch/x86/entry/syscalls/syscall_64.tbl */
#define SYSTEM_CALL_READ 0
#define SYSTEM_CALL_READV 19
#define SYSTEM_CALL_RECVFROM 45
#define SYSTEM_CALL_RECVMSG 47
#define SYSTEM_CALL_SHUTDOWN 48

/* Their second half, from the third argument of a system call on. */
struct second_half {
	u64 dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

static __always_inline bool are_of_user(u64 cs, u64 ss)
{
	return (u16)cs == USER_CS && (u16)ss == USER_SS;
}

static __always_inline bool read_at(u64 address, struct pt_regs *to)
{
	return !bpf_probe_read_kernel(to, sizeof(*to), (void *)address) && are_of_user(to->cs, to->ss);
}

static __always_inline bool read_half_at(u64 address, struct second_half *to)
{
	address += __builtin_offsetof(struct pt_regs, dx);
	return !bpf_probe_read_kernel(to, sizeof(*to), (void *)address) && are_of_user(to->cs, to->ss);
}

/* A system call saves them at the top of the kernel stack; 16 bytes lower where the kernel knows FRED. */
static __always_inline u64 top_of_stack(void)
{
	return read_u64(bpf_get_current_task() + TASK_STRUCT__STACK) + THREAD_SIZE - sizeof(struct pt_regs);
}

/* The user's, of the current system call; false where there are none. */
static __always_inline bool read_user_registers(struct pt_regs *to)
{
	u64 top = top_of_stack();

	return read_at(top, to) || read_at(top - 16, to);
}

static __always_inline u64 stack_pointer(struct pt_regs *user)
{
	return user->sp;
}

static __always_inline u64 frame_pointer(struct pt_regs *user)
{
	return user->bp;
}

static __always_inline u64 instruction_pointer(struct pt_regs *user)
{
	return user->ip;
}

struct system_call {
	s64 number;
	u64 second; /* argument */
	u64 third;
};

static __always_inline bool read_system_call(struct system_call *call)
{
	struct second_half half;
	u64 top = top_of_stack();

	if (!read_half_at(top, &half) && !read_half_at(top - 16, &half))
		return false;
	call->number = half.orig_ax;
	call->second = half.si;
	call->third = half.dx;
	return true;
}
