/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The upgrade from HTTP/1.1 to HTTP/2 in clear text (RFC 7540, 3.2). The server says `101 Switching Protocols` in HTTP/1.1,
 * and answers the request that asked for it in HTTP/2, as stream 1. So nothing that follows the head is lost, the walk from
 * frame to frame begins behind it.
 */

#define MOST_UPGRADE 112	/* bytes of the head that are looked at: servers send 71, or 108 with the date */
#define H2C_LINE_END 0x6832630d /* "h2c\r", the end of the line `Upgrade: h2c` */
#define HEAD_END 0x0d0a0d0a

/* Returns how many bytes the head of a response has, if it is all in the segment and switches to HTTP/2, else 0. */
static __always_inline u64 upgrade_size(struct user_buffer segment)
{
	u64 is_h2c = 0;
	u32 last = 0;
	u8 byte = 0;

#pragma nounroll
	for (u64 i = 0; i < MOST_UPGRADE; i++) {
		bpf_probe_read_user(&byte, 1, (void *)(segment.address + i));
		last = last << 8 | byte;
		is_h2c |= are_equal(last, H2C_LINE_END);
		if (last == HEAD_END)
			return is_h2c && i < segment.size ? forgotten(i + 1) : 0;
	}
	return 0;
}

static __always_inline void forget_answer(struct connection *c)
{
	forget_response_head(c);
	((u64 *)c->response_head)[0] = 0;
	((u64 *)c->response_head)[1] = 0;
	c->response_seq = 0;
	c->judged_by = JUDGED_BY_WHOLE;
	c->t2 = 0;
	c->t3 = 0;
	c->phase = REQUEST;
}

/*
 * Makes the call that has just been answered so one of stream 1, with its stack and the head of its request. Returns
 * whether both directions are walked from here on, that of requests from the preface.
 */
static __always_inline bool go_on_as_stream(struct connection *c, struct payload payload)
{
	struct stream_key key = { .connection = c->connection, .stream = 1 };
	u64 size = walks_streams() ? upgrade_size(payload.segment) : 0;

	if (!size)
		return false;
	forget_answer(c);
	c->protocol = STREAMS;
	c->response_skip = size;
	c->request_skip = PREFACE_SIZE;
	c->request_seq = 0;
	c->stream = 1;
	if (streams.insert(&key, c)) {
		count(STREAM_MAP_FULL);
		release_slots(c);
	} else {
		__sync_fetch_and_add(&c->open_streams, 1);
		c->slot = 0;
		c->receive_slot = 0;
	}
	c->stream = 0;
	c->phase = IDLE;
	c->head_state = HEAD_NOT_WANTED;
	return true;
}
