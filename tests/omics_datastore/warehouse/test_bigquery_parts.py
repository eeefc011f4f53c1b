"""The parts of the BigQuery warehouse that need no BigQuery: addresses, key ranges, errors, numbers too large."""

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from google.api_core import exceptions
from hypothesis import given
from hypothesis import strategies as st

from omics_datastore.errors import CorruptionError, InputError, UnavailableError
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.bigquery_address import BigQueryAddress, parse_address
from omics_datastore.warehouse.bigquery_counts import key_ranges, row_restriction
from omics_datastore.warehouse.bigquery_errors import explained
from omics_datastore.warehouse.cell_request import CellRequest
from omics_datastore.warehouse.open import open_warehouse
from omics_datastore.warehouse.parquet_layout import BULK_LOAD, RANGE_READS, layout_for

ADDRESS = BigQueryAddress("atlas-1234", "nexus", "EU", 10**12, {"team": "x"})


def test_addresses_are_read_as_written() -> None:
    assert parse_address(ADDRESS.uri) == ADDRESS
    assert parse_address("bigquery://atlas-1234/nexus") == BigQueryAddress("atlas-1234", "nexus")
    assert ADDRESS.table("cell_info") == "atlas-1234.nexus.cell_info"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("bigquery:///nexus", r"names no Google Cloud project: .*NEXUS_PROJECT"),
        ("bigquery://Atlas/nexus", "'Atlas' is not the id of a Google Cloud project"),
        ("bigquery://atlas-1234", "'' is not the name of a BigQuery dataset"),
        ("bigquery://atlas-1234/ne-xus", "'ne-xus' is not the name of a BigQuery dataset"),
        ("bigquery://atlas-1234/nexus?location=", "'' is not a BigQuery location"),
        ("bigquery://atlas-1234/nexus?place=EU", "unknown option 'place'"),
        ("bigquery://atlas-1234/nexus?maximum_bytes_billed=1e9", "'1e9' is not a number of bytes"),
        ("bigquery://atlas-1234/nexus?labels=Team%3Dx", "'Team=x' is not a label"),
    ],
)
def test_a_wrong_address_is_named(uri: str, words: str, tmp_path: Any) -> None:
    with pytest.raises(InputError, match=words):
        open_warehouse(uri, FolderStore(tmp_path))


def test_the_layout_follows_the_warehouse() -> None:
    assert layout_for(ADDRESS.uri) == BULK_LOAD
    assert layout_for("folder") == layout_for("/some/where") == RANGE_READS
    options = BULK_LOAD.counts_writer_options()
    assert "column_encoding" not in options
    assert options["compression"] == "zstd"


KEYS = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=80).map(sorted)


@given(KEYS)
def test_ranges_cover_every_key_and_do_not_overlap(keys: list[int]) -> None:
    ranges = key_ranges(np.array(keys, np.int64))
    assert len(ranges) <= 32
    assert all(first <= last for first, last in ranges)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ranges))
    assert all(any(first <= key <= last for first, last in ranges) for key in keys)
    assert {key for span in ranges for key in span} <= set(keys)


def test_a_run_of_neighbours_is_one_range_and_a_rotation_two() -> None:
    run = np.sort(np.random.default_rng(1).integers(2**40, 2**41, 20_000))
    assert key_ranges(run) == [(int(run[0]), int(run[-1]))]
    assert key_ranges(np.concatenate((run, run + 2**62))) == [
        (int(run[0]), int(run[-1])),
        (int(run[0]) + 2**62, int(run[-1]) + 2**62),
    ]
    assert key_ranges(np.array([5, 5, 5])) == [(5, 5)]


def test_a_restriction_stays_below_what_bigquery_takes() -> None:
    many = [f"dataset-{number}@0123456789ab" for number in range(100_000)]
    assert row_restriction([(1, 2)], many) == "(shuffle_key BETWEEN 1 AND 2)"
    assert "ingest_id IN ('a@0')" in row_restriction([(1, 2), (5, 6)], ["a@0"])


def told(error: Exception) -> str:
    with pytest.raises(InputError) as caught, explained(ADDRESS):
        raise error
    return str(caught.value)


