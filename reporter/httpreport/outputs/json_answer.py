"""Make the fields of an answer in JSON: each word of it, and the numbers that it rests on."""

from __future__ import annotations

from typing import Any

from ..answer.answer import Also, Answer, Change, Code, HolderName, Holding, Network
from ..answer.words import lines
from ..calls.call import iso_since_1970
from .json_fields import route_fields


def answer_fields(answer: Answer) -> dict[str, Any]:
    """Return the fields of an answer."""
    return {
        "host": answer.host,
        "text": [line._asdict() for line in lines(answer)],
        "silence": answer.silence and answer.silence.value,
        "requests": {
            **route_fields(answer.subject.route),
            "process": answer.subject.process or None,
            **answer.requests._asdict(),
        },
        "earlier": answer.earlier and answer.earlier._asdict(),
        "change": answer.change and _change(answer.change),
        "holder": answer.holding and _holder(answer.holding),
        "code": answer.code and _code(answer.code),
        "network": answer.network and _network(answer.network),
        "places": answer.places and answer.places._asdict(),
        "also": answer.also and _also(answer.also),
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "at": None if change.at_ns is None else iso_since_1970(change.at_ns),
        "before": change.before._asdict(),
        "since": change.since._asdict(),
    }


def _name(who: HolderName) -> dict[str, Any]:
    return {
        "kind": who.kind.name.lower(),
        "process": who.process,
        "other": who.other or None,
        "port": who.port or None,
        "answering": who.answering or None,
    }


def _holder(holding: Holding) -> dict[str, Any]:
    return {
        "who": _name(holding.who),
        "least_ns": holding.least_ns,
        "most_ns": holding.most_ns,
        "of_ns": holding.of_ns,
        "requests": holding.requests,
        "is_extra": holding.is_extra,
        "shorter_calls": holding.shorter.value,
    }


def _code(code: Code) -> dict[str, Any]:
    return {**code._asdict(), "frames": list(code.frames)}


def _network(network: Network) -> dict[str, Any]:
    return {**network._asdict(), "verdict": network.verdict.value}


def _also(also: Also) -> dict[str, Any]:
    return {**also._asdict(), "kind": also.kind.value, "who": _name(also.who)}
