/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walks the frames of HTTP/2 (RFC 9113) in the bytes of a transfer. A frame may be spread over segments and transfers, so
 * where a direction of a connection stands is kept from one transfer to the next.
 *
 * All of that is in map memory. The verifier does not know what is there, so to it every step is like the one before.
 */

#define LARGEST_USUAL_FRAME 16384
#define LARGEST_STEP 8192 /* by which the number of a new stream is above the last one's */
#define END_STREAM 1
#define PIECE_BYTES 256 /* of a header block, that are sent to user space at a time */
#define FORGET_VALUES() asm volatile("" ::: "memory") /* the compiler must not keep in registers what is in memory */

enum frame_type { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, PREFACE = 255 };

/* One direction of a connection, and the transfer in it that is walked. */
struct frames {
	struct payload payload; /* the rest of the transfer */
	u64 began;		/* ns when the send entered, or the receive returned */
	u64 ended;		/* ns when it returned */
	u64 lost;		/* ns when the walk was out of step last */
	u64 task;		/* of the thread in this transfer */
	u32 tid;		/* the same, 0 for none */
	u32 skip;		/* bytes to the end of the frame */
	u32 stream;		/* of the frame */
	u32 last_stream;	/* that was opened in this direction, 0 where it is not known */
	u32 number;		/* that the payload of the frame begins with: an error, or a stream */
	u32 size;		/* bytes of the last step */
	u32 steps;		/* that this walk has taken */
	u32 todo;		/* after it, bits of http2.h */
	u32 end;		/* TCP's sequence number behind the last transfer, if is_followed */
	u8 is_followed;
	u8 direction;
	u8 type;
	u8 flags;
	u8 is_in_frame; /* behind the header */
	u8 begins;	/* the last step was the first one of the frame */
	u8 ends;	/* and the last one */
	u8 answers;	/* begins the response */
	u8 is_walking;
	u8 is_out_of_step;
#if TLS_SESSIONS /* of what is sent in TLS (tls_streams.h) */
	u64 buffer;	   /* data that the program writes */
	u32 buffer_size;
	u32 writes;	   /* which write this is, as in the session */
	u32 walked;	   /* bytes of the data that were sent */
	u32 plaintext;	   /* bytes of data in the record that this send begins with */
	u32 record_left;   /* bytes of the record that are not sent yet */
	u8 begins_record;  /* this send does */
#endif
	u8 have;       /* bytes in header */
	u8 header[32]; /* and the number behind it */
#if BLOCK_RING_PAGES
	u32 order;	/* of the next piece of a header block */
	struct block_row row;
	u8 piece[PIECE_BYTES];
	u8 has_piece; /* that is to be sent */
#endif
};

struct direction_key {
	u64 sock; /* with fexit a pointer to the verifier, with which it allows no arithmetic */
	u64 direction;
};

BPF_HASH(frames, struct direction_key, struct frames, MAX_HTTP2_DIRECTIONS);
BPF_ARRAY(blank_frames, struct frames, 1);

static __always_inline struct frames *known_frames(u64 sock, u8 direction)
{
	struct direction_key key = { .sock = sock, .direction = direction };

	return frames.lookup(&key);
}

static __always_inline struct frames *new_frames(u64 sock, u8 direction)
{
	struct direction_key key = { .sock = sock, .direction = direction };
	u32 zero = 0;
	struct frames *f, *blank = blank_frames.lookup(&zero);

	if (!blank)
		return NULL;
	if (frames.update(&key, blank)) {
		count(CONNECTION_MAP_FULL);
		return NULL;
	}
	f = frames.lookup(&key);
	if (f)
		f->direction = direction;
	return f;
}

static __always_inline void forget_frames(u64 sock)
{
	struct direction_key sending = { .sock = sock, .direction = SENDING };
	struct direction_key receiving = { .sock = sock, .direction = RECEIVING };

	frames.delete(&sending);
	frames.delete(&receiving);
}

/* Sees to it that no more is walked than was transferred. Bytes that are not in user memory have the address 0. */
static __always_inline void bound_payload(struct payload *payload, u64 size)
{
	if (!payload->segment.address || payload->segment.size > size)
		payload->segment.size = size;
	payload->left = size - payload->segment.size;
}

static __always_inline bool has_more(struct frames *f)
{
	return f->payload.segment.size || f->payload.left;
}

static __always_inline void go_to_next_segment(struct frames *f)
{
	struct payload *payload = &f->payload;
	struct user_buffer segment = {};

	if (!payload->next || !read_segment(&segment, payload->next, f->direction))
		segment.size = payload->left;
	if (segment.size > payload->left)
		segment.size = payload->left;
	payload->segment = segment;
	payload->next += sizeof(segment);
	payload->left -= segment.size;
}

static __always_inline u32 big_endian(u8 *bytes)
{
	return (u32)bytes[0] << 24 | (u32)bytes[1] << 16 | (u32)bytes[2] << 8 | bytes[3];
}

/*
 * Whether a header may be one: by what belongs to a stream, which types have one size, and how large frames are. Data may
 * be larger, if the other end allows it.
 */
