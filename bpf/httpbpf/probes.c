/* SPDX-License-Identifier: GPL-2.0-only */
/* Defines the probes: a function for each kernel function, and wrappers for fexit, kprobes and tracepoints. */

/* A client's stack is that of the send that asks; a server's that of the send with which its answer is slow. */
static __always_inline bool is_stack_wanted(struct connection *c, u64 now)
{
	if (!c->wanted || c->step == IGNORED)
		return false;
	return c->step == OPENED || (c->phase == RESPONSE && c->recorded == NOT_RECORDED && is_slow(c, now));
}

static __always_inline int send_enters(void *ctx, u64 sock, u64 msg)
{
	struct connection *c;
	u32 tid = bpf_get_current_pid_tgid();
	bool takes_stack;
	u64 now;

	if (!is_running())
		return 0;
	c = follow(sock);
	if (!c || is_further_segment(c, tid))
		return 0;
	now = bpf_ktime_get_ns();
	if (c->sending_tid && c->sending_tid != tid)
		c->overlapping++;
	c->step = has_streams(c) ? IGNORED : advance(c, sock, SENDING, now, msg, 0);
	if (c->step == ANSWERED && c->protocol == TUNNEL && go_on_as_stream(c, sent_from(msg)))
		c->step = IGNORED;
	if (c->step == ANSWERED) /* the answering thread may differ from the one that received */
		meet_thread(c);
	if (c->protocol == TLS && (c->step == OPENED || c->step == ANSWERED))
		see_tls_send(c, sock, msg);
	if (has_streams(c)) /* which this send may have shown */
		note_send(c, sock, msg, now);
	takes_stack = is_stack_wanted(c, now);
	if (takes_stack)
		take_send_stack(ctx, c, now);
	c->sending_tid = tid;
	c->sending_sequence = c->sequence;
	/*
	 * Last, because it may not return. Not where pages are sent, which have no msg: with fexit, the kernel wants all
	 * programs that make a tail call to be attached to functions of one prototype.
	 */
	if (takes_stack && msg)
		walk_language(ctx, c, now);
	return 0;
}

/*
 * Returns what the send that returns now did to the call. A send that another thread's send has overtaken only continued
 * the call.
 */
static __always_inline u32 end_of_send(struct connection *c, int sent)
{
	if (c->sending_tid == (u32)bpf_get_current_pid_tgid()) {
		c->sending_tid = 0;
		return c->sending_sequence == c->sequence ? c->step : IGNORED;
	}
	if (!c->overlapping) { /* as with TCP Fast Open by tracepoints: the first segment takes the data along */
		if (sent > 0)
			count(TRANSFER_NOT_SEEN);
		return IGNORED;
	}
	c->overlapping--;
	return CONTINUED;
}

/*
 * Returns whether the response that has just gone on has made the call slow, so that the caller must submit it: with the
 * status, which may arrive byte by byte. Stacks of a call that was answered in time are given up: kept for as long as the
 * response goes on, they would be many, and cold.
 */
static __always_inline bool has_become_slow(struct connection *c, u32 step, u64 now)
{
	c->t3 = now;
	if (c->recorded)
		return false;
	if (is_slow(c, now)) {
		c->stack_is_late = !is_slow(c, c->t2);
		return !lacks_status(c);
	}
	if (step == ANSWERED) {
		release_slots(c);
		c->stack_status = STACK_NOT_TAKEN;
		c->receive_stack_status = STACK_NOT_TAKEN;
	}
	return false;
}

/* Returns whether the caller must submit the call now. */
static __always_inline bool end_send(struct connection *c, u64 sock, u32 step, int sent)
{
	if (sent <= 0) {
		if (step != IGNORED)
			undo(c, step);
		return fail_transfer(c, sock, sent);
	}
	if (step == IGNORED)
		return false;
	c->sent += sent;
	if (c->opens == SENDING) {
		if (c->phase == REQUEST)
			c->t1 = bpf_ktime_get_ns();
		return false;
	}
	return c->phase == RESPONSE && has_become_slow(c, step, bpf_ktime_get_ns());
}

/* With fexit, the end of a send of pages must not make tail calls, as its entry: then `walks` is false. */
static __always_inline int send_returns(void *ctx, u64 sock, int sent, bool walks)
{
	struct connection *c = connections.lookup(&sock);

	if (!c || !is_running())
		return 0;
	if (has_streams(c))
		return walks ? streams_send_returns(ctx, c, sock, sent) : give_up_sent(c, sock, sent);
	if (!end_send(c, sock, end_of_send(c, sent), sent))
		return 0;
	if (c->wanted && c->phase == RESPONSE && c->stack_status == STACK_NOT_TAKEN) /* it has become slow in this send */
		take_send_stack(ctx, c, c->t3);
	submit_call(c, sock);
	return 0;
}

