"""Shuffle keys, rotations and permutations: in range, spread, and the same for ever."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from omics_datastore.shuffle import KEY_SPACE, key_spans, permutation, rotation, shuffle_keys

SHA = "a" * 64


@given(st.integers(0, 2**40), st.integers(0, 50), st.integers(0, 50))
def test_keys_of_a_range_do_not_depend_on_where_it_begins(start: int, first: int, second: int) -> None:
    middle, stop = start + first, start + first + second
    parts = [shuffle_keys("lung", SHA, start, middle), shuffle_keys("lung", SHA, middle, stop)]
    np.testing.assert_array_equal(np.concatenate(parts), shuffle_keys("lung", SHA, start, stop))


def test_a_million_keys_are_distinct_and_spread() -> None:
    keys = shuffle_keys("lung", SHA, 0, 1_000_000)
    assert keys.dtype == np.int64
    assert keys.min() >= 0
    assert len(np.unique(keys)) == len(keys)
    # Chi-squared over 1000 equal ranges: mean 999, standard deviation 44.7.
    filled = np.bincount((keys >> 43) * 1000 >> 20, minlength=1000)
    assert ((filled - 1000) ** 2 / 1000).sum() < 999 + 6 * 44.7
    # Neighbours in the file are strangers in the order.
    assert abs(np.corrcoef(keys[:-1], keys[1:])[0, 1]) < 0.01


def test_keys_depend_on_dataset_and_content() -> None:
    base = set(shuffle_keys("lung", SHA, 0, 1000).tolist())
    assert not base & set(shuffle_keys("lungs", SHA, 0, 1000).tolist())
    assert not base & set(shuffle_keys("lung", "b" * 64, 0, 1000).tolist())


@given(st.integers())
def test_rotation_is_a_key(seed: int) -> None:
    assert 0 <= rotation(seed) < KEY_SPACE
    assert rotation(0) == 0
    assert seed == 0 or rotation(seed) != rotation(seed + 1)


@given(st.integers(0, 300), st.integers(), st.text(max_size=5))
def test_permutation_is_one(length: int, seed: int, word: str) -> None:
    order = permutation(length, seed, word)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(length))
    np.testing.assert_array_equal(order, permutation(length, seed, word))


def test_every_word_of_a_permutation_counts() -> None:
    made = {tuple(permutation(20, *words).tolist()) for words in [(0, "a"), (1, "a"), (0, "b"), (0,), (0, "a", 0)]}
    assert len(made) == 5


def test_values_never_change() -> None:
    """A changed value here gives every user other bins for the same specification."""
    assert shuffle_keys("lung", SHA, 0, 4).tolist() == [
        1228212547703528635,
        5983543721994477276,
        1974975356893281673,
        4243673232212578275,
    ]
    assert [rotation(seed) for seed in (0, 1, 7)] == [0, 2533368631514104501, 7052321923970919454]
    assert permutation(8, 0, "bin", 3).tolist() == [1, 7, 3, 5, 6, 0, 4, 2]


@given(st.integers(0, KEY_SPACE - 1), st.integers(1, 40))
def test_spans_go_round_the_key_space_once(first_key: int, parts: int) -> None:
    spans = key_spans(first_key, parts)
    assert parts <= len(spans) <= parts + 1
    assert spans[0][0] == first_key
    assert sum(last - first + 1 for first, last in spans) == KEY_SPACE
    assert all(first == (before + 1) % KEY_SPACE for (_, before), (first, _) in itertools.pairwise(spans))
    assert all(0 <= first <= last < KEY_SPACE for first, last in spans)
