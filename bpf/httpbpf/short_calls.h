/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls that end below the threshold. Each is counted by its duration, and with `--rows all` sent to user space, without
 * what only slow calls need. The rings are of their own, so that such a call never takes the place of a slow one. Nobody is
 * woken for them.
 */

/*
 * Returns the number of the highest bit that is set: all below it are set too, and then counted. There are no branches, of
 * each of which the verifier would follow both ways.
 */
static __always_inline u32 log2_of(u64 value)
{
	value |= value >> 1;
	value |= value >> 2;
	value |= value >> 4;
	value |= value >> 8;
	value |= value >> 16;
	value |= value >> 32;
	value >>= 1;
	value -= value >> 1 & 0x5555555555555555ULL;
	value = (value & 0x3333333333333333ULL) + (value >> 2 & 0x3333333333333333ULL);
	value = (value + (value >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return value * 0x0101010101010101ULL >> 56;
}

static __always_inline void count_fast_call(u64 duration)
{
	u32 zero = 0;
	struct fast_calls *fast = fast_calls.lookup(&zero);

	if (!fast)
		return;
	__sync_fetch_and_add(&fast->durations[log2_of(duration) & 63], 1);
	if (duration > fast->slowest)
		fast->slowest = duration;
}

#if SHORT_RING_PAGES

BPF_RINGBUF_OUTPUT(short_ring, SHORT_RING_PAGES);
BPF_RINGBUF_OUTPUT(connection_ring, CONNECTION_RING_PAGES);

/* Sends once what the calls of a process on a connection have in common: before the first of them. */
static __always_inline void tell_connection(struct connection *call, struct connection *c)
{
	struct connection_row *row;

	if (c->told_pid == call->pid)
		return;
	row = connection_ring.ringbuf_reserve(sizeof(*row));
	if (!row) {
		count(CONNECTION_RING_FULL);
		return;
	}
	row->process_start = call->process_start;
	row->connection = call->connection;
	__builtin_memcpy(row->process, call->process, sizeof(row->process));
	__builtin_memcpy(row->local_address, call->local_address, sizeof(row->local_address));
	__builtin_memcpy(row->peer_address, call->peer_address, sizeof(row->peer_address));
	row->pid = call->pid;
	row->local_port = call->local_port;
	row->peer_port = call->peer_port;
	connection_ring.ringbuf_submit(row, BPF_RB_NO_WAKEUP);
	c->told_pid = call->pid;
}

static __always_inline void submit_short_row(struct connection *call)
{
	struct short_row *row = short_ring.ringbuf_reserve(sizeof(*row));

	if (!row) {
		count(SHORT_RING_FULL);
		return;
	}
	row->connection = call->connection;
	row->t0 = call->t0;
	row->t1 = call->t1;
	row->t2 = call->t2;
	row->t3 = call->t3;
	row->sent = call->sent;
	row->received = call->received;
	row->pid = call->pid;
	row->sequence = call->sequence;
	row->tid = call->tid;
	row->receive_tid = call->receive_tid;
	row->request_seq = call->request_seq;
	row->response_seq = call->response_seq;
	row->stream = call->stream;
	row->role = call->role;
	row->outcome = call->outcome;
	short_ring.ringbuf_submit(row, BPF_RB_NO_WAKEUP);
}

#else

static __always_inline void tell_connection(struct connection *call, struct connection *c)
{
}

static __always_inline void submit_short_row(struct connection *call)
{
}

#endif

/* The call, which may be a stream of the connection `c`, has ended below the threshold. */
static __always_inline void end_fast_call(struct connection *call, struct connection *c)
{
	count_fast_call(call->t3 - call->t0);
	tell_connection(call, c);
	submit_short_row(call);
}