static __always_inline bool is_frame_header(u8 *header)
{
	u32 size = big_endian(header) >> 8, stream = big_endian(header + 5);

	if (stream >> 31 || (size > LARGEST_USUAL_FRAME && header[3] != DATA))
		return false;
	switch (header[3]) {
	case DATA:
	case HEADERS:
	case PUSH_PROMISE:
	case CONTINUATION:
		return stream;
	case PRIORITY:
		return stream && size == 5;
	case RST_STREAM:
		return stream && size == 4;
	case SETTINGS:
		return !stream && size % 6 == 0;
	case PING:
		return !stream && size == 8;
	case GOAWAY:
		return !stream && size >= 8;
	case WINDOW_UPDATE:
		return size == 4;
	}
	return true; /* an extension */
}

/* With the number behind it, where that says something. */
static __always_inline u32 header_size(struct frames *f)
{
	if (f->have >= FRAME_HEADER && (f->header[3] == RST_STREAM || f->header[3] == GOAWAY))
		return FRAME_HEADER + 4;
	return FRAME_HEADER;
}

static __always_inline bool begin_frame(struct frames *f)
{
	if (!is_frame_header(f->header))
		return false;
	f->type = f->header[3];
	f->flags = f->header[4];
	f->stream = big_endian(f->header + 5);
	f->number = big_endian(f->header + FRAME_HEADER);
	f->skip = (big_endian(f->header) >> 8) + FRAME_HEADER - f->have;
	f->size = f->have;
	f->is_in_frame = 1;
	f->begins = 1;
	return true;
}

/* Reads on in the header of a frame. Returns false where it cannot be read, or is none. */
static __always_inline bool read_header(struct frames *f)
{
	u64 have = f->have & 15, size = header_size(f) - have;

	if (size > f->payload.segment.size)
		size = f->payload.segment.size;
	size = at_most(size, FRAME_HEADER + 4);
	if (bpf_probe_read_user(f->header + have, size, (void *)f->payload.segment.address))
		return false;
	f->have = have + size;
	f->payload.segment.address += size;
	f->payload.segment.size -= size;
	FORGET_VALUES();
	return f->have < header_size(f) || begin_frame(f);
}

static __always_inline void skip_in_segment(struct frames *f, u64 most)
{
	u64 size = most < f->payload.segment.size ? most : f->payload.segment.size;

	f->payload.segment.address += size;
	f->payload.segment.size -= size;
	f->skip -= size;
	f->size += size;
}

#if BLOCK_RING_PAGES

#define HAVE_BLOCKS (1 << HEADERS | 1 << PUSH_PROMISE | 1 << CONTINUATION)

static __always_inline bool has_header_block(struct frames *f)
{
	return HAVE_BLOCKS >> (f->type & 31) & 1;
}

/* Reads a piece of the payload. */
static __always_inline void walk_over_piece(struct frames *f)
{
	u64 address = f->payload.segment.address, size = f->payload.segment.size;

	if (size > f->skip)
		size = f->skip;
	if (size > PIECE_BYTES)
		size = PIECE_BYTES;
	f->row.offset = (big_endian(f->header) >> 8) - f->skip;
	f->row.size = size;
	f->row.is_lost = !!bpf_probe_read_user(f->piece, at_most(size, PIECE_BYTES), (void *)address);
	skip_in_segment(f, size);
	f->has_piece = size || !f->skip;
}

/* Notes that header blocks may have been missed. */
static __always_inline void miss_blocks(struct frames *f)
{
	f->order++;
}

#else

static __always_inline bool has_header_block(struct frames *f)
{
	return false;
}

static __always_inline void walk_over_piece(struct frames *f)
{
}

static __always_inline void miss_blocks(struct frames *f)
{
}

#endif

/*
 * Walks to the end of a frame, if it ends in the segment that follows its header or is in the same; in a frame with a header
 * block over one piece of it. Returns false where the walk cannot go on.
 */
static __always_inline bool walk_on(struct frames *f)
{
	f->begins = 0;
	f->ends = 0;
	f->size = 0;
	if (!f->payload.segment.size)
		go_to_next_segment(f);
	FORGET_VALUES();
	if (!f->is_in_frame && !read_header(f))
		return false;
	FORGET_VALUES();
	if (!f->is_in_frame)
		return true;
	if (f->skip && !f->payload.segment.size && f->payload.left)
		go_to_next_segment(f);
	FORGET_VALUES();
	if (has_header_block(f))
		walk_over_piece(f);
	else
		skip_in_segment(f, f->skip);
	FORGET_VALUES();
	if (!f->skip) {
		f->ends = 1;
		f->is_in_frame = 0;
		f->have = 0;
	}
	return true;
}

/* Goes on with a transfer that begins with what may be a frame of a type that is known. */
static __always_inline void get_in_step(struct frames *f)
{
	u8 header[FRAME_HEADER] = {};

	if (f->payload.segment.size < FRAME_HEADER ||
	    bpf_probe_read_user(header, FRAME_HEADER, (void *)f->payload.segment.address))
		return;
	if (header[3] > CONTINUATION || big_endian(header) >> 8 > LARGEST_USUAL_FRAME || !is_frame_header(header))
		return;
	f->is_out_of_step = 0;
	f->is_in_frame = 0;
	f->have = 0;
	f->last_stream = 0;
}
