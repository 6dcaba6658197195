"""Read and write the first frame, which says that the file is a capture and which version of the reader it needs.

Major versions share nothing but this frame. A newer minor version adds kinds and fields that older readers may skip. If
they may not, the writer raises the minor version that is required to read the file.
"""

from __future__ import annotations

import struct

from .errors import Malformed, NotACapture, UnsupportedVersion
from .frames import CutOff, FrameReader, skippable_frame

MAGIC = b"httpcap\0"
MAJOR, MINOR = 1, 0
MINOR_REQUIRED = 0  # the oldest reader of MAJOR that understands everything that this writer writes

_HEADER = struct.Struct("<8sHHHH")
_MAX_SIZE = 1024  # later minor versions may append to the header


def header() -> bytes:
    """Return the first frame of a capture."""
    return skippable_frame(_HEADER.pack(MAGIC, MAJOR, MINOR, MINOR_REQUIRED, 0))


def read_header(frames: FrameReader, name: str) -> None:
    """Read and check the first frame. Raises NotACapture or UnsupportedVersion, with the file's `name`."""
    try:
        payload = frames.skippable(_MAX_SIZE)
    except (CutOff, Malformed):
        payload = b""
    if len(payload) < _HEADER.size or not payload.startswith(MAGIC):
        problem = "does not begin as a capture does" if frames.position else "is empty"
        raise NotACapture(f"{name}: not a capture, it {problem}: give the file that httprec -o wrote")
    _, major, minor, required, _ = _HEADER.unpack_from(payload)
    if major != MAJOR or required > MINOR:
        raise UnsupportedVersion(
            f"{name}: version {major}.{minor} of the capture format, readable from {major}.{required} on; "
            f"this reader knows {MAJOR}.{MINOR}: use the httprec release that the capture was recorded with"
        )
