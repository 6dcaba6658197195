/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frames of interpreters. Where a send takes a stack of a process that runs Python or PHP, the probe ends with a tail
 * call to walk_python (python_walk.h) or walk_php (php_walk.h), which leaves the frames beside the stack in its slot. They
 * go out with the stack: of a slow call only.
 */
#ifdef WALKED_SLOTS

#define MAX_WALKED_FRAMES 128
#define WALKED_FRAME_SIZE 128 /* bytes read of a frame at most; a power of two */
#define PYTHON_CODE_WORDS 12  /* read of a code object at most */
#define PYTHON_TABLE_WORDS 4  /* read of a line table */
#define WALKED_TEXT_SIZE 256  /* bytes read of a name at most; a power of two */

struct walked_stack {
	struct walked_row row;
	struct walked_frame frames[MAX_WALKED_FRAMES];
	/* For the walk only. */
	u64 thread; /* its ids, as bpf_get_current_pid_tgid() returns them */
	struct runtime runtime;
	u8 frame[WALKED_FRAME_SIZE];
	u64 code[PYTHON_CODE_WORDS];
	u64 text[WALKED_TEXT_SIZE / sizeof(u64)];
	u64 table[PYTHON_TABLE_WORDS];
	u64 filename;	  /* the address of the last file name, and its hash */
	u64 filename_sum;
	u64 next;	  /* the frame to go on with; 0: none */
	u64 last_code;	  /* and its cookie */
	u64 last_cookie;
	u64 fault;	  /* not 0: a read has failed */
};

/*
 * Nothing in a runtime but Python's `interpreters` is an address, so it holds for every process of an executable. This
 * serves the first call of a process, which may be its only one. Where it does not hold, the walks notice.
 */
struct executable {
	u64 inode;
	u64 device;
};

BPF_TABLE("lru_hash", struct process_key, struct runtime, runtimes, 4096);
BPF_HASH(executables, struct executable, struct runtime, 1024);
BPF_ARRAY(walked_stacks, struct walked_stack, WALKED_SLOTS);
BPF_TABLE("lru_hash", u64, u8, seen_chains, 8192);
BPF_RINGBUF_OUTPUT(walked_ring, WALKED_RING_PAGES);
BPF_PROG_ARRAY(frame_walkers, 3); /* by enum language */

static __always_inline struct executable current_executable(void)
{
	u64 mm = read_u64(bpf_get_current_task() + TASK_STRUCT__MM), inode = 0, super_block;

	if (mm)
		inode = read_u64(read_u64(mm + MM_STRUCT__EXE_FILE) + FILE__F_INODE);
	super_block = read_u64(inode + INODE__I_SB);
	return (struct executable){ read_u64(inode + INODE__I_INO), read_u32(super_block + SUPER_BLOCK__S_DEV) };
}

/* Returns NULL for a process without an interpreter that is known. */
static __always_inline struct runtime *runtime_of(struct connection *c)
{
	struct process_key key = { .start = c->process_start, .pid = c->pid };
	struct runtime *runtime = runtimes.lookup(&key);

	if (!runtime) { /* user space has not looked at it yet */
		struct executable executable = current_executable();

		runtime = executables.lookup(&executable);
	}
	return runtime && runtime->language ? runtime : NULL;
}

/* Where no copies are wanted, the slots that are used first have the highest numbers. */
static __always_inline struct walked_stack *walked_stack_in(u32 slot)
{
	u32 index = STACK_PAGES ? slot - 1 : FRAME_SLOTS - slot;

	return slot && index < WALKED_SLOTS ? walked_stacks.lookup(&index) : NULL;
}

/* Continues with the walk of a language, if a stack of this thread was taken now. Does not return then. */
static __always_inline void walk_language(void *ctx, struct connection *c, u64 now)
{
	struct runtime *runtime = runtime_of(c);
	u64 id = bpf_get_current_pid_tgid();
	struct walked_stack *stack;

	if (!runtime || c->stack_status != STACK_RECORDED || c->pid != id >> 32) /* it is of c's process */
		return;
	stack = walked_stack_in(c->slot);
	if (!stack)
		return;
	stack->runtime = *runtime;
	stack->thread = id;
	stack->row.process_start = c->process_start;
	stack->row.taken = now;
	stack->row.chain = 0;
	stack->row.pid = c->pid;
	stack->row.frames_size = 0;
	stack->row.version = runtime->version;
	stack->row.language = runtime->language;
	stack->row.status = FRAMES_NOT_WALKED;
	c->is_walked = 1;
	frame_walkers.call(ctx, stack->row.language);
}

/* Returns what was walked for the stack in this row, NULL for nothing: a slot may have frames of another stack. */
static __always_inline struct walked_stack *walked_with(struct connection *c, struct side side, struct stack_row *row)
{
	struct walked_stack *stack = walked_stack_in(*side.slot);
	bool is_walked = c->is_walked && !side.number;

	return is_walked && stack && stack->row.taken == row->taken && stack->row.pid == row->pid ? stack : NULL;
}

static __always_inline u64 chain_of(struct connection *c, struct side side, struct stack_row *row)
{
	struct walked_stack *stack = walked_with(c, side, row);

	return stack ? stack->row.chain : 0;
}

/* Wakes user space for frames that it has not seen: their code objects must be read before the process ends. */
static __always_inline void output_walked(struct connection *c, struct side side, struct stack_row *row)
{
	struct walked_stack *stack = walked_with(c, side, row);
	u64 flags = BPF_RB_NO_WAKEUP, chain, size;
	u8 seen = 1;

	if (!stack)
		return;
	chain = stack->row.chain;
	if (!seen_chains.lookup(&chain)) {
		seen_chains.update(&chain, &seen);
		flags = BPF_RB_FORCE_WAKEUP;
	}
	stack->row.id = row->id;
	size = at_most(stack->row.frames_size, sizeof(stack->frames));
	if (walked_ring.ringbuf_output(&stack->row, sizeof(stack->row) + size, flags))
		count(PYTHON_RING_FULL);
}

#else

static __always_inline void walk_language(void *ctx, struct connection *c, u64 now)
{
}

static __always_inline u64 chain_of(struct connection *c, struct side side, struct stack_row *row)
{
	return 0;
}

static __always_inline void output_walked(struct connection *c, struct side side, struct stack_row *row)
{
}

#endif
