/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rows that the program sends to user space. layout.py reads this file too, so a row is described once: one field
 * a line, naturally aligned, "name[N]" for N bytes, and the unit as the first word of the comment. Padding is at the end
 * only.
 */

#define NOT_KNOWN 0xffffffff /* as a count of segments */

/*
 * One call. Times are CLOCK_MONOTONIC. What the calls of a connection have in common comes first, in whole words of 8
 * bytes: the recorder sorts by it, and writes it once for all of them.
 */
struct call_row {
	u64 process_start;     /* ns start of the process since boot */
	u64 connection;        /* - when its socket was first seen (ns << 8 | cpu): unique in a capture */
	u64 cgroup;            /* - cgroup v2 id */
	u8 process[16];        /* - name of the thread group leader of the thread that sends */
	u8 local_address[16];  /* - IPv6, or IPv4 as ::ffff:a.b.c.d */
	u8 peer_address[16];   /* - the same */
	u32 pid;               /* - thread group id of the thread that sends */
	u16 local_port;        /* - host byte order */
	u16 peer_port;         /* - host byte order */
	u64 t0;                /* ns request: first send, or first receive return */
	u64 t1;                /* ns request: last send return, or last receive return */
	u64 t2;                /* ns response: first receive return, or first send; the end where none came */
	u64 t3;                /* ns response: last transfer up to this row, which the one at t2 may be */
	u64 sent;              /* bytes sent by the process up to t3 */
	u64 received;          /* bytes received by the process up to t3 */
	u64 stack;             /* - id of a stack row, 0 for none */
	u64 receive_stack;     /* - id of the stack row of the first receive, 0 for none */
	u64 connect_time;      /* ns that a client's connecting took: only in a connection's first call, else 0 */
	u64 handshake_time;    /* ns that the TLS handshake took: the same; 0 where its begin or end was not seen */
	u8 comm[16];           /* - name of the thread that sends */
	u8 request_head[16];   /* - what is left of its first bytes (bare_heads.h), 0 where not read */
	u8 response_head[16];  /* - the same of the response */
	u32 sequence;          /* - rises with every call on the connection */
	u32 tid;               /* - the thread that sends */
	u32 receive_tid;       /* - thread id on the receiving side */
	u32 request_seq;       /* - TCP's sequence number of the first byte of the request, 0 where it is not known */
	u32 round_trip;        /* us smoothed, at this row; 0 where it is not known */
	u32 segments;          /* - that were sent from t0 up to this row, or NOT_KNOWN */
	u32 retransmitted;     /* - segments that were sent again, the same */
	u32 out_of_order;      /* - segments that were received out of order, the same */
	u32 stream;            /* - HTTP/2 stream that the call is, 0 where it is none */
	u32 http2_error;       /* - error code with which the stream was reset, 0 where it was not, or with none */
	u32 response_seq;      /* - as request_seq, of the response */
	u8 role;               /* - enum role */
	u8 role_source;        /* - enum role_source */
	u8 outcome;            /* - enum outcome */
	u8 stack_status;       /* - enum stack_status */
	u8 receive_stack_status; /* - the same of receive_stack */
	u8 stack_is_late;      /* - 1: the stack was taken when the call became slow, after t2 */
	u8 judged_by;          /* - enum judged_by */
	u8 first_byte_is_guess; /* - 1: what came at t2 may be no part of the response */
	u8 is_encrypted;       /* - 1: by TLS */
};

/* The end of a response that went on after its call's row. */
struct completion_row {
	u64 connection;        /* - of the call */
	u64 t3;                /* ns response: last receive return, or last send return */
	u64 sent;              /* bytes sent by the process in the whole call */
	u64 received;          /* bytes received by the process in the whole call */
	u32 sequence;          /* - of the call */
	u32 http2_error;       /* - as in the call row, where the stream was reset after it */
};

/*
 * What is known of one socket: its current or last call, and where that stands. A field that a call row has too has the
 * same name; user space makes the row of a call that the end finds open from it. What every transfer touches comes first.
 */
