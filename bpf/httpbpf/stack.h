/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stack is taken where the process sends; with RECEIVE_STACKS another one where it first receives. With STACK_PAGES,
 * user registers and stack bytes are copied into a slot that the call holds until it is answered: a copy goes out only
 * for a slow call. The kernel walks the frame pointers only where there is no copy: where no slot is free, or the
 * registers or the first page could not be read.
 */

#define USER_CS 0x33 /* segments of a 64-bit process, arch/x86/include/asm/segment.h */
#define USER_SS 0x2b

/* One side of a call: where its stack waits, and what the call row says of it. */
struct side {
	u64 number; /* tells the ids of both stacks of a call apart */
	u64 *id;
	u8 *status;
	u32 *slot;
	struct stack_row *row; /* without a copy */
};

static __always_inline struct side sending_side(struct connection *c)
{
	return (struct side){ 0, &c->call.stack, &c->call.stack_status, &c->state.slot, &c->stacks[0] };
}

static __always_inline struct side receiving_side(struct connection *c)
{
	return (struct side){ 1, &c->call.receive_stack, &c->call.receive_stack_status, &c->state.receive_slot,
			      &c->stacks[1] };
}

static __always_inline struct stack_copy *stack_copy(struct side side)
{
	u32 index = *side.slot - 1;

	return *side.slot ? stack_copies.lookup(&index) : NULL;
}

static __always_inline void acquire_slot(struct side side)
{
	u32 slot = 0;

	if (*side.slot)
		return;
	if (free_slots.pop(&slot))
		count(STACK_SLOTS_USED_UP);
	else
		*side.slot = slot;
}

static __always_inline void release_slot(struct side side)
{
	u32 slot = *side.slot;

	if (!slot)
		return;
	*side.slot = 0;
	free_slots.push(&slot, 0);
}

static __always_inline void release_slots(struct connection *c)
{
	release_slot(sending_side(c));
	if (RECEIVE_STACKS)
		release_slot(receiving_side(c));
}

static __always_inline bool are_registers(u64 address)
{
	return read_u16(address + __builtin_offsetof(struct pt_regs, cs)) == USER_CS &&
	       read_u16(address + __builtin_offsetof(struct pt_regs, ss)) == USER_SS;
}

/* A system call saves the user's registers at the top of the kernel stack; 16 bytes lower where the kernel knows FRED. */
static __always_inline u64 user_registers(void)
{
	u64 top = read_u64(bpf_get_current_task() + TASK_STRUCT__STACK) + THREAD_SIZE - sizeof(struct pt_regs);

	return are_registers(top) ? top : are_registers(top - 16) ? top - 16 : 0;
}

static __always_inline bool copy_registers(struct stack_row *row)
{
	u64 registers = user_registers();

	return registers && !bpf_probe_read_kernel(row->registers, sizeof(row->registers), (void *)registers);
}

/*
 * Page by page, since a read that meets a page that is not in memory fails as a whole. Such a page cannot be waited for: it
 * is left as 0 (bpf_probe_read_user sees to that), and said. A large buffer on a stack is often one that was never used;
 * above the stack's top there is nothing. So the copy ends with the last page that could be read.
 */
static __always_inline bool copy_memory(struct stack_copy *copy)
{
	u64 from = ((struct pt_regs *)copy->row.registers)->sp, size = (~from & (PAGE_SIZE - 1)) + 1;

	copy->row.memory_address = from;
	copy->row.missing_pages = 0;
	if (bpf_probe_read_user(copy->memory, size, (void *)from))
		return false;
	copy->row.memory_size = size;
#pragma unroll
	for (int page = 1; page < STACK_PAGES; page++) {
		if (bpf_probe_read_user(copy->memory + size, PAGE_SIZE, (void *)(from + size)))
			copy->row.missing_pages |= 1ULL << page;
		else
			copy->row.memory_size = size + PAGE_SIZE;
		size += PAGE_SIZE;
	}
	return true;
}

