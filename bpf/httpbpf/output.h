/* SPDX-License-Identifier: GPL-2.0-only */
/* What leaves the kernel: the two filters, then rows into the rings. Every row that does not fit is counted. */

static __always_inline bool matches(struct process_filter *filter, u8 *comm)
{
	u64 state = 1;

#pragma unroll
	for (int i = 0; i < 15; i++) {
		if (!comm[i])
			break;
		state = filter->next[state][comm[i]];
	}
	return filter->accepts[state];
}

static __always_inline bool is_wanted(struct call_row *call)
{
#ifdef FILTER_PROCESSES
	u32 zero = 0;
	struct process_filter *filter = process_filters.lookup(&zero);

	return filter && (matches(filter, call->comm) || matches(filter, call->process));
#else
	return true;
#endif
}

static __always_inline bool is_slow(struct call_row *call, u64 t2)
{
	return (s64)(t2 - call->t0) >= THRESHOLD_NS;
}

/* Wakes user space: a short process must have its maps read before it is gone. */
static __always_inline void announce_process(struct call_row *call)
{
	struct process_key key = process_of(call);
	struct process_row row = { .process_start = call->process_start, .pid = call->pid };
	u8 seen = 1;

	if (seen_processes.lookup(&key))
		return;
	if (process_ring.ringbuf_output(&row, sizeof(row), BPF_RB_FORCE_WAKEUP))
		count(PROCESS_RING_FULL);
	else
		seen_processes.update(&key, &seen);
}

static __always_inline void submit_call(struct connection *c)
{
	if (c->state.wanted && is_slow(&c->call, c->call.t2)) {
		count(CALLS);
		submit_stacks(c);
		if (call_ring.ringbuf_output(&c->call, sizeof(c->call), BPF_RB_NO_WAKEUP))
			count(CALL_RING_FULL);
		else
			c->state.recorded = 1;
	}
	release_slots(c);
}

static __always_inline void submit_completion(struct connection *c)
{
	struct completion_row row = {
		.connection = c->call.connection,
		.t3 = c->state.t3,
		.sent = c->call.sent,
		.received = c->call.received,
		.sequence = c->call.sequence,
	};

	if (!c->state.recorded || c->state.t3 == c->call.t2)
		return;
	count(COMPLETIONS);
	if (completion_ring.ringbuf_output(&row, sizeof(row), BPF_RB_NO_WAKEUP))
		count(COMPLETION_RING_FULL);
}
