/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tracepoints of sockets lack, for a kernel that lets nobody probe its functions. Their arguments have the socket
 * since 6.3 (at the end of a send or a receive, commit 6e6eda44b939) and 6.16 (at a send's beginning, 0f08335ade71).
 *
 * A receive does not tell its buffer: the registers of the system call do. io_uring and recvmmsg have none there, so what
 * they receive has no first bytes. tcp_close has no tracepoint: TCP begins to end the connection, or is done with it.
 */
#ifdef USE_TRACEPOINTS

#define IPPROTO_TCP 6
#define SOCK_STREAM 1
#define SHUTDOWN_MASK 3
#define TCP_FIN_WAIT1 4
#define TCP_LAST_ACK 9

/* System calls, arch/x86/entry/syscalls/syscall_64.tbl */
#define READ 0
#define READV 19
#define RECVFROM 45
#define RECVMSG 47
#define SHUTDOWN 48
#define NONE -1

struct system_call {
	s64 number;
	u64 second; /* argument */
	u64 third;
};

static __always_inline struct system_call system_call(void)
{
	u64 registers = has_user_space() ? user_registers() : 0;

	if (!registers)
		return (struct system_call){ .number = NONE };
	return (struct system_call){
		.number = read_u64(registers + __builtin_offsetof(struct pt_regs, orig_ax)),
		.second = read_u64(registers + __builtin_offsetof(struct pt_regs, si)),
		.third = read_u64(registers + __builtin_offsetof(struct pt_regs, dx)),
	};
}

static __always_inline struct user_buffer first_segment(u64 iovec)
{
	struct user_buffer buffer = {};

	bpf_probe_read_user(&buffer, sizeof(buffer), (void *)iovec);
	return buffer;
}

static __always_inline struct user_buffer received_into(struct system_call *call)
{
	u64 iovec = 0;

	switch (call->number) {
	case READ:
	case RECVFROM:
		return (struct user_buffer){ call->second, call->third };
	case READV:
		return first_segment(call->second);
	case RECVMSG: /* msg_iov of a struct user_msghdr */
		bpf_probe_read_user(&iovec, sizeof(iovec), (void *)(call->second + 16));
		return first_segment(iovec);
	}
	return (struct user_buffer){};
}

static __always_inline bool is_tcp(u64 sock)
{
	u16 family = read_u16(sock + SOCK_COMMON__SKC_FAMILY);

	return (family == AF_INET || family == AF_INET6) && read_u16(sock + SOCK__SK_PROTOCOL) == IPPROTO_TCP &&
	       read_u16(sock + SOCK__SK_TYPE) == SOCK_STREAM;
}

/* shutdown(2) for both directions ends the connection too, but the process may still read what has come. */
static __always_inline bool begins_to_close(u64 sock, int to)
{
	return (to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK) && read_u8(sock + SOCK__SK_SHUTDOWN) == SHUTDOWN_MASK &&
	       system_call().number != SHUTDOWN;
}

#endif
