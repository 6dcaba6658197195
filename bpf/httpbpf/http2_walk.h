/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walks the frames of a transfer, and does what they say with the streams. A program of its own, to which the probe at the
 * end of a transfer makes a tail call. What is here takes one step. The loader repeats it STEPS_A_RUN times, one after the
 * other (bpf_programs.py), because in a loop the verifier would look at far more paths. The last one calls the program
 * again, at most MAX_TAIL_CALL_CNT times (33 with the probe's call).
 */

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
	return output_row(side, &copy->row, copy->row.memory_size, sizeof(copy->memory));
#else
	struct stack_frames *frames = frames_in(*side.slot);

	if (!frames)
		return 0;
	frames->row.id = unique_id(s, side);
	return output_row(side, &frames->row, frames->row.frames_size, sizeof(frames->frames));
#endif
}

static __always_inline void submit_stream(struct connection *s, u64 sock)
{
	u64 stack, receive_stack = 0;

	refresh_names(s);
	FORGET_VALUES();
	output_heads(s);
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
	if (!is_slow(s, s->t3))
		f->todo &= ~SUBMIT;
	FORGET_VALUES();
	if (s->wanted && f->todo & (SUBMIT | FORGET)) /* before the call, so that who sees the call sees this too */
		output_stream(s, f);
	FORGET_VALUES();
	if (f->todo & SUBMIT && s->wanted)
		submit_stream(s, sock);
	FORGET_VALUES();
	if (f->todo & FORGET && s->wanted && s->phase != IDLE && !s->recorded)
		end_fast_call(s, c);
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
	output_piece(c, f);
	FORGET_VALUES();
	see_frame(ctx, c, sock, f);
	return true;
}

/* Whether this thread has begun a walk of a direction. */
static __always_inline bool is_walking_here(struct frames *f)
{
	return f && f->is_walking && f->tid == (u32)bpf_get_current_pid_tgid();
}

/* Takes one step. Returns whether the loader's repetition of the program must take another one. */
static __always_inline int walk_transfer(void *ctx, u64 sock)
{
	struct connection *c = connections.lookup(&sock);
	struct frames *f = known_frames(sock, SENDING);

	if (!is_walking_here(f))
		f = known_frames(sock, RECEIVING);
	if (!is_walking_here(f)) /* a function that returns NULL instead would be refused, as LLVM 19 writes it */
		return 0;
	if (!c)
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
	struct payload payload;
	struct frames *f;

	if (is_walking_here(known_frames(sock, SENDING)) || is_walking_here(known_frames(sock, RECEIVING)))
		return 1;
	if (!c)
		return 0;
	if (received <= 0) {
		end_receiving(c, wanted, received);
		return 0;
	}
	if (c->protocol == TLS_STREAMS) /* what is read of it comes later */
		return 0;
	f = frames_of(c, sock, RECEIVING);
	if (!f)
		return 0;
	payload = received_into(msg, received);
	payload.next = second_segment(&payload);
	return begin_read_frames(c, f, payload, is_beyond_walked(f, read_u32(sock + TCP_SOCK__COPIED_SEQ), received), received);
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

#if HTTP_BYTES && TLS_SESSIONS

/* What the library has read for the program (tls_plaintext.h). */
int walk_plaintext(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct tls_thread *thread = tls_threads.lookup(&id);

	return thread ? walk_transfer(ctx, thread->walks) : 0;
}

#endif
