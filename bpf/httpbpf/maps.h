/* SPDX-License-Identifier: GPL-2.0-only */
/* All state of the program: what is known of each socket, what each thread is doing, the rings, the ledger. */

struct connection {
	struct call_row call; /* the current or last call */
	struct connection_state state;
	struct stack_row stacks[1 + RECEIVE_STACKS]; /* of this call: of the send, of the receive */
};

/* A tcp_sendmsg or tcp_recvmsg that has not returned. */
struct transfer {
	u64 sock;
	struct user_buffer buffer;
	u64 size;
	u32 sequence; /* of the call it belongs to */
	u32 step;     /* what it did to the call */
};

/* A deterministic finite automaton over the 15 bytes of a comm; state 0 never matches, 1 is the start. */
struct process_filter {
	u8 accepts[256];
	u8 next[256][256];
};

struct process_key {
	u64 start;
	u64 pid;
};

/* A stack row and the copy of the stack behind it, which waits here until its call turns out to be slow. */
struct stack_copy {
	struct stack_row row;
	u8 memory[STACK_PAGES * PAGE_SIZE];
};

BPF_HASH(connections, u64, struct connection, MAX_CONNECTIONS);
BPF_ARRAY(blank_connection, struct connection, 1); /* 1.5 kB of zeros do not fit on the stack */
BPF_HASH(transfers, u64, struct transfer, MAX_THREADS);
BPF_ARRAY(stack_copies, struct stack_copy, STACK_SLOTS);
BPF_STACK(free_slots, u32, STACK_SLOTS); /* numbers from 1, filled by user space; the last one back is in the cache */
BPF_TABLE("lru_hash", struct process_key, u8, seen_processes, 16384);
BPF_TABLE("lru_hash", u64, u8, seen_stacks, 16384);
BPF_HASH(ignored_pids, u32, u8, 64);
BPF_ARRAY(process_filters, struct process_filter, 1);
BPF_ARRAY(running, u32, 1);
BPF_PERCPU_ARRAY(counters, u64, COUNTERS);
BPF_RINGBUF_OUTPUT(call_ring, CALL_RING_PAGES);
BPF_RINGBUF_OUTPUT(completion_ring, COMPLETION_RING_PAGES);
BPF_RINGBUF_OUTPUT(stack_ring, STACK_RING_PAGES);
BPF_RINGBUF_OUTPUT(process_ring, PROCESS_RING_PAGES);

static __always_inline void count(u32 counter)
{
	u64 *n = counters.lookup(&counter);

	/* Atomic, although per CPU: an fexit program can be preempted by another one. */
	if (n)
		__sync_fetch_and_add(n, 1);
}

static __always_inline bool is_running(void)
{
	u32 zero = 0, *on = running.lookup(&zero);

	return on && *on;
}

static __always_inline bool is_ignored(void)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;

	return ignored_pids.lookup(&pid) != NULL;
}

static __always_inline struct process_key process_of(struct call_row *call)
{
	return (struct process_key){ .start = call->process_start, .pid = call->pid };
}

static __always_inline struct process_key current_process(void)
{
	u64 leader = read_u64(bpf_get_current_task() + TASK_STRUCT__GROUP_LEADER);

	return (struct process_key){ .start = read_u64(leader + TASK_STRUCT__START_BOOTTIME),
				     .pid = bpf_get_current_pid_tgid() >> 32 };
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
		c->call.connection = bpf_ktime_get_ns() << 8 | (bpf_get_smp_processor_id() & 0xff);
	return c;
}
