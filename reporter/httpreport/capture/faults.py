"""Describe what contradicts itself in a capture and what exceeds the format's limits (format/FORMAT.md).

A report, --info and --verify use these texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from httpcapture import (
    CallCauses,
    Code,
    Completions,
    Heads,
    HeadText,
    JitMap,
    Lost,
    Module,
    Process,
    Section,
    ShortCalls,
)

from ..calls.lazy_table import ImpossibleTimes
from ..common.printable import printable
from .module_sections import NOT_FOLLOWING, Extent

NAMED = 3  # how many broken sections and JIT maps are named
_NO_DURATION = "they are shown with 0 ms"
_LACKING = "some frames may have no name"
_WITHOUT_HEADS = "of some calls it is not known what was asked for"
_LEFT_OUT: dict[type, tuple[str, str]] = {  # the plural of a record class, and what follows if records are missing
    Module: ("modules", _LACKING),
    Section: ("parts of modules", _LACKING),
    Process: ("process maps", _LACKING),
    JitMap: ("parts of JIT maps", _LACKING),
    Code: ("code objects", _LACKING),
    HeadText: ("heads of requests and responses", _WITHOUT_HEADS),
    Heads: ("lists of which heads calls have", _WITHOUT_HEADS),
    CallCauses: ("lists of causes of calls", "of some calls it is not known for which request they were made"),
    Lost: ("states of the ledger", "more may have been lost than is shown"),
    ShortCalls: ("calls below the threshold", "self times may hold what they took"),
    Completions: ("ends of responses", "some calls took longer than is shown"),
}


@dataclass(frozen=True)
class Faults:
    """Count faults by kind. Its names are safe to print."""

    left_out: Mapping[tuple[type, str], int] = field(default_factory=dict)  # Reader.left_out
    impossible: ImpossibleTimes = field(default_factory=ImpossibleTimes)
    repeated: int = 0  # calls that share the key of a completion with another call
    modules: int = 0  # ids that two different modules have
    stacks: int = 0  # ids that two different stacks have
    heads: int = 0  # numbers that two different heads have
    gaps: Sequence[str] = ()  # sections and JIT maps whose parts do not follow each other
    unnamed: Mapping[str, int] = field(default_factory=dict)  # RecordedStacks.left_out
    written: int | None = None  # calls that END counts; None: the capture has no END
    recorded: int = 0  # calls that were read

    def beyond_limits(self) -> Iterator[str]:
        """Yield a line for each limit beyond which something was not read."""
        for (kind, limit), count in self.left_out.items():
            what, consequence = _LEFT_OUT[kind]
            yield f"{what} beyond the limit of {limit}: {count:,} were not read: {consequence}"
        for what, count in self.unnamed.items():
            remedy = "keep fewer calls by a higher -t or a narrower -p"
            yield f"{what} left out for lack of memory: {count:,}: {_LACKING}; {remedy}"

    def damage(self) -> Iterator[str]:
        """Yield a line for each kind of contradiction."""
        backwards, beyond = self.impossible.backwards, self.impossible.beyond
        if backwards:
            yield f"calls that end before they begin: {backwards:,} (damage): {_NO_DURATION}"
        if beyond:
            yield f"calls more than 146 years after the start of the host: {beyond:,} (damage): {_NO_DURATION}"
        if self.impossible.responses:
            count = f"{self.impossible.responses:,} (damage)"
            yield f"responses that end before they begin, or after 146 years: {count}: their ends are not used"
        if self.repeated:
            what = "calls that share connection and sequence, and so a completion"
            yield f"{what}: {self.repeated:,} (damage): the ends of their responses may be mixed up"
        if self.modules:
            yield f"module ids that two modules share: {self.modules:,} (damage): frames in these modules have no name"
        if self.stacks:
            yield f"stack ids that two stacks share: {self.stacks:,} (damage): their calls have no stack trace"
        if self.heads:
            yield f"numbers that two heads share: {self.heads:,} (damage): {_WITHOUT_HEADS}"
        if self.gaps:
            named = ", ".join(self.gaps[:NAMED]) + (", ..." if len(self.gaps) > NAMED else "")
            yield f"parts that do not follow each other: {len(self.gaps):,} (damage: {named}): {_LACKING}"
        if self.written is not None and self.written < self.recorded:
            counts = f"END counts {self.written:,} calls, but the file has {self.recorded:,}"
            yield f"{counts} (damage): one of the two is wrong"

    def missing(self) -> Iterator[str]:
        """Yield a line if END counts more calls than were read."""
        if self.written is not None and self.written > self.recorded:
            yield f"{self.recorded:,} of {self.written:,} calls were read: the others are missing"


def gaps_in(sections: Mapping[int, Mapping[str, Extent]], jit_maps: Iterable[tuple[int, Extent]]) -> list[str]:
    """Return names of the sections and JIT maps whose parts do not follow each other.

    Sections are given by module, JIT maps with pids.
    """
    of_modules = ((id, name, whole) for id, joined in sections.items() for name, whole in joined.items())
    return [
        *(
            f"module {id} {printable(name) or 'whole file'}"
            for id, name, whole in of_modules
            if whole.problem == NOT_FOLLOWING
        ),
        *(f"JIT map of process {pid}" for pid, text in jit_maps if text.problem == NOT_FOLLOWING),
    ]
