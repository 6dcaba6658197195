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

static __always_inline u64 read_user(u64 address, bool *fault)
{
	u64 value = 0;

	if (bpf_probe_read_user(&value, sizeof(value), (void *)address))
		*fault = true;
	return value;
}

static __always_inline u64 follow_steps(u64 from, u64 *steps, u32 count, u32 most, bool *fault)
{
#pragma unroll
	for (u32 i = 0; i < most; i++) {
		if (i < count && from)
			from = read_user(from + steps[i], fault);
	}
	return from;
}

static __always_inline u64 frame_of(struct python_layout *python, u64 state, bool *fault)
{
	return follow_steps(state, python->current, python->current_steps, 2, fault);
}

/*
 * A thread can have a state in each of several interpreters, and up to 3.11 its slot keeps the first one ever made. So
 * where that one runs nothing, this returns the thread's frame in another interpreter.
 */
static __always_inline u64 search_frame(struct python_layout *python, u64 pointer, bool *fault)
{
	u64 interpreter = read_user(python->interpreters, fault), state = 0;

	if (interpreter)
		state = read_user(interpreter + python->first_thread, fault);
#pragma nounroll
	for (u32 i = 0; i < MAX_SEARCHED_STATES && interpreter; i++) {
		if (!state) {
			interpreter = read_user(interpreter + python->next_interpreter, fault);
			if (interpreter)
				state = read_user(interpreter + python->first_thread, fault);
			continue;
		}
		if (read_user(state + python->thread_id, fault) == pointer) {
			u64 frame = frame_of(python, state, fault);

			if (frame)
				return frame;
		}
		state = read_user(state + python->next_thread, fault);
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
	u32 index = (offset - stack->layout.code_begin) / sizeof(u64);

	return index < PYTHON_CODE_WORDS ? stack->code[index] : 0;
}

/* Frames that call each other often are of one file. Its name cannot change meanwhile: their code objects hold it. */
static __always_inline u64 filename_sum(struct python_stack *stack, u64 filename, bool *fault)
{
	u64 sum = 0;

	if (filename == stack->filename)
		return stack->filename_sum;
	__builtin_memset(stack->text, 0, sizeof(stack->text));
	if (bpf_probe_read_user_str(stack->text, sizeof(stack->text), (void *)(filename + STR_CHARACTERS)) < 0)
		*fault = true;
#pragma unroll
	for (u32 i = 0; i < PYTHON_TEXT_SIZE / sizeof(u64); i++)
		sum += placed(stack->text[i], PLACE_OF_TEXT + i);
	stack->filename = *fault ? 0 : filename;
	stack->filename_sum = sum;
	return sum;
}

/* Up to 3.11 a code object has no number, and all its parts may be where those of another one were: so of what they are. */
static __always_inline u64 add_contents(struct python_stack *stack, u64 cookie, bool *fault)
{
	u64 name = code_word(stack, stack->layout.name), table = code_word(stack, stack->layout.table);

	cookie += placed(read_user(name + STR_HASH, fault), PLACE_OF_NAME);
	cookie += filename_sum(stack, code_word(stack, stack->layout.filename), fault);
	if (bpf_probe_read_user(stack->table, sizeof(stack->table), (void *)(table + BYTES_SIZE)))
		*fault = true;
	cookie += placed(stack->table[0], PLACE_OF_TABLE);
	cookie += placed(stack->table[2], PLACE_OF_TABLE + 2); /* [1] is its hash, which may be set later */
	return cookie + placed(stack->table[3], PLACE_OF_TABLE + 3);
}

/* The same is done in httprec/languages/python_code.py. */
static __always_inline u64 cookie_of(struct python_stack *stack, u64 code)
{
	u32 size = stack->layout.code_words * sizeof(u64);
	u64 begin = code + stack->layout.code_begin, cookie = 0;
	bool fault = false;

	if (!stack->layout.name) { /* from 3.12 on it has a number, in this word */
		cookie = placed(read_user(begin, &fault), 0);
		return fault ? 0 : mixed(cookie, 0) | 1;
	}
	if (size > sizeof(stack->code) || bpf_probe_read_user(stack->code, size, (void *)begin))
		return 0;
#pragma unroll
	for (u32 i = 0; i < PYTHON_CODE_WORDS; i++)
		cookie += placed(stack->code[i], i);
	cookie = add_contents(stack, cookie, &fault);
	return fault ? 0 : mixed(cookie, 0) | 1;
}

static __always_inline u64 frame_word(struct python_stack *stack, u32 offset)
{
	return *(u64 *)(stack->frame + (offset & (PYTHON_FRAME_SIZE - sizeof(u64))));
}

static __always_inline u8 walk_frames_of_python(struct python_stack *stack, u64 frame)
{
	u32 size = stack->layout.frame_size;
	u64 chain = stack->row.process_start, last_code = 0, last_cookie = 0;
	bool fault = false;

	if (size > sizeof(stack->frame))
		return PYTHON_FAULT;
	__builtin_memset(stack->code, 0, sizeof(stack->code));
	stack->filename = 0;
#pragma nounroll
	for (u32 i = 0; i < MAX_PYTHON_FRAMES; i++) {
		struct python_frame *to = &stack->frames[i];

		if (!frame)
			break;
		if (bpf_probe_read_user(stack->frame, size, (void *)frame)) {
			fault = true;
			break;
		}
		to->address = frame;
		to->code = frame_word(stack, stack->layout.code) & ~3ULL;
		to->instruction = frame_word(stack, stack->layout.instruction);
		to->flags = *(u16 *)(stack->frame + (stack->layout.flags & (PYTHON_FRAME_SIZE - sizeof(u16))));
		to->cookie = 0;
		if ((to->flags & 0xff) < stack->layout.entry_owner) {
			if (to->code != last_code) /* else it is alive in both frames, and so the same */
				last_cookie = cookie_of(stack, to->code);
			last_code = to->code;
			to->cookie = last_cookie;
		}
		chain = mixed(mixed(chain, to->code + to->cookie), to->instruction);
		stack->row.frames_size = (i + 1) * sizeof(*to);
		frame = frame_word(stack, stack->layout.back);
	}
	stack->row.chain = chain | 1;
	return fault ? PYTHON_FAULT : frame ? PYTHON_CUT : PYTHON_WHOLE;
}

static __always_inline u8 walk_python_frames(struct python_stack *stack)
{
	u64 pointer = read_u64(bpf_get_current_task() + TASK_STRUCT__FSBASE), state, frame;
	struct python_layout *python = &stack->layout;
	bool fault = false;

	state = follow_steps(pointer, python->slot, python->slot_steps, 3, &fault);
	if (!state)
		return fault ? PYTHON_FAULT : PYTHON_NO_STATE;
	if (read_user(state + python->thread_id, &fault) != pointer)
		return fault ? PYTHON_FAULT : PYTHON_OTHER_STATE;
	frame = frame_of(python, state, &fault);
	if (!frame && python->interpreters)
		frame = search_frame(python, pointer, &fault);
	if (fault && !frame)
		return PYTHON_FAULT;
	return walk_frames_of_python(stack, frame);
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

static __always_inline int walk_for(u64 sock)
{
	struct connection *c = connections.lookup(&sock);
	struct python_stack *stack = c ? python_stack_in(c->slot) : NULL;

	if (!stack || stack->thread != bpf_get_current_pid_tgid()) /* another thread has taken a stack meanwhile */
		return 0;
	stack->row.status = walk_python_frames(stack);
	output_early(stack);
	return 0;
}

#ifdef USE_FEXIT
int walk_python(unsigned long long *ctx)
{
	return walk_for(ctx[0]);
}
#elif defined(USE_KPROBES)
int walk_python(struct pt_regs *ctx)
{
	return walk_for(PT_REGS_PARM1(ctx));
}
#else
int walk_python(struct bpf_raw_tracepoint_args *ctx)
{
	return walk_for(ctx->args[0]);
}
#endif

#endif
