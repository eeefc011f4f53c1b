"""Shuffling by hash: shuffle keys of cells, the rotation of a seed, small permutations.

The one generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014), written out here so that the same input gives the same order under any
version of any library.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
KEY_SPACE = 2**63
"""Shuffle keys are integers from 0 up to, not including, this number."""


def mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the output function of SplitMix64, which is one to one.

    :param state: uint64 values.
    :return: uint64 values of the same shape.
    """
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _word(*parts: str | int) -> int:
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def _stream(word: int, start: int, stop: int) -> NDArray[np.uint64]:
    counter = np.arange(start + 1, stop + 1, dtype=np.uint64)
    return mix(np.uint64(word) + counter * _GOLDEN)


def shuffle_keys(dataset: str, source_sha256: str, start: int, stop: int) -> NDArray[np.int64]:
    """Return the shuffle keys of a range of cells of one source file.

    A cell's position in its dataset is (source file, row); the file is named by its content, so that
    the key survives renames, other files of the dataset coming and going, and changes of configuration.

    :param dataset: Dataset key.
    :param source_sha256: SHA-256 of the source file, 64 hexadecimal digits.
    :param start: First row of the source file.
    :param stop: Row after the last.
    :return: int64 array of shape (stop - start,), values in [0, 2**63).
    """
    keys = _stream(_word("shuffle-key", dataset, source_sha256), start, stop) >> np.uint64(1)
    return keys.astype(np.int64)


def rotation(seed: int) -> int:
    """Return where in the key space a curriculum with this seed begins.

    :param seed: Seed of the specification.
    :return: A shuffle key in [0, 2**63); 0 for seed 0, so that the default order is the stored order.
    """
    return 0 if seed == 0 else _word("rotation", seed) >> 1


def key_spans(first_key: int, parts: int) -> list[tuple[int, int]]:
    """Divide the key space, going round from a key, into spans of about one width.

    :param first_key: Where to begin, in [0, 2**63).
    :param parts: How many spans to make, at least one; one more when the space is wrapped inside a span.
    :return: First and last key of each span; going through them gives every key once, in rotated order.
    """
    spans: list[tuple[int, int]] = []
    for part in range(parts):
        first = first_key + KEY_SPACE * part // parts
        last = first_key + KEY_SPACE * (part + 1) // parts - 1
        if first < KEY_SPACE <= last:
            spans += [(first, KEY_SPACE - 1), (0, last - KEY_SPACE)]
        else:
            spans.append((first % KEY_SPACE, last % KEY_SPACE))
    return spans


def mixing_rounds(*words: str | int) -> list[tuple[int, int]]:
    """Return the constants of the mixing of :mod:`omics_datastore.query.mixing`.

    :param words: What the mixing depends on, for example a seed.
    :return: Four pairs: an odd multiplier in [2**30, 2**31), an addend in [0, 2**31).
    """
    drawn = _stream(_word("mixing", *words), 0, 8).tolist()
    return [
        (2**30 | (multiplier >> 34) | 1, addend >> 33)
        for multiplier, addend in zip(drawn[::2], drawn[1::2], strict=True)
    ]


def permutation(length: int, *words: str | int) -> NDArray[np.int64]:
    """Return a reproducible permutation.

    :param length: Number of items.
    :param words: What the permutation depends on, for example a seed and a bin.
    :return: int64 array of shape (length,), a permutation of 0 … length - 1.
    """
    order = np.argsort(_stream(_word("permutation", *words), 0, length), kind="stable")
    return order.astype(np.int64)
