/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walks the frames of a transfer, and does what they say with the streams. A program of its own, to which the probe at the
 * end of a transfer makes a tail call. What is here takes one step. The loader repeats it STEPS_A_RUN times, one after the
 * other (bpf_programs.py), because in a loop the verifier would look at far more paths. The last one calls the program
 * again, at most MAX_TAIL_CALL_CNT times (33 with the probe's call).
 *
 * SETTINGS, PING, WINDOW_UPDATE, PRIORITY are no part of a call. Streams that a server opens (PUSH_PROMISE) are no calls.
 */

/* What is to be done after a step. */
#define TAKE_STACK 1
#define TAKE_RECEIVE_STACK 2
#define SUBMIT 4
#define COMPLETE 8
#define RELEASE 16
#define FORGET 32

static __always_inline struct connection *stream_of(struct connection *c, struct frames *f)
{
	struct stream_key key = { .connection = c->connection, .stream = f->stream };

	return streams.lookup(&key);
}

static __always_inline bool begins_headers(struct frames *f)
{
	return f->begins && f->type == HEADERS;
}

static __always_inline void begin_stream(struct connection *s, struct frames *in, u32 stream, struct tcp_counts counts)
{
	s->t0 = in->began;
	s->t1 = in->began;
	s->stream = stream;
	s->sequence += (stream + 1) / 2;
	s->tid = in->tid;
	s->task = in->task;
	((u64 *)s->request_head)[0] = 0;
	((u64 *)s->request_head)[1] = 0;
	s->stack_status = STACK_NOT_TAKEN;
	s->receive_stack_status = STACK_NOT_TAKEN;
	s->sent = 0;
	s->received = 0;
	s->segments_at_t0 = counts.segments;
	s->retransmitted_at_t0 = counts.retransmitted;
	s->out_of_order_at_t0 = counts.out_of_order;
	s->outcome = OUTCOME_ANSWERED;
	s->recorded = NOT_RECORDED;
	s->phase = REQUEST;
}

/*
 * Opens the stream of HEADERS. A response may be received before the send of the request has returned; then it opens the
 * stream, whose request is still to come.
 */
static __always_inline void open_stream(struct connection *c, u64 sock, struct frames *f)
{
	struct stream_key key = { .connection = c->connection, .stream = f->stream };
	bool is_early = f->direction != c->opens;
	struct frames *in = is_early ? known_frames(sock, SENDING) : f;
	struct connection *s;

	if (c->ignored || !(f->stream & 1) || (is_early && f->direction == SENDING))
		return;
	if (!in || !in->tid || f->stream <= in->last_stream)
		return;
	if (streams.insert(&key, c)) {
		count(STREAM_MAP_FULL);
		return;
	}
	s = streams.lookup(&key);
	if (!s)
		return;
	__sync_fetch_and_add(&c->open_streams, 1);
	begin_stream(s, in, f->stream, tcp_counts(sock));
	s->is_early = is_early;
	if (f->direction == RECEIVING)
		s->receive_tid = bpf_get_current_pid_tgid();
}

/* The process that answers, or another thread of it, may not be the one that was asked. */
static __always_inline void set_thread(struct connection *s, struct connection *c, struct frames *f)
{
	s->task = f->task;
	s->tid = f->tid;
	s->pid = c->pid;
	s->named_tid = c->named_tid;
	s->process_start = c->process_start;
	s->cgroup = c->cgroup;
	s->wanted = c->wanted;
	__builtin_memcpy(s->process, c->process, sizeof(s->process));
	__builtin_memcpy(s->comm, c->comm, sizeof(s->comm));
}

static __always_inline void advance_request_stream(struct connection *s, struct frames *f)
{
	if (s->is_early && begins_headers(f)) {
		s->is_early = 0;
		if (s->phase == IDLE)
			f->todo = FORGET;
	}
	FORGET_VALUES();
	if (s->phase != REQUEST)
		return;
	s->t1 = f->ended;
	if (begins_headers(f) && s->stack_status == STACK_NOT_TAKEN && s->receive_stack_status == STACK_NOT_TAKEN)
		f->todo = f->direction == SENDING ? TAKE_STACK : TAKE_RECEIVE_STACK;
}

static __always_inline void answer_stream(struct connection *s, struct connection *c, struct frames *f)
{
	s->phase = RESPONSE;
	s->t2 = f->began;
	if (f->direction == SENDING)
		set_thread(s, c, f);
	else
		s->receive_tid = bpf_get_current_pid_tgid();
}

/* Notes what a part of the response does to the call, as has_become_slow does. */
static __always_inline void go_on_with_response(struct connection *s, struct frames *f)
{
	s->t3 = f->ended;
	if (s->recorded)
		return;
	if (is_slow(s, f->ended)) {
		s->stack_is_late = !f->answers;
		f->todo |= SUBMIT | (f->answers && f->direction == RECEIVING ? TAKE_RECEIVE_STACK : TAKE_STACK);
	} else if (f->answers) {
		s->stack_status = STACK_NOT_TAKEN;
		s->receive_stack_status = STACK_NOT_TAKEN;
		f->todo |= RELEASE;
	}
}

static __always_inline bool ends_stream(struct frames *f)
{
	return f->flags & END_STREAM && f->type <= HEADERS;
}

/* HEADERS that do not end the stream are of an interim response where others follow. */
static __always_inline void advance_response_stream(struct connection *s, struct connection *c, struct frames *f)
{
	if (s->phase == IDLE)
		return;
	f->answers = s->phase == REQUEST || (begins_headers(f) && !ends_stream(f) && !s->recorded);
	FORGET_VALUES();
	if (f->answers)
		answer_stream(s, c, f);
	FORGET_VALUES();
	go_on_with_response(s, f);
	FORGET_VALUES();
	if (f->ends && ends_stream(f))
		f->todo |= COMPLETE | FORGET;
}

static __always_inline void reset_stream(struct connection *s, struct frames *f)
{
	s->http2_error = f->number;
	f->todo = COMPLETE | FORGET;
	if (s->phase == IDLE)
		return;
	s->t3 = f->ended;
	if (s->phase == RESPONSE)
		return;
	s->t2 = f->ended;
	s->outcome = OUTCOME_RESET;
	f->todo = SUBMIT | FORGET;
}

static __always_inline void advance_stream(struct connection *s, struct connection *c, struct frames *f)
{
	if (f->direction == SENDING)
		s->sent += f->size;
	else
		s->received += f->size;
	if (s->recorded)
		s->told_t3 = 0; /* the row of the call lacks these bytes, even if they came at the same time */
	FORGET_VALUES();
	if (f->type == RST_STREAM) {
		if (f->ends)
			reset_stream(s, f);
	} else if (f->type == DATA || f->type == HEADERS || f->type == CONTINUATION) {
		if (f->direction == s->opens)
			advance_request_stream(s, f);
		else
			advance_response_stream(s, c, f);
	}
	FORGET_VALUES();
}

/* Makes no second try where no slot is near or a stack cannot be copied: the verifier looks at each step of a run. */
static __always_inline bool take_copy_or_frames(void *ctx, struct connection *s, struct side side, u64 now)
{
#if STACK_PAGES
	return take_copy(s, current_process(), side, now, false);
#else
	return take_frames(ctx, current_process(), side, now);
#endif
}

static __always_inline void take_stream_stack(void *ctx, struct connection *s, struct connection *c, struct frames *f)
{
	struct side side = f->todo & TAKE_STACK ? sending_side(s) : receiving_side(s);
	bool taken;

	if (!RECEIVE_STACKS && !(f->todo & TAKE_STACK))
		return;
	*side.status = STACK_NO_USER_SPACE;
	if (!has_user_space())
		return;
	taken = take_copy_or_frames(ctx, s, side, f->ended);
	*side.status = taken ? STACK_RECORDED : *side.slot ? STACK_FAULT : STACK_LOST;
	c->stack_tid = s->stack_tid;
	c->stack_end = s->stack_end;
	c->stack_end_is_sure = s->stack_end_is_sure;
}

/* Returns the stack's id, 0 for none. */
static __always_inline u64 submit_stream_stack(struct connection *s, struct side side)
{
	if (*side.status != STACK_RECORDED)
		return 0;
#if STACK_PAGES
	struct stack_copy *copy = copy_in(*side.slot);

	if (!copy)
		return 0;
	copy->row.id = unique_id(s, side);
	return output_row(side, &copy->row, sizeof(copy->row) + at_most(copy->row.memory_size, sizeof(copy->memory)));
#else
	struct stack_frames *frames = frames_in(*side.slot);

	if (!frames)
		return 0;
	frames->row.id = unique_id(s, side);
	return output_row(side, &frames->row, sizeof(frames->row) + at_most(frames->row.frames_size, sizeof(frames->frames)));
#endif
}

static __always_inline void submit_stream(struct connection *s, u64 sock)
{
	u64 stack, receive_stack = 0;

	refresh_names(s);
	FORGET_VALUES();
	stack = submit_stream_stack(s, sending_side(s));
	if (RECEIVE_STACKS)
		receive_stack = submit_stream_stack(s, receiving_side(s));
	submit_row(s, sock, stack, receive_stack);
}

/* A stream whose request is still to come stays, so that this does not open it again. */
static __always_inline void forget_stream(struct connection *s, struct connection *c)
{
	struct stream_key key = { .connection = s->connection, .stream = s->stream };

	s->phase = IDLE;
	if (!s->is_early && !streams.delete(&key))
		__sync_fetch_and_add(&c->open_streams, -1);
}

static __always_inline void do_for_stream(void *ctx, struct connection *s, struct connection *c, u64 sock, struct frames *f)
{
	if (s->wanted && f->todo & (TAKE_STACK | TAKE_RECEIVE_STACK))
		take_stream_stack(ctx, s, c, f);
	FORGET_VALUES();
	if (f->todo & COMPLETE && s->recorded)
		submit_completion(s);
	FORGET_VALUES();
	if (f->todo & SUBMIT && s->wanted && is_slow(s, s->t3))
		submit_stream(s, sock);
	FORGET_VALUES();
	if (f->todo & FORGET && s->wanted && s->phase != IDLE && !s->recorded)
		count_fast_call(s->t3 - s->t0);
	FORGET_VALUES();
	if (f->todo & (SUBMIT | RELEASE | FORGET))
		release_slots(s);
	FORGET_VALUES();
	if (f->todo & FORGET)
		forget_stream(s, c);
}

static __always_inline void see_frame(void *ctx, struct connection *c, u64 sock, struct frames *f)
{
	struct connection *s;

	if (f->begins && f->type == GOAWAY && f->direction != c->opens)
		end_streams(c, f->number & 0x7fffffff, OUTCOME_CLOSED, 0);
	FORGET_VALUES();
	if (begins_headers(f) && !stream_of(c, f))
		open_stream(c, sock, f);
	FORGET_VALUES();
	if (begins_headers(f) && f->direction == c->opens && f->stream > f->last_stream)
		f->last_stream = f->stream;
	FORGET_VALUES();
	s = f->size ? stream_of(c, f) : NULL;
	if (!s || s->t0 < f->lost)
		return;
	f->todo = 0;
	advance_stream(s, c, f);
	FORGET_VALUES();
	do_for_stream(ctx, s, c, sock, f);
}

/* Returns whether the walk is in step. A client numbers its streams one after the other. */
static __always_inline bool take_step(void *ctx, struct connection *c, u64 sock, struct frames *f)
{
	if (!walk_on(f))
		return false;
	FORGET_VALUES();
	if (begins_headers(f) && f->direction == c->opens && f->last_stream && f->stream > f->last_stream + LARGEST_STEP)
		return false;
	FORGET_VALUES();
	see_frame(ctx, c, sock, f);
	return true;
}

/* The direction in which this thread has begun a walk. */
static __always_inline struct frames *walked_frames(u64 sock)
{
	struct frames *f = known_frames(sock, SENDING);

	if (!f || !f->is_walking || f->tid != (u32)bpf_get_current_pid_tgid())
		f = known_frames(sock, RECEIVING);
	return f && f->is_walking && f->tid == (u32)bpf_get_current_pid_tgid() ? f : NULL;
}

/* Takes one step. Returns whether the loader's repetition of the program must take another one. */
static __always_inline int walk_transfer(void *ctx, u64 sock)
{
	struct connection *c = connections.lookup(&sock);
	struct frames *f = walked_frames(sock);

	if (!c || !f)
		return 0;
	if (!has_more(f)) {
		finish_transfer(f);
		return 0;
	}
	if (take_step(ctx, c, sock, f)) {
		if (++f->steps % STEPS_A_RUN)
			return 1;
		send_walkers.call(ctx, 0); /* with fexit, of receives those of receives: bpf_programs.py */
	}
	lose_step(c, f);
	return 0;
}

static __always_inline void end_receiving(struct connection *c, u64 wanted, int received)
{
	if (received == -EPIPE || received == -ECONNRESET)
		end_streams(c, 0, OUTCOME_RESET, 0);
	if (received || !wanted)
		return;
	c->peer_closed = 1;
	if (c->opens == SENDING) /* a server may still answer */
		end_streams(c, 0, OUTCOME_EOF, 0);
}

/* Begins to walk what was received, if that was not begun before. Returns whether there is a step to take. */
static __always_inline int begin_received(u64 sock, u64 msg, u64 wanted, int received)
{
	struct connection *c = connections.lookup(&sock);
	struct frames *f;

	if (walked_frames(sock))
		return 1;
	if (!c)
		return 0;
	if (received <= 0) {
		end_receiving(c, wanted, received);
		return 0;
	}
	f = frames_of(c, sock, RECEIVING);
	if (!f)
		return 0;
	if (c->opens == RECEIVING)
		meet_thread(c);
	f->task = bpf_get_current_task();
	f->payload = received_into(msg, received);
	f->payload.next = second_segment(&f->payload);
	if (!begin_walk(c, f, read_u32(sock + TCP_SOCK__COPIED_SEQ), received))
		return 0;
	f->began = f->ended;
	return 1;
}

#ifdef USE_FEXIT

int begin_walk_of_receive(unsigned long long *ctx)
{
	return begin_received(ctx[0], ctx[1], ctx[2], ctx[TCP_RECVMSG_ARGUMENTS]);
}

int walk_streams(unsigned long long *ctx)
{
	return walk_transfer(ctx, ctx[0]);
}

#elif defined(USE_KPROBES)

int begin_walk_of_receive(struct pt_regs *ctx)
{
	struct transfer transfer = ended_transfer();

	return begin_received(transfer.ended, transfer.msg, transfer.wanted, PT_REGS_RC(ctx));
}

int walk_streams(struct pt_regs *ctx)
{
	return walk_transfer(ctx, ended_transfer().ended);
}

#else

int begin_walk_of_receive(struct bpf_raw_tracepoint_args *ctx)
{
	int received = ctx->args[1];

	return begin_received(ctx->args[0], 0, received ? 1 : bytes_wanted(), received);
}

int walk_streams(struct bpf_raw_tracepoint_args *ctx)
{
	return walk_transfer(ctx, ctx->args[0]);
}

#endif
