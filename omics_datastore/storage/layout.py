"""Where each thing lies below the root of a store (DESIGN section 8). The only place that spells these paths."""

from collections.abc import Sequence

INBOX = "inbox/"
LOAD_JOBS = ".scratch/load_jobs/"
FEATURE_SCHEMAS = "feature_schemas/"
SPECIFICATIONS = "curricula/"
MAPPINGS = "mappings/"
INGEST = "ingest/"
WAREHOUSE = "warehouse/"
EXTRACTS = "extracts/"
REPORTS = "reports/"
PIPELINES = "pipelines/"
TASKS = "tasks/"
PLOTS = "plots/"
DROPS = (INBOX, FEATURE_SCHEMAS, SPECIFICATIONS, MAPPINGS)
"""Folders that people put files into."""

SHARDS = "extract_files/"
"""Where the shards of a version lie below its folder."""
COLLECTION = f"{SHARDS}collection.zarr/"
"""Where they lie when they are zarr groups."""
RELEASE = "release.json"
EXTRACT_METADATA = "extract_metadata.json"
GENES = "genes.csv"
MEASURED_GENES = "measured_genes.parquet"
SPLITS = "splits/"
"""Names of what else a version has, below its folder: trainers open copies of it anywhere."""


def task_folder(root_run: str, step: str, number: int) -> str:
    """Return the folder of a pipeline task's configuration and result, with a slash at its end."""
    return f"{TASKS}{root_run}/{step}/{number:04d}/"


def messages_prefix(root_run: str, session: str) -> str:
    """Return the prefix of what the tasks of a session say, with a slash at its end."""
    return f"{TASKS}{root_run}/{session}/messages/"


def plots_folder(asset: Sequence[str], partition: str | None) -> str:
    """Return the folder of the whole plots of an asset's partition, with a slash at its end."""
    return PLOTS + "".join(f"{part}/" for part in (*asset, partition) if part)


def feature_schema_key(name: str) -> str:
    """Return the key of a feature schema's CSV file."""
    return f"{FEATURE_SCHEMAS}{name}.csv"


def registered_schema_key(name: str) -> str:
    """Return the key of the digest that a feature schema had when it was first used; nobody lists it."""
    return f"{FEATURE_SCHEMAS}.registered/{name}.json"


def mapping_key(name: str) -> str:
    """Return the key of a column mapping that datasets share."""
    return f"{MAPPINGS}{name}.yaml"


def specification_key(name: str) -> str:
    """Return the key of a curriculum's specification as somebody dropped it."""
    return f"{SPECIFICATIONS}{name}.yaml"


def load_jobs_key(dataset: str) -> str:
    """Return the key of the ids of the jobs that load a dataset into BigQuery now; hidden, and gone when they ended."""
    return f"{LOAD_JOBS}{dataset}.json"


def ingest_folder(dataset: str, ingest_id: str) -> str:
    """Return the folder of an ingest's files, with a slash at its end."""
    return f"{INGEST}{dataset}/{ingest_id}/"


def ingest_manifest_key(dataset: str, ingest_id: str) -> str:
    """Return the key of an ingest's manifest, which is written last."""
    return f"{ingest_folder(dataset, ingest_id)}manifest.json"


def ingest_set_key(dataset: str) -> str:
    """Return the key of the list of a dataset's ingests, which is written after their manifests."""
    return f"{INGEST}{dataset}/ingest_set.json"


def warehouse_file_key(table: str, ingest_id: str) -> str:
    """Return the key of an ingest's rows of a table in the warehouse of a folder (hive partitions)."""
    return f"{WAREHOUSE}{table}/ingest_id={ingest_id}/{table}.parquet"


def warehouse_load_key(load: str) -> str:
    """Return the key of the ``ingest_info`` rows of one load, whose appearance commits it."""
    return f"{WAREHOUSE}ingest_info/{load}.parquet"


def report_key(dataset: str) -> str:
    """Return the key of the latest validation report of a dataset."""
    return f"{REPORTS}{dataset}/validation_report.json"


