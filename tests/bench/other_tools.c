/* SPDX-License-Identifier: GPL-2.0-only */
/* What httprec's probes are compared with. PLAIN: entry and return of send and receive, an event to user space for each
 * return, no pairing. EMPTY: the same places, and nothing done there. Else as BCC's tcptop: bytes summed up by process and
 * connection, none sent. With kprobes, or with the tracepoints of sockets (USE_TRACEPOINTS).
 */

#ifdef EMPTY

RAW_TRACEPOINT_PROBE(tcp_sendmsg_locked) { return 0; }
RAW_TRACEPOINT_PROBE(sock_send_length) { return 0; }
RAW_TRACEPOINT_PROBE(sock_recv_length) { return 0; }

#else

struct sock_common { /* include/net/sock.h, its begin */
	u32 daddr, rcv_saddr;
	u32 hash;
	u16 dport, num;
};

#ifdef PLAIN

struct entry {
	u64 sock, entered;
};

struct event {
	u64 sock, entered, returned;
	u32 pid, tid;
	int size;
	u32 is_receive;
	u32 daddr, saddr;
	u16 dport, sport;
	u8 comm[16];
};

BPF_HASH(entries, u64, struct entry);
BPF_PERF_OUTPUT(events);

static inline int enter(u64 sock)
{
	u64 id = bpf_get_current_pid_tgid();
	struct entry entry = { .sock = sock, .entered = bpf_ktime_get_ns() };

	entries.update(&id, &entry);
	return 0;
}

static inline int leave(void *ctx, int size, u32 is_receive)
{
	u64 id = bpf_get_current_pid_tgid();
	struct entry *entry = entries.lookup(&id);
	struct event event = { .returned = bpf_ktime_get_ns(), .pid = id >> 32, .tid = id };
	struct sock_common sock;

	if (!entry)
		return 0;
	event.sock = entry->sock;
	event.entered = entry->entered;
	event.size = size;
	event.is_receive = is_receive;
	entries.delete(&id);
	bpf_probe_read_kernel(&sock, sizeof(sock), (void *)event.sock);
	event.daddr = sock.daddr;
	event.saddr = sock.rcv_saddr;
	event.dport = sock.dport;
	event.sport = sock.num;
	bpf_get_current_comm(event.comm, sizeof(event.comm));
	events.perf_submit(ctx, &event, sizeof(event));
	return 0;
}

#ifdef USE_TRACEPOINTS
RAW_TRACEPOINT_PROBE(tcp_sendmsg_locked) { return enter(ctx->args[0]); }
RAW_TRACEPOINT_PROBE(sock_send_length) { return leave(ctx, ctx->args[1], 0); }
RAW_TRACEPOINT_PROBE(sock_recv_length)
{
	enter(ctx->args[0]); /* the receive's beginning has no tracepoint */
	return leave(ctx, ctx->args[1], 1);
}
#else
int kprobe__tcp_sendmsg(struct pt_regs *ctx) { return enter(PT_REGS_PARM1(ctx)); }
int kretprobe__tcp_sendmsg(struct pt_regs *ctx) { return leave(ctx, PT_REGS_RC(ctx), 0); }
int kprobe__tcp_recvmsg(struct pt_regs *ctx) { return enter(PT_REGS_PARM1(ctx)); }
int kretprobe__tcp_recvmsg(struct pt_regs *ctx) { return leave(ctx, PT_REGS_RC(ctx), 1); }
#endif

#else

struct key {
	u32 pid;
	u8 comm[16];
	u32 saddr, daddr;
	u16 num, dport;
};

BPF_HASH(sent, struct key);
BPF_HASH(received, struct key);
BPF_HASH(sends, u32, u64);

static inline void fill(struct key *key, u64 address)
{
	struct sock_common sock;

	bpf_probe_read_kernel(&sock, sizeof(sock), (void *)address);
	key->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(key->comm, sizeof(key->comm));
	key->saddr = sock.rcv_saddr;
	key->daddr = sock.daddr;
	key->num = sock.num;
	key->dport = sock.dport;
}

#ifdef USE_TRACEPOINTS

RAW_TRACEPOINT_PROBE(sock_send_length)
{
	struct key key = {};

	if ((int)ctx->args[1] > 0) {
		fill(&key, ctx->args[0]);
		sent.increment(key, ctx->args[1]);
	}
	return 0;
}

RAW_TRACEPOINT_PROBE(sock_recv_length)
{
	struct key key = {};

	if ((int)ctx->args[1] > 0) {
		fill(&key, ctx->args[0]);
		received.increment(key, ctx->args[1]);
	}
	return 0;
}

#else

int kprobe__tcp_sendmsg(struct pt_regs *ctx)
{
	u32 tid = bpf_get_current_pid_tgid();
	u64 sock = PT_REGS_PARM1(ctx);

	sends.update(&tid, &sock);
	return 0;
}

int kretprobe__tcp_sendmsg(struct pt_regs *ctx)
{
	u32 tid = bpf_get_current_pid_tgid();
	u64 *sock = sends.lookup(&tid);
	int size = PT_REGS_RC(ctx);
	struct key key = {};

	if (sock && size > 0) {
		fill(&key, *sock);
		sent.increment(key, size);
	}
	sends.delete(&tid);
	return 0;
}

int kprobe__tcp_cleanup_rbuf(struct pt_regs *ctx)
{
	int size = PT_REGS_PARM2(ctx);
	struct key key = {};

	if (size > 0) {
		fill(&key, PT_REGS_PARM1(ctx));
		received.increment(key, size);
	}
	return 0;
}

#endif

#endif

#endif
