/* SPDX-License-Identifier: GPL-2.0-only */
/* The probes: one function for each kernel function, then thin wrappers for fentry/fexit, kprobe/kretprobe or tracepoints. */

static __always_inline int send_enters(void *ctx, u64 sock, struct user_buffer buffer)
{
	u64 id = bpf_get_current_pid_tgid();
	struct transfer transfer = { .sock = sock };
	struct connection *c;

	if (!is_running() || is_ignored())
		return 0;
	c = follow(sock);
	if (!c)
		return 0;
	transfer.step = advance(c, sock, SENDING, bpf_ktime_get_ns(), &buffer);
	if (transfer.step == ANSWERED) { /* the thread that answers may be another than the one that received */
		identify(&c->call);
		c->state.wanted = is_wanted(&c->call);
	}
	if (c->state.wanted && (transfer.step == OPENED || (transfer.step == ANSWERED && is_slow(&c->call, c->call.t2))))
		take_send_stack(ctx, c);
	transfer.sequence = c->call.sequence;
	if (transfers.update(&id, &transfer))
		count(THREAD_MAP_FULL);
	return 0;
}

static __always_inline int send_returns(int sent)
{
	u64 id = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();
	struct transfer *found = transfers.lookup(&id), transfer;
	struct connection *c;

	if (!found)
		return 0;
	transfer = *found;
	transfers.delete(&id);
	c = connections.lookup(&transfer.sock);
	if (!c || c->call.sequence != transfer.sequence)
		return 0;
	if (sent <= 0) {
		undo(c, transfer.step);
		fail_transfer(c, sent);
		return 0;
	}
	c->call.sent += sent;
	if (c->state.opens == SENDING) {
		if (c->state.phase == REQUEST)
			c->call.t1 = now;
	} else if (c->state.phase == RESPONSE) {
		c->state.t3 = now;
		if (transfer.step == ANSWERED)
			submit_call(c);
	}
	return 0;
}

static __always_inline int receive_enters(u64 sock, u64 msg, u64 size, u32 flags)
{
	u64 id = bpf_get_current_pid_tgid();
	struct transfer transfer = { .sock = sock, .size = size };

	if (!is_running() || is_ignored() || (flags & (MSG_PEEK | MSG_ERRQUEUE)))
		return 0;
	transfer.buffer = first_buffer(msg);
	if (transfers.update(&id, &transfer))
		count(THREAD_MAP_FULL);
	return 0;
}

static __always_inline void receive_bytes(void *ctx, struct transfer *transfer, u32 received, u64 now)
{
	struct connection *c = follow(transfer->sock);
	u32 step;

	if (!c)
		return;
	if (transfer->buffer.size > received)
		transfer->buffer.size = received;
	/* Before the call is answered: from then on another thread may begin the next one. */
	if (is_answer(c, RECEIVING) && c->state.wanted && is_slow(&c->call, now))
		take_receive_stack(ctx, c);
	step = advance(c, transfer->sock, RECEIVING, now, &transfer->buffer);
	c->call.received += received;
	if (c->state.opens == RECEIVING) {
		if (c->state.phase == REQUEST)
			c->call.t1 = now;
		if (step == OPENED) {
			c->call.receive_tid = c->call.tid;
			if (c->state.wanted)
				take_receive_stack(ctx, c);
		}
	} else if (c->state.phase == RESPONSE) {
		c->state.t3 = now;
		if (step == ANSWERED) {
			c->call.receive_tid = bpf_get_current_pid_tgid();
			submit_call(c);
		}
	}
}

static __always_inline void receive_end_of_file(struct connection *c)
{
	/* A server may still answer a client that has closed its sending side. */
	if (c->state.opens == SENDING)
		end_call(c, OUTCOME_EOF);
	else
		c->state.peer_closed = 1;
}

static __always_inline int receive(void *ctx, struct transfer *transfer, int received, u64 now)
{
	struct connection *c;

	if (received > 0) {
		receive_bytes(ctx, transfer, received, now);
		return 0;
	}
	c = connections.lookup(&transfer->sock);
	if (!c)
		return 0;
	if (received < 0)
		fail_transfer(c, received);
	else if (transfer->size)
		receive_end_of_file(c);
	return 0;
}

static __always_inline int receive_returns(void *ctx, int received)
{
	u64 id = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();
	struct transfer *found = transfers.lookup(&id), transfer;

	if (!found)
		return 0;
	transfer = *found;
	transfers.delete(&id);
	return receive(ctx, &transfer, received, now);
}

static __always_inline void forget(u64 sock, struct connection *c)
{
	release_slots(c);
	connections.delete(&sock);
}

static __always_inline int close_enters(u64 sock)
{
	struct connection *c = connections.lookup(&sock);

	if (!c)
		return 0;
	end_call(c, c->state.reset ? OUTCOME_RESET : c->state.peer_closed ? OUTCOME_EOF : OUTCOME_CLOSED);
	forget(sock, c);
	return 0;
}

static __always_inline void begin_connection(u64 sock, u8 opens)
{
	struct connection *c = connections.lookup(&sock);

	if (c) /* of a socket that had this address before */
		forget(sock, c);
	c = follow(sock);
	if (c)
		set_role(c, opens, ROLE_FROM_CONNECTION);
}

/*
 * TCP is done, in a soft interrupt. That is no end of a call: the process may still read a response that is in the queue.
 * Only a socket that nobody has used is forgotten here, since one that was never accepted sees no tcp_close.
 */
