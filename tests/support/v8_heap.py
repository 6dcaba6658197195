"""Make a heap of V8 11.3 (Node 20) in bytes, with the offsets and types that Debian's binary gives."""

from __future__ import annotations

import struct

from httprec.languages.v8_layouts import PREFIX, layout_of

CONSTANTS = {
    "off_fp_context": -8,
    "off_fp_function": -16,
    "off_fp_bytecode_array": -32,
    "off_fp_bytecode_offset": -40,
    "class_Map__instance_type__uint16_t": 12,
    "class_JSFunction__shared__SharedFunctionInfo": 24,
    "class_SharedFunctionInfo__name_or_scope_info__Object": 16,
    "class_SharedFunctionInfo__script_or_debug_info__HeapObject": 32,
    "class_Script__name__Object": 16,
    "class_Script__source__Object": 8,
    "class_BytecodeArray__data__uintptr_t": 54,
    "scopeinfo_idx_first_vars": 3,
    "class_String__length__int32_t": 12,
    "type_JSFunction__JS_FUNCTION_TYPE": 2066,
    "type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE": 262,
    "type_BytecodeArray__BYTECODE_ARRAY_TYPE": 191,
    "type_Code__CODE_TYPE": 245,
    "type_ScopeInfo__SCOPE_INFO_TYPE": 261,
    "type_Script__SCRIPT_TYPE": 167,
    "type_DebugInfo__DEBUG_INFO_TYPE": 153,
    "type_ByteArray__BYTE_ARRAY_TYPE": 190,
}
LAYOUT = layout_of((11, 3), {PREFIX + name: value for name, value in CONSTANTS.items()})

FUNCTION, SHARED, BYTECODE, CODE, SCOPE, SCRIPT, BYTES, FIXED = 2066, 262, 191, 245, 261, 167, 190, 175
ONE_BYTE, TWO_BYTE, CONS, SLICED, THIN, EXTERNAL = 0x28, 0x20, 0x21, 0x23, 0x25, 0x22
BASE = 0x10_0000


def smi(number: int) -> int:
    return number % (1 << 32) << 32


class MadeHeap:
    """Hold objects; it is read like the memory of a process."""

    def __init__(self) -> None:
        self.data = bytearray()

    def read(self, address: int, size: int) -> bytes:
        start = address - BASE
        if not 0 <= start <= len(self.data) - size:
            raise OSError(5, "not in memory")
        return bytes(self.data[start : start + size])

    def u32(self, address: int) -> int:
        return int.from_bytes(self.read(address, 4), "little")

    def u64(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")

    def put(self, data: bytes) -> int:
        """Append bytes, and return their address."""
        self.data += bytes(-len(self.data) % 8)
        self.data += data
        return BASE + len(self.data) - len(data)

    def make(self, kind: int, *words: int, more: bytes = b"") -> int:
        """Append an object of a type with these words after its map, and return the tagged pointer to it."""
        of_map = self.put(bytes(12) + struct.pack("<H", kind) + bytes(18))
        return self.put(struct.pack(f"<{len(words) + 1}Q", of_map + 1, *words) + more.ljust(32, b"\0")) + 1

    def set(self, pointer: int, place: int, word: int) -> None:
        """Replace a word of an object; place 0 is its map."""
        struct.pack_into("<Q", self.data, pointer - 1 - BASE + 8 * place, word)

    def text(self, text: str) -> int:
        """Append a flat string."""
        one_byte = all(ord(character) < 256 for character in text)
        data = text.encode("latin-1") if one_byte else text.encode("utf-16-le", "surrogatepass")
        return self.make(ONE_BYTE if one_byte else TWO_BYTE, smi(len(data) // (1 if one_byte else 2)), more=data)

    def function(self, name: str, file: str, *, script_id: int = 1, source: str = "") -> int:
        """Append a function with a script and bytecode of its own. Its scope has a local variable, too."""
        scope = (0x171C2, 1, 1, self.text("local"), 0, self.text(name), -1, 0, 5, 9)
        words = (word if word > BASE else smi(word) for word in scope)
        script = (self.text(source), self.text(file), smi(0), 0, 0, 0, 0, smi(script_id), 0, 0, 0)
        bytecode = self.make(BYTECODE, smi(6), 0, 0, 0, 0, 0)
        shared = self.make(SHARED, bytecode, self.make(SCOPE, *words), 0, self.make(SCRIPT, *script), 0)
        return self.make(FUNCTION, 0, 0, shared, 0, 0, self.make(CODE, 0, 0, 0, 0, 0, 0, 0), 0)
