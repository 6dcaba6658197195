/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a frame says of its stream's call. SETTINGS, PING, WINDOW_UPDATE, PRIORITY are no part of a call. Streams that a
 * server opens (PUSH_PROMISE) are no calls.
 */

/* What is to be done after a step. */
#define TAKE_STACK 1
#define TAKE_RECEIVE_STACK 2
#define SUBMIT 4
#define COMPLETE 8
#define RELEASE 16
#define FORGET 32

static __always_inline struct connection *stream_of(struct connection *c, struct frames *f)
{
	struct stream_key key = { .connection = c->connection, .stream = f->stream };

	return streams.lookup(&key);
}

static __always_inline bool begins_headers(struct frames *f)
{
	return f->begins && f->type == HEADERS;
}

static __always_inline void begin_stream(struct connection *s, struct frames *in, u32 stream, struct tcp_counts counts)
{
	reset_call(s, in->began, counts);
	s->stream = stream;
	s->sequence += (stream + 1) / 2;
	s->tid = in->tid;
	s->task = in->task;
	((u64 *)s->request_head)[0] = 0;
	((u64 *)s->request_head)[1] = 0;
	s->is_walked = 0;
	s->phase = REQUEST;
}

/*
 * Opens the stream of HEADERS. A response may be received before the send of the request has returned; then it opens the
 * stream, whose request is still to come.
 */
static __always_inline void open_stream(struct connection *c, u64 sock, struct frames *f)
{
	struct stream_key key = { .connection = c->connection, .stream = f->stream };
	bool is_early = f->direction != c->opens;
	struct frames *in = is_early ? known_frames(sock, SENDING) : f;
	struct connection *s;

	if (c->ignored || !(f->stream & 1) || (is_early && f->direction == SENDING))
		return;
	if (!in || !in->tid || f->stream <= in->last_stream)
		return;
	if (streams.insert(&key, c)) {
		count(STREAM_MAP_FULL);
		return;
	}
	s = streams.lookup(&key);
	if (!s)
		return;
	__sync_fetch_and_add(&c->open_streams, 1);
	begin_stream(s, in, f->stream, tcp_counts(sock));
	s->is_early = is_early;
	if (f->direction == RECEIVING)
		s->receive_tid = bpf_get_current_pid_tgid();
}

/* The process that answers, or another thread of it, may not be the one that was asked. */
static __always_inline void set_thread(struct connection *s, struct connection *c, struct frames *f)
{
	s->task = f->task;
	s->tid = f->tid;
	s->pid = c->pid;
	s->named_tid = c->named_tid;
	s->process_start = c->process_start;
	s->cgroup = c->cgroup;
	s->wanted = c->wanted;
	__builtin_memcpy(s->process, c->process, sizeof(s->process));
	__builtin_memcpy(s->comm, c->comm, sizeof(s->comm));
}

static __always_inline void advance_request_stream(struct connection *s, struct frames *f)
{
	if (s->is_early && begins_headers(f)) {
		s->is_early = 0;
		if (s->phase == IDLE)
			f->todo = FORGET;
	}
	FORGET_VALUES();
	if (s->phase != REQUEST)
		return;
	s->t1 = f->ended;
	if (begins_headers(f) && s->stack_status == STACK_NOT_TAKEN && s->receive_stack_status == STACK_NOT_TAKEN)
		f->todo = f->direction == SENDING ? TAKE_STACK : TAKE_RECEIVE_STACK;
}

static __always_inline void answer_stream(struct connection *s, struct connection *c, struct frames *f)
{
	s->phase = RESPONSE;
	s->t2 = f->began;
	if (f->direction == SENDING)
		set_thread(s, c, f);
	else
		s->receive_tid = bpf_get_current_pid_tgid();
}

/* Notes what a part of the response does to the call, as has_become_slow does. */
static __always_inline void go_on_with_response(struct connection *s, struct frames *f)
{
	s->t3 = f->ended;
	if (s->recorded)
		return;
	if (is_slow(s, f->ended)) {
		s->stack_is_late = !f->answers || (f->direction == RECEIVING && s->stack_status == STACK_NOT_TAKEN);
		f->todo |= SUBMIT | (s->stack_is_late || f->direction == SENDING ? TAKE_STACK : TAKE_RECEIVE_STACK);
	} else if (f->answers) {
		s->stack_status = STACK_NOT_TAKEN;
		s->receive_stack_status = STACK_NOT_TAKEN;
		f->todo |= RELEASE;
	}
}

static __always_inline bool ends_stream(struct frames *f)
{
	return f->flags & END_STREAM && f->type <= HEADERS;
}

/* HEADERS that do not end the stream are of an interim response where others follow. */
static __always_inline void advance_response_stream(struct connection *s, struct connection *c, struct frames *f)
{
	if (s->phase == IDLE)
		return;
	f->answers = s->phase == REQUEST || (begins_headers(f) && !ends_stream(f) && !s->recorded);
	FORGET_VALUES();
	if (f->answers)
		answer_stream(s, c, f);
	FORGET_VALUES();
	go_on_with_response(s, f);
	FORGET_VALUES();
	if (f->ends && ends_stream(f))
		f->todo |= COMPLETE | FORGET;
}

static __always_inline void reset_stream(struct connection *s, struct frames *f)
{
	s->http2_error = f->number;
	f->todo = COMPLETE | FORGET;
	if (s->phase != REQUEST)
		return;
	s->t2 = f->ended;
	s->t3 = f->ended;
	s->outcome = OUTCOME_RESET;
	f->todo = SUBMIT | FORGET;
}

static __always_inline void advance_stream(struct connection *s, struct connection *c, struct frames *f)
{
	if (f->direction == SENDING)
		s->sent += f->size;
	else
		s->received += f->size;
	if (s->recorded)
		s->told_t3 = 0; /* the row of the call lacks these bytes, even if they came at the same time */
	FORGET_VALUES();
	if (f->type == RST_STREAM) {
		if (f->ends)
			reset_stream(s, f);
	} else if (f->type == DATA || f->type == HEADERS || f->type == CONTINUATION) {
		if (f->direction == s->opens)
			advance_request_stream(s, f);
		else
			advance_response_stream(s, c, f);
	}
	FORGET_VALUES();
}
