/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tells data from the rest of TLS by what is not encrypted: type and size of records (RFC 5246, RFC 8446).
 *
 * Until TLS 1.2, only data have type 23. In TLS 1.3 the handshake has it too, from the server's second message on. The
 * client's part of it ends with a record for its Finished, whose size is that of the hash. Then the server sends session
 * tickets, usually after the client has sent a request: records of one size, one or two of them. Whether the first
 * records are tickets is known once another record follows. An alert has type 23 too, and 19 bytes.
 *
 * HTTP/2 is recognized by sizes only. How much larger a record is than its data is learnt from the Finished, whose size
 * is known. The first data of each end hold SETTINGS. Frames of the whole connection have few sizes; a request that has
 * one of the smallest is not seen.
 */

#define TLS_DATA 23
#define TLS_HANDSHAKE_RECORD 22
#define TLS_HEADER 5
#define MOST_RECORDS 8	 /* that are looked at in a transfer */
#define MOST_TICKETS 2
#define MOST_FLIGHT 4	 /* records of a client's certificate and Finished */
#define TLS_ALERT_DATA 2

/* Bits of connection.tls. */
#define TLS_HANDSHAKE 1		/* the client's Finished, or its first data, have not been seen */
#define TLS_ANSWERER_SPOKE 2	/* in the handshake */
#define TLS_ANSWERER_ENCRYPTS 4 /* in the handshake, so this is TLS 1.3 */
#define TLS_TICKETS 8		/* the next records of responses may be tickets */
#define TLS_MAYBE_HTTP2 16
#define TLS_ANSWERER_FINISHED 32 /* so this is TLS 1.2 */
#define TLS_SETTINGS 64		 /* responses have begun with what may be SETTINGS of HTTP/2 */
#define TLS_PINGED 128		 /* what may be a PING was sent to the answering end */

#define MAYBE_HTTP2 (TLS_MAYBE_HTTP2 | TLS_SETTINGS) /* one of them is enough */

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

#define TLS13_OVERHEAD 17 /* the type of the content, and 16 bytes of authentication */
#define TLS13_PADDING 16  /* zeros that Java adds to all that it sends (sun.security.ssl.OutputRecord) */

/* In TLS 1.3: 4 bytes and a hash, which is SHA-256 or SHA-384. */
static __always_inline bool is_finished(struct connection *c, u32 size)
{
	switch (size - TLS13_OVERHEAD) {
	case 4 + 48 + TLS13_PADDING:
		c->record_overhead = TLS13_OVERHEAD + TLS13_PADDING;
		return true;
	case 4 + 32:
	case 4 + 48:
		c->record_overhead = TLS13_OVERHEAD;
		return true;
	}
	return false;
}

/* In TLS 1.2: 16 bytes, to which the record adds 16 for authentication and, with AES-GCM, 8 for the nonce. */
static __always_inline bool is_finished_of_tls12(struct connection *c, u32 size)
{
	if (size != 16 + 16 + 8 && size != 16 + 16)
		return false;
	c->record_overhead = size - 16;
	return true;
}

/* Java pads what it sends, and its peer's records are not padded. Of a server's padding nothing is known. */
static __always_inline u32 data_size(struct connection *c, bool asks, u32 size)
{
	bool is_padded = c->record_overhead == TLS13_OVERHEAD + TLS13_PADDING;

	return size - (is_padded && !asks ? TLS13_OVERHEAD : c->record_overhead);
}

/* In TLS 1.3, whether the overhead is known or not. */
static __always_inline bool is_alert(struct connection *c, bool asks, u32 size)
{
	return size == TLS_ALERT_DATA + TLS13_OVERHEAD || (c->record_overhead && data_size(c, asks, size) == TLS_ALERT_DATA);
}

#define FRAME_HEADER 9
#define UP_TO_8_SETTINGS 0x1041041041041ULL /* bit n: n bytes, of which each setting takes 6 */
#define WINDOW_UPDATE_SIZE 13
#define PING_SIZE 17
#define MOST_CONTROLS (3 * PING_SIZE + TLS13_OVERHEAD + TLS13_PADDING) /* bytes of a record */

/* In connection.tickets: which end has sent what may be a PING, where no tickets can come. */
#define TLS_PING_ASKS 1
#define TLS_PING_ANSWERS 2

/* Whether a record of this size may be a PING, where its overhead is not known: with ChaCha20 or AES-GCM. */
static __always_inline bool may_be_ping(u32 size)
{
	return are_equal(size, PING_SIZE + 16) | are_equal(size, PING_SIZE + TLS13_OVERHEAD) | are_equal(size, PING_SIZE + 24);
}

