"""Hold how many calls are processed at a time, and the limits of what is held of them. Read a constant as
`tuning.NAME`: tests set it here. Limits of a single algorithm stay beside it."""

from __future__ import annotations

# How many are handled at a time: enough to be worth what a call of numpy costs. The first three also stay in a
# processor's cache.
CALLS_FILTERED_AT_ONCE = 1 << 13  # also how many kept calls are added up at a time
ROWS_FILLED_AT_ONCE = 1 << 11  # rows of an array whose fields are filled in
CALLS_ITERATED_AT_ONCE = 1 << 12  # rows that become Python objects
VALUES_COUNTED_AT_ONCE = 1 << 20  # roughly; they take 8 MB
BYTES_MASKED_AT_ONCE = 1 << 20  # bytes of strings; each takes some ten bytes of intermediate arrays
SPOOLS_MERGED_AT_ONCE = 64  # files of sorted calls; by default, a process may have 1,024 files open

# How much waits before it is handled.
ADD_UP_AFTER_CALLS = 1 << 19  # recorded calls after which the kept ones are added up, however few they are
SMALL_PARTS_JOINED = 16  # small parts of the listed calls that are joined into one
SMALL_PART_ROWS = 1 << 10  # a part with fewer calls is small

# How much is kept. A capture is untrusted input.
MAX_LISTED = 2_000_000  # calls; up to half more until the list is cut
MAX_HELD_BYTES = 4 << 30  # of everything together
MAX_COMPLETIONS = 1 << 25  # of one capture; they take 1 GiB
MAX_UNLISTED = 1 << 21  # calls that are too short to be listed; with what links them they take 1 GiB
MAX_TOTALS_BYTES = 2 << 30  # of that, of totals: a small file may have millions of distinct peers and stacks
RECORD_OVERHEAD = 1 << 10  # bytes; the objects of a small record take less, apart from its own bytes
PART_OVERHEAD = 4 << 10  # bytes that the arrays of a part take beside their values, roughly
COUNT_ARRAY_SIZE = 1 << 22  # smaller values are counted in an array, of 32 MB
