r"""Match texts from a capture with an expression from the command line, in time that grows with the text only.

`re` tries the alternatives of an expression one after the other, so a path that somebody chose can take it hours
(`(a+)+b`). Here all alternatives are followed at the same time (Thompson 1968), and each set of states is computed
once.
The price is a smaller language: literals, `.`, `[a-z]`, `[^a-z]`, `\d`, `\w`, `\s`, `\D`, `\W`, `\S`, `|`, `(...)`,
`(?:...)`, `*`, `+`, `?`, `{m}`, `{m,}`, `{m,n}`, `^` at the beginning and `$` at the end. Classes are of ASCII, as with
re.ASCII. An expression is searched for anywhere in a text.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Optional

MAX_STATES = 5_000  # of one expression, with its repetitions written out
MAX_SETS = 2_000  # sets of states whose next ones are remembered
STEPS_OF_A_SET = 16  # of each set, for so many characters on average

Test = Callable[[str], bool]
"""Say whether a state may be left with this character."""
Fragment = Callable[[int], int]
"""Build the states of a part of an expression before the state with this number, and return the first of them."""

_CLASSES = {
    "d": frozenset(string.digits),
    "w": frozenset(string.ascii_letters + string.digits + "_"),
    "s": frozenset(" \t\n\r\f\v"),
}
_ACCEPTED = 0


class Matcher:
    """Match texts with one expression."""

    def __init__(self, fragment: Callable[[States], Fragment], *, from_start: bool, to_end: bool) -> None:
        states = States()
        self._states, self._from_start, self._to_end = states, from_start, to_end
        self._first = states.closure([fragment(states)(_ACCEPTED)])
        self._next = lru_cache(maxsize=MAX_SETS * STEPS_OF_A_SET)(self._follow)

    def matches(self, text: str) -> bool:
        """Return whether the text has a part, or is as a whole, what the expression asks for."""
        current = self._first
        for character in text:
            if _ACCEPTED in current and not self._to_end:
                return True
            current = self._next(current, character)
            if not current:
                return False
        return _ACCEPTED in current

    def _follow(self, current: frozenset[int], character: str) -> frozenset[int]:
        following = self._states.closure(self._states.after(current, character))
        return following if self._from_start else following | self._first


class States:
    """Hold the states of an expression: each has a test and the state after it, or several next states and no test."""

    def __init__(self) -> None:
        self._tests: list[Optional[Test]] = [None]
        self._next: list[tuple[int, ...]] = [()]  # the first state, _ACCEPTED, has no next one

    def add(self, test: Optional[Test], *following: int) -> int:
        """Add a state and return its number. Raises ValueError if there are too many."""
        if len(self._tests) == MAX_STATES:
            raise ValueError(f"the expression has more than {MAX_STATES:,} states: repeat less")
        self._tests.append(test)
        self._next.append(following)
        return len(self._tests) - 1

    def loop(self, body: Fragment, behind: int) -> int:
        """Add a state that goes on behind or through `body`, which leads back to it, and return its number."""
        number = self.add(None)
        self._next[number] = (body(number), behind)
        return number

    def closure(self, numbers: Iterable[int]) -> frozenset[int]:
        """Return the states in which a character is awaited, or the end, when these are reached."""
        found, pending = set[int](), list(numbers)
        while pending:
            number = pending.pop()
            if number not in found:
                found.add(number)
                pending += () if self._tests[number] else self._next[number]
        return frozenset(number for number in found if self._tests[number] or number == _ACCEPTED)

    def after(self, numbers: Iterable[int], character: str) -> Iterator[int]:
        """Yield the states that are reached from these by a character."""
        for number in numbers:
            test = self._tests[number]
            if test is not None and test(character):
                yield from self._next[number]


def regular_expression(text: str) -> Matcher:
    """Return the matcher of a regular expression in the language above. Raises ValueError."""
    from_start, to_end = text.startswith("^"), _ends_with_dollar(text)
    inner = text[from_start : len(text) - to_end]
    if (from_start or to_end) and "|" in inner:
        _Parser(inner, States()).refuse_bare_alternatives()
    return Matcher(lambda states: _Parser(inner, states).whole(), from_start=from_start, to_end=to_end)


def glob(text: str) -> Matcher:
    """Return the matcher of a path pattern: `*` stands for any characters but `/`, `**` for any, `?` for one but
    `/`. The pattern stands for the whole path."""

    def fragment(states: States) -> Fragment:
        parts: list[Fragment] = []
        position = 0
        while position < len(text):
            if text.startswith("**", position):
                parts.append(_star(states, _one(states, _any)))
                position += 1
            elif text[position] == "*":
                parts.append(_star(states, _one(states, _not_slash)))
            else:
                parts.append(_one(states, _not_slash if text[position] == "?" else text[position].__eq__))
            position += 1
        return _sequence(parts)

    return Matcher(fragment, from_start=True, to_end=True)


def _any(_: str) -> bool:
    return True


def _not_slash(character: str) -> bool:
    return character != "/"


def _ends_with_dollar(text: str) -> bool:
    before = text[:-1]
    return text.endswith("$") and (len(before) - len(before.rstrip("\\"))) % 2 == 0


def _one(states: States, test: Test) -> Fragment:
    return lambda behind: states.add(test, behind)


def _star(states: States, body: Fragment) -> Fragment:
    return lambda behind: states.loop(body, behind)


def _sequence(parts: list[Fragment]) -> Fragment:
    def build(behind: int) -> int:
        for part in reversed(parts):
            behind = part(behind)
        return behind

    return build


class _Parser:
    """Parse an expression, from left to right."""

    def __init__(self, text: str, states: States) -> None:
        self._text, self._states, self._position, self._depth = text, states, 0, 0

    def whole(self) -> Fragment:
        found = self._alternatives()
        if self._position < len(self._text):
            raise self._error("this ) has no (")
        return found

    def refuse_bare_alternatives(self) -> None:
        """Raise ValueError if a | is in no group, where ^ or $ would belong to one side only."""
        self._sequence()
        if self._peek() == "|":
            raise self._error("put alternatives between ^ and $ into ( )")

    def _alternatives(self) -> Fragment:
        several = [self._sequence()]
        while self._peek() == "|":
            self._position += 1
            several.append(self._sequence())
        if len(several) == 1:
            return several[0]
        return lambda behind: self._states.add(None, *(one(behind) for one in several))

    def _sequence(self) -> Fragment:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return _sequence(parts)

    def _repeated(self, body: Fragment) -> Fragment:
        bounds = self._bounds()
        if bounds is None:
            return body
        least, most = bounds
        if self._peek() in ("*", "+", "?") or self._bounds() is not None:
            raise self._error("a repetition cannot be repeated; put it into ( )")
        parts = [body] * least
        if most is None:
            return _sequence([*parts, _star(self._states, body)])

        def build(behind: int) -> int:
            first = behind
            for _ in range(most - least):
                first = self._states.add(None, body(first), behind)
            return _sequence(parts)(first)

        return build

    def _bounds(self) -> Optional[tuple[int, Optional[int]]]:
        """Take `*`, `+`, `?` or `{m,n}`, and return how often it repeats; None if there is none of them."""
        simple: dict[str, tuple[int, Optional[int]]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        sign = self._peek()
        if sign in simple:
            self._position += 1
            return simple[sign]
        if sign != "{":
            return None
        end = self._text.find("}", self._position)
        least, comma, most = self._text[self._position + 1 : max(end, 0)].partition(",")
        if not (least.isdecimal() and least.isascii() and (most == "" or (most.isdecimal() and most.isascii()))):
            raise self._error("{ begins a repetition such as {2,3}; \\{ is the character")
        bounds = int(least[:9]), (int(most[:9]) if most else None) if comma else int(least[:9])
        if max(bounds[0], bounds[1] or 0) > MAX_STATES or (bounds[1] is not None and bounds[1] < bounds[0]):
            raise self._error(f"a repetition goes from fewer to more, up to {MAX_STATES:,}")
        self._position = end + 1
        return bounds

    def _atom(self) -> Fragment:
        sign = self._take()
        if sign == "(":
            return self._group()
        if sign == "[":
            return _one(self._states, self._set())
        if sign == ".":
            return _one(self._states, _any)
        if sign == "\\":
            return _one(self._states, self._escaped())
        if sign in "*+?{^$":
            raise self._error(f"{sign} is not possible here; \\{sign} is the character")
        return _one(self._states, sign.__eq__)

    def _group(self) -> Fragment:
        if self._text.startswith("?:", self._position):
            self._position += 2
        elif self._peek() == "?":
            raise self._error("(? is not possible, except (?:")
        self._depth += 1
        if self._depth > 50:
            raise self._error("too many groups are in each other")
        inner = self._alternatives()
        self._depth -= 1
        if self._take() != ")":
            raise self._error("a ( has no )")
        return inner

    def _escaped(self) -> Test:
        sign = self._take()
        if sign.lower() in _CLASSES:
            members = _CLASSES[sign.lower()]
            return members.__contains__ if sign.islower() else lambda character: character not in members
        if sign == "" or sign.isalnum():
            raise self._error(f"\\{sign} is not possible")
        return sign.__eq__

    def _set(self) -> Test:
        negated = self._peek() == "^"
        self._position += negated
        tests: list[Test] = []
        while self._peek() != "]" or not tests:
            tests.append(self._member())
        self._position += 1
        return lambda character: negated != any(test(character) for test in tests)

    def _member(self) -> Test:
        sign = self._take()
        if sign == "":
            raise self._error("a [ has no ]")
        if sign == "\\":
            return self._escaped()
        if self._peek() == "-" and self._text[self._position + 1 : self._position + 2] not in ("", "]"):
            self._position += 1
            last = self._take()
            if last == "\\" or last < sign:
                raise self._error("a range goes from a lower to a higher character")
            return lambda character: sign <= character <= last
        return sign.__eq__

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _take(self) -> str:
        self._position += 1
        return self._text[self._position - 1 : self._position]

    def _error(self, why: str) -> ValueError:
        return ValueError(f"{self._text!r}: {why} (at character {self._position})")
