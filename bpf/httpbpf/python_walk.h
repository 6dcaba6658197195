/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walks the Python frames of the current thread. A program of its own, to which the probe of a send makes a tail call:
 * its instructions do not count as the probe's.
 *
 * The thread has released the GIL, since sending blocks. So the pointer to the running thread's state is another's or
 * NULL; what stays is the thread's own slot of autoTSSkey, which PyGILState_GetThisThreadState reads. What is there
 * counts only if it names this thread.
 */
#ifdef PYTHON_SLOTS

#define MAX_SEARCHED_STATES 64
#define FRAMES_OF_TURN 16 /* 8 turns for all; the kernel lets programs call each other 32 times */
#define STR_HASH 24	   /* PyASCIIObject.hash; names of code are interned, and so hashed */
#define STR_CHARACTERS 48  /* of an ASCII string, up to 3.11 */
#define BYTES_SIZE 16	   /* PyVarObject.ob_size of a bytes object; up to the end of the smallest one follow 32 bytes */
#define YOUNG_NS 5000000000ULL
#define HASH_FACTOR 0x9e3779b97f4a7c15ULL
#define PLACE_OF_NAME PYTHON_CODE_WORDS
#define PLACE_OF_TEXT (PLACE_OF_NAME + 1)
#define PLACE_OF_TABLE (PLACE_OF_TEXT + PYTHON_TEXT_SIZE / sizeof(u64))

/* Helper by number, include/uapi/linux/bpf.h; since 5.8. */
static u64 (*boot_ns)(void) = (void *)125;

/* A fault is kept in memory, so that the verifier does not follow the rest of the program with and without one. */
static __always_inline u64 read_user(struct python_stack *stack, u64 address)
{
	u64 value = 0;

	if (bpf_probe_read_user(&value, sizeof(value), (void *)address))
		stack->fault = 1;
	return value;
}

static __always_inline u64 follow_steps(struct python_stack *stack, u64 from, u64 *steps, u32 count, u32 most)
{
#pragma unroll
	for (u32 i = 0; i < most; i++) {
		if (i < count && from)
			from = read_user(stack, from + steps[i]);
	}
	return from;
}

static __always_inline u64 frame_of(struct python_stack *stack, u64 state)
{
	return follow_steps(stack, state, stack->layout.current, stack->layout.current_steps, 2);
}

/*
 * A thread can have a state in each of several interpreters, and up to 3.11 its slot keeps the first one ever made. So
 * where that one runs nothing, this returns the thread's frame in another interpreter.
 */
static __always_inline u64 search_frame(struct python_stack *stack, u64 pointer)
{
	struct python_layout *python = &stack->layout;
	u64 interpreter = read_user(stack, python->interpreters), state = 0;

	if (interpreter)
		state = read_user(stack, interpreter + python->first_thread);
#pragma nounroll
	for (u32 i = 0; i < MAX_SEARCHED_STATES && interpreter; i++) {
		if (!state) {
			interpreter = read_user(stack, interpreter + python->next_interpreter);
			if (interpreter)
				state = read_user(stack, interpreter + python->first_thread);
			continue;
		}
		if (read_user(stack, state + python->thread_id) == pointer) {
			u64 frame = frame_of(stack, state);

			if (frame)
				return frame;
		}
		state = read_user(stack, state + python->next_thread);
	}
	return 0;
}

static __always_inline u64 mixed(u64 hash, u64 word)
{
	hash = (hash ^ word) * HASH_FACTOR;
	return hash ^ hash >> 32;
}

/*
 * A word at its place among those of a code object: products do not wait for each other, as rounds of mixed() would. The
 * factors of two places are in no simple proportion: a pointer and a byte that change together must not cancel out.
 */
static __always_inline u64 placed(u64 word, u32 place)
{
	return word * (mixed(2 * place + 1, 0) * HASH_FACTOR | 1);
}