/* Returns whether the caller must submit the call now, like the next two functions. */
static __always_inline bool receive_bytes(void *ctx, struct connection *c, u64 sock, u64 msg, u32 received)
{
	u64 id = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();
	u32 step;

	if (c->sending_tid == (u32)id) /* its return was missed */
		c->sending_tid = 0;
	/* This must precede the answer, after which another thread may begin the next call. */
	if (RECEIVE_STACKS && is_answer(c, RECEIVING) && c->wanted && is_slow(c, now))
		take_receive_stack(ctx, c, now);
	step = advance(c, sock, RECEIVING, now, msg, received);
	/* What received_into learns of `received`, the verifier would follow through all bytes of the head. */
	if (step == ANSWERED && c->protocol == TUNNEL && go_on_as_stream(c, received_into(msg, forgotten(received))))
		return false;
	c->seen_since += received;
	if (step == IGNORED)
		return false;
	c->received += received;
	if (step == OPENED || step == ANSWERED)
		c->receive_tid = id;
	if (c->opens == SENDING)
		return c->phase == RESPONSE && has_become_slow(c, step, now);
	if (c->phase == REQUEST)
		c->t1 = now;
	if (RECEIVE_STACKS && step == OPENED && c->wanted)
		take_receive_stack(ctx, c, now);
	return false;
}

static __always_inline bool receive_end_of_file(struct connection *c, u64 sock)
{
	/* A server may still answer a client that has closed its sending side. */
	if (c->opens == SENDING)
		return end_call(c, sock, OUTCOME_EOF);
	c->peer_closed = 1;
	return false;
}

static __always_inline bool end_receive(void *ctx, struct connection *c, u64 sock, u64 msg, u64 wanted, int received)
{
	if (received > 0)
		return receive_bytes(ctx, c, sock, msg, received);
	if (received < 0)
		return fail_transfer(c, sock, received);
	return wanted && receive_end_of_file(c, sock);
}

/* `wanted` is how many bytes the receive had room for. */
static __always_inline int receive_returns(void *ctx, u64 sock, u64 msg, u64 wanted, u32 flags, int received)
{
	struct connection *c;

	if (received == -EAGAIN || (flags & (MSG_PEEK | MSG_ERRQUEUE)) || !is_running())
		return 0;
	c = connections.lookup(&sock);
	if (!c && received > 0 && is_tcp(sock))
		c = follow(sock);
	if (!c)
		return 0;
	if (c->protocol == TLS && received > 0)
		see_tls_receive(sock);
	if (!has_streams(c) && end_receive(ctx, c, sock, msg, wanted, received)) {
		if (c->wanted && c->stack_is_late)
			take_send_stack(ctx, c, c->t3);
		submit_call(c, sock);
	}
	if (has_streams(c)) /* which this receive may have shown */
		receive_walkers.call(ctx, 0);
	return 0;
}

static __always_inline void forget(u64 sock, struct connection *c)
{
	if (has_streams(c))
		forget_frames(sock);
	release_slots(c);
	release_heads(c);
	connections.delete(&sock);
}

static __always_inline int close_enters(u64 sock)
{
	struct connection *c = connections.lookup(&sock);
	u8 outcome;

	if (!c || !is_running())
		return 0;
	outcome = c->reset ? OUTCOME_RESET : c->peer_closed ? OUTCOME_EOF : OUTCOME_CLOSED;
	if (has_streams(c))
		end_streams(c, 0, outcome, 0);
	else if (end_call(c, sock, outcome))
		submit_call(c, sock);
	forget(sock, c);
	return 0;
}

static __always_inline void begin_connection(u64 sock, u8 opens)
{
	struct connection *c = connections.lookup(&sock);

	if (c && !c->sending_tid) /* left by a socket that had this address before; a send may connect, too */
		forget(sock, c);
	c = follow(sock);
	if (!c)
		return;
	set_role(c, opens, ROLE_FROM_CONNECTION);
	c->setup_began = bpf_ktime_get_ns();
}

static __always_inline void end_connecting(u64 sock)
{
	struct connection *c = connections.lookup(&sock);

	if (c && c->setup_began)
		c->connect_time = bpf_ktime_get_ns() - c->setup_began;
}

