"""Make the answers of a report by rules that are pure functions of its evidence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..calls.totals import Latencies, LatencyMerger
from ..report.aggregate import Aggregate
from ..report.evidence import Evidence, Sampled
from ..report.recordings import runs_of
from .also import also
from .answer import Answer, Change, Requests, Silence, Subject
from .asking import code, network
from .change import change
from .holders import extra, holding, rows_of
from .names import Names
from .places import places

FEWEST = 30  # requests of which more is said than facts


class Circumstances(NamedTuple):
    """Hold what an answer depends on apart from the evidence."""

    host: str
    floor_ns: int  # shorter requests are not in the report
    hidden_ns: int  # shorter calls that were made for them are not known; 0: all are
    is_complete: bool  # no call was lost, cut off or left out


def answers(whole: Aggregate) -> Iterator[Answer]:
    """Yield the answer about each host of which there is evidence. Trees are of one host, so that requests which
    several hosts recorded are in several answers."""
    names = Names(whole.routes, whole.examples)
    for host, evidence in sorted(whole.evidence.items()):
        answer = answer_of(evidence, names, circumstances(whole, host))
        if answer is not None:
            yield answer


def circumstances(whole: Aggregate, host: str) -> Circumstances:
    """Return the circumstances of the answer about a host of which there is evidence."""
    captures = [facts for facts in whole.captures if facts.host == host]
    is_whole = whole.evidence[host].captures == len(captures)
    floor_ns, hidden_ns = (max(getattr(facts, name) for facts in captures) for name in ("floor_ns", "hidden_ns"))
    return Circumstances(host, floor_ns, hidden_ns, is_whole and all(run.has_all_calls for run in runs_of(captures)))


def answer_of(evidence: Evidence, names: Names, circumstances: Circumstances) -> Answer | None:
    """Return the answer about the requests that take the most time, or None if there are none."""
    subjects = by_subject(evidence, names)
    if not subjects:
        return None
    subject = most_time(subjects)
    requests = sampled(evidence, names).get(subject, [])
    answer = Answer(circumstances.host, subject, facts(subjects, subject, circumstances, len(requests)), None)
    if not circumstances.is_complete:
        return replace(answer, silence=Silence.INCOMPLETE)
    if len(requests) < FEWEST:
        return replace(answer, silence=Silence.FEW, holding=holding(requests, names) if requests else None)
    changed = change(requests, circumstances.floor_ns)
    split = changed.before.requests if changed else 0
    return verdict(answer, changed, requests[:split], requests[split:], names)


def by_subject(evidence: Evidence, names: Names) -> Mapping[Subject, Latencies]:
    """Return how long the requests of each subject took."""
    merger = LatencyMerger[Subject]()
    merger.add((names.subject(asked), latencies) for asked, latencies in evidence.latencies.items())
    return merger.merged()


def most_time(subjects: Mapping[Subject, Latencies]) -> Subject:
    """Return the subject whose requests took the most time."""
    return min(subjects, key=lambda one: (-subjects[one].totals.time_ns, one))


def sampled(evidence: Evidence, names: Names) -> Mapping[Subject, list[Sampled]]:
    """Return the finished requests of the sample by subject, in the order in which they began."""
    found: defaultdict[Subject, list[Sampled]] = defaultdict(list)
    for one in sorted(evidence.sample, key=lambda one: (one.start_ns, one.order)):
        if one.is_finished:
            found[names.subject(one.asked)].append(one)
    return found


def verdict(
    answer: Answer, changed: Change | None, before: Sequence[Sampled], since: Sequence[Sampled], names: Names
) -> Answer:
    """Return the answer with all that is certain of the requests since a change; `before` is empty without one."""
    found = extra(before, since, changed, names) if changed and changed.is_longer else holding(since, names)
    answer = replace(answer, change=changed, also=also(before, since, names))
    if found is None:
        return replace(answer, silence=Silence.NOT_CERTAIN)
    earlier, rows = (list(rows_of(found.who, some, names)) for some in (before, since))
    tcp = network(found.who.kind, rows)
    return replace(answer, holding=found, code=code(rows), network=tcp, places=places(earlier, rows))


def facts(
    subjects: Mapping[Subject, Latencies], subject: Subject, circumstances: Circumstances, sampled: int
) -> Requests:
    """Return how long the requests of a subject took of the time of all."""
    of_ns, latencies = sum(one.totals.time_ns for one in subjects.values()), subjects[subject]
    totals, p50_ns, p99_ns = latencies.totals, latencies.quantile_ns(0.5), latencies.quantile_ns(0.99)
    _, floor_ns, hidden_ns, _ = circumstances
    return Requests(totals.calls, totals.time_ns, of_ns, p50_ns, p99_ns, floor_ns, hidden_ns, sampled)
