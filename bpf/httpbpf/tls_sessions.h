/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which socket a TLS session has: learnt from the record that is on its way, which is as large as the data that this thread
 * gave to the library last, or gets from it next, and what TLS adds. A session and a socket that have met stay together
 * until the connection ends; before, neither meets another one.
 */
#if HTTP_BYTES && TLS_SESSIONS

#define TLS_ROOM (REQUEST_ROOM > RESPONSE_BYTES ? REQUEST_ROOM : RESPONSE_BYTES)
#define MOST_DATA 16384	 /* bytes in a record */
#define DEEPEST 0x10000	 /* bytes of stack that a library has in use when it sends */
#define MOST_ADDED 256	 /* bytes that any version and cipher add */
#define FIRST_RECORDS 4

struct tls_key {
	u64 ssl; /* address of the session in the process */
	u64 pid;
};

struct tls_session {
	u64 sock;	/* that it has met, 0 for none */
	u64 connection; /* number of the connection there */
	u64 read_at;	/* ns when the head in read_bytes was read */
	u32 written;	/* bytes of data with a head that are to be sent, at most those of a record; 0: none */
	u32 write_size; /* bytes in write_bytes */
	u32 read_size;	/* bytes in read_bytes */
	u64 buffer;	/* of HTTP/2: what the program writes, or has written last */
	u32 buffer_size;
	u32 writes;	/* how often it has written */
	u8 is_http2;	/* while it and its connection are together: then the library may reuse its memory */
	u8 has_more; /* another head was read since that in read_bytes */
	u8 write_bytes[TLS_ROOM];
	u8 read_bytes[TLS_ROOM];
};

struct tls_thread {
	u64 ssl;	/* session for which the thread has written last, 0 for none */
	u64 stack;	/* where the return address of that function stood */
	u64 returns_to; /* this address */
	u64 sock;	/* on which it has received last, 0 once it has read data since */
	u64 received_at; /* the stack pointer when it did */
	u64 walks;	/* the socket of the connection whose plaintext it walks */
};

struct tls_tie {
	struct tls_key key;
	u64 connection;
};

BPF_TABLE("lru_hash", struct tls_key, struct tls_session, tls_sessions, TLS_SESSIONS);
BPF_TABLE("lru_hash", u64, struct tls_thread, tls_threads, TLS_SESSIONS);
BPF_TABLE("lru_hash", u64, struct tls_tie, tls_ties, TLS_SESSIONS); /* by socket */
BPF_ARRAY(blank_session, struct tls_session, 1);

static __always_inline struct tls_key key_of(u64 ssl)
{
	return (struct tls_key){ .ssl = ssl, .pid = bpf_get_current_pid_tgid() >> 32 };
}

static __always_inline struct tls_session *session_of(struct tls_key key)
{
	struct tls_session *session = tls_sessions.lookup(&key), *blank;
	u32 zero = 0;

	if (session)
		return session;
	blank = blank_session.lookup(&zero);
	if (!blank)
		return NULL;
	tls_sessions.update(&key, blank);
	return tls_sessions.lookup(&key);
}

/* Returns the connection that the session has met, if that is still the same one. */
static __always_inline struct connection *met_by(struct tls_session *session)
{
	u64 sock = session->sock;
	struct connection *c = sock ? connections.lookup(&sock) : NULL;

	if (c && c->connection == session->connection)
		return c;
	session->sock = 0;
	return NULL;
}

static __always_inline void meet(struct tls_session *session, struct tls_key key, struct connection *c, u64 sock)
{
	struct tls_tie tie = { .key = key, .connection = c->connection };

	session->sock = sock;
	session->connection = c->connection;
	tls_ties.update(&sock, &tie);
}

/* Returns the user's stack pointer at the current system call, 0 if there is none. */
static __always_inline u64 user_stack_pointer(void)
{
	struct second_half user;
	u64 top = top_of_stack();

	return read_half_at(top, &user) || read_half_at(top - 16, &user) ? user.sp : 0;
}

/*
 * Whether the thread may still be within the function by which it has written last: its return address stands where it
 * stood. It may have been left there, too.
 */
static __always_inline bool is_within(struct tls_thread *thread)
{
	u64 stack = thread->ssl ? user_stack_pointer() : 0, returns_to = 0;

	if (!stack || stack >= thread->stack || thread->stack - stack > DEEPEST)
		return false;
	bpf_probe_read_user(&returns_to, sizeof(returns_to), (void *)thread->stack);
	return returns_to == thread->returns_to;
}

/*
 * Whether a record of this size holds so many bytes of data. If it is not known what this connection adds, only the usual
 * sizes will do: but with CBC it varies, so within the library any size does that may be added.
 */
static __always_inline bool holds(struct connection *c, u32 record, u32 data, bool is_inside)
{
	u32 added = record - data;

	if (c->record_overhead)
		return added == c->record_overhead;
	if (is_inside)
		return added - 1 < MOST_ADDED;
	return added == 17 || added == 24 || added == 16; /* TLS 1.3; AES-GCM and ChaCha20 of TLS 1.2 */
}

/* Whether one of the first records that are sent holds so many bytes: a Finished may come before them. */
static __always_inline bool sends(struct connection *c, u64 msg, u32 data, bool is_inside)
{
	struct user_buffer segment = sent_from(msg).segment;
	u64 skip = 0, header;

#pragma unroll
	for (int i = 0; i < FIRST_RECORDS; i++) {
		header = 0;
		if (skip + TLS_HEADER > segment.size ||
		    bpf_probe_read_user(&header, TLS_HEADER, (void *)(segment.address + skip)) || !is_record(header))
			return false;
		if ((u8)header == TLS_DATA && holds(c, record_size(header), data, is_inside))
			return true;
		skip += TLS_HEADER + record_size(header);
	}
	return false;
}

/* Returns the key of the session that the socket has met, or else of the one that this thread was in last. */
static __always_inline struct tls_key session_at(struct connection *c, u64 sock, struct tls_thread *thread)
{
	struct tls_tie *tie = tls_ties.lookup(&sock);

	if (tie && tie->connection == c->connection)
		return tie->key;
	return key_of(thread ? thread->ssl : 0);
}

static __always_inline struct tls_thread *this_thread(void)
{
	u64 id = bpf_get_current_pid_tgid();
	struct tls_thread *thread = tls_threads.lookup(&id), none = {};

	if (thread)
		return thread;
	tls_threads.update(&id, &none);
	return tls_threads.lookup(&id);
}

/* A receive has got bytes of TLS. */
static __always_inline void see_tls_receive(u64 sock)
{
	struct tls_thread *thread = this_thread();

	if (!thread)
		return;
	thread->sock = sock;
	thread->received_at = user_stack_pointer();
}

/* The record that the thread received last has been decrypted, if it held so many bytes. */
static __always_inline struct connection *meet_received(u64 sock, struct tls_session *session, struct tls_key key, u64 size)
{
	struct connection *c = sock ? connections.lookup(&sock) : NULL;
	struct tls_tie *tie = c ? tls_ties.lookup(&sock) : NULL;

	if (!c || (tie && tie->connection == c->connection) || !c->part_record || !holds(c, c->part_record, size, false))
		return NULL;
	meet(session, key, c, sock);
	return c;
}

#else

static __always_inline void see_tls_receive(u64 sock)
{
}

#endif