def refused(status: type[exceptions.GoogleAPICallError], message: str, reason: str) -> exceptions.GoogleAPICallError:
    return status(f"{message}; reason: {reason}, message: {message}", errors=[{"reason": reason, "message": message}])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            refused(exceptions.Forbidden, "BigQuery API has not been used in project 1 before", "accessNotConfigured"),
            ["an API of BigQuery is off in project atlas-1234", "gcloud services enable bigquery.googleapis.com"],
        ),
        (
            exceptions.PermissionDenied(
                "BigQuery Storage API has not been used in project 1 before or it is disabled."
            ),
            ["is off", "bigquerystorage.googleapis.com"],
        ),
        (
            refused(exceptions.Forbidden, "Quota exceeded: too many table update operations", "quotaExceeded"),
            ["a quota of project atlas-1234 is used up", "too many table update operations", "runbook"],
        ),
        (exceptions.ResourceExhausted("Quota exceeded for quota metric"), ["a quota of project atlas-1234"]),
        (
            refused(exceptions.Forbidden, "Access Denied: User lacks bigquery.jobs.create", "accessDenied"),
            ["may not do this in project atlas-1234", "bigquery.jobs.create", "IAM"],
        ),
        (exceptions.PermissionDenied("request denied on resource"), ["may not do this", "request denied"]),
        (
            refused(exceptions.NotFound, "Not found: Dataset a:n was not found in location US", "notFound"),
            ["NEXUS_LOCATION=EU", "was not found in location US"],
        ),
        (
            refused(exceptions.BadRequest, "Cannot read and write in different locations: source: US", "invalid"),
            ["its bucket and NEXUS_LOCATION=EU are not in one location", "source: US"],
        ),
        (refused(exceptions.NotFound, "Not found: Project atlas-1234", "notFound"), ["no Google Cloud project"]),
        (refused(exceptions.BadRequest, "Billing is off", "billingNotEnabled"), ["no billing account"]),
        (
            refused(exceptions.InternalServerError, "Query exceeded limit for bytes billed: 1. 2 or higher", "other"),
            ["was not run", "NEXUS_MAXIMUM_BYTES_BILLED=1000000000000"],
        ),
        (exceptions.Unauthorized("Invalid Credentials"), ["refused the credentials"]),
        (
            exceptions.RetryError("Timeout", refused(exceptions.Forbidden, "Quota exceeded", "quotaExceeded")),
            ["a quota of project"],
        ),
    ],
)
def test_what_can_be_mended_is_one_sentence(error: Exception, words: list[str]) -> None:
    sentence = told(error)
    assert "\n" not in sentence
    assert "reason:" not in sentence
    for word in words:
        assert word in sentence


@pytest.mark.parametrize(
    "error",
    [exceptions.BadRequest("Syntax error"), exceptions.NotFound("Not found: Table a:n.t"), ValueError("a bug")],
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, explained(ADDRESS):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ServiceUnavailable("try later"),
        refused(exceptions.InternalServerError, "try later", "backendError"),
        exceptions.RetryError("Timeout of 600.0s exceeded", ConnectionError("try later")),
    ],
)
def test_a_service_that_does_not_answer_is_said(error: Exception) -> None:
    with (
        pytest.raises(UnavailableError, match=r"BigQuery does not answer .* atlas-1234 \(.*try later\)"),
        explained(ADDRESS),
    ):
        raise error


def rows(features: list[list[int]], counts: list[list[int]]) -> pa.RecordBatch:
    kind = pa.list_(pa.int64())
    cells = pa.array(range(len(features)), pa.int64())
    columns = [cells, cells, pa.array(features, kind), pa.array(counts, kind)]
    return pa.RecordBatch.from_arrays(columns, ["cell_index", "shuffle_key", "feature_index", "raw_count"])


def take(batch: pa.RecordBatch, ingest: list[int]) -> list[tuple[str, list[int], list[int], list[int], list[int]]]:
    cells = batch.column("cell_index").to_numpy()
    codes = np.array(ingest, np.int64)
    request = CellRequest(["a@0", "b@1"], codes, cells, cells, cells)
    found = [
        (
            item.ingest_id,
            item.rows.tolist(),
            item.indptr.tolist(),
            item.feature_index.tolist(),
            item.raw_count.tolist(),
        )
        for item in request.take(codes, batch)
    ]
    request.check_complete()
    return found


def test_rows_of_several_ingests_become_a_batch_each() -> None:
    batch = rows([[0, 2], [], [1], [3, 4]], [[5, 6], [], [7], [8, 9]])
    assert take(batch, [1, 0, 1, 0]) == [
        ("a@0", [1, 3], [0, 0, 2], [3, 4], [8, 9]),
        ("b@1", [0, 2], [0, 2, 3], [0, 2, 1], [5, 6, 7]),
    ]
    assert take(batch.slice(2), [0, 0])[0][2:] == ([0, 1, 3], [1, 3, 4], [7, 8, 9])


@pytest.mark.parametrize(("features", "counts"), [([[2**31]], [[1]]), ([[1]], [[2**40]]), ([[1]], [[-(2**31) - 1]])])
def test_numbers_that_do_not_fit_are_noticed(features: list[list[int]], counts: list[list[int]]) -> None:
    with pytest.raises(CorruptionError, match="does not fit 31 bits"):
        take(rows(features, counts), [0])
