/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whose calls a connection has. At each call only the thread's ids and the address of its task are noted. What else is
 * said of a process is read when it has its first call on a connection, and again when a call of it is slow.
 */

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

static __always_inline bool is_wanted(struct connection *c)
{
	u32 zero = 0;
	struct process_filter *filter = process_filters.lookup(&zero);

	return filter && (matches(filter, c->comm) || matches(filter, c->process));
}

/* As a string: behind its NUL may stand what a longer name has left. */
static __always_inline void read_name(u8 name[16], u64 task)
{
	__builtin_memset(name, 0, 16);
	bpf_probe_read_kernel_str(name, 16, (void *)(task + TASK_STRUCT__COMM));
}

static __always_inline u64 leader_of(u64 task)
{
	return read_u64(task + TASK_STRUCT__GROUP_LEADER);
}

static __always_inline u64 start_of(u64 leader)
{
	return read_u64(leader + TASK_STRUCT__START_BOOTTIME);
}

/* Wakes user space: a short process must have its maps read before it is gone. */
static __always_inline void announce_process(struct connection *c)
{
	struct process_key key = { .start = c->process_start, .pid = c->pid };
	struct process_row row = { .process_start = c->process_start, .pid = c->pid };
	u8 seen = 1;

	if (seen_processes.lookup(&key))
		return;
	if (process_ring.ringbuf_output(&row, sizeof(row), BPF_RB_FORCE_WAKEUP))
		count(PROCESS_RING_FULL);
	else
		seen_processes.update(&key, &seen);
}

static __always_inline void meet_process(struct connection *c)
{
	u64 leader = leader_of(c->task);
	u32 pid = c->pid;

	c->process_start = start_of(leader);
	c->cgroup = bpf_get_current_cgroup_id();
	c->named_tid = c->tid;
	c->stack_tid = 0;
	read_name(c->comm, c->task);
	read_name(c->process, leader);
	c->ignored = ignored_pids.lookup(&pid) != NULL;
	c->wanted = !c->ignored;
#ifdef FILTER_PROCESSES
	c->wanted = !c->ignored && is_wanted(c);
#endif
	if (c->wanted)
		announce_process(c);
}

/* With a filter the names decide, so a thread that is another one, or has another name, is looked at again. */
static __always_inline void decide_again(struct connection *c)
{
	u64 name[2] = {}, *known = (u64 *)c->comm;

	bpf_probe_read_kernel_str(name, sizeof(name), (void *)(c->task + TASK_STRUCT__COMM));
	if (c->named_tid == c->tid && name[0] == known[0] && name[1] == known[1])
		return;
	c->named_tid = c->tid;
	known[0] = name[0];
	known[1] = name[1];
	read_name(c->process, leader_of(c->task));
	c->wanted = !c->ignored && is_wanted(c);
	if (c->wanted)
		announce_process(c);
}

/* The current thread begins a call, or answers one. */
static __always_inline void meet_thread(struct connection *c)
{
	u64 id = bpf_get_current_pid_tgid();
	bool is_known = c->pid == id >> 32;

	c->pid = id >> 32;
	c->tid = id;
	c->task = bpf_get_current_task();
	if (!is_known)
		meet_process(c);
#ifdef FILTER_PROCESSES
	else
		decide_again(c);
#endif
}

/*
 * The names that the thread has now, if it is still the same one: its memory may have become another's. What a filter has
 * let pass was read at the call.
 */
static __always_inline void refresh_names(struct connection *c)
{
#ifndef FILTER_PROCESSES
	u64 leader = leader_of(c->task);

	if (read_u32(c->task + TASK_STRUCT__PID) == c->tid && read_u32(c->task + TASK_STRUCT__TGID) == c->pid &&
	    start_of(leader) == c->process_start) {
		c->named_tid = c->tid;
		read_name(c->comm, c->task);
		read_name(c->process, leader);
		if (c->task == bpf_get_current_task())
			c->cgroup = bpf_get_current_cgroup_id();
	} else if (c->named_tid != c->tid) {
		c->named_tid = 0; /* a name of none: it has ended before it was asked for */
		__builtin_memset(c->comm, 0, sizeof(c->comm));
	}
#endif
}
