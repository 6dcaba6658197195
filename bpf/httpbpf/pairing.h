/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pairs the sends and receives of a socket into calls.
 *
 * A connection is IDLE, in the REQUEST or in the RESPONSE of a call. A transfer in the direction that opens calls
 * (sending for a client, receiving for a server) begins a request or continues it; the first transfer in the other
 * direction answers it (t2), and what follows there goes on with the response (t3). A call is sent to user space as soon
 * as it is slow. How a response that was sent goes on follows as a completion, once the next request or the end of the
 * connection or of the capture ends it.
 *
 * What no program waits for is no part of a call, and what may be none, such as a session ticket, answers only if nothing
 * else does: such a tentative answer leaves the connection in the REQUEST.
 *
 * A send counts from its entry, because on loopback the answer can arrive before tcp_sendmsg returns; the effect of a
 * failed send is undone. A receive counts from its return, because its entry is before the wait.
 */

#define LONG_REQUEST 8192 /* bytes after which a request is taken to go on after a tentative answer */
#define PAUSE_NS 1000000  /* in a request or response */

static __always_inline u8 opposite(u8 direction)
{
	return direction == SENDING ? RECEIVING : SENDING;
}

/* Learns the role of a connection that is older than the recorder from the first bytes of a burst. */
static __always_inline void learn_role(struct connection *c, u8 direction)
{
	u8 opens;

	if (c->role_source == ROLE_FROM_CONNECTION)
		return;
	if (begins_with_method(c))
		opens = direction;
	else if (is_status_line(c))
		opens = opposite(direction);
	else
		return;
	if (opens != c->opens)
		c->phase = IDLE; /* what was paired so far was not a call */
	set_role(c, opens, ROLE_FROM_PAYLOAD);
}

static __always_inline void learn_protocol(struct connection *c, u8 direction)
{
	u64 header = *(u64 *)c->head;

	if (c->head_size >= TLS_HEADER && is_record(header)) {
		c->protocol = TLS;
		c->is_encrypted = 1;
		if ((u8)header == TLS_HANDSHAKE_RECORD)
			begin_handshake(c);
	} else if (is_request_line(c)) {
		c->protocol = first_word(c) != 0x20495250 ? HTTP1 : walks_streams() ? STREAMS : HTTP2; /* "PRI " */
	} else if (is_status_line(c)) {
		c->protocol = HTTP1;
	} else if (c->role_source == ROLE_FROM_LISTENER && direction == c->opens && begins_stream(c) && walks_streams()) {
		c->protocol = STREAMS;
		c->request_skip = 0;
	}
}

/* Reads on in the bytes of a burst, if they are not known. */
static __always_inline void read_head(struct connection *c, u8 direction, struct payload *payload, u64 now)
{
	if (c->protocol != TLS)
		c->request_skip = PREFACE_SIZE - c->head_size;
	if (!through(&c->head_is_kept, read_into_slot(c, payload->segment, direction, now)))
		gather(c, *payload, direction);
	if (!c->sequence && c->protocol == UNKNOWN)
		skip_proxy_header(c, payload);
	skip_empty_line(c, payload);
	if (c->protocol == UNKNOWN || c->protocol == TUNNEL)
		learn_protocol(c, direction);
	learn_role(c, direction);
}

/* A frame of the whole HTTP/2 connection carries nothing of a call, unless other frames follow it in the transfer. */
static __always_inline bool is_control_frame_alone(struct connection *c, struct payload payload)
{
	return is_control_frame(c) && payload.segment.size + payload.left <= frame_size(c);
}

static __always_inline u8 judge_request(struct connection *c, struct payload *payload)
{
	switch (c->protocol) {
	case TLS:
		return judge_tls(c, true, payload);
	case HTTP1:
		return may_be_request_line(c) ? IS_PART : NO_PART;
	case HTTP2:
		return is_control_frame_alone(c, *payload) ? NO_PART : IS_PART;
	case TUNNEL:
		return NO_PART;
	}
	return payload->is_skipped ? NO_PART : IS_PART;
}

/* In a RESPONSE only the first bytes after a pause are judged: they may come when the connection rests. */
static __always_inline u8 judge_response(struct connection *c, struct payload *payload, bool is_fresh)
{
	if (c->protocol == TUNNEL)
		return NO_PART;
	if (c->phase == RESPONSE && !is_fresh)
		return IS_PART;
	if (c->protocol == TLS)
		return judge_tls(c, false, payload);
	if (c->protocol == HTTP2)
		return is_control_frame(c) ? MAY_ANSWER : IS_PART;
	if (c->protocol != HTTP1)
		return IS_PART;
	if (c->phase == RESPONSE)
		return status_of(c) == STATUS_408 ? NO_PART : IS_PART;
	return is_interim(c, payload) ? MAY_ANSWER : IS_PART;
}

