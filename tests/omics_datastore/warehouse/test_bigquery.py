"""What BigQuery does beyond the contract: loads that are broken off and made again, limits, tables, errors."""

import json
import re
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import bigquery

from omics_datastore.errors import InputError
from omics_datastore.schema.bigquery import bigquery_schema
from omics_datastore.schema.tables import INGEST_INFO, TABLES
from omics_datastore.storage.layout import load_jobs_key
from omics_datastore.warehouse.bigquery import BigQueryWarehouse
from omics_datastore.warehouse.bigquery_address import BigQueryAddress, parse_address
from omics_datastore.warehouse.open import open_warehouse
from tests.contracts.warehouse_contract import EVERY_CELL, NOON, World, read_dense, request, visible, whole
from tests.emulators.bigquery.process import BigQueryEmulator
from tests.omics_datastore.ingest_factory import random_matrix
from tests.omics_datastore.warehouse.bigquery_world import PROJECT, emulated_world


@pytest.fixture
def world(bigquery_emulator: BigQueryEmulator) -> Iterator[World]:
    with emulated_world(bigquery_emulator) as made:
        yield made


@pytest.fixture
def client(bigquery_emulator: BigQueryEmulator) -> Iterator[bigquery.Client]:
    with bigquery.Client(PROJECT, credentials=AnonymousCredentials()) as opened:
        yield opened


def address_of(world: World) -> BigQueryAddress:
    return parse_address(world.open().uri)


class LostAnswerError(BaseException):
    """As if the process had been killed: no code of ours or of the client's catches it."""


class LosingSession(AuthorizedSession):  # type: ignore[misc]
    """A real session that loses the answer of the n-th submission of a job, and notes their ids."""

    def __init__(self, lose: int | None) -> None:
        super().__init__(AnonymousCredentials())
        self.lose = lose
        self.jobs: list[str] = []

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        answer = super().request(method, url, *arguments, **options)
        if method == "POST" and url.split("?", maxsplit=1)[0].endswith("/jobs"):
            self.jobs.append(answer.json().get("jobReference", {}).get("jobId", ""))
            if len(self.jobs) - 1 == self.lose:
                raise LostAnswerError(url)
        return answer


def kind(job_id: str) -> str:
    """Return what a job does and to which table, of a name made for it."""
    return re.sub(r"_[0-9a-f]{32}_[0-9]+$", "", job_id)


def losing(world: World, lose: int | None) -> tuple[BigQueryWarehouse, LosingSession]:
    session = LosingSession(lose)
    client = bigquery.Client(PROJECT, credentials=AnonymousCredentials(), _http=session)
    return BigQueryWarehouse(address_of(world), world.store, client=client), session


def test_a_load_that_is_broken_off_anywhere_and_made_again_ends_the_same(world: World) -> None:
    old, other = world.make(), world.make("blood")
    world.open().load([old.manifest, other.manifest], NOON)
    undisturbed, session = losing(world, None)
    first = [world.make(version=2), world.make(source="first")]
    undisturbed.load([item.manifest for item in first], NOON)
    submissions = [kind(job) for job in session.jobs]
    assert [name for name in submissions if name.startswith("nexus_")] == [
        "nexus_load_raw_counts",
        "nexus_load_feature_info",
        "nexus_load_cell_info",
        "nexus_commit_ingest_info",
    ]
    committed = [old, other, *first]
    for lose in range(len(submissions)):
        made = [world.make(version=3 + lose), world.make(source=f"{lose}")]
        manifests, ids = [item.manifest for item in made], {item.ingest_id for item in made}
        broken, _ = losing(world, lose)
        with pytest.raises(LostAnswerError):
            broken.load(manifests, NOON)
        assert ids & set(world.open().ingests()["ingest_id"]) in (set(), ids), submissions[lose]
        again, session = losing(world, None)
        again.load(manifests, NOON + timedelta(hours=1))
        committed += made
        # Nothing that had been submitted was submitted again under another name.
        assert all(job.endswith("_0") for job in session.jobs if job.startswith("nexus_")), session.jobs
        assert visible(world.open()) == whole(*committed), submissions[lose]
    current = world.open().ingests().filter("is_current")
    assert len(current) == len(committed) - len(submissions) - 1
    dense, _ = read_dense(world.open(), request(made[0], range(23)), 11)
    assert np.array_equal(dense, made[0].matrix.toarray())


