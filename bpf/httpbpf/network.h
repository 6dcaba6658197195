/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads what TCP counts of a connection. What the network does to a call is the difference of two readings, one of which
 * is at its beginning, when nobody knows yet whether it becomes slow.
 */

#define NEAR 96 /* bytes that are read at once, which takes no longer than to read 4 */

struct tcp_counts {
	u32 copied_seq; /* sequence number up to which the process has received */
	u32 segments; /* sent */
	u32 retransmitted;
	u32 out_of_order;
};

/* Reads two members of 4 bytes, whose offsets are constants. One that this kernel lacks has the offset 0. */
static __always_inline void read_both(u64 sock, u64 first, u64 second, u32 *one, u32 *other)
{
	u64 begin = first < second ? first : second, size = first + second - 2 * begin + sizeof(u32);
	u32 words[NEAR / sizeof(u32)];

	if (!begin || size > NEAR) {
		*one = first ? read_u32(sock + first) : 0;
		*other = second ? read_u32(sock + second) : 0;
		return;
	}
	bpf_probe_read_kernel(words, size, (void *)(sock + begin));
	*one = words[(first - begin) / sizeof(u32)];
	*other = words[(second - begin) / sizeof(u32)];
}

static __always_inline struct tcp_counts tcp_counts(u64 sock)
{
	struct tcp_counts counts;

	read_both(sock, TCP_SOCK__COPIED_SEQ, TCP_SOCK__SEGS_OUT, &counts.copied_seq, &counts.segments);
	read_both(sock, TCP_SOCK__TOTAL_RETRANS, TCP_SOCK__RCV_OOOPACK, &counts.retransmitted, &counts.out_of_order);
	return counts;
}

/* Whether the process has received the end of file, which counts 1. Behind it nothing follows. */
static __always_inline bool has_received_end(u64 sock, u32 copied_seq)
{
	return read_u8(sock + SOCK__SK_SHUTDOWN) & RCV_SHUTDOWN && read_u32(sock + TCP_SOCK__RCV_NXT) == copied_seq;
}

static __always_inline void fill_network(struct call_row *call, struct connection *c, u64 sock)
{
	struct tcp_counts counts = tcp_counts(sock);

	if (c->sequence == 1) {
		call->connect_time = c->connect_time;
		call->handshake_time = c->handshake_time;
	}
	call->round_trip = TCP_SOCK__SRTT_US ? read_u32(sock + TCP_SOCK__SRTT_US) >> 3 : 0;
	call->segments = TCP_SOCK__SEGS_OUT ? counts.segments - c->segments_at_t0 : NOT_KNOWN;
	call->retransmitted = TCP_SOCK__TOTAL_RETRANS ? counts.retransmitted - c->retransmitted_at_t0 : NOT_KNOWN;
	call->out_of_order = TCP_SOCK__RCV_OOOPACK ? counts.out_of_order - c->out_of_order_at_t0 : NOT_KNOWN;
}
