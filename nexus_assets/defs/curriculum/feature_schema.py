"""Feature schemas: the CSV files under ``feature_schemas/``, read and checked."""

import dagster as dg

from nexus_assets.partitions import FEATURE_SCHEMAS, check_partition
from nexus_assets.plots import bars
from nexus_assets.policy import AssetResult, input_failures
from nexus_assets.report_metadata import picture, place, table
from nexus_assets.run_metadata import asset_result
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.storage.layout import feature_schema_key

FEATURE_SCHEMA = ["curriculum", "feature_schema"]
_SHOWN = 20


@dg.asset(
    key=FEATURE_SCHEMA,
    partitions_def=FEATURE_SCHEMAS,
    group_name="curriculum",
    kinds={"csv"},
    description="A named, ordered gene list: the columns of a curriculum's shards.",
)
def feature_schema(
    context: dg.AssetExecutionContext, store: StoreResource, warehouse: WarehouseResource
) -> AssetResult:
    """Read and check a feature schema, and say how many of its genes each dataset measured."""
    from omics_datastore.curriculum.feature_schema import load_feature_schema, register_feature_schema
    from omics_datastore.curriculum.schema_measured import measured_by_dataset

    name = check_partition(FEATURE_SCHEMAS, context.partition_key)
    objects = store.open()
    with input_failures():
        schema = load_feature_schema(objects, name)
        register_feature_schema(objects, schema)
    measured = measured_by_dataset(schema, warehouse.open())
    largest = measured.sort("measured", descending=True).head(_SHOWN)
    plot = bars("Genes measured", largest["dataset"].to_list(), largest["measured"].to_list())
    return asset_result(
        context,
        {
            "file": place(objects.uri(feature_schema_key(name))),
            "features": schema.features.height,
            "without_symbol": schema.features["feature_name"].null_count(),
            "measured_by_dataset": table(measured.to_dicts()),
            **({"plot_measured": picture(plot)} if measured.height else {}),
            "first_features": table(schema.features.head(50).to_dicts()),
        },
        data_version=schema.digest()[:16],
    )