def test_rows_of_another_load_that_was_broken_off_are_replaced(world: World, client: bigquery.Client) -> None:
    one, two = world.make(source="1"), world.make(source="2")
    broken, _ = losing(world, 2)  # after the job that loads raw_counts and the one that loads feature_info
    with pytest.raises(LostAnswerError):
        broken.load([one.manifest, two.manifest], NOON)
    # Half of what was loaded is lost, as if somebody had tidied up.
    table = address_of(world).table("raw_counts")
    client.query(f"DELETE FROM `{table}` WHERE cell_index < 10").result()  # noqa: S608
    again, session = losing(world, None)
    again.load([two.manifest], NOON)
    assert [kind(job) for job in session.jobs if "clear" in job] == ["nexus_clear_raw_counts"]
    assert visible(world.open()) == whole(two)
    world.open().load([one.manifest, two.manifest], NOON)
    assert visible(world.open()) == whole(one, two)
    totals = world.open().count_totals([one.ingest_id, two.ingest_id])
    assert totals["raw_counts_rows"].to_list() == totals["distinct_cells"].to_list() == [23, 23]


def test_two_processes_that_load_the_same_load_it_once(world: World) -> None:
    made = [world.make(source="1"), world.make(source="2")]
    both = [losing(world, None) for _ in range(2)]
    for warehouse, _ in both:
        warehouse.ingests()
    barrier, failures = threading.Barrier(2), list[BaseException]()

    def load(warehouse: BigQueryWarehouse) -> None:
        barrier.wait()
        try:
            warehouse.load([item.manifest for item in made], NOON)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=load, args=(warehouse,)) for warehouse, _ in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert visible(world.open()) == whole(*made)


def test_a_load_waits_for_the_jobs_of_one_that_was_killed(world: World, client: bigquery.Client) -> None:
    first = world.make(source="1")
    broken, session = losing(world, 1)  # after the job that loads raw_counts
    with pytest.raises(LostAnswerError):
        broken.load([first.manifest], NOON)
    noted = json.loads(world.store.read(load_jobs_key("lung")))
    assert noted == [session.jobs[-1]]
    many = "SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 9000)) AS a, UNNEST(GENERATE_ARRAY(1, 9000)) AS b WHERE a < b"
    running = client.query(many, location="EU")
    never = f"nexus_load_raw_counts_{uuid.uuid4().hex}_0"
    world.store.write(load_jobs_key("lung"), json.dumps([*noted, running.job_id, never]).encode())
    again, session = losing(world, None)
    again.load([first.manifest, world.make(source="2").manifest], NOON)
    counted = client.get_job(session.jobs[0], location="EU")
    assert client.get_job(running.job_id, location="EU").ended <= counted.created
    assert visible(world.open()) == whole(first, world.make(source="2"))
    assert world.store.stat(load_jobs_key("lung")) is None


def test_tables_are_made_as_the_schema_says(world: World, client: bigquery.Client) -> None:
    address = address_of(world)
    labelled = open_warehouse(f"{address.uri}&labels=team%3Datlas%2Ccost%3D7", world.store)
    labelled.load([], NOON)
    dataset = client.get_dataset(address.dataset)
    assert dataset.location == "EU"
    assert dataset.labels == {"application": "nexus", "team": "atlas", "cost": "7"}
    assert dataset.storage_billing_model == "PHYSICAL"
    for table in TABLES:
        made = client.get_table(address.table(table.name))
        assert made.clustering_fields == list(table.clustering)
        assert tuple(column.name for column in made.schema) == table.column_names
        assert made.labels["team"] == "atlas"
    again = open_warehouse(labelled.uri, world.store)
    assert again.uri == labelled.uri
    assert again.ingests().height == 0


