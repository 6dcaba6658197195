/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the frames of CPython take: what user space says of the Python in a process, and the rows with its frames that the
 * program sends. layout.py reads this file like rows.h.
 */

/*
 * The Python of one process. Offsets count bytes. A step is added to an address, and the next address is read there, so
 * a step of a thread-local variable may be negative (modulo 2^64).
 */
struct python_layout {
	u64 interpreters;      /* - address of the pointer to the first interpreter; 0 where it is not known */
	u64 slot[3];           /* - steps from the thread pointer to the state of the thread */
	u64 current[2];        /* - steps from that to its innermost frame */
	u32 thread_id;         /* - in a thread's state: its thread pointer, glibc's and musl's pthread_self() */
	u32 next_thread;       /* - in a thread's state: the next one of its interpreter */
	u32 first_thread;      /* - in an interpreter */
	u32 next_interpreter;  /* - in an interpreter */
	u16 version;           /* - 0x030b for Python 3.11 */
	u8 slot_steps;         /* - how many of slot; 0: the process has no Python that is known */
	u8 current_steps;      /* - how many of current */
	u8 frame_size;         /* bytes to read of a frame, which hold what follows */
	u8 back;               /* - in a frame: the frame of its caller */
	u8 code;               /* - in a frame: its code object */
	u8 instruction;        /* - in a frame: how far it is in the code, 8 bytes */
	u8 flags;              /* - in a frame: 2 bytes that say what kind of frame it is */
	u8 entry_owner;        /* - from this value of the low byte of the flags on, a frame has no code of a program */
	u8 code_begin;         /* - in a code object: the first of the words that tell it from others */
	u8 code_words;         /* - how many of them */
	u8 name;               /* - in a code object: its name; 0: the word has a number and suffices */
	u8 filename;           /* - in a code object */
	u8 table;              /* - in a code object: the bytes with its lines */
	u8 reserved;           /* - 0 */
};

/* One frame as it was in memory. */
struct python_frame {
	u64 address;           /* - of the frame */
	u64 code;              /* - of its code object, without tag bits */
	u64 instruction;       /* - an index (up to 3.10) or an address */
	u64 cookie;            /* - tells the code object from any other that had the address before or has it later; 0: none */
	u64 flags;             /* - the 2 bytes */
};

/* The Python frames of one stack. What follows is frames_size bytes of struct python_frame, leaf first. */
struct python_row {
	u64 id;                /* - of the stack row, which follows in its own ring; 0: none may follow */
	u64 process_start;     /* ns start of the process since boot */
	u64 taken;             /* ns when: as in the stack row */
	u64 chain;             /* - hash of the frames without their addresses */
	u32 pid;               /* - thread group id */
	u32 frames_size;       /* bytes of frames */
	u16 version;           /* - of the layout */
	u8 status;             /* - enum python_status */
	u8 reserved[5];        /* - 0 */
};

enum python_status { PYTHON_NOT_WALKED, PYTHON_WHOLE, PYTHON_CUT, PYTHON_NO_STATE, PYTHON_OTHER_STATE, PYTHON_FAULT };
