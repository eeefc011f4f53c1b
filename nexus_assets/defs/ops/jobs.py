"""The jobs people launch. Their steps delegate or wait, so they run in one process."""

import dagster as dg

from nexus_assets.defs.curriculum.extract import EXTRACT
from nexus_assets.defs.curriculum.feature_schema import FEATURE_SCHEMA
from nexus_assets.defs.curriculum.plan import PLAN
from nexus_assets.defs.curriculum.release import RELEASE
from nexus_assets.defs.ingest.source_reading import INGEST_FILES, REPORT
from nexus_assets.defs.ops.cell_counts import CELL_COUNTS
from nexus_assets.defs.warehouse.snapshot import SNAPSHOT
from omics_datastore.schema.tables import TABLES

_TABLES = [["warehouse", table.name] for table in TABLES]


def _selection(*keys: list[str]) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*[dg.AssetKey(key) for key in keys])


ingest_dataset = dg.define_asset_job(
    "ingest_dataset",
    selection=_selection(REPORT, INGEST_FILES, *_TABLES, SNAPSHOT),
    executor_def=dg.in_process_executor,
    description="Check the source files of a dataset, make their ingest files and load them into the warehouse.",
)

validate_dataset = dg.define_asset_job(
    "validate_dataset",
    selection=_selection(REPORT),
    executor_def=dg.in_process_executor,
    description="Check the source files of a dataset and write only the report.",
)

register_feature_schema = dg.define_asset_job(
    "register_feature_schema",
    selection=_selection(FEATURE_SCHEMA),
    executor_def=dg.in_process_executor,
    description="Check a feature schema's CSV file.",
)

build_curriculum = dg.define_asset_job(
    "build_curriculum",
    selection=_selection(PLAN, EXTRACT, RELEASE),
    executor_def=dg.in_process_executor,
    description="Plan one version of a curriculum, extract its shards and release it.",
)

refresh_snapshot = dg.define_asset_job(
    "refresh_snapshot",
    selection=_selection(SNAPSHOT),
    executor_def=dg.in_process_executor,
    description="Sum up what the warehouse shows now.",
)

describe_cells = dg.define_asset_job(
    "describe_cells",
    selection=_selection(CELL_COUNTS),
    config={"ops": {"ops__cell_counts": {"config": {"filter": [], "by": ["tissue"], "column": "cell_type"}}}},
    executor_def=dg.in_process_executor,
    description="Count the cells that a filter selects, before anything is built.",
)
