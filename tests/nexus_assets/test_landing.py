"""What landed, against what was seen: over real folders, without Dagster."""

import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_assets.landing import LandingCursor, Landings, find_landings
from omics_datastore.ingest.inbox import read_drop
from omics_datastore.storage.folder import FolderStore

LATER = 4e9
"""A time at which every file is old."""
KEYS = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True)
SEEN = st.dictionaries(KEYS, st.text("0123456789abcdef", min_size=1, max_size=8), max_size=4)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "nexus"


def put(root: Path, key: str, content: str = "x") -> Path:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def look(root: Path, cursor: LandingCursor | None = None, now: float = LATER, quiet: float = 5.0) -> Landings:
    return find_landings(FolderStore(root), cursor or LandingCursor(), now, quiet)


def datasets(found: Landings) -> list[str]:
    return [drop.dataset for drop in found.datasets]


def test_nothing_there_is_nothing_new(root: Path) -> None:
    assert look(root) == Landings()


def test_a_file_and_a_folder_are_each_a_dataset(root: Path) -> None:
    put(root, "inbox/heart.h5ad")
    put(root, "inbox/lung/a.h5ad")
    put(root, "inbox/lung/b.h5ad")
    assert [(drop.dataset, len(drop.sources)) for drop in look(root).datasets] == [("heart", 1), ("lung", 2)]


def test_sources_of_every_kind(root: Path) -> None:
    for key in ("a.h5ad.gz", "b.h5", "c.zarr.zip", "d.zarr/.zgroup", "d.zarr/X/0", "d.zarr/.DS_Store", "notes.txt"):
        put(root, f"inbox/{key}")
    for name in ("matrix.mtx", "barcodes.tsv", "genes.tsv", "other.mtx"):
        put(root, f"inbox/e/one/{name}")
        put(root, f"inbox/e/two/{name}.gz")
    put(root, "inbox/e/three.zarr/zarr.json")
    put(root, "inbox/My Store.zarr/.zgroup")
    put(root, "inbox/My Store.zarr/X/.zarray")
    found = look(root)
    keys = {drop.dataset: [source.key.removeprefix("inbox/") for source in drop.sources] for drop in found.datasets}
    assert keys == {
        "a": ["a.h5ad.gz"],
        "b": ["b.h5"],
        "c": ["c.zarr.zip"],
        "d": ["d.zarr"],
        "e": ["e/one/matrix.mtx", "e/three.zarr", "e/two/matrix.mtx.gz"],
    }
    assert [drop.sources[0].size for drop in found.datasets] == [1, 1, 1, 2, 3]
    [problem] = found.problems
    assert problem.endswith(
        "My Store.zarr is not taken: 'My Store' is not a dataset name; rename it, for example to 'my-store'."
    )
    assert [read_drop(FolderStore(root), drop.dataset) for drop in found.datasets] == found.datasets


@pytest.mark.parametrize("last", ["inbox/lung/genes.tsv", "inbox/lung.zarr/.zattrs"])
def test_a_source_of_several_files_waits_for_the_last(root: Path, last: str) -> None:
    for name in ("lung/matrix.mtx", "lung/barcodes.tsv", "lung.zarr/.zgroup", "lung.zarr/X/0"):
        put(root, f"inbox/{name}")
    before = look(root).datasets[0].digest
    time.sleep(0.05)
    changed = put(root, last).stat().st_ctime
    assert look(root, now=changed + 4.97).settling == ["lung"]
    [drop] = look(root, now=changed + 5.1).datasets
    assert drop.digest != before


def test_a_drop_waits_for_the_quiet_period(root: Path) -> None:
    path = put(root, "inbox/lung.h5ad")
    changed = path.stat().st_ctime
    assert look(root, now=changed + 4.9).settling == ["lung"]
    assert datasets(look(root, now=changed + 4.9)) == []
    assert datasets(look(root, now=changed + 5.1)) == ["lung"]


def test_a_drop_that_is_dated_in_the_future_is_taken_when_it_rests(root: Path) -> None:
    """Another machine's clock was ahead when it wrote the file, and ``rsync -t`` kept that time."""
    path = put(root, "inbox/lung.h5ad")
    schema = put(root, "feature_schemas/genes.csv")
    for file in (path, schema):
        os.utime(file, (3e9, 3e9))
    cursor = LandingCursor()
    assert look(root, cursor, now=2e9).settling == ["lung", "genes"]
    cursor = LandingCursor.parse(cursor.format())
    assert datasets(look(root, cursor, now=2e9 + 4)) == []
    path.write_text("more")
    os.utime(path, (3e9 + 1, 3e9 + 1))
    found = look(root, cursor, now=2e9 + 6)
    assert (datasets(found), [landed.name for landed in found.feature_schemas]) == ([], ["genes"])
    assert datasets(look(root, cursor, now=2e9 + 12)) == ["lung"]
    path.unlink()
    look(root, cursor, now=2e9 + 13)
    assert list(cursor.resting) == ["feature_schemas/genes.csv"]


def test_a_file_that_was_moved_here_waits_although_it_is_old(root: Path, tmp_path: Path) -> None:
    elsewhere = put(tmp_path, "old.h5ad")
    os.utime(elsewhere, (1e9, 1e9))
    (root / "inbox").mkdir(parents=True)
    elsewhere.rename(root / "inbox/lung.h5ad")
    changed = (root / "inbox/lung.h5ad").stat().st_ctime
    assert look(root, now=changed + 1).settling == ["lung"]


