"""Check what the constants that a report's speed and memory depend on require of each other."""

from __future__ import annotations

from httpcapture.batch_reader import MAX_ROWS_SIZE
from httpreport.calls.schema import CALL
from httpreport.common import tuning
from support.recordings import META


def test_a_completion_waits_for_longer_than_its_call_may_come_later() -> None:
    """Calls are added up after ADD_UP_AFTER_CALLS of them; by then the calls of two more chunks may have been read."""
    late = tuning.ADD_UP_AFTER_CALLS + 2 * MAX_ROWS_SIZE // META.call_layout.size
    assert late < tuning.RECENT_COMPLETIONS


def test_calls_are_filtered_many_times_before_they_are_added_up() -> None:
    assert tuning.CALLS_FILTERED_AT_ONCE < tuning.ADD_UP_AFTER_CALLS


def test_a_small_part_takes_more_for_its_calls_than_for_its_arrays() -> None:
    assert tuning.SMALL_PART_ROWS * CALL.itemsize > tuning.PART_OVERHEAD


def test_as_many_calls_as_may_be_listed_leave_room_for_the_sums() -> None:
    listed = (tuning.MAX_LISTED + tuning.MAX_LISTED // 2) * CALL.itemsize
    assert listed + tuning.MAX_TOTALS_BYTES <= tuning.MAX_HELD_BYTES


def test_the_files_that_are_merged_are_fewer_than_a_process_may_open() -> None:
    assert 2 * tuning.SPOOLS_MERGED_AT_ONCE < 1024  # the soft limit of systemd and of most shells
