/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The first bytes of a burst, gathered over as many segments and transfers as they take, and what HTTP/1 and HTTP/2 have
 * there. Numbers are little-endian, as the bytes are read.
 */

#define HEAD_SIZE 16

static __always_inline void begin_head(struct connection *c)
{
	u64 *head = (u64 *)c->head;

	head[0] = 0;
	head[1] = 0;
	c->head_size = 0;
}

static __always_inline void gather_segment(struct connection *c, struct user_buffer segment)
{
	u64 have = c->head_size, size;

	if (have >= HEAD_SIZE)
		return;
	size = at_most(segment.size < HEAD_SIZE - have ? segment.size : HEAD_SIZE - have, HEAD_SIZE);
	if (!bpf_probe_read_user(c->head + have, size, (void *)segment.address))
		c->head_size = have + size;
}

static __always_inline void gather(struct connection *c, struct payload payload, u8 direction)
{
	gather_segment(c, payload.segment);
	if (direction != SENDING)
		return;
#pragma unroll
	for (int i = 1; i < MOST_SEGMENTS; i++) {
		if (c->head_size >= HEAD_SIZE || (s64)payload.left <= 0)
			break;
		next_segment(&payload);
		gather_segment(c, payload.segment);
	}
}

static __always_inline u32 first_word(struct connection *c)
{
	return *(u32 *)c->head;
}

/* Methods of RFC 9110, 5789, 4918, 3253, 5842 and of caches, by their first four bytes. */
static __always_inline bool begins_with_method(struct connection *c)
{
	switch (first_word(c)) {
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
	case 0x47525550: /* PURG */
	case 0x504f5250: /* PROP */
	case 0x4f434b4d: /* MKCO */
	case 0x4f504552: /* REPO */
	case 0x53524556: /* VERS */
	case 0x45534142: /* BASE */
		return true;
	}
	return false;
}

/* Returns a word with bit 7 of each byte that is 0, and perhaps of bytes above one that is. */
static __always_inline u64 zero_bytes(u64 word)
{
	return (word - 0x0101010101010101ULL) & ~word & 0x8080808080808080ULL;
}

/* Whether a space and then this character stand somewhere in 16 bytes. */
static __always_inline bool have_space_and(u64 first, u64 second, u64 character)
{
	u64 spaces = 0x2020202020202020ULL, other = character * 0x0101010101010101ULL;

	return zero_bytes((first ^ spaces) | (((first >> 8) | (second << 56)) ^ other)) ||
	       zero_bytes((second ^ spaces) | ((second >> 8) ^ other));
}

static __always_inline bool has_space_and(struct connection *c, u64 character)
{
	u64 *head = (u64 *)c->head;

	return have_space_and(head[0], head[1], character);
}

/* A request line begins with a token, which is in capitals wherever it was seen, and goes on with what it asks for. */
static __always_inline bool is_request_line(struct connection *c)
{
	u8 first = c->head[0];

	return begins_with_method(c) ||
	       (first >= 'A' && first <= 'Z' && (has_space_and(c, '/') || has_space_and(c, '*') || has_space_and(c, 'h')));
}

/* A head that is not whole yet may become one. */
static __always_inline bool may_be_request_line(struct connection *c)
{
	return is_request_line(c) || (c->head_size < HEAD_SIZE && c->head[0] >= 'A' && c->head[0] <= 'Z');
}

static __always_inline bool is_status_line(struct connection *c)
{
	return (*(u64 *)c->head & 0xffffffffffffff) == 0x2e312f50545448; /* HTTP/1. */
}

/* The three digits of a status line as they stand there, or 0. */
static __always_inline u32 status_of(struct connection *c)
{
	return is_status_line(c) ? *(u32 *)(c->head + 8) >> 8 : 0;
}

/* Whether the response has begun as HTTP/1 does, but not yet said how. */
static __always_inline bool lacks_status(struct connection *c)
{
	return c->protocol == HTTP1 && c->response_head[0] == 'H' && !c->response_head[11];
}

