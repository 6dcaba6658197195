/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Keeps the first bytes of HTTP/1 requests and responses. A request is gathered over several segments and transfers, as
 * long as all bytes of the call so far have been kept; of a response what comes first is kept.
 */
#if HTTP_BYTES

#define PIECE_BYTES 256 /* of a request that are added at a time: no more than follow it in its slot */

/*
 * So that the verifier knows nothing of a value any more: through a field that says nothing before the call is recorded.
 * Through the stack, where a part has to be written to that end, it would take the processor longer.
 */
static __always_inline u64 unknown(struct connection *c, u64 value)
{
	*(volatile u64 *)&c->told_t3 = value;
	return *(volatile u64 *)&c->told_t3;
}

static __always_inline void begin_head_row(struct head_row *row, struct connection *c, u8 is_response)
{
	row->connection = c->connection;
	row->sequence = c->sequence;
	row->size = 0;
	row->is_response = is_response;
	row->is_hello = 0;
}

/*
 * What is bounded for the verifier goes into the call at once: the compiler would put it on the stack to use it again, and
 * older kernels forget the bounds of what is there.
 */
static __always_inline void read_first(struct head_row *row, u8 *to, u64 room, struct user_buffer segment)
{
	u64 size = segment.size < room ? segment.size : room;

	if (size && !bpf_probe_read_user(to, at_most(size, room), (void *)segment.address))
		row->size = size;
}

static __always_inline void add_piece(struct head_slot *slot, struct user_buffer segment)
{
	u64 have = slot->request.size, size = segment.size < PIECE_BYTES ? segment.size : PIECE_BYTES;
	u8 *to = slot->request_bytes + at_most(have, HTTP_BYTES);
	u64 end = have + size < HTTP_BYTES ? have + size : HTTP_BYTES;

	if (end > have && !bpf_probe_read_user(to, at_most(end - have, PIECE_BYTES), (void *)segment.address))
		slot->request.size = end;
}

/* Adds the next segments of a send, each only if all of the one before was kept. */
static __always_inline void add_segments(struct head_slot *slot, struct payload payload)
{
	u64 sent = payload.segment.size;

#pragma unroll
	for (int i = 1; i < MOST_SEGMENTS; i++) {
		if (slot->request.size != sent || (s64)payload.left <= 0)
			return;
		next_segment(&payload);
		sent += payload.segment.size;
		add_piece(slot, payload.segment);
	}
}

/* Keeps the first bytes of the request that begins. Of a server it is not known yet which thread will answer. */
static __always_inline void keep_request(struct connection *c, struct payload payload, u64 now)
{
	struct head_slot *slot;

	c->head_state = HEAD_NOT_WANTED;
	if ((c->opens == SENDING && !c->wanted) || c->protocol > HTTP1 || !may_be_request_line(c))
		return;
	payload.segment.address = unknown(c, payload.segment.address);
	payload.segment.size = unknown(c, payload.segment.size);
	payload.left = unknown(c, payload.left);
	payload.next = unknown(c, payload.next);
	now = unknown(c, now);
	slot = hold_heads(c, now);
	if (!slot)
		slot = acquire_heads(c, now);
	c->head_state = slot ? HEAD_GROWS : HEAD_LACKS_SLOT;
	if (!slot)
		return;
	begin_head_row(&slot->request, c, 0);
	read_first(&slot->request, slot->request_bytes, HTTP_BYTES, payload.segment);
	if (c->opens == SENDING)
		add_segments(slot, payload);
}

/* Keeps what follows, if all bytes of the call so far have been kept. */
static __always_inline void keep_more(struct connection *c, struct user_buffer segment, u64 now)
{
	struct head_slot *slot;

	if (c->head_state != HEAD_GROWS)
		return;
	segment.address = unknown(c, segment.address);
	segment.size = unknown(c, segment.size);
	slot = hold_heads(c, now);
	if (slot && slot->request.sequence == c->sequence && slot->request.size == c->sent + c->received)
		add_piece(slot, segment);
	else
		c->head_state = HEAD_KEPT;
}

static __always_inline void keep_response(struct connection *c, struct user_buffer segment, u64 now)
{
	struct head_slot *slot;

	if (c->head_state == HEAD_NOT_WANTED || c->protocol == TLS)
		return;
	segment.address = unknown(c, segment.address);
	segment.size = unknown(c, segment.size);
	slot = hold_heads(c, now);
	if (!slot || slot->request.sequence != c->sequence)
		return;
	begin_head_row(&slot->response, c, 1);
	read_first(&slot->response, slot->response_bytes, RESPONSE_BYTES, segment);
}

/* Whether more of the request's head is to be kept. */
static __always_inline bool is_head_wanted(struct connection *c, u8 direction)
{
	return c->head_state == HEAD_GROWS && direction == c->opens;
}

#else

static __always_inline void keep_request(struct connection *c, struct payload payload, u64 now)
{
}

static __always_inline void keep_more(struct connection *c, struct user_buffer segment, u64 now)
{
}

static __always_inline void keep_response(struct connection *c, struct user_buffer segment, u64 now)
{
}

static __always_inline bool is_head_wanted(struct connection *c, u8 direction)
{
	return false;
}

#endif
