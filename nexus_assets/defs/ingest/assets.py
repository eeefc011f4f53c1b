"""Datasets, from their source files to the warehouse: one step over one dataset or many.

It is one step, so that datasets of which nothing is wrong are in the warehouse when another one of the same run is
refused, and so that executing the run again from its failure does only what is not done.
"""

from collections.abc import Iterator

import dagster as dg

from nexus_assets.batches import MOST_DATASETS
from nexus_assets.defs.ingest.source_reading import INGEST_FILES, REPORT, read_sources, source_checks, source_specs
from nexus_assets.defs.warehouse.tables import TABLE_KEYS, load_datasets, table_checks, table_specs
from nexus_assets.partition_results import Event, PartitionResults
from nexus_assets.partitions import DATASETS
from nexus_resources.pipelines.resource import PipelinesResource
from nexus_resources.stores import StoreResource, WarehouseResource

SOURCE_FILES = ["ingest", "source_files"]

source_files = dg.AssetSpec(
    SOURCE_FILES,
    partitions_def=DATASETS,
    group_name="ingest",
    kinds={"anndata", "file"},
    description="The source files of a dataset as somebody dropped them into the inbox, with their sidecar.",
)


@dg.multi_asset(
    name="ingest_datasets",
    partitions_def=DATASETS,
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=MOST_DATASETS),
    pool="ingest",
    specs=[*source_specs(SOURCE_FILES), *table_specs()],
    check_specs=[*source_checks(), *table_checks()],
)
def ingest_datasets(
    context: dg.AssetExecutionContext, store: StoreResource, warehouse: WarehouseResource, pipelines: PipelinesResource
) -> Iterator[Event]:
    """Check the source files of datasets, make their ingest files, and load them all at once."""
    results = PartitionResults(context)
    objects = store.open()
    if results.is_selected(REPORT) or results.is_selected(INGEST_FILES):
        for made in read_sources(context, results, objects, warehouse.uri, pipelines):
            yield from results.report(made)
    if results.remaining and any(map(results.is_selected, TABLE_KEYS)):
        for made in load_datasets(context, results, objects, warehouse, pipelines):
            yield from results.report(made)
    yield from results.finish()