/*
 * SETTINGS, with which each end of HTTP/2 begins, alone or with a WINDOW_UPDATE, an acknowledgement, or both: one bit for
 * each number of bytes that follow the first frame's header. They are looked up, because the verifier would follow each
 * comparison.
 */
static __always_inline bool may_be_settings(u32 data)
{
	u64 sizes = UP_TO_8_SETTINGS | UP_TO_8_SETTINGS << FRAME_HEADER | UP_TO_8_SETTINGS << WINDOW_UPDATE_SIZE |
		    UP_TO_8_SETTINGS << (FRAME_HEADER + WINDOW_UPDATE_SIZE);

	data -= FRAME_HEADER;
	return data < 64 && sizes >> data & 1;
}

/*
 * Frames of the whole connection, one or `most` of them: acknowledgements of SETTINGS, WINDOW_UPDATEs and PINGs. Their sizes
 * are multiples of 4 and 1, so the rest tells how many they are. gRPC sends up to three at a time.
 */
static __always_inline bool may_be_controls(u32 data, u32 most)
{
	u32 frames = data % 4;

	return frames && frames <= most && data >= frames * FRAME_HEADER && data <= frames * PING_SIZE;
}

/*
 * Learns the overhead of records on a connection that is older than the recorder: a PING of HTTP/2 is answered by an
 * acknowledgement of the same size. Returns whether this record shows that.
 */
