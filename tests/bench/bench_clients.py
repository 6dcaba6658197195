"""Compare the recorded durations of slow calls with the clients' own stopwatches, for every client and protocol of the
matrix (tests/workload/matrix), one call at a time.

    sudo PYTHONPATH=recorder:bpf:format:reporter python tests/bench/bench_clients.py [CLIENT...]

A duration begins with the request. What a stopwatch shows of a new connection too, the time to connect and that of the
TLS handshake, is taken from what was recorded beside the call. The rest is the client's own work before it sends and
after it has received; on new connections that includes what it does to prepare one.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import client_matrix
from support.client_matrix import MS, Matrix
from workload.matrix.cells import CLIENTS, PROTOCOLS, Cell, cells

OLD_CONNECTIONS = ("kept", "ahead", "older")


class Differences(NamedTuple):
    """Hold by how much the stopwatch's times exceed the recorded ones, in ns, and how many slow calls were missed."""

    found: Sequence[int]
    missed: int

    @property
    def text(self) -> str:
        if not self.found and not self.missed:
            return "-"
        missed = [f"{self.missed} calls missed"] if self.missed else []
        if not self.found:
            return missed[0]
        median, most = statistics.median(self.found) / MS, max(self.found) / MS
        return ", ".join([*missed, f"{len(self.found)} calls", f"median {median:.2f} ms", f"at most {most:.2f} ms"])


def of_cell(matrix: Matrix, cell: Cell) -> tuple[list[int], int]:
    calls = client_matrix.calls_of(matrix, cell)
    late, own = calls.late, calls.own_late
    if len(late) != len(own):
        return [], len(own)
    before = [call.connect_time + call.handshake_time if cell.connections == "new" else 0 for call in late]
    return [seen["most"] - call.duration_ns - ns for call, seen, ns in zip(late, own, before)], 0


def of_cells(matrix: Matrix, wanted: Iterator[Cell]) -> Differences:
    found, missed = zip(*(of_cell(matrix, cell) for cell in wanted), ([], 0))
    return Differences([ns for each in found for ns in each], sum(missed))


def main(clients: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        matrix = client_matrix.record(Path(folder), clients, at_a_time=1)
        print(f"load average {os.getloadavg()[0]:.1f}; stopwatch of the client less recorded duration, slow calls")
        for client in clients:
            for protocol in PROTOCOLS:
                mine = [cell for cell in cells() if (cell.client, cell.protocol) == (client, protocol)]
                old = of_cells(matrix, (cell for cell in mine if cell.connections in OLD_CONNECTIONS))
                new = of_cells(matrix, (cell for cell in mine if cell.connections == "new"))
                if mine:
                    print(f">> {client} {protocol}: {old.text}; on new connections {new.text}")


if __name__ == "__main__":
    main(sys.argv[1:] or CLIENTS)
