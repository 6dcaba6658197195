/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finds the bytes of a transfer in user memory. Of a send the first segments are looked at, because a head may be sent in
 * pieces; of a receive only the first one, except of HTTP/2.
 */

#define MOST_SEGMENTS 4

struct user_buffer {
	u64 address;
	u64 size;
};

/* What a transfer moves: its first segment, and where in the kernel the description of the next one is. */
struct payload {
	struct user_buffer segment;
	u64 left; /* bytes in the next ones */
	u64 next;
	bool is_skipped; /* it was nothing but what may precede a request */
	u32 offset; /* bytes of the transfer before what is part of a call */
};

/* The beginning of a struct iov_iter, as far as the program reads it. */
struct iterator {
	u8 bytes[IOV_ITER_SIZE];
} __attribute__((aligned(8)));

static __always_inline struct iterator read_iterator(u64 msg)
{
	struct iterator iter = {};

	if (msg)
		bpf_probe_read_kernel(&iter, sizeof(iter), (void *)(msg + MSGHDR__MSG_ITER));
	return iter;
}

static __always_inline u64 word_of(struct iterator *iter, u32 offset)
{
	return *(u64 *)(iter->bytes + offset);
}

static __always_inline u32 type_of(struct iterator *iter)
{
#ifdef IOV_ITER__ITER_TYPE
	return iter->bytes[IOV_ITER__ITER_TYPE];
#else
	return *(u32 *)(iter->bytes + IOV_ITER__TYPE) & ~1; /* bit 0 was the direction before 5.14, commit 8cd54c1c8480 */
#endif
}

static __always_inline struct user_buffer segment_at(u64 iovec)
{
	struct user_buffer buffer = {};

	bpf_probe_read_kernel(&buffer, sizeof(buffer), (void *)iovec);
	return buffer;
}

/* Returns what a send with this msghdr is about to send: nothing that is known if it has none. */
static __always_inline struct payload sent_from(u64 msg)
{
	struct iterator iter = read_iterator(msg);
	u64 offset = word_of(&iter, IOV_ITER__IOV_OFFSET), iovec = word_of(&iter, IOV_ITER__IOV);
	struct payload payload = {};

	if (!msg)
		return payload;
	if (type_of(&iter) == ITER_IOVEC) {
		payload.segment = segment_at(iovec);
		payload.segment.address += offset;
		payload.segment.size -= offset;
		payload.left = word_of(&iter, IOV_ITER__COUNT) - payload.segment.size;
		payload.next = iovec + sizeof(struct user_buffer);
	}
#ifdef ITER_UBUF
	if (type_of(&iter) == ITER_UBUF) {
		payload.segment.address = word_of(&iter, IOV_ITER__UBUF) + offset;
		payload.segment.size = word_of(&iter, IOV_ITER__COUNT);
	}
#endif
	return payload;
}

/* Goes on to the next segment, which has no bytes where there is none. */
static __always_inline void next_segment(struct payload *payload)
{
	payload->segment.size = 0;
	if ((s64)payload->left <= 0)
		return;
	payload->segment = segment_at(payload->next);
	payload->next += sizeof(struct user_buffer);
	payload->left -= payload->segment.size;
}

/* Reads the description of a segment, which is in user memory only where a receive has none but the system call's. */
static __always_inline bool read_segment(struct user_buffer *segment, u64 iovec, u8 direction)
{
#ifdef USE_TRACEPOINTS
	if (direction == RECEIVING)
		return !bpf_probe_read_user(segment, sizeof(*segment), (void *)iovec);
#endif
	return !bpf_probe_read_kernel(segment, sizeof(*segment), (void *)iovec);
}

#ifndef USE_TRACEPOINTS

/*
 * Returns where a receive has written. When it returns, the iterator points behind the received bytes, so the first of
 * them is that many bytes back. If that is more than MOST_SEGMENTS segments back, or nothing was written (MSG_TRUNC),
 * nothing is found.
 */
static __always_inline struct payload received_into(u64 msg, u64 received)
{
	struct iterator iter = read_iterator(msg);
	u64 written = word_of(&iter, IOV_ITER__IOV_OFFSET), segment;
	struct payload payload = {};

#ifdef ITER_UBUF
	if (type_of(&iter) == ITER_UBUF && written >= received)
		return (struct payload){ .segment = { word_of(&iter, IOV_ITER__UBUF) + written - received, received } };
#endif
	if (type_of(&iter) != ITER_IOVEC)
		return payload;
	segment = word_of(&iter, IOV_ITER__IOV);
#pragma unroll
	for (int i = 0; i < MOST_SEGMENTS; i++) {
		if (written < received) {
			segment -= sizeof(payload.segment);
			written += read_u64(segment + sizeof(u64));
		}
	}
	if (written == received)
		payload.segment = segment_at(segment);
	payload.next = segment + sizeof(payload.segment);
	if (payload.segment.size > received)
		payload.segment.size = received;
	return payload;
}

/* Returns where the description of its second segment is, 0 where there is none. */
static __always_inline u64 second_segment(struct payload *payload)
{
	return payload->next;
}

#endif
