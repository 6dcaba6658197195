"""Find the causes of the calls of a capture that is to be redacted."""

from __future__ import annotations

from collections.abc import Sequence

from httpcapture import CallCauses, Reader

from ..calls.filters import Selection
from ..calls.recorded_causes import records_of
from ..capture.loader import load
from ..report.report import make_report
from ..symbols.binary import FindBinary


def causes_in(reader: Reader, find_binary: FindBinary) -> Sequence[CallCauses]:
    """Return the causes of the calls of a capture as a report without filters has them.

    Raises OSError, ReportError and CaptureError.
    """
    everything = Selection.of(reader.meta, None)
    report = make_report(load(reader, everything), everything, find_binary)
    return [*records_of(report.causes, report.recording.calls)]
