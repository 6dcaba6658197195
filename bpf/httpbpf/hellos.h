/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sends what both ends of a TLS connection say first to user space, which finds the server's name in it: once a connection,
 * when it is said. A ClientHello has some 500 bytes, with post-quantum keys 1,800, and comes in as many sends or receives
 * as the process makes. Of an answer the beginning is enough.
 */
#if HTTP_BYTES

#define HELLO_BYTES 2048
#define SHORT_HELLO_BYTES 576

struct hello {
	struct head_row row;
	u8 bytes[HELLO_BYTES];
};

struct short_hello {
	struct head_row row;
	u8 bytes[SHORT_HELLO_BYTES];
};

static __always_inline void begin_hello_row(struct head_row *row, struct connection *c, bool asks, u64 offset, u64 size)
{
	row->connection = c->connection;
	row->sequence = offset;
	row->size = size;
	row->is_response = !asks;
	row->is_hello = 1;
}

/* What is written must be submitted, so bytes that cannot be read are sent as none. */
static __always_inline void output_hello(struct connection *c, bool asks, struct user_buffer segment, u64 offset)
{
	u64 size = segment.size < HELLO_BYTES ? segment.size : HELLO_BYTES;
	struct short_hello *brief;
	struct hello *whole;

	if (asks && size > SHORT_HELLO_BYTES) {
		whole = head_ring.ringbuf_reserve(sizeof(*whole));
		if (!whole) {
			count(HEAD_RING_FULL);
			return;
		}
		begin_hello_row(&whole->row, c, asks, offset, size);
		if (bpf_probe_read_user(whole->bytes, at_most(size, HELLO_BYTES), (void *)segment.address))
			whole->row.size = 0;
		head_ring.ringbuf_submit(whole, BPF_RB_NO_WAKEUP);
		return;
	}
	if (size > SHORT_HELLO_BYTES)
		size = SHORT_HELLO_BYTES;
	brief = head_ring.ringbuf_reserve(sizeof(*brief));
	if (!brief) {
		count(HEAD_RING_FULL);
		return;
	}
	begin_hello_row(&brief->row, c, asks, offset, size);
	if (bpf_probe_read_user(brief->bytes, at_most(size, SHORT_HELLO_BYTES), (void *)segment.address))
		brief->row.size = 0;
	head_ring.ringbuf_submit(brief, BPF_RB_NO_WAKEUP);
}

/* Sends the next bytes of a handshake that has just begun. Until the answer comes, all are the client's first message. */
static __always_inline void tell_hello(struct connection *c, u8 direction, struct payload payload)
{
	bool asks = direction == c->opens;
	u16 *seen = asks ? &c->hello_bytes : &c->answer_bytes;
	u64 offset = *seen, left = forgotten(payload.left);
	struct user_buffer segment = { forgotten(payload.segment.address), forgotten(payload.segment.size) };

	if (c->opens == NEITHER || (asks && c->tls & TLS_ANSWERER_SPOKE) || !segment.size)
		return;
	if (offset >= (asks ? HELLO_BYTES : SHORT_HELLO_BYTES))
		return;
	*seen = at_most(offset + segment.size + ((s64)left > 0 ? left : 0), 0xffff);
	output_hello(c, asks, segment, offset);
}

#else

static __always_inline void tell_hello(struct connection *c, u8 direction, struct payload payload)
{
}

#endif
