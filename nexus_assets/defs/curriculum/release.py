"""Releases of curricula: the document that makes a folder of shards a curriculum, written last.

The Dagster process releases itself, since it only reads records and writes three small files; with
``client_calls: pipeline`` the component of the same name does.
"""

import dagster as dg

from nexus_assets.defs.curriculum.extract import EXTRACT
from nexus_assets.defs.curriculum.plan import PLAN
from nexus_assets.markdown_text import markdown_list, markdown_program
from nexus_assets.partitions import CURRICULA
from nexus_assets.pipeline_run import request_writer, run_pipeline
from nexus_assets.policy import AssetResult, blocking_check, check_result, input_failures
from nexus_assets.report_metadata import place, table
from nexus_assets.run_metadata import asset_result
from nexus_resources.pipelines.resource import PipelinesResource
from nexus_resources.stores import StoreResource
from omics_datastore.keys import parse_curriculum_partition
from omics_datastore.storage.layout import release_key

RELEASE = ["curriculum", "release"]


@dg.asset(
    key=RELEASE,
    partitions_def=CURRICULA,
    deps=[EXTRACT, PLAN],
    group_name="curriculum",
    kinds={"anndata", "json"},
    check_specs=[
        blocking_check("loader_opens_shards", RELEASE, "The training client's rules hold for the shards.", CURRICULA)
    ],
    description="`release.json`: specification, pinned sources with checksums, shards with checksums, how to load it.",
)
def release(context: dg.AssetExecutionContext, store: StoreResource, pipelines: PipelinesResource) -> AssetResult:
    """Check the shards as their readers will, and release them."""
    from omics_datastore.curriculum.loaders import placed_loader
    from omics_datastore.curriculum.release import release_curriculum
    from omics_datastore.curriculum.release_model import read_release
    from omics_datastore.curriculum.verify import verify_curriculum

    name, version = parse_curriculum_partition(context.partition_key)
    objects = store.open()
    found = verify_curriculum(name, version, objects)
    if pipelines.client_calls == "pipeline" and not found.problems:
        run_pipeline(
            context, pipelines, request_writer(context, objects, pipelines, "release").finish(name, version), RELEASE
        )
    elif not found.problems:
        with input_failures():
            release_curriculum(name, version, objects, workers=pipelines.workers)
    check = check_result(
        "loader_opens_shards",
        RELEASE,
        passed=not found.problems,
        shards_opened=len(found.shards),
        first_problem=found.problems[0] if found.problems else "none",
    )
    if found.problems:
        return asset_result(context, {}, checks=[check])
    made = read_release(objects, name, version)
    return asset_result(
        context,
        {
            "release": place(objects.uri(release_key(name, version))),
            "dagster/partition_row_count": made.total_cells,
            "shards": len(made.shards),
            "bytes": sum(shard.size for shard in made.shards),
            "genes": made.feature_count,
            **{
                f"load_with_{library.replace('-', '_')}": _program(placed_loader(made, library, objects))
                for library in ("anndata", "cellarium-ml", "annbatch", "nexus")
                if library in made.loaders
            },
            "splits": table(
                [split.model_dump(include={"name", "cells", "shards", "extract_metadata"}) for split in made.splits]
            ),
            "sources": table([ingest.model_dump(exclude={"citation"}) for ingest in made.ingests]),
            "citations": dg.MetadataValue.md(markdown_list(made.citations)),
        },
        data_version=made.specification_digest[:16],
        checks=[check],
    )


def _program(source: str) -> dg.MetadataValue:
    return dg.MetadataValue.md(markdown_program(source, "python"))
