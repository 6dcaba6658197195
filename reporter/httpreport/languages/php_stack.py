"""Decode the PHP frames of a stack: each has the name, file and line that its function gives it, or a reason for having
none.

A call from C begins a run (runs.py): its frame is marked, and is the outermost one of the run. A function of PHP itself
or of an extension is one of C, so it has no line, and a frame of it ends no run.
Source: Zend/zend_compile.h and zend_vm_def.h of PHP 7.4 to 8.4.
"""

from __future__ import annotations

from collections.abc import Iterator

from httpcapture import Code, Stack, WalkStatus

from .runs import Codes, Run, names, raw_frames
from .stack_trace import Frame, FrameKind, Unnamed

INTERNAL = "<internal>"
"""Stands for the file of functions of PHP itself."""
MAIN = "{main}"
"""Stands for the function of code outside of functions, as in PHP's own traces."""
_INTERNAL_FUNCTION = 1
_CALL_TOP = 1 << 17  # ZEND_CALL_TOP: C has called the function, and its end is the end of the loop
_TYPE, _IS_OBJECT = 0xFF, 8  # of $this
_FUNCTION_TYPE = 32  # where in the flags the type of the function is


def runs(stack: Stack, codes: Codes) -> Iterator[Run]:
    """Yield the runs of a stack, leaf first. The last one may be cut off; functions of PHP itself that no function of
    the program has called are left out."""
    frames: list[Frame] = []
    is_open = False  # whether a function of the program has called these
    for function, code, line, cookie, flags in raw_frames(stack.php):
        is_program = bool(function) and flags >> _FUNCTION_TYPE & 0xFF != _INTERNAL_FUNCTION
        frames += _frame(function, codes.get((code, cookie)), line, flags, is_program=is_program)
        is_open = is_open or is_program
        if is_program and flags & _CALL_TOP:
            yield Run(tuple(frames), None, is_whole=True)
            frames, is_open = [], False
    if is_open or (frames and stack.php_status != WalkStatus.WHOLE):
        yield Run(tuple(frames), None, is_whole=False)


def _frame(function: int, code: Code | None, line: int, flags: int, *, is_program: bool) -> Iterator[Frame]:
    """Yield the frame, or nothing for one that PHP itself does not show."""
    if not function:
        if flags & _TYPE == _IS_OBJECT:
            yield _unnamed(Unnamed.GENERATORS)
    elif code is None:
        yield _unnamed(Unnamed.CODE_NOT_RECORDED)
    elif code.problem:
        yield _unnamed(Unnamed.CODE_GONE)
    else:
        name, file = names(code)
        if is_program:
            yield Frame(
                0, name=name or MAIN, file=file, line=line or None, first_line=code.first_line, kind=FrameKind.PHP
            )
        elif name:
            yield Frame(0, name=name, file=INTERNAL, kind=FrameKind.PHP)


def _unnamed(reason: Unnamed) -> Frame:
    return Frame(0, unnamed=reason, kind=FrameKind.PHP)