static __always_inline void reset_call(struct connection *c, u64 now, struct tcp_counts counts)
{
	c->segments_at_t0 = counts.segments;
	c->retransmitted_at_t0 = counts.retransmitted;
	c->out_of_order_at_t0 = counts.out_of_order;
	c->request_seq = 0;
	c->response_seq = 0;
	c->t0 = now;
	c->t1 = now;
	c->t2 = 0;
	c->t3 = 0;
	c->sent = 0;
	c->received = 0;
	c->outcome = OUTCOME_ANSWERED;
	c->stack_status = STACK_NOT_TAKEN;
	c->receive_stack_status = STACK_NOT_TAKEN;
	c->stack_is_late = 0;
	c->judged_by = JUDGED_BY_WHOLE;
	c->first_byte_is_guess = 0;
	c->is_tentative = 0;
	c->rests = 0;
	c->receive_tid = 0;
	((u64 *)c->response_head)[0] = 0;
	((u64 *)c->response_head)[1] = 0;
	c->recorded = NOT_RECORDED;
	c->peer_closed = 0;
	c->overlapping = 0;
}

static __always_inline u32 begin_call(struct connection *c, u64 sock, u64 now, struct payload payload, u32 received)
{
	struct tcp_counts counts;

	c->phase = IDLE;
	meet_thread(c);
	if (c->ignored)
		return IGNORED;
	set_addresses(c, sock);
	if (c->was_in_call && c->wanted)
		count(CALL_NOT_PAIRED);
	c->was_in_call = 0;
	counts = tcp_counts(sock);
	if (is_beyond_seen(c, counts.copied_seq))
		count(TRANSFER_NOT_SEEN);
	c->copied_seq = received ? received_before(c, sock, counts.copied_seq, received) : counts.copied_seq;
	c->seen_since = 0;
	c->sequence++;
	reset_call(c, now, counts);
	copy_request_head(c);
	keep_request(c, payload, now);
	c->phase = REQUEST;
	return OPENED;
}

/*
 * Ends a call that was answered. If it is slow and not recorded, its send has not returned yet, which would have recorded
 * it: another thread was given the next request before.
 */
static __always_inline void end_response(struct connection *c)
{
	c->phase = IDLE;
	if (!c->wanted)
		return;
	if (c->recorded)
		submit_completion(c);
	else if (is_slow(c, c->t3))
		count(CALL_OVERTAKEN);
	else
		end_fast_call(c, c);
}

/* Makes the tentative answer the answer. It is a fast one, because a slow one is never tentative. */
static __always_inline void accept_answer(struct connection *c)
{
	release_slots(c);
	end_response(c);
}

/* What opened the call was no request. */
static __always_inline void forget_call(struct connection *c)
{
	release_slots(c);
	c->phase = IDLE;
	c->sequence--;
}

/* More of the request's first bytes may show that it was none, but the rest of a body that had been answered before. */
static __always_inline u32 continue_request(struct connection *c, u64 now, struct payload payload, bool is_fresh, bool head_grew)
{
	if (is_fresh)
		c->head_size = HEAD_SIZE; /* the first bytes of the request came before an interim response */
	keep_more(c, payload.segment, now);
	if (!head_grew)
		return CONTINUED;
	copy_request_head(c);
	if (c->protocol != HTTP1 || c->sequence == 1 || c->head_size < HEAD_SIZE || begins_with_method(c))
		return CONTINUED;
	c->phase = IDLE;
	release_slots(c);
	return IGNORED;
}

static __always_inline u32 advance_request(struct connection *c, u64 sock, u64 now, struct payload *payload, u32 received,
					   bool is_fresh, bool head_grew)
{
	bool was_doubtful = c->is_doubtful;
	u8 part = judge_request(c, payload);

	if (c->phase == REQUEST && was_doubtful && part == IS_PART)
		forget_call(c);
	if (c->phase == REQUEST && now - c->t1 >= PAUSE_NS && has_received_unseen(c, sock)) {
		c->phase = IDLE; /* its answer was not seen, so this is the next request */
		part = IS_PART;
	}
	if (c->phase == REQUEST) {
		if (!c->is_tentative || part == NO_PART || c->protocol == HTTP1 || c->sent + c->received >= LONG_REQUEST)
			return continue_request(c, now, *payload, is_fresh, head_grew);
		accept_answer(c);
	}
	if (part == NO_PART)
		return IGNORED;
	if (c->phase == RESPONSE)
		end_response(c);
	return begin_call(c, sock, now, *payload, received);
}

/* After an upgrade, or through a proxy to the far end, either end may send anything at any time. */
static __always_inline void enter_tunnel(struct connection *c)
{
	if (c->protocol != HTTP1 || (status_of(c) != STATUS_101 && !connects(c)))
		return;
	c->protocol = TUNNEL;
	c->judged_by = JUDGED_BY_FIRST_BYTE;
}

static __always_inline u32 answer_call(struct connection *c, u64 now, struct payload payload, bool is_sure)
{
	c->t2 = now;
	c->t3 = now;
	c->is_doubtful = 0;
	c->first_byte_is_guess |= !is_sure || (c->is_tentative && c->protocol != HTTP1);
	c->is_tentative = 0;
	c->tls &= ~TLS_TICKETS;
	copy_response_head(c);
	keep_response(c, payload.segment, now);
	enter_tunnel(c);
	c->phase = RESPONSE;
	return ANSWERED;
}