def test_the_view_has_a_row_a_count_of_committed_ingests(world: World, client: bigquery.Client) -> None:
    made, hidden = world.make(), world.make(source="b")
    world.open().load([made.manifest], NOON)
    broken, session = losing(world, 4)
    with pytest.raises(LostAnswerError):
        broken.load([hidden.manifest], NOON)
    assert "commit" not in "".join(session.jobs)
    view = f"`{address_of(world).table('raw_counts_coo')}`"
    rows = client.query(
        f"SELECT ingest_id, cell_index, feature_index, ensembl_id, symbol, raw_count FROM {view} "  # noqa: S608
        "ORDER BY cell_index, feature_index"
    ).result()
    coo = made.matrix.tocoo()
    order = np.lexsort((coo.col, coo.row))
    assert [tuple(row.values()) for row in rows] == [
        (made.ingest_id, cell, gene, f"ENSG{gene:011d}", f"GENE{gene}", count)
        for cell, gene, count in zip(coo.row[order], coo.col[order], coo.data[order], strict=True)
    ]


def test_many_files_go_in_by_several_jobs_and_show_at_once(world: World) -> None:
    made = [world.make(source=f"{number}") for number in range(3)]
    session = LosingSession(None)
    opened = bigquery.Client(PROJECT, credentials=AnonymousCredentials(), _http=session)
    warehouse = BigQueryWarehouse(address_of(world), world.store, client=opened, most_uris=2)
    result = warehouse.load([item.manifest for item in made], NOON)
    assert sum("load_raw_counts" in job for job in session.jobs) == 2
    assert visible(world.open()) == whole(*made)
    assert len(result.metadata["jobs"]) == 2 * 3 + 1
    assert result.metadata["bytes_loaded"] == sum(file.size for item in made for file in item.manifest.files)
    assert result.metadata["bytes_billed"] >= result.metadata["bytes_processed"] > 0


def test_more_ingests_than_one_statement_commits_are_refused_before_anything_is_loaded(world: World) -> None:
    made = world.make()
    large = made.manifest.model_copy(update={"uns": {"title": "x" * 10_000_000}})
    warehouse, session = losing(world, None)
    with pytest.raises(InputError, match=r"1 ingests cannot be committed at once: .* divide dataset lung"):
        warehouse.load([large], NOON)
    assert session.jobs == []


def test_several_streams_are_read_and_can_be_left(world: World) -> None:
    made = [world.make(source=f"{number}", matrix=random_matrix(1300, 20, number)) for number in range(2)]
    warehouse = world.open()
    warehouse.load([item.manifest for item in made], NOON)
    asked = pl.concat([request(item, np.random.default_rng(7).permutation(1300)[:900].tolist()) for item in made])
    dense, ingests = read_dense(warehouse, asked, 20)
    assert ingests == asked["ingest_id"].to_list()
    cells = asked["cell_index"].to_numpy()
    assert np.array_equal(dense[:900], made[0].matrix[cells[:900]].toarray())
    assert np.array_equal(dense[900:], made[1].matrix[cells[900:]].toarray())
    assert warehouse.usage().bytes_read > 0
    batches = warehouse.read_counts(asked)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("counts-")]


