/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where stacks wait until their call turns out to be slow. A slot with room for a copy is one of STACK_SLOTS; what is
 * walked where there is none left, or where no copies are wanted, takes one of FRAME_SLOTS. The slot that was given back
 * last is the next one to be used: it is in the cache.
 */

struct stack_copy {
	struct stack_row row;
	u8 memory[STACK_PAGES * PAGE_SIZE];
};

struct stack_frames {
	struct stack_row row;
	u64 frames[MAX_FRAMES];
};

#if STACK_PAGES
BPF_ARRAY(stack_copies, struct stack_copy, STACK_SLOTS);
BPF_STACK(free_slots, u32, STACK_SLOTS); /* numbers from 1, filled by user space */
#endif
BPF_ARRAY(stack_frames, struct stack_frames, FRAME_SLOTS);
BPF_STACK(free_frame_slots, u32, FRAME_SLOTS); /* numbers from STACK_SLOTS + 1 */

static __always_inline bool has_copy(u32 slot)
{
	return STACK_PAGES && slot && slot <= STACK_SLOTS;
}

#if STACK_PAGES
static __always_inline struct stack_copy *copy_in(u32 slot)
{
	u32 index = slot - 1;

	return has_copy(slot) ? stack_copies.lookup(&index) : NULL;
}
#endif

static __always_inline struct stack_frames *frames_in(u32 slot)
{
	u32 index = slot - 1 - STACK_SLOTS;

	return slot && !has_copy(slot) ? stack_frames.lookup(&index) : NULL;
}

static __always_inline void release_slot(u32 *place)
{
	u32 slot = *place;

	if (!slot)
		return;
	*place = 0;
#if STACK_PAGES
	if (has_copy(slot)) {
		free_slots.push(&slot, 0);
		return;
	}
#endif
	free_frame_slots.push(&slot, 0);
}

static __always_inline void release_slots(struct connection *c)
{
	release_slot(&c->slot);
	if (RECEIVE_STACKS)
		release_slot(&c->receive_slot);
}

#if STACK_PAGES
/* 0 where none is free. */
static __always_inline u32 acquire_copy(void)
{
	u32 slot = 0;

	if (free_slots.pop(&slot)) {
		count(STACK_SLOTS_USED_UP);
		return 0;
	}
	return slot;
}
#endif

static __always_inline u32 acquire_frames(void)
{
	u32 slot = 0;

	if (free_frame_slots.pop(&slot)) {
		count(FRAME_SLOTS_USED_UP);
		return 0;
	}
	return slot;
}

/* One side of a call: where its stack waits, and whether it has one. */
struct side {
	u64 number; /* tells the ids of both stacks of a call apart */
	u8 *status;
	u32 *slot;
};

static __always_inline struct side sending_side(struct connection *c)
{
	return (struct side){ 0, &c->stack_status, &c->slot };
}

static __always_inline struct side receiving_side(struct connection *c)
{
	return (struct side){ 1, &c->receive_stack_status, &c->receive_slot };
}

static __always_inline void begin_row(struct stack_row *row, struct process_key process, u64 now)
{
	row->pid = process.pid;
	row->process_start = process.start;
	row->taken = now;
	row->frames_size = 0;
	row->memory_size = 0;
	row->registers_size = 0;
}

static __always_inline bool read_registers(struct stack_row *row)
{
	if (!read_user_registers((struct pt_regs *)row->registers))
		return false;
	row->registers_size = sizeof(struct pt_regs);
	return true;
}
