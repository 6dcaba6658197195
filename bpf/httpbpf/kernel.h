/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the program reads of kernel objects. An object is a number here: its address. Where a member is comes from BTF,
 * as -D constants named STRUCT__MEMBER (program.py), so no kernel header is needed and one source fits all kernels.
 */

#undef __always_inline /* BCC makes no calls between BPF functions: everything is inlined */
#define __always_inline inline __attribute__((always_inline))

/*
 * The helpers by other names. BCC reads all of /proc/kallsyms when it sees a call of bpf_probe_read_user, to know whether
 * the kernel has it, which takes longer than to parse the program.
 */
static long (*read_user_bytes)(void *to, u32 size, const void *from) = (void *)BPF_FUNC_probe_read_user;
static long (*read_user_string)(void *to, u32 size, const void *from) = (void *)BPF_FUNC_probe_read_user_str;
#define bpf_probe_read_user read_user_bytes
#define bpf_probe_read_user_str read_user_string

#define AF_INET 2
#define AF_INET6 10
#define MSG_PEEK 2
#define MSG_ERRQUEUE 0x2000
#define EAGAIN 11
#define EPIPE 32
#define ECONNRESET 104
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_CLOSE 7
#define RCV_SHUTDOWN 1

static __always_inline u64 read_u64(u64 address)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

static __always_inline u32 read_u32(u64 address)
{
	u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

static __always_inline u16 read_u16(u64 address)
{
	u16 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

static __always_inline u8 read_u8(u64 address)
{
	u8 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

/* The compiler knows the bound of a size and leaves out a check that the verifier, which forgets it, wants to see. */
static __always_inline u64 at_most(u64 size, u64 most)
{
	asm volatile("" : "+r"(size));
	return size > most ? most : size;
}

/*
 * Through memory, so that the verifier forgets which value it is: else it follows the rest of the program for each value
 * by itself.
 */
static __always_inline u8 through(u8 *memory, u8 value)
{
	*(volatile u8 *)memory = value;
	return *(volatile u8 *)memory;
}

/* The same of a variable on the stack, of which the verifier knows nothing any more once a part of it has been written. */
static __always_inline u64 forgotten(u64 value)
{
	volatile u64 on_stack = value;

	*(volatile u8 *)&on_stack = *(volatile u8 *)&on_stack;
	return on_stack;
}

/* 1 if two words are equal, else 0, without a branch: the verifier would follow both ways. */
static __always_inline u64 are_equal(u32 one, u32 other)
{
	u64 difference = one ^ other;

	asm volatile("" : "+r"(difference));
	return (difference - 1) >> 63;
}

/* PF_KTHREAD and PF_IO_WORKER (0x20000000 before 5.12): the task never runs in user space. */
#define PF_NO_USER_SPACE (0x00200000 | 0x00000010)

static __always_inline bool has_user_space(void)
{
	return !(read_u32(bpf_get_current_task() + TASK_STRUCT__FLAGS) & PF_NO_USER_SPACE);
}
