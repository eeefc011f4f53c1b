"""The landing sensor as the daemon calls it, over real folders and the instance of a world."""

from pathlib import Path
from typing import Any

import dagster as dg

from nexus_assets.defs.ops.landing_sensor import landing_sensor
from omics_datastore.ingest.inbox import read_drop
from tests.nexus_assets.world import World


class Daemon:
    """Tick, as the daemon does: keep the cursor, add the partitions, and drop run keys it has seen."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cursor: str | None = None
        self.keys: set[str] = set()

    def evaluate(self) -> dg.SensorResult:
        context = dg.build_sensor_context(
            instance=self.world.instance,
            cursor=self.cursor,
            resources={name: self.world.resources[name] for name in ("store", "warehouse")},
        )
        result = landing_sensor(context)
        assert isinstance(result, dg.SensorResult)
        return result

    def tick(self) -> list[dg.RunRequest]:
        result = self.evaluate()
        for request in result.dynamic_partitions_requests or []:
            assert isinstance(request, dg.AddDynamicPartitionsRequest)
            self.world.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        new = [run for run in result.run_requests or [] if run.run_key not in self.keys]
        self.keys |= {str(run.run_key) for run in new}
        self.cursor = result.cursor
        return new


def put(world: World, key: str, content: str = "x") -> Path:
    path = world.root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def asked(runs: list[dg.RunRequest]) -> list[tuple[str | None, str | None]]:
    return [(run.job_name, run.partition_key) for run in runs]


def load(world: World, dataset: str) -> None:
    """Say that a dataset as it lies in the inbox was loaded, and summed up."""
    tags = {"dagster/data_version": read_drop(world.store, dataset).digest[:16]}
    event = dg.AssetMaterialization(["warehouse", "ingest_info"], partition=dataset, tags=tags)
    world.instance.report_runless_asset_event(event)
    world.instance.report_runless_asset_event(dg.AssetMaterialization(["warehouse", "snapshot"]))


def reason(daemon: Daemon) -> str:
    skip: Any = daemon.evaluate().skip_reason
    return str(skip.skip_message) if skip is not None else ""
