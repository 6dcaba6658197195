"""Check that the top stacks of the summary show the program's own functions, and as many as fit."""

from __future__ import annotations

import pytest

from httpreport.languages.stack_trace import Frame, FrameKind, Incomplete, StackTrace, Unnamed
from httpreport.outputs.terminal import leaves_that_fit
from httpreport.report.plumbing import KINDS, is_plumbing, own_frames, own_frames_of, table
from httpreport.report.samples import ShownFrame

SEND = ShownFrame("send", "/usr/lib/x86_64-linux-gnu/libc.so.6")
LOOP = ShownFrame("_PyEval_EvalFrameDefault", "/usr/bin/python3.11")
CHECKOUT = ShownFrame("checkout", None, "/srv/app/views.py", 57)
MAIN = ShownFrame("main", "/srv/bin/shop")
START = ShownFrame("__libc_start_main", "/lib/x86_64-linux-gnu/libc.so.6")


@pytest.mark.parametrize(
    "frame",
    [
        SEND,
        LOOP,
        START,
        ShownFrame("send", "/lib/x86_64-linux-gnu/libc-2.31.so"),
        ShownFrame("sock_send", "/usr/lib/python3.11/lib-dynload/_socket.cpython-311-x86_64-linux-gnu.so"),
        ShownFrame("connect", None, "/usr/lib/python3.11/http/client.py", 941),
        ShownFrame("get (/usr/lib/python3.11/queue.py:171)", None, "/usr/lib/python3.11/queue.py", 171, function="get"),
        ShownFrame("loads", None, "/usr/lib64/python3.9/json/__init__.py", 346),
        ShownFrame("_run_code", None, "<frozen runpy>", 88),
        ShownFrame("get", None, "/usr/lib/python3/dist-packages/requests/api.py", 73),
        ShownFrame("urlopen", None, "/srv/venv/lib/python3.12/site-packages/urllib3/connectionpool.py", 790),
        ShownFrame("runtime.goexit", "/srv/bin/shop", "/usr/lib/go-1.19/src/runtime/asm_amd64.s", 1594),
        ShownFrame("net/http.(*conn).serve", "/srv/bin/shop"),
        ShownFrame("JS:~writeGeneric node:internal/stream_base_commons:148:22", "[JIT]"),
        ShownFrame("Builtins_JSEntry", "/usr/bin/node"),
        ShownFrame("void java.lang.Thread.run()", "[JIT]"),
        ShownFrame("Interpreter", "[JIT]"),
        ShownFrame("execute_ex", "/usr/bin/php8.2"),
        ShownFrame("zif_fwrite", "/usr/sbin/php-fpm8.2"),
        ShownFrame("ruby3.1+0x10b0", "/usr/bin/ruby3.1"),
        ShownFrame("rsock_write_nonblock", "/usr/lib/x86_64-linux-gnu/ruby/3.1.0/socket.so"),
        ShownFrame("ap_process_request", "/usr/sbin/apache2"),
        ShownFrame("[outside any mapping]"),
    ],
    ids=lambda frame: frame.label,
)
def test_libraries_interpreters_and_runtimes_are_plumbing(frame: ShownFrame) -> None:
    assert is_plumbing(frame)


@pytest.mark.parametrize(
    "frame",
    [
        CHECKOUT,
        MAIN,
        ShownFrame("shop+0x1000", "/srv/bin/shop"),
        ShownFrame("run", "/srv/bin/phpunit-like"),
        ShownFrame("run", "/srv/bin/rubyist"),
        ShownFrame("main.(*basket).total", "/srv/bin/shop"),
        ShownFrame("netflow.send", "/srv/bin/shop"),
        ShownFrame("JS:~checkout /srv/app/shop.js:12:3", "[JIT]"),
        ShownFrame("int Chain.level5(boolean)", "[JIT]"),
        ShownFrame("get", None, "/srv/app/http/client.py", 3),
        ShownFrame("index", None, "/srv/venv/lib/python3.12/site-packages/shop/views.py", 3),
        ShownFrame("index", None, "/usr/lib/python3/dist-packages/nova/api.py", 3),
        ShownFrame("run", None, "/srv/lib/python/run.py", 3),
        ShownFrame("libcurious", "/srv/lib/libcurious.so"),
    ],
    ids=lambda frame: frame.label,
)
def test_other_code_is_the_programs_own(frame: ShownFrame) -> None:
    assert not is_plumbing(frame)


def test_the_table_has_a_pattern_of_each_kind() -> None:
    assert len(table().patterns) == len(KINDS)
    assert table().packages
    assert own_frames([START, MAIN, LOOP, CHECKOUT, LOOP, SEND]) == [MAIN, CHECKOUT]


def test_installed_python_packages_are_the_program_only_where_it_has_no_other_frames() -> None:
    installed = ShownFrame("index", None, "/srv/venv/lib/python3.12/site-packages/shop/views.py", 3)
    assert own_frames([START, CHECKOUT, installed, SEND]) == [CHECKOUT]
    assert own_frames([START, LOOP, installed, SEND]) == [installed]


def test_a_python_function_is_shown_by_its_name_and_line_once() -> None:
    frame = ShownFrame("Shop.pay (/srv/app/shop.py:12)", None, "/srv/app/shop.py", 12, function="Shop.pay")
    assert leaves_that_fit([START, frame, LOOP, SEND], 80) == "Shop.pay shop.py:12"


def test_own_frames_are_shown_leaf_first_with_their_lines_as_far_as_they_fit() -> None:
    frames = [START, MAIN, LOOP, CHECKOUT, LOOP, SEND]
    whole = "checkout views.py:57 < main"
    assert leaves_that_fit(frames, len(whole)) == whole
    assert leaves_that_fit(frames, len(whole) - 1) == "checkout views.py:57 < ..."
    assert leaves_that_fit(frames, 0) == "checkout views.py:57 < ..."
    deep = [MAIN] * 10
    for width in range(4, 80):
        text = leaves_that_fit(deep, width)
        assert len(text) <= max(width, len("main < ..."))
        assert text.count("main") == 10 or text.endswith(" < ...")


def test_without_own_frames_the_last_three_are_shown() -> None:
    assert leaves_that_fit([START, LOOP, LOOP, SEND], 9) == (
        "send < _PyEval_EvalFrameDefault < _PyEval_EvalFrameDefault < ..."
    )


def test_the_programs_own_frames_of_a_stack_trace_include_code_made_at_run_time_that_has_no_name() -> None:
    own = [
        Frame(0, name="checkout", file="/srv/app/views.py", line=57, kind=FrameKind.PYTHON),
        Frame(0, unnamed=Unnamed.CODE_GONE, kind=FrameKind.PYTHON),
        Frame(1, unnamed=Unnamed.ANONYMOUS),
        Frame(2, "/srv/bin/shop", 0x1000, unnamed=Unnamed.STRIPPED),
    ]
    others = [
        Frame(0, name="urlopen", file="/usr/lib/python3.11/urllib/request.py", line=216, kind=FrameKind.PYTHON),
        Frame(3, "/usr/bin/python3.11", 0x2000, unnamed=Unnamed.STRIPPED),
        Frame(4, unnamed=Unnamed.UNMAPPED),
    ]
    for incomplete in (None, Incomplete.STACK_ENDED):
        assert own_frames_of(StackTrace((*own, *others), incomplete=incomplete)) == own
        assert own_frames_of(StackTrace((*others, *own), incomplete=incomplete)) == own
        assert own_frames_of(StackTrace(tuple(others), incomplete=incomplete)) == []
    assert own_frames_of(StackTrace(())) == []
