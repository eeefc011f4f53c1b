"""A snapshot of every definition: what changes in the graph shows in review as a changed ``asset_graph.txt``.

Refresh it with ``python -m tests.nexus_assets.test_asset_graph``.
"""

import difflib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

from nexus_assets.definitions import build_defs
from nexus_resources.deployment import deployment_resources
from nexus_resources.settings import read_settings

SNAPSHOT = Path(__file__).with_name("asset_graph.txt")
REFRESH = "python -m tests.nexus_assets.test_asset_graph"


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_defs(deployment_resources(read_settings({"NEXUS_ROOT": str(tmp_path_factory.mktemp("root"))})))


def test_the_graph_is_as_it_was_reviewed(definitions: dg.Definitions) -> None:
    now, reviewed = describe_graph(definitions).splitlines(), SNAPSHOT.read_text().splitlines()
    changes = "\n".join(difflib.unified_diff(reviewed, now, "reviewed", "now", lineterm=""))
    assert not changes, f"the asset graph changed; if that is meant, run: {REFRESH}\n{changes}"


def test_the_definitions_are_valid(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_every_asset_says_what_it_is_and_whose(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description
        assert spec.owners == ["team:nexus"]
        assert spec.group_name in ("ingest", "warehouse", "curriculum", "ops")
        assert spec.key.path[0] == spec.group_name
        assert spec.kinds


def test_assets_link_to_their_code_where_a_setting_says_where_it_is(
    monkeypatch: pytest.MonkeyPatch, definitions: dg.Definitions
) -> None:
    root = "https://git.example/nexus/blob/main"
    monkeypatch.setenv("NEXUS_SOURCE_URL", f"{root}/")
    linked = build_defs(dict(definitions.resources or {}))
    found = {
        spec.key.to_user_string(): spec.metadata["dagster/code_references"].code_references[0].url
        for spec in linked.resolve_all_asset_specs()
        if "dagster/code_references" in spec.metadata
    }
    made = {spec.key.to_user_string() for spec in linked.resolve_all_asset_specs()} - {"ingest/source_files"}
    assert set(found) == made
    file, _, line = found["curriculum/extract"].removeprefix(f"{root}/").partition("#L")
    lines = (Path(__file__).parents[2] / file).read_text().splitlines()
    assert lines[int(line) - 1 :][0].startswith("@dg.asset")
    assert not any("dagster/code_references" in spec.metadata for spec in definitions.resolve_all_asset_specs())


def test_every_check_blocks_and_has_the_partitions_of_its_asset(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    checks = [graph.get(key) for key in graph.asset_check_keys]
    assert len(checks) == 13
    for check in checks:
        assert check.blocking
        assert check.description
        assert check.partitions_def == graph.get(check.key.asset_key).partitions_def


def describe_graph(definitions: dg.Definitions) -> str:
    """Write all definitions as text, one fact a line, in an order of their own."""
    return "\n".join([*_assets(definitions), *_checks(definitions), *_jobs(definitions), *_automation(definitions), ""])


def _assets(definitions: dg.Definitions) -> Iterator[str]:
    graph, repository = definitions.resolve_asset_graph(), definitions.get_repository_def()
    for spec in sorted(definitions.resolve_all_asset_specs(), key=lambda spec: spec.key.to_user_string()):
        node = graph.get(spec.key)
        yield f"asset {spec.key.to_user_string()}"
        yield f"  group: {spec.group_name}"
        yield f"  materializable: {node.is_materializable}"
        for dependency in sorted(spec.deps, key=lambda dep: dep.asset_key.to_user_string()):
            mapping = repository.assets_defs_by_key[spec.key].get_partition_mapping(dependency.asset_key)
            how = "" if mapping is None else f" ({type(mapping).__name__})"
            yield f"  dep: {dependency.asset_key.to_user_string()}{how}"
        yield f"  partitions: {_partitions(node.partitions_def)}"
        yield f"  kinds: {', '.join(sorted(spec.kinds))}"
        yield f"  owners: {', '.join(spec.owners)}"
        tags = {name: tag for name, tag in sorted(spec.tags.items()) if not name.startswith("dagster/")}
        yield f"  tags: {', '.join(f'{name}={tag}' for name, tag in tags.items())}"
        yield f"  freshness: {_freshness(spec)}"
        yield f"  code version: {spec.code_version}"
        yield f"  backfill: {node.backfill_policy.policy_type.value if node.backfill_policy else 'none'}"
        yield f"  automation: {spec.automation_condition}"
        yield f"  description: {spec.description}"
        yield ""


def _checks(definitions: dg.Definitions) -> Iterator[str]:
    graph = definitions.resolve_asset_graph()
    for key in sorted(graph.asset_check_keys, key=lambda key: key.to_user_string()):
        check = graph.get(key)
        yield f"check {key.asset_key.to_user_string()}:{key.name}"
        yield f"  blocking: {check.blocking}"
        yield f"  partitions: {_partitions(check.partitions_def)}"
        yield f"  description: {check.description}"
        yield ""


def _jobs(definitions: dg.Definitions) -> Iterator[str]:
    for job in sorted(definitions.resolve_all_job_defs(), key=lambda job: job.name):
        if job.name.startswith("__"):
            continue
        yield f"job {job.name}"
        for key in sorted(key.to_user_string() for key in job.asset_layer.selected_asset_keys):
            yield f"  asset: {key}"
        yield f"  partitions: {_partitions(job.partitions_def)}"
        yield f"  executor: {job.executor_def.name}"
        yield f"  description: {job.description}"
        yield ""


def _automation(definitions: dg.Definitions) -> Iterator[str]:
    repository = definitions.get_repository_def()
    for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name):
        yield f"sensor {sensor.name}"
        yield f"  jobs: {', '.join(sorted(target.job_name for target in sensor.targets))}"
        yield f"  every: {sensor.minimum_interval_seconds} s"
        yield f"  starts: {sensor.default_status.value}"
        yield f"  description: {sensor.description}"
        yield ""
    for schedule in sorted(repository.schedule_defs, key=lambda schedule: schedule.name):
        yield f"schedule {schedule.name}"
        yield f"  job: {schedule.job_name}"
        yield f"  cron: {schedule.cron_schedule} {schedule.execution_timezone}"
        yield f"  starts: {schedule.default_status.value}"
        yield f"  description: {schedule.description}"
        yield ""


def _freshness(spec: dg.AssetSpec) -> str:
    policy = spec.freshness_policy
    if not isinstance(policy, TimeWindowFreshnessPolicy):
        return str(policy or "none")
    warns = policy.warn_window.to_timedelta() if policy.warn_window else "never"
    return f"fails after {policy.fail_window.to_timedelta()}, warns after {warns}"


def _partitions(partitions: dg.PartitionsDefinition[str] | None) -> str:
    return str(partitions.name) if isinstance(partitions, dg.DynamicPartitionsDefinition) else "none"


if __name__ == "__main__":
    os.environ.pop("NEXUS_SENSORS", None)
    with tempfile.TemporaryDirectory() as folder:
        SNAPSHOT.write_text(
            describe_graph(build_defs(deployment_resources(read_settings({"NEXUS_ROOT": str(Path(folder))}))))
        )
