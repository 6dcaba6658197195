"""Check that everything specific to a processor is in its `Architecture`."""

from __future__ import annotations

import re
import struct

import pytest

from httpreport.unwind import Architecture
from httpreport.unwind.arch import ARCHITECTURES, X86_64
from support.source import PACKAGES, modules

PROCESSOR = re.compile(r"x86|amd64|\br(sp|bp|ip)\b", re.IGNORECASE)


def test_no_other_file_names_a_processor_or_its_registers() -> None:
    folder = PACKAGES["httpreport"] / "unwind" / "arch"
    others = [path for path in modules("httpreport") if path.parent != folder]
    assert [path for path in others if PROCESSOR.search(path.read_text())] == []


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_all_registers_that_dwarf_numbers_are_recorded(architecture: Architecture) -> None:
    assert set(architecture.registers) <= set(architecture.recorded)


def test_recorded_registers_of_x86_64_are_numbered_as_dwarf_does() -> None:
    """The order of words is that of struct user_regs_struct (sys/user.h), the numbers are those of psABI, figure
    3.36."""
    word_of_number = {0: 10, 1: 12, 2: 11, 3: 5, 4: 13, 5: 14, 6: 4, 7: 19, 8: 9, 9: 8, 12: 3, 15: 0, 16: 16}
    recorded = struct.pack("<21Q", *range(100, 121))
    values = X86_64.recorded_registers(recorded)
    assert values is not None and len(values) == 17
    assert {number: values[number] for number in word_of_number} == {n: 100 + at for n, at in word_of_number.items()}
    assert X86_64.recorded_registers(recorded[:-1]) is None
