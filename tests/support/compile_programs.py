"""Compile each program that standard input lists, as JSON; run by Debian's own Python, which has the real BCC.

The answer for a program has the sizes in bytes of its functions and of the leaves of its maps, or the error; with
"load" also the functions that the running kernel's verifier refused, with its reasons.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

import bcc


def sizes_of_leaves(bpf: Any) -> dict[str, int]:
    name, size = bcc.libbcc.lib.bpf_table_name, bcc.libbcc.lib.bpf_table_leaf_size_id
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_size_t]
    size.restype, size.argtypes = ctypes.c_size_t, [ctypes.c_void_p, ctypes.c_size_t]
    tables = range(bcc.libbcc.lib.bpf_num_tables(bpf.module))
    return {name(bpf.module, table).decode(): size(bpf.module, table) for table in tables}


def refusals(bpf: Any, functions: list[str]) -> dict[str, str]:
    refused = {}
    by_tracepoints = "raw_tracepoint__tcp_sendmsg_locked" in functions  # whose tail calls reach programs of their kind
    for function in functions:
        is_raw = by_tracepoints or function.startswith("raw_tracepoint__")
        try:
            bpf.load_func(function, bcc.BPF.RAW_TRACEPOINT if is_raw else bcc.BPF.KPROBE)
        except Exception as error:  # BCC raises bare Exceptions
            refused[function] = str(error)
    return refused


def answer(program: dict[str, Any]) -> dict[str, Any]:
    try:
        bpf = bcc.BPF(text=program["text"], cflags=program["cflags"])
    except Exception as error:
        return {"error": str(error)}
    library = bcc.libbcc.lib
    names = [library.bpf_function_name(bpf.module, number) for number in range(library.bpf_num_functions(bpf.module))]
    functions = {name.decode(): library.bpf_function_size(bpf.module, name) for name in names}
    refused = refusals(bpf, list(functions)) if program["load"] else {}
    return {"functions": functions, "leaves": sizes_of_leaves(bpf), "refused": refused}


bcc.BPF._trace_autoload = lambda self: None  # would load and attach, which not every kernel allows
json.dump([answer(program) for program in json.load(sys.stdin)], sys.stdout)
