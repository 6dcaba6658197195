"""Check where a thread-local variable is, against programs that compilers and linkers have made."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httprec.languages.memory import Memory
from httprec.languages.thread_variable import NoVariableError, variable_of
from support.compiled import run

VARIABLE = """
__thread long other = 1;
static __thread long *state;
long *get(void) { return state; }
void set(long *value) { state = value; }
"""
PROGRAM = """
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
static long mine;
static void *thread(void *functions) {
    long *(*get)(void) = ((void **)functions)[0];
    void (*set)(long *) = ((void **)functions)[1];
    set(&mine);
    printf("%lu %lu %lu\\n", (unsigned long)pthread_self(), (unsigned long)get, (unsigned long)&mine);
    fflush(stdout);
    getchar();
    return get();
}
#ifdef LIBRARY
int main(void) {
    void *library = dlopen(LIBRARY, RTLD_NOW);
    void *functions[] = {dlsym(library, "get"), dlsym(library, "set")};
#else
long *get(void);
void set(long *);
int main(void) {
    void *functions[] = {get, set};
#endif
    pthread_t one;
    pthread_create(&one, 0, thread, functions);
    pthread_join(one, 0);
}
"""
FRAMES = ["-fno-omit-frame-pointer", "-fcf-protection"]


@pytest.mark.parametrize("options", [["-O1"], ["-O2", *FRAMES]], ids=["plain", "with frame pointers"])
@pytest.mark.parametrize("model", ["of the executable", "initial-exec", "local-dynamic", "global-dynamic"])
def test_the_steps_lead_to_what_the_function_returns(tmp_path: Path, model: str, options: Sequence[str]) -> None:
    (tmp_path / "variable.c").write_text(VARIABLE)
    (tmp_path / "program.c").write_text(PROGRAM)
    program, library = tmp_path / "program", tmp_path / "library.so"
    if model == "of the executable":
        run("gcc", *options, "-o", program, tmp_path / "program.c", tmp_path / "variable.c", "-pthread")
    else:
        run("gcc", *options, "-shared", "-fPIC", f"-ftls-model={model}", "-o", library, tmp_path / "variable.c")
        run("gcc", f'-DLIBRARY="{library}"', "-o", program, tmp_path / "program.c", "-pthread", "-ldl")
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin and child.stdout
        pointer, function, state = map(int, child.stdout.readline().split())
        with Memory(child.pid) as memory:
            for step in variable_of(memory, function):
                pointer = memory.u64(pointer + step)
        child.stdin.close()
    assert pointer == state


class Bytes:
    """Give the same bytes at every address."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, _address: int, size: int) -> bytes:
        return self._data.ljust(size, b"\xcc")[:size]


@pytest.mark.parametrize(
    "code", [b"\x31\xc0\xc3", b"\x55\x48\x89\xe5\x64\x48\x8b\x04", b""], ids=["zero", "cut", "none"]
)
def test_other_functions_return_no_variable(code: bytes) -> None:
    with pytest.raises(NoVariableError):
        variable_of(Bytes(code), 1 << 20)


@given(st.binary(max_size=64))
def test_any_code_gives_steps_or_none(code: bytes) -> None:
    for begin in (b"", b"\x64\x48\x8b\x04\x25", b"\x48\x8b\x05", b"\x48\x8d\x3d"):
        try:
            steps = variable_of(Bytes(begin + code), 1 << 20)
        except NoVariableError:
            continue
        assert 1 <= len(steps) <= 3 and all(-(1 << 63) <= step < 1 << 63 for step in steps)
