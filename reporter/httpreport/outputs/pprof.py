"""Write pprof's format: a gzip-compressed protocol buffer `perftools.profiles.Profile`.

A sample has two values, `calls/count` and `time/nanoseconds` (the default), and the labels `process` and `host`. This
file encodes the three parts of the wire format that it needs (varints, strings, messages) itself, because the protobuf
library would need generated code that fits its own version.

Sources: https://github.com/google/pprof/blob/main/proto/profile.proto,
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence

from ..report.samples import Sample, ShownFrame
from .output import Reported

_UNMAPPED = 0  # the mapping of a Location that has none


def report(reported: Reported) -> Iterable[bytes]:
    """Return the whole file as one piece."""
    return [pprof(reported.whole.samples, reported.whole.started_realtime_ns)]


def pprof(samples: Sequence[Sample], started_realtime_ns: int) -> bytes:
    """Return the whole file as bytes."""
    profile = _Profile()
    calls, time = (_message((1, profile.string(kind)), (2, profile.string(unit))) for kind, unit in _VALUES)
    parts = [(1, calls), (1, time)]
    parts += [(2, profile.sample(sample)) for sample in samples]
    parts += [(3, mapping) for mapping in profile.mappings.values()]
    parts += [(4, location) for location in profile.locations.values()]
    parts += [(5, function) for function in profile.functions.values()]
    default = profile.string(_VALUES[1][0])
    parts += [(6, text.encode()) for text in profile.strings]
    times = [(9, started_realtime_ns), (14, default)]
    return gzip.compress(_message(*parts, *times), mtime=0)


_VALUES = (("calls", "count"), ("time", "nanoseconds"))


class _Profile:
    """Hold the tables of a profile. The id of an entry is its position, counted from 1."""

    def __init__(self) -> None:
        self.strings: dict[str, int] = {"": 0}
        self.mappings: dict[str, bytes] = {}
        self.functions: dict[tuple[str, str | None], bytes] = {}
        self.locations: dict[tuple[ShownFrame, ...], bytes] = {}
        self._ids: dict[object, int] = {}

    def string(self, text: str) -> int:
        """Return the number of a text in the string table."""
        return self.strings.setdefault(text, len(self.strings))

    def sample(self, sample: Sample) -> bytes:
        """Return the message of a sample, and add its strings, mappings, functions and locations to the tables."""
        host, process, frames, _ = sample.stack
        locations = [self._location(activation) for activation in _activations(frames)]
        values = _packed([sample.totals.calls, sample.totals.time_ns])
        named = (("process", process), ("host", host), *([("route", sample.route)] if sample.route else []))
        labels = ((3, self._label(*label)) for label in named)
        return _message((1, _packed(reversed(locations))), (2, values), *labels)

    def _label(self, key: str, value: str) -> bytes:
        return _message((1, self.string(key)), (2, self.string(value)))

    def _location(self, activation: tuple[ShownFrame, ...]) -> int:
        if activation not in self.locations:
            outer = activation[0]
            lines = [_message((1, self._function(frame)), (2, frame.line or 0)) for frame in reversed(activation)]
            mapping = self._mapping(outer.module) if outer.module else _UNMAPPED
            number = len(self.locations) + 1
            self._ids[activation] = number
            self.locations[activation] = _message(
                (1, number), (2, mapping), (3, outer.file_offset), *((4, line) for line in lines)
            )
        return self._ids[activation]

    def _function(self, frame: ShownFrame) -> int:
        key = frame.name, frame.file
        if key not in self.functions:
            self._ids[key] = number = len(self.functions) + 1
            name = self.string(frame.name)
            self.functions[key] = _message((1, number), (2, name), (3, name), (4, self.string(frame.file or "")))
        return self._ids[key]

    def _mapping(self, module: str) -> int:
        if module not in self.mappings:
            self._ids[module] = number = len(self.mappings) + 1
            self.mappings[module] = _message((1, number), (5, self.string(module)), (7, 1))
        return self._ids[module]


def _activations(frames: Sequence[ShownFrame]) -> Iterable[tuple[ShownFrame, ...]]:
    """Yield each function together with the functions inlined into it, which share its address; outermost first."""
    activation: list[ShownFrame] = []
    for frame in frames:
        if activation and not frame.inlined:
            yield tuple(activation)
            activation = []
        activation.append(frame)
    if activation:
        yield tuple(activation)


def _message(*fields: tuple[int, int | bytes]) -> bytes:
    """Return a message of these fields: integers as varints, bytes with their length. Zeros are left out, as in
    proto3."""
    encoded = bytearray()
    for number, value in fields:
        if isinstance(value, bytes):
            encoded += _varint(number << 3 | 2) + _varint(len(value)) + value
        elif value:
            encoded += _varint(number << 3) + _varint(value)
    return bytes(encoded)


def _packed(values: Iterable[int]) -> bytes:
    return b"".join(map(_varint, values))


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
