"""The tasks of a curriculum: plan a version, extract groups of its bins, release it."""

from kfp_components.configurations import (
    ExtractTaskConfig,
    ExtractTaskResult,
    FinishTaskConfig,
    FinishTaskResult,
    PrepareExtractTaskConfig,
    PrepareExtractTaskResult,
)
from kfp_components.messages import TaskMessages
from kfp_components.progress import ProgressWriter
from kfp_components.tasks.task import run_task
from omics_datastore.storage.documents import content_digest
from omics_datastore.storage.layout import plan_key, release_key
from omics_datastore.storage.object_store import ObjectStore


def prepare_extract_job(root: str, config_key: str) -> None:
    """Plan a version of a curriculum whose specification was pinned.

    :param root: Root of the object store.
    :param config_key: Key of a :class:`~kfp_components.configurations.PrepareExtractTaskConfig`.
    :raise InputError: When the specification cannot be planned.
    """
    run_task(root, config_key, PrepareExtractTaskConfig, _prepare)


def extract_job(root: str, config_key: str) -> None:
    """Write the shards of the task's groups of bins; those that are there as planned are kept.

    :param root: Root of the object store.
    :param config_key: Key of an :class:`~kfp_components.configurations.ExtractTaskConfig`.
    """
    run_task(root, config_key, ExtractTaskConfig, _extract)


def mark_curriculum_as_finished_job(root: str, config_key: str) -> None:
    """Release a version of a curriculum, which makes its folder a curriculum.

    :param root: Root of the object store.
    :param config_key: Key of a :class:`~kfp_components.configurations.FinishTaskConfig`.
    """
    run_task(root, config_key, FinishTaskConfig, _finish)


def _prepare(
    store: ObjectStore,
    config: PrepareExtractTaskConfig,
    messages: TaskMessages,  # noqa: ARG001
) -> PrepareExtractTaskResult:
    from omics_datastore.curriculum.plan import plan_curriculum
    from omics_datastore.curriculum.versions import load_specification
    from omics_datastore.warehouse.open import open_warehouse

    plan = plan_curriculum(
        load_specification(store, config.name, config.version),
        config.version,
        open_warehouse(config.warehouse_uri, store),
        store,
        bins_per_group=config.bins_per_group,
    )
    return PrepareExtractTaskResult(
        plan_key=plan_key(config.name, config.version),
        total_cells=plan.total_cells,
        bins=len(plan.bins),
        groups=len(plan.groups),
    )


def _extract(store: ObjectStore, config: ExtractTaskConfig, messages: TaskMessages) -> ExtractTaskResult:
    from omics_datastore.curriculum.extract import extract_groups
    from omics_datastore.curriculum.plan import read_plan
    from omics_datastore.warehouse.open import open_warehouse

    plan = read_plan(store, config.name, config.version)
    groups = config.chosen([group.group for group in plan.groups])
    chosen = [plan.groups[number] for number in groups]
    cells = sum(item.cells for group in chosen for item in plan.bins[group.first_bin : group.last_bin + 1])
    progress = ProgressWriter(messages, "cells", [cells])
    result = extract_groups(
        plan,
        groups,
        open_warehouse(config.warehouse_uri, store),
        store,
        workers=config.workers,
        memory_limit_bytes=config.memory_limit_bytes,
        on_progress=lambda done, total: progress.update(0, done, total),
    )
    progress.finish()
    return ExtractTaskResult(written=result.written, kept=result.kept)


def _finish(store: ObjectStore, config: FinishTaskConfig, messages: TaskMessages) -> FinishTaskResult:
    from omics_datastore.curriculum.plan import read_plan
    from omics_datastore.curriculum.release import release_curriculum

    cells = read_plan(store, config.name, config.version).total_cells
    progress = ProgressWriter(messages, "cells", [cells])
    release = release_curriculum(
        config.name,
        config.version,
        store,
        workers=config.workers,
        on_progress=lambda done, total: progress.update(0, done, total),
    )
    progress.finish()
    return FinishTaskResult(release_key=release_key(config.name, config.version), digest=content_digest(release))
