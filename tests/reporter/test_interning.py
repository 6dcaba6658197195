"""Check that equal values get equal numbers and different values different ones, whatever the values are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpreport.common.interning import UNKNOWN, Interner, bytes_of, words_of

WORDS = st.one_of(st.integers(0, 3), st.sampled_from([0, 1 << 63, (1 << 64) - 1]), st.integers(0, (1 << 64) - 1))
PAIRS = st.lists(st.tuples(WORDS, WORDS), max_size=60)


@given(st.lists(PAIRS, max_size=4), PAIRS)
def test_numbers_are_those_of_a_dictionary(batches: list[list[tuple[int, int]]], asked: list[tuple[int, int]]) -> None:
    interner = Interner(2)
    known: dict[tuple[int, int], int] = {}
    for pairs in batches:
        numbers = interner.intern(*np.array(pairs, np.uint64).reshape(-1, 2).T)
        for pair, number in zip(pairs, numbers.tolist()):
            assert known.setdefault(pair, number) == number

    assert sorted(known.values()) == list(range(len(interner)))
    values = list(zip(*interner.values.tolist()))
    assert {pair: values[number] for pair, number in known.items()} == {pair: pair for pair in known}
    found = interner.find(*np.array(asked, np.uint64).reshape(-1, 2).T).tolist()
    assert found == [known.get(pair, UNKNOWN) for pair in asked]


@pytest.mark.parametrize("distinct", [1, 1000, 100_000])
def test_a_table_that_grows_and_whose_values_collide(distinct: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(distinct).integers(0, distinct, 3 * distinct).astype(np.uint64) << np.uint64(40)
    interner = Interner()

    numbers = np.concatenate([interner.intern(part) for part in np.array_split(values, 3)])

    assert len(interner) == len(np.unique(values))
    assert (interner.values[0][numbers] == values).all()


def test_values_with_the_same_hash_are_distinguished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Interner, "_hashes", lambda self, words: words[0] * np.uint64(0))
    interner, values = Interner(), np.arange(50, dtype=np.uint64).repeat(2)

    numbers = interner.intern(values)

    assert sorted(numbers[::2].tolist()) == list(range(50))
    assert (interner.values[0][numbers] == values).all()


@given(st.lists(st.binary(max_size=16)))
def test_bytes_are_words_and_back(texts: list[bytes]) -> None:
    column = np.array(texts, "S16")

    assert bytes_of(np.stack(words_of(column))) == column.tolist()