static __always_inline void end_connection(u64 sock)
{
	struct connection *c = connections.lookup(&sock);
	u32 error = read_u32(sock + SOCK__SK_ERR);

	if (!c)
		return;
	if (!c->call.sequence)
		forget(sock, c);
	else if (error == ECONNRESET || error == EPIPE)
		c->state.reset = 1;
}

RAW_TRACEPOINT_PROBE(inet_sock_set_state)
{
	u64 sock = ctx->args[0];
	int from = ctx->args[1], to = ctx->args[2];

	if (!is_running())
		return 0;
	if (to == TCP_SYN_SENT)
		begin_connection(sock, SENDING);
	else if (from == TCP_SYN_RECV && to == TCP_ESTABLISHED)
		begin_connection(sock, RECEIVING);
	else if (to == TCP_CLOSE)
		end_connection(sock);
#ifdef USE_TRACEPOINTS
	else if (begins_to_close(sock, to))
		close_enters(sock);
#endif
	return 0;
}

#ifdef USE_FEXIT

#ifdef MODULE_KFUNC_PROBE /* BCC 0.28 and later: aborts on a name without a module's */
#define AT_ENTRY(function) int kfunc__vmlinux__##function(unsigned long long *ctx)
#define AT_EXIT(function) int kretfunc__vmlinux__##function(unsigned long long *ctx)
#else
#define AT_ENTRY(function) int kfunc__##function(unsigned long long *ctx)
#define AT_EXIT(function) int kretfunc__##function(unsigned long long *ctx)
#endif

AT_ENTRY(tcp_sendmsg)
{
	return send_enters(ctx, ctx[0], first_buffer(ctx[1]));
}

AT_EXIT(tcp_sendmsg)
{
	return send_returns(ctx[TCP_SENDMSG_ARGUMENTS]);
}

AT_ENTRY(tcp_recvmsg)
{
	return receive_enters(ctx[0], ctx[1], ctx[2], ctx[TCP_RECVMSG_FLAGS]);
}

AT_EXIT(tcp_recvmsg)
{
	return receive_returns(ctx, ctx[TCP_RECVMSG_ARGUMENTS]);
}

AT_ENTRY(tcp_close)
{
	return close_enters(ctx[0]);
}

#ifdef TCP_SENDPAGE_ARGUMENTS /* sends pages of a file; gone in 6.5, commit dc97391e6610 */
AT_ENTRY(tcp_sendpage)
{
	return send_enters(ctx, ctx[0], (struct user_buffer){});
}

AT_EXIT(tcp_sendpage)
{
	return send_returns(ctx[TCP_SENDPAGE_ARGUMENTS]);
}
#endif

#elif defined(USE_KPROBES)

int enter_tcp_sendmsg(struct pt_regs *ctx)
{
	return send_enters(ctx, PT_REGS_PARM1(ctx), first_buffer(PT_REGS_PARM2(ctx)));
}

int return_tcp_sendmsg(struct pt_regs *ctx)
{
	return send_returns(PT_REGS_RC(ctx));
}

int enter_tcp_recvmsg(struct pt_regs *ctx)
{
	u64 argument[] = { PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx),
			   PT_REGS_PARM4(ctx), PT_REGS_PARM5(ctx), PT_REGS_PARM6(ctx) };

	return receive_enters(argument[0], argument[1], argument[2], argument[TCP_RECVMSG_FLAGS]);
}

int return_tcp_recvmsg(struct pt_regs *ctx)
{
	return receive_returns(ctx, PT_REGS_RC(ctx));
}

int enter_tcp_close(struct pt_regs *ctx)
{
	return close_enters(PT_REGS_PARM1(ctx));
}

int enter_tcp_sendpage(struct pt_regs *ctx)
{
	return send_enters(ctx, PT_REGS_PARM1(ctx), (struct user_buffer){});
}

int return_tcp_sendpage(struct pt_regs *ctx)
{
	return send_returns(PT_REGS_RC(ctx));
}

#else

RAW_TRACEPOINT_PROBE(tcp_sendmsg_locked) /* before each segment of a send */
{
	u64 id = bpf_get_current_pid_tgid(), sock = ctx->args[0];
	struct transfer *found = transfers.lookup(&id);

	if (found && found->sock == sock)
		return 0;
	return send_enters(ctx, sock, first_buffer(ctx->args[1]));
}

RAW_TRACEPOINT_PROBE(sock_send_length)
{
	u64 id = bpf_get_current_pid_tgid(), sock = ctx->args[0];
	struct transfer *found = transfers.lookup(&id);
	int sent = ctx->args[1];
	struct connection *c;

	if (found && found->sock == sock)
		return send_returns(sent);
	c = connections.lookup(&sock);
	if (c && sent < 0) /* it failed before it could begin */
		fail_transfer(c, sent);
	return 0;
}

RAW_TRACEPOINT_PROBE(sock_recv_length)
{
	struct transfer transfer = { .sock = ctx->args[0] };
	u32 flags = ctx->args[2];
	struct system_call call;

	if (!is_running() || is_ignored() || (flags & (MSG_PEEK | MSG_ERRQUEUE)) || !is_tcp(transfer.sock))
		return 0;
	call = system_call();
	transfer.buffer = received_into(&call);
	transfer.size = call.number == RECVFROM ? call.third : 1;
	return receive(ctx, &transfer, (int)ctx->args[1], bpf_ktime_get_ns());
}

RAW_TRACEPOINT_PROBE(tcp_destroy_sock)
{
	return close_enters(ctx->args[0]);
}

#endif
