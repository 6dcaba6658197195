/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rows that the program sends to user space. layout.py reads this file too, so a row is described once: one field
 * a line, naturally aligned, "name[N]" for N bytes, and the unit as the first word of the comment. Padding is at the end
 * only.
 */

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
	u64 sent;              /* bytes sent by the process up to t2 */
	u64 received;          /* bytes received by the process up to t2 */
	u64 stack;             /* - id of a stack row, 0 for none */
	u64 receive_stack;     /* - id of the stack row of the first receive, 0 for none */
	u8 comm[16];           /* - name of the thread that sends */
	u8 request_head[8];    /* - first bytes of the request, 0 where not read */
	u8 response_head[16];  /* - first bytes of the response, 0 where not read */
	u32 sequence;          /* - rises with every call on the connection */
	u32 tid;               /* - the thread that sends */
	u32 receive_tid;       /* - thread id on the receiving side */
	u8 role;               /* - enum role */
	u8 role_source;        /* - enum role_source */
	u8 outcome;            /* - enum outcome */
	u8 stack_status;       /* - enum stack_status */
	u8 receive_stack_status; /* - the same of receive_stack */
};

/* The end of a response that went on after t2. */
struct completion_row {
	u64 connection;        /* - of the call */
	u64 t3;                /* ns response: last receive return, or last send return */
	u64 sent;              /* bytes sent by the process in the whole call */
	u64 received;          /* bytes received by the process in the whole call */
	u32 sequence;          /* - of the call */
	u32 reserved;          /* - 0 */
};

/* Where a connection stands; user space reads it, behind the call row, of the connections that the end finds open. */
struct connection_state {
	u64 t3;                /* ns last transfer of the response so far */
	u8 phase;              /* - enum phase */
	u8 opens;              /* - enum direction: in which a request goes */
	u8 direction;          /* - enum direction: of the last transfer */
	u8 wanted;             /* - the process filter lets this call pass */
	u8 recorded;           /* - this call is in the ring */
	u8 peer_closed;        /* - a receive returned end of file */
	u8 reset;              /* - the peer has reset the connection */
	u8 reserved;           /* - 0 */
	u32 slot;              /* - of the sending side's stack copy, from 1; 0 for none */
	u32 receive_slot;      /* - the same of the receiving side */
};

/* A user stack. frames_size bytes of frames are return addresses, leaf first; a copy of the stack itself may follow. */
struct stack_row {
	u64 id;                /* - unique in a capture for the same frames of the same process, or for one copy */
	u64 process_start;     /* ns start of the process since boot */
	u64 taken;             /* ns when */
	u32 pid;               /* - thread group id */
	u32 frames_size;       /* bytes of addresses that follow */
	u64 memory_address;    /* - user stack pointer: where the copy begins */
	u32 memory_size;       /* bytes of the copy that follow the frames */
	u32 registers_size;    /* bytes of registers: none without a copy */
	u64 missing_pages;     /* - bit n: page n of the copy was not in memory, its bytes are 0 */
	u8 registers[168];     /* - struct pt_regs of the user at the send or receive */
	u64 frames[MAX_FRAMES];
};

/* A process that has begun its first call: time to read its maps. */
struct process_row {
	u64 process_start;     /* ns start of the process since boot */
	u32 pid;               /* - thread group id */
	u32 reserved;          /* - 0 */
};

enum phase { IDLE, REQUEST, RESPONSE };
enum direction { NEITHER, SENDING, RECEIVING };
enum role { ROLE_UNKNOWN, ROLE_CLIENT, ROLE_SERVER };
enum role_source { ROLE_FROM_NONE, ROLE_FROM_CONNECTION, ROLE_FROM_PAYLOAD };
enum outcome { OUTCOME_ANSWERED, OUTCOME_EOF, OUTCOME_RESET, OUTCOME_CLOSED, OUTCOME_IN_FLIGHT };
enum stack_status { STACK_RECORDED, STACK_NOT_TAKEN, STACK_NO_USER_SPACE, STACK_FAULT, STACK_LOST };

/* The ledger: how much there was, and what was lost. */
enum counter {
	CALLS,               /* calls to be recorded: in the ring, or lost */
	COMPLETIONS,         /* the same of completions */
	CALL_RING_FULL,
	COMPLETION_RING_FULL,
	STACK_RING_FULL,
	PROCESS_RING_FULL,
	CONNECTION_MAP_FULL, /* a socket was not followed */
	THREAD_MAP_FULL,     /* one send or receive was not seen */
	STACK_SLOTS_USED_UP, /* only a frame-pointer stack was kept, of one side of a call */
	COUNTERS
};
