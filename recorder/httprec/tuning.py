"""Keep in one place what the recorder's speed and memory depend on. Read it as `tuning.NAME`: tests set it here."""

from __future__ import annotations

from httpcapture import MAX_JIT_MAPS

# How often something is done.
ROUND_MS = 100  # between two readings of the rings
LEDGER_INTERVAL_NS = 1_000_000_000  # between two readings of the counters
UNCHANGED_NS = 60_000_000_000  # between two records that the maps of a process are unchanged
MAPS_CHECK_NS_PER_BYTE = 10_000  # of maps, between two readings: 5,000 mappings every 2.5 s
CONTAINER_NAME_RETRY_NS = 1_000_000_000  # until a container without a name is looked for again
SILENCE_NS = 1_000_000_000  # after the last known transfer of an answered call, until it is printed

# How much is remembered.
MAX_KNOWN_PROCESSES = 4096
MAX_KNOWN_MAPS_BYTES = 64 << 20  # of all known processes; the data made from the maps takes as much again
MAX_KNOWN_MODULES = 16384  # files; about 1.5 kB each
MAX_OPEN_MODULES = 512  # files; by default, a process may have 1,024 open
MAX_OPEN_JIT_MAPS = 128
MAX_JIT_DUMP_RECORDS = 1 << 18  # of one jit-PID.dump: some 0.3 s
MAX_REMEMBERED_STACKS = 32768  # four times as many as the kernel remembers (seen_stacks, maps.h); at most 1.5 kB each
MAX_REPEATED_CONNECTIONS = 65536  # as many as the kernel follows by default; some 0.3 kB each
MAX_WAITING_ROWS = 4096  # whose stacks have not arrived; at most 5 kB each
WALKED_ROWS_A_STACK = 1  # frames of programs that are taken between two stacks
MAX_KNOWN_CODE_BYTES = 64 << 20  # of code objects, each with CODE_OVERHEAD
CODE_OVERHEAD = 1024  # bytes
MAX_SEARCHED = 128 << 20  # bytes of memory, for the newest script: some 0.1 s
SEARCH_NEWEST_S = 10.0  # how often at most
V8_SHARE = 0.5  # of each second, for reading JavaScript frames: some 2 ms a stack
MAX_V8_FRAMES = 128  # what may be JavaScript frames of one stack
MAX_V8_RETURNS = 4  # addresses to which one of them may return
MAX_KNOWN_FUNCTIONS = 1 << 14  # JavaScript functions by their bytecode, and scripts
MAX_LISTED_SCRIPTS = 64  # whose functions are listed at a time
MAX_LISTED_PAGES = 32  # of 256 KiB, of one script
MAX_LISTED_FUNCTIONS = 1 << 14  # at a time: some 20 ms
MAX_COMPILED_FUNCTIONS = 1 << 11  # of these, whose bytecode is looked for behind compiled code: some 10 ms
MAX_NEWEST_SCRIPTS = 1 << 12  # of a process, whose ids tell how old functions are
LIST_SCRIPT_S = 1.0  # how long a list of a script's functions is good for
MAX_KNOWN_SCRIPTS = 16  # whose lines are known, 4 bytes each
MAX_SCRIPT = 4 << 20  # characters of a script whose lines are counted: at most 0.1 s
MAX_SCRIPT_LINES = 1 << 17
SCRIPT_CHARACTERS_A_SECOND = 2 * MAX_SCRIPT
MAX_NUMBERED_STACKS = 65536  # the newest ones, where calls are printed
MAX_HELD_CALLS = 8192  # that wait to be printed; about 1 kB each
MAX_PRINTED_HEADS = 16384  # of which a call may be printed: the path of each, at most some 0.5 kB
MAX_COUNTED_KINDS = 4096  # of printed calls, by what they ask for
MAX_REDUCED_HEADS = 4096  # heads of requests and responses; at most 2 kB each
MAX_STREAM_HEADS = 16384  # of open HTTP/2 streams: twice as many as the kernel follows; about 1 kB each
MAX_HTTP2_DIRECTIONS = 8192  # of HTTP/2 connections, whose header blocks are decoded: as many as the kernel follows
MAX_HPACK_TABLES = 16 << 20  # bytes of all their tables as HPACK counts them; they take up to four times as much
MAX_NUMBERED_HEADS = 65536  # the same that were written; about 0.3 kB each
MAX_HELLOS_BYTES = 8 << 20  # of what both ends of TLS connections say first; some 1 kB each
MAX_KNOWN_CONTAINERS = 4096
MAX_LISTED_LOGS = 1 << 16  # of containers on the host, from whose names those of containers are taken
MAX_CONTAINERS_FILE = 8 << 20  # bytes of a file that describes containers
MAX_LISTENERS = 8192  # ports and network namespaces, as many as the kernel has room for (listeners, roles.h)
MAX_TLS_FILES = 64  # libraries that are probed, by two descriptors each
MAX_TLS_PROCESSES = 4096  # of which it is known that their TLS cannot be read
MAX_NAMESPACES = 4096  # network namespaces whose listening ports are read
MAX_SOCKET_TABLE = 4 << 20  # bytes read of each table of sockets: 27,000 that listen

# How much goes into one capture.
JIT_MAPS_BUDGET = MAX_JIT_MAPS // 2  # bytes of JIT maps; records count as more than their bytes
