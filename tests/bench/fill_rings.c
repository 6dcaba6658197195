/* SPDX-License-Identifier: GPL-2.0-only */
/* Puts rows that user space has laid ready into a ring, ROWS_A_CALL at a time: with getpgid() into the BPF ring buffer,
 * with getsid() into the perf buffer. rows.h stands before this. */

BPF_ARRAY(ready, struct call_row, READY);
BPF_ARRAY(next_ready, u32, 1);
BPF_RINGBUF_OUTPUT(ring, RING_PAGES);
BPF_PERF_OUTPUT(perf);

RAW_TRACEPOINT_PROBE(sys_enter)
{
	u32 zero = 0, *next = next_ready.lookup(&zero);
	u64 syscall = ctx->args[1];

	if (!next || bpf_get_current_pid_tgid() >> 32 != PID || (syscall != __NR_GETPGID && syscall != __NR_GETSID))
		return 0;
	for (int i = 0; i < ROWS_A_CALL; i++) {
		u32 number = (*next)++ % READY;
		struct call_row *row = ready.lookup(&number);

		if (!row)
			return 0;
		if (syscall == __NR_GETPGID)
			ring.ringbuf_output(row, sizeof(*row), 0);
		else
			perf.perf_submit(ctx, row, sizeof(*row));
	}
	return 0;
}
