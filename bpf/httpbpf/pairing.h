/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pairs the sends and receives of a socket into calls.
 *
 * A connection is IDLE, in the REQUEST or in the RESPONSE of a call. A transfer in the direction that opens calls
 * (sending for a client, receiving for a server) begins a request or continues it; the first transfer in the other
 * direction answers it. The call is sent to user space at that moment (t2), because the connection may then rest for
 * hours. The rest of the response follows as a completion, once the next request or the end of the connection or of the
 * capture ends it.
 *
 * A send counts from its entry, because on loopback the answer can arrive before tcp_sendmsg returns; the effect of a
 * failed send is undone. A receive counts from its return, because its entry is before the wait.
 */

static __always_inline u8 opposite(u8 direction)
{
	return direction == SENDING ? RECEIVING : SENDING;
}

static __always_inline bool is_method(u64 head)
{
	switch ((u32)head) { /* the first four bytes, little-endian */
	case 0x20544547: /* "GET " */
	case 0x44414548: /* HEAD */
	case 0x54534f50: /* POST */
	case 0x20545550: /* "PUT " */
	case 0x454c4544: /* DELE */
	case 0x4954504f: /* OPTI */
	case 0x43544150: /* PATC */
	case 0x4e4e4f43: /* CONN */
	case 0x43415254: /* TRAC */
	case 0x20495250: /* "PRI ", the preface of HTTP/2 */
		return true;
	}
	return false;
}

static __always_inline bool is_status_line(u64 head)
{
	return (head & 0xffffffffffffff) == 0x2e312f50545448; /* HTTP/1. */
}

static __always_inline void set_role(struct connection *c, u8 opens, u8 source)
{
	c->opens = opens;
	c->role = opens == SENDING ? ROLE_CLIENT : ROLE_SERVER;
	c->role_source = source;
}

/* Learns the role of a connection that is older than the recorder from the first bytes of a burst. */
static __always_inline void learn_role(struct connection *c, u8 direction, u64 head)
{
	u8 opens;

	if (c->role_source == ROLE_FROM_CONNECTION)
		return;
	if (is_method(head))
		opens = direction;
	else if (is_status_line(head))
		opens = opposite(direction);
	else
		return;
	if (opens != c->opens)
		c->phase = IDLE; /* what was paired so far was not a call */
	set_role(c, opens, ROLE_FROM_PAYLOAD);
}

static __always_inline u32 begin_call(struct connection *c, u64 sock, u64 now, u64 head)
{
	c->phase = IDLE;
	meet_thread(c);
	if (c->ignored)
		return IGNORED;
	set_addresses(c, sock);
	c->sequence++;
	c->t0 = now;
	c->t1 = now;
	c->t2 = 0;
	c->sent = 0;
	c->received = 0;
	c->outcome = OUTCOME_ANSWERED;
	c->stack_status = STACK_NOT_TAKEN;
	c->receive_stack_status = STACK_NOT_TAKEN;
	c->receive_tid = 0;
	*(u64 *)c->request_head = head;
	((u64 *)c->response_head)[0] = 0;
	((u64 *)c->response_head)[1] = 0;
	c->recorded = 0;
	c->peer_closed = 0;
	c->overlapping = 0;
	c->phase = REQUEST;
	return OPENED;
}

static __always_inline bool is_answer(struct connection *c, u8 direction)
{
	return direction != c->opens && c->phase == REQUEST;
}

static __always_inline u32 answer_call(struct connection *c, u64 now, u64 *head)
{
	c->t2 = now;
	c->t3 = now;
	((u64 *)c->response_head)[0] = head[0];
	((u64 *)c->response_head)[1] = head[1];
	c->phase = RESPONSE;
	return ANSWERED;
}

/*
 * Reads the first bytes of a burst if they can tell the role, belong to a request, or belong to the answer of a slow
 * call.
 */
static __always_inline bool is_head_wanted(struct connection *c, u8 direction, u64 now)
{
	return c->role_source != ROLE_FROM_CONNECTION || c->opens == direction || is_slow(c, now);
}

static __always_inline u32 advance(struct connection *c, u64 sock, u8 direction, u64 now, u64 msg, u64 received)
{
	u64 head[2] = {};

	if (c->direction != direction) {
		c->direction = direction;
		if (is_head_wanted(c, direction, now)) {
			struct user_buffer buffer = direction == SENDING ? sent_from(msg) : received_into(msg, received);

			if (buffer.size > sizeof(head))
				buffer.size = sizeof(head);
			bpf_probe_read_user(head, buffer.size, (void *)buffer.address);
			learn_role(c, direction, head[0]);
		}
	}
	if (c->opens == NEITHER)
		c->opens = direction;
	if (direction == c->opens && c->phase != REQUEST) {
		if (c->phase == RESPONSE)
			submit_completion(c);
		return begin_call(c, sock, now, head[0]);
	}
	if (is_answer(c, direction))
		return answer_call(c, now, head);
	return c->phase == IDLE ? IGNORED : CONTINUED;
}

/*
 * Ends the connection's call, if it has one. This function and the next return whether the caller must submit the call,
 * so that the code of submit_call is in each probe only once.
 */
static __always_inline bool end_call(struct connection *c, u8 outcome)
{
	bool is_unanswered = c->phase == REQUEST;

	if (is_unanswered) {
		c->t2 = bpf_ktime_get_ns();
		c->outcome = outcome;
	} else if (c->phase == RESPONSE) {
		submit_completion(c);
	}
	c->phase = IDLE;
	return is_unanswered;
}

static __always_inline bool fail_transfer(struct connection *c, int error)
{
	return (error == -EPIPE || error == -ECONNRESET) && end_call(c, OUTCOME_RESET);
}

static __always_inline void undo(struct connection *c, u32 step)
{
	if (step == OPENED && c->phase == REQUEST) {
		c->phase = IDLE;
		release_slots(c);
	}
	if (step == ANSWERED && c->phase == RESPONSE)
		c->phase = REQUEST;
	c->direction = NEITHER;
}
