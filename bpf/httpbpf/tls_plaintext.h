/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Takes the heads of HTTP/1 messages from where a TLS library has them in clear: its functions are probed where a program
 * gives it data, and where it has data for the program. What was written becomes the head of a call only if a record with
 * which the call began, or was answered, has its size (tls_sessions.h).
 */
#if HTTP_BYTES && TLS_SESSIONS

#define LEAST_HEAD 16

enum plaintext { OTHER_DATA, HTTP1_HEAD, HTTP2_PREFACE };

#define PAGE_OFFSETS 4096

BPF_PROG_ARRAY(plaintext_walkers, 1);

/*
 * In which registers a library has what it has read, by the offset of the probe in its page: session, buffer, and the
 * address of the number of bytes, a byte each; and by how many words the first exceeds the address of the session. User
 * space fills it.
 */
BPF_ARRAY(tls_registers, u32, PAGE_OFFSETS);

static __always_inline enum plaintext kind_of(u64 first, u64 second)
{
	u8 letter = first;

	if (first == 0x5448202a20495250) /* "PRI * HT" */
		return HTTP2_PREFACE;
	if ((first & 0xffffffffffffff) == 0x2e312f50545448) /* HTTP/1. */
		return HTTP1_HEAD;
	if (letter >= 'A' && letter <= 'Z' &&
	    (have_space_and(first, second, '/') || have_space_and(first, second, '*') || have_space_and(first, second, 'h')))
		return HTTP1_HEAD;
	return OTHER_DATA;
}

static __always_inline enum plaintext kind_at(u64 buffer, u64 size)
{
	u64 first[2] = {};

	if (size < LEAST_HEAD || bpf_probe_read_user(first, sizeof(first), (void *)buffer))
		return OTHER_DATA;
	return kind_of(first[0], first[1]);
}

static __always_inline bool is_known_as_http2(struct tls_session *session)
{
	return session->is_http2 && met_by(session);
}

/* Copies the head at once: the program may change the memory before it sends the record. */
int tls_write_enters(struct pt_regs *ctx)
{
	u64 size = ctx->dx, buffer = ctx->si;
	struct tls_thread *thread;
	struct tls_session *session;
	enum plaintext kind;

	if (!is_running())
		return 0;
	thread = this_thread();
	session = session_of(key_of(ctx->di));
	if (!thread || !session)
		return 0;
	thread->ssl = ctx->di;
	thread->stack = ctx->sp;
	bpf_probe_read_user(&thread->returns_to, sizeof(thread->returns_to), (void *)ctx->sp);
	if (is_known_as_http2(session)) {
		note_write(session, buffer, size);
		return 0;
	}
	kind = kind_at(buffer, size);
	if (kind == OTHER_DATA)
		return 0;
	session->is_http2 = kind == HTTP2_PREFACE;
	session->written = size < MOST_DATA ? size : MOST_DATA;
	session->write_size = 0;
	if (session->is_http2) {
		note_write(session, buffer, size);
		return 0;
	}
	size = size < TLS_ROOM ? size : TLS_ROOM;
	if (!bpf_probe_read_user(session->write_bytes, at_most(size, TLS_ROOM), (void *)buffer))
		session->write_size = size;
	return 0;
}

/* Returns where the heads of the connection's call are to be kept, NULL if there is no room. */
static __always_inline struct head_slot *room_for_heads(struct connection *c)
{
	u64 now = bpf_ktime_get_ns();
	struct head_slot *slot = hold_heads(c, now);

	if (slot && c->head_state == HEAD_KEPT && slot->request.sequence == c->sequence)
		return slot;
	if (!slot)
		slot = acquire_heads(c, now);
	c->head_state = slot ? HEAD_KEPT : HEAD_LACKS_SLOT;
	if (!slot)
		return NULL;
	begin_head_row(&slot->request, c, 0);
	begin_head_row(&slot->response, c, 1);
	return slot;
}