/*
 * Runs when TCP is done with the connection, in a soft interrupt. This does not end a call, because the process may still
 * read a response that is in the queue. Only a socket that no process has used is forgotten here, because one that was
 * never accepted is never passed to tcp_close.
 */
static __always_inline void end_connection(u64 sock)
{
	struct connection *c = connections.lookup(&sock);
	u32 error = read_u32(sock + SOCK__SK_ERR);

	if (!c)
		return;
	if (!c->sequence && !has_streams(c))
		forget(sock, c);
	else if (error == ECONNRESET || error == EPIPE)
		c->reset = 1;
}

RAW_TRACEPOINT_PROBE(inet_sock_set_state)
{
	u64 sock = ctx->args[0];
	int from = ctx->args[1], to = ctx->args[2];

	if (!is_running())
		return 0;
	if (to == TCP_SYN_SENT)
		begin_connection(sock, SENDING);
	else if (from == TCP_SYN_SENT && to == TCP_ESTABLISHED)
		end_connecting(sock);
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
	return send_enters(ctx, ctx[0], ctx[1]);
}

AT_EXIT(tcp_sendmsg)
{
	return send_returns(ctx, ctx[0], ctx[TCP_SENDMSG_ARGUMENTS], true);
}

AT_EXIT(tcp_recvmsg)
{
	return receive_returns(ctx, ctx[0], ctx[1], ctx[2], ctx[TCP_RECVMSG_FLAGS], ctx[TCP_RECVMSG_ARGUMENTS]);
}

AT_ENTRY(tcp_close)
{
	return close_enters(ctx[0]);
}

#ifdef TCP_SENDPAGE_ARGUMENTS /* sends pages of a file; gone in 6.5, commit dc97391e6610 */
AT_ENTRY(tcp_sendpage)
{
	return send_enters(ctx, ctx[0], 0);
}

AT_EXIT(tcp_sendpage)
{
	return send_returns(ctx, ctx[0], ctx[TCP_SENDPAGE_ARGUMENTS], false);
}
#endif

#elif defined(USE_KPROBES)

int enter_tcp_sendmsg(struct pt_regs *ctx)
{
	begin_transfer(PT_REGS_PARM1(ctx), 0, 0, 0);
	return send_enters(ctx, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx));
}

int return_tcp_sendmsg(struct pt_regs *ctx)
{
	struct transfer transfer = end_transfer();

	return send_returns(ctx, transfer.sock, PT_REGS_RC(ctx), true);
}

int enter_tcp_recvmsg(struct pt_regs *ctx)
{
	u64 argument[] = { PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx),
			   PT_REGS_PARM4(ctx), PT_REGS_PARM5(ctx), PT_REGS_PARM6(ctx) };

	begin_transfer(argument[0], argument[1], argument[2], argument[TCP_RECVMSG_FLAGS]);
	return 0;
}

int return_tcp_recvmsg(struct pt_regs *ctx)
{
	struct transfer transfer = end_transfer();

	if (!transfer.sock)
		return 0;
	return receive_returns(ctx, transfer.sock, transfer.msg, transfer.wanted, transfer.flags, PT_REGS_RC(ctx));
}

int enter_tcp_close(struct pt_regs *ctx)
{
	return close_enters(PT_REGS_PARM1(ctx));
}

int enter_tcp_sendpage(struct pt_regs *ctx)
{
	begin_transfer(PT_REGS_PARM1(ctx), 0, 0, 0);
	return send_enters(ctx, PT_REGS_PARM1(ctx), 0);
}

int return_tcp_sendpage(struct pt_regs *ctx)
{
	struct transfer transfer = end_transfer();

	return send_returns(ctx, transfer.sock, PT_REGS_RC(ctx), true);
}

#else

RAW_TRACEPOINT_PROBE(tcp_sendmsg_locked)
{
	return send_enters(ctx, ctx->args[0], ctx->args[1]);
}

RAW_TRACEPOINT_PROBE(sock_send_length)
{
	return send_returns(ctx, ctx->args[0], ctx->args[1], true);
}

RAW_TRACEPOINT_PROBE(sock_recv_length)
{
	int received = ctx->args[1];
	u64 wanted = received ? 1 : bytes_wanted();

	return receive_returns(ctx, ctx->args[0], 0, wanted, ctx->args[2], received);
}

RAW_TRACEPOINT_PROBE(tcp_destroy_sock)
{
	return close_enters(ctx->args[0]);
}

#endif
