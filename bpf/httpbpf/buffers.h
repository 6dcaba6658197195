/* SPDX-License-Identifier: GPL-2.0-only */
/* Where in user memory the first bytes of a transfer are; only the first segment, for its first bytes. */

#define MOST_SEGMENTS 4

struct user_buffer {
	u64 address;
	u64 size;
};

static __always_inline u32 iterator_type(u64 iter)
{
#ifdef IOV_ITER__ITER_TYPE
	return read_u8(iter + IOV_ITER__ITER_TYPE);
#else
	return read_u32(iter + IOV_ITER__TYPE) & ~1; /* bit 0 was the direction before 5.14, commit 8cd54c1c8480 */
#endif
}

/* What a send whose arguments have this msghdr is about to send. 0 stands for a send without one. */
static __always_inline struct user_buffer sent_from(u64 msg)
{
	struct user_buffer buffer = {};
	u64 iter = msg + MSGHDR__MSG_ITER, offset;
	u32 type;

	if (!msg)
		return buffer;
	offset = read_u64(iter + IOV_ITER__IOV_OFFSET);
	type = iterator_type(iter);
	if (type == ITER_IOVEC) {
		bpf_probe_read_kernel(&buffer, sizeof(buffer), (void *)read_u64(iter + IOV_ITER__IOV));
		buffer.address += offset;
		buffer.size -= offset;
	}
#ifdef ITER_UBUF
	if (type == ITER_UBUF) {
		buffer.address = read_u64(iter + IOV_ITER__UBUF) + offset;
		buffer.size = read_u64(iter + IOV_ITER__COUNT);
	}
#endif
	return buffer;
}

#ifndef USE_TRACEPOINTS

/*
 * Where a receive has written. At its return the iterator stands behind what was received: as many bytes back is the
 * first one. Where that is more than MOST_SEGMENTS segments back, or nothing was written (MSG_TRUNC), nothing is found.
 */
static __always_inline struct user_buffer received_into(u64 msg, u64 received)
{
	struct user_buffer buffer = {};
	u64 iter = msg + MSGHDR__MSG_ITER, written = read_u64(iter + IOV_ITER__IOV_OFFSET);
	u32 type = iterator_type(iter);

#ifdef ITER_UBUF
	if (type == ITER_UBUF && written >= received)
		return (struct user_buffer){ read_u64(iter + IOV_ITER__UBUF) + written - received, received };
#endif
	if (type == ITER_IOVEC) {
		u64 segment = read_u64(iter + IOV_ITER__IOV);

#pragma unroll
		for (int i = 0; i < MOST_SEGMENTS; i++) {
			if (written >= received)
				break;
			segment -= sizeof(buffer);
			written += read_u64(segment + sizeof(u64));
		}
		if (written == received) {
			bpf_probe_read_kernel(&buffer, sizeof(buffer), (void *)segment);
			if (buffer.size > received)
				buffer.size = received;
		}
	}
	return buffer;
}

#endif
