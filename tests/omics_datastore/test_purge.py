import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from omics_datastore.ingest.ingest_set import IngestSet
from omics_datastore.purge import GRACE_SECONDS, find_leftovers, purge
from omics_datastore.storage.documents import write_document
from omics_datastore.storage.layout import ingest_folder, ingest_set_key
from tests.omics_datastore.ingest_factory import make_ingest
from tests.omics_datastore.lifetime import LATER, Lifetime, open_lifetime


@pytest.fixture
def lifetime(tmp_path: Path) -> Lifetime:
    return open_lifetime(tmp_path / "nexus")


def test_current_ingests_and_sources_stay(lifetime: Lifetime) -> None:
    lifetime.load()
    lifetime.store.write("inbox/lung.h5ad", b"the source")
    before = lifetime.files()
    assert lifetime.purge() == []
    assert lifetime.files() == before


def test_superseded_and_retired_ingests_go_with_all_their_files(lifetime: Lifetime) -> None:
    kept = lifetime.load("kept")
    before = lifetime.files()
    old, new = lifetime.load(), lifetime.load(version=2)
    assert lifetime.leftovers() == [("superseded", old.ingest_id)]
    assert lifetime.purge() == [("superseded", old.ingest_id)]
    assert not [name for name in lifetime.files() if old.ingest_id in name]
    lifetime.warehouse.retire(["lung"], datetime.now(UTC))
    found = find_leftovers(lifetime.store, lifetime.warehouse, now=LATER)
    assert [(item.reason, item.name) for item in found] == [("retired", new.ingest_id)]
    assert found[0].size == sum(
        lifetime.root.joinpath(name).stat().st_size
        for name in lifetime.files()
        if name.startswith(f"ingest/lung/{new.ingest_id}")
    )
    lifetime.purge()
    assert lifetime.files() == before
    assert lifetime.warehouse.ingests()["ingest_id"].to_list() == [kept.ingest_id]
    assert lifetime.leftovers() == []


def test_what_a_curriculum_pins_stays_until_the_curriculum_is_gone(lifetime: Lifetime) -> None:
    old = lifetime.load()
    lifetime.plan()
    lifetime.load(version=2)
    assert lifetime.purge() == []
    shutil.rmtree(lifetime.root / "extracts")
    assert lifetime.purge() == [("superseded", old.ingest_id)]


def test_a_plan_made_between_finding_and_deleting_is_respected(lifetime: Lifetime) -> None:
    old = lifetime.load()
    shutil.copytree(lifetime.root, lifetime.root.with_name("before"))
    lifetime.load(version=2)
    found = find_leftovers(lifetime.store, lifetime.warehouse, now=LATER)
    assert [item.name for item in found] == [old.ingest_id]
    planner = open_lifetime(lifetime.root.with_name("before"))  # it read the warehouse before the second load
    planner.plan()
    shutil.copytree(planner.root / "extracts", lifetime.root / "extracts")
    assert purge(found, lifetime.store, lifetime.warehouse, now=LATER) == []
    assert old.ingest_id in lifetime.warehouse.ingests()["ingest_id"].to_list()


def test_a_purge_takes_what_a_dead_process_had_half_made(lifetime: Lifetime) -> None:
    scratch = lifetime.root / ".scratch"
    (scratch / "dead").mkdir(parents=True)
    (scratch / "dead/partial-1").write_bytes(b"x")
    (scratch / "dead.lock").write_bytes(b"")
    assert lifetime.purge() == []
    assert not (scratch / "dead").exists()
    assert not (scratch / "dead.lock").exists()


def test_what_changed_within_the_grace_period_stays(lifetime: Lifetime) -> None:
    lifetime.load()
    lifetime.load(version=2)
    half_an_hour = time.time() + 1800
    assert lifetime.leftovers(now=half_an_hour) == []
    assert len(lifetime.leftovers(now=half_an_hour, grace_seconds=60)) == 1


def test_a_clock_that_is_ahead_of_the_store_takes_nothing_for_old(
    lifetime: Lifetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    lifetime.load()
    lifetime.load(version=2)
    ahead = time.time() + 2 * GRACE_SECONDS
    monkeypatch.setattr(time, "time", lambda: ahead)
    assert find_leftovers(lifetime.store, lifetime.warehouse) == []
    assert len(find_leftovers(lifetime.store, lifetime.warehouse, now=ahead)) == 1


def test_orphans_go_unless_their_dataset_is_being_ingested(lifetime: Lifetime) -> None:
    lifetime.load()
    before = lifetime.files()
    unfinished = make_ingest(lifetime.store, "blood")  # killed before its manifest was written
    uncommitted = make_ingest(lifetime.store, "heart")  # killed before its commit
    lifetime.write_manifest(uncommitted.manifest)
    for table in ("raw_counts", "cell_info"):
        lifetime.warehouse._tables.add(uncommitted.manifest, table)  # type: ignore[attr-defined]
    lifetime.store.write("tasks/run/ingest/0000/config.yaml", b"x")
    assert lifetime.leftovers(busy_datasets={"blood", "heart"}) == []
    assert lifetime.leftovers(now=time.time()) == []
    assert lifetime.purge() == [
        ("orphaned ingest files", unfinished.ingest_id),
        ("orphaned ingest files", uncommitted.ingest_id),
        ("uncommitted rows", uncommitted.ingest_id),
    ]
    assert lifetime.files() == before | {"tasks/run/ingest/0000/config.yaml"}
    assert lifetime.purge(now=time.time() + 15 * 86_400) == [("old task records", "tasks/run/")]
    assert lifetime.files() == before


def test_plots_stay_as_long_as_their_curriculum(lifetime: Lifetime) -> None:
    lifetime.load()
    lifetime.plan()
    version = next((lifetime.root / "extracts").glob("*/v*"))
    partition = f"{version.parent.name}.{version.name}"
    for key in (f"curriculum/extract/{partition}", "curriculum/extract/not ours", "warehouse/snapshot"):
        lifetime.store.write(f"plots/{key}/sizes.png", b"x")
    assert lifetime.purge() == []
    shutil.rmtree(lifetime.root / "extracts")
    assert lifetime.leftovers(now=time.time()) == []
    assert lifetime.purge() == [("plots of what is gone", f"plots/curriculum/extract/{partition}/")]
    assert sorted(path.parent.name for path in (lifetime.root / "plots").rglob("*.png")) == ["not ours", "snapshot"]


def test_an_ingest_that_waits_for_its_load_stays(lifetime: Lifetime) -> None:
    made = make_ingest(lifetime.store, "blood")
    lifetime.write_manifest(made.manifest)
    ids = IngestSet(dataset="blood", drop_digest="x", ingest_ids=[made.ingest_id])
    write_document(lifetime.store, ingest_set_key("blood"), ids)
    assert lifetime.purge() == []
    lifetime.warehouse.load([made.manifest], datetime.now(UTC) + timedelta(seconds=1))
    assert lifetime.store.stat(f"{ingest_folder('blood', made.ingest_id)}manifest.json") is not None
