"""The inputs of the cost calculator: every number with its unit and where it comes from. No arithmetic.

Four kinds: measured here (``rates.json``, by :mod:`benchmarks.measure_rates`, or the shared facts of the project),
documented (a design, a manual), quoted from a price list (US dollars, one region), and assumed, which is a guess.
"""

import json
from dataclasses import dataclass
from typing import Literal

from benchmarks.measure_rates import RATES

Kind = Literal["measured", "documented", "quoted", "assumed"]


@dataclass(frozen=True)
class Quantity:
    """A number with its unit, and where it comes from."""

    value: float
    unit: str
    kind: Kind
    source: str


def _rate(name: str, unit: str, note: str = "") -> Quantity:
    content = json.loads(RATES.read_text())
    about = content["about"]
    where = f"{about['cells']:,} cells, {about['machine']}, load {about['load']}"
    source = f"`benchmarks/rates.json`: {about['date']}, {where}"
    return Quantity(content["rates"][name], unit, "measured", f"{source}; {note}" if note else source)


_STUDY = "a public cost study that read the page on 2026-09-30 for europe-west1"
_OLD = "the project's facts: its own code, local half, 2 cores; counted as the work of one, in its favour"

INPUTS: dict[str, Quantity] = {
    # The data
    "nonzeros": Quantity(2000, "a cell", "documented", "the reference density of the design"),
    "measured_nonzeros": _rate("nonzeros_a_cell", "a cell", "measured bytes and rates are scaled from it"),
    "source_bytes": _rate("source_bytes_a_cell", "bytes a cell", "h5ad, gzip"),
    "ingest_bytes": _rate("raw_counts_bytes_a_cell", "bytes a cell", "Parquet for bulk load, ZSTD 1"),
    "cell_bytes": _rate("cell_info_bytes_a_cell", "bytes a cell", "Parquet"),
    "shard_bytes": _rate("shard_bytes_a_cell", "bytes a cell", "h5ad, shuffle and gzip"),
    "int64": Quantity(8, "bytes a value", "documented", "BigQuery's sizes of data types; the same in an array"),
    "key_bytes": Quantity(46, "bytes a cell", "assumed", "logical bytes of the three keys in a row of raw_counts"),
    "plan_bytes": Quantity(220, "bytes a cell", "assumed", "logical, of the columns that a plan reads"),
    "physical": Quantity(1, "of the Parquet", "assumed", "BigQuery compresses as Parquet does"),
    "bin_size": Quantity(10_000, "cells a shard", "documented", "the default of a specification"),
    # The work
    "ingest_rate": _rate("ingest_cells_a_second", "cells a CPU second"),
    "plan_rate": _rate("plan_cells_a_second", "cells a CPU second", "one process, whatever the scale"),
    "extract_rate": _rate("extract_cells_a_second", "cells a CPU second"),
    "efficiency": Quantity(0.7, "of the vCPUs", "assumed", "transfers, uneven files, the end of a fan-out"),
    "vcpus": Quantity(8, "vCPUs a task", "documented", "`deploy/terraform/terraform.tfvars.example`"),
    "parallelism": Quantity(50, "tasks", "documented", "`deploy/terraform/terraform.tfvars.example`"),
    "cells_a_task": Quantity(1_280_000, "cells", "assumed", "128 shards of the default size"),
    "start_hours": Quantity(0.05, "hours a task", "assumed", "a task waits for its machine and its image"),
    "load_rate": Quantity(1, "GB a second", "assumed", "load jobs share a pool that promises nothing"),
    "query_rate": Quantity(2, "GB a second", "assumed", "logical bytes of a query that shuffles"),
    # The old system
    "old_values": Quantity(3, "INT64 a nonzero", "documented", "its raw_matrix_coo: cell, feature, count"),
    "old_nonzeros": Quantity(1500, "a cell", "measured", "the density of the next two"),
    "old_ingest_rate": Quantity(606, "cells a second", "measured", _OLD),
    "old_extract_rate": Quantity(1080, "cells a second", "measured", _OLD),
    # Prices
    "query_price": Quantity(6.25, "USD a TiB", "quoted", f"BigQuery on demand, EU; {_STUDY}"),
    "read_price": Quantity(
        1.32, "USD a TiB", "quoted", f"Storage Read API; {_STUDY}; 300 TiB a month are free, not counted"
    ),
    "physical_price": Quantity(
        0.044,
        "USD a GiB and month",
        "quoted",
        "active, physical, EU: a public query of 2023; half after 90 days",
    ),
    "logical_price": Quantity(
        0.02, "USD a GiB and month", "quoted", f"BigQuery, active, logical; {_STUDY}; half after 90 days"
    ),
    "bucket_price": Quantity(0.020, "USD a GB and month", "quoted", "Cloud Storage, one region: its pricing page"),
    "write_price": Quantity(0.000005, "USD a write", "quoted", "Cloud Storage, class A: its page of pricing examples"),
    "machine_price": Quantity(0.0534, "USD a vCPU hour", "quoted", f"n2-standard-8 at 0.427336 USD an hour; {_STUDY}"),
    "spot_price": Quantity(0.0134, "USD a vCPU hour", "quoted", f"n2-standard-8, spot, 0.1075 USD, varies; {_STUDY}"),
    "vertex_factor": Quantity(1.15, "times", "assumed", "what Vertex AI adds to the price of a machine"),
    "pipeline_price": Quantity(0.03, "USD a run", "quoted", "Vertex AI Pipelines: its pricing page, 2026-09-20"),
}


def value(name: str) -> float:
    """Return the value of an input.

    :param name: Its name in :data:`INPUTS`.
    :return: The value, in the input's unit.
    """
    return INPUTS[name].value
