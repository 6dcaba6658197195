/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frames of CPython. Where a send takes a stack of a process that runs Python, the probe ends with a tail call to
 * walk_python (python_walk.h), which leaves the frames beside the stack in its slot. They go out with the stack: of a
 * slow call only.
 */
#ifdef PYTHON_SLOTS

#define MAX_PYTHON_FRAMES 128
#define PYTHON_FRAME_SIZE 128 /* bytes read of a frame at most; a power of two */
#define PYTHON_CODE_WORDS 12  /* read of a code object at most */
#define PYTHON_TEXT_SIZE 64   /* bytes read of a file name */
#define PYTHON_TABLE_WORDS 4  /* read of a line table */

struct python_stack {
	struct python_row row;
	struct python_frame frames[MAX_PYTHON_FRAMES];
	/* For the walk only. */
	u64 thread; /* its ids, as bpf_get_current_pid_tgid() returns them */
	struct python_layout layout;
	u8 frame[PYTHON_FRAME_SIZE];
	u64 code[PYTHON_CODE_WORDS];
	u64 text[PYTHON_TEXT_SIZE / sizeof(u64)];
	u64 table[PYTHON_TABLE_WORDS];
	u64 filename;	  /* the address of the last file name, and what it adds to a cookie */
	u64 filename_sum;
	u64 next;	  /* the frame to go on with; 0: none */
	u64 last_code;	  /* and its cookie */
	u64 last_cookie;
	u64 fault;	  /* not 0: a read has failed */
};

/*
 * Nothing in a layout but `interpreters` is an address, so it holds for every process of an executable. This serves the
 * first call of a process, which may be its only one. Where it does not hold, the thread's state does not name the thread.
 */
struct executable {
	u64 inode;
	u64 device;
};

BPF_TABLE("lru_hash", struct process_key, struct python_layout, pythons, 4096);
BPF_HASH(python_executables, struct executable, struct python_layout, 1024);
BPF_ARRAY(python_stacks, struct python_stack, PYTHON_SLOTS);
BPF_TABLE("lru_hash", u64, u8, seen_chains, 8192);
BPF_RINGBUF_OUTPUT(python_ring, PYTHON_RING_PAGES);
BPF_PROG_ARRAY(python_walkers, 1);

static __always_inline struct executable current_executable(void)
{
	u64 mm = read_u64(bpf_get_current_task() + TASK_STRUCT__MM), inode = 0, super_block;

	if (mm)
		inode = read_u64(read_u64(mm + MM_STRUCT__EXE_FILE) + FILE__F_INODE);
	super_block = read_u64(inode + INODE__I_SB);
	return (struct executable){ read_u64(inode + INODE__I_INO), read_u32(super_block + SUPER_BLOCK__S_DEV) };
}

/* Returns NULL for a process without Python. */
static __always_inline struct python_layout *python_of(struct connection *c)
{
	struct process_key key = { .start = c->process_start, .pid = c->pid };
	struct python_layout *python = pythons.lookup(&key);

	if (!python) { /* user space has not looked at it yet */
		struct executable executable = current_executable();

		python = python_executables.lookup(&executable);
	}
	return python && python->slot_steps ? python : NULL;
}

/* Where no copies are wanted, the slots that are used first have the highest numbers. */
static __always_inline struct python_stack *python_stack_in(u32 slot)
{
	u32 index = STACK_PAGES ? slot - 1 : FRAME_SLOTS - slot;

	return slot && index < PYTHON_SLOTS ? python_stacks.lookup(&index) : NULL;
}

/* Continues with walk_python, if a stack of this thread was taken now and it runs Python. Does not return then. */
static __always_inline void walk_language(void *ctx, struct connection *c, u64 now)
{
	struct python_layout *python = python_of(c);
	u64 id = bpf_get_current_pid_tgid();
	struct python_stack *stack;

	if (!python || c->stack_status != STACK_RECORDED || c->pid != id >> 32) /* a layout is of c's process */
		return;
	stack = python_stack_in(c->slot);
	if (!stack)
		return;
	stack->layout = *python;
	stack->thread = id;
	stack->row.process_start = c->process_start;
	stack->row.taken = now;
	stack->row.chain = 0;
	stack->row.pid = c->pid;
	stack->row.frames_size = 0;
	stack->row.version = python->version;
	stack->row.status = PYTHON_NOT_WALKED;
	c->has_python = 1;
	python_walkers.call(ctx, 0);
}

/* Returns what was walked for the stack in this row, NULL for nothing: a slot may have frames of another stack. */
static __always_inline struct python_stack *walked_with(struct connection *c, struct side side, struct stack_row *row)
{
	struct python_stack *stack = python_stack_in(*side.slot);
	bool has_python = c->has_python && !side.number;

	return has_python && stack && stack->row.taken == row->taken && stack->row.pid == row->pid ? stack : NULL;
}

static __always_inline u64 chain_of(struct connection *c, struct side side, struct stack_row *row)
{
	struct python_stack *stack = walked_with(c, side, row);

	return stack ? stack->row.chain : 0;
}

/* Wakes user space for frames that it has not seen: their code objects must be read before the process ends. */
static __always_inline void output_python(struct connection *c, struct side side, struct stack_row *row)
{
	struct python_stack *stack = walked_with(c, side, row);
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
	if (python_ring.ringbuf_output(&stack->row, sizeof(stack->row) + size, flags))
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

static __always_inline void output_python(struct connection *c, struct side side, struct stack_row *row)
{
}

#endif
