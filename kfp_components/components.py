"""The KFP components: each is one import and one call of :mod:`kfp_components.tasks`.

A component's body is copied into the compiled YAML and runs in a worker, so it holds nothing but the call. Where a
step is a plain client call (load, plan, release), the Dagster process makes it itself: a container of its own would
cost a minute to start and give nothing back, and the asset has the numbers at once. The components exist all the
same, so that a pipeline can run from end to end without Dagster.
"""

# kfp has no types.
# mypy: disable-error-code="untyped-decorator"

from kfp import dsl

from kfp_components.catalog import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def create_ingest_files_job(root: str, config_key: str) -> None:  # noqa: D103
    from kfp_components.tasks.ingest_files import create_ingest_files_job as run

    run(root, config_key)


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def validate_anndata_job(root: str, config_key: str) -> None:  # noqa: D103
    from kfp_components.tasks.ingest_files import validate_anndata_job as run

    run(root, config_key)


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def ingest_data_to_bigquery_job(root: str, config_key: str) -> None:  # noqa: D103
    from kfp_components.tasks.load import ingest_data_to_bigquery_job as run

    run(root, config_key)


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def prepare_extract_job(root: str, config_key: str) -> None:  # noqa: D103
    from kfp_components.tasks.curriculum import prepare_extract_job as run

    run(root, config_key)


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def extract_job(root: str, config_key: str) -> None:  # noqa: D103
    from kfp_components.tasks.curriculum import extract_job as run

    run(root, config_key)


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def mark_curriculum_as_finished_job(root: str, config_key: str) -> None:  # noqa: D103
    from kfp_components.tasks.curriculum import mark_curriculum_as_finished_job as run

    run(root, config_key)
