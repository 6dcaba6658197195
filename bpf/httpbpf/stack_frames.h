/* SPDX-License-Identifier: GPL-2.0-only */
/* Finds return addresses by frame pointers, if a stack is not copied. */

/*
 * Reads each frame's pair of the caller's frame pointer and the return address. A frame lies above the one that it
 * called, so the walk ends where the chain does not rise; the kernel's own walk would go round in circles. The kernel
 * walks if there are no registers, as for 32-bit processes.
 */
static __always_inline bool walk_frames(void *ctx, struct stack_frames *to)
{
	struct pt_regs *user = (struct pt_regs *)to->row.registers;
	u64 frame[2], at, before;
	s64 size;

	if (!read_registers(&to->row)) {
		size = bpf_get_stack(ctx, to->frames, sizeof(to->frames), BPF_F_USER_STACK);
		to->row.frames_size = size > 0 ? size : 0;
		return size > 0;
	}
	before = stack_pointer(user);
	at = frame_pointer(user);
	to->frames[0] = instruction_pointer(user);
	to->row.frames_size = sizeof(u64);
#pragma nounroll
	for (u32 i = 1; i < MAX_FRAMES; i++) {
		if (at < before || bpf_probe_read_user(frame, sizeof(frame), (void *)at))
			break;
		to->frames[i] = frame[1];
		to->row.frames_size = (i + 1) * sizeof(u64);
		before = at + sizeof(frame);
		at = frame[0];
	}
	return true;
}

static __always_inline bool take_frames(void *ctx, struct process_key process, struct side side, u64 now)
{
	bool is_unreadable = has_copy(*side.slot), found;
	struct stack_frames *to;

	if (is_unreadable)
		release_slot(side.slot);
	if (!*side.slot)
		*side.slot = acquire_frames();
	to = frames_in(*side.slot);
	if (!to)
		return false;
	begin_row(&to->row, process, now);
	found = walk_frames(ctx, to);
	if (!is_unreadable) /* registers without a copy mean that the copy failed */
		to->row.registers_size = 0;
	return found;
}
