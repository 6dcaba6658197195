/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walks the frames of an interpreter. Programs of their own, to which the probe of a send makes a tail call: their
 * instructions do not count as the probe's. `language` is a constant wherever the compiler sees it.
 */
#ifdef WALKED_SLOTS

#define FRAMES_OF_TURN 16 /* 8 turns for all; the kernel lets programs call each other 32 times */
#define MOST_TAKEN (sizeof(((struct walked_stack *)0)->frames) - sizeof(struct walked_frame)) /* bytes, before the last one */
#define YOUNG_NS 5000000000ULL

/* Helper by number, include/uapi/linux/bpf.h; since 5.8. */
static u64 (*boot_ns)(void) = (void *)125;

static __always_inline void take_frame(struct walked_stack *stack, struct walked_frame *to, u8 language)
{
	to->address = stack->next;
	if (language == PHP)
		take_php_frame(stack, to);
	else
		take_python_frame(stack, to);
	stack->row.chain = mixed(mixed(stack->row.chain, to->code + to->cookie), to->instruction) | 1;
}

/*
 * Takes as many frames as one turn does. Returns FRAMES_NOT_WALKED if more may follow. What a frame leaves for the next one
 * goes through memory: so the verifier knows no more of any frame than of the first.
 */
static __always_inline u8 take_frames_of_turn(struct walked_stack *stack, u8 language)
{
	u32 size = language == PHP ? EXECUTE_DATA_SIZE : python_in(stack)->frame_size;

	if (size > sizeof(stack->frame))
		return FRAMES_FAULT;
#pragma nounroll
	for (u32 i = 0; i < FRAMES_OF_TURN; i++) {
		u32 taken = stack->row.frames_size;

		if (!stack->next)
			return FRAMES_WHOLE;
		if (taken > MOST_TAKEN)
			return FRAMES_CUT;
		if (bpf_probe_read_user(stack->frame, at_most(size, sizeof(stack->frame)), (void *)stack->next))
			return FRAMES_FAULT;
		take_frame(stack, (void *)stack->frames + at_most(taken, MOST_TAKEN), language);
		stack->row.frames_size = taken + sizeof(struct walked_frame);
	}
	return FRAMES_NOT_WALKED;
}

static __always_inline u8 begin_walk(struct walked_stack *stack, u8 language)
{
	stack->fault = 0;
	stack->filename = 0;
	stack->last_code = 0;
	stack->row.chain = stack->row.process_start | 1;
	return language == PHP ? begin_php_walk(stack) : begin_python_walk(stack);
}

/*
 * A young process may end with this call. So user space gets its frames now, not only when the call is known to be slow,
 * and reads the code objects while they are in use.
 */
static __always_inline void output_early(struct walked_stack *stack)
{
	u64 chain = stack->row.chain;
	u32 size = stack->row.frames_size;
	u8 seen = 1;

	if (size > sizeof(stack->frames))
		return;
	if (boot_ns() - stack->row.process_start > YOUNG_NS || seen_chains.lookup(&chain))
		return;
	seen_chains.update(&chain, &seen);
	stack->row.id = 0;
	if (walked_ring.ringbuf_output(&stack->row, sizeof(stack->row) + at_most(size, sizeof(stack->frames)), BPF_RB_FORCE_WAKEUP))
		count(PYTHON_RING_FULL);
}

static __always_inline int walk_for(void *ctx, u64 sock, u8 language)
{
	struct connection *c = connections.lookup(&sock);
	struct walked_stack *stack = c ? walked_stack_in(c->slot) : NULL;
	u8 status = FRAMES_NOT_WALKED;

	if (!stack || stack->thread != bpf_get_current_pid_tgid()) /* another thread has taken a stack meanwhile */
		return 0;
	if (stack->row.status == FRAMES_NOT_WALKED)
		status = begin_walk(stack, language);
	if (status == FRAMES_NOT_WALKED)
		status = take_frames_of_turn(stack, language);
	stack->row.status = status;
	if (status == FRAMES_NOT_WALKED) {
		stack->row.status = FRAMES_CUT; /* until the next turn, which may not come */
		frame_walkers.call(ctx, language);
	}
	output_early(stack);
	return 0;
}

#ifdef USE_FEXIT
int walk_python(unsigned long long *ctx)
{
	return walk_for(ctx, ctx[0], PYTHON);
}

int walk_php(unsigned long long *ctx)
{
	return walk_for(ctx, ctx[0], PHP);
}
#elif defined(USE_KPROBES)
int walk_python(struct pt_regs *ctx)
{
	return walk_for(ctx, PT_REGS_PARM1(ctx), PYTHON);
}

int walk_php(struct pt_regs *ctx)
{
	return walk_for(ctx, PT_REGS_PARM1(ctx), PHP);
}
#else
int walk_python(struct bpf_raw_tracepoint_args *ctx)
{
	return walk_for(ctx, ctx->args[0], PYTHON);
}

int walk_php(struct bpf_raw_tracepoint_args *ctx)
{
	return walk_for(ctx, ctx->args[0], PHP);
}
#endif

#endif
