/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TCP's sequence numbers of what a process sends and receives: of the first bytes of a call, and what they tell of bytes
 * that no probe has seen.
 */

/*
 * Whether the process has received bytes that no probe has seen, as by splice(2). It is asked of clients in clear text and
 * of HTTP/1 in TLS, which do not receive while they begin a request.
 */
static __always_inline bool is_beyond_seen(struct connection *c, u32 copied_seq)
{
	if (!c->sequence || c->opens != SENDING || c->protocol == HTTP2 || has_streams(c) || c->tls & MAYBE_HTTP2)
		return false;
	return (s32)(copied_seq - c->copied_seq - c->seen_since) > 1; /* the end of file counts 1 */
}

static __always_inline bool has_received_unseen(struct connection *c, u64 sock)
{
	return is_beyond_seen(c, read_u32(sock + TCP_SOCK__COPIED_SEQ));
}

/*
 * Returns the sequence number of the next byte that the process had not received before a receive of so many bytes. What
 * probes have seen tells it, unless they have not seen all: then TCP does, and whether the end of file came along.
 */
static __always_inline u32 received_before(struct connection *c, u64 sock, u32 copied_seq, u32 received)
{
	u32 seen = c->copied_seq + c->seen_since;

	if (c->sequence && copied_seq - received - seen <= 1)
		return seen;
	return copied_seq - received - has_received_end(sock, copied_seq);
}

/* Returns TCP's sequence number of the first byte of a transfer that opens or answers a call. */
static __always_inline u32 first_byte(struct connection *c, u64 sock, u8 direction)
{
	return direction == SENDING ? read_u32(sock + TCP_SOCK__WRITE_SEQ) : c->copied_seq + c->seen_since;
}
