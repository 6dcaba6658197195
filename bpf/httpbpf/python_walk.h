/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Takes the Python frames of the current thread.
 *
 * The thread has released the GIL, since sending blocks. So the pointer to the running thread's state is another's or
 * NULL; what stays is the thread's own slot of autoTSSkey, which PyGILState_GetThisThreadState reads. What is there
 * counts only if it names this thread.
 */
#ifdef WALKED_SLOTS

#define MAX_SEARCHED_STATES 64
#define STR_HASH 24	   /* PyASCIIObject.hash; names of code are interned, and so hashed */
#define STR_CHARACTERS 48  /* of an ASCII string, up to 3.11 */
#define BYTES_SIZE 16	   /* PyVarObject.ob_size of a bytes object; up to the end of the smallest one follow 32 bytes */
#define PYTHON_TEXT_SIZE 64 /* bytes read of a file name */
#define PLACE_OF_NAME PYTHON_CODE_WORDS
#define PLACE_OF_TEXT (PLACE_OF_NAME + 1)
#define PLACE_OF_TABLE (PLACE_OF_TEXT + PYTHON_TEXT_SIZE / sizeof(u64))

static __always_inline struct python_layout *python_in(struct walked_stack *stack)
{
	return (void *)stack->runtime.layout;
}

static __always_inline u64 follow_steps(struct walked_stack *stack, u64 from, u64 *steps, u32 count, u32 most)
{
#pragma unroll
	for (u32 i = 0; i < most; i++) {
		if (i < count && from)
			from = read_user(stack, from + steps[i]);
	}
	return from;
}

static __always_inline u64 frame_of(struct walked_stack *stack, u64 state)
{
	struct python_layout *python = python_in(stack);

	return follow_steps(stack, state, python->current, python->current_steps, 2);
}

/*
 * A thread can have a state in each of several interpreters, and up to 3.11 its slot keeps the first one ever made. So
 * where that one runs nothing, this returns the thread's frame in another interpreter.
 */
static __always_inline u64 search_frame(struct walked_stack *stack, u64 pointer)
{
	struct python_layout *python = python_in(stack);
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

/*
 * A word at its place among those of a code object: products do not wait for each other, as rounds of mixed() would. The
 * factors of two places are in no simple proportion: a pointer and a byte that change together must not cancel out.
 */
static __always_inline u64 placed(u64 word, u32 place)
{
	return word * (mixed(2 * place + 1, 0) * HASH_FACTOR | 1);
}

static __always_inline u64 code_word(struct walked_stack *stack, u32 offset)
{
	struct python_layout *python = python_in(stack);

	return stack->code[at_most((offset - python->code_begin) / sizeof(u64), PYTHON_CODE_WORDS - 1)];
}

/* Frames that call each other often are of one file. Its name cannot change meanwhile: their code objects hold it. */
static __always_inline u64 filename_sum(struct walked_stack *stack, u64 filename)
{
	u64 sum = 0;

	if (filename == stack->filename)
		return stack->filename_sum;
	__builtin_memset(stack->text, 0, PYTHON_TEXT_SIZE);
	if (bpf_probe_read_user_str(stack->text, PYTHON_TEXT_SIZE, (void *)(filename + STR_CHARACTERS)) < 0)
		stack->fault = 1;
#pragma unroll
	for (u32 i = 0; i < PYTHON_TEXT_SIZE / sizeof(u64); i++)
		sum += placed(stack->text[i], PLACE_OF_TEXT + i);
	stack->filename = stack->fault ? 0 : filename;
	stack->filename_sum = sum;
	return sum;
}

/* Up to 3.11 a code object has no number, and all its parts may be where those of another one were: so of what they are. */
static __always_inline u64 add_contents(struct walked_stack *stack, u64 cookie)
{
	struct python_layout *python = python_in(stack);
	u64 name = code_word(stack, python->name), table = code_word(stack, python->table);

	cookie += placed(read_user(stack, name + STR_HASH), PLACE_OF_NAME);
	cookie += filename_sum(stack, code_word(stack, python->filename));
	if (bpf_probe_read_user(stack->table, sizeof(stack->table), (void *)(table + BYTES_SIZE)))
		stack->fault = 1;
	cookie += placed(stack->table[0], PLACE_OF_TABLE);
	cookie += placed(stack->table[2], PLACE_OF_TABLE + 2); /* [1] is its hash, which may be set later */
	return cookie + placed(stack->table[3], PLACE_OF_TABLE + 3);
}

/* The same is done in httprec/languages/python_code.py. */
static __always_inline u64 cookie_of(struct walked_stack *stack, u64 code)
{
	struct python_layout *python = python_in(stack);
	u32 size = python->code_words * sizeof(u64);
	u64 begin = code + python->code_begin, cookie = 0;

	stack->fault = 0;
	if (!python->name) { /* from 3.12 on it has a number, in this word */
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

static __always_inline void take_python_frame(struct walked_stack *stack, struct walked_frame *to)
{
	struct python_layout *python = python_in(stack);

	to->code = frame_word(stack, python->code) & ~3ULL;
	to->instruction = frame_word(stack, python->instruction);
	to->flags = *(u16 *)(stack->frame + (python->flags & (WALKED_FRAME_SIZE - sizeof(u16))));
	to->cookie = 0;
	if ((to->flags & 0xff) < python->entry_owner) {
		if (to->code != stack->last_code) /* else it is alive in both frames, and so the same */
			stack->last_cookie = cookie_of(stack, to->code);
		stack->last_code = to->code;
		to->cookie = stack->last_cookie;
	}
	stack->next = frame_word(stack, python->back);
}

/* Returns why there is no first frame, else FRAMES_NOT_WALKED. */
static __always_inline u8 begin_python_walk(struct walked_stack *stack)
{
	u64 pointer = read_u64(bpf_get_current_task() + TASK_STRUCT__FSBASE), state;
	struct python_layout *python = python_in(stack);

	stack->fault = 0;
	state = follow_steps(stack, pointer, python->slot, python->slot_steps, 3);
	if (!state)
		return stack->fault ? FRAMES_FAULT : FRAMES_NO_STATE;
	if (read_user(stack, state + python->thread_id) != pointer)
		return stack->fault ? FRAMES_FAULT : FRAMES_OTHER_STATE;
	stack->next = frame_of(stack, state);
	if (!stack->next && python->interpreters)
		stack->next = search_frame(stack, pointer);
	if (stack->fault && !stack->next)
		return FRAMES_FAULT;
	__builtin_memset(stack->code, 0, sizeof(stack->code));
	return FRAMES_NOT_WALKED;
}

#endif