struct connection {
	u64 t0;                /* ns as in the call row */
	u64 t1;                /* ns the same */
	u64 t2;                /* ns the same */
	u64 t3;                /* ns last transfer of the response so far */
	u64 told_t3;           /* ns t3 in the row of the call */
	u64 sent;              /* bytes so far */
	u64 received;          /* bytes so far */
	u64 connection;        /* - as in the call row */
	u64 task;              /* - address of the task_struct of the thread that sends */
	u32 pid;               /* - of the thread that sends */
	u32 tid;               /* - the same */
	u32 sequence;          /* - of the call */
	u32 receive_tid;       /* - thread id on the receiving side */
	u32 slot;              /* - where the sending side's stack waits, from 1; 0 for none */
	u32 receive_slot;      /* - the same of the receiving side */
	u32 sending_tid;       /* - the thread whose send has not returned, 0 for none; of several the last one to begin */
	u32 sending_sequence;  /* - the call that this send belongs to */
	u32 stream;            /* - as in the call row: this is a stream of a connection */
	u32 http2_error;       /* - the same */
	u32 open_streams;      /* - of this connection */
	u8 phase;              /* - enum phase */
	u8 opens;              /* - enum direction: in which a request goes */
	u8 direction;          /* - enum direction: of the last transfer */
	u8 step;               /* - enum step: what the send that has not returned did to the call */
	u8 overlapping;        /* - how many sends of the call that other threads began before it have not returned */
	u8 role;               /* - enum role */
	u8 role_source;        /* - enum role_source */
	u8 ignored;            /* - the process is one that is not recorded */
	u8 wanted;             /* - the process filter lets this call pass */
	u8 recorded;           /* - enum recorded */
	u8 peer_closed;        /* - a receive returned end of file */
	u8 reset;              /* - the peer has reset the connection */
	u8 outcome;            /* - enum outcome */
	u8 stack_status;       /* - enum stack_status */
	u8 receive_stack_status; /* - the same of the receiving side */
	u8 stack_end_is_sure;  /* - it was found twice */
	u64 stack_end;         /* - where the stack of thread stack_tid ends, 0 where it is not known */
	u32 stack_tid;         /* - a thread of this process */
	u32 named_tid;         /* - the thread that had the name comm */
	u8 request_head[16];   /* - as in the call row */
	u8 response_head[16];  /* - the same */
	u8 head[16];           /* - first bytes of the last burst, as far as they have been read */
	u32 copied_seq;        /* - sequence number up to which the process had received before the call */
	u32 seen_since;        /* bytes that probes have seen it receive since then */
	u32 response_skip;     /* bytes to the next TLS record of responses, or of the head of an upgrade to HTTP/2 */
	u32 request_skip;      /* bytes the same of requests, or to the end of the preface of HTTP/2 */
	u16 ticket_size;       /* bytes of the last record that was taken for a TLS session ticket, or for a PING of HTTP/2 */
	u8 tickets;            /* - how many were; of PINGs who sent it */
	u8 head_size;          /* bytes in head */
	u8 protocol;           /* - enum protocol */
	u8 tls;                /* - what is known of the TLS session, bits of tls.h */
	u8 part;               /* - enum part: of the last transfer whose records were followed */
	u8 is_fresh;           /* - the last transfer began a burst */
	u8 head_grew;          /* - it went on with the first bytes of one */
	u8 proxy_header_size;  /* bytes of the PROXY header line that came first */
	u8 rests;              /* - what came last in the direction of responses was no part of one */
	u8 was_in_call;        /* - when the recording began */
	u8 is_tentative;       /* - t2 and t3 are of an answer that holds only if no other follows */
	u8 stack_is_late;      /* - as in the call row */
	u8 judged_by;          /* - the same */
	u8 first_byte_is_guess; /* - the same */
	u8 is_encrypted;       /* - the same */
	u8 is_early;           /* - of a stream: its response was received before the send of its request has returned */
	u8 is_walked;         /* - frames of a program (runtime_rows.h) of the stack in the sending side's slot are beside it */
	u8 record_overhead;    /* bytes that a TLS record has beside the data */
	u8 is_doubtful;        /* - what opened the call may be no request */
	u8 head_state;         /* - enum head_state: of the request */
	u8 sends_pings;        /* - the asking end has sent what may be PINGs of HTTP/2 in TLS */
	u8 head_is_kept;       /* - the slot of its heads holds the last transfer's first segment */
	u32 segments_at_t0;    /* - sent on the connection before the call */
	u32 retransmitted_at_t0; /* - the same, sent again */
	u32 out_of_order_at_t0; /* - the same, received out of order */
	u64 setup_began;       /* ns when connecting, then the TLS handshake, began; 0 where it was not seen */
	u64 connect_time;      /* ns as in the row of the first call */
	u64 handshake_time;    /* ns up to its last message so far */
	u64 process_start;     /* ns of the process that had a call here last */
	u64 cgroup;            /* - of the same */
	u8 process[16];        /* - the same, when it had its first call here */
	u8 comm[16];           /* - the same, of one of its threads */
	u8 local_address[16];  /* - as in the call row */
	u8 peer_address[16];   /* - the same */
	u16 local_port;        /* - the same */
	u16 peer_port;         /* - the same */
	u32 head_slot;         /* - where its heads wait, from 1; 0 for none */
	u16 hello_bytes;       /* bytes that the asking end had sent when its handshake was last looked at (hellos.h) */
	u16 answer_bytes;      /* bytes the same of the other end */
	u32 request_seq;       /* - as in the call row */
	u32 response_seq;      /* - the same */
	u32 told_pid;          /* - of whose calls here a connection row was sent, 0 for none; of a stream: is not used */
	u32 part_record;       /* bytes of the TLS record received last that is a part of a call, 0 where it is not known */
};

