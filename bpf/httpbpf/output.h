/* SPDX-License-Identifier: GPL-2.0-only */
/* Sends the rows of a slow call to user space. Every row that does not fit into its ring is counted. */

static __always_inline bool is_slow(struct connection *c, u64 now)
{
	return (s64)(now - c->t0) >= THRESHOLD_NS;
}

static __always_inline u64 hash_frames(struct stack_frames *from)
{
	u64 hash = from->row.process_start ^ (u64)from->row.pid << 32;

#pragma nounroll
	for (u32 i = 0; i < MAX_FRAMES; i++) {
		if (i * sizeof(u64) >= from->row.frames_size)
			break;
		hash = (hash ^ from->frames[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	return hash | 1; /* 0 means no stack */
}

/* Returns an id for the stack copy of one side of one call. */
static __always_inline u64 unique_id(struct connection *c, struct side side)
{
	return (c->connection * 0x9e3779b97f4a7c15ULL ^ ((u64)c->sequence << 1 | side.number << 33)) | 1;
}

/* Sends a row with what follows it: its size and the most that this can be, which the verifier has to see just here. */
static __always_inline u64 output_row(struct side side, struct stack_row *row, u64 size, u64 most)
{
	if (stack_ring.ringbuf_output(row, sizeof(*row) + at_most(size, most), BPF_RB_NO_WAKEUP)) {
		count(STACK_RING_FULL);
		*side.status = STACK_LOST;
		return 0;
	}
	return row->id;
}

static __always_inline u64 output_stack(struct connection *c, struct side side, struct stack_row *row, u64 size, u64 most)
{
	output_walked(c, side, row);
	return output_row(side, row, size, most);
}

/* Sends equal frames of a process once. */
static __always_inline u64 submit_frames(struct connection *c, struct side side, struct stack_frames *from)
{
	u64 size = from->row.frames_size;
	u8 seen = 1;
	u64 id;

	if (from->row.registers_size) {
		from->row.id = unique_id(c, side);
		return output_stack(c, side, &from->row, size, sizeof(from->frames));
	}
	from->row.id = hash_frames(from) ^ (chain_of(c, side, &from->row) & ~1ULL);
	if (seen_stacks.lookup(&from->row.id))
		return from->row.id;
	id = output_stack(c, side, &from->row, size, sizeof(from->frames));
	if (id)
		seen_stacks.update(&id, &seen);
	return id;
}

/* Returns the stack's id, 0 for none. Every copy is sent, because two are hardly ever equal. */
static __always_inline u64 submit_stack(struct connection *c, struct side side)
{
	struct stack_frames *frames = frames_in(*side.slot);

	if (*side.status != STACK_RECORDED)
		return 0;
#if STACK_PAGES
	struct stack_copy *copy = copy_in(*side.slot);

	if (copy) {
		copy->row.id = unique_id(c, side);
		return output_stack(c, side, &copy->row, copy->row.memory_size, sizeof(copy->memory));
	}
#endif
	return frames ? submit_frames(c, side, frames) : 0;
}

static __always_inline void fill_call(struct call_row *call, struct connection *c, u64 stack, u64 receive_stack)
{
	__builtin_memset(call, 0, sizeof(*call));
	call->process_start = c->process_start;
	call->connection = c->connection;
	call->cgroup = c->cgroup;
	__builtin_memcpy(call->process, c->process, sizeof(call->process));
	__builtin_memcpy(call->local_address, c->local_address, sizeof(call->local_address));
	__builtin_memcpy(call->peer_address, c->peer_address, sizeof(call->peer_address));
	call->pid = c->pid;
	call->local_port = c->local_port;
	call->peer_port = c->peer_port;
	call->t0 = c->t0;
	call->t1 = c->t1;
	call->t2 = c->t2;
	call->t3 = c->t3;
	call->sent = c->sent;
	call->received = c->received;
	call->stack = stack;
	call->receive_stack = receive_stack;
	__builtin_memcpy(call->comm, c->comm, sizeof(call->comm));
	__builtin_memcpy(call->request_head, c->request_head, sizeof(call->request_head));
	__builtin_memcpy(call->response_head, c->response_head, sizeof(call->response_head));
	call->sequence = c->sequence;
	call->tid = c->tid;
	call->receive_tid = c->receive_tid;
	call->stream = c->stream;
	call->http2_error = c->http2_error;
	call->request_seq = c->request_seq;
	call->response_seq = c->response_seq;
	call->role = c->role;
	call->role_source = c->role_source;
	call->outcome = c->outcome;
	call->stack_status = c->stack_status;
	call->receive_stack_status = c->receive_stack_status;
	call->stack_is_late = c->stack_is_late;
	call->judged_by = c->judged_by;
	call->first_byte_is_guess = c->first_byte_is_guess;
	call->is_encrypted = c->is_encrypted;
}

/*
 * One of some 64 calls with a stack wakes the recorder: the ring has no room for all stacks that may come before its next
 * round.
 */
static __always_inline u64 wake_up(struct connection *c, u64 stack)
{
	return stack && !(unique_id(c, sending_side(c)) >> 40 & 63) ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline void submit_row(struct connection *c, u64 sock, u64 stack, u64 receive_stack)
{
	struct call_row *call;

	count(CALLS);
	call = call_ring.ringbuf_reserve(sizeof(*call));
	if (!call) {
		count(CALL_RING_FULL);
		c->recorded = RING_WAS_FULL;
		return;
	}
	fill_call(call, c, stack, receive_stack);
	fill_network(call, c, sock);
	call_ring.ringbuf_submit(call, wake_up(c, stack));
	c->recorded = IN_RING;
	c->told_t3 = c->t3;
}

static __always_inline void submit_slow_call(struct connection *c, u64 sock)
{
	u64 stack, receive_stack = 0;

	refresh_names(c);
	output_heads(c);
	stack = submit_stack(c, sending_side(c));
	if (RECEIVE_STACKS)
		receive_stack = submit_stack(c, receiving_side(c));
	submit_row(c, sock, stack, receive_stack);
}

/* Records a call that is slow, or one that has ended and was not. */
static __always_inline void submit_call(struct connection *c, u64 sock)
{
	if (c->wanted) {
		if (is_slow(c, c->t3))
			submit_slow_call(c, sock);
		else
			end_fast_call(c, c);
	}
	release_slots(c);
}

static __always_inline void submit_completion(struct connection *c)
{
	struct completion_row row = {
		.connection = c->connection,
		.t3 = c->t3,
		.sent = c->sent,
		.received = c->received,
		.sequence = c->sequence,
		.http2_error = c->http2_error,
	};

	if (c->recorded != IN_RING || c->t3 == c->told_t3)
		return;
	count(COMPLETIONS);
	if (completion_ring.ringbuf_output(&row, sizeof(row), BPF_RB_NO_WAKEUP))
		count(COMPLETION_RING_FULL);
}
