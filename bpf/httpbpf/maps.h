/* SPDX-License-Identifier: GPL-2.0-only */
/* All state of the program: what is known about each socket, the stacks that wait, the rings, the loss counters. */

/* A deterministic finite automaton over the 15 bytes of a comm; state 0 never matches, 1 is the start. */
struct process_filter {
	u8 accepts[256];
	u8 next[256][256];
};

struct process_key {
	u64 start;
	u64 pid;
};

struct stream_key {
	u64 connection;
	u64 stream;
};

BPF_HASH(connections, u64, struct connection, MAX_CONNECTIONS);
BPF_HASH(streams, struct stream_key, struct connection, MAX_STREAMS);
BPF_ARRAY(blank_connection, struct connection, 1); /* zeros, which on the program's stack would take half of it */
BPF_TABLE("lru_hash", struct process_key, u8, seen_processes, 8192);
BPF_TABLE("lru_hash", u64, u8, seen_stacks, 8192);
BPF_HASH(ignored_pids, u32, u8, 64);
BPF_ARRAY(process_filters, struct process_filter, 1);
BPF_ARRAY(running, u32, 1);
BPF_PERCPU_ARRAY(counters, u64, COUNTERS);
BPF_PERCPU_ARRAY(fast_calls, struct fast_calls, 1);
BPF_RINGBUF_OUTPUT(call_ring, CALL_RING_PAGES);
BPF_RINGBUF_OUTPUT(completion_ring, COMPLETION_RING_PAGES);
BPF_RINGBUF_OUTPUT(stack_ring, STACK_RING_PAGES);
BPF_RINGBUF_OUTPUT(process_ring, PROCESS_RING_PAGES);

static __always_inline void count(u32 counter)
{
	u64 *n = counters.lookup(&counter);

	/* Atomic, although the map is per CPU, because one fexit program can preempt another. */
	if (n)
		__sync_fetch_and_add(n, 1);
}

#define WALKS_STREAMS 2 /* a bit of what is in running: HTTP/2 is walked frame by frame */

static __always_inline bool is_running(void)
{
	u32 zero = 0, *on = running.lookup(&zero);

	return on && *on;
}

static __always_inline bool walks_streams(void)
{
	u32 zero = 0, *on = running.lookup(&zero);

	return on && *on & WALKS_STREAMS;
}

/* Whether frames of HTTP/2 tell what is a call. */
static __always_inline bool has_streams(struct connection *c)
{
	return c->protocol >= STREAMS;
}

static __always_inline struct connection *follow(u64 sock)
{
	struct connection *c = connections.lookup(&sock), *blank;
	u32 zero = 0;

	if (c)
		return c;
	blank = blank_connection.lookup(&zero);
	if (!blank)
		return NULL;
	if (connections.update(&sock, blank)) {
		count(CONNECTION_MAP_FULL);
		return NULL;
	}
	c = connections.lookup(&sock);
	if (c)
		c->connection = bpf_ktime_get_ns() << 8 | (bpf_get_smp_processor_id() & 0xff);
	return c;
}
