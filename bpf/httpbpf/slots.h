/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where stacks wait until their call turns out to be slow. A slot with room for a copy is one of STACK_SLOTS; what is
 * walked where there is none left, or where no copies are wanted, takes one of FRAME_SLOTS. The slot that was given back
 * last is the next one to be used: it is in the cache. So that processors do not wait for each other, each keeps a few
 * free ones, of copies if these are wanted; one that has none takes from those of all, then from the others'.
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
BPF_STACK(few_slots, u32, FEW_SLOTS);	       /* what a processor keeps; this one is only the model */
BPF_ARRAY_OF_MAPS(slots_of_processor, "few_slots", PROCESSORS); /* filled with such stacks by user space */

/* Helpers by number, include/uapi/linux/bpf.h: BCC knows them for maps that have a name only. */
static long (*push_slot)(void *stack, const void *slot, u64 flags) = (void *)87;
static long (*pop_slot)(void *stack, void *slot) = (void *)88;

/* 0 where it keeps none. */
static __always_inline u32 slot_of(u32 processor)
{
	void *few = slots_of_processor.lookup(&processor);
	u32 slot = 0;

	return few && !pop_slot(few, &slot) ? slot : 0;
}

static __always_inline bool keep_slot(u32 slot)
{
	u32 processor = bpf_get_smp_processor_id();
	void *few = slots_of_processor.lookup(&processor);

	return few && !push_slot(few, &slot, 0);
}

static __always_inline u32 slot_of_others(void)
{
	u32 slot = 0;

#pragma nounroll
	for (u32 processor = 0; processor < PROCESSORS; processor++) {
		slot = slot_of(processor);
		if (slot)
			break;
	}
	return slot;
}

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
	if ((has_copy(slot) || !STACK_PAGES) && keep_slot(slot))
		return;
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
/* 0 where none is free. Those of other processors are searched only `everywhere`. */
static __always_inline u32 acquire_copy(bool everywhere)
{
	u32 slot = slot_of(bpf_get_smp_processor_id());

	if (slot || !free_slots.pop(&slot))
		return slot;
	slot = everywhere ? slot_of_others() : 0;
	if (!slot)
		count(STACK_SLOTS_USED_UP);
	return slot;
}
#endif

static __always_inline u32 acquire_frames(void)
{
	u32 slot = STACK_PAGES ? 0 : slot_of(bpf_get_smp_processor_id());

	if (slot || !free_frame_slots.pop(&slot))
		return slot;
	slot = STACK_PAGES ? 0 : slot_of_others();
	if (!slot)
		count(FRAME_SLOTS_USED_UP);
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