def report_csv_key(dataset: str) -> str:
    """Return the key of the latest validation report of a dataset as CSV."""
    return f"{REPORTS}{dataset}/validation_report.csv"


def checked_key(dataset: str, mark: str) -> str:
    """Return the key of what a check without ingest found in one file, by a digest of its content and the rules."""
    return f"{REPORTS}{dataset}/checked/{mark}.json"


def cellxgene_key(dataset: str, mark: str) -> str:
    """Return the key of what cellxgene-schema said of a file, by a digest of its content and the version."""
    return f"{REPORTS}{dataset}/cellxgene/{mark}.json"


def curriculum_folder(name: str, version: int) -> str:
    """Return the folder of one version of a curriculum, with a slash at its end."""
    return f"{EXTRACTS}{name}/v{version}/"


def pinned_specification_key(name: str, version: int) -> str:
    """Return the key of the specification that a version was made from; writing it claims the version."""
    return f"{curriculum_folder(name, version)}specification.json"


def plan_key(name: str, version: int) -> str:
    """Return the key of a version's plan, which is written after the files it names."""
    return f"{curriculum_folder(name, version)}plan/plan.json"


def plan_features_key(name: str, version: int) -> str:
    """Return the key of the features of a version, in order."""
    return f"{curriculum_folder(name, version)}plan/features.parquet"


def plan_cells_key(name: str, version: int, group: int) -> str:
    """Return the key of the cells of one group of bins, in the order the shards hold them."""
    return f"{curriculum_folder(name, version)}plan/cells_{group:06d}.parquet"


def shard_name(bin_number: int, file_format: str) -> str:
    """Return the name of a shard; readers sort these names. ``zarr`` shards are groups, ``h5ad`` shards files."""
    return f"dataset_{bin_number:06d}" if file_format == "zarr" else f"extract_{bin_number:06d}.h5ad"


def shard_file(bin_number: int, file_format: str) -> str:
    """Return where a shard lies below the folder of its version."""
    folder = COLLECTION if file_format == "zarr" else SHARDS
    return f"{folder}{shard_name(bin_number, file_format)}"


def shard_key(name: str, version: int, bin_number: int, file_format: str) -> str:
    """Return the key of a shard, or the folder of its objects without a slash at its end."""
    return f"{curriculum_folder(name, version)}{shard_file(bin_number, file_format)}"


def collection_key(name: str, version: int) -> str:
    """Return the key of the group that makes the zarr shards of a version a collection."""
    return f"{curriculum_folder(name, version)}{COLLECTION}zarr.json"


def shard_record_key(name: str, version: int, bin_number: int) -> str:
    """Return the key of the record that a shard's writer leaves after the shard."""
    return f"{curriculum_folder(name, version)}plan/shards/extract_{bin_number:06d}.json"


def extract_metadata_key(name: str, version: int) -> str:
    """Return the key of the metadata file that training clients read."""
    return f"{curriculum_folder(name, version)}{EXTRACT_METADATA}"


def metadata_file(split: str | None) -> str:
    """Return where the metadata file of a split, or of the whole, lies below the folder of its version."""
    return EXTRACT_METADATA if split is None else f"{SPLITS}{split}/{EXTRACT_METADATA}"


def split_metadata_key(name: str, version: int, split: str) -> str:
    """Return the key of the metadata file of one split of a version."""
    return f"{curriculum_folder(name, version)}{metadata_file(split)}"


def plan_measured_key(name: str, version: int) -> str:
    """Return the key of the table that says which features each pinned ingest measured."""
    return f"{curriculum_folder(name, version)}plan/{MEASURED_GENES}"


def measured_genes_key(name: str, version: int) -> str:
    """Return the key of the same table where readers look for it."""
    return f"{curriculum_folder(name, version)}{MEASURED_GENES}"


def genes_key(name: str, version: int) -> str:
    """Return the key of the table of genes: how many sources and cells measured each."""
    return f"{curriculum_folder(name, version)}{GENES}"


def release_key(name: str, version: int) -> str:
    """Return the key of the release, which is written last and makes the folder a curriculum."""
    return f"{curriculum_folder(name, version)}{RELEASE}"