def test_a_query_can_be_priced_and_is_refused_above_the_limit(world: World) -> None:
    made = world.make()
    world.open().load([made.manifest], NOON)
    scanned = world.open().scanned_bytes(EVERY_CELL)
    assert scanned is not None
    assert scanned > 0
    usage = world.open().usage()
    assert usage.jobs > 0
    assert usage.bytes_billed >= usage.bytes_processed > 0
    assert usage.links[-1].startswith("https://console.cloud.google.com/bigquery?project=nexus-tests&j=bq:")
    thrifty = BigQueryWarehouse(address_of(world), world.store, measure_bytes=0)
    assert thrifty.count_totals([made.ingest_id]).equals(world.open().count_totals([made.ingest_id]))
    assert 0 < thrifty.usage().bytes_processed < world.open().usage().bytes_processed
    strict = open_warehouse(f"{world.open().uri}&maximum_bytes_billed=1000", world.store)
    with pytest.raises(InputError, match=r"limit for bytes billed: 1000\..*NEXUS_MAXIMUM_BYTES_BILLED=1000; ask for"):
        strict.query(EVERY_CELL)
    assert strict.scanned_bytes(EVERY_CELL) == scanned
    assert strict.ingests().height == 1


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER TABLE {} DROP COLUMN tissue", r"cell_info .* column tissue is missing, expected STRING; change"),
        ("ALTER TABLE {} ADD COLUMN own STRING", None),
    ],
)
def test_drift_is_named(world: World, client: bigquery.Client, statement: str, words: str | None) -> None:
    world.open().ingests()
    client.query(statement.format(f"`{address_of(world).table('cell_info')}`")).result()
    fresh = open_warehouse(world.open().uri, world.store)
    if words is None:
        made = world.make()
        fresh.load([made.manifest], NOON)
        assert visible(fresh) == whole(made)
    else:
        with pytest.raises(InputError, match=words):
            fresh.ingests()


def test_a_column_of_another_type_and_a_view_in_the_place_of_a_table_are_named(
    world: World, client: bigquery.Client
) -> None:
    address = address_of(world)
    client.create_dataset(bigquery.Dataset(f"{address.project}.{address.dataset}"))
    wrong = bigquery.Table(address.table("ingest_info"), [bigquery.SchemaField("ingest_id", "INT64")])
    wrong.clustering_fields = ["ingest_id"]
    client.create_table(wrong)
    uri = world.open().uri.replace("EU", "US")
    with pytest.raises(InputError, match=r"ingest_info .* column ingest_id is INT64, expected STRING"):
        open_warehouse(uri, world.store).ingests()
    client.delete_table(wrong)
    view = bigquery.Table(address.table("ingest_info"))
    view.view_query = "SELECT 1 AS ingest_id"
    client.create_table(view)
    with pytest.raises(InputError, match="ingest_info is a VIEW, not a table"):
        open_warehouse(uri, world.store).ingests()


def test_a_table_of_an_older_nexus_gets_the_columns_it_lacks(world: World, client: bigquery.Client) -> None:
    address = address_of(world)
    made = world.make()
    client.create_dataset(bigquery.Dataset(f"{address.project}.{address.dataset}"))
    columns = [column for column in bigquery_schema(INGEST_INFO) if column["name"] != "retired_at"]
    older = bigquery.Table(address.table("ingest_info"), [bigquery.SchemaField.from_api_repr(each) for each in columns])
    older.clustering_fields = ["dataset"]
    client.create_table(older)
    warehouse = open_warehouse(world.open().uri.replace("EU", "US"), world.store)
    warehouse.load([made.manifest], NOON)
    assert warehouse.retire(["lung"], NOON) == (made.ingest_id,)
    assert not warehouse.ingests()["is_current"].any()


def test_a_dataset_elsewhere_is_named(world: World) -> None:
    uri = world.open().uri
    world.open().ingests()
    with pytest.raises(InputError, match="lies in EU, not in US: set NEXUS_LOCATION to EU"):
        open_warehouse(uri.replace("EU", "US"), world.store).ingests()


def test_nothing_is_looked_up_before_it_is_needed(world: World, client: bigquery.Client) -> None:
    with pytest.raises(NotFound):
        client.get_dataset(address_of(world).dataset)


def test_without_credentials(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("BIGQUERY_EMULATOR_HOST", "BIGQUERY_STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(InputError, match="no Google Cloud credentials: run 'gcloud auth application-default login'"):
        open_warehouse(world.open().uri, world.store).ingests()
