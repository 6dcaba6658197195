/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which end asks. Of a connection that is older than the recording, the ports on which its network namespace listened
 * then tell.
 */

struct listener {
	u32 netns; /* inode */
	u32 port;
};

BPF_HASH(listeners, struct listener, u8, 8192); /* filled by user space */

static __always_inline void set_role(struct connection *c, u8 opens, u8 source)
{
	c->opens = opens;
	c->role = opens == SENDING ? ROLE_CLIENT : ROLE_SERVER;
	c->role_source = source;
}

/* A namespace that user space has looked at has an entry for port 0. Of another one nothing is known. */
static __always_inline void find_role(struct connection *c, u64 sock)
{
	struct listener here = { .netns = read_u32(read_u64(sock + SOCK_COMMON__SKC_NET) + NET__NS__INUM) };

	if (!listeners.lookup(&here))
		return;
	here.port = read_u16(sock + SOCK_COMMON__SKC_NUM);
	set_role(c, listeners.lookup(&here) ? RECEIVING : SENDING, ROLE_FROM_LISTENER);
}
