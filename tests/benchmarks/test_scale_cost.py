"""The cost calculator: its arithmetic against numbers worked out by hand, and that its page is current."""

import re
from dataclasses import replace

import pytest

from benchmarks import scale_cost, scale_inputs
from benchmarks.scale_inputs import INPUTS
from tests.deploy.worker_world import ROOT

N = 100_000_000
STORE, EXACT = "a curriculum of all cells, order store", "a curriculum of all cells, order exact"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Round numbers in the place of what is measured and quoted."""
    changes: dict[str, float] = {
        "measured_nonzeros": 2000,
        "ingest_rate": 10_000,
        "extract_rate": 5000,
        "plan_rate": 40_000,
    }
    changes |= {"efficiency": 0.5, "machine_price": 0.05, "vertex_factor": 1.2, "query_price": 6.25, "read_price": 1.1}
    changes |= {"old_ingest_rate": 600, "pipeline_price": 0.03, "ingest_bytes": 5000, "cell_bytes": 40, "load_rate": 1}
    for name, number in changes.items():
        monkeypatch.setitem(scale_inputs.INPUTS, name, replace(INPUTS[name], value=number))


def test_logical_bytes_are_those_of_the_design(given: None) -> None:
    assert N * (scale_cost.counts_bytes() - 46) == 3.2e12
    assert N * scale_cost.old_counts_bytes() == 4.8e12


def test_bring_in(given: None) -> None:
    ingest, load = scale_cost.nexus(N)["bring in"]
    # 100 M cells at 10,000 a CPU second are 10,000 s; at half efficiency 20,000 s or 5.556 vCPU hours at 6 cents.
    assert ingest.usd == pytest.approx(20_000 / 3600 * 0.06 + 0.03)
    # 79 tasks are two waves of 50; each waits 3 minutes.
    assert ingest.hours == pytest.approx(20_000 / 3600 / 400 + 2 * 0.05)
    assert load.usd == 0
    assert load.hours == pytest.approx(504 / 3600)


def test_a_density_of_its_own_is_scaled(given: None) -> None:
    old = scale_cost.compute(N, 600, 1500)
    assert old.vcpu_hours == pytest.approx(N / (600 * 0.75) / 3600 / 0.5)
    assert old.task_minutes == pytest.approx(old.vcpu_hours * 60 / 8)


def test_curricula(given: None) -> None:
    made = scale_cost.nexus(N)
    plan, extract = made[STORE]
    read = N * 32_046 / 2**40
    assert plan.usd == pytest.approx(N * 220 / 2**40 * 6.25)
    assert plan.hours == pytest.approx(2500 / 3600)
    assert extract.usd == pytest.approx(40_000 / 3600 * 0.06 + 0.03 + read * 1.1 + 20_000 * 0.000005)
    (shuffle,) = [line for line in made[EXACT] if line not in made[STORE]]
    assert shuffle.usd == pytest.approx(read * 6.25)
    before, _ = scale_cost.old_system(N)[STORE]
    assert before.usd == pytest.approx(4.8e12 / 2**40 * 6.25)
    assert scale_cost.total(made[STORE]).usd == pytest.approx(plan.usd + extract.usd)


def test_ten_times_the_cells_cost_ten_times() -> None:
    for system in (scale_cost.nexus, scale_cost.old_system):
        for asked, lines in system(N).items():
            larger = scale_cost.total(system(10 * N)[asked])
            assert larger.usd == pytest.approx(10 * scale_cost.total(lines).usd, rel=0.06)


def test_every_number_says_where_it_comes_from() -> None:
    for name, found in INPUTS.items():
        assert found.value > 0, name
        assert len(found.source) > 10, name
        assert found.unit, name
        if found.kind == "quoted":
            assert re.search(r"20\d\d|pricing", found.source), name
    assert {found.kind for found in INPUTS.values()} == {"measured", "documented", "quoted", "assumed"}


def test_the_page_is_current() -> None:
    assert (ROOT / "docs/scale.md").read_text() == scale_cost.page(), "run: make docs"
