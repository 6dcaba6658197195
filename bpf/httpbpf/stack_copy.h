/* SPDX-License-Identifier: GPL-2.0-only */
/* Copies of the user's registers and of the bytes from the stack pointer upwards. */
#if STACK_PAGES

#define COPIED_BYTES (STACK_PAGES * PAGE_SIZE)
#define LEARN_AGAIN 64 /* calls of a connection; a power of two */

/* Bytes from the stack pointer to the end of the last page to copy. */
static __always_inline u64 whole_size(u64 from)
{
	return COPIED_BYTES - (from & (PAGE_SIZE - 1));
}

/*
 * Page by page, since a read that meets a page that is not in memory fails as a whole. Such a page cannot be waited for: it
 * is left as 0 (bpf_probe_read_user sees to that), and said. A large buffer on a stack is often one that was never used;
 * above the stack's top there is nothing. So the copy ends with the last page that could be read.
 */
static __always_inline bool copy_pages(struct stack_copy *copy, u64 from)
{
	u64 size = (~from & (PAGE_SIZE - 1)) + 1;

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

/* A page may be missing for a moment only, so an end counts when it was found a second time. */
static __always_inline void learn_end(struct connection *c, u32 tid, u64 end)
{
	c->stack_end_is_sure = end && c->stack_tid == tid && c->stack_end == end;
	c->stack_tid = tid;
	c->stack_end = end;
}

/*
 * In one read, which fails where a page is missing: then page by page. A page beyond the end of the stack costs a fault
 * each time, so the end that was found is remembered for this thread, and looked for again every LEARN_AGAIN calls.
 */
static __always_inline bool copy_memory(struct connection *c, struct stack_copy *copy, u32 tid)
{
	u64 from = stack_pointer((struct pt_regs *)copy->row.registers), size = whole_size(from), end = c->stack_end;

	copy->row.memory_address = from;
	copy->row.missing_pages = 0;
	if (c->stack_tid == tid && c->stack_end_is_sure && end > from && end - from < size && c->sequence & (LEARN_AGAIN - 1)) {
		u64 pages = (end - (from & ~(PAGE_SIZE - 1ULL))) / PAGE_SIZE;

		size = end - from;
		copy->row.missing_pages = (1ULL << STACK_PAGES) - (1ULL << (pages & 63));
	}
	size = at_most(size, COPIED_BYTES);
	if (!bpf_probe_read_user(copy->memory, size, (void *)from)) {
		copy->row.memory_size = size;
		return true;
	}
	copy->row.missing_pages = 0;
	if (!copy_pages(copy, from))
		return false;
	learn_end(c, tid, copy->row.memory_size < whole_size(from) ? from + copy->row.memory_size : 0);
	return true;
}

static __always_inline bool take_copy(struct connection *c, struct process_key process, struct side side, u64 now,
				      bool everywhere)
{
	struct stack_copy *copy;

	if (!has_copy(*side.slot)) {
		u32 slot = acquire_copy(everywhere);

		if (!slot)
			return false;
		release_slot(side.slot);
		*side.slot = slot;
	}
	copy = copy_in(*side.slot);
	if (!copy)
		return false;
	begin_row(&copy->row, process, now);
	return read_registers(&copy->row) && copy_memory(c, copy, bpf_get_current_pid_tgid());
}

#endif
