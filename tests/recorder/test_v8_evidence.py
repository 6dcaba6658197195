"""Check which functions count as old enough to be those of a stack."""

from __future__ import annotations

import pytest

from httprec import tuning
from httprec.languages.v8_evidence import Evidence

PROCESS, AT = (1, 2), 0x1000


def evidence(*read: tuple[int, int, int, int]) -> Evidence:
    """Return what is known after functions were read: address, cookie, id of the script, and when."""
    made = Evidence()
    for address, cookie, script_id, now_ns in read:
        made.add(PROCESS, address, cookie, script_id, now_ns)
    return made


@pytest.mark.parametrize("is_file", [False, True])
def test_a_function_that_was_read_before_the_stack_is_as_old(is_file: bool) -> None:
    known = evidence((AT, 7, 50, 100))
    assert known.is_as_old(PROCESS, AT, 7, 50, 100, is_file=is_file)
    assert known.is_as_old(PROCESS, AT, 7, 50, 200, is_file=is_file)


def test_what_eval_made_is_not_as_old_unless_it_was_read_before() -> None:
    known = evidence((AT, 7, 50, 100))
    assert not known.is_as_old(PROCESS, AT, 7, 50, 99, is_file=False)
    assert not known.is_as_old(PROCESS, AT, 8, 50, 200, is_file=False)
    assert not known.is_as_old(PROCESS, AT + 8, 7, 50, 200, is_file=False)
    assert not known.is_as_old((3, 4), AT, 7, 50, 200, is_file=False)


def test_a_function_that_took_the_place_of_another_one_is_as_old_as_when_it_was_first_read() -> None:
    known = evidence((AT, 7, 50, 100), (AT, 8, 60, 200), (AT, 7, 50, 300), (AT, 7, 50, 400))
    assert not known.is_as_old(PROCESS, AT, 7, 50, 250, is_file=False)
    assert known.is_as_old(PROCESS, AT, 7, 50, 350, is_file=False)


def test_a_function_of_a_file_is_as_old_as_its_script() -> None:
    known = evidence((AT, 7, 50, 100), (AT, 8, 40, 200), (AT, 9, 60, 300))
    assert known.is_as_old(PROCESS, AT + 8, 1, 50, 150, is_file=True)
    assert not known.is_as_old(PROCESS, AT + 8, 1, 51, 150, is_file=True)
    assert not known.is_as_old(PROCESS, AT + 8, 1, 51, 299, is_file=True)
    assert known.is_as_old(PROCESS, AT + 8, 1, 60, 300, is_file=True)


def test_files_are_believed_where_nothing_was_read_before() -> None:
    assert Evidence().is_as_old(PROCESS, AT, 7, 50, 100, is_file=True)
    assert evidence((AT, 7, 50, 100)).is_as_old(PROCESS, AT, 8, 99, 99, is_file=True)


def test_what_is_forgotten_makes_nothing_older(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MAX_NEWEST_SCRIPTS", 2)
    known = evidence(*((AT, 7, script, script * 10) for script in range(1, 9)))
    assert not known.is_as_old(PROCESS, AT + 8, 1, 5, 50, is_file=True), "its time is forgotten"
    assert known.is_as_old(PROCESS, AT + 8, 1, 1, 50, is_file=True)
    assert known.is_as_old(PROCESS, AT + 8, 1, 8, 80, is_file=True)
    assert not known.is_as_old(PROCESS, AT + 8, 1, 9, 80, is_file=True)