static __always_inline bool learn_overhead(struct connection *c, bool asks, u32 size)
{
	u8 end = asks ? TLS_PING_ASKS : TLS_PING_ANSWERS;
	bool is_echo = c->ticket_size == size && c->tickets == (TLS_PING_ASKS ^ TLS_PING_ANSWERS ^ end);

	if (c->tls & TLS_TICKETS || !may_be_ping(size))
		return false;
	c->ticket_size = size;
	c->tickets = end;
	if (!is_echo)
		return false;
	c->record_overhead = size - PING_SIZE;
	c->tls |= TLS_MAYBE_HTTP2;
	c->sends_pings = 1;
	return true;
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

/* Judges data of a request by their size. What may be the preface alone, or frames of the connection, opens a call that
 * the next data open again. */
static __always_inline u8 judge_request_data(struct connection *c, u32 data)
{
	bool is_preface = !c->sequence && !(c->tls & TLS_MAYBE_HTTP2) && may_be_settings(data - PREFACE_SIZE);

	if (!c->record_overhead) {
		if (learn_overhead(c, true, data))
			return NO_PART;
		if (c->phase != REQUEST || c->is_doubtful)
			c->is_doubtful = data <= MOST_CONTROLS;
		return IS_PART;
	}
	if (c->sequence == 1 && data == FRAME_HEADER) {
		c->tls |= TLS_MAYBE_HTTP2;
		c->first_byte_is_guess = 1; /* it may have been that of SETTINGS */
	}
	if (is_preface)
		c->tls |= TLS_MAYBE_HTTP2;
	if (!(c->tls & MAYBE_HTTP2))
		return IS_PART;
	c->tls &= ~TLS_PINGED;
	if (data == PING_SIZE) {
		c->tls |= TLS_PINGED;
		c->sends_pings = 1;
	}
	if (may_be_controls(data, 1))
		return NO_PART;
	if (c->phase == REQUEST && !c->is_doubtful)
		return may_be_controls(data, 3) ? NO_PART : IS_PART;
	c->is_doubtful = is_preface || may_be_controls(data, 3);
	return IS_PART;
}

/* Whether what may be no answer comes after what may be no request, on a connection of which too little is known. */
static __always_inline bool answers_controls(struct connection *c)
{
	return c->is_doubtful && !c->record_overhead;
}

static __always_inline u8 judge_response_data(struct connection *c, u32 data)
{
	if (!c->record_overhead) {
		if (learn_overhead(c, false, data))
			return NO_PART;
		return may_be_ping(data) ? MAY_ANSWER : IS_PART;
	}
	if (c->sequence <= 1 && !(c->tls & TLS_SETTINGS) && may_be_settings(data)) {
		c->tls |= TLS_SETTINGS;
		return MAY_ANSWER;
	}
	if (data == PING_SIZE && (c->tls & TLS_PINGED || (c->is_tentative && c->sends_pings))) {
		c->tls &= ~TLS_PINGED;
		if (c->phase == REQUEST)
			c->first_byte_is_guess = 1; /* it may have been that of a small answer */
		return NO_PART;
	}
	return c->tls & MAYBE_HTTP2 && may_be_controls(data, c->phase == RESPONSE ? 2 : 3) ? MAY_ANSWER : IS_PART;
}

static __always_inline u8 judge_request_record(struct connection *c, u32 size)
{
	if (!(c->tls & TLS_HANDSHAKE))
		return judge_request_data(c, data_size(c, true, size));
	if (c->tls & TLS_ANSWERER_ENCRYPTS) {
		bool finished = is_finished(c, size);

		if (finished || ++c->tickets == MOST_FLIGHT) {
			if (finished)
				time_handshake(c);
			else
				forget_handshake(c);
			c->tls = (c->tls & ~TLS_HANDSHAKE) | TLS_TICKETS;
			c->tickets = 0;
		}
		return NO_PART;
	}
	if (!(c->tls & TLS_ANSWERER_SPOKE)) {
		forget_handshake(c); /* these are early data */
		return IS_PART;
	}
	c->tls &= ~TLS_HANDSHAKE;
	return judge_request_data(c, data_size(c, true, size));
}

static __always_inline u8 judge_response_record(struct connection *c, u32 size)
{
	if (c->tls & TLS_HANDSHAKE && !(c->tls & TLS_ANSWERER_FINISHED)) {
		c->tls |= TLS_ANSWERER_ENCRYPTS;
		return NO_PART;
	}
	if (c->tls & TLS_TICKETS && c->tickets < MOST_TICKETS && (!c->tickets || size == c->ticket_size)) {
		c->tickets++;
		c->ticket_size = size;
		return MAY_ANSWER;
	}
	c->tls &= ~TLS_TICKETS;
	return judge_response_data(c, data_size(c, false, size));
}

static __always_inline u8 judge_record(struct connection *c, bool asks, u64 header)
{
	u32 size = record_size(header);

	if (!asks && c->tls & TLS_HANDSHAKE)
		c->tls |= TLS_ANSWERER_SPOKE;
	if ((u8)header == TLS_DATA && is_alert(c, asks, size))
		return NO_PART;
	if ((u8)header != TLS_DATA) {
		if (c->tls & TLS_HANDSHAKE)
			time_handshake(c);
		if ((u8)header == TLS_HANDSHAKE_RECORD && is_finished_of_tls12(c, size) && !asks)
			c->tls |= TLS_ANSWERER_FINISHED;
		return NO_PART;
	}
	return asks ? judge_request_record(c, size) : judge_response_record(c, size);
}

/* Notes the size of a record, by which its data are recognized once they are decrypted (tls_sessions.h). */
static __always_inline void note_part(struct connection *c, u32 size)
{
	if (c->direction == RECEIVING)
		c->part_record = size;
}

/*
 * Goes from record to record. Where they do not begin where they should, or are too many, or cannot be read, the handshake
 * is taken to be over: it is better to record a call too many than one too few.
 */
static __always_inline u8 walk_records(struct connection *c, bool asks, struct payload payload, u32 *offset)
{
	u64 skip = asks ? c->request_skip : c->response_skip, before = 0, begin, header;
	u8 part = NO_PART, one;

#pragma nounroll
	for (int i = 0; i < MOST_RECORDS && payload.segment.size; i++) {
		if (skip >= payload.segment.size) {
			skip -= payload.segment.size;
			before += payload.segment.size;
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
		begin = before + skip;
		skip += TLS_HEADER + record_size(header);
		one = through(&c->part, judge_record(c, asks, header));
		if (one > part) {
			part = one;
			*offset = begin;
			note_part(c, record_size(header));
		}
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
	if ((u8)header != TLS_DATA || is_alert(c, asks, size))
		return NO_PART;
	note_part(c, c->is_fresh | c->head_grew ? size : 0);
	size = data_size(c, asks, size);
	return asks ? judge_request_data(c, size) : judge_response_data(c, size);
}

/* The first record may be a frame of the connection that another record follows. */
static __always_inline bool needs_walk(struct connection *c, bool asks)
{
	if (c->tls & TLS_HANDSHAKE || (!asks && c->tls & TLS_TICKETS))
		return true;
	if (!(c->tls & MAYBE_HTTP2) || c->head_size < TLS_HEADER || !is_record(*(u64 *)c->head))
		return false;
	if (asks)
		c->request_skip = 0;
	else
		c->response_skip = 0;
	return true;
}

static __always_inline u8 judge_tls(struct connection *c, bool asks, struct payload *payload)
{
	if (needs_walk(c, asks))
		return through(&c->part, walk_records(c, asks, *payload, &payload->offset));
	return through(&c->part, judge_first_record(c, asks));
}
