/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HTTP/2 in clear text: each stream that a client opens is a call. A stream is kept as a struct connection of its own, a
 * copy of its connection's, so that what is done with a call can be done with it.
 *
 * Transfers are walked from frame to frame when they return, because only then it is known how much was sent. The probe
 * ends with a tail call to walk_streams (http2_walk.h), whose instructions do not count as the probe's, and which
 * connections of other protocols never meet. Where the kernel did not take that program, HTTP/2 is paired by bursts.
 *
 * A transfer that has too many frames, cannot be read, or has no frames where they should be, brings the walk out of step.
 * It goes on with the next transfer that begins with what looks like a frame; the streams that are open are given up.
 */

BPF_RINGBUF_OUTPUT(streams_end_ring, STREAMS_END_RING_PAGES);
BPF_PROG_ARRAY(send_walkers, 1); /* two, because with fexit the programs of one array must probe one function */
BPF_PROG_ARRAY(receive_walkers, 1);

/* Lets user space end the open streams of the connection: it can find those in the map, a probe cannot. */
static __always_inline void end_streams(struct connection *c, u32 above, u8 outcome, u8 is_lost)
{
	struct streams_end_row row = {
		.connection = c->connection,
		.at = bpf_ktime_get_ns(),
		.above = above,
		.outcome = outcome,
		.is_lost = is_lost,
	};

	if (c->open_streams && streams_end_ring.ringbuf_output(&row, sizeof(row), BPF_RB_NO_WAKEUP))
		count(STREAMS_END_RING_FULL);
}

static __always_inline void lose_step(struct connection *c, struct frames *f)
{
	f->is_out_of_step = 1;
	f->is_walking = 0;
	f->tid = 0;
	f->lost = bpf_ktime_get_ns();
	miss_blocks(f);
	count(STREAMS_OUT_OF_STEP);
	end_streams(c, 0, OUTCOME_CLOSED, 1);
}

/* Goes on with a connection in TLS as with one whose plaintext is not known. */
static __always_inline void give_up_streams(struct connection *c, struct frames *f, u64 sock)
{
	lose_step(c, f);
	forget_frames(sock);
	c->protocol = TLS;
}

static __always_inline void finish_transfer(struct frames *f)
{
	f->is_walking = 0;
	f->tid = 0;
}

/*
 * The preface begins the direction of requests, and the head of an upgrade that of responses. A connection that is older
 * than the recording is out of step at first.
 */
static __always_inline struct frames *frames_of(struct connection *c, u64 sock, u8 direction)
{
	struct frames *f = known_frames(sock, direction);
	u32 *skip = direction == c->opens ? &c->request_skip : &c->response_skip;

	if (f)
		return f;
	f = new_frames(sock, direction);
	if (!f)
		return NULL;
	f->type = PREFACE;
	f->skip = *skip;
	f->is_in_frame = !!f->skip;
	*skip = 0;
	f->is_out_of_step = !f->skip && (direction == c->opens || c->role_source == ROLE_FROM_LISTENER);
	if (f->is_out_of_step)
		miss_blocks(f);
	if (direction == c->opens)
		set_addresses(c, sock);
	return f;
}

/* Notes what a send is about to send. */
static __always_inline void note_send(struct connection *c, u64 sock, u64 msg, u64 now)
{
	struct frames *f = frames_of(c, sock, SENDING);

	if (!f)
		return;
	meet_thread(c);
	f->payload = c->protocol == TLS_STREAMS ? plaintext_sent_from(c, f, sock, msg) : sent_from(msg);
	f->began = now;
	f->task = bpf_get_current_task(); /* by now, another thread that receives may have been met */
	f->tid = bpf_get_current_pid_tgid();
}

/* Whether this transfer, behind which TCP has this number, does not go on where the last one in its direction ended. */
static __always_inline bool is_beyond_walked(struct frames *f, u32 end, u32 size)
{
	bool is_beyond = f->is_followed && end - size - f->end > 1; /* the end of file counts 1 */

	f->end = end;
	f->is_followed = 1;
	return is_beyond;
}

/*
 * Returns whether there is something to walk. What `is_beyond` the last transfer comes after bytes that no probe has seen.
 */
static __always_inline bool begin_frames(struct connection *c, struct frames *f, bool is_beyond, u64 size)
{
	bool is_lost = is_beyond || f->is_walking; /* or the last walk did not come to its end */

	FORGET_VALUES();
	if (is_lost && !f->is_out_of_step)
		lose_step(c, f);
	FORGET_VALUES();
	f->ended = bpf_ktime_get_ns();
	f->tid = bpf_get_current_pid_tgid();
	f->steps = 0;
	bound_payload(&f->payload, size);
	FORGET_VALUES();
	if (f->is_out_of_step)
		get_in_step(f);
	FORGET_VALUES();
	f->is_walking = !f->is_out_of_step;
	return f->is_walking;
}

/* Begins to walk what was received. Returns whether there is something to walk. */
static __always_inline bool begin_read_frames(struct connection *c, struct frames *f, struct payload payload, bool is_beyond, u64 size)
{
	if (c->opens == RECEIVING)
		meet_thread(c);
	f->task = bpf_get_current_task();
	f->payload = payload;
	if (!begin_frames(c, f, is_beyond, size))
		return false;
	f->began = f->ended;
	return true;
}

static __always_inline int streams_send_returns(void *ctx, struct connection *c, u64 sock, int sent)
{
	struct frames *f = known_frames(sock, SENDING);
	u32 tid = bpf_get_current_pid_tgid();
	u64 size = sent;

	if (c->sending_tid == tid)
		c->sending_tid = 0;
	if (sent == -EPIPE || sent == -ECONNRESET)
		end_streams(c, 0, OUTCOME_RESET, 0);
	if (!f)
		return 0;
	if (c->protocol == TLS_STREAMS) {
		if (!goes_on_with_record(f, sent)) {
			give_up_streams(c, f, sock);
			return 0;
		}
		size = plaintext_size(f);
	}
	if (sent > 0 && f->tid != tid) { /* another thread's send was noted instead */
		lose_step(c, f);
		return 0;
	}
	if (sent > 0 && begin_frames(c, f, is_beyond_walked(f, read_u32(sock + TCP_SOCK__WRITE_SEQ), sent), size))
		send_walkers.call(ctx, 0);
	finish_transfer(f);
	return 0;
}

/* Gives up what was sent without a walk. */
static __always_inline int give_up_sent(struct connection *c, u64 sock, int sent)
{
	struct frames *f = known_frames(sock, SENDING);

	if (c->sending_tid == (u32)bpf_get_current_pid_tgid())
		c->sending_tid = 0;
	if (f && sent > 0 && !f->is_out_of_step)
		lose_step(c, f);
	return 0;
}
