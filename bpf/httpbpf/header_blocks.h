/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sends the header blocks of HTTP/2 to user space, which decodes them (HPACK, RFC 7541): each in the order in which it was
 * sent, because every block changes what later ones mean. So those of all streams of a connection are sent, and then which
 * streams were slow or have ended.
 */
#if BLOCK_RING_PAGES

BPF_RINGBUF_OUTPUT(block_ring, BLOCK_RING_PAGES);

static __always_inline void output_piece(struct connection *c, struct frames *f)
{
	if (!f->has_piece)
		return;
	f->has_piece = 0;
	f->row.is_slow = 0;
	f->row.has_ended = 0;
	f->row.connection = c->connection;
	f->row.stream = f->stream;
	f->row.order = f->order++;
	f->row.left = f->skip;
	f->row.frame = f->type;
	f->row.flags = f->flags;
	f->row.is_request = f->direction == c->opens;
	if (!c->wanted)
		return;
	if (block_ring.ringbuf_output(&f->row, sizeof(f->row) + at_most(f->row.size, PIECE_BYTES), BPF_RB_NO_WAKEUP) |
	    f->row.is_lost)
		count(HEADER_BLOCK_LOST);
}

/* Says that the stream is slow, or has ended, or both. One whose request is still to come has not ended. */
static __always_inline void output_stream(struct connection *s, struct frames *f)
{
	f->row.connection = s->connection;
	f->row.stream = s->stream;
	f->row.sequence = s->sequence;
	f->row.frame = 0;
	f->row.is_slow = !!(f->todo & SUBMIT);
	f->row.has_ended = !!(f->todo & FORGET) & !s->is_early;
	if (block_ring.ringbuf_output(&f->row, sizeof(f->row), BPF_RB_NO_WAKEUP))
		count(HEADER_BLOCK_LOST);
}

#else

static __always_inline void output_piece(struct connection *c, struct frames *f)
{
}

static __always_inline void output_stream(struct connection *s, struct frames *f)
{
}

#endif
