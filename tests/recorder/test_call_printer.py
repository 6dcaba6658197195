"""Check that calls are printed in the chosen form with what their heads say, and counted while they are printed."""

from __future__ import annotations

from httpbpf.layout import CALL_ROW
from httpcapture import Role
from httprec.call_printer import CallPrinter
from httprec.kept_heads import Head
from support.synthetic import row_of

MS = 1_000_000


class Console:
    """Keep what is printed; it cannot print more than `most` texts."""

    def __init__(self, most: int = 99) -> None:
        self.most = most
        self.texts: list[str] = []

    def print(self, text: str) -> bool:
        self.texts.append(text)
        return len(self.texts) < self.most


def row(connection: int) -> memoryview:
    times = {"t0": 10**12, "t1": 10**12, "t2": 10**12 + 250 * MS, "t3": 10**12 + 250 * MS}
    return memoryview(
        row_of(
            CALL_ROW,
            **times,
            connection=connection,
            sequence=1,
            pid=7,
            comm=b"worker",
            process=b"shop",
            role=Role.SERVER,
            local_port=9200,
            local_address=bytes(16),
            peer_address=bytes(10) + b"\xff\xff\x0a\0\0\5",
        )
    )


def printed(printer: CallPrinter, console: Console) -> list[str]:
    printer.add_head(Head(1, 1, False, b"GET /orders/17?... HTTP/1.1\nhost: shop"))
    printer.add_head(Head(1, 1, True, b"HTTP/1.1 200"))
    printer.hold([row(1), row(2)])
    printer.print_rest()
    return console.texts


def test_a_line_has_what_the_heads_of_its_call_say() -> None:
    console = Console()
    printer = CallPrinter(console.print, as_lines=True)
    words = [text.split()[1:] for text in printed(printer, console)]
    assert sorted(words) == [
        ["250", "ms", "shop:9200", "<", "10.0.0.5", "-", "-"],
        ["250", "ms", "shop:9200", "<", "10.0.0.5", "GET", "/orders/17", "200"],
    ]
    assert [line.split()[0] for line in printer.frequent.lines()] == ["1", "1"]


def test_without_lines_each_call_is_three() -> None:
    console = Console()
    texts = printed(CallPrinter(console.print), console)
    assert [text.count("\n") for text in texts] == [3, 3]
    assert all(text.startswith("PID: 7, Comm: worker, Stack ID: 0\nDuration: 250.00 ms, ") for text in texts)


def test_calls_that_are_not_printed_are_not_counted() -> None:
    quiet, console = CallPrinter(None), Console(most=1)
    quiet.hold([row(1)])
    quiet.print_rest()
    left = CallPrinter(console.print)
    assert len(printed(left, console)) == 1
    assert not quiet.prints and not left.prints
    assert quiet.frequent.lines() == left.frequent.lines() == []