def test_a_ready_marker_ends_the_wait(root: Path) -> None:
    path = put(root, "inbox/lung/a.h5ad")
    put(root, "inbox/lung/_READY")
    assert datasets(look(root, now=path.stat().st_ctime)) == ["lung"]


@pytest.mark.parametrize("changed", ["lung/a.h5ad", "lung/b.h5ad", "lung.yaml"])
def test_whatever_changes_of_a_drop_makes_it_new(root: Path, changed: str) -> None:
    put(root, "inbox/lung/a.h5ad")
    put(root, "inbox/lung.yaml", "tag: a")
    cursor = LandingCursor(datasets={drop.dataset: drop.digest for drop in look(root).datasets})
    assert datasets(look(root, cursor)) == []
    put(root, f"inbox/{changed}", "tag: other")
    assert datasets(look(root, cursor)) == ["lung"]


def test_what_is_gone_is_forgotten(root: Path) -> None:
    put(root, "inbox/lung.h5ad")
    cursor = LandingCursor({"lung": "1", "gone": "2"}, {"gone": "3"}, {"gone": "4"}, 7)
    look(root, cursor)
    assert cursor == LandingCursor({"lung": "1"}, {}, {}, 7)


def test_names_that_break_the_rule_are_problems_with_a_proposal(root: Path) -> None:
    for key in ("inbox/My Lung.h5ad", "feature_schemas/Big List.csv", "curricula/T Cells.yaml"):
        put(root, key)
    put(root, "curricula/cells.yml")
    found = look(root)
    assert (found.datasets, found.feature_schemas, found.curricula) == ([], [], [])
    inbox, schema, curriculum, suffix = sorted(
        found.problems, key=lambda text: "MBTc".index(Path(text.split(" is ")[0]).name[0])
    )
    assert "'my-lung'" in inbox
    assert "'big-list'" in schema
    assert "'t-cells'" in curriculum
    assert suffix == f"{root}/curricula/cells.yml is not taken: call it cells.yaml."


def test_two_configurations_are_a_problem_that_blocks_only_their_dataset(root: Path) -> None:
    put(root, "inbox/lung.h5ad")
    put(root, "inbox/lung.yaml")
    put(root, "inbox/lung.yml")
    put(root, "inbox/heart.h5ad")
    found = look(root)
    assert datasets(found) == ["heart"]
    assert "two configurations" in found.problems[0]


def test_other_files_and_sub_folders_are_left_alone(root: Path) -> None:
    for key in ("inbox/notes.txt", "inbox/.lung.h5ad", "curricula/old/x.yaml", "feature_schemas/x.tsv", "curricula/.x"):
        put(root, key)
    assert look(root) == Landings()


def test_a_folder_that_cannot_be_listed_is_an_error_and_not_empty(root: Path) -> None:
    put(root, "inbox", "a file where the folder should be")
    cursor = LandingCursor({"lung": "1"})
    with pytest.raises(NotADirectoryError):
        look(root, cursor)
    assert cursor == LandingCursor({"lung": "1"})


def test_schemas_and_specifications_are_new_once(root: Path) -> None:
    put(root, "feature_schemas/genes.csv")
    put(root, "curricula/all.yaml")
    cursor = LandingCursor()
    found = look(root, cursor)
    assert [(landed.name, landed.key) for landed in (*found.feature_schemas, *found.curricula)] == [
        ("genes", "feature_schemas/genes.csv"),
        ("all", "curricula/all.yaml"),
    ]
    cursor.feature_schemas["genes"] = found.feature_schemas[0].digest
    cursor.curricula["all"] = found.curricula[0].digest
    assert look(root, cursor) == Landings()
    put(root, "curricula/all.yaml", "name: other")
    assert [landed.name for landed in look(root, cursor).curricula] == ["all"]


@given(SEEN, SEEN, SEEN, st.integers(0, 10**9))
def test_a_cursor_survives_being_written(
    one: dict[str, str], two: dict[str, str], three: dict[str, str], n: int
) -> None:
    cursor = LandingCursor(one, two, three, n)
    assert LandingCursor.parse(cursor.format()) == cursor


def test_no_cursor_is_the_beginning() -> None:
    assert LandingCursor.parse(None) == LandingCursor.parse("") == LandingCursor()


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["write", "delete", "look", "restore"]), st.sampled_from("abc")), max_size=14
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTIONS)
def test_every_state_of_a_file_is_taken_exactly_once_until_it_changes(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, str]]
) -> None:
    root = tmp_path_factory.mktemp("landing")
    (root / "inbox").mkdir()
    cursor, clock = LandingCursor(), 10**9
    taken: dict[str, str] = {}
    for action, name in actions:
        path = root / f"inbox/{name}.h5ad"
        if action == "write":
            path.write_text(name)
            clock += 1
            os.utime(path, (clock, clock))
        elif action == "delete":
            path.unlink(missing_ok=True)
        elif action == "restore" and path.exists():
            path.rename(root / "aside")
            look(root, cursor)
            taken.pop(name, None)
            (root / "aside").rename(path)
        else:
            found = look(root, LandingCursor.parse(cursor.format()))
            state = {drop.dataset: drop.digest for drop in look(root).datasets}
            assert {drop.dataset: drop.digest for drop in found.datasets} == {
                key: mark for key, mark in state.items() if taken.get(key) != mark
            }
            look(root, cursor)
            taken = dict(state)
            cursor.datasets = dict(state)
    shutil.rmtree(root)
