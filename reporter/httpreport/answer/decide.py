"""Make the answers of a report by rules that are pure functions of its evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..calls.totals import Latencies, LatencyMerger
from ..report.aggregate import Aggregate
from ..report.evidence import Evidence, Sampled
from ..report.recordings import runs_of
from .also import also
from .answer import Answer, Requests, Silence, Subject
from .asking import code, network
from .change import change
from .holders import extra, holding, rows_of
from .names import Names
from .places import places

FEWEST = 30  # requests of which more is said than facts


class Circumstances(NamedTuple):
    """Hold what an answer depends on apart from the evidence."""

    host: str
    floor_ns: int  # shorter calls are not in the report
    is_complete: bool  # no call was lost, cut off or left out


def answers(whole: Aggregate) -> Iterator[Answer]:
    """Yield the answer about each host of which there is evidence. Trees are of one host, so that requests which
    several hosts recorded are in several answers."""
    names = Names(whole.routes, whole.examples)
    for host, evidence in sorted(whole.evidence.items()):
        captures = [facts for facts in whole.captures if facts.host == host]
        is_complete = evidence.captures == len(captures) and all(run.has_all_calls for run in runs_of(captures))
        floor_ns = max((facts.floor_ns for facts in captures), default=0)
        answer = answer_of(evidence, names, Circumstances(host, floor_ns, is_complete))
        if answer is not None:
            yield answer


def answer_of(evidence: Evidence, names: Names, circumstances: Circumstances) -> Answer | None:
    """Return the answer about the requests that take the most time, or None if there are none."""
    by_subject = LatencyMerger[Subject]()
    by_subject.add((names.subject(asked), latencies) for asked, latencies in evidence.latencies.items())
    subjects = by_subject.merged()
    if not subjects:
        return None
    subject = min(subjects, key=lambda one: (-subjects[one].totals.time_ns, one))
    requests = [one for one in evidence.sample if one.is_finished and names.subject(one.asked) == subject]
    requests.sort(key=lambda one: (one.start_ns, one.order))
    of_ns = sum(one.totals.time_ns for one in subjects.values())
    facts = _facts(subjects[subject], of_ns, circumstances.floor_ns, len(requests))
    if not circumstances.is_complete:
        return Answer(circumstances.host, subject, facts, Silence.INCOMPLETE)
    if len(requests) < FEWEST:
        found = holding(requests, names) if requests else None
        return Answer(circumstances.host, subject, facts, Silence.FEW, holding=found)
    return _verdict(Answer(circumstances.host, subject, facts, None), requests, names)


def _verdict(answer: Answer, requests: Sequence[Sampled], names: Names) -> Answer:
    """Return the answer with all that is certain of these requests, which are in the order in which they began."""
    changed = change(requests)
    split = changed.before.requests if changed else 0
    before, since = requests[:split], requests[split:]
    found = extra(before, since, changed, names) if changed and changed.is_longer else holding(since, names)
    answer = replace(answer, change=changed, also=also(before, since, names))
    if found is None:
        return replace(answer, silence=Silence.NOT_CERTAIN)
    earlier, rows = (list(rows_of(found.who, some, names)) for some in (before, since))
    tcp = network(found.who.kind, rows)
    return replace(answer, holding=found, code=code(rows), network=tcp, places=places(earlier, rows))


def _facts(latencies: Latencies, of_ns: int, floor_ns: int, sampled: int) -> Requests:
    """Return how long requests took of the time of all."""
    totals, p50_ns, p99_ns = latencies.totals, latencies.quantile_ns(0.5), latencies.quantile_ns(0.99)
    return Requests(totals.calls, totals.time_ns, of_ns, p50_ns, p99_ns, floor_ns, sampled)
