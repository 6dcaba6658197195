/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pairs sends and receives of one socket to calls.
 *
 * A connection is IDLE, in the REQUEST or in the RESPONSE of a call. A transfer in the direction that opens calls
 * (sending for a client, receiving for a server) begins a request or goes on with it; the first one in the other
 * direction answers. The call goes out at that moment (t2), since a connection may then rest for hours; what the response
 * still brings follows as a completion when the next request, the end of the connection or of the capture ends it.
 *
 * A send counts from its entry: on loopback the answer can be there before tcp_sendmsg returns. What a failed send did
 * is undone. A receive counts from its return: its entry is before the wait.
 */

enum step { IGNORED, OPENED, ANSWERED, CONTINUED };

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
	c->state.opens = opens;
	c->call.role = opens == SENDING ? ROLE_CLIENT : ROLE_SERVER;
	c->call.role_source = source;
}

/* A connection that is older than the recorder tells its role by the first bytes of a burst. */
static __always_inline void learn_role(struct connection *c, u8 direction, u64 head)
{
	u8 opens;

	if (c->call.role_source == ROLE_FROM_CONNECTION)
		return;
	if (is_method(head))
		opens = direction;
	else if (is_status_line(head))
		opens = opposite(direction);
	else
		return;
	if (opens != c->state.opens)
		c->state.phase = IDLE; /* what was paired so far was no call */
	set_role(c, opens, ROLE_FROM_PAYLOAD);
}

static __always_inline void begin_call(struct connection *c, u64 sock, u64 now, u64 head)
{
	struct call_row *call = &c->call;

	call->sequence++;
	call->t0 = now;
	call->t1 = now;
	call->t2 = 0;
	call->sent = 0;
	call->received = 0;
	call->stack = 0;
	call->outcome = OUTCOME_ANSWERED;
	call->stack_status = STACK_NOT_TAKEN;
	call->receive_tid = 0;
	call->receive_stack = 0;
	call->receive_stack_status = STACK_NOT_TAKEN;
	*(u64 *)call->request_head = head;
	((u64 *)call->response_head)[0] = 0;
	((u64 *)call->response_head)[1] = 0;
	c->state.recorded = 0;
	c->state.peer_closed = 0;
	c->state.phase = REQUEST;
	read_addresses(call, sock);
	identify(call);
	c->state.wanted = is_wanted(call);
	if (c->state.wanted)
		announce_process(call);
}

static __always_inline bool is_answer(struct connection *c, u8 direction)
{
	return direction != c->state.opens && c->state.phase == REQUEST;
}

static __always_inline void answer_call(struct connection *c, u64 now, u64 *head)
{
	c->call.t2 = now;
	c->state.t3 = now;
	((u64 *)c->call.response_head)[0] = head[0];
	((u64 *)c->call.response_head)[1] = head[1];
	c->state.phase = RESPONSE;
}

static __always_inline u32 advance(struct connection *c, u64 sock, u8 direction, u64 now, struct user_buffer *buffer)
{
	u64 head[2] = {}, size = buffer->size;

	if (c->state.direction != direction) {
		if (size > sizeof(head))
			size = sizeof(head);
		bpf_probe_read_user(head, size, (void *)buffer->address);
		learn_role(c, direction, head[0]);
		c->state.direction = direction;
	}
	if (c->state.opens == NEITHER)
		c->state.opens = direction;
	if (direction == c->state.opens && c->state.phase != REQUEST) {
		if (c->state.phase == RESPONSE)
			submit_completion(c);
		begin_call(c, sock, now, head[0]);
		return OPENED;
	}
	if (is_answer(c, direction)) {
		answer_call(c, now, head);
		return ANSWERED;
	}
	return c->state.phase == IDLE ? IGNORED : CONTINUED;
}

/* Ends the call, if there is one, for good. */
static __always_inline void end_call(struct connection *c, u8 outcome)
{
	if (c->state.phase == REQUEST) {
		c->call.t2 = bpf_ktime_get_ns();
		c->call.outcome = outcome;
		submit_call(c);
	} else if (c->state.phase == RESPONSE) {
		submit_completion(c);
	}
	c->state.phase = IDLE;
}

static __always_inline void fail_transfer(struct connection *c, int error)
{
	if (error == -EPIPE || error == -ECONNRESET)
		end_call(c, OUTCOME_RESET);
}

static __always_inline void undo(struct connection *c, u32 step)
{
	if (step == OPENED && c->state.phase == REQUEST)
		c->state.phase = IDLE;
	if (step == ANSWERED && c->state.phase == RESPONSE)
		c->state.phase = REQUEST;
	c->state.direction = NEITHER;
}