static __always_inline void copy_head(struct head_row *row, u8 *to, u64 room, u8 *from, u64 size)
{
	size = size < room ? size : room;
	if (!row->size && size && !bpf_probe_read_kernel(to, at_most(size, room), from))
		row->size = size;
}

/* Gives the answered call of a server the request that was read before it was known from which socket. */
static __always_inline void keep_early_request(struct connection *c, struct tls_session *session, struct head_slot *slot)
{
	if (session->read_size && !session->has_more && session->read_at - c->t0 < c->t2 - c->t0)
		copy_head(&slot->request, slot->request_bytes, HTTP_BYTES, session->read_bytes, session->read_size);
	session->read_size = 0;
	session->has_more = 0;
}

static __always_inline void keep_written(struct connection *c, struct tls_session *session)
{
	struct head_slot *slot = session->write_size ? room_for_heads(c) : NULL;

	if (!slot)
		return;
	if (c->opens == SENDING) {
		copy_head(&slot->request, slot->request_bytes, HTTP_BYTES, session->write_bytes, session->write_size);
		return;
	}
	copy_head(&slot->response, slot->response_bytes, RESPONSE_BYTES, session->write_bytes, session->write_size);
	keep_early_request(c, session, slot);
}

/* A send begins a client's call, or answers a server's. */
static __always_inline void see_tls_send(struct connection *c, u64 sock, u64 msg)
{
	u64 id = bpf_get_current_pid_tgid();
	struct tls_thread *thread = tls_threads.lookup(&id);
	struct tls_key key = session_at(c, sock, thread);
	struct tls_session *session = tls_sessions.lookup(&key);
	bool is_inside = thread && is_within(thread);
	struct connection *met;

	if (!session || !session->written || !sends(c, msg, session->written, is_inside))
		return;
	met = met_by(session);
	if (met && met != c)
		return;
	if (!met)
		meet(session, key, c, sock);
	session->written = 0;
	if (session->is_http2 && is_inside)
		begin_tls_streams(c, SENDING);
	keep_written(c, session);
}

static __always_inline bool is_interim_head(u64 buffer)
{
	u64 version[2] = {};

	bpf_probe_read_user(version, sizeof(version), (void *)buffer);
	return (version[1] >> 8 & 0xff) == '1' && (version[1] & 0xffffffff) != 0x31303120; /* " 101" */
}

static __always_inline void keep_read_head(struct connection *c, u64 buffer, u64 size)
{
	struct user_buffer data = { .address = buffer, .size = size };
	struct head_slot *slot;

	if (c->opens == RECEIVING ? c->phase != REQUEST : c->phase != RESPONSE && !c->is_tentative)
		return;
	if (c->opens == SENDING && is_interim_head(buffer))
		return;
	slot = room_for_heads(c);
	if (!slot)
		return;
	if (c->opens == RECEIVING) {
		if (!slot->request.size)
			read_first(slot, &slot->request, slot->request_bytes, HTTP_BYTES, data);
		return;
	}
	if (slot->response.size)
		return;
	read_first(slot, &slot->response, slot->response_bytes, RESPONSE_BYTES, data);
	if (c->recorded) /* its row was sent when the first byte came */
		output_head(&slot->response, RESPONSE_BYTES);
}

/* Of a server it may become known only with the answer which socket the request came from. */
static __always_inline void keep_for_answer(struct tls_session *session, u64 buffer, u64 size)
{
	session->has_more = session->read_size != 0;
	session->read_at = bpf_ktime_get_ns();
	session->read_size = 0;
	size = size < TLS_ROOM ? size : TLS_ROOM;
	if (!bpf_probe_read_user(session->read_bytes, at_most(size, TLS_ROOM), (void *)buffer))
		session->read_size = size;
}

/* Those that a function must leave as they were. */
struct saved_registers {
	u64 bx, bp, r12, r13, r14, r15;
};

