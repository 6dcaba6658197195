/* SPDX-License-Identifier: GPL-2.0-only */
/* Finds the first bytes of a transfer in user memory. Only the first segment is looked at. */

#define MOST_SEGMENTS 4

struct user_buffer {
	u64 address;
	u64 size;
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

/* Returns where the bytes are that a send with this msghdr is about to send; a send without one passes 0. */
static __always_inline struct user_buffer sent_from(u64 msg)
{
	struct iterator iter = read_iterator(msg);
	u64 offset = word_of(&iter, IOV_ITER__IOV_OFFSET);
	struct user_buffer buffer = {};

	if (!msg)
		return buffer;
	if (type_of(&iter) == ITER_IOVEC) {
		buffer = segment_at(word_of(&iter, IOV_ITER__IOV));
		buffer.address += offset;
		buffer.size -= offset;
	}
#ifdef ITER_UBUF
	if (type_of(&iter) == ITER_UBUF) {
		buffer.address = word_of(&iter, IOV_ITER__UBUF) + offset;
		buffer.size = word_of(&iter, IOV_ITER__COUNT);
	}
#endif
	return buffer;
}

#ifndef USE_TRACEPOINTS

/*
 * Returns where a receive has written. When it returns, the iterator points behind the received bytes, so the first of
 * them is that many bytes back. If that is more than MOST_SEGMENTS segments back, or nothing was written (MSG_TRUNC),
 * nothing is found.
 */
static __always_inline struct user_buffer received_into(u64 msg, u64 received)
{
	struct iterator iter = read_iterator(msg);
	u64 written = word_of(&iter, IOV_ITER__IOV_OFFSET), segment;
	struct user_buffer buffer = {};

#ifdef ITER_UBUF
	if (type_of(&iter) == ITER_UBUF && written >= received)
		return (struct user_buffer){ word_of(&iter, IOV_ITER__UBUF) + written - received, received };
#endif
	if (type_of(&iter) != ITER_IOVEC)
		return buffer;
	segment = word_of(&iter, IOV_ITER__IOV);
#pragma unroll
	for (int i = 0; i < MOST_SEGMENTS; i++) {
		if (written < received) {
			segment -= sizeof(buffer);
			written += read_u64(segment + sizeof(u64));
		}
	}
	if (written == received)
		buffer = segment_at(segment);
	if (buffer.size > received)
		buffer.size = received;
	return buffer;
}

#endif
