"""Read and write records. Each is a msgpack array of its fields in order; every field states its type and limits once.

A type turns a value into something that msgpack packs (`pack`; ValueError if it is beyond the format's limits) and
reads it back (`read`; Malformed if the bytes hold anything else). Reading goes header by header and scalar by scalar,
so a hostile chunk cannot make msgpack build an object that no field asked for: a nested empty array takes 1 byte in
the file and 64 in memory.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Generic, Protocol, TypeVar

import msgpack

from .errors import Malformed

T = TypeVar("T")

MAX_DEPTH = 1024  # arrays and maps inside each other in an appended field; msgpack's own limit

_MAX_LENGTH = 1 << 16  # elements of an array or map that msgpack may build at all; types have lower limits
_READ_SIZE = 64 << 10  # bytes that msgpack copies at a time: few enough to stay in the processor's cache
_CONTAINERS = frozenset([*range(0x80, 0xA0), *range(0xDC, 0xE0)])  # first bytes of maps and arrays


class Source:
    """Read the msgpack objects of one chunk, one by one. Every method raises Malformed.

    After an error a source must not be used again: msgpack leaves its state undefined.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._unpacker = msgpack.Unpacker(
            io.BytesIO(content),
            read_size=min(len(content), _READ_SIZE),
            max_buffer_size=len(content),
            max_str_len=len(content),
            max_bin_len=len(content),
            max_array_len=_MAX_LENGTH,
            max_map_len=_MAX_LENGTH,
            max_ext_len=len(content),
        )

    def array(self) -> int:
        """Return how many elements the next object, an array, has; the elements are the objects after it."""
        return int(self._next(self._unpacker.read_array_header))

    def map(self) -> int:
        """Return how many pairs the next object, a map, has; keys and values are the objects after it."""
        return int(self._next(self._unpacker.read_map_header))

    def scalar(self) -> object:
        """Return the next object, which must be neither an array nor a map."""
        at = self._unpacker.tell()
        if at < len(self._content) and self._content[at] in _CONTAINERS:
            raise Malformed("an array or map where a single value belongs")
        return self._next(self._unpacker.unpack)

    def skip(self, count: int) -> None:
        """Skip the next `count` objects, whatever they are."""
        self._next(lambda: self._skip(count))

    def _skip(self, count: int) -> None:
        for _ in range(count):
            self._unpacker.skip()

    def at_end(self) -> bool:
        return bool(self._unpacker.tell() >= len(self._content))

    @staticmethod
    def _next(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (msgpack.OutOfData, msgpack.BufferFull):  # BufferFull: the buffer is no larger than the content
            raise Malformed("a record ends early") from None
        except msgpack.StackError:
            raise Malformed(f"arrays or maps are nested more than {MAX_DEPTH:,} deep") from None
        except msgpack.FormatError:
            raise Malformed("these bytes are not msgpack") from None
        except (ValueError, msgpack.UnpackException) as error:
            raise Malformed(f"msgpack: {str(error).rstrip('.')}") from None


class Codec(Protocol[T]):
    """Read and write the values of one type."""

    def pack(self, value: T) -> object:
        """Return what msgpack packs for `value`. Raises ValueError if it is beyond the format's limits."""

    def read(self, source: Source) -> T:
        """Return the next value of `source`. Raises Malformed."""


def _read_typed(source: Source, wanted: type[T]) -> T:
    value = source.scalar()
    if type(value) is not wanted:
        raise Malformed(f"{type(value).__name__} instead of {wanted.__name__}")
    return value


def _check_size(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise ValueError(f"{size} {what}, the format allows {limit}")


@dataclass(frozen=True)
class UInt:
    """Read and write unsigned integers of at most `bits` bits."""

    bits: int = 64

    def pack(self, value: int) -> object:
        if not 0 <= value < 1 << self.bits:
            raise ValueError(f"{value} is no u{self.bits}")
        return int(value)

    def read(self, source: Source) -> int:
        value = _read_typed(source, int)
        if not 0 <= value < 1 << self.bits:
            raise Malformed(f"{value} is no u{self.bits}")
        return value


class Bool:
    """Read and write true and false."""

    def pack(self, value: bool) -> object:
        return bool(value)

    def read(self, source: Source) -> bool:
        return _read_typed(source, bool)


@dataclass(frozen=True)
class Text:
    """Read and write at most `limit` bytes of UTF-8. A lone surrogate, which UTF-8 cannot encode, becomes \\udcXX."""

    limit: int

    def pack(self, value: str) -> object:
        encoded = value.encode("utf-8", "backslashreplace")
        _check_size(len(encoded), self.limit, "bytes of text")
        return encoded.decode("utf-8")

    def read(self, source: Source) -> str:
        value = _read_typed(source, str)
        if len(value.encode("utf-8")) > self.limit:
            raise Malformed(f"a text has more than {self.limit} bytes")
        return value


@dataclass(frozen=True)
class Bytes:
    """Read and write at most `limit` bytes, in multiples of `unit`."""

    limit: int
    unit: int = 1

    def pack(self, value: bytes) -> object:
        _check_size(len(value), self.limit, "bytes")
        if len(value) % self.unit:
            raise ValueError(f"{len(value)} bytes are not a multiple of {self.unit}")
        return value

    def read(self, source: Source) -> bytes:
        value = _read_typed(source, bytes)
        if len(value) > self.limit or len(value) % self.unit:
            raise Malformed(f"{len(value)} bytes: at most {self.limit} are allowed, in multiples of {self.unit}")
        return value


class ListOf(Generic[T]):
    """Read and write at most `limit` values of one type; reading returns a tuple."""

    def __init__(self, item: Codec[T], limit: int) -> None:
        self.item, self.limit = item, limit

    def pack(self, value: Sequence[T]) -> object:
        _check_size(len(value), self.limit, "elements")
        return [self.item.pack(item) for item in value]

    def read(self, source: Source) -> tuple[T, ...]:
        length = source.array()
        if length > self.limit:
            raise Malformed(f"{length} elements: at most {self.limit} are allowed")
        return tuple(self.item.read(source) for _ in range(length))


class MapOf(Generic[T]):
    """Read and write at most `limit` values by name; reading raises Malformed if a name occurs twice."""

    def __init__(self, name: Text, item: Codec[T], limit: int) -> None:
        self.name, self.item, self.limit = name, item, limit

    def pack(self, value: Mapping[str, T]) -> object:
        _check_size(len(value), self.limit, "names")
        return {self.name.pack(name): self.item.pack(item) for name, item in value.items()}

    def read(self, source: Source) -> dict[str, T]:
        length = source.map()
        if length > self.limit:
            raise Malformed(f"{length} names: at most {self.limit} are allowed")
        values = {}
        for _ in range(length):
            name = self.name.read(source)
            values[name] = self.item.read(source)
        if len(values) < length:
            raise Malformed("a name occurs twice")
        return values


class Struct(Generic[T]):
    """Read and write a dataclass as the array of its fields, in order. Only this class lets the format evolve.

    If an array has more elements than fields, a newer writer appended them, and they are skipped. If it has fewer, an
    older writer did not know the last fields, which get the dataclass's defaults; a field without a default is
    required.
    """

    def __init__(self, cls: type[T], **codecs: Codec[Any]) -> None:
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # T is always one of our dataclasses
        if list(codecs) != [field.name for field in fields]:
            raise TypeError(f"the codec of {cls.__name__} must name its fields in their order")
        self.cls, self.fields, self._codecs = cls, codecs, tuple(codecs.items())
        self.required = sum(
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING for field in fields
        )

    def pack(self, value: T) -> object:
        return [self._pack_field(value, name, codec) for name, codec in self._codecs]

    def _pack_field(self, value: T, name: str, codec: Codec[Any]) -> object:
        try:
            return codec.pack(getattr(value, name))
        except ValueError as error:
            raise ValueError(f"{self.cls.__name__}.{name}: {error}") from None

    def read(self, source: Source) -> T:
        return self._read_rest(source, self._read_length(source), [])

    def read_wanted(self, source: Source, wanted: Container[Any]) -> tuple[Any, T | None]:
        """Return the first field of the next value, and the whole value if that field is in `wanted`, else None; the
        rest is then skipped.
        """
        length, first = self._read_length(source), self._read_field(source, *self._codecs[0])
        if first in wanted:
            return first, self._read_rest(source, length, [first])
        source.skip(length - 1)
        return first, None

    def _read_length(self, source: Source) -> int:
        length = source.array()
        if length < self.required:
            raise Malformed(f"{self.cls.__name__}: it has {length} fields, {self.required} are required")
        return length

    def _read_rest(self, source: Source, length: int, values: list[Any]) -> T:
        """Read the fields that follow those in `values`, and return the whole value."""
        values += [self._read_field(source, *codec) for codec in self._codecs[len(values) : length]]
        source.skip(length - len(values))
        return self.cls(*values)

    def _read_field(self, source: Source, name: str, codec: Codec[Any]) -> Any:
        try:
            return codec.read(source)
        except Malformed as error:
            raise Malformed(f"{self.cls.__name__}.{name}: {error}") from None


def packed(values: list[object]) -> bytes:
    """Return the msgpack objects of `values`, one after the other."""
    packer = msgpack.Packer(autoreset=False)
    for value in values:
        packer.pack(value)
    return bytes(packer.bytes())
