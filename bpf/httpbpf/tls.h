/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tells data from the rest of TLS by what is not encrypted: type and size of records (RFC 5246, RFC 8446).
 *
 * Until TLS 1.2, only data have type 23. In TLS 1.3 the handshake has it too, from the server's second message on. The
 * client's part of it ends with a record for its Finished, whose size is that of the hash. Then the server sends session
 * tickets, usually after the client has sent a request: records of one size, one or two of them. Whether the first
 * records are tickets is known once another record follows. An alert has type 23 too, and 19 bytes.
 */

#define TLS_DATA 23
#define TLS_HANDSHAKE_RECORD 22
#define TLS_HEADER 5
#define MOST_RECORDS 8	 /* that are looked at in a transfer */
#define MOST_TICKETS 2
#define MOST_FLIGHT 4	 /* records of a client's certificate and Finished */
#define TLS_ALERT_SIZE 19

/* Bits of connection.tls. */
#define TLS_HANDSHAKE 1		/* the client's Finished, or its first data, have not been seen */
#define TLS_ANSWERER_SPOKE 2	/* in the handshake */
#define TLS_ANSWERER_ENCRYPTS 4 /* in the handshake, so this is TLS 1.3 */
#define TLS_TICKETS 8		/* the next records of responses may be tickets */
#define TLS_MAYBE_HTTP2 16

/* What a transfer is to the calls of its connection; of several records the largest counts. */
enum part { NO_PART, MAY_ANSWER, IS_PART };

static __always_inline u32 record_size(u64 header)
{
	return bpf_ntohs((u16)(header >> 24));
}

static __always_inline bool is_record(u64 header)
{
	return (u8)header >= 20 && (u8)header <= TLS_DATA && (u8)(header >> 8) == 3 && (u8)(header >> 16) <= 4 &&
	       record_size(header) <= 16384 + 2048;
}

/* With SHA-256 or SHA-384: 4 bytes, the hash, the type of the content, and 16 bytes of authentication. */
static __always_inline bool is_finished(u32 size)
{
	return size == 4 + 32 + 1 + 16 || size == 4 + 48 + 1 + 16;
}

/* Frames of 9, 13 and 17 bytes (SETTINGS without settings, WINDOW_UPDATE, PING) in TLS 1.3, and in 1.2 with AES-GCM. */
static __always_inline bool is_control_size(u32 size)
{
	return size == 26 || size == 30 || size == 34 || size == 33 || size == 37 || size == 41;
}

static __always_inline bool is_acknowledgement(u32 size)
{
	return size == 26 || size == 33;
}

/* Of a connection that is older than the recorder, the first record that is seen may not be the handshake's first. */
static __always_inline void begin_handshake(struct connection *c)
{
	c->tls = TLS_HANDSHAKE;
	c->request_skip = 0;
	c->setup_began = c->role_source == ROLE_FROM_CONNECTION ? bpf_ktime_get_ns() : 0;
}

static __always_inline void time_handshake(struct connection *c)
{
	if (c->setup_began)
		c->handshake_time = bpf_ktime_get_ns() - c->setup_began;
}

/* When the handshake ends is not known, or is no time before the call. */
static __always_inline void forget_handshake(struct connection *c)
{
	c->setup_began = 0;
	c->handshake_time = 0;
}

static __always_inline u8 judge_request_record(struct connection *c, u32 size)
{
	if (!(c->tls & TLS_HANDSHAKE))
		return IS_PART;
	if (c->tls & TLS_ANSWERER_ENCRYPTS) {
		if (is_finished(size) || ++c->tickets == MOST_FLIGHT) {
			if (is_finished(size))
				time_handshake(c);
			else
				forget_handshake(c);
			c->tls = (c->tls & ~TLS_HANDSHAKE) | TLS_TICKETS;
			c->tickets = 0;
		}
		return NO_PART;
	}
	if (c->tls & TLS_ANSWERER_SPOKE)
		c->tls &= ~TLS_HANDSHAKE;
	else
		forget_handshake(c); /* these are early data */
	return IS_PART;
}

static __always_inline u8 judge_response_record(struct connection *c, u32 size)
{
	if (c->tls & TLS_HANDSHAKE) {
		c->tls |= TLS_ANSWERER_ENCRYPTS;
		return NO_PART;
	}
	if (c->tls & TLS_TICKETS && c->tickets < MOST_TICKETS && (!c->tickets || size == c->ticket_size)) {
		c->tickets++;
		c->ticket_size = size;
		return MAY_ANSWER;
	}
	c->tls &= ~TLS_TICKETS;
	return IS_PART;
}

static __always_inline u8 judge_record(struct connection *c, bool asks, u64 header)
{
	u32 size = record_size(header);

	if (!asks && c->tls & TLS_HANDSHAKE)
		c->tls |= TLS_ANSWERER_SPOKE;
	if ((u8)header != TLS_DATA) {
		if (c->tls & TLS_HANDSHAKE)
			time_handshake(c);
		return NO_PART;
	}
	return asks ? judge_request_record(c, size) : judge_response_record(c, size);
}

/*
 * Goes from record to record. Where they do not begin where they should, or are too many, or cannot be read, the handshake
 * is taken to be over: it is better to record a call too many than one too few.
 */
static __always_inline u8 walk_records(struct connection *c, bool asks, struct payload payload)
{
	u64 skip = asks ? c->request_skip : c->response_skip, header;
	u8 part = NO_PART, one;

#pragma nounroll
	for (int i = 0; i < MOST_RECORDS && payload.segment.size; i++) {
		if (skip >= payload.segment.size) {
			skip -= payload.segment.size;
			next_segment(&payload);
			if (payload.segment.size)
				continue;
			if (asks)
				c->request_skip = skip;
			else
				c->response_skip = skip;
			return part;
		}
		header = 0;
		if (payload.segment.size - skip < TLS_HEADER)
			break;
		bpf_probe_read_user(&header, TLS_HEADER, (void *)(payload.segment.address + skip));
		if (!is_record(header))
			break;
		skip += TLS_HEADER + record_size(header);
		one = judge_record(c, asks, header);
		if (one > part)
			part = one;
	}
	if (c->tls & TLS_HANDSHAKE)
		forget_handshake(c);
	c->tls &= ~(TLS_HANDSHAKE | TLS_TICKETS);
	return IS_PART;
}

/* Judges a transfer in a session whose handshake is over, by its first record. */
static __always_inline u8 judge_first_record(struct connection *c, bool asks)
{
	u64 header = *(u64 *)c->head;
	u32 size = record_size(header);

	if (c->head_size < TLS_HEADER || !is_record(header)) /* of a record that was judged before */
		return (asks ? c->phase != REQUEST : c->rests) ? NO_PART : IS_PART;
	if ((u8)header != TLS_DATA || size == TLS_ALERT_SIZE)
		return NO_PART;
	if (asks && c->sequence == 1 && c->phase == RESPONSE && is_acknowledgement(size))
		c->tls |= TLS_MAYBE_HTTP2;
	if (c->tls & TLS_MAYBE_HTTP2 && is_control_size(size))
		return asks ? NO_PART : MAY_ANSWER;
	return IS_PART;
}

static __always_inline u8 judge_tls(struct connection *c, bool asks, struct payload payload)
{
	if (c->tls & TLS_HANDSHAKE || (!asks && c->tls & TLS_TICKETS))
		return through(&c->part, walk_records(c, asks, payload));
	return through(&c->part, judge_first_record(c, asks));
}
