/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Keeps the arguments of a send or receive for its kretprobe, which does not have them. Each thread that has sent or
 * received has an entry until it ends: deleting and creating an entry for each call would cost more than all else here.
 */
#ifdef USE_KPROBES

struct transfer {
	u64 sock; /* 0: the thread is in no transfer */
	u64 msg;
	u64 wanted; /* bytes that the thread has room for */
	u64 flags;
	u64 ended; /* sock of the last one that has returned */
};

BPF_HASH(transfers, u64, struct transfer, MAX_THREADS);

static __always_inline void begin_transfer(u64 sock, u64 msg, u64 wanted, u64 flags)
{
	struct transfer transfer = { .sock = sock, .msg = msg, .wanted = wanted, .flags = flags }, *found;
	u64 id = bpf_get_current_pid_tgid();

	if (!is_running())
		return;
	found = transfers.lookup(&id);
	if (found)
		*found = transfer;
	else if (transfers.update(&id, &transfer))
		count(THREAD_MAP_FULL);
}

static __always_inline struct transfer end_transfer(void)
{
	u64 id = bpf_get_current_pid_tgid();
	struct transfer *found = transfers.lookup(&id), transfer = {};

	if (found) {
		transfer = *found;
		found->ended = found->sock;
		found->sock = 0;
	}
	return transfer;
}

/* Returns the transfer whose return is probed, for a program that this probe has called. */
static __always_inline struct transfer ended_transfer(void)
{
	u64 id = bpf_get_current_pid_tgid();
	struct transfer *found = transfers.lookup(&id), none = {};

	return found ? *found : none;
}

RAW_TRACEPOINT_PROBE(sched_process_exit)
{
	u64 id = bpf_get_current_pid_tgid();

	transfers.delete(&id);
	return 0;
}

#endif