static __always_inline u64 code_word(struct python_stack *stack, u32 offset)
{
	return stack->code[at_most((offset - stack->layout.code_begin) / sizeof(u64), PYTHON_CODE_WORDS - 1)];
}

/* Frames that call each other often are of one file. Its name cannot change meanwhile: their code objects hold it. */
static __always_inline u64 filename_sum(struct python_stack *stack, u64 filename)
{
	u64 sum = 0;

	if (filename == stack->filename)
		return stack->filename_sum;
	__builtin_memset(stack->text, 0, sizeof(stack->text));
	if (bpf_probe_read_user_str(stack->text, sizeof(stack->text), (void *)(filename + STR_CHARACTERS)) < 0)
		stack->fault = 1;
#pragma unroll
	for (u32 i = 0; i < PYTHON_TEXT_SIZE / sizeof(u64); i++)
		sum += placed(stack->text[i], PLACE_OF_TEXT + i);
	stack->filename = stack->fault ? 0 : filename;
	stack->filename_sum = sum;
	return sum;
}

/* Up to 3.11 a code object has no number, and all its parts may be where those of another one were: so of what they are. */
static __always_inline u64 add_contents(struct python_stack *stack, u64 cookie)
{
	u64 name = code_word(stack, stack->layout.name), table = code_word(stack, stack->layout.table);

	cookie += placed(read_user(stack, name + STR_HASH), PLACE_OF_NAME);
	cookie += filename_sum(stack, code_word(stack, stack->layout.filename));
	if (bpf_probe_read_user(stack->table, sizeof(stack->table), (void *)(table + BYTES_SIZE)))
		stack->fault = 1;
	cookie += placed(stack->table[0], PLACE_OF_TABLE);
	cookie += placed(stack->table[2], PLACE_OF_TABLE + 2); /* [1] is its hash, which may be set later */
	return cookie + placed(stack->table[3], PLACE_OF_TABLE + 3);
}

/* The same is done in httprec/languages/python_code.py. */
static __always_inline u64 cookie_of(struct python_stack *stack, u64 code)
{
	u32 size = stack->layout.code_words * sizeof(u64);
	u64 begin = code + stack->layout.code_begin, cookie = 0;

	stack->fault = 0;
	if (!stack->layout.name) { /* from 3.12 on it has a number, in this word */
		cookie = placed(read_user(stack, begin), 0);
		return stack->fault ? 0 : mixed(cookie, 0) | 1;
	}
	if (size > sizeof(stack->code) || bpf_probe_read_user(stack->code, size, (void *)begin))
		return 0;
#pragma unroll
	for (u32 i = 0; i < PYTHON_CODE_WORDS; i++)
		cookie += placed(stack->code[i], i);
	cookie = add_contents(stack, cookie);
	return stack->fault ? 0 : mixed(cookie, 0) | 1;
}

static __always_inline u64 frame_word(struct python_stack *stack, u32 offset)
{
	return *(u64 *)(stack->frame + (offset & (PYTHON_FRAME_SIZE - sizeof(u64))));
}

static __always_inline void take_frame(struct python_stack *stack, struct python_frame *to)
{
	to->address = stack->next;
	to->code = frame_word(stack, stack->layout.code) & ~3ULL;
	to->instruction = frame_word(stack, stack->layout.instruction);
	to->flags = *(u16 *)(stack->frame + (stack->layout.flags & (PYTHON_FRAME_SIZE - sizeof(u16))));
	to->cookie = 0;
	if ((to->flags & 0xff) < stack->layout.entry_owner) {
		if (to->code != stack->last_code) /* else it is alive in both frames, and so the same */
			stack->last_cookie = cookie_of(stack, to->code);
		stack->last_code = to->code;
		to->cookie = stack->last_cookie;
	}
	stack->row.chain = mixed(mixed(stack->row.chain, to->code + to->cookie), to->instruction) | 1;
	stack->next = frame_word(stack, stack->layout.back);
}

