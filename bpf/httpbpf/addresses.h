/* SPDX-License-Identifier: GPL-2.0-only */
/* Reads the addresses of both ends of a connection, which do not change while it has calls. */

static __always_inline void set_ipv4(u8 *address, u32 ipv4)
{
	u32 *words = (u32 *)address;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = ipv4;
}

static __always_inline void set_addresses(struct connection *c, u64 sock)
{
	if (c->local_port)
		return;
	c->local_port = read_u16(sock + SOCK_COMMON__SKC_NUM);
	c->peer_port = bpf_ntohs(read_u16(sock + SOCK_COMMON__SKC_DPORT));
	if (read_u16(sock + SOCK_COMMON__SKC_FAMILY) == AF_INET) {
		set_ipv4(c->local_address, read_u32(sock + SOCK_COMMON__SKC_RCV_SADDR));
		set_ipv4(c->peer_address, read_u32(sock + SOCK_COMMON__SKC_DADDR));
	}
#ifdef SOCK_COMMON__SKC_V6_DADDR
	else {
		bpf_probe_read_kernel(c->local_address, 16, (void *)(sock + SOCK_COMMON__SKC_V6_RCV_SADDR));
		bpf_probe_read_kernel(c->peer_address, 16, (void *)(sock + SOCK_COMMON__SKC_V6_DADDR));
	}
#endif
}
