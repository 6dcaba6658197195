"""Keeps in one place what the recorder's speed and memory depend on. Read it as `tuning.NAME`: tests set it here."""

from __future__ import annotations

from httpcapture import MAX_JIT_MAPS

# When.
ROUND_MS = 100  # between two looks at the rings
LEDGER_NS = 1_000_000_000  # between two looks at the counters
MAPS_REST_NS = 10_000  # at least, before maps are read again, for each byte of them: 5,000 mappings every 2.5 s

# How much is known.
PROCESSES = 4096
MAPS_BYTES = 64 << 20  # of all of them; what is made of them takes as much again
MODULES = 16384  # files, some 1.5 kB each
OPEN_MODULES = 512  # files; a process may have 1,024 open unless told otherwise
STACKS = 32768  # for the next part: twice what the kernel knows as sent (seen_stacks, maps.h); 1.5 kB each at most
NUMBERED_STACKS = 65536  # the newest, where calls are printed

# How much goes into one capture.
JIT_MAPS_BYTES = MAX_JIT_MAPS // 2  # the rest is for what records count beside them
