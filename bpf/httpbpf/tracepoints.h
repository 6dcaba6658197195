/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Supplies what the tracepoints of sockets lack, for a kernel whose functions cannot be probed. Their arguments have the
 * socket since 6.3 (at the end of a send or a receive, commit 6e6eda44b939) and 6.16 (at the start of a send,
 * 0f08335ade71).
 *
 * The tracepoint of a receive does not have its buffer, but the registers of the system call do. Those of io_uring and
 * recvmmsg do not, so their first bytes are not read. tcp_close has no tracepoint; instead, changes of the TCP state show
 * that TCP begins to end the connection, or is done with it.
 */
#ifdef USE_TRACEPOINTS

#define IPPROTO_TCP 6
#define SOCK_STREAM 1
#define SHUTDOWN_MASK 3
#define TCP_FIN_WAIT1 4
#define TCP_LAST_ACK 9

#define NO_SYSTEM_CALL -1

static __always_inline struct system_call system_call(void)
{
	struct system_call call = {};

	if (!read_system_call(&call))
		call.number = NO_SYSTEM_CALL;
	return call;
}

static __always_inline struct user_buffer first_segment(u64 iovec)
{
	struct user_buffer buffer = {};

	bpf_probe_read_user(&buffer, sizeof(buffer), (void *)iovec);
	return buffer;
}

static __always_inline struct user_buffer room_of(struct system_call *call)
{
	u64 iovec = 0;

	switch (call->number) {
	case SYSTEM_CALL_READ:
	case SYSTEM_CALL_RECVFROM:
		return (struct user_buffer){ call->second, call->third };
	case SYSTEM_CALL_READV:
		return first_segment(call->second);
	case SYSTEM_CALL_RECVMSG: /* msg_iov of a struct user_msghdr */
		bpf_probe_read_user(&iovec, sizeof(iovec), (void *)(call->second + 16));
		return first_segment(iovec);
	}
	return (struct user_buffer){};
}

/* Returns where a receive has written. It has no msghdr here. */
static __always_inline struct payload received_into(u64 msg, u64 received)
{
	struct system_call call = system_call();
	struct payload payload = { .segment = room_of(&call) };

	if (payload.segment.size > received)
		payload.segment.size = received;
	return payload;
}

/* Returns where the description of its second segment is, 0 where there is none. */
static __always_inline u64 second_segment(struct payload *payload)
{
	struct system_call call = system_call();
	u64 iovec = 0;

	if (call.number == SYSTEM_CALL_READV)
		iovec = call.second;
	if (call.number == SYSTEM_CALL_RECVMSG)
		bpf_probe_read_user(&iovec, sizeof(iovec), (void *)(call.second + 16));
	return iovec ? iovec + sizeof(payload->segment) : 0;
}

/* Returns how many bytes a receive that returned 0 had room for: with room for none, it has not met the end of file. */
static __always_inline u64 bytes_wanted(void)
{
	struct system_call call = system_call();

	return call.number == SYSTEM_CALL_RECVFROM ? call.third : 1;
}

static __always_inline bool is_tcp(u64 sock)
{
	u16 family = read_u16(sock + SOCK_COMMON__SKC_FAMILY);

	return (family == AF_INET || family == AF_INET6) && read_u16(sock + SOCK__SK_PROTOCOL) == IPPROTO_TCP &&
	       read_u16(sock + SOCK__SK_TYPE) == SOCK_STREAM;
}

/* Returns whether this is not the first segment of a send: the tracepoint runs before each of them. */
static __always_inline bool is_further_segment(struct connection *c, u32 tid)
{
	return c->sending_tid == tid;
}

/* shutdown(2) for both directions also ends the connection, but the process may still read what has arrived. */
static __always_inline bool begins_to_close(u64 sock, int to)
{
	return (to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK) && read_u8(sock + SOCK__SK_SHUTDOWN) == SHUTDOWN_MASK &&
	       system_call().number != SYSTEM_CALL_SHUTDOWN;
}

#else

static __always_inline bool is_tcp(u64 sock)
{
	return true;
}

static __always_inline bool is_further_segment(struct connection *c, u32 tid)
{
	return false;
}

#endif
