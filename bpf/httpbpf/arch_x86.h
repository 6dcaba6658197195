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

static __always_inline bool are_registers(u64 address)
{
	return read_u16(address + __builtin_offsetof(struct pt_regs, cs)) == USER_CS &&
	       read_u16(address + __builtin_offsetof(struct pt_regs, ss)) == USER_SS;
}

/* A system call saves them at the top of the kernel stack; 16 bytes lower where the kernel knows FRED. 0: nowhere. */
static __always_inline u64 user_registers(void)
{
	u64 top = read_u64(bpf_get_current_task() + TASK_STRUCT__STACK) + THREAD_SIZE - sizeof(struct pt_regs);

	return are_registers(top) ? top : are_registers(top - 16) ? top - 16 : 0;
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

static __always_inline s64 system_call_number(u64 registers)
{
	return read_u64(registers + __builtin_offsetof(struct pt_regs, orig_ax));
}

static __always_inline u64 second_argument(u64 registers)
{
	return read_u64(registers + __builtin_offsetof(struct pt_regs, si));
}

static __always_inline u64 third_argument(u64 registers)
{
	return read_u64(registers + __builtin_offsetof(struct pt_regs, dx));
}
