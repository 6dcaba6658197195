"""What a counter of the ledger means to the reader of a report.

The recorder counts under names of its own; a name that is not in the table is shown as it is, never left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from .clean import printable

MEANING = {  # cause: what was lost, why, and what follows
    "call_ring_full": ("calls", "the recorder could not keep up", "slow calls may be missing"),
    "completion_ring_full": (
        "response ends",
        "the recorder could not keep up",
        "some responses went on for longer than is shown",
    ),
    "stack_ring_full": ("stacks", "the recorder could not keep up", "some calls have no stack trace"),
    "process_ring_full": ("processes", "the recorder could not keep up", "some stack traces have no names"),
    "process_gone": ("processes", "ended before their maps were read", "some stack traces have no names"),
    "stack_slots_used_up": (
        "stack copies",
        "too many calls were waiting",
        "some stack traces are by frame pointers only",
    ),
    "module_left_out": (
        "parts of binaries",
        "the capture's room for them was used up",
        "some stack traces are cut short or have no names, unless the same binaries are here",
    ),
    "stack_not_repeated": (
        "stacks",
        "an earlier part has them, and the recorder had forgotten them",
        "some calls have no stack trace",
    ),
    "connection_map_full": ("connections", "too many were open", "their calls are missing"),
    "thread_map_full": ("sends and receives", "too many were under way", "calls may be missing or wrong"),
    "probe_missed": ("sends and receives", "the kernel skipped a probe", "calls may be missing or wrong"),
    "probe_perhaps_missed": (
        "sends and receives",
        "at most: this kernel also counts page faults in a probe",
        "calls may be missing or wrong",
    ),
}
UNKNOWN_CONSEQUENCE = "what follows is not known to this version of httpreport"


def losses(counts: Mapping[str, int], seen: Mapping[str, str]) -> list[str]:
    """One line a cause that has a count, the largest count first; `seen` says when that was."""
    found = sorted((-count, cause) for cause, count in counts.items() if count > 0)
    return [_line(cause, -count, seen[cause]) for count, cause in found]


def _line(cause: str, count: int, seen: str) -> str:
    what, why, consequence = MEANING.get(cause, ("events", printable(cause), UNKNOWN_CONSEQUENCE))
    return f"lost {what}: {count:,} ({why}, {seen}): {consequence}"


def completions_lost(counts: Mapping[str, int]) -> bool:
    """Whether a call without a completion may yet have had one."""
    return any("completion" in name and count > 0 for name, count in counts.items())
