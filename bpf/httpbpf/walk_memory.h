/* SPDX-License-Identifier: GPL-2.0-only */
/* What the walks of interpreters' frames share: reading the memory of the process, and hashing what was read. */
#ifdef WALKED_SLOTS

#define HASH_FACTOR 0x9e3779b97f4a7c15ULL

/* A fault is kept in memory, so that the verifier does not follow the rest of the program with and without one. */
static __always_inline u64 read_user(struct walked_stack *stack, u64 address)
{
	u64 value = 0;

	if (bpf_probe_read_user(&value, sizeof(value), (void *)address))
		stack->fault = 1;
	return value;
}

static __always_inline u64 mixed(u64 hash, u64 word)
{
	hash = (hash ^ word) * HASH_FACTOR;
	return hash ^ hash >> 32;
}

static __always_inline u64 frame_word(struct walked_stack *stack, u32 offset)
{
	return *(u64 *)(stack->frame + (offset & (WALKED_FRAME_SIZE - sizeof(u64))));
}

#endif
