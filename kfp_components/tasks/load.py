"""The task that loads ingests into the warehouse and commits them. Which warehouse, the configuration says."""

from kfp_components.configurations import IngestTaskResult, LoadTaskConfig, LoadTaskResult
from kfp_components.messages import TaskMessages
from kfp_components.results import read_result
from kfp_components.tasks.task import run_task
from omics_datastore.errors import InputError
from omics_datastore.storage.object_store import ObjectStore


def ingest_data_to_bigquery_job(root: str, config_key: str) -> None:
    """Load ingest files and make them visible, all at once.

    :param root: Root of the object store.
    :param config_key: Key of a :class:`~kfp_components.configurations.LoadTaskConfig`.
    :raise InputError: When a source file was refused; nothing is loaded then.
    """
    run_task(root, config_key, LoadTaskConfig, _load)


def _load(store: ObjectStore, config: LoadTaskConfig, messages: TaskMessages) -> LoadTaskResult:  # noqa: ARG001
    from omics_datastore.ingest.manifest import read_manifest
    from omics_datastore.keys import parse_ingest_id
    from omics_datastore.warehouse.open import open_warehouse

    ingest_ids = [*config.ingest_ids, *_created(store, config)]
    named = {ingest_id: parse_ingest_id(ingest_id)[0] for ingest_id in ingest_ids}
    manifests = [read_manifest(store, dataset, ingest_id) for ingest_id, dataset in named.items()]
    loaded = open_warehouse(config.warehouse_uri, store).load(manifests, store.now())
    return LoadTaskResult(committed=list(loaded.committed), unchanged=list(loaded.unchanged), rows=loaded.rows)


def _created(store: ObjectStore, config: LoadTaskConfig) -> list[str]:
    """Return the ids that earlier tasks made, and refuse when they refused a file."""
    reports = [
        report for key in config.create_result_keys for report in read_result(store, key, IngestTaskResult).reports
    ]
    errors = [error for report in reports for error in report.errors]
    if errors:
        more = f" (and {len(errors) - 1} more errors)" if len(errors) > 1 else ""
        raise InputError(f"{errors[0]}{more}")
    return [report.ingest_id for report in reports if report.ingest_id is not None]
