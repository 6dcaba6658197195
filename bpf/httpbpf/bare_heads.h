/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What user space may have of the first bytes of a request or response: of HTTP/1 the method and the blank behind it, and
 * version and status; of TLS three bytes of a record's header; of anything else only that there was something.
 */

static __always_inline u64 up_to_blank(u64 word)
{
	u64 blanks = zero_bytes(word ^ 0x2020202020202020ULL);

	return word & (2 * (blanks & -blanks) - 1); /* all of it if there is none */
}

static __always_inline void set_bare_head(u8 *to, u64 first, u64 second)
{
	u64 *bare = (u64 *)to;

	bare[0] = first;
	bare[1] = second;
}

static __always_inline u64 bare_word(u64 head)
{
	return is_record(head) ? head & 0xffffff : head ? '?' : 0;
}

static __always_inline bool has_blank(u64 word)
{
	return zero_bytes(word ^ 0x2020202020202020ULL);
}

static __always_inline void copy_request_head(struct connection *c)
{
	u64 *head = (u64 *)c->head, first = head[0], second = has_blank(first) ? 0 : up_to_blank(head[1]);

	if (c->protocol == HTTP1 && (has_blank(first) || has_blank(second)))
		set_bare_head(c->request_head, up_to_blank(first), second);
	else
		set_bare_head(c->request_head, bare_word(first), 0);
}

static __always_inline void copy_response_head(struct connection *c)
{
	u64 *head = (u64 *)c->head;

	if (c->protocol == HTTP1 && is_status_line(c))
		set_bare_head(c->response_head, head[0], head[1] & 0xffffffff);
	else if (c->protocol == HTTP1 && c->head_size < HEAD_SIZE && c->head[0] == 'H')
		set_bare_head(c->response_head, 'H', 0); /* the rest may follow */
	else
		set_bare_head(c->response_head, bare_word(head[0]), 0);
}
