"""Load programs through bpf(2): those that others reach by a tail call, and one that shows what the kernel takes.

BCC names a program after the function that it probes, and cannot have two of one function.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence

from .bpf_maps import bpf

_PROG_LOAD, _RAW_TRACEPOINT_OPEN = 5, 17  # enum bpf_cmd, include/uapi/linux/bpf.h; this and the next numbers
_KPROBE, _RAW_TRACEPOINT, _TRACING = 2, 17, 26
_KINDS = {"fexit": _TRACING, "kprobe": _KPROBE, "tracepoint": _RAW_TRACEPOINT}
_TRACE_FENTRY, _TRACE_FEXIT = 24, 25  # enum bpf_attach_type
_LOG_SIZE = (1 << 24) - 1  # the most that Linux takes; with less, the reason may not be in it
_INSTRUCTION = struct.Struct("<BBhi")  # struct bpf_insn: code, registers, offset, constant
_EXIT, _GO, _GO_IF_NOT, _LOAD_U64, _STORE_U64, _LOAD_U64_CONSTANT = 0x95, 0x05, 0x55, 0x79, 0x7B, 0x18
_MOVE_CONSTANT = 0xB7
_R1_FROM_R10, _R10_FROM_R1 = 10 << 4 | 1, 1 << 4 | 10  # source and destination
_MAP_FD = 1  # as a source: the constant is the descriptor of a map
_RETURN_0 = _INSTRUCTION.pack(_MOVE_CONSTANT, 0, 0, 0) + _INSTRUCTION.pack(_EXIT, 0, 0, 0)  # all that fexit may return
_CONTEXT = -512  # on the program's stack; where code uses this place too, the verifier refuses it


class _Attributes(ctypes.Structure):
    """Describe union bpf_attr for BPF_PROG_LOAD."""

    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_name", ctypes.c_char * 16),
        ("prog_ifindex", ctypes.c_uint32),
        ("expected_attach_type", ctypes.c_uint32),
        ("prog_btf", ctypes.c_uint64 * 4),
        ("line_info_cnt", ctypes.c_uint32),
        ("attach_btf_id", ctypes.c_uint32),
    )


def chain(programs: Sequence[bytes]) -> bytes:
    """Return a program that runs programs one after the other, until one returns 0, and returns 0.

    In a loop, the verifier compares states less often, and so looks at far more paths (is_state_visited in
    kernel/bpf/verifier.c). Nothing but the context is handed on from one program to the next.
    """
    keep_context = _INSTRUCTION.pack(_STORE_U64, _R10_FROM_R1, _CONTEXT, 0)
    return keep_context + b"".join(map(_going_on, programs)) + _RETURN_0


def _going_on(code: bytes) -> bytes:
    """Return a program that ends by going on behind its end instead of returning what is not 0."""
    instructions = list(_INSTRUCTION.iter_unpack(code))
    for index, (operation, *_) in enumerate(instructions):
        if operation == _EXIT:
            instructions[index] = (_GO, 0, len(instructions) - 1 - index, 0)
    instructions += [(_GO_IF_NOT, 0, 1, 0), (_EXIT, 0, 0, 0), (_LOAD_U64, _R1_FROM_R10, _CONTEXT, 0)]
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)


def with_map(code: bytes, instead_of: int, map_fd: int) -> bytes:
    """Return a program that uses another map instead of one, by their descriptors."""
    return b"".join(
        _INSTRUCTION.pack(operation, registers, offset, map_fd)
        if (operation, registers >> 4, constant) == (_LOAD_U64_CONSTANT, _MAP_FD, instead_of)
        else _INSTRUCTION.pack(operation, registers, offset, constant)
        for operation, registers, offset, constant in _INSTRUCTION.iter_unpack(code)
    )


def try_fexit(function_id: int) -> None:
    """Attach a program that does nothing to a kernel function, by its number in the kernel's type information, and
    detach it. Raises OSError where the kernel takes no fexit probe there."""
    fd = load_tail("try_fexit", _RETURN_0, "fexit", function_id, at_entry=False)
    try:
        os.close(bpf(_RAW_TRACEPOINT_OPEN, (ctypes.c_uint32 * 32)(0, 0, fd)))  # no name, and the program
    finally:
        os.close(fd)


def load_tail(name: str, code: bytes, probes: str, function_id: int, *, at_entry: bool) -> int:
    """Return the descriptor of a program that probes of one kind (loader.PROBES) can call. With fexit, `function_id` is
    the number of the probed function in the kernel's type information, and the probe is at its entry or its exit.

    Raises OSError with the verifier's last words.
    """
    instructions, gpl = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
    attributes = _Attributes(
        prog_type=_KINDS[probes],
        insn_cnt=len(code) // _INSTRUCTION.size,
        insns=ctypes.addressof(instructions),
        license=ctypes.addressof(gpl),
        prog_name=name.encode(),
        attach_btf_id=function_id,
    )
    if probes == "fexit":
        attributes.expected_attach_type = _TRACE_FENTRY if at_entry else _TRACE_FEXIT
    try:
        fd = bpf(_PROG_LOAD, attributes)
    except OSError:
        fd = _load_with_log(attributes)
    os.set_inheritable(fd, False)
    return fd


def _load_with_log(attributes: _Attributes) -> int:
    log = ctypes.create_string_buffer(_LOG_SIZE)
    attributes.log_level, attributes.log_size, attributes.log_buf = 1, len(log), ctypes.addressof(log)
    try:
        return bpf(_PROG_LOAD, attributes)
    except OSError as error:
        words = log.value.decode(errors="replace").strip().splitlines()[-2:]
        raise OSError(error.errno, "; ".join([os.strerror(error.errno or 0), *words])) from None
