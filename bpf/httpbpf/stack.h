/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stack is taken where the process sends; with RECEIVE_STACKS another one where it first receives. With STACK_PAGES,
 * user registers and stack bytes are copied into a slot that the call holds until it is answered: a copy goes out only
 * for a slow call. Frame pointers are followed only where there is no copy.
 */

static __always_inline void take_stack(void *ctx, struct connection *c, struct process_key process, struct side side, u64 now)
{
	bool taken = false;

	*side.status = STACK_NO_USER_SPACE;
	if (!has_user_space())
		return;
#if STACK_PAGES
	taken = take_copy(c, process, side, now, true);
#endif
	if (!taken)
		taken = take_frames(ctx, process, side, now);
	*side.status = taken ? STACK_RECORDED : *side.slot ? STACK_FAULT : STACK_LOST;
}

/* The socket may have been given to another process than the one that began the call or its answer. */
static __always_inline struct process_key current_process(void)
{
	return (struct process_key){ .start = start_of(leader_of(bpf_get_current_task())),
				     .pid = bpf_get_current_pid_tgid() >> 32 };
}

/* Of the code that sends, or reads a response which has become slow. It has no frames of a program until they are walked. */
static __always_inline void take_send_stack(void *ctx, struct connection *c, u64 now)
{
	struct process_key process = { .start = c->process_start, .pid = c->pid };

	if (c->tid != (u32)bpf_get_current_pid_tgid())
		process = current_process();
	c->is_walked = 0;
	take_stack(ctx, c, process, sending_side(c), now);
}

static __always_inline void take_receive_stack(void *ctx, struct connection *c, u64 now)
{
	if (RECEIVE_STACKS)
		take_stack(ctx, c, current_process(), receiving_side(c), now);
}
