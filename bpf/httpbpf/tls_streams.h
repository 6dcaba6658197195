/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HTTP/2 in TLS: where the library has it in clear, its frames are walked as those of clear text (http2.h). That begins with
 * the client's preface, in a session that has met its socket. Then plaintext alone tells what is a call, and of the socket's
 * records only that they are sent.
 *
 * What is read is walked where the library has copied it to the program (tls_plaintext.h). What is written is walked at the
 * end of the send, as in clear text, because a library is given data again for which the socket had no room, but sends each
 * record once. The thread is inside of the library's function then, so the data are where the program has them.
 *
 * A connection whose program passes the encrypted bytes on is not followed, nor one that has sent what is not understood.
 */
#if HTTP_BYTES && TLS_SESSIONS

/* Begins to tell calls by frames. Returns false where the preface does not go in the direction of requests, or it is not
 * known how much larger than its data a record is. */
static __always_inline bool begin_tls_streams(struct connection *c, u8 direction)
{
	if (!walks_streams() || c->opens != direction || c->role_source == ROLE_FROM_LISTENER || !c->record_overhead)
		return false;
	if (c->phase != IDLE)
		forget_call(c); /* that the record with the preface has opened */
	c->was_in_call = 0;
	c->is_doubtful = 0;
	c->step = IGNORED;
	c->request_skip = PREFACE_SIZE;
	c->protocol = TLS_STREAMS;
	return true;
}

/* Notes what the program gives to the library. */
static __always_inline void note_write(struct tls_session *session, u64 buffer, u64 size)
{
	session->buffer = buffer;
	session->buffer_size = size;
	session->writes++;
}

/* Returns the session of the socket, if this thread is inside of the function that writes its data. */
static __always_inline struct tls_session *session_that_writes(struct connection *c, u64 sock)
{
	u64 id = bpf_get_current_pid_tgid();
	struct tls_thread *thread = tls_threads.lookup(&id);
	struct tls_tie *tie = tls_ties.lookup(&sock);

	if (!thread || !tie || tie->connection != c->connection)
		return NULL;
	if (thread->ssl != tie->key.ssl || id >> 32 != tie->key.pid || !is_within(thread))
		return NULL;
	return tls_sessions.lookup(&tie->key);
}

/* Sees which data the program writes now. If they are the same again, and not all were sent, they go on. */
static __always_inline void follow_write(struct frames *f, struct tls_session *session)
{
	if (f->writes == session->writes)
		return;
	f->writes = session->writes;
	if (f->buffer == session->buffer && f->buffer_size == session->buffer_size && f->walked < f->buffer_size)
		return;
	f->buffer = session->buffer;
	f->buffer_size = session->buffer_size;
	f->walked = 0;
}

/*
 * Returns the data in the record with which a send begins, none if it begins inside of one. A record that is not understood
 * leaves record_left as it is: then more is sent than that.
 */
static __always_inline struct payload plaintext_sent_from(struct connection *c, struct frames *f, u64 sock, u64 msg)
{
	u64 record = sent_from(msg).segment.address, header = 0, size;
	struct tls_session *session;
	struct payload data = {};

	f->plaintext = 0;
	f->begins_record = !f->record_left;
	if (!f->begins_record || bpf_probe_read_user(&header, TLS_HEADER, (void *)record) || !is_record(header))
		return data;
	size = data_size(c, c->opens == SENDING, record_size(header));
	session = (u8)header == TLS_DATA ? session_that_writes(c, sock) : NULL;
	if (session) {
		follow_write(f, session);
		if (size <= f->buffer_size - f->walked) {
			data.segment.address = f->buffer + f->walked;
			data.segment.size = size;
			f->plaintext = size;
		}
	}
	if (f->plaintext || (u8)header != TLS_DATA || size == TLS_ALERT_DATA)
		f->record_left = TLS_HEADER + record_size(header);
	return data;
}

/* Notes how much of the record was sent, and returns whether that was understood. */
static __always_inline bool goes_on_with_record(struct frames *f, int sent)
{
	if (sent <= 0) {
		if (f->begins_record)
			f->record_left = 0;
		return true;
	}
	if (sent > f->record_left)
		return false;
	f->record_left -= sent;
	f->walked += f->plaintext;
	return true;
}

static __always_inline u64 plaintext_size(struct frames *f)
{
	return f->plaintext;
}

#else

static __always_inline struct payload plaintext_sent_from(struct connection *c, struct frames *f, u64 sock, u64 msg)
{
	return (struct payload){};
}

static __always_inline bool goes_on_with_record(struct frames *f, int sent)
{
	return true;
}

static __always_inline u64 plaintext_size(struct frames *f)
{
	return 0;
}

#endif
