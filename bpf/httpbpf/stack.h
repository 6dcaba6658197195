/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stack is taken where the process sends. What the kernel finds by frame pointer is kept in the connection. With
 * STACK_PAGES, user registers and stack bytes are copied as well, into a slot that the call holds until it is answered:
 * a copy goes out only for a slow call. A call that finds no free slot keeps the frame-pointer stack.
 */

#define USER_CS 0x33 /* segments of a 64-bit process, arch/x86/include/asm/segment.h */
#define USER_SS 0x2b

static __always_inline struct stack_copy *stack_copy(struct connection *c)
{
	u32 index = c->state.slot - 1;

	return c->state.slot ? stack_copies.lookup(&index) : NULL;
}

static __always_inline void acquire_slot(struct connection *c)
{
	u32 slot = 0;

	if (c->state.slot)
		return;
	if (free_slots.pop(&slot))
		count(STACK_SLOTS_USED_UP);
	else
		c->state.slot = slot;
}

static __always_inline void release_slot(struct connection *c)
{
	u32 slot = c->state.slot;

	if (!slot)
		return;
	c->state.slot = 0;
	free_slots.push(&slot, 0);
}

static __always_inline bool read_registers(struct stack_row *row, u64 address)
{
	struct pt_regs *registers = (struct pt_regs *)row->registers;

	bpf_probe_read_kernel(registers, sizeof(*registers), (void *)address);
	return (u16)registers->cs == USER_CS && (u16)registers->ss == USER_SS;
}

/* A system call saves the user's registers at the top of the kernel stack; 16 bytes lower where the kernel knows FRED. */
static __always_inline bool copy_registers(struct stack_row *row)
{
	u64 top = read_u64(bpf_get_current_task() + TASK_STRUCT__STACK) + THREAD_SIZE - sizeof(struct pt_regs);

	return read_registers(row, top) || read_registers(row, top - 16);
}

/* Page by page, since a read that meets an unmapped page fails as a whole: the stack ends there. */
static __always_inline void copy_memory(struct stack_copy *copy)
{
	u64 from = ((struct pt_regs *)copy->row.registers)->sp, size = (~from & (PAGE_SIZE - 1)) + 1;

	copy->row.memory_address = from;
	copy->row.memory_size = 0;
	if (bpf_probe_read_user(copy->memory, size, (void *)from))
		return;
#pragma unroll
	for (int page = 1; page < STACK_PAGES; page++) {
		if (bpf_probe_read_user(copy->memory + size, PAGE_SIZE, (void *)(from + size)))
			break;
		size += PAGE_SIZE;
	}
	copy->row.memory_size = size;
}

static __always_inline bool take_frames(void *ctx, struct connection *c, struct stack_row *row)
{
	s64 size = bpf_get_stack(ctx, row->frames, sizeof(row->frames), BPF_F_USER_STACK);

	row->frames_size = size > 0 ? size : 0;
	row->memory_size = 0;
	row->registers_size = 0;
	row->pid = c->call.pid;
	row->process_start = c->call.process_start;
	row->taken = bpf_ktime_get_ns();
	return size > 0;
}

static __always_inline void take_stack(void *ctx, struct connection *c)
{
	bool taken = false;

	c->call.stack_status = STACK_NO_USER_SPACE;
	if (!has_user_space())
		return;
#if STACK_PAGES
	acquire_slot(c);
	struct stack_copy *copy = stack_copy(c);

	if (copy) {
		taken = take_frames(ctx, c, &copy->row);
		if (copy_registers(&copy->row)) {
			copy->row.registers_size = sizeof(struct pt_regs);
			copy_memory(copy);
			taken = true;
		}
	} else
#endif
		taken = take_frames(ctx, c, &c->stack);
	c->call.stack_status = taken ? STACK_RECORDED : STACK_FAULT;
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

static __always_inline bool output_stack(struct connection *c, struct stack_row *row, u32 size)
{
	if (stack_ring.ringbuf_output(row, size, BPF_RB_NO_WAKEUP)) {
		count(STACK_RING_FULL);
		c->call.stack_status = STACK_LOST;
		return false;
	}
	c->call.stack = row->id;
	return true;
}

/* Every copy goes out for itself: two are hardly ever the same. */
static __always_inline void submit_copy(struct connection *c, struct stack_copy *copy)
{
	u32 memory = copy->row.memory_size;

	if (memory > sizeof(copy->memory))
		return;
	copy->row.id = (c->call.connection * 0x9e3779b97f4a7c15ULL ^ (u64)c->call.sequence << 1) | 1;
	output_stack(c, &copy->row, sizeof(copy->row) + memory);
}

/* Equal frames of a process go out once. */
static __always_inline void submit_frames(struct connection *c)
{
	struct stack_row *row = &c->stack;
	u32 size = row->frames_size;
	u8 seen = 1;

	if (size > sizeof(row->frames))
		return;
	row->id = hash_frames(row);
	if (seen_stacks.lookup(&row->id))
		c->call.stack = row->id;
	else if (output_stack(c, row, sizeof(*row) - sizeof(row->frames) + size))
		seen_stacks.update(&row->id, &seen);
}

static __always_inline void submit_stack(struct connection *c)
{
	struct stack_copy *copy = stack_copy(c);

	if (c->call.stack_status != STACK_RECORDED)
		return;
	if (copy)
		submit_copy(c, copy);
	else
		submit_frames(c);
}
