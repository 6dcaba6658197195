"""Check what the constants that the recorder's speed and memory depend on require of each other and of the kernel."""

from __future__ import annotations

import re

from httpbpf.sources import read_source
from httpcapture import MAX_JIT_MAP, MAX_JIT_MAPS
from httpcapture.file_budget import MAX_PROCESSES, RECORD_BYTES
from httprec import tuning


def entries(name: str, source: str = "maps.h") -> int:
    """Return how many entries a map of the BPF program has."""
    (found,) = re.findall(rf"\b{name}, ([0-9]+)\);", read_source(source))
    return int(found)


def test_stacks_are_kept_for_longer_than_the_kernel_knows_them_as_sent() -> None:
    """Else a part would lack stacks that the kernel does not send again."""
    assert 2 * entries("seen_stacks") <= tuning.MAX_REMEMBERED_STACKS


def test_a_stack_that_is_kept_has_its_number() -> None:
    assert tuning.MAX_REMEMBERED_STACKS <= tuning.MAX_NUMBERED_STACKS


def test_the_kernel_has_room_for_all_listening_ports() -> None:
    assert entries("listeners, struct listener, u8", "roles.h") == tuning.MAX_LISTENERS


def test_open_modules_leave_room_for_other_files() -> None:
    assert (
        tuning.MAX_OPEN_MODULES + tuning.MAX_OPEN_JIT_MAPS + 64 + 256 < 1024
        and tuning.MAX_OPEN_MODULES < tuning.MAX_KNOWN_MODULES
    )


def test_jit_maps_fit_into_a_capture_with_what_their_records_count() -> None:
    assert MAX_JIT_MAP <= tuning.JIT_MAPS_BUDGET < MAX_JIT_MAPS


def test_the_processes_that_are_known_fit_into_a_capture() -> None:
    assert tuning.MAX_KNOWN_MAPS_BYTES + tuning.MAX_KNOWN_PROCESSES * RECORD_BYTES < MAX_PROCESSES
