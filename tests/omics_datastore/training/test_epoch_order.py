"""The order of an epoch: every cell once, whoever reads and however many; resuming a loader of several workers."""

from itertools import cycle

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from omics_datastore.training.epoch_order import ReaderShare, batches_in, epoch_order, resumed_shares

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=12)


def cells_of(sizes: list[int], share: ReaderShare, **options: int | bool) -> list[int]:
    order = epoch_order(
        sizes,
        share,
        epoch=int(options.get("epoch", 0)),
        seed=1,
        shuffle=bool(options.get("shuffle", True)),
        buffer_shards=int(options.get("buffer_shards", 1)),
    )
    firsts = np.concatenate([[0], np.cumsum(sizes)])
    seen: list[int] = []
    for number, buffer in enumerate(order.buffers):
        cells = np.concatenate([np.arange(firsts[shard], firsts[shard + 1]) for shard in buffer])
        seen += cells[order.rows(number)].tolist()
    assert len(seen) == order.cells
    return seen


@settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(1, 5), st.integers(1, 4), st.booleans(), st.integers(0, 3))
def test_every_cell_is_seen_once(sizes: list[int], readers: int, buffer: int, shuffle: bool, epoch: int) -> None:
    seen = [
        cells_of(sizes, ReaderShare(reader, readers), shuffle=shuffle, buffer_shards=buffer, epoch=epoch)
        for reader in range(readers)
    ]
    assert sorted(cell for one in seen for cell in one) == list(range(sum(sizes)))


def test_epochs_differ_and_come_again() -> None:
    first, second = (cells_of([50] * 6, ReaderShare(0, 1), epoch=epoch) for epoch in (0, 1))
    assert first != second
    assert first == cells_of([50] * 6, ReaderShare(0, 1), epoch=0)
    assert cells_of([50] * 6, ReaderShare(0, 1), shuffle=False) == list(range(300))


def test_a_buffer_mixes_its_shards() -> None:
    alone = cells_of([100] * 4, ReaderShare(0, 1))
    mixed = cells_of([100] * 4, ReaderShare(0, 1), buffer_shards=4)
    assert len({cell // 100 for cell in alone[:50]}) == 1
    assert len({cell // 100 for cell in mixed[:50]}) == 4


def test_batches() -> None:
    assert [batches_in(cells, 4, drop_last=False) for cells in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert [batches_in(cells, 4, drop_last=True) for cells in (0, 1, 4, 5)] == [0, 0, 1, 1]


def taken_in_turn(shares: list[tuple[int, int]], batches: list[int]) -> list[tuple[int, int]]:
    """Take batches as a loader does: of each worker in turn, passing over those that have none left."""
    left = {worker: list(range(first, batches[owner])) for worker, (owner, first) in enumerate(shares)}
    found: list[tuple[int, int]] = []
    for worker in cycle(range(len(shares))):
        if not any(left.values()):
            return found
        if left[worker]:
            found.append((shares[worker][0], left[worker].pop(0)))
    return found


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.data())
def test_a_resumed_loader_goes_on_with_the_very_next_batch(batches: list[int], data: st.DataObject) -> None:
    whole = taken_in_turn([(worker, 0) for worker in range(len(batches))], batches)
    consumed = data.draw(st.integers(0, len(whole)))
    shares = resumed_shares(batches, consumed)
    assert sorted(owner for owner, _ in shares) == list(range(len(batches)))
    assert taken_in_turn(shares, batches) == whole[consumed:]
