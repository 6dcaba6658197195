"""Check what the constants that a report's speed and memory depend on require of each other."""

from __future__ import annotations

from httpreport.calls.schema import CALL, COMPLETION
from httpreport.common import tuning


def test_calls_are_filtered_many_times_before_they_are_added_up() -> None:
    assert tuning.CALLS_FILTERED_AT_ONCE < tuning.ADD_UP_AFTER_CALLS


def test_a_small_part_takes_more_for_its_calls_than_for_its_arrays() -> None:
    assert tuning.SMALL_PART_ROWS * CALL.itemsize > tuning.PART_OVERHEAD


def test_as_many_calls_as_may_be_listed_leave_room_for_the_sums() -> None:
    listed = (tuning.MAX_LISTED + tuning.MAX_LISTED // 2) * CALL.itemsize
    assert listed + tuning.MAX_TOTALS_BYTES <= tuning.MAX_HELD_BYTES


def test_as_many_ends_of_responses_as_are_read_leave_room_for_the_calls() -> None:
    assert tuning.MAX_COMPLETIONS * COMPLETION.itemsize * 2 <= tuning.MAX_HELD_BYTES


def test_the_files_that_are_merged_are_fewer_than_a_process_may_open() -> None:
    assert 2 * tuning.SPOOLS_MERGED_AT_ONCE < 1024  # the soft limit of systemd and of most shells