/* All are read, because the verifier does not let the compiler choose one of them by its place. */
static __always_inline struct saved_registers saved_registers(struct pt_regs *ctx)
{
	volatile struct pt_regs *registers = ctx;

	return (struct saved_registers){ registers->bx,	 registers->bp,	 registers->r12,
					 registers->r13, registers->r14, registers->r15 };
}

static __always_inline u64 register_of(struct saved_registers *saved, u8 number)
{
	switch (number) {
	case 3:
		return saved->bx;
	case 5:
		return saved->bp;
	case 12:
		return saved->r12;
	case 13:
		return saved->r13;
	case 14:
		return saved->r14;
	}
	return saved->r15;
}

/* Returns the address of the session at a probe with these registers. */
static __always_inline u64 session_in(struct saved_registers *saved, u32 registers)
{
	return register_of(saved, registers) - (registers >> 24) * sizeof(u64);
}

/* Walks what the program has read of a connection whose streams are told apart. */
static __always_inline void walk_read(struct pt_regs *ctx, struct tls_thread *thread, u64 sock, u64 buffer, u64 size)
{
	struct connection *c = connections.lookup(&sock);
	struct payload payload = { .segment = { .address = buffer, .size = size } };
	struct frames *f;

	if (!c || c->protocol != TLS_STREAMS)
		return;
	f = frames_of(c, sock, RECEIVING);
	if (!f || !begin_read_frames(c, f, payload, false, size))
		return;
	thread->walks = sock;
	plaintext_walkers.call(ctx, 0);
}

/* The head is copied at once: the program may change the memory. */
static __always_inline void see_read(struct pt_regs *ctx, u64 ssl, u64 buffer, u64 size)
{
	struct tls_thread *thread = this_thread();
	struct tls_key key = key_of(ssl);
	struct tls_session *session = tls_sessions.lookup(&key);
	struct connection *c;
	enum plaintext kind;
	u64 sock;

	if (!thread)
		return;
	sock = thread->sock;
	thread->sock = 0; /* only the first data after a receive are those of its first record */
	if (session && is_known_as_http2(session)) {
		walk_read(ctx, thread, session->sock, buffer, size);
		return;
	}
	kind = kind_at(buffer, size);
	session = kind == OTHER_DATA ? NULL : session_of(key);
	if (!session)
		return;
	session->is_http2 = kind == HTTP2_PREFACE;
	c = met_by(session);
	if (!c)
		c = meet_received(sock, session, key, size);
	if (session->is_http2) {
		if (c && thread->received_at < ctx->sp && begin_tls_streams(c, RECEIVING))
			walk_read(ctx, thread, sock, buffer, size);
		return;
	}
	if (c)
		keep_read_head(c, buffer, size);
	else
		keep_for_answer(session, buffer, size);
}

/* OpenSSL has copied data to where the program wants it. */
int tls_read_returns(struct pt_regs *ctx)
{
	u32 place = ctx->ip & (PAGE_OFFSETS - 1), *registers = tls_registers.lookup(&place);
	struct saved_registers saved = saved_registers(ctx);
	u64 size = 0;

	if ((int)ctx->ax <= 0 || !registers || !is_running() ||
	    bpf_probe_read_user(&size, sizeof(size), (void *)register_of(&saved, *registers >> 16)))
		return 0;
	see_read(ctx, session_in(&saved, *registers), register_of(&saved, *registers >> 8), size);
	return 0;
}

/* GnuTLS calls memcpy(data, decrypted, size). */
int tls_copy_enters(struct pt_regs *ctx)
{
	u32 place = ctx->ip & (PAGE_OFFSETS - 1), *registers = tls_registers.lookup(&place);
	struct saved_registers saved = saved_registers(ctx);

	if (registers && is_running())
		see_read(ctx, session_in(&saved, *registers), ctx->si, ctx->dx);
	return 0;
}

#else

static __always_inline void see_tls_send(struct connection *c, u64 sock, u64 msg)
{
}

#endif
