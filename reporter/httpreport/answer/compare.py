"""Make the answers of a comparison: which requests take longer in a later recording, and who holds the extra time.

Both recordings must have been made by the same rules: the same filters, and the same threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ..calls.totals import Latencies
from ..report.aggregate import Aggregate
from ..report.evidence import Evidence
from .answer import Answer, Change, Earlier, Silence, Subject
from .change import difference, is_cut
from .decide import FEWEST, Circumstances, by_subject, circumstances, facts, most_time, sampled, verdict
from .names import Names


def answers_between(before: Aggregate, after: Aggregate) -> Iterator[Answer]:
    """Yield the answer about each host of which there is evidence on both sides. If each side is of one host, they are
    compared although their names may differ. Both sides have the same routes."""
    names = Names(after.routes, {**before.examples, **after.examples})
    for earlier, host in _pairs(list(before.evidence), list(after.evidence)):
        one, other = circumstances(before, earlier), circumstances(after, host)
        floor_ns, hidden_ns = max(one.floor_ns, other.floor_ns), max(one.hidden_ns, other.hidden_ns)
        of_both = Circumstances(host, floor_ns, hidden_ns, one.is_complete and other.is_complete)
        answer = answer_between(before.evidence[earlier], after.evidence[host], names, of_both)
        if answer is not None:
            yield answer


def answer_between(before: Evidence, after: Evidence, names: Names, circumstances: Circumstances) -> Answer | None:
    """Return the answer about the requests that take the most extra time, or if none does, the most time. None if there
    are no requests."""
    subjects, earlier = by_subject(after, names), by_subject(before, names)
    if not subjects:
        return None
    old, new = sampled(before, names), sampled(after, names)
    changes = {
        subject: difference(old[subject], new[subject], circumstances.floor_ns)
        for subject in subjects
        if subject in old and subject in new
    }
    subject = _most_extra_time(subjects, changes) or most_time(subjects)
    requests = new.get(subject, [])
    answer = Answer(circumstances.host, subject, facts(subjects, subject, circumstances, len(requests)), None)
    answer = replace(answer, earlier=_earlier(earlier.get(subject)))
    if not circumstances.is_complete:
        return replace(answer, silence=Silence.INCOMPLETE)
    if min(len(requests), len(old.get(subject, ()))) < FEWEST:
        return replace(answer, silence=Silence.FEW)
    if any(is_cut(side, circumstances.floor_ns) for side in (old[subject], requests)):
        return replace(answer, silence=Silence.CUT)
    changed = changes[subject]
    return verdict(answer, changed, old[subject] if changed else (), requests, names)


def _pairs(before: Sequence[str], after: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Return the hosts that are compared, earlier and later."""
    if len(before) == len(after) == 1:
        return [(before[0], after[0])]
    return [(host, host) for host in sorted({*before} & {*after})]


def _most_extra_time(subjects: Mapping[Subject, Latencies], changes: Mapping[Subject, Change | None]) -> Subject | None:
    """Return the subject whose requests take longer by the most time in all, or None if none takes longer."""
    extra = {
        subject: subjects[subject].totals.calls * (change.since.p50_ns - change.before.p50_ns)
        for subject, change in changes.items()
        if change is not None and change.is_longer
    }
    return min(extra, key=lambda one: (-extra[one], one)) if extra else None


def _earlier(latencies: Latencies | None) -> Earlier:
    return Earlier(latencies.totals.calls, latencies.quantile_ns(0.5)) if latencies else Earlier(0, None)
