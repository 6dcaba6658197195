"""Keeps in one place what a report's speed and memory depend on. Read it as `tuning.NAME`: tests set it here."""

from __future__ import annotations

# How many are handled at a time: enough to be worth numpy's cost of a call, few enough to stay in a processor's cache.
FILTERED_AT_ONCE = 1 << 13  # calls that are filtered, or added up
FILLED_AT_ONCE = 1 << 11  # calls that become rows
MADE_AT_ONCE = 1 << 12  # calls that become values of Python
COUNTED_AT_ONCE = 1 << 20  # values, about: 8 MB
MASKED_AT_ONCE = 1 << 20  # bytes of strings; each takes some ten bytes of intermediate arrays
MERGED_AT_ONCE = 64  # files of sorted calls; a process may have 1,024 open

# How much waits.
RECORDED_AT_ONCE = 1 << 19  # calls after which the kept ones are added up
RECENT_COMPLETIONS = 1 << 20  # completions whose calls may still come
SHORT_BATCHES = 64  # of completions, which become one
SMALL_PARTS = 16  # of the listed calls, which become one
SMALL_PART = 1 << 10  # calls in such a part

# How much is kept. A capture is untrusted input.
MAX_LISTED = 2_000_000  # calls; for a time up to half more
MAX_HELD_BYTES = 4 << 30  # of everything
MAX_SUMS_BYTES = 2 << 30  # of that, of sums: a small file may have millions of distinct peers and stacks
RECORD_OVERHEAD = 1 << 10  # bytes; the objects of a small record take less, apart from its own bytes
PART_OVERHEAD = 4 << 10  # bytes that the arrays of a part take beside their values, about
SMALL_VALUES = 1 << 22  # values below it are counted in a table: 32 MB