/*
 * A call that ended below the threshold. Its fields are those of the call row; what it has in common with others of its
 * connection and process is in a connection row.
 */
struct short_row {
	u64 connection;        /* - as in the call row, as are all of these */
	u64 t0;                /* ns */
	u64 t1;                /* ns */
	u64 t2;                /* ns */
	u64 t3;                /* ns */
	u64 sent;              /* bytes */
	u64 received;          /* bytes */
	u32 pid;               /* - */
	u32 sequence;          /* - */
	u32 tid;               /* - */
	u32 receive_tid;       /* - */
	u32 request_seq;       /* - */
	u32 response_seq;      /* - */
	u32 stream;            /* - */
	u8 role;               /* - enum role */
	u8 outcome;            /* - enum outcome */
};

/* What the calls below the threshold of a process on a connection have in common, in whole words of 8 bytes. */
struct connection_row {
	u64 process_start;     /* ns as in the call row, as are all of these */
	u64 connection;        /* - */
	u8 process[16];        /* - */
	u8 local_address[16];  /* - */
	u8 peer_address[16];   /* - */
	u32 pid;               /* - */
	u16 local_port;        /* - */
	u16 peer_port;         /* - */
};

/*
 * A user stack. What follows is either frames_size bytes of return addresses, leaf first, or memory_size bytes that were
 * copied from the stack.
 */
struct stack_row {
	u64 id;                /* - unique in a capture for the same frames of the same process, or for one copy */
	u64 process_start;     /* ns start of the process since boot */
	u64 taken;             /* ns when */
	u32 pid;               /* - thread group id */
	u32 frames_size;       /* bytes of addresses */
	u64 memory_address;    /* - user stack pointer: where the copy begins */
	u32 memory_size;       /* bytes of the copy */
	u32 registers_size;    /* bytes of registers: none where they could not be read */
	u64 missing_pages;     /* - bit n: page n of the copy was not in memory, its bytes are 0 */
	u8 registers[168];     /* - struct pt_regs of the user at the send or receive */
};

/*
 * The head of a request or response, as far as it was kept, or a piece of what an end of a TLS connection says first
 * (hellos.h). What follows is size bytes of it.
 */
struct head_row {
	u64 connection;        /* - of the call */
	u32 sequence;          /* - of the call; of a hello, how many bytes came before in this direction */
	u16 size;              /* bytes of the head */
	u8 is_response;        /* - 0: of the request */
	u8 is_hello;           /* - 1: of TLS */
};

/* A process that has begun its first call: time to read its maps. */
struct process_row {
	u64 process_start;     /* ns start of the process since boot */
	u32 pid;               /* - thread group id */
	u32 reserved;          /* - 0 */
};

/* The open streams of a HTTP/2 connection have ended. */
struct streams_end_row {
	u64 connection;        /* - as in the call row */
	u64 at;                /* ns when */
	u32 above;             /* - those with higher numbers only */
	u8 outcome;            /* - enum outcome */
	u8 is_lost;            /* - 1: whether they have ended is not known */
	u8 reserved[2];        /* - 0 */
};

