"""Run tasks in worker processes. A worker has one task at a time, so a killed worker loses only that task, and it is
known which.

Ctrl-C reaches only the parent, which ends its workers. They also end when the parent is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from signal import SIG_BLOCK, SIG_DFL, SIG_SETMASK, SIGINT, SIGTERM, Signals, pthread_sigmask, signal
from typing import Any, Callable, Generic, TypeVar

from ..common.errors import ReportError
from ..common.parent import end_with_parent

GRACE_S = 5.0  # a worker that has not ended so long after it was asked to is killed
_DESCRIPTORS = "/proc/self/fd"

Result = TypeVar("Result")
Task = tuple[Any, ...]  # arguments


@dataclass(frozen=True)
class KilledWorker:
    """Stand for a result if the worker ended before it had one."""

    exit_code: int  # as in multiprocessing.Process: minus the number of the signal if one ended it

    @property
    def signal(self) -> str | None:
        """Return the name of the signal that ended the worker, or None if it ended by itself."""
        if self.exit_code >= 0:
            return None
        try:
            return Signals(-self.exit_code).name
        except ValueError:
            return f"signal {-self.exit_code}"


def results(
    function: Callable[..., Result], tasks: Sequence[Task], workers: int
) -> Generator[tuple[int, Result | KilledWorker], None, None]:
    """Call `function` with each of the tasks, `workers` at a time, and yield the number of each task with its result as
    it is done.

    Function, tasks and results are pickled. Closing the generator ends the workers. Raises what the function raises,
    and ReportError if a process cannot be started.
    """
    waiting = iter(enumerate(tasks))
    started: list[_Worker[Result]] = []
    doing: dict[Connection, tuple[_Worker[Result], int]] = {}

    def go_on(worker: _Worker[Result] | None) -> None:
        """Give the next task to the worker, or to a new one."""
        for number, task in islice(waiting, 1):
            if worker is None:
                worker = _Worker(function)
                started.append(worker)
            worker.give(task)
            doing[worker.connection] = worker, number

    try:
        for _ in range(workers):
            go_on(None)
        while doing:
            for connection in wait(list(doing)):
                assert isinstance(connection, Connection)
                worker, number = doing.pop(connection)
                result = worker.result()
                go_on(None if isinstance(result, KilledWorker) else worker)
                yield number, result
    finally:
        for worker in started:
            worker.tell_to_end()
        for worker in started:
            worker.end()


class _Worker(Generic[Result]):
    """Run a process that does one task after the other."""

    def __init__(self, function: Callable[..., Result]) -> None:
        context = multiprocessing.get_context("spawn")  # not a copy of this process, whatever Python's default is
        try:
            self.connection, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(function, theirs), daemon=True)
            with _without_interrupts():  # a worker keeps them blocked
                self._process.start()
        except OSError as error:
            raise ReportError(f"cannot start a process to read captures: {error.strerror or error}") from None
        theirs.close()

    def give(self, task: Task) -> None:
        """Send a task to the process."""
        with suppress(OSError):  # if the process is dead, `result` returns KilledWorker
            self.connection.send(task)

    def result(self) -> Result | KilledWorker:
        """Wait for the result of the task. Raises what the function raised."""
        try:
            result, error, where = self.connection.recv()
        except (EOFError, OSError):
            self._process.join(GRACE_S)
            self.end()
            return KilledWorker(self._process.exitcode or 0)
        if error is not None:
            raise error from _InWorkerError(where)
        answer: Result = result
        return answer

    def tell_to_end(self) -> None:
        """Ask the process to end."""
        self.connection.close()
        self._process.terminate()

    def end(self) -> None:
        """End the process, and kill it if it does not end in time."""
        self.tell_to_end()
        self._process.join(GRACE_S)
        self._process.kill()
        self._process.join()


class _InWorkerError(Exception):
    """Show where in a worker an exception was raised."""

    def __str__(self) -> str:
        return f"in a worker:\n{self.args[0]}"


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Defer Ctrl-C until the end of the block, and start processes with it blocked."""
    resource_tracker.ensure_running()  # starting it, as the first process would, unblocks interrupts
    before = pthread_sigmask(SIG_BLOCK, {SIGINT})
    try:
        yield
    finally:
        pthread_sigmask(SIG_SETMASK, before)


def _serve(function: Callable[..., object], connection: Connection) -> None:
    """Do tasks until the parent closes the connection."""
    _keep_descriptors()
    signal(SIGTERM, lambda *_: sys.exit(1))  # so that a task ends the processes that it has started
    end_with_parent()
    with suppress(EOFError, OSError):  # the parent has closed it
        while True:
            connection.send(_answer(function, connection.recv()))
    signal(SIGTERM, SIG_DFL)  # the interpreter, which ends now, would print an exception


def _keep_descriptors() -> None:
    """Keep descriptors that the parent left open here from being inherited further: this process would seem not to have
    ended."""
    for name in os.listdir(_DESCRIPTORS) if os.path.isdir(_DESCRIPTORS) else ():
        if int(name) > 2:
            with suppress(OSError):  # the descriptor of the listed directory itself
                os.set_inheritable(int(name), False)


def _answer(function: Callable[..., object], task: Task) -> tuple[object, Exception | None, str]:
    """Return the result of a task, or the exception and its traceback."""
    try:
        return function(*task), None, ""
    except Exception as error:
        return None, error, traceback.format_exc()
