"""The KFP pipelines. They differ from a list of calls only in what runs side by side and what may be left out.

The key of a step that is not wanted is ``""``. A loop sits in a pipeline of its own, so that what follows it
depends on one task; and nothing depends on a step that may be left out, because Vertex AI leaves out what follows a
condition that did not hold. Nothing is cached: a task's results lie in the store, where they may have been deleted.
"""

# kfp has no types.
# mypy: disable-error-code="untyped-decorator"

from kfp import dsl

from kfp_components.components import (
    create_ingest_files_job,
    extract_job,
    ingest_data_to_bigquery_job,
    mark_curriculum_as_finished_job,
    prepare_extract_job,
    validate_anndata_job,
)


@dsl.pipeline(name="create-ingest-files")
def _create_ingest_files(root: str, config_keys: list[str]) -> None:
    with dsl.ParallelFor(config_keys) as config_key:
        create_ingest_files_job(root=root, config_key=config_key).set_caching_options(False)


@dsl.pipeline(name="ingest-data-pipeline", description="Source files to ingest files; optionally into the warehouse.")
def ingest_data_pipeline(root: str, create_config_keys: list[str], load_config_key: str = "") -> None:
    """Make ingest files, and load them when a load is configured.

    :param root: Root of the object store.
    :param create_config_keys: Keys of :class:`~kfp_components.configurations.IngestTaskConfig` documents.
    :param load_config_key: Key of a :class:`~kfp_components.configurations.LoadTaskConfig` document.
    """
    created = _create_ingest_files(root=root, config_keys=create_config_keys).set_caching_options(False)
    with dsl.If(load_config_key != "", "load"):
        ingest_data_to_bigquery_job(root=root, config_key=load_config_key).set_caching_options(False).after(created)


@dsl.pipeline(name="extract-bins")
def _extract_bins(root: str, config_keys: list[str]) -> None:
    with dsl.ParallelFor(config_keys) as config_key:
        extract_job(root=root, config_key=config_key).set_caching_options(False)


@dsl.pipeline(name="extract-and-finish")
def _extract_and_finish(root: str, config_keys: list[str], finish_config_key: str) -> None:
    extracted = _extract_bins(root=root, config_keys=config_keys).set_caching_options(False)
    with dsl.If(finish_config_key != "", "finish"):
        mark_curriculum_as_finished_job(root=root, config_key=finish_config_key).set_caching_options(False).after(
            extracted
        )


@dsl.pipeline(name="extract-data-pipeline", description="A planned curriculum to shards; optionally planned, released.")
def extract_data_pipeline(
    root: str, extract_config_keys: list[str], prepare_config_key: str = "", finish_config_key: str = ""
) -> None:
    """Extract a curriculum; plan it before and release it afterwards where that is configured.

    :param root: Root of the object store.
    :param extract_config_keys: Keys of :class:`~kfp_components.configurations.ExtractTaskConfig` documents.
    :param prepare_config_key: Key of a :class:`~kfp_components.configurations.PrepareExtractTaskConfig` document.
    :param finish_config_key: Key of a :class:`~kfp_components.configurations.FinishTaskConfig` document.
    """
    with dsl.If(prepare_config_key != "", "plan first"):
        prepared = prepare_extract_job(root=root, config_key=prepare_config_key).set_caching_options(False)
        _extract_and_finish(
            root=root, config_keys=extract_config_keys, finish_config_key=finish_config_key
        ).set_caching_options(False).after(prepared)
    with dsl.Else("planned already"):
        _extract_and_finish(
            root=root, config_keys=extract_config_keys, finish_config_key=finish_config_key
        ).set_caching_options(False)


@dsl.pipeline(name="validate-pipeline", description="Source files to validation reports.")
def validate_pipeline(root: str, config_keys: list[str]) -> None:
    """Check source files without writing ingest files.

    :param root: Root of the object store.
    :param config_keys: Keys of :class:`~kfp_components.configurations.IngestTaskConfig` documents.
    """
    with dsl.ParallelFor(config_keys) as config_key:
        validate_anndata_job(root=root, config_key=config_key).set_caching_options(False)
