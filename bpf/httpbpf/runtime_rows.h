/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the frames of interpreters take: what user space says of the interpreter in a process, and the rows with frames
 * that the program sends. layout.py reads this file like rows.h.
 */

enum language { NO_LANGUAGE, PYTHON, PHP };

/* What runs the program of a process. */
struct runtime {
	u8 language;           /* - enum language */
	u8 reserved;           /* - 0 */
	u16 version;           /* - 0x030b for Python 3.11, 0x0802 for PHP 8.2 */
	u64 layout[10];        /* - where its frames are: a struct python_layout or php_layout */
};

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
	u8 slot_steps;         /* - how many of slot */
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
	u8 reserved[3];        /* - 0 */
};

/* The PHP of one process. */
struct php_layout {
	u64 page_size;         /* - from where the code of the executable begins to executor_globals.vm_stack_page_size */
	u64 filename;          /* - in a zend_op_array */
};

/* One frame as it was in memory. */
struct walked_frame {
	u64 address;           /* - of the frame (Python), or of its function (PHP) */
	u64 code;              /* - address of its code object, without tag bits (Python), or 0 */
	u64 instruction;       /* - an index (Python up to 3.10), an address, or a line (PHP) */
	u64 cookie;            /* - tells its code object from any other, also one that had the address before or later; 0: none */
	u64 flags;             /* - what kind of frame it is */
};

/* The frames of one stack. What follows is frames_size bytes of struct walked_frame, leaf first. */
struct walked_row {
	u64 id;                /* - of the stack row, which follows in its own ring; 0: none may follow */
	u64 process_start;     /* ns start of the process since boot */
	u64 taken;             /* ns when: as in the stack row */
	u64 chain;             /* - hash of the frames without their addresses */
	u32 pid;               /* - thread group id */
	u32 frames_size;       /* bytes of frames */
	u16 version;           /* - of the runtime */
	u8 language;           /* - of the runtime */
	u8 status;             /* - enum walk_status */
	u8 reserved[4];        /* - 0 */
};

enum walk_status {
	FRAMES_NOT_WALKED,
	FRAMES_WHOLE,
	FRAMES_CUT,
	FRAMES_NO_STATE,
	FRAMES_OTHER_STATE,
	FRAMES_FAULT,
	FRAMES_HAS_THREADS,   /* these two are for user space to say */
	FRAMES_OTHER_VERSION,
};