/*
 * Takes as many frames as one turn does. Returns PYTHON_NOT_WALKED if more may follow. What a frame leaves for the next
 * one goes through memory: so the verifier knows no more of any frame than of the first.
 */
static __always_inline u8 take_frames_of_turn(struct python_stack *stack)
{
	u32 size = stack->layout.frame_size;

	if (size > sizeof(stack->frame))
		return PYTHON_FAULT;
#pragma nounroll
	for (u32 i = 0; i < FRAMES_OF_TURN; i++) {
		u32 taken = stack->row.frames_size;

		if (!stack->next)
			return PYTHON_WHOLE;
		if (taken > sizeof(stack->frames) - sizeof(struct python_frame))
			return PYTHON_CUT;
		if (bpf_probe_read_user(stack->frame, size, (void *)stack->next))
			return PYTHON_FAULT;
		take_frame(stack, (void *)stack->frames + taken);
		stack->row.frames_size = taken + sizeof(struct python_frame);
	}
	return PYTHON_NOT_WALKED;
}

/* Returns why there is no first frame, else PYTHON_NOT_WALKED. */
static __always_inline u8 begin_walk(struct python_stack *stack)
{
	u64 pointer = read_u64(bpf_get_current_task() + TASK_STRUCT__FSBASE), state;
	struct python_layout *python = &stack->layout;

	stack->fault = 0;
	state = follow_steps(stack, pointer, python->slot, python->slot_steps, 3);
	if (!state)
		return stack->fault ? PYTHON_FAULT : PYTHON_NO_STATE;
	if (read_user(stack, state + python->thread_id) != pointer)
		return stack->fault ? PYTHON_FAULT : PYTHON_OTHER_STATE;
	stack->next = frame_of(stack, state);
	if (!stack->next && python->interpreters)
		stack->next = search_frame(stack, pointer);
	if (stack->fault && !stack->next)
		return PYTHON_FAULT;
	__builtin_memset(stack->code, 0, sizeof(stack->code));
	stack->filename = 0;
	stack->last_code = 0;
	stack->row.chain = stack->row.process_start | 1;
	return PYTHON_NOT_WALKED;
}

/*
 * A young process may end with this call. So user space gets its frames now, not only when the call is known to be slow,
 * and reads the code objects while they are in use.
 */
static __always_inline void output_early(struct python_stack *stack)
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
	if (python_ring.ringbuf_output(&stack->row, sizeof(stack->row) + size, BPF_RB_FORCE_WAKEUP))
		count(PYTHON_RING_FULL);
}

static __always_inline int walk_for(void *ctx, u64 sock)
{
	struct connection *c = connections.lookup(&sock);
	struct python_stack *stack = c ? python_stack_in(c->slot) : NULL;
	u8 status = PYTHON_NOT_WALKED;

	if (!stack || stack->thread != bpf_get_current_pid_tgid()) /* another thread has taken a stack meanwhile */
		return 0;
	if (stack->row.status == PYTHON_NOT_WALKED)
		status = begin_walk(stack);
	if (status == PYTHON_NOT_WALKED)
		status = take_frames_of_turn(stack);
	stack->row.status = status;
	if (status == PYTHON_NOT_WALKED) {
		stack->row.status = PYTHON_CUT; /* until the next turn, which may not come */
		python_walkers.call(ctx, 0);
	}
	output_early(stack);
	return 0;
}

#ifdef USE_FEXIT
int walk_python(unsigned long long *ctx)
{
	return walk_for(ctx, ctx[0]);
}
#elif defined(USE_KPROBES)
int walk_python(struct pt_regs *ctx)
{
	return walk_for(ctx, PT_REGS_PARM1(ctx));
}
#else
int walk_python(struct bpf_raw_tracepoint_args *ctx)
{
	return walk_for(ctx, ctx->args[0]);
}
#endif

#endif
