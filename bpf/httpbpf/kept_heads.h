/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Keeps the first bytes of HTTP/1 requests and responses. A request is gathered over several segments and transfers, as
 * long as all bytes of the call so far have been kept; of a response what comes first is kept.
 */
#if HTTP_BYTES

#define PIECE_BYTES 256 /* of a request that are added at a time: no more than follow it in its slot */

/*
 * So that the verifier knows nothing of a value any more. Through the program's stack, where a part has to be written to
 * that end, it would take the processor longer.
 */
static __always_inline u64 unknown(struct head_slot *slot, u64 value)
{
	*(volatile u64 *)&slot->any = value;
	return *(volatile u64 *)&slot->any;
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
static __always_inline void read_first(struct head_slot *slot, struct head_row *row, u8 *to, u64 room, struct user_buffer segment)
{
	u64 address = unknown(slot, segment.address), size = unknown(slot, segment.size);

	if (size > room)
		size = room;
	if (size && !bpf_probe_read_user(to, at_most(size, room), (void *)address))
		row->size = size;
}

static __always_inline void read_request(struct head_slot *slot, struct connection *c, struct user_buffer segment)
{
	begin_head_row(&slot->request, c, 0);
	read_first(slot, &slot->request, slot->request_bytes, HTTP_BYTES, segment);
}

static __always_inline void read_response(struct head_slot *slot, struct connection *c, struct user_buffer segment)
{
	begin_head_row(&slot->response, c, 1);
	read_first(slot, &slot->response, slot->response_bytes, RESPONSE_BYTES, segment);
}

static __always_inline void add_piece(struct head_slot *slot, struct user_buffer segment)
{
	u64 have = slot->request.size, address = unknown(slot, segment.address), size = unknown(slot, segment.size), end;
	u8 *to = slot->request_bytes + at_most(have, HTTP_BYTES);

	if (size > PIECE_BYTES)
		size = PIECE_BYTES;
	end = have + size < HTTP_BYTES ? have + size : HTTP_BYTES;
	if (end > have && !bpf_probe_read_user(to, at_most(unknown(slot, end - have), PIECE_BYTES), (void *)address))
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

/*
 * Reads the first segment of what may be a request or the answer to it into the connection's slot, if it has one, and
 * takes the burst's first bytes from there: to read them for themselves would be a second read of user memory, which is
 * what takes longest here. What was there may be lost if this is no request after all; then it is not sent with its call.
 */
static __always_inline bool read_into_slot(struct connection *c, struct user_buffer segment, u8 direction, u64 now)
{
	bool is_request = direction == c->opens;
	struct head_slot *slot;
	u64 *bytes;

	if (c->head_size || HTTP_BYTES < HEAD_SIZE || c->protocol != HTTP1 || is_request == (c->phase == REQUEST))
		return false;
	slot = is_request || c->head_state != HEAD_NOT_WANTED ? hold_heads(c, now) : NULL;
	if (!slot)
		return false;
	if (is_request) {
		read_request(slot, c, segment);
		slot->request.sequence++; /* of the call that it may open */
		bytes = (u64 *)slot->request_bytes;
	} else {
		read_response(slot, c, segment);
		bytes = (u64 *)slot->response_bytes;
	}
	if ((is_request ? slot->request.size : slot->response.size) < HEAD_SIZE)
		return false;
	((u64 *)c->head)[0] = bytes[0];
	((u64 *)c->head)[1] = bytes[1];
	c->head_size = HEAD_SIZE;
	return true;
}

/* Keeps the first bytes of the request that begins. Of a server it is not known yet which thread will answer. */
static __always_inline void keep_request(struct connection *c, struct payload payload, u64 now)
{
	struct head_slot *slot;

	c->head_state = HEAD_NOT_WANTED;
	if ((c->opens == SENDING && !c->wanted) || c->protocol > HTTP1 || !may_be_request_line(c))
		return;
	slot = hold_heads(c, now);
	if (!slot)
		slot = acquire_heads(c, now);
	c->head_state = slot ? HEAD_GROWS : HEAD_LACKS_SLOT;
	if (!slot)
		return;
	if (!c->head_is_kept)
		read_request(slot, c, payload.segment);
	if (c->opens == SENDING)
		add_segments(slot, payload);
}

/* Keeps what follows, if all bytes of the call so far have been kept. */
static __always_inline void keep_more(struct connection *c, struct user_buffer segment, u64 now)
{
	struct head_slot *slot;

	if (c->head_state != HEAD_GROWS)
		return;
	slot = hold_heads(c, now);
	if (slot && slot->request.sequence == c->sequence && slot->request.size == c->sent + c->received)
		add_piece(slot, segment);
	else
		c->head_state = HEAD_KEPT;
}

static __always_inline void keep_response(struct connection *c, struct user_buffer segment, u64 now)
{
	struct head_slot *slot;

	if (c->head_is_kept || c->head_state == HEAD_NOT_WANTED || c->protocol == TLS)
		return;
	slot = hold_heads(c, now);
	if (slot && slot->request.sequence == c->sequence)
		read_response(slot, c, segment);
}

/* So that what may have been kept of a response is not sent with the call. */
static __always_inline void forget_response_head(struct connection *c)
{
	struct head_slot *slot = head_slot_of(c);

	if (slot)
		slot->response.size = 0;
}

/* Whether more of the request's head is to be kept. */
static __always_inline bool is_head_wanted(struct connection *c, u8 direction)
{
	return c->head_state == HEAD_GROWS && direction == c->opens;
}

#else

static __always_inline bool read_into_slot(struct connection *c, struct user_buffer segment, u8 direction, u64 now)
{
	return false;
}

static __always_inline void keep_request(struct connection *c, struct payload payload, u64 now)
{
}

static __always_inline void keep_more(struct connection *c, struct user_buffer segment, u64 now)
{
}

static __always_inline void keep_response(struct connection *c, struct user_buffer segment, u64 now)
{
}

static __always_inline void forget_response_head(struct connection *c)
{
}

static __always_inline bool is_head_wanted(struct connection *c, u8 direction)
{
	return false;
}

#endif