static __always_inline void begin_row(struct process_key process, struct stack_row *row)
{
	row->pid = process.pid;
	row->process_start = process.start;
	row->taken = bpf_ktime_get_ns();
	row->frames_size = 0;
	row->memory_size = 0;
	row->registers_size = 0;
}

static __always_inline bool take_frames(void *ctx, struct stack_row *row)
{
	s64 size = bpf_get_stack(ctx, row->frames, sizeof(row->frames), BPF_F_USER_STACK);

	row->frames_size = size > 0 ? size : 0;
	return size > 0;
}

static __always_inline void take_stack(void *ctx, struct process_key process, struct side side)
{
	struct stack_row *row = side.row;
	bool taken = false;

	*side.status = STACK_NO_USER_SPACE;
	if (!has_user_space())
		return;
#if STACK_PAGES
	acquire_slot(side);
	struct stack_copy *copy = stack_copy(side);

	if (copy) {
		row = &copy->row;
		begin_row(process, row);
		if (copy_registers(row)) {
			row->registers_size = sizeof(struct pt_regs);
			taken = copy_memory(copy);
		}
	} else
#endif
		begin_row(process, row);
	if (!taken)
		taken = take_frames(ctx, row) || row->registers_size;
	*side.status = taken ? STACK_RECORDED : STACK_FAULT;
}

static __always_inline void take_send_stack(void *ctx, struct connection *c)
{
	take_stack(ctx, process_of(&c->call), sending_side(c));
}

/* The socket may have been given to another process than the one that sends. */
static __always_inline void take_receive_stack(void *ctx, struct connection *c)
{
	if (RECEIVE_STACKS)
		take_stack(ctx, current_process(), receiving_side(c));
}

static __always_inline u64 hash_frames(struct stack_row *row)
{
	u64 hash = row->process_start ^ (u64)row->pid << 32;

	for (u32 i = 0; i < MAX_FRAMES; i++) {
		if (i * sizeof(u64) >= row->frames_size)
			break;
		hash = (hash ^ row->frames[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	return hash | 1; /* 0 is none */
}

static __always_inline bool output_stack(struct side side, struct stack_row *row, u32 size)
{
	if (stack_ring.ringbuf_output(row, size, BPF_RB_NO_WAKEUP)) {
		count(STACK_RING_FULL);
		*side.status = STACK_LOST;
		return false;
	}
	*side.id = row->id;
	return true;
}

/* Every copy goes out for itself: two are hardly ever the same. */
static __always_inline void submit_copy(struct call_row *call, struct side side, struct stack_copy *copy)
{
	u64 number = (u64)call->sequence << 1 | side.number << 33;
	u32 memory = copy->row.memory_size;

	if (memory > sizeof(copy->memory))
		return;
	copy->row.id = (call->connection * 0x9e3779b97f4a7c15ULL ^ number) | 1;
	output_stack(side, &copy->row, sizeof(copy->row) + memory);
}

/* Equal frames of a process go out once. */
static __always_inline void submit_frames(struct side side)
{
	struct stack_row *row = side.row;
	u32 size = row->frames_size;
	u8 seen = 1;

	if (size > sizeof(row->frames))
		return;
	row->id = hash_frames(row);
	if (seen_stacks.lookup(&row->id))
		*side.id = row->id;
	else if (output_stack(side, row, sizeof(*row) - sizeof(row->frames) + size))
		seen_stacks.update(&row->id, &seen);
}

static __always_inline void submit_stack(struct call_row *call, struct side side)
{
	struct stack_copy *copy = stack_copy(side);

	if (*side.status != STACK_RECORDED)
		return;
	if (copy)
		submit_copy(call, side, copy);
	else
		submit_frames(side);
}

static __always_inline void submit_stacks(struct connection *c)
{
	submit_stack(&c->call, sending_side(c));
	if (RECEIVE_STACKS)
		submit_stack(&c->call, receiving_side(c));
}