#define STATUS_101 0x313031
#define STATUS_408 0x383034
#define INTERIM_SIZE 25 /* bytes of "HTTP/1.1 100 Continue" and an empty line */

/* Whether this response is one before the final one. That may be in the same transfer; then its head is looked at. */
static __always_inline bool is_interim(struct connection *c, struct payload *payload)
{
	u32 status = status_of(c);

	if ((status & 0xff) != '1' || status == STATUS_101)
		return false;
	if (payload->segment.size < INTERIM_SIZE + HEAD_SIZE ||
	    bpf_probe_read_user(c->head, HEAD_SIZE, (void *)(payload->segment.address + INTERIM_SIZE)))
		return true;
	payload->offset = INTERIM_SIZE;
	return !is_status_line(c);
}

/* Whether a request for a tunnel was granted. */
static __always_inline bool connects(struct connection *c)
{
	return *(u32 *)c->request_head == 0x4e4e4f43 && (status_of(c) & 0xff) == '2'; /* CONN */
}

#define MOST_PROXY_LINE 107

/*
 * Bytes of a header of the PROXY protocol, by which a load balancer says for whom it has connected, or 0. Version 1 is a
 * line, version 2 says its size. https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
 */
static __always_inline u64 proxy_header_size(struct connection *c, struct user_buffer segment)
{
	u64 *head = (u64 *)c->head;
	u8 byte = 0;

	if (head[0] == 0x510a0d000a0d0a0d && (u32)head[1] == 0xa544955)
		return HEAD_SIZE + bpf_ntohs(head[1] >> 48);
	if ((head[0] & 0xffffffffffff) != 0x2059584f5250) /* "PROXY " */
		return 0;
#pragma nounroll
	for (u64 i = 0; i < MOST_PROXY_LINE; i++) {
		bpf_probe_read_user(&byte, 1, (void *)(segment.address + i));
		if (byte == '\n')
			return through(&c->proxy_header_size, i + 1);
	}
	return 0;
}

static __always_inline void skip_proxy_header(struct connection *c, struct payload *payload)
{
	u64 size = proxy_header_size(c, payload->segment);

	if (!size || size > payload->segment.size)
		return;
	payload->is_skipped = size == payload->segment.size;
	payload->segment.address += size;
	c->request_skip += size;
	payload->segment.size = forgotten(payload->segment.size - size); /* Linux 5.10 takes it for negative else */
	payload->offset += size;
	begin_head(c);
	gather_segment(c, payload->segment);
}

/* An empty line before a request, which RFC 9112 lets a server skip. */
static __always_inline void skip_empty_line(struct connection *c, struct payload *payload)
{
	u64 *head = (u64 *)c->head;

	if ((u16)head[0] != 0x0a0d)
		return;
	head[0] = head[0] >> 16 | head[1] << 48;
	head[1] >>= 16;
	c->head_size -= 2;
	payload->offset += 2;
	payload->is_skipped = !c->head_size;
}

#define PREFACE_SIZE 24 /* bytes with which a HTTP/2 client begins */

/*
 * Whether a burst begins like HEADERS of HTTP/2 that open a stream, with no flags but those that they can have, and with
 * END_HEADERS, which nearly all have. Of chance bytes one in 33 million does.
 */
static __always_inline bool begins_stream(struct connection *c)
{
	u64 head = *(u64 *)c->head;

	return c->head_size == HEAD_SIZE && !(head & 0xc0ff) && (head >> 24 & 0xff) == 1 && (head >> 32 & 0xd6) == 4 &&
	       !(head >> 40 & 0x80) && c->head[8] & 1;
}

/* Whether a HTTP/2 frame in the clear is of the connection and not of a stream: SETTINGS, PING, GOAWAY, WINDOW_UPDATE. */
static __always_inline bool is_control_frame(struct connection *c)
{
	u8 type = c->head[3];

	return type == 4 || (type >= 6 && type <= 8);
}

/* Bytes of a HTTP/2 frame and its header, RFC 9113. */
static __always_inline u64 frame_size(struct connection *c)
{
	return 9 + ((u32)c->head[0] << 16 | (u32)c->head[1] << 8 | c->head[2]);
}
