"""Record calls whose two ends see the bytes in different portions (tests/workload/both_ends.py), and compare the
sequence numbers that the recorder notes at each end with TCP's own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from httpcapture import Calls, Meta, Role, open_capture
from httpcapture.codings import CASTS
from support.commands import TESTS
from support.programs import running
from workload.both_ends import SCENARIOS
from workload.recorder import recording

Call = dict[str, Any]


class Recorded:
    """Hold the calls of a capture, and what TCP itself said of them, by scenario."""

    def __init__(self, calls: list[Call], own: dict[str, Call]) -> None:
        self._calls, self._own = calls, own

    def own(self, scenario: str) -> list[tuple[int, int]]:
        """Return the sequence numbers of each call's request and response, as TCP gave them; 0 for no response."""
        known = self._own[scenario]
        return [(request, response or 0) for request, response in zip(known["requests"], known["responses"])]

    def seen(self, scenario: str, role: Role) -> list[tuple[int, int]]:
        """Return the same of each call as one of its ends recorded it."""
        port = "local_port" if role == Role.CLIENT else "peer_port"
        of_end = [call for call in self._calls if call["role"] == role and call[port] == self._own[scenario]["port"]]
        return [(call["request_seq"], call["response_seq"]) for call in sorted(of_end, key=lambda call: call["t0"])]


def numbers_in(capture: Path) -> Iterator[Call]:
    with open_capture(capture) as reader:
        for record in reader:
            if isinstance(record, Meta):
                bits = {f.name: int(f.type[1:]) for f in record.call_layout.fields if f.type.startswith("u")}
            if isinstance(record, Calls):
                columns = {name: record.columns[name].cast("B").cast(CASTS[size // 8]) for name, size in bits.items()}
                for row in range(record.rows):
                    yield {name: column[row] for name, column in columns.items()}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    if os.geteuid() != 0:
        pytest.skip("not root: cannot record")
    folder = tmp_path_factory.mktemp("ends")
    (folder / "ends").symlink_to(os.path.realpath(sys.executable))
    capture = folder / "run.cap"
    with running(folder / "ends", TESTS / "workload" / "both_ends.py") as program:
        assert program.stdin is not None and program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        with recording(capture, "-t", "200", "-p", "ends"):
            print(file=program.stdin, flush=True)
            own = json.loads(program.stdout.readline())
    return Recorded(list(numbers_in(capture)), own)


@pytest.mark.parametrize("role", [Role.CLIENT, Role.SERVER])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_end_notes_the_sequence_numbers_that_tcp_gave(recorded: Recorded, scenario: str, role: Role) -> None:
    assert recorded.seen(scenario, role) == recorded.own(scenario) != []
