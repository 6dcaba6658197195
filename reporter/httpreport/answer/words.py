"""Say an answer in words, which are the same in all outputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from httpcapture import Role
from httpcapture.durations import duration_text

from ..common.counted import counted
from ..report.evidence import HolderKind
from ..report.time_span import moment_text
from .answer import (
    Also,
    AlsoKind,
    Answer,
    HolderName,
    Holding,
    Network,
    Places,
    Requests,
    Shorter,
    Silence,
    Subject,
    Verdict,
)
from .decide import FEWEST

FEW_FRAMES = 3  # of the code that asks are named

WHY_NOT = {
    Silence.INCOMPLETE: "not said, because calls may be missing",
    Silence.FEW: f"not said of fewer than {FEWEST} requests",
    Silence.CUT: "not said, because many take about that long: shorter ones may be missing on either side",
    Silence.NOT_CERTAIN: "not known: nothing held more than half of this time for certain",
}
EXTRA_NOT_CERTAIN = "not known: nothing held more than half of the extra time for certain"


class Line(NamedTuple):
    """Hold one line of an answer: what it is about, empty for the first one, and what it says."""

    about: str
    text: str


def lines(answer: Answer) -> Iterator[Line]:
    """Yield the lines of an answer."""
    yield Line("", _first(answer))
    if answer.holding is not None:
        about = "why" if answer.silence is None else "most"
        yield Line(about, f"{_who(answer.holding, answer)}: {_amount(answer.holding)}")
    if answer.silence is not None:
        yield Line("why", EXTRA_NOT_CERTAIN if answer.change and answer.change.is_longer else WHY_NOT[answer.silence])
    if answer.code is not None:
        shown = " < ".join(answer.code.frames[:FEW_FRAMES])
        more = " < ..." if len(answer.code.frames) > FEW_FRAMES else ""
        yield Line("code", f"{answer.code.process} asks in {shown}{more}")
    if answer.network is not None and answer.holding is not None:
        yield Line("network", _network(answer.network, answer.holding))
    if answer.places is not None:
        yield Line("where", _where(answer.places))
    if answer.also is not None:
        yield Line("also", _also(answer.also))


def _first(answer: Answer) -> str:
    requests, (what, takes) = answer.requests, _subject(answer.subject)
    floor = f"{duration_text(requests.floor_ns)} or more" if requests.floor_ns else ""
    if answer.silence in {Silence.FEW, Silence.CUT}:
        those = f"{counted(requests.calls, 'request')}{f' of {floor}' if floor else ''}"
        count = answer.earlier and (f"{answer.earlier.requests:,}" if answer.earlier.requests else "none")
        before = f"; {count} before" if count else ""
        return f"{what}: {those} took {duration_text(requests.time_ns)} in all{_share(requests)}{before}"
    return f"{what} {takes} {_how_long(answer)}{f' where that is {floor}' if floor else ''}{_share(requests)}"


def _share(requests: Requests) -> str:
    """Return which part of the time of all requests these took; empty if there are no others."""
    if requests.time_ns == requests.of_ns:
        return ""
    such = "such " if requests.floor_ns else ""
    return f", {requests.time_ns * 100 // requests.of_ns} % of the time of all {such}requests"


def _how_long(answer: Answer) -> str:
    """Return how long the requests take, and before a change."""
    if answer.change is not None:
        at_ns, before, since = answer.change
        moment = "" if at_ns is None else f" since {moment_text(at_ns)}"
        return f"{duration_text(since.p50_ns)}{moment}, {duration_text(before.p50_ns)} before"
    now = f"{duration_text(answer.requests.p50_ns)} (p99 {duration_text(answer.requests.p99_ns)})"
    if answer.earlier is None or answer.earlier.p50_ns is None:
        return now
    judged = "" if answer.silence is Silence.INCOMPLETE else ", which is no change that stands out"
    return f"{now}, {duration_text(answer.earlier.p50_ns)} before{judged}"


def _subject(subject: Subject) -> tuple[str, str]:
    """Return which requests an answer is about, and the verb that follows."""
    if subject.route.path:
        return subject.route.what, "takes"
    at = f" at {subject.route.authority}" if subject.route.authority else ""
    how: dict[int, str] = {Role.CLIENT: "requests of", Role.SERVER: "requests to"}
    return f"{how.get(subject.route.role, 'calls of')} {subject.process}{at}", "take"


def _who(holding: Holding, answer: Answer) -> str:
    who = holding.who
    if who.kind is HolderKind.UNSEEN:
        return f"{who.process} waits for {who.other} or the network to it"
    if who.kind is HolderKind.BETWEEN:
        return f"between {who.process} and {who.other}"
    says_more = who.answering not in {"", answer.subject.route.asked}
    answering = f", answering {who.answering}" if says_more else ""
    if answer.also and answer.also.kind is AlsoKind.REPEATED and _is_same(answer.also.who, who):
        answering += f", asked {counted(answer.also.seen, 'time')} for one request"
    is_known = holding.shorter is Shorter.NO
    hidden_ns = answer.requests.hidden_ns if is_known else answer.requests.floor_ns
    shorter = f"calls of less than {duration_text(hidden_ns)}" if hidden_ns else ""
    if holding.shorter is Shorter.YES:
        return f"{shorter} that {who.process}:{who.port} made{answering}"
    return f"{who.process}:{who.port} itself{answering}{shorter and f', or {shorter} that it made'}"


def _is_same(one: HolderName, other: HolderName) -> bool:
    """Return whether two names are of one process, whatever it answers."""
    return (one.kind, one.process, one.port) == (other.kind, other.process, other.port)


def _amount(holding: Holding) -> str:
    least, most = duration_text(holding.least_ns), duration_text(holding.most_ns)
    at_least = "at least " if least != most else ""
    of = f"the extra {duration_text(holding.of_ns)}" if holding.is_extra else duration_text(holding.of_ns)
    return f"{at_least}{least} of {of}"


def _network(network: Network, holding: Holding) -> str:
    facts = ", ".join(_tcp_facts(network))
    if network.verdict is Verdict.NO:
        return f"no: {facts}"
    return f"not known: {_why_not_known(network, holding)}{f'; {facts}' if facts else ''}"


def _why_not_known(network: Network, holding: Holding) -> str:
    if not network.calls:
        return f"who asks {holding.who.process}:{holding.who.port} was not recorded"
    if holding.who.kind is HolderKind.UNSEEN:
        return f"{holding.who.other} was not recorded"
    if network.both_ends < network.calls or network.round_trip_ns is None:
        return "TCP did not tell enough"
    return "segments were sent again" if network.retransmitted else "round trips explain it in part"


def _tcp_facts(network: Network) -> Iterator[str]:
    if network.round_trip_ns is not None:
        yield f"round trip at most {duration_text(network.round_trip_ns)}"  # it has delays of acknowledgements, too
    if network.both_ends:
        yield f"{network.retransmitted:,} of {network.segments:,} segments sent again"


def _where(places: Places) -> str:
    if places.only is None or places.others_p50_ns is None:
        return f"at all {places.places:,} places that were asked, {duration_text(places.p50_ns)} each"
    others = f"{duration_text(places.others_p50_ns)} at the {places.places - 1:,} others"
    return f"only at {places.only}: {duration_text(places.p50_ns)}, but {others}"


def _also(also: Also) -> str:
    who = f"{also.who.process}:{also.who.port}" if also.who.kind is HolderKind.ITSELF else also.who.other
    if also.kind is AlsoKind.AGAIN:
        return f"{also.asker} asks {who} again after a failure: {also.seen:,} of {also.calls:,} calls"
    if also.kind is AlsoKind.CONNECTS:
        return f"{also.asker} makes a new connection to {who} for {also.seen:,} of {also.calls:,} calls"
    before = "" if also.before is None else f", before {counted(also.before, 'time')}"
    how = ", one after the other" if also.one_by_one else ""
    return f"{also.asker} asks {who} {counted(also.seen, 'time')} for one request{how}{before}"
