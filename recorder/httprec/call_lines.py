"""Format the one line that `--print lines` prints for each call: when it began, how long it took, who waited for whom,
what was asked, and what came of it."""

from __future__ import annotations

import time

from httpcapture import Outcome, Role
from httpcapture.addresses import endpoint
from httpcapture.durations import duration_text

from .asked import Asked
from .call_text import PrintedCall

_WIDTHS = (12, 8, 29, 20)  # of the columns before the last one: 79 in all, with a status
HEADS = ("UTC", "DURATION", "WHO", "REQUEST", "STATUS")
NOT_KNOWN = "-"


def columns(texts: tuple[str, str, str, str, str]) -> str:
    """Return the line of five columns; one that is too long moves those after it to the right."""
    moment, duration, *others = texts
    first = f"{moment:<{_WIDTHS[0]}} {duration:>{_WIDTHS[1]}}"
    padded = (f"{text:<{width}}" for text, width in zip(others, _WIDTHS[2:]))
    return "  ".join([first, *padded, others[-1]]) + "\n"


def call_line(call: PrintedCall, asked: Asked, began_ns: int) -> str:
    """Return the line of a call that began at `began_ns` (ns since 1970)."""
    duration = duration_text(call.end_ns - call.begin_ns)
    return columns((_clock(began_ns), duration, who(call), request(call, asked), _outcome(call, asked)))


def who(call: PrintedCall) -> str:
    """Return the process and its peer, and which of them asked: `shop:9200 < 10.0.3.5`, `shop > 10.0.4.2:9300`, or with
    `-` where that is not known."""
    if call.role == Role.SERVER:
        return f"{call.process}:{call.port} < {call.source}"
    return f"{call.process} {'>' if call.role == Role.CLIENT else '-'} {endpoint(call.destination, call.port)}"


def request(call: PrintedCall, asked: Asked) -> str:
    """Return method and path, or what is known instead."""
    return asked.request or ("TLS" if call.is_encrypted else NOT_KNOWN)


def _outcome(call: PrintedCall, asked: Asked) -> str:
    if call.outcome != Outcome.ANSWERED:
        return Outcome(call.outcome).name.lower().replace("_", " ")
    return asked.status or NOT_KNOWN


def _clock(at_ns: int) -> str:
    seconds, rest = divmod(at_ns, 1_000_000_000)
    return f"{time.strftime('%H:%M:%S', time.gmtime(seconds))}.{rest // 1_000_000:03}"
