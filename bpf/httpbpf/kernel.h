/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the program reads of kernel objects. An object is a number here: its address. Where a member is comes from BTF,
 * as -D constants named STRUCT__MEMBER (program.py), so no kernel header is needed and one source fits all kernels.
 */

#undef __always_inline /* BCC makes no calls between BPF functions: everything is inlined */
#define __always_inline inline __attribute__((always_inline))

#define AF_INET 2
#define AF_INET6 10
#define MSG_PEEK 2
#define MSG_ERRQUEUE 0x2000
#define EPIPE 32
#define ECONNRESET 104
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_CLOSE 7

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

static __always_inline void set_ipv4(u8 *address, u32 ipv4)
{
	u32 *words = (u32 *)address;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = ipv4;
}

static __always_inline void read_addresses(struct call_row *call, u64 sock)
{
	call->local_port = read_u16(sock + SOCK_COMMON__SKC_NUM);
	call->peer_port = bpf_ntohs(read_u16(sock + SOCK_COMMON__SKC_DPORT));
	if (read_u16(sock + SOCK_COMMON__SKC_FAMILY) == AF_INET) {
		set_ipv4(call->local_address, read_u32(sock + SOCK_COMMON__SKC_RCV_SADDR));
		set_ipv4(call->peer_address, read_u32(sock + SOCK_COMMON__SKC_DADDR));
	}
#ifdef SOCK_COMMON__SKC_V6_DADDR
	else {
		bpf_probe_read_kernel(call->local_address, 16, (void *)(sock + SOCK_COMMON__SKC_V6_RCV_SADDR));
		bpf_probe_read_kernel(call->peer_address, 16, (void *)(sock + SOCK_COMMON__SKC_V6_DADDR));
	}
#endif
}

/* The user memory that a msghdr sends from or receives into next; only its first segment, for its first bytes. */
struct user_buffer {
	u64 address;
	u64 size;
};

static __always_inline struct user_buffer first_buffer(u64 msg)
{
	struct user_buffer buffer = {};
	u64 iter = msg + MSGHDR__MSG_ITER, offset = read_u64(iter + IOV_ITER__IOV_OFFSET);
#ifdef IOV_ITER__ITER_TYPE
	u32 type = read_u8(iter + IOV_ITER__ITER_TYPE);
#else
	u32 type = read_u32(iter + IOV_ITER__TYPE) & ~1; /* bit 0 was the direction before 5.14, commit 8cd54c1c8480 */
#endif

	if (type == ITER_IOVEC) {
		u64 iovec = read_u64(iter + IOV_ITER__IOV);

		buffer.address = read_u64(iovec) + offset;
		buffer.size = read_u64(iovec + 8) - offset;
	}
#ifdef ITER_UBUF
	if (type == ITER_UBUF) {
		buffer.address = read_u64(iter + IOV_ITER__UBUF) + offset;
		buffer.size = read_u64(iter + IOV_ITER__COUNT);
	}
#endif
	return buffer;
}

/* PF_KTHREAD and PF_IO_WORKER (0x20000000 before 5.12): the task never runs in user space. */
#define PF_NO_USER_SPACE (0x00200000 | 0x00000010)

static __always_inline bool has_user_space(void)
{
	return !(read_u32(bpf_get_current_task() + TASK_STRUCT__FLAGS) & PF_NO_USER_SPACE);
}

static __always_inline void identify(struct call_row *call)
{
	u64 id = bpf_get_current_pid_tgid(), task = bpf_get_current_task();
	u64 leader = read_u64(task + TASK_STRUCT__GROUP_LEADER);

	call->pid = id >> 32;
	call->tid = id;
	call->cgroup = bpf_get_current_cgroup_id();
	call->process_start = read_u64(leader + TASK_STRUCT__START_BOOTTIME);
	bpf_get_current_comm(call->comm, sizeof(call->comm));
	/* As a string: behind its NUL may stand what a longer name has left. */
	__builtin_memset(call->process, 0, sizeof(call->process));
	bpf_probe_read_kernel_str(call->process, sizeof(call->process), (void *)(leader + TASK_STRUCT__COMM));
}
