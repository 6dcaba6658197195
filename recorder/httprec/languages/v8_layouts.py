"""Say where V8 keeps what names the frames of JavaScript functions.

Node's binary has most offsets and types in data symbols, v8dbg_*, for debuggers (gen-postmortem-metadata.py of V8).
Those that it lacks are here, by version of V8: they were taken from the sources of V8 and compared with the memory of
processes of Node 18, 20, 22 and 24.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional

Version = tuple[int, int]

PREFIX = "v8dbg_"
MAJOR, MINOR = "_ZN2v88internal7Version6major_E", "_ZN2v88internal7Version6minor_E"

_INTEGERS: Mapping[str, tuple[str, ...]] = {
    "fp_context": ("off_fp_context",),
    "fp_function": ("off_fp_function",),
    "fp_bytecode": ("off_fp_bytecode_array",),
    "fp_offset": ("off_fp_bytecode_offset",),
    "map_type": ("class_Map__instance_type__uint16_t",),
    "function_shared": ("class_JSFunction__shared__SharedFunctionInfo",),
    "shared_name": (
        "class_SharedFunctionInfo__name_or_scope_info__Object",
        "class_SharedFunctionInfo__name_or_scope_info__Tagged_Object_",
        "class_SharedFunctionInfo__name_or_scope_info__Tagged_NameOrScopeInfoT_",
    ),
    "shared_script": (
        "class_SharedFunctionInfo__script_or_debug_info__HeapObject",
        "class_SharedFunctionInfo__script__Tagged_HeapObject_",
    ),
    "script_name": ("class_Script__name__Object",),
    "script_source": ("class_Script__source__Object",),
    "bytecode_data": ("class_BytecodeArray__data__uintptr_t",),
    "scope_first": ("scopeinfo_idx_first_vars",),
    "string_length": ("class_String__length__int32_t",),
    "first_function_type": ("FirstJSFunctionType", "type_JSFunction__JS_FUNCTION_TYPE"),
    "shared_type": ("type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE",),
    "bytecode_type": ("type_BytecodeArray__BYTECODE_ARRAY_TYPE",),
    "code_type": ("type_Code__CODE_TYPE",),
    "scope_type": ("type_ScopeInfo__SCOPE_INFO_TYPE",),
    "script_type": ("type_Script__SCRIPT_TYPE",),
    "debug_type": ("type_DebugInfo__DEBUG_INFO_TYPE",),
    "byte_array_type": ("type_TrustedByteArray__TRUSTED_BYTE_ARRAY_TYPE", "type_ByteArray__BYTE_ARRAY_TYPE"),
}
SYMBOLS = (MAJOR, MINOR, *(PREFIX + name for names in _INTEGERS.values() for name in names))
"""The symbols that are looked for in a binary."""

_MOST = 64  # bytes from a frame pointer down
FUNCTION_TYPES = 17  # how many types of functions there are, from the first on: InstanceType in instance-type.h
SHARED_DATA = 8  # SharedFunctionInfo: function_data, trusted_function_data
SCRIPT_LINE_OFFSET, SCRIPT_ID, SCRIPT_FUNCTIONS = 24, 64, 88
DEBUG_SCRIPT = 24  # DebugInfo, which takes the place of a function's script up to Node 20


class Machine(NamedTuple):
    """Say where the instructions of a Code object are: at the address in it, or in it."""

    code: int  # JSFunction
    start: int
    is_inline: bool
    size: int


class Layout(NamedTuple):
    """Hold the offsets and types of one V8; offsets are from the start of an object, not from its tagged pointer."""

    fp_context: int
    fp_function: int
    fp_bytecode: int
    fp_offset: int
    map_type: int
    function_shared: int
    shared_name: int
    shared_script: int
    script_name: int
    script_source: int
    bytecode_data: int
    scope_first: int  # index of the first local, in words from the one after the map
    string_length: int
    first_function_type: int
    shared_type: int
    bytecode_type: int
    code_type: int
    scope_type: int
    script_type: int
    debug_type: int
    byte_array_type: int
    code_bytecode: int  # Code of Sparkplug, the baseline compiler
    positions: int  # BytecodeArray: source_position_table
    function_scope: int  # ScopeType::FUNCTION_SCOPE
    flags_shift: int  # of ScopeInfo's flags: they are a Smi, or not
    machine: Optional[Machine]  # None: not known


_OWN: Mapping[Version, Mapping[str, object]] = {
    (10, 2): {  # Node 18
        "code_bytecode": 16,
        "positions": 32,
        "function_scope": 2,
        "flags_shift": 32,
        "machine": Machine(code=48, start=128, is_inline=True, size=40),
    },
    (11, 3): {  # Node 20
        "code_bytecode": 16,
        "positions": 32,
        "function_scope": 2,
        "flags_shift": 32,
        "machine": Machine(code=48, start=40, is_inline=False, size=56),
    },
    (12, 4): {  # Node 22
        "code_bytecode": 8,
        "positions": 24,
        "function_scope": 2,
        "flags_shift": 32,
        "machine": Machine(code=24, start=40, is_inline=False, size=52),
    },
    (13, 6): {  # Node 24: a function has the number of an entry of a table that no symbol leads to
        "code_bytecode": 8,
        "positions": 24,
        "function_scope": 4,
        "flags_shift": 0,
        "machine": None,
    },
}


class UnknownLayoutError(Exception):
    """Report that this V8 keeps its functions in a way that is not known."""


def layout_of(version: Version, constants: Mapping[str, int]) -> Layout:
    """Return the layout of a version, from the values of the binary's symbols by name. Raises UnknownLayoutError."""
    own = _OWN.get(version)
    if own is None:
        raise UnknownLayoutError(f"V8 {version[0]}.{version[1]} is not known")
    values: dict[str, object] = dict(own)
    for field, names in _INTEGERS.items():
        found = next((name for name in names if PREFIX + name in constants), None)
        if found is None:
            raise UnknownLayoutError(f"its binary does not say {names[0]}")
        value = constants[PREFIX + found]
        if not (-_MOST <= value <= 0 if field.startswith("fp_") else 0 <= value <= 0xFFFF):
            raise UnknownLayoutError(f"its binary says {value} for {found}")
        values[field] = value
    return Layout(**values)  # type: ignore[arg-type]  # the tables have each field