/*
 * A piece of the payload of a HTTP/2 frame with a header block, with what follows: size bytes of it. Or, without any, what
 * has become of a stream.
 */
struct block_row {
	u64 connection;        /* - as in the call row */
	u32 stream;            /* - of the frame: of PUSH_PROMISE the one on which it is sent */
	u32 sequence;          /* - of what tells of a stream: of its call */
	u32 order;             /* - rises by 1 with every piece of a direction, and by more where one may be missing */
	u16 offset;            /* bytes of the payload that precede the piece */
	u16 left;              /* bytes that follow it */
	u16 size;              /* bytes of the piece */
	u8 frame;              /* - type of the frame; 0 of what tells of a stream */
	u8 flags;              /* - of the frame */
	u8 is_request;         /* - 1: goes in the direction of requests */
	u8 is_lost;            /* - 1: the piece could not be read */
	u8 is_slow;            /* - 1: the stream is a slow call */
	u8 has_ended;          /* - 1: nothing of the stream follows */
};

enum phase { IDLE, REQUEST, RESPONSE };
enum direction { NEITHER, SENDING, RECEIVING };
enum role { ROLE_UNKNOWN, ROLE_CLIENT, ROLE_SERVER };
enum role_source { ROLE_FROM_NONE, ROLE_FROM_CONNECTION, ROLE_FROM_PAYLOAD, ROLE_FROM_LISTENER };
enum judged_by { JUDGED_BY_WHOLE, JUDGED_BY_FIRST_BYTE };
/* STREAMS: HTTP/2 that is walked frame by frame; TLS_STREAMS: in the plaintext of TLS */
enum protocol { UNKNOWN, HTTP1, HTTP2, TLS, TUNNEL, STREAMS, TLS_STREAMS };
enum step { IGNORED, OPENED, ANSWERED, CONTINUED };
enum recorded { NOT_RECORDED, IN_RING, RING_WAS_FULL };
enum outcome { OUTCOME_ANSWERED, OUTCOME_EOF, OUTCOME_RESET, OUTCOME_CLOSED, OUTCOME_IN_FLIGHT };
enum head_state { HEAD_NOT_WANTED, HEAD_GROWS, HEAD_KEPT, HEAD_LACKS_SLOT };
enum stack_status { STACK_RECORDED, STACK_NOT_TAKEN, STACK_NO_USER_SPACE, STACK_FAULT, STACK_LOST };

/* What ended below the threshold. */
struct fast_calls {
	u64 slowest;           /* ns the longest of them */
	u64 durations[64];     /* - number n counts those of 2^n to 2^(n+1) - 1 ns */
};

/* The ledger: how much there was, and what was lost. */
enum counter {
	CALLS,               /* calls to be recorded: in the ring, or lost */
	COMPLETIONS,         /* the same of completions */
	CALL_RING_FULL,
	COMPLETION_RING_FULL,
	STACK_RING_FULL,
	PROCESS_RING_FULL,
	HEAD_RING_FULL,      /* the head of a request or response was not sent */
	HEAD_SLOTS_USED_UP,  /* the heads of a call were not kept, or given up */
	PYTHON_RING_FULL,    /* the frames of a program that a stack has were not sent */
	CALL_NOT_PAIRED,     /* a connection was in a call when the recording began */
	TRANSFER_NOT_SEEN,   /* a connection has sent or received by a function that is not probed */
	CALL_OVERTAKEN,      /* the next call began in another thread before the answering send returned */
	CONNECTION_MAP_FULL, /* a socket was not followed */
	THREAD_MAP_FULL,     /* one send or receive was not seen */
	STACK_SLOTS_USED_UP, /* no stack copy was kept of one side of a call, but its frames */
	FRAME_SLOTS_USED_UP, /* nor its frames */
	STREAM_MAP_FULL,     /* a HTTP/2 stream was not followed */
	STREAMS_OUT_OF_STEP, /* a transfer of HTTP/2 was not understood: open streams of the connection were given up */
	STREAMS_END_RING_FULL, /* streams that were open at the end of their connection were not recorded */
	SHORT_RING_FULL,     /* a call below the threshold was counted, but not sent */
	CONNECTION_RING_FULL, /* what calls below the threshold have in common was not sent: the next one tries again */
	HEADER_BLOCK_LOST,   /* a piece of a header block of HTTP/2, or what became of a stream, was not sent */
	COUNTERS
};
