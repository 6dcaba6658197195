"""Give the answers of a page as texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...answer.answer import Answer
from ...answer.words import Line, lines


class AnswerLines(NamedTuple):
    """Hold the answer about one host: what each line is about, empty for the first one, and what it says."""

    host: str
    lines: Sequence[Line]


def answer_lines(answers: Iterable[Answer]) -> Sequence[AnswerLines]:
    """Return the lines of answers."""
    return [AnswerLines(answer.host, list(lines(answer))) for answer in answers]
