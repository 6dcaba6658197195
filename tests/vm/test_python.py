"""Compare Python frames, recorded in guests with every kind of probes, with those that the interpreter names.

A cell is a guest: the Python of one Debian on the kernel of another. `make test` boots the first one, and
`make test-kernels` all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from support.python_frames import (
    SIDES,
    Recorded,
    assert_frames_are_those_noted,
    assert_replaced_code_has_its_own_name_or_none,
    read,
)
from vm import recorded

CELLS = (("bookworm", "bookworm"), ("bullseye", "bullseye"), ("trixie", "trixie"), ("trixie", "sid"))
VERSIONS = {"bullseye": 0x309, "bookworm": 0x30B, "trixie": 0x30D}
WITH_TRACEPOINTS = {"sid"}  # of Linux 6.16 and later
REPLACED = 100
# Up to Python 3.11, what a greenlet runs is told from what began it by a symbol, which packages of greenlet before 2.0
# lack.
WITHOUT_SYMBOLS = {"bullseye"}
GREENLETS = ("inner", "outermost")


@dataclass(frozen=True)
class Cell:
    """Hold what came back from one guest."""

    suite: str
    by_probes: Mapping[str, Recorded]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(cell, id="{}_on_{}".format(*cell), marks=pytest.mark.every_kernel if place else ())
        for place, cell in enumerate(CELLS)
    ],
)
def cell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Cell:
    suite, kernel = request.param
    out = tmp_path_factory.mktemp(f"python-{suite}-{kernel}")
    probes = ["fexit", "kprobe"] + ["tracepoint"] * (kernel in WITH_TRACEPOINTS)
    command = ["python3", "-m", "workload.python_driver", "/tmp/out", str(REPLACED), *probes]
    recorded.run(command, [recorded.TESTS / "workload"], out, suite=suite, kernel=kernel)
    return Cell(suite, {kind: read(out / f"{kind}.cap") for kind in probes})


@pytest.mark.parametrize("side", SIDES)
def test_every_frame_is_the_one_that_the_interpreter_names(cell: Cell, side: str) -> None:
    for found in cell.by_probes.values():
        assert len(found.notes[side]) > 30
        assert_frames_are_those_noted(found, side, GREENLETS if cell.suite in WITHOUT_SYMBOLS else ())


def test_code_that_is_replaced_in_place_has_its_own_name_or_none(cell: Cell) -> None:
    for found in cell.by_probes.values():
        assert_replaced_code_has_its_own_name_or_none(found, REPLACED // 2)


def test_the_frames_are_of_the_python_of_that_debian(cell: Cell) -> None:
    for probes, found in cell.by_probes.items():
        assert found.report.recording.meta.probes == probes
        stacks = found.report.recording.stacks.some(list(found.stacks.values()))
        assert {stack.python_version for _, stack in stacks} == {VERSIONS[cell.suite]}
