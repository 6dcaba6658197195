"""Load a program that others reach by a tail call, through bpf(2).

BCC names a program after the function that it probes, and cannot have two of one function.
"""

from __future__ import annotations

import ctypes
import os

from .bpf_maps import bpf

_PROG_LOAD = 5  # enum bpf_cmd, include/uapi/linux/bpf.h; this and the next numbers
_KPROBE, _RAW_TRACEPOINT, _TRACING = 2, 17, 26
_TRACE_FENTRY = 24
_KINDS = {"fexit": (_TRACING, _TRACE_FENTRY), "kprobe": (_KPROBE, 0), "tracepoint": (_RAW_TRACEPOINT, 0)}
_LOG_SIZE = 1 << 20
_INSTRUCTION_SIZE = 8


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


def load_tail(code: bytes, probes: str, function_id: int) -> int:
    """Return the descriptor of a program that probes of one kind (loader.PROBES) can call. With fexit, `function_id` is
    the number of the probed function in the kernel's type information.

    Raises OSError with the verifier's last words.
    """
    try:
        return _load(code, probes, function_id, None)
    except OSError:
        log = ctypes.create_string_buffer(_LOG_SIZE)
        try:
            return _load(code, probes, function_id, log)
        except OSError as error:
            words = log.value.decode(errors="replace").strip().splitlines()[-2:]
            raise OSError(error.errno, "; ".join([os.strerror(error.errno or 0), *words])) from None


def _load(code: bytes, probes: str, function_id: int, log: ctypes.Array[ctypes.c_char] | None) -> int:
    kind, attach_type = _KINDS[probes]
    instructions, gpl = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
    attributes = _Attributes(
        prog_type=kind,
        insn_cnt=len(code) // _INSTRUCTION_SIZE,
        insns=ctypes.addressof(instructions),
        license=ctypes.addressof(gpl),
        prog_name=b"walk_python",
        expected_attach_type=attach_type,
        attach_btf_id=function_id,
    )
    if log is not None:
        attributes.log_level, attributes.log_size, attributes.log_buf = 1, len(log), ctypes.addressof(log)
    fd = bpf(_PROG_LOAD, attributes)
    os.set_inheritable(fd, False)
    return fd
