"""Record every client, protocol, TLS version and kind of connection (workload/matrix) on the running kernel, and
compare the calls with the clients' own clocks.

`make test` has the cells of the clients IN_EVERY_TEST, `make test-clients` all.
"""

from __future__ import annotations

import pytest

from support import client_matrix
from support.client_matrix import Matrix
from workload.matrix.cells import CLIENTS, Cell, cells

IN_EVERY_TEST = ("curl", "node", "go")


def cells_with_marks() -> list[object]:
    return [
        pytest.param(cell, id=cell.name, marks=() if cell.client in IN_EVERY_TEST else pytest.mark.every_client)
        for cell in cells()
    ]


class Matrices:
    """Record the cells of one client when one of them is asked for, and keep what was recorded."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._of_client: dict[str, Matrix] = {}

    def of(self, client: str) -> Matrix:
        together = IN_EVERY_TEST if client in IN_EVERY_TEST else tuple(set(CLIENTS) - set(IN_EVERY_TEST))
        if client not in self._of_client:
            self._of_client |= dict.fromkeys(together, client_matrix.record(self._folders.mktemp("matrix"), together))
        return self._of_client[client]


@pytest.fixture(scope="module")
def matrices(tmp_path_factory: pytest.TempPathFactory) -> Matrices:
    return Matrices(tmp_path_factory)


@pytest.mark.parametrize("cell", cells_with_marks())
def test_every_slow_call_and_no_other_is_recorded(matrices: Matrices, cell: Cell) -> None:
    client_matrix.assert_every_slow_call_once(matrices.of(cell.client), cell)
