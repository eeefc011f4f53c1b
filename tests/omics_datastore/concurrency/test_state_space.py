"""Every interleaving of a few processes by the protocol: no state is reached that must not be."""

import pytest

from tests.omics_datastore.concurrency.state_space import SCENARIOS, search


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_interleaving_breaks_the_protocol(name: str) -> None:
    durable, processes = SCENARIOS[name]
    states, violation = search(durable, tuple(process._replace(lives=1) for process in processes))
    assert violation is None
    assert states > 400


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("the old version is loaded again while it is purged", "a1 is visible and not whole"),
        ("two purges of different sight", "b1 is visible and not whole"),
        ("retired while it is planned and purged", "a1 is pinned and gone"),
    ],
)
def test_the_search_finds_what_goes_wrong_without_the_lock(name: str, what: str) -> None:
    _, violation = search(*SCENARIOS[name], locked=False)
    assert violation is not None
    assert violation.what == what
