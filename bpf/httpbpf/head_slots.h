/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the heads of HTTP/1 requests and responses wait until their call turns out to be slow. A connection keeps its slot
 * from call to call: it is in the cache, and costs nothing to get. Where all slots are in use, the one whose turn it is goes
 * to a connection that needs one, if it rests: heads of a response that goes on silently are given up so.
 *
 * Who takes a slot has taken its number from the queue, so nobody else does. The connection that had it does not write
 * into it meanwhile: it writes only within RESTS_NS of the last use, or after it has renewed that.
 */
#if HTTP_BYTES

#define REQUEST_ROOM ((HTTP_BYTES + 7) / 8 * 8)
#define RESPONSE_BYTES 256
#define RESTS_NS 1000000000ULL
#define MOST_TURNS 8 /* slots that are looked at for one that rests */

struct head_slot {
	u64 used;	/* ns when its connection wrote into it or sent it, to within RESTS_NS */
	u64 owner;	/* number of the connection, 0 for none */
	u64 fences;
	struct head_row request;
	u8 request_bytes[REQUEST_ROOM];
	struct head_row response;
	u8 response_bytes[RESPONSE_BYTES];
	u64 any; /* passes values through (kept_heads.h) */
};

BPF_ARRAY(head_slots, struct head_slot, HEAD_SLOTS);
BPF_QUEUE(head_turns, u32, HEAD_SLOTS); /* all numbers, from 1, filled by user space */
BPF_RINGBUF_OUTPUT(head_ring, HEAD_RING_PAGES);

/* So that two that write one place each, and then read that of the other, do not both miss what the other wrote. */
static __always_inline void full_fence(struct head_slot *slot)
{
	__sync_fetch_and_add(&slot->fences, 1);
}

static __always_inline struct head_slot *head_slot_of(struct connection *c)
{
	u32 index = c->head_slot - 1;
	struct head_slot *slot = c->head_slot ? head_slots.lookup(&index) : NULL;

	return slot && slot->owner == c->connection ? slot : NULL;
}

/* Returns the connection's slot, which nobody else takes for the next RESTS_NS, or NULL if it has none any more. */
static __always_inline struct head_slot *hold_heads(struct connection *c, u64 now)
{
	struct head_slot *slot = head_slot_of(c);

	if (!slot || now - slot->used < RESTS_NS)
		return slot;
	*(volatile u64 *)&slot->used = now;
	full_fence(slot);
	return *(volatile u64 *)&slot->owner == c->connection ? slot : NULL;
}

/* Makes the connection the owner of a slot whose number has been taken from the queue, unless another one uses it. */
static __always_inline bool take_over(struct head_slot *slot, struct connection *c, u64 now)
{
	u64 before = slot->owner, used = slot->used;

	if (before && (s64)(now - used) < 2 * RESTS_NS)
		return false;
	*(volatile u64 *)&slot->owner = c->connection;
	full_fence(slot);
	if (*(volatile u64 *)&slot->used != used) {
		slot->owner = before;
		return false;
	}
	slot->used = now;
	return true;
}

static __always_inline struct head_slot *acquire_heads(struct connection *c, u64 now)
{
	struct head_slot *slot;

#pragma nounroll
	for (int i = 0; i < MOST_TURNS; i++) {
		u32 number = 0, index;
		bool taken;

		if (head_turns.pop(&number))
			break;
		index = number - 1;
		slot = head_slots.lookup(&index);
		taken = slot && take_over(slot, c, now);
		head_turns.push(&number, 0);
		if (taken) {
			c->head_slot = number;
			return slot;
		}
	}
	c->head_slot = 0;
	return NULL;
}

static __always_inline void release_heads(struct connection *c)
{
	struct head_slot *slot = head_slot_of(c);

	if (slot)
		slot->owner = 0;
}

static __always_inline void output_head(struct head_row *row, u32 most)
{
	u64 size = at_most(row->size, most);

	if (size && head_ring.ringbuf_output(row, sizeof(*row) + size, BPF_RB_NO_WAKEUP))
		count(HEAD_RING_FULL);
}

/* Sends what was kept of the heads of a slow call. */
static __always_inline void output_heads(struct connection *c)
{
	struct head_slot *slot;

	if (c->head_state == HEAD_NOT_WANTED)
		return;
	slot = hold_heads(c, bpf_ktime_get_ns());
	if (!slot || slot->request.sequence != c->sequence) {
		count(HEAD_SLOTS_USED_UP);
		return;
	}
	output_head(&slot->request, HTTP_BYTES);
	if (slot->response.connection == c->connection && slot->response.sequence == c->sequence)
		output_head(&slot->response, RESPONSE_BYTES);
}

#else

static __always_inline void release_heads(struct connection *c)
{
}

static __always_inline void output_heads(struct connection *c)
{
}

#endif
