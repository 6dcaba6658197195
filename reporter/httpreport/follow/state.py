"""Define `State`: all that is known of a growing capture; and advance it by the records that were appended.

Calls are counted in a window (`window.py`) as long as their ends and heads may still come, and then settled. So memory
is bounded, and each turn takes the time of the window, not of the capture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from httpcapture import (
    Calls,
    Completions,
    CorruptRecord,
    End,
    Heads,
    HeadText,
    Lost,
    Meta,
    PackedStacks,
    Process,
    Record,
)

from ..calls.filters import Selection
from ..capture.lost_completions import completions_lost
from ..report.route_totals import Route, route_of, routes_of
from ..routes.routes import Routes
from .counted import Counted, Shown
from .window import Entry, Window

READ = (Calls, Completions, HeadText, Heads, Process, Lost, End)
"""The classes of the records that `advance` uses."""
MINUTE_NS = 60_000_000_000
NOTHING = Counted()


@dataclass(frozen=True)
class State:
    """Hold what was read of a capture so far."""

    window: Window
    settled: Counted = NOTHING
    late: int = 0
    """Of how many calls something was recorded only after they had been settled."""
    ambiguous: frozenset[int] = frozenset()  # numbers of several texts
    lost: Mapping[str, int] = field(default_factory=dict)  # by cause
    latest_ns: int = 0  # when the ledger was written last, on CLOCK_MONOTONIC
    end: End | None = None
    damage: str | None = None  # why nothing more can be read

    @classmethod
    def of(cls, meta: Meta, selection: Selection) -> State:
        """Return the state of a capture of which only META was read."""
        return cls(Window(meta, selection))

    @property
    def meta(self) -> Meta:
        """Return META."""
        return self.window.meta

    @cached_property
    def counted(self) -> Counted:
        """Return the totals of all calls."""
        return self.settled + self.window.counted

    @cached_property
    def recent(self) -> Counted:
        """Return the totals of the calls that began in the last `recent_ns`."""
        return self.window.since(self.now_ns - self.recent_ns)

    @property
    def recent_ns(self) -> int:
        """Return how long the last minute is, as far as it was recorded and its calls are in the window."""
        began_ns = self.window.first_ns if self.settled.recorded else self.meta.started_monotonic_ns
        return max(min(MINUTE_NS, self.now_ns - began_ns), 0)

    @cached_property
    def now_ns(self) -> int:
        """Return when something was recorded last, on CLOCK_MONOTONIC."""
        newest = self.counted.newest[0].ended_ns if self.counted.newest else 0
        return max(self.latest_ns, newest, self.meta.started_monotonic_ns)

    @property
    def has_heads(self) -> bool:
        """Return whether it is known of any call what it asks for."""
        return bool(self.window.texts)

    @cached_property
    def routes(self) -> Routes:
        """Return the routes of all requests."""
        return routes_of(self.counted.examples)

    def route(self, one: Shown) -> Route:
        """Return the route of a call."""
        return route_of(one.call.role, one.request, self.routes)

    @property
    def is_complete(self) -> bool:
        """Return whether nothing is known to be missing."""
        return not (self.damage or self.late or any(self.lost.values()))


def advance(state: State, records: Sequence[Record | PackedStacks]) -> State:
    """Return the state after these records, of the classes READ, which follow those that it knows."""
    if state.damage:
        return state
    for record in records:
        if isinstance(record, (Lost, End)):
            state = _lose(state, record)
    state = _with_texts(state, [record for record in records if isinstance(record, HeadText)])
    processes = [replace(record, maps=b"", modules=()) for record in records if isinstance(record, Process)]
    if processes:
        state = replace(state, window=replace(state.window, processes=(*state.window.processes, *processes)))
    return _with_entries(state, [record for record in records if isinstance(record, (Calls, Completions, Heads))])


def _lose(state: State, record: Lost | End) -> State:
    """Return the state after the ledger was written."""
    counts = record.counts if isinstance(record, Lost) else record.lost
    lost = {**state.lost, **{cause: max(count, state.lost.get(cause, 0)) for cause, count in counts.items()}}
    state = replace(state, lost=lost, latest_ns=max(state.latest_ns, record.at_ns))
    if isinstance(record, Lost):
        return state
    return replace(state, end=record, window=replace(state.window, is_whole=not completions_lost(lost)))


def _with_texts(state: State, heads: Sequence[HeadText]) -> State:
    """Return the state with more texts of heads. A number with two texts has none."""
    if not heads:
        return state
    texts, ambiguous = dict(state.window.texts), set(state.ambiguous)
    for head in heads:
        if texts.setdefault(head.number, head.text) != head.text:
            ambiguous.add(head.number)
    for number in ambiguous:
        texts.pop(number, None)
    return replace(state, ambiguous=frozenset(ambiguous), window=replace(state.window, texts=texts))


def _with_entries(state: State, entries: Sequence[Entry]) -> State:
    """Return the state with more of what is known of calls, up to the first damage."""
    sound: list[Entry] = []
    try:
        for entry in entries:
            state.window.check(entry)
            sound.append(entry)
    except CorruptRecord as error:
        state = replace(state, damage=str(error))
    if not sound:
        return state
    window = replace(state.window, entries=(*state.window.entries, *sound))
    late = window.strangers(sound) if state.settled.recorded else 0
    state = replace(state, window=window, late=state.late + late)
    if not window.is_full:
        return state
    counted, rest = window.settle()
    return replace(state, window=rest, settled=state.settled + counted)