static __always_inline u32 advance_response(struct connection *c, u64 now, struct payload *payload, bool is_fresh, bool head_grew)
{
	u8 part = judge_response(c, payload, is_fresh);

	if (part == MAY_ANSWER && (c->phase == RESPONSE ? c->sends_pings : answers_controls(c)))
		part = NO_PART; /* after a pause, when the call has its answer, or to what may be no request */
	c->rests = part != IS_PART;
	if (c->phase == IDLE || part == NO_PART)
		return IGNORED;
	if (c->phase == RESPONSE) {
		if (head_grew)
			copy_response_head(c);
		return CONTINUED;
	}
	if (part == IS_PART || (is_slow(c, now) && c->protocol != HTTP1))
		return answer_call(c, now, *payload, part == IS_PART);
	c->is_tentative = 1;
	c->t2 = now;
	c->t3 = now;
	return CONTINUED;
}

static __always_inline bool is_answer(struct connection *c, u8 direction)
{
	return direction != c->opens && c->phase == REQUEST;
}

/*
 * Whether the first bytes of this transfer tell something: where the direction turns, where a request may begin, after a
 * tentative answer, and where a slow response goes on after a pause.
 */
static __always_inline bool is_burst(struct connection *c, u8 direction, u64 now)
{
	if (c->direction != direction)
		return true;
	if (c->phase == REQUEST && c->is_tentative)
		return true;
	if (c->opens == direction)
		return c->phase != REQUEST || c->is_doubtful;
	return c->phase == RESPONSE && is_slow(c, now) && now - c->t3 >= PAUSE_NS && !lacks_status(c);
}

static __always_inline void note_first_byte(struct connection *c, u32 step, u32 number)
{
	if (step == OPENED)
		c->request_seq = number;
	else
		c->response_seq = number;
}

static __always_inline u32 advance(struct connection *c, u64 sock, u8 direction, u64 now, u64 msg, u64 received)
{
	bool is_first, is_fresh, head_grew = false;
	struct payload payload = {};
	u32 step;

	if (c->opens == NEITHER)
		find_role(c, sock);
	is_first = c->direction == NEITHER && !c->sequence && c->role_source != ROLE_FROM_CONNECTION;
	is_fresh = is_burst(c, direction, now);
	if (is_fresh)
		begin_head(c);
	c->direction = direction;
	c->head_is_kept = 0;
	if (c->head_size < HEAD_SIZE || c->tls & (TLS_HANDSHAKE | TLS_TICKETS) || is_head_wanted(c, direction)) {
		payload = direction == SENDING ? sent_from(msg) : received_into(msg, received);
		head_grew = !is_fresh && c->head_size < HEAD_SIZE;
		if (c->head_size < HEAD_SIZE)
			read_head(c, direction, &payload, now);
		if (c->tls & TLS_HANDSHAKE)
			tell_hello(c, direction, payload);
	}
	is_fresh = through(&c->is_fresh, is_fresh);
	head_grew = through(&c->head_grew, head_grew);
	if (c->protocol == STREAMS) { /* from here on, frames tell what is a call */
		release_slots(c);
		c->phase = IDLE;
		c->was_in_call = 0;
		return IGNORED;
	}
	if (is_first && direction != c->opens)
		c->was_in_call = 1; /* counted when it is known whose call it was */
	if (c->opens == NEITHER)
		return IGNORED;
	step = direction == c->opens ? advance_request(c, sock, now, &payload, received, is_fresh, head_grew)
				     : advance_response(c, now, &payload, is_fresh, head_grew);
	if (step == OPENED || step == ANSWERED)
		note_first_byte(c, step, first_byte(c, sock, direction) + payload.offset);
	return step;
}

/*
 * Ends the connection's call, if it has one. This function and the next return whether the caller must submit the call,
 * so that the code of submit_call is in each probe only once.
 */
static __always_inline bool end_call(struct connection *c, u64 sock, u8 outcome)
{
	if (c->phase == REQUEST && c->is_doubtful)
		forget_call(c);
	if (c->phase == REQUEST && has_received_unseen(c, sock)) {
		count(TRANSFER_NOT_SEEN);
		release_slots(c);
		c->phase = IDLE;
		return false;
	}
	if (c->phase == REQUEST && (!c->is_tentative || c->protocol == HTTP1)) {
		c->t2 = bpf_ktime_get_ns();
		c->t3 = c->t2;
		c->outcome = outcome;
		c->phase = IDLE;
		return true;
	}
	if (c->phase != IDLE)
		accept_answer(c);
	return false;
}

static __always_inline bool fail_transfer(struct connection *c, u64 sock, int error)
{
	return (error == -EPIPE || error == -ECONNRESET) && end_call(c, sock, OUTCOME_RESET);
}

static __always_inline void undo(struct connection *c, u32 step)
{
	if (step == OPENED && c->phase == REQUEST) {
		c->phase = IDLE;
		release_slots(c);
	}
	if (step == ANSWERED && c->phase == RESPONSE) {
		c->phase = REQUEST;
		c->response_seq = 0;
	}
	c->direction = NEITHER;
}
